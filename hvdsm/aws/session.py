"""Credentials, region and clients.

Clients are made by botocore itself: what boto3 adds costs start-up time and is not needed here.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Dict, List, Mapping, Optional

from hvdsm.errors import ConfigError
from hvdsm.version import __version__

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 30.0
# Connections of a client that are kept open, for as many threads.
CONNECTIONS = 16
# Requests in all, the first included; botocore waits up to 1, 2, 4, … seconds between them, at random.
ATTEMPTS = 4
INVENTED = "hvdsm-sandbox-invented"
"""Key of a tag of roles that a sandbox has made because somebody named them: of such a role it knows no path."""
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}")


@dataclass(frozen=True)
class Identity:
    """Whose credentials these are."""

    account: str
    arn: str


@dataclass(frozen=True)
class Aws:
    """A region, and the clients of its services; cheap to make, safe to share between threads.

    Attributes:
        region: AWS region.
        profile: profile that was asked for by name; None leaves the choice to the environment.
        environ: environment that credentials and endpoints are taken from.
    """

    region: str
    profile: Optional[str] = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False, compare=False)
    _made: Dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    _lock: Any = field(default_factory=threading.RLock, init=False, repr=False, compare=False)

    @property
    def endpoint(self) -> Optional[str]:
        """The address that stands for AWS, if the environment names one; for messages."""
        return None if _ignored(self.environ) else self.environ.get("AWS_ENDPOINT_URL") or None

    def client(
        self,
        service: str,
        *,
        region: Optional[str] = None,
        attempts: Optional[int] = None,
        read_timeout: float = READ_TIMEOUT,
        connect_timeout: float = CONNECT_TIMEOUT,
    ) -> Any:
        """The botocore client of a service, made once for the same arguments.

        Args:
            service: botocore's name of it, such as ``sagemaker``.
            region: another region than the session's.
            attempts: requests in all when they fail in a passing way; AWS_MAX_ATTEMPTS, else 4 by default.
            read_timeout: seconds without an answer after which a request has failed.
            connect_timeout: seconds that a connection may take.

        Raises:
            ConfigError: the AWS configuration cannot be used.
        """
        key = (service, region, attempts, read_timeout, connect_timeout)
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(service, region or self.region, attempts, read_timeout, connect_timeout)
            return self._made[key]

    def _make(self, service: str, region: str, attempts: Optional[int], read_timeout: float, connect_timeout: float) -> Any:
        from botocore.config import Config

        from hvdsm.aws.failures import translated

        session = self._session()
        config: Dict[str, Any] = {
            "connect_timeout": connect_timeout,
            "read_timeout": read_timeout,
            "tcp_keepalive": True,
            "max_pool_connections": CONNECTIONS,
            "user_agent_extra": f"hvdsm/{__version__}",
            "retries": self._retries(attempts),
        }
        options: Dict[str, Any] = {}
        if self.environ is not os.environ:
            options = _explicit(self.environ, service, self.profile)
            config["proxies"] = _proxies(self.environ, options.get("endpoint_url") or f"https://{service}.{region}.amazonaws.com")
        if service == "s3" and _is_local(self._endpoint_of("s3")):
            # Names below localhost need not resolve.
            config["s3"] = {"addressing_style": "path"}
        with translated(f"make a client for {service}"):
            try:
                return session.create_client(service, region_name=region, config=Config(**config), **options)
            except ValueError as error:
                if "endpoint" not in str(error).lower():
                    # Credentials are fetched here, too: what a credential_process says may be no JSON.
                    what = f"the AWS credentials cannot be read: {type(error).__name__}: {error}"
                    raise ConfigError(
                        what,
                        where=f"profile {self.profile or 'default'}",
                        remedy="aws sts get-caller-identity, to see the same by itself",
                    ) from error
                raise ConfigError(
                    str(error), where="AWS_ENDPOINT_URL, or endpoint_url of the profile", remedy="write it as https://HOST[:PORT]"
                ) from error

    def _retries(self, attempts: Optional[int]) -> Dict[str, Any]:
        retries: Dict[str, Any] = {"mode": self.environ.get("AWS_RETRY_MODE") or "standard"}
        named = self.environ.get("AWS_MAX_ATTEMPTS", "")
        if attempts is not None:
            retries["total_max_attempts"] = attempts
        else:
            retries["total_max_attempts"] = int(named) if named.isdecimal() and int(named) > 0 else ATTEMPTS
        return retries

    def _endpoint_of(self, service: str) -> Optional[str]:
        return _endpoint(self.environ, service)

    def _session(self) -> Any:
        with self._lock:
            if "session" not in self._made:
                self._made["session"] = _new_session(self.profile, self.environ)
            return self._made["session"]


def connect(region: Optional[str] = None, profile: Optional[str] = None, environ: Optional[Mapping[str, str]] = None) -> Aws:
    """Decide on region and profile; nothing is asked of AWS yet.

    The region is the argument, else AWS_REGION, else AWS_DEFAULT_REGION, else the profile's in the AWS configuration.

    Args:
        region: AWS region.
        profile: profile of the AWS configuration; AWS_PROFILE by default.
        environ: environment; this process's by default.

    Raises:
        ConfigError: no region is named anywhere, it is no region's name, or there is no such profile.
    """
    if environ is None or dict(environ) == dict(os.environ):
        # The same by another name: botocore reads it itself.
        environ = os.environ
    for place, value in (
        ("--region", region),
        ("AWS_REGION", environ.get("AWS_REGION")),
        ("AWS_DEFAULT_REGION", environ.get("AWS_DEFAULT_REGION")),
    ):
        if value:
            return Aws(_checked(value, place), profile, environ)
    session = _new_session(profile, environ)
    with_profile = profile or environ.get("AWS_PROFILE") or "default"
    configured = session.get_config_variable("region")
    if not configured:
        raise ConfigError(
            "no AWS region is named",
            where=f"--region, AWS_REGION, AWS_DEFAULT_REGION and the AWS configuration of profile {with_profile}",
            remedy="--region us-east-1, or export AWS_REGION=us-east-1, "
            f"or aws configure set region us-east-1 --profile {with_profile}",
        )
    aws = Aws(_checked(str(configured), f"profile {with_profile}"), profile, environ)
    aws._made["session"] = session
    return aws


def identity(aws: Aws) -> Identity:
    """The account and the user or role of the credentials.

    Raises:
        CloudUnavailable: there are no valid credentials, or STS cannot be reached.
    """
    from hvdsm.aws.failures import translated

    with translated("learn whose credentials these are"):
        answer = aws.client("sts").get_caller_identity()
    return Identity(str(answer["Account"]), str(answer["Arn"]))


def partition(region: str) -> str:
    """The partition of a region, as its ARNs have it.

    >>> [partition(region) for region in ("eu-central-1", "cn-north-1", "us-gov-west-1")]
    ['aws', 'aws-cn', 'aws-us-gov']
    """
    for prefix, name in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"), ("us-isob-", "aws-iso-b"), ("us-iso-", "aws-iso")):
        if region.startswith(prefix):
            return name
    return "aws"


def console(region: str) -> str:
    """Address of the AWS console of a region."""
    domain = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}.get(partition(region))
    return f"https://{domain}" if domain else f"https://{region}.console.aws.amazon.com"


def _checked(region: str, place: str) -> str:
    if not _REGION.fullmatch(region):
        raise ConfigError(f"{region!r} is no name of an AWS region", where=place, remedy="name it like us-east-1")
    return region


def _new_session(profile: Optional[str], environ: Mapping[str, str]) -> Any:
    import botocore.session
    from botocore.exceptions import BotoCoreError, ProfileNotFound

    session = botocore.session.Session(profile=profile)
    if environ is not os.environ:
        for variable, name in (("config_file", "AWS_CONFIG_FILE"), ("credentials_file", "AWS_SHARED_CREDENTIALS_FILE")):
            if environ.get(name):
                session.set_config_variable(variable, environ[name])
        if profile is None and environ.get("AWS_PROFILE"):
            session.set_config_variable("profile", environ["AWS_PROFILE"])
        if not environ.get("AWS_ACCESS_KEY_ID"):
            # Else keys of this process would stand in for those that are missing there.
            session.get_component("credential_provider").remove("env")
    try:
        session.get_scoped_config()
        if not session.get_config_variable("data_path"):
            session.register_component("data_loader", model_loader())
    except ProfileNotFound:
        named = profile or environ.get("AWS_PROFILE")
        raise ConfigError(
            f"the AWS configuration has no profile {named}",
            where="--aws-profile" if profile else "AWS_PROFILE",
            remedy=_other_profiles(session, str(named)),
        ) from None
    except BotoCoreError as error:
        raise ConfigError(f"the AWS configuration cannot be read: {error}", remedy="correct that file") from None
    return session


@lru_cache(maxsize=None)
def model_loader() -> Any:
    """What reads botocore's service models, each once for the whole process: SageMaker's takes 50 ms."""
    from botocore.loaders import Loader

    return Loader()


def _other_profiles(session: Any, named: str) -> str:
    known: List[str] = sorted(session.available_profiles)
    return f"one of these: {', '.join(known)}" if known else f"aws configure --profile {named}"


def _explicit(environ: Mapping[str, str], service: str, profile: Optional[str]) -> Dict[str, Any]:
    """What botocore reads in the environment of this process, taken from another one."""
    options: Dict[str, Any] = {}
    if profile is None and environ.get("AWS_ACCESS_KEY_ID"):
        options["aws_access_key_id"] = environ["AWS_ACCESS_KEY_ID"]
        options["aws_secret_access_key"] = environ.get("AWS_SECRET_ACCESS_KEY")
        options["aws_session_token"] = environ.get("AWS_SESSION_TOKEN")
    endpoint = _endpoint(environ, service)
    if endpoint:
        options["endpoint_url"] = endpoint
    if environ.get("AWS_CA_BUNDLE"):
        options["verify"] = environ["AWS_CA_BUNDLE"]
    return options


def _ignored(environ: Mapping[str, str]) -> bool:
    return environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true"


def _endpoint(environ: Mapping[str, str], service: str) -> Optional[str]:
    if _ignored(environ):
        return None
    # The SDKs' name of a service here is its service ID, CLOUDWATCH_LOGS for logs.
    names = {"logs": "CLOUDWATCH_LOGS", "secretsmanager": "SECRETS_MANAGER"}
    return environ.get(f"AWS_ENDPOINT_URL_{names.get(service, service.upper())}") or environ.get("AWS_ENDPOINT_URL") or None


def _is_local(endpoint: Optional[str]) -> bool:
    return bool(endpoint) and bool(re.match(r"https?://localhost(?::|/|$)", str(endpoint)))


def _proxies(environ: Mapping[str, str], address: str) -> Dict[str, str]:
    """The proxies for an address, as the variables http_proxy, https_proxy and no_proxy say."""
    from urllib.parse import urlsplit
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    def named(name: str) -> str:
        return environ.get(name) or environ.get(name.upper()) or ""

    if proxy_bypass_environment(urlsplit(address).netloc, {"no": named("no_proxy")}):
        return {}
    return {scheme: named(f"{scheme}_proxy") for scheme in ("http", "https") if named(f"{scheme}_proxy")}
