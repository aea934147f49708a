"""How the hosts of a job on this machine reach S3: a service on this machine stands for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Mapping, Optional
from urllib.parse import urlsplit

from hvdsm.backends.local.options import SINGLE, Gateway
from hvdsm.errors import UsageError

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_HERE = ("127.0.0.1", "localhost", "::1")
_TOLD = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(frozen=True)
class Reach:
    """What a job's hosts are told of S3."""

    gateway: Optional[Gateway] = None
    variables: Mapping[str, str] = field(default_factory=dict)


def reach_of(hosts: str, environ: Mapping[str, str], profile: Optional[str] = None) -> Reach:
    """How hosts reach S3.

    Args:
        hosts: ``namespaces``, ``single`` or ``auto``.
        environ: variables of the caller.
        profile: of the AWS configuration.

    Raises:
        UsageError: emulated hosts, which reach nothing outside of this machine, cannot reach it.
    """
    name = next((name for name in _ENDPOINTS if environ.get(name)), None)
    place = urlsplit(environ[name]) if name is not None else None
    if place is not None and place.hostname in _HERE and place.scheme == "http":
        address = f"http://127.0.0.1:{place.port or 80}"
        variables = {**_credentials(environ, profile), "AWS_ENDPOINT_URL": address}
        if hosts == SINGLE:
            return Reach(variables=variables)
        return Reach(Gateway(place.port or 80, variables))
    if hosts == SINGLE:
        return Reach(variables=_credentials(environ, profile))
    raise UsageError(
        f"hosts on this machine reach nothing outside of it, and {_shown(name, environ)}",
        where="S3",
        remedy="export AWS_ENDPOINT_URL=http://127.0.0.1:PORT of an S3 on this machine (moto_server), or add --backend sagemaker",
    )


def of_containers(environ: Mapping[str, str], given: Mapping[str, str]) -> Dict[str, str]:
    """What containers on this machine are told of S3; their credentials come as those of every container.

    Args:
        environ: variables of the caller.
        given: variables of the container that were asked for.

    Raises:
        UsageError: S3 is on this machine's loopback, which containers do not reach.
    """
    if any(given.get(name) for name in _ENDPOINTS):
        return {}
    name = next((name for name in _ENDPOINTS if environ.get(name)), None)
    if name is None:
        return {}
    if urlsplit(environ[name]).hostname in _HERE:
        raise UsageError(
            f"containers do not reach {name}={environ[name]}, this machine's loopback",
            where="S3",
            remedy="have it listen on 0.0.0.0, and name an address of this machine that is not 127.0.0.1",
        )
    return {"AWS_ENDPOINT_URL": environ[name]}


def _shown(name: Optional[str], environ: Mapping[str, str]) -> str:
    return "S3 is that of AWS" if name is None else f"{name} is {environ[name]}"


def _credentials(environ: Mapping[str, str], profile: Optional[str]) -> Dict[str, str]:
    import boto3

    found = {name: environ[name] for name in _TOLD if environ.get(name)}
    session = boto3.session.Session(profile_name=profile)
    known = session.get_credentials()
    if session.region_name:
        found.setdefault("AWS_DEFAULT_REGION", session.region_name)
    if known is None:
        return found
    frozen = known.get_frozen_credentials()
    found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"] = str(frozen.access_key), str(frozen.secret_key)
    return {**found, "AWS_SESSION_TOKEN": frozen.token} if frozen.token else found
