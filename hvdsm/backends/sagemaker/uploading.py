"""Uploads what a plan names, and says how it goes on."""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any, Callable, Optional

from hvdsm.backends.sagemaker.plan import SageMakerPlan
from hvdsm.backends.sagemaker.uploads import CHANNEL, PROGRAM_FILE, Upload
from hvdsm.backends.source import write_archive

Say = Callable[[str], None]
# Seconds between two words about an upload that takes long.
PAUSE = 2.0


def upload_one(aws: Any, plan: SageMakerPlan, upload: Upload, kms: Optional[str], say: Say) -> str:
    """Upload one thing; the words about it when it is done.

    Raises:
        ConfigError: a file cannot be read, or S3 refuses.
        CloudUnavailable: S3 cannot be reached.
    """
    if upload.kind == PROGRAM_FILE:
        return _program(aws, plan, upload, kms)
    if upload.kind == CHANNEL:
        return _channel(aws, upload, kms, say)
    return _source(aws, plan, upload, kms, say)


def _program(aws: Any, plan: SageMakerPlan, upload: Upload, kms: Optional[str]) -> str:
    from hvdsm.aws.storage import find_object, put_bytes

    assert plan.program is not None
    # Its address follows from its bytes: what is there with that size is the same.
    there = find_object(aws, upload.uri)
    if there is not None and there.size == len(plan.program):
        return f"{upload.uri} is there already"
    put_bytes(aws, plan.program, upload.uri, kms=kms)
    return f"{len(plan.program):,} bytes to {upload.uri}"


def _channel(aws: Any, upload: Upload, kms: Optional[str], say: Say) -> str:
    from hvdsm.aws.storage import upload_file, upload_tree

    told = progress(upload.title, say)
    if os.path.isdir(upload.path):
        files, size = upload_tree(aws, upload.path, upload.uri, kms=kms, progress=told)
        return f"{files} file{'s' if files != 1 else ''}, {size:,} bytes to {upload.uri}"
    upload_file(aws, upload.path, upload.uri, kms=kms, progress=told)
    return f"{os.path.getsize(upload.path):,} bytes to {upload.uri}"


def _source(aws: Any, plan: SageMakerPlan, upload: Upload, kms: Optional[str], say: Say) -> str:
    from hvdsm.aws.storage import upload_file

    told = progress(upload.title, say)
    if os.path.isfile(upload.path) and upload.path.endswith((".tar.gz", ".tgz")):
        upload_file(aws, upload.path, upload.uri, kms=kms, progress=told)
        return f"{os.path.getsize(upload.path):,} bytes to {upload.uri}"
    directory, names = (upload.path, plan.source) if plan.source else _single(upload.path)
    with tempfile.NamedTemporaryFile(prefix="hvdsm-source-", suffix=".tar.gz") as file:
        archive = write_archive(directory, names, file)
        file.flush()
        upload_file(aws, file.name, upload.uri, kms=kms, progress=told)
    count = f"{archive.files} file{'s' if archive.files != 1 else ''}"
    return f"{count}, {archive.content:,} bytes, packed {archive.size:,} bytes to {upload.uri}"


def _single(path: str) -> tuple[str, tuple[str, ...]]:
    directory, name = os.path.split(path)
    return directory, (name,)


def progress(title: str, say: Say, clock: Callable[[], float] = time.monotonic) -> Callable[[int], None]:
    """What is told of bytes that have gone, and says how many, every two seconds."""
    sent, due = 0, clock() + PAUSE

    def told(size: int) -> None:
        nonlocal sent, due
        sent += size
        if clock() >= due:
            due = clock() + PAUSE
            say(f"{title}: {sent / 1e6:,.0f} MB so far")

    return told
