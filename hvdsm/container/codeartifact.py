"""The package index of a CodeArtifact repository: its address, and a token to read it.

Source: "Configure and use pip with CodeArtifact" (CodeArtifact User Guide), and its action GetAuthorizationToken.
"""

from __future__ import annotations

import http.client
import importlib
import json
import re
import shutil
from datetime import datetime, timezone
from typing import Callable, Dict, Mapping, Optional, Sequence

from hvdsm.container.fetch import Unusable, run_aws
from hvdsm.container.objects import Missing
from hvdsm.container.signed import credentials_of, domain_suffix, encoded_query, open_url, signed_headers
from hvdsm.errors import ConfigError

_ARN = re.compile(
    r"arn:[^:]+:codeartifact:(?P<region>[a-z0-9-]+):(?P<account>\d+):repository/(?P<domain>[a-z0-9-]+)/(?P<name>[\w.-]+)"
)
_WHERE = "CA_REPOSITORY_ARN"
_REMEDY = "allow the job's execution role codeartifact:GetAuthorizationToken and sts:GetServiceBearerToken"


def index_url(
    arn: str, environ: Mapping[str, str], say: Callable[..., None], clients: Sequence[str] = ("boto3", "aws", "request")
) -> str:
    """The address of a repository's package index, with a token in it: a secret.

    Args:
        arn: ``arn:aws:codeartifact:REGION:ACCOUNT:repository/DOMAIN/REPOSITORY``.
        environ: the container's environment.
        say: told of what is done.
        clients: what may ask for the token, the best first.

    Raises:
        ConfigError: the name is wrong, or no token can be had.
    """
    found = _ARN.fullmatch(arn)
    if found is None:
        raise ConfigError(
            f"{arn!r} is no CodeArtifact repository",
            where=_WHERE,
            remedy="give arn:aws:codeartifact:REGION:ACCOUNT:repository/DOMAIN/REPOSITORY",
        )
    name, region = found.groupdict(), found["region"]
    say(f"packages come from the CodeArtifact repository {name['domain']}/{name['name']}")
    token = _token(name, environ, say, clients)
    host = f"{name['domain']}-{name['account']}.d.codeartifact.{region}.{domain_suffix(region)}"
    return f"https://aws:{token}@{host}/pypi/{name['name']}/simple/"


def _token(name: Mapping[str, str], environ: Mapping[str, str], say: Callable[..., None], clients: Sequence[str]) -> str:
    ways: Dict[str, Callable[[], str]] = {
        "boto3": lambda: _by_boto3(name, environ),
        "aws": lambda: _by_command(name, environ, say),
        "request": lambda: _by_request(name, environ),
    }
    reason = "no client may ask"
    for client in clients:
        try:
            return ways[client]()
        except Unusable as error:
            reason = str(error)
        except ConfigError as error:
            # Its text says what was refused; no answer with a token is an error.
            reason = error.what
            break
    raise ConfigError(f"no token can be had: {reason}", where=_WHERE, remedy=_REMEDY)


def _by_boto3(name: Mapping[str, str], environ: Mapping[str, str]) -> str:
    try:
        boto3 = importlib.import_module("boto3")
        errors = importlib.import_module("botocore.exceptions")
        # A broken installation fails in many ways.
    except Exception as error:
        raise Unusable(f"boto3 cannot be imported ({error!r})") from None
    try:
        client = boto3.session.Session(
            aws_access_key_id=environ.get("AWS_ACCESS_KEY_ID") or None,
            aws_secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY") or None,
            aws_session_token=environ.get("AWS_SESSION_TOKEN") or None,
        ).client("codeartifact", region_name=name["region"], endpoint_url=_endpoint(environ))
        answer: Dict[str, str] = client.get_authorization_token(domain=name["domain"], domainOwner=name["account"])
    except (errors.BotoCoreError, errors.ClientError) as error:
        raise ConfigError(str(error)) from None
    except AttributeError as error:
        # An old boto3, which does not know the service.
        raise Unusable(str(error)) from None
    return answer["authorizationToken"]


def _by_command(name: Mapping[str, str], environ: Mapping[str, str], say: Callable[..., None]) -> str:
    program = shutil.which("aws", path=environ.get("PATH"))
    if program is None:
        raise Unusable("there is no aws command on PATH")
    words = ["codeartifact", "get-authorization-token", "--output", "json", "--region", name["region"]]
    words += ["--domain", name["domain"], "--domain-owner", name["account"]]
    endpoint = _endpoint(environ)
    try:
        text = run_aws(program, [*words, *(["--endpoint-url", endpoint] if endpoint else [])], environ, _WHERE, say)
        return str(json.loads(text)["authorizationToken"])
    except Missing:
        raise ConfigError("there is no such domain") from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError("the aws command answered without a token") from None


def _by_request(name: Mapping[str, str], environ: Mapping[str, str]) -> str:
    region = name["region"]
    base = _endpoint(environ) or f"https://codeartifact.{region}.{domain_suffix(region)}"
    query = encoded_query([("domain", name["domain"]), ("domain-owner", name["account"])])
    url = f"{base.rstrip('/')}/v1/authorization-token?{query}"
    headers = signed_headers("POST", url, credentials_of(environ), region, "codeartifact", datetime.now(timezone.utc))
    try:
        with open_url(environ, url, {**headers, "content-length": "0"}, method="POST") as response:
            return str(json.loads(response.read(1 << 20))["authorizationToken"])
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
        raise ConfigError(f"{url.partition('?')[0]}: {error}") from None


def _endpoint(environ: Mapping[str, str]) -> Optional[str]:
    return environ.get("AWS_ENDPOINT_URL_CODEARTIFACT") or environ.get("AWS_ENDPOINT_URL") or None
