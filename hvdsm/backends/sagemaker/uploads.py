"""What a request names on this machine, and where in S3 it goes; pure but for looking at paths."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple
from urllib.parse import urlparse

from hvdsm.compose.cloud import BUNDLE_FILE, CODE_CHANNEL, channel_for_all, with_program
from hvdsm.compose.request import PROGRAM, SUBMIT_DIRECTORY, file_path
from hvdsm.errors import ConfigError, UsageError

# Source: the S3 user guide, "General purpose bucket naming rules".
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
SOURCE_NAME = "sourcedir.tar.gz"
SOURCE = "source"
CHANNEL = "channel"
PROGRAM_FILE = "program"


@dataclass(frozen=True)
class Upload:
    """Something that goes to S3 before the job is created.

    Attributes:
        kind: ``source`` (packed as tar.gz unless it is one already), ``channel`` (a file or directory as it is) or ``program``
            (hvdsm's own, made on the spot).
        title: for messages.
        path: where it is on this machine; empty for the program.
        uri: ``s3://`` address: of the object, or of the folder for a directory.
        entry: the entry point, which belongs to the source even where it is ignored.
    """

    kind: str
    title: str
    path: str
    uri: str
    entry: Optional[str] = None


def placed_in_s3(request: Mapping[str, Any], prefix: str, program: Optional[bytes]) -> Tuple[Dict[str, Any], Tuple[Upload, ...]]:
    """The request with ``s3://`` in place of every file of this machine, and what has to be uploaded for it.

    Args:
        request: a CreateTrainingJob request; ``file://`` may stand for the source, channels and the output.
        prefix: ``s3://bucket/prefix``; the job's own things go below ``prefix/JOB-NAME/``.
        program: the container program's bytes, to be shipped as a channel; None when the image has it.

    Raises:
        ConfigError: a file does not exist, or checkpoints are to go to this machine.
        UsageError: see :func:`hvdsm.compose.cloud.with_program`.
    """
    prefix = prefix.rstrip("/")
    own = f"{prefix}/{request['TrainingJobName']}"
    changed, uploads = dict(request), list[Upload]()
    _source(changed, own, uploads)
    _data(changed, own, uploads)
    output = dict(changed.get("OutputDataConfig") or {})
    if not output.get("S3OutputPath") or str(output["S3OutputPath"]).startswith("file://"):
        changed["OutputDataConfig"] = {**output, "S3OutputPath": prefix}
    checkpoint = (changed.get("CheckpointConfig") or {}).get("S3Uri")
    if isinstance(checkpoint, str) and checkpoint.startswith("file://"):
        raise ConfigError(
            f"{file_path(checkpoint)} is on this machine, where no instance can write",
            where="CheckpointConfig.S3Uri",
            remedy=f"--checkpoint {own}/checkpoints",
        )
    if program is not None:
        folder = f"{prefix}/program/{hashlib.sha256(program).hexdigest()[:16]}"
        changed = with_program(changed, folder + "/")
        uploads.append(Upload(PROGRAM_FILE, "container program", "", f"{folder}/{BUNDLE_FILE}"))
    return changed, tuple(uploads)


def _source(request: Dict[str, Any], own: str, uploads: List[Upload]) -> None:
    values: Dict[str, str] = dict(request.get("HyperParameters") or {})
    raw = values.get(SUBMIT_DIRECTORY)
    if raw is None:
        return
    uri, encoded = decode_text(raw)
    if not uri.startswith("file://"):
        return
    path = file_path(uri)
    if not os.path.exists(path):
        raise ConfigError("does not exist", where=f"source {path}", remedy="check the path")
    entry = decode_text(values[PROGRAM])[0] if PROGRAM in values else None
    target = f"{own}/source/{SOURCE_NAME}"
    uploads.append(Upload(SOURCE, "source", path, target, entry))
    if request.get("EnableNetworkIsolation"):
        # The container reaches no S3 then: the service brings the source as data.
        _add_channel(request, CODE_CHANNEL, f"{own}/source/")
        target = f"/opt/ml/input/data/{CODE_CHANNEL}/{SOURCE_NAME}"
    values[SUBMIT_DIRECTORY] = json.dumps(target) if encoded else target
    request["HyperParameters"] = values


def _add_channel(request: Dict[str, Any], name: str, uri: str) -> None:
    channels = list(request.get("InputDataConfig") or ())
    if any(channel.get("ChannelName") == name for channel in channels):
        raise UsageError(
            f"the name {name} is taken: under network isolation the source comes as that channel",
            where=f"channel {name}",
            remedy="choose another name for the channel",
        )
    request["InputDataConfig"] = [*channels, channel_for_all(request, name, uri)]


def _data(request: Dict[str, Any], own: str, uploads: List[Upload]) -> None:
    channels: List[Dict[str, Any]] = []
    for channel in request.get("InputDataConfig") or ():
        source = (channel.get("DataSource") or {}).get("S3DataSource") or {}
        uri = source.get("S3Uri")
        if not isinstance(uri, str) or not uri.startswith("file://"):
            channels.append(channel)
            continue
        name, path = channel["ChannelName"], file_path(uri)
        if not os.path.exists(path) or (
            os.path.isdir(path) and not any(files for _, _, files in os.walk(path, followlinks=True))
        ):
            problem = "is empty" if os.path.isdir(path) else "does not exist"
            raise ConfigError(f"{path} {problem}", where=f"channel {name}", remedy=f"--channel {name}=PATH, or s3://…")
        folder = f"{own}/input/{name}/"
        target = folder if os.path.isdir(path) else folder + os.path.basename(path)
        uploads.append(Upload(CHANNEL, f"channel {name}", path, target))
        channels.append({**channel, "DataSource": {"S3DataSource": {**source, "S3Uri": folder}}})
    if channels:
        request["InputDataConfig"] = channels


def decode_text(raw: str) -> Tuple[str, bool]:
    """A hyperparameter's text, and whether it was JSON-encoded."""
    try:
        value = json.loads(raw)
    except ValueError:
        return raw, False
    return (value, True) if isinstance(value, str) else (raw, False)


def check_prefix(prefix: str) -> str:
    """``s3://bucket/prefix`` without a slash at its end.

    Raises:
        UsageError: it is something else.
    """
    parsed = urlparse(prefix)
    if parsed.scheme != "s3" or not _BUCKET.fullmatch(parsed.netloc) or parsed.query or parsed.fragment:
        raise UsageError(
            f"must be s3://BUCKET/PREFIX, not {prefix!r}", where="--s3-prefix", remedy="--s3-prefix s3://my-bucket/jobs"
        )
    return prefix.rstrip("/")
