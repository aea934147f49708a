"""Brings hvdsm's container program to an estimator's image: as a channel, as ``hvdsm launch --backend sagemaker`` does."""

from __future__ import annotations

import hashlib
from typing import Any, Dict, Tuple
from urllib.parse import urlparse

from hvdsm.bundle import build
from hvdsm.compose.cloud import BUNDLE_CHANNEL, BUNDLE_FILE
from hvdsm.compose.problems import shown
from hvdsm.errors import UsageError


def with_program_channel(estimator: Any, inputs: Any) -> Dict[str, Any]:
    """The inputs of ``fit`` and the channel with the program, which is uploaded now unless it is there.

    Args:
        estimator: the estimator.
        inputs: what ``fit`` was given.

    Raises:
        UsageError: the inputs have a channel of that name, or cannot have a further one.
    """
    channels = as_channels(inputs)
    if BUNDLE_CHANNEL in channels:
        raise UsageError(
            f"the name {BUNDLE_CHANNEL} is taken by the container program",
            where=f"channel {BUNDLE_CHANNEL}",
            remedy="choose another name for the channel, or bring_hvdsm=False",
        )
    from sagemaker.inputs import TrainingInput

    uri = upload(estimator)
    grouped = any((_source(channel)).get("InstanceGroupNames") for channel in channels.values())
    # Where a channel names instance groups, every channel has to.
    groups = [group.instance_group_name for group in estimator.instance_groups or ()] if grouped else None
    return {**channels, BUNDLE_CHANNEL: TrainingInput(uri, input_mode="File", instance_groups=groups)}


def as_channels(inputs: Any) -> Dict[str, Any]:
    """What ``fit`` takes as one dict of channels; a single place is the channel ``training``, as the SDK names it.

    Raises:
        UsageError: records of the built-in algorithms, which no container program reads.
    """
    if inputs is None:
        return {}
    if isinstance(inputs, dict):
        return dict(inputs)
    if isinstance(inputs, (list, tuple)) or hasattr(inputs, "data_channel"):
        raise UsageError(
            f"must be a dict of channels, not {shown(inputs)}",
            where="fit(inputs)",
            remedy='fit({"train": "s3://…"}), or bring_hvdsm=False',
        )
    return {"training": inputs}


def upload(estimator: Any) -> str:
    """Put the program into S3, unless it is there, and return its folder.

    It goes where the source goes: to ``code_location``, else to the bucket of ``output_path``, else to the session's default one.
    """
    content = build()
    bucket, prefix = _place(estimator)
    key = "/".join(part for part in (prefix, "program", hashlib.sha256(content).hexdigest()[:16], BUNDLE_FILE) if part)
    session = estimator.sagemaker_session
    client = session.boto_session.client("s3", region_name=session.boto_region_name)
    if not _is_there(client, bucket, key, len(content)):
        encryption = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": estimator.output_kms_key} if estimator.output_kms_key else {}
        )
        client.put_object(Bucket=bucket, Key=key, Body=content, **encryption)
    return f"s3://{bucket}/{key.rpartition('/')[0]}/"


def _place(estimator: Any) -> Tuple[str, str]:
    if estimator.code_location:
        parsed = urlparse(str(estimator.code_location))
        return parsed.netloc, parsed.path.strip("/")
    output = estimator.output_path
    if isinstance(output, str) and output.startswith("s3://"):
        return urlparse(output).netloc, "hvdsm"
    session = estimator.sagemaker_session
    return str(session.default_bucket()), "/".join(filter(None, (getattr(session, "default_bucket_prefix", None), "hvdsm")))


def _is_there(client: Any, bucket: str, key: str, size: int) -> bool:
    """Whether the object is there: its address follows from its bytes, so the size tells whether it is whole."""
    from botocore.exceptions import ClientError

    try:
        return bool(client.head_object(Bucket=bucket, Key=key)["ContentLength"] == size)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound", "403"):
            # Without the right to list, S3 says 403 of what is not there.
            return False
        raise


def _source(channel: Any) -> Dict[str, Any]:
    config = getattr(channel, "config", None) or {}
    return dict((config.get("DataSource") or {}).get("S3DataSource") or {})
