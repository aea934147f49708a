"""The environment of a client of the sandbox."""

from __future__ import annotations

import json
import os
from typing import Dict, Mapping

# What a client must not have, so that it talks to the sandbox and to nothing else.
_FOREIGN = frozenset(
    (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_DEFAULT_PROFILE",
        "AWS_ENDPOINT_URL",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "AWS_PROFILE",
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    )
)


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


def sdk_settings(bucket: str) -> str:
    """Configuration of the SageMaker SDK: its default bucket, and that it tells nobody of its use; JSON is YAML, too."""
    modules = {"Session": {"DefaultS3Bucket": bucket}, "TelemetryOptOut": True}
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
