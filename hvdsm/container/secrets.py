"""Fetches a job's secrets on this host.

By boto3 if it can be imported, else by the aws command, else by signed requests.  Values are in memory and
the environment of ranks only.
"""

from __future__ import annotations

import hashlib
import http.client
import importlib
import json
import random
import re
import shutil
import time
import urllib.error
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Mapping, Optional, Protocol, Tuple
from urllib.parse import urlsplit

from hvdsm.compose.mask import mask_text
from hvdsm.compose.secrets import SECRETS_MANAGER, SecretRef, parse_secrets, refused, secret_value, unreachable
from hvdsm.container.fetch import Unusable, run_aws
from hvdsm.container.objects import Missing
from hvdsm.container.signed import NO_CREDENTIALS, credentials_of, domain_suffix, open_url, signed_headers
from hvdsm.errors import ConfigError

Say = Callable[[str], None]
ATTEMPTS = 8
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0
CONNECT_SECONDS, READ_SECONDS = 10, 30
_PASSING = re.compile("Throttl|TooManyRequests|RequestLimitExceeded|Internal|ServiceUnavailable|RequestTimeout")
_TARGETS = {SECRETS_MANAGER: "secretsmanager.GetSecretValue", "ssm": "AmazonSSM.GetParameter"}


class Reader(Protocol):
    """A way to read secrets."""

    title: str

    def read(self, name: str, reference: SecretRef) -> Mapping[str, Any]:
        """The service's answer."""


def fetch_secrets(value: Any, environ: Mapping[str, str], say: Say) -> Dict[str, str]:
    """The values of the variables that ``sagemaker_hvdsm_secrets`` names; blocking.

    Args:
        value: the hyperparameter.
        environ: the container's environment; ``HVDSM_SECRETS_CLIENT`` (``boto3``, ``aws``, ``request``) allows one way only.
        say: told of what is fetched, never of a value.

    Raises:
        ConfigError: the hyperparameter is wrong, or a secret cannot be had.
    """
    references = parse_secrets(value)
    if not references:
        return {}
    only = environ.get("HVDSM_SECRETS_CLIENT")
    started, reasons = time.monotonic(), []
    for name, make in _ways(environ, say).items():
        if only not in (None, "", name):
            continue
        try:
            reader = make()
            say(f"fetching {_count(references)} by {reader.title}")
            found = _read(reader, references)
        except Unusable as error:
            reasons.append(str(error))
            continue
        say(f"{_count(found)} fetched by {reader.title} in {time.monotonic() - started:.1f} s: {', '.join(found)}")
        return found
    raise ConfigError(
        f"there is no way to fetch secrets: {'; '.join(reasons) or 'no such client'}",
        where=f"HVDSM_SECRETS_CLIENT={only}",
        remedy="unset HVDSM_SECRETS_CLIENT, or set it to boto3, aws or request",
    )


def _count(secrets: Mapping[str, object]) -> str:
    return f"{len(secrets)} secret{'s' if len(secrets) != 1 else ''}"


def _ways(environ: Mapping[str, str], say: Say) -> Mapping[str, Callable[[], Reader]]:
    return {
        "boto3": lambda: BotoReader(environ),
        "aws": lambda: CommandReader(environ, say),
        "request": lambda: SignedReader(environ, say),
    }


def _read(reader: Reader, references: Mapping[str, SecretRef]) -> Dict[str, str]:
    answers: Dict[str, Mapping[str, Any]] = {}
    found = {}
    for name, reference in references.items():
        if reference.arn not in answers:
            answers[reference.arn] = reader.read(name, reference)
        found[name] = secret_value(name, reference, _text(name, reference, answers[reference.arn]))
    return found


def _text(name: str, reference: SecretRef, answer: Mapping[str, Any]) -> str:
    """The text in an answer, which both services give in a form of their own."""
    given = answer if reference.service == SECRETS_MANAGER else answer.get("Parameter") or {}
    text = given.get("SecretString" if reference.service == SECRETS_MANAGER else "Value")
    if isinstance(text, str):
        return text
    kind = "it is binary, and a variable holds text" if given.get("SecretBinary") is not None else "the answer holds no value"
    raise ConfigError(kind, where=f"secret {name} ({reference.arn})", remedy="store it as text, for example in base64")


