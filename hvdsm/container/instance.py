"""Credentials of the role of the EC2 instance that a container runs on.

Source: "Use IMDSv2" and "Retrieve security credentials from instance metadata" (EC2 User Guide).
"""

from __future__ import annotations

import json
from typing import Mapping, Optional

from hvdsm.container.signed import Credentials, open_url

ADDRESS = "http://169.254.169.254"
# It answers within milliseconds where it is; elsewhere nobody does.
SECONDS = 1.0
_ROLE = "/latest/meta-data/iam/security-credentials/"


def instance_credentials(environ: Mapping[str, str]) -> Optional[Credentials]:
    """The credentials of the instance's role; None without an instance, without a role, or where variables forbid to ask."""
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    base = (environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or ADDRESS).rstrip("/")

    def ask(path: str, method: str, headers: Mapping[str, str]) -> str:
        with open_url(environ, base + path, headers, timeout=SECONDS, direct=True, method=method) as answer:
            return str(answer.read(1 << 16), "utf-8").strip()

    try:
        token = ask("/latest/api/token", "PUT", {"x-aws-ec2-metadata-token-ttl-seconds": "300"})
        known = {"x-aws-ec2-metadata-token": token}
        role = ask(_ROLE, "GET", known).splitlines()[0]
        found = json.loads(ask(_ROLE + role, "GET", known))
        return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found.get("Token") or "")
    except (OSError, ValueError, LookupError, TypeError):
        return None
