"""Signed requests to AWS with the standard library alone: Signature Version 4 and the credentials of a container.

Source: "Create a signed AWS API request" (IAM User Guide) and "Container credential provider" (AWS SDKs and Tools Reference).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from configparser import ConfigParser, Error
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import parse_qsl, quote, urlsplit

from hvdsm.errors import ConfigError

CONTAINER_ADDRESS = "http://169.254.170.2"
# Where credentials may be asked for without encryption: this host, and the link-local addresses of ECS and EKS.
_NEAR = ("localhost", "::1", "169.254.170.2", "169.254.170.23", "fd00:ec2::23")
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
TIMEOUT = 60.0
_SAFE = "-_.~"
NO_CREDENTIALS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; "
    "in SageMaker the job's execution role gives them"
)
# Times that the platform is asked for credentials, and seconds between two of them.
CREDENTIAL_ATTEMPTS = 3
CREDENTIAL_PAUSE = 1.0


@dataclass(frozen=True)
class Credentials:
    """What requests are signed with; ``token`` belongs to temporary ones."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)


def signed_headers(
    method: str,
    url: str,
    credentials: Credentials,
    region: str,
    service: str,
    when: datetime,
    payload_sha256: str = EMPTY_SHA256,
    more: Optional[Mapping[str, str]] = None,
) -> Dict[str, str]:
    """The headers that make a request one of this identity.

    Args:
        method: ``GET`` or another one.
        url: the whole address, its path encoded once and its query encoded too.
        credentials: who asks.
        region: of the service, for example ``eu-west-1``.
        service: ``s3``, ``codeartifact``.
        when: the time of the request.
        payload_sha256: SHA-256 of the body, in hexadecimal digits.
        more: further headers, with lower-case names, that are signed too.
    """
    parts = urlsplit(url)
    stamp = when.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": parts.netloc.rpartition("@")[2], "x-amz-content-sha256": payload_sha256, "x-amz-date": stamp}
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    headers.update(more or {})
    names = ";".join(sorted(headers))
    # S3 alone takes the path as it stands; elsewhere it is encoded once more.
    path = parts.path or "/"
    canonical = "\n".join(
        [
            method,
            path if service == "s3" else quote(path, safe="/" + _SAFE),
            encoded_query(parse_qsl(parts.query, keep_blank_values=True)),
            *(f"{name}:{headers[name].strip()}" for name in sorted(headers)),
            "",
            names,
            payload_sha256,
        ]
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + credentials.secret_key).encode()
    for word in (stamp[:8], region, service, "aws4_request"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    sent = {name: value for name, value in headers.items() if name != "host"}
    who = f"{credentials.access_key}/{scope}"
    return {**sent, "authorization": f"AWS4-HMAC-SHA256 Credential={who}, SignedHeaders={names}, Signature={signature}"}


def encoded_query(pairs: Sequence[Tuple[str, str]]) -> str:
    """A query string in the form in which it is signed: encoded, then sorted by name and value."""
    encoded = sorted((quote(name, safe=_SAFE), quote(value, safe=_SAFE)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected request must be signed anew, so it is not followed here."""

    def redirect_request(self, *_arguments: Any, **_named: Any) -> None:
        return None


def open_url(
    environ: Mapping[str, str],
    url: str,
    headers: Mapping[str, str],
    *,
    timeout: float = TIMEOUT,
    direct: bool = False,
    method: str = "GET",
    data: Optional[bytes] = None,
) -> Any:
    """The answer to a request, through the proxy that the variables name; ``direct`` never uses one.

    Redirections are not followed: they come as ``HTTPError``.

    Raises:
        OSError: there is no answer, or one of an error.
    """
    if not url.startswith(("http://", "https://")):
        raise OSError(f"{url} is no address of the web")
    proxies = {name[:-6].lower(): value for name, value in environ.items() if name.lower().endswith("_proxy") and value}
    if direct or urllib.request.proxy_bypass_environment(urlsplit(url).netloc, proxies):  # type: ignore[attr-defined]
        proxies = {}
    handlers: List[urllib.request.BaseHandler] = [urllib.request.ProxyHandler(proxies), _NoRedirect()]
    if url.startswith("https:"):
        context = ssl.create_default_context(cafile=environ.get("AWS_CA_BUNDLE") or environ.get("SSL_CERT_FILE") or None)
        handlers.append(urllib.request.HTTPSHandler(context=context))
    # Its scheme is checked above.
    request = urllib.request.Request(url, data, headers=dict(headers), method=method)  # noqa: S310
    return urllib.request.build_opener(*handlers).open(request, timeout=timeout)


def credentials_of(environ: Mapping[str, str]) -> Credentials:
    """The container's credentials: variables, else those the platform offers it, else the shared file, else the instance's role.

    Raises:
        ConfigError: there are none, or the platform's cannot be read.
    """
    if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
        return Credentials(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], environ.get("AWS_SESSION_TOKEN", ""))
    address = credentials_address(environ)
    found = _offered(address, environ) if address else _from_file(environ)
    if found is None:
        from hvdsm.container.instance import instance_credentials

        found = instance_credentials(environ)
    if found is None:
        raise ConfigError("there are no AWS credentials", where="the container's environment", remedy=NO_CREDENTIALS)
    return found


def credentials_address(environ: Mapping[str, str]) -> Optional[str]:
    """Where the platform offers credentials to this container; None when it does not.

    Raises:
        ConfigError: the address is neither encrypted nor near.
    """
    if environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        return CONTAINER_ADDRESS + environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
    address = environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not address:
        return None
    parts = urlsplit(address)
    near = (parts.hostname or "") in _NEAR or re.fullmatch(r"127(\.\d+){3}", parts.hostname or "")
    if parts.scheme != "https" and not (parts.scheme == "http" and near):
        raise ConfigError(
            "credentials are asked for by https, or by http on this host only", where="AWS_CONTAINER_CREDENTIALS_FULL_URI"
        )
    return address


def _offered(address: str, environ: Mapping[str, str]) -> Credentials:
    try:
        secret = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
        if environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            with open(environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"], encoding="utf-8") as file:
                secret = file.read().strip()
        found = json.loads(_ask(address, {"Authorization": secret} if secret else {}, environ))
        return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found.get("Token") or "")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"the container's credentials cannot be read: {error!r}",
            where=urlsplit(address).netloc,
            remedy="check AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI; on SageMaker, that the job has an execution role",
        ) from None


def _ask(
    address: str, headers: Mapping[str, str], environ: Mapping[str, str], wait: Callable[[float], None] = time.sleep
) -> bytes:
    """The platform's answer; it is asked again when it is busy, or not there yet."""
    for attempt in range(CREDENTIAL_ATTEMPTS):
        try:
            with open_url(environ, address, headers, timeout=10, direct=True) as response:
                return bytes(response.read(1 << 20))
        except OSError as error:
            passing = not isinstance(error, urllib.error.HTTPError) or error.code >= 500 or error.code == 429
            if not passing or attempt + 1 == CREDENTIAL_ATTEMPTS:
                raise
        wait(CREDENTIAL_PAUSE)
    raise AssertionError("the last attempt returns or raises")


def _from_file(environ: Mapping[str, str]) -> Optional[Credentials]:
    path = environ.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.join(environ.get("HOME", ""), ".aws", "credentials")
    parser, profile = ConfigParser(interpolation=None), environ.get("AWS_PROFILE") or "default"
    try:
        parser.read(path, encoding="utf-8")
        section = parser[profile]
        return Credentials(section["aws_access_key_id"], section["aws_secret_access_key"], section.get("aws_session_token", ""))
    except (Error, KeyError, OSError, UnicodeDecodeError):
        return None


def domain_suffix(region: str) -> str:
    """The domain of a region's services.

    >>> domain_suffix("eu-west-1"), domain_suffix("cn-north-1")
    ('amazonaws.com', 'amazonaws.com.cn')
    """
    for start, suffix in (("cn-", "amazonaws.com.cn"), ("us-isob-", "sc2s.sgov.gov"), ("us-iso-", "c2s.ic.gov")):
        if region.startswith(start):
            return suffix
    return "amazonaws.com"


def region_of(environ: Mapping[str, str], given: Optional[str] = None) -> Optional[str]:
    """The region to ask: what was given, else that of the variables."""
    return given or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or environ.get("SAGEMAKER_REGION") or None