def asked(reference: SecretRef) -> Dict[str, Any]:
    """The parameters of the request for a secret."""
    if reference.service == SECRETS_MANAGER:
        return {"SecretId": reference.arn}
    return {"Name": reference.arn, "WithDecryption": True}


def service_endpoint(environ: Mapping[str, str], service: str) -> Optional[str]:
    """The address that variables name for a service, in the order of the AWS SDKs; None where they name none."""
    if environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    own = "AWS_ENDPOINT_URL_" + ("SECRETS_MANAGER" if service == SECRETS_MANAGER else service.upper())
    return (environ.get(own) or environ.get("AWS_ENDPOINT_URL") or "").rstrip("/") or None


class BotoReader:
    """Secrets by boto3."""

    title = "boto3"

    def __init__(self, environ: Mapping[str, str]) -> None:
        try:
            self._boto3 = importlib.import_module("boto3")
            self._config = importlib.import_module("botocore.config").Config
            self._errors = importlib.import_module("botocore.exceptions")
            # A broken installation fails in many ways, and secrets can be had without it.
        except Exception as error:
            raise Unusable(f"boto3 cannot be imported ({error!r})") from None
        self._environ = environ
        self._clients: Dict[Tuple[str, str], Any] = {}

    def read(self, name: str, reference: SecretRef) -> Mapping[str, Any]:
        """The service's answer."""
        errors = self._errors
        try:
            client = self._client(reference)
            call = client.get_secret_value if reference.service == SECRETS_MANAGER else client.get_parameter
            answer: Mapping[str, Any] = call(**asked(reference))
            return answer
        except errors.ClientError as error:
            told = error.response.get("Error", {})
            raise refused(name, reference, str(told.get("Code", "")), mask_text(str(told.get("Message", "")))) from None
        except (errors.NoCredentialsError, errors.PartialCredentialsError, errors.CredentialRetrievalError) as error:
            raise _no_credentials(name, reference, mask_text(str(error))) from None
        except errors.BotoCoreError as error:
            server = service_endpoint(self._environ, reference.service) or _server(reference)
            raise unreachable(name, reference, mask_text(str(error)), urlsplit(server).netloc) from None

    def _client(self, reference: SecretRef) -> Any:
        place = (reference.service, reference.region)
        if place not in self._clients:
            environ = self._environ
            session = self._boto3.session.Session(
                aws_access_key_id=environ.get("AWS_ACCESS_KEY_ID") or None,
                aws_secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY") or None,
                aws_session_token=environ.get("AWS_SESSION_TOKEN") or None,
            )
            self._clients[place] = session.client(
                reference.service,
                region_name=reference.region,
                endpoint_url=service_endpoint(environ, reference.service),
                config=self._config(
                    retries={"mode": "standard", "max_attempts": ATTEMPTS},
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=READ_SECONDS,
                ),
            )
        return self._clients[place]


class CommandReader:
    """Secrets by the aws command; their names are on its command line, never their values."""

    title = "the aws command"

    def __init__(self, environ: Mapping[str, str], say: Say) -> None:
        program = shutil.which("aws", path=environ.get("PATH"))
        if program is None:
            raise Unusable("there is no aws command on PATH")
        self._program = program
        self._environ = {**environ, "AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": str(ATTEMPTS), "AWS_PAGER": ""}
        self._say = say

    def read(self, name: str, reference: SecretRef) -> Mapping[str, Any]:
        """The service's answer."""
        words = [reference.service]
        if reference.service == SECRETS_MANAGER:
            words += ["get-secret-value", "--secret-id", reference.arn]
        else:
            words += ["get-parameter", "--name", reference.arn, "--with-decryption"]
        words += ["--region", reference.region, "--output", "json"]
        words += ["--cli-connect-timeout", str(CONNECT_SECONDS), "--cli-read-timeout", str(READ_SECONDS)]
        endpoint = service_endpoint(self._environ, reference.service)
        if endpoint:
            words += ["--endpoint-url", endpoint]
        try:
            answer = json.loads(run_aws(self._program, words, self._environ, f"secret {name}", self._say))
        except ConfigError as error:
            raise self._failed(name, reference, error.what) from None
        except (ValueError, Missing):
            raise ConfigError("the aws command's answer cannot be read", where=f"secret {name} ({reference.arn})") from None
        if not isinstance(answer, dict):
            raise ConfigError("the aws command's answer cannot be read", where=f"secret {name} ({reference.arn})")
        return answer

    def _failed(self, name: str, reference: SecretRef, said: str) -> ConfigError:
        match = re.search(r"An error occurred \((\w+)\) when calling the \w+ operation(?: \([^)]*\))?: (.*)", said, re.DOTALL)
        if match:
            return refused(name, reference, match[1], match[2])
        if "credentials" in said:
            return _no_credentials(name, reference, said)
        server = service_endpoint(self._environ, reference.service) or _server(reference)
        return unreachable(name, reference, said, urlsplit(server).netloc)


