"""Secrets of a request, fetched here: the hosts of a rehearsal reach no AWS service, and get them in their environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Mapping, Tuple

from hvdsm.compose.cloud import SECRETS
from hvdsm.errors import ConfigError

if TYPE_CHECKING:
    from hvdsm.compose.secrets import SecretRef

# Tells the container program which of its variables are secrets, so that it keeps their values out of what it says.
NAMES = "HVDSM_SECRET_NAMES"


def secret_names(request: Mapping[str, Any]) -> Tuple[str, ...]:
    """The variables that ``sagemaker_hvdsm_secrets`` asks for; nothing is fetched.

    Raises:
        ConfigError: they are written wrongly.
    """
    text = (request.get("HyperParameters") or {}).get(SECRETS)
    if not text:
        return ()
    from hvdsm.compose.secrets import parse_secrets

    return tuple(parse_secrets(text))


def secret_values(request: Mapping[str, Any], environ: Mapping[str, str]) -> Dict[str, str]:
    """The variables that ``sagemaker_hvdsm_secrets`` asks for, with their values; empty where it is not there.

    Args:
        request: the request; it keeps the ARNs only.
        environ: the caller's variables, for credentials and region.

    Raises:
        ConfigError: a secret cannot be read, or has no such key.
        CloudUnavailable: AWS cannot be reached.
    """
    text = (request.get("HyperParameters") or {}).get(SECRETS)
    if not text:
        return {}
    from hvdsm.aws.session import Aws, connect
    from hvdsm.compose.secrets import parse_secrets, secret_value

    sessions: Dict[str, Aws] = {}
    values = {}
    for name, reference in parse_secrets(text).items():
        if reference.region not in sessions:
            sessions[reference.region] = connect(region=reference.region, environ=environ)
        values[name] = secret_value(name, reference, _fetched(sessions[reference.region], name, reference))
    return values


def _fetched(aws: Any, name: str, reference: SecretRef) -> str:
    from hvdsm.aws.failures import translated

    with translated(f"read the secret for {name}", reference.arn):
        if reference.service == "ssm":
            answer = aws.client("ssm").get_parameter(Name=reference.arn, WithDecryption=True)
            return str(answer["Parameter"]["Value"])
        answer = aws.client("secretsmanager").get_secret_value(SecretId=reference.arn)
    if answer.get("SecretString") is None:
        raise ConfigError(
            "the secret is binary, and a variable is text", where=f"secret {name} ({reference.arn})", remedy="store it as text"
        )
    return str(answer["SecretString"])
