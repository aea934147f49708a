"""The environment of a client of the sandbox."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Dict, Mapping, Optional

from hvdsm.sandbox.profiles import config_text, credentials_text, own_profiles
from hvdsm.sandbox.site import DIRECTORY

# Tells the hook in hvdsm.sandbox.site where the sandbox is.
URL = "HVDSM_SANDBOX_URL"

# What a client must not have, so that it talks to the sandbox and to nothing else.
_FOREIGN = frozenset(
    (
        "AWS_ACCOUNT_ID",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_DEFAULT_PROFILE",
        "AWS_ENDPOINT_URL",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "AWS_PROFILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_SECURITY_TOKEN",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    )
)
_LOOPBACK = ("127.0.0.1", "localhost")


def without_foreign(environ: Mapping[str, str]) -> Dict[str, str]:
    """An environment without what would lead the AWS SDKs elsewhere."""
    return {k: v for k, v in environ.items() if k not in _FOREIGN and not k.startswith("AWS_ENDPOINT_URL_")}


def with_sdk_settings(environ: Mapping[str, str], path: str) -> Dict[str, str]:
    """The environment with a configuration file of the SageMaker SDK, where none of one's own is named already.

    The SDK 2 asks an address of STS that nothing can change for the account, unless a default bucket is configured; settings of
    the file that SAGEMAKER_USER_CONFIG_OVERRIDE names win over those of the administrator's.
    """
    for name in ("SAGEMAKER_ADMIN_CONFIG_OVERRIDE", "SAGEMAKER_USER_CONFIG_OVERRIDE"):
        if name not in environ:
            return {**environ, name: path}
    return dict(environ)


def sdk_settings(bucket: Optional[str]) -> str:
    """Configuration of the SageMaker SDK: its default bucket, and that it tells nobody of its use; JSON is YAML, too."""
    modules: Dict[str, object] = {"TelemetryOptOut": True}
    if bucket is not None:
        modules = {"Session": {"DefaultS3Bucket": bucket}, **modules}
    return json.dumps({"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": modules}}}, indent=2) + "\n"


def variables(url: str, access_key: str, region: str) -> Dict[str, str]:
    """Variables that make the AWS SDKs talk to a sandbox."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": "sandbox",
        "AWS_SESSION_TOKEN": "sandbox",
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def past_proxies(environ: Mapping[str, str]) -> Dict[str, str]:
    """The environment with loopback among what a client reaches without a proxy, in both spellings, the lower one going first."""
    given = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    names = [name.strip() for name in given.split(",") if name.strip()]
    if "*" not in names:
        names += [name for name in _LOOPBACK if name not in names]
    return {**environ, "no_proxy": ",".join(names), "NO_PROXY": ",".join(names)}


def client_variables(environ: Mapping[str, str], directory: str, own: Mapping[str, str], bucket: str) -> Dict[str, str]:
    """An environment for programs that know where the sandbox is by its variables alone.

    Args:
        environ: the environment to begin with.
        directory: gets files.
        own: what :func:`variables` gives.
        bucket: default bucket of the SageMaker SDK, which could not ask for its account.
    """
    path = _write(directory, "sagemaker-sdk.yaml", sdk_settings(bucket))
    return past_proxies({**with_sdk_settings(without_foreign(environ), path), **own})


def script_variables(environ: Mapping[str, str], directory: str, own: Mapping[str, str], region: str) -> Dict[str, str]:
    """An environment for unmodified scripts and notebooks of a person who has AWS profiles, or none.

    Python programs in it import the hook of :mod:`hvdsm.sandbox.site`, so that addresses of AWS lead to the sandbox, too.  The
    person's profiles are there by their names and regions, with the sandbox's credentials.

    Args:
        environ: the person's environment.
        directory: gets files.
        own: what :func:`variables` gives.
        region: the sandbox's.
    """
    profiles = own_profiles(environ)
    credentials = {name.lower(): own[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")}
    found = {
        **with_sdk_settings(without_foreign(environ), _write(directory, "sagemaker-script.yaml", sdk_settings(None))),
        **own,
        "AWS_CONFIG_FILE": _write(directory, "aws-config", config_text(profiles, region)),
        "AWS_SHARED_CREDENTIALS_FILE": _write(directory, "aws-credentials", credentials_text(profiles, credentials)),
        URL: own["AWS_ENDPOINT_URL"],
    }
    if any(profiles.values()) and not (environ.get("AWS_DEFAULT_REGION") or environ.get("AWS_REGION")):
        # Regions of profiles count, as they do without the sandbox.
        del found["AWS_DEFAULT_REGION"], found["AWS_REGION"]
    others = [place for place in environ.get("PYTHONPATH", "").split(os.pathsep) if place and place != DIRECTORY]
    return past_proxies({**found, "PYTHONPATH": os.pathsep.join([DIRECTORY, *others])})


def _write(directory: str, name: str, text: str) -> str:
    """Write a file for its owner alone, whole or not at all: another thread may do the same."""
    path = os.path.join(directory, name)
    if not os.path.exists(path):
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=directory, delete=False) as file:
            file.write(text)
        os.replace(file.name, path)
    return path