class SignedReader:
    """Secrets by signed requests."""

    title = "signed requests"

    def __init__(self, environ: Mapping[str, str], say: Say, wait: Callable[[float], None] = time.sleep) -> None:
        self._environ = environ
        self._say = say
        self._wait = wait
        self._credentials = credentials_of(environ)

    def read(self, name: str, reference: SecretRef) -> Mapping[str, Any]:
        """The service's answer; what passes by itself is tried again, for longer and longer pauses of random length."""
        url = (service_endpoint(self._environ, reference.service) or _server(reference)) + "/"
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = json.loads(self._post(url, reference))
                if not isinstance(answer, dict):
                    raise ValueError("the answer is no JSON object")
                return answer
            except urllib.error.HTTPError as error:
                code, said = _said(error)
                if "ExpiredToken" in code and attempt == 1:
                    self._credentials = credentials_of(self._environ)
                    continue
                if error.code < 500 and error.code != 429 and not _PASSING.search(code):
                    raise refused(name, reference, code or f"HTTP {error.code}", mask_text(said)) from None
                reason = f"HTTP {error.code} {code}".rstrip()
            except (OSError, ValueError, http.client.HTTPException) as error:
                # An answer's text is not repeated: it may hold the secret.
                reason = "the answer is no JSON" if isinstance(error, ValueError) else mask_text(_why(error))
            if attempt < ATTEMPTS:
                pause = random.uniform(FIRST_PAUSE / 2, min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt))  # noqa: S311
                self._say(f"secret {name}: {reason}; trying again in {pause:.1f} s")
                self._wait(pause)
        raise unreachable(name, reference, reason, urlsplit(url).netloc)

    def _post(self, url: str, reference: SecretRef) -> bytes:
        body = json.dumps(asked(reference)).encode()
        content = {"content-type": "application/x-amz-json-1.1", "x-amz-target": _TARGETS[reference.service]}
        headers = signed_headers(
            "POST",
            url,
            self._credentials,
            reference.region,
            reference.service,
            datetime.now(timezone.utc),
            hashlib.sha256(body).hexdigest(),
            content,
        )
        with open_url(self._environ, url, headers, timeout=READ_SECONDS, method="POST", data=body) as answer:
            return bytes(answer.read(1 << 20))


def _server(reference: SecretRef) -> str:
    return f"https://{reference.service}.{reference.region}.{domain_suffix(reference.region)}"


def _why(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error or type(error).__name__)


def _said(error: urllib.error.HTTPError) -> Tuple[str, str]:
    """The service's code and message."""
    try:
        document = json.loads(error.read(1 << 16).decode("utf-8", "replace"))
        code = str(document.get("__type") or error.headers.get("x-amzn-ErrorType") or "")
        return code.split(":")[0].rpartition("#")[2], str(document.get("message") or document.get("Message") or "")
    except (OSError, ValueError, AttributeError, http.client.HTTPException):
        return str(error.headers.get("x-amzn-ErrorType") or "").split(":")[0], ""


def _no_credentials(name: str, reference: SecretRef, said: str) -> ConfigError:
    return ConfigError(f"there are no AWS credentials: {said}", where=f"secret {name} ({reference.arn})", remedy=NO_CREDENTIALS)
