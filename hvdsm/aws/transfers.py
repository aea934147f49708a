"""Files to S3 and back, by the transfer manager that boto3 uses: in parts, several at a time."""

from __future__ import annotations

import errno
import os
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple

from hvdsm.aws.counts import Count, Progress, Transferred
from hvdsm.aws.etags import is_same
from hvdsm.aws.failures import is_passing, patiently, translated
from hvdsm.aws.objects import Object, check_key, encryption, split_uri
from hvdsm.aws.places import keyed, tree_files
from hvdsm.aws.session import Aws
from hvdsm.errors import ConfigError

Say = Callable[[str], None]
# Size of a part of a large object, which its ETag depends on.
PART = 8 << 20
# Requests at a time, and files.
CONCURRENCY = 10
_WINDOW = 200
_FULL = (errno.ENOSPC, errno.EDQUOT)
# How long a transfer waits for the network, or for S3, to come back, where somebody is told of it; seconds.
PATIENCE = 120.0


@dataclass
class _Task:
    """One file on its way."""

    path: str
    bucket: str
    key: str
    size: int

    @property
    def uri(self) -> str:
        """The object's address."""
        return f"s3://{self.bucket}/{self.key}"


def upload_file(
    aws: Aws,
    path: str,
    uri: str,
    *,
    kms: Optional[str] = None,
    progress: Optional[Progress] = None,
    say: Optional[Say] = None,
) -> None:
    """Write a file to an object; a large one in parts.

    Args:
        aws: the session.
        path: the file.
        uri: ``s3://`` address of the object.
        kms: key ID or ARN of the KMS key that encrypts it; the bucket's own setting by default.
        progress: is told of bytes.
        say: is told of a wait for the network or for S3; without it there is none.

    Raises:
        ConfigError: the file cannot be read, or S3 refuses.
        CloudUnavailable: S3 cannot be reached.
    """
    upload_files(aws, [(path, uri)], kms=kms, progress=progress, say=say)


def upload_tree(
    aws: Aws,
    directory: str,
    uri: str,
    *,
    kms: Optional[str] = None,
    progress: Optional[Progress] = None,
    say: Optional[Say] = None,
) -> Tuple[int, int]:
    """Write all files below a directory to objects below a folder; see :func:`tree_files` for what is no file.

    Args:
        aws: the session.
        directory: the directory.
        uri: ``s3://`` address of the folder.
        kms: KMS key, as of :func:`upload_file`.
        progress: is told of bytes.
        say: is told of a wait.

    Returns:
        Number of files, and of their bytes.

    Raises:
        ConfigError: something below it cannot be uploaded, or S3 refuses.
        CloudUnavailable: S3 cannot be reached.
    """
    names = [name for name, _ in tree_files(directory)]
    done = upload_files(aws, keyed(directory, names, uri), kms=kms, progress=progress, say=say)
    return done.files, done.size


def upload_files(
    aws: Aws,
    files: Sequence[Tuple[str, str]],
    *,
    kms: Optional[str] = None,
    progress: Optional[Progress] = None,
    say: Optional[Say] = None,
    known: Optional[Mapping[str, Object]] = None,
    clock: Callable[[], float] = time.monotonic,
    wait: Optional[Callable[[float], Any]] = None,
) -> Transferred:
    """Write files to objects.

    Args:
        aws: the session.
        files: path of each file, and ``s3://`` address of its object.
        kms: KMS key, as of :func:`upload_file`.
        progress: is told of bytes, those of files that are there already included.
        say: is told of a wait.
        known: objects that are there, by key: a file with an object's content is not sent again, so that an upload which was
            broken off goes on.  With a KMS key all are sent, since what is there by another key cannot be compared.
        clock: gives seconds.
        wait: waits so many seconds.

    Raises:
        ConfigError: a file cannot be read, or S3 refuses.
        CloudUnavailable: S3 cannot be reached.
    """
    done = Transferred()
    tasks = [_checked(path, uri) for path, uri in files]
    wanted = []
    for task in tasks:
        there = None if kms or known is None else known.get(task.key)
        if there is not None and _has(aws, task, there, done, progress):
            continue
        wanted.append(task)

    def submit(manager: Any, task: _Task, subscribers: List[Any]) -> Any:
        return manager.upload(task.path, task.bucket, task.key, extra_args=encryption(kms), subscribers=subscribers)

    run = _rounds(aws, wanted, submit, "upload it", done, progress)
    patiently(run, say=say or _nobody, limit=PATIENCE if say else 0.0, clock=clock, wait=wait)
    return done


def download(aws: Aws, uri: str, target: str, *, progress: Optional[Progress] = None, say: Optional[Say] = None) -> int:
    """Write an object to a file, which appears when it is whole.

    Args:
        aws: the session.
        uri: ``s3://`` address of the object.
        target: the file; directories above it are made.
        progress: is told of bytes.
        say: is told of a wait.

    Returns:
        Its bytes.

    Raises:
        ConfigError: there is no such object, S3 refuses, or the file cannot be written.
        CloudUnavailable: S3 cannot be reached.
    """
    bucket, key = split_uri(uri)
    check_key(key, target)
    return download_files(aws, bucket, [(Object(key, 0, ""), target)], progress=progress, say=say, compare=False).size


def download_files(
    aws: Aws,
    bucket: str,
    wanted: Sequence[Tuple[Object, str]],
    *,
    progress: Optional[Progress] = None,
    say: Optional[Say] = None,
    compare: bool = True,
    clock: Callable[[], float] = time.monotonic,
    wait: Optional[Callable[[float], Any]] = None,
) -> Transferred:
    """Write objects to files, each of which appears when it is whole.

    Args:
        aws: the session.
        bucket: the bucket of all.
        wanted: each object, and its file; see :func:`hvdsm.aws.places.targets` for files that keys may name.
        progress: is told of bytes, those of files that are there already included.
        say: is told of a wait.
        compare: whether files that have an object's content already are left as they are.
        clock: gives seconds.
        wait: waits so many seconds.

    Raises:
        ConfigError: an object is not there, S3 refuses, or a file cannot be written.
        CloudUnavailable: S3 cannot be reached.
    """
    done, tasks = Transferred(), []
    for entry, path in wanted:
        task = _Task(path, bucket, entry.key, entry.size)
        if not compare or not _has(aws, task, entry, done, progress):
            tasks.append(task)
    for directory in sorted({os.path.dirname(os.path.abspath(task.path)) for task in tasks}):
        try:
            os.makedirs(directory, exist_ok=True)
        except OSError as error:
            raise ConfigError(error.strerror or str(error), where=directory, remedy="choose another target") from None

    def submit(manager: Any, task: _Task, subscribers: List[Any]) -> Any:
        return manager.download(task.bucket, task.key, task.path, subscribers=subscribers)

    run = _rounds(aws, tasks, submit, "download it", done, progress)
    patiently(run, say=say or _nobody, limit=PATIENCE if say else 0.0, clock=clock, wait=wait)
    return done


def _has(aws: Aws, task: _Task, entry: Object, done: Transferred, progress: Optional[Progress]) -> bool:
    """Whether the file has the object's content, which is counted then."""
    if not os.path.isfile(task.path) or os.path.getsize(task.path) != entry.size:
        return False
    count = Count(progress, threading.Lock())
    if not is_same(aws, task.path, task.bucket, entry, count.tell):
        count.take_back()
        return False
    done.present += 1
    done.present_size += entry.size
    return True


def _checked(path: str, uri: str) -> _Task:
    bucket, key = split_uri(uri)
    check_key(key, path)
    if not os.path.isfile(path):
        raise ConfigError("there is no such file", where=path, remedy="check the path")
    if not os.access(path, os.R_OK):
        raise ConfigError("may not be read", where=path, remedy=f"chmod u+r {path}, or leave it out")
    return _Task(path, bucket, key, os.path.getsize(path))


def _rounds(
    aws: Aws,
    tasks: List[_Task],
    submit: Callable[[Any, _Task, List[Any]], Any],
    doing: str,
    done: Transferred,
    progress: Optional[Progress],
) -> Callable[[], None]:
    """What runs all tasks; called again after a failure it runs those that are left."""
    left = list(tasks)
    lock = threading.Lock()

    def finish(pair: Tuple[_Task, Any, Count]) -> None:
        task, future, count = pair
        try:
            with translated(doing, task.uri):
                try:
                    future.result()
                except OSError as error:
                    raise _local(error, task.path) from error
        except Exception:
            count.take_back()
            raise
        left.remove(task)
        done.files += 1
        done.size += int(future.meta.size or 0)

    def run() -> None:
        if not left:
            return
        from s3transfer.manager import TransferConfig, TransferManager

        config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_request_concurrency=CONCURRENCY)
        failure: Optional[Exception] = None
        under_way: List[Tuple[_Task, Any, Count]] = []
        # An error or an interrupt in here ends what is under way, and removes the parts of objects.
        with TransferManager(aws.client("s3"), config) as manager:
            for task in [*left]:
                count = Count(progress, lock)
                under_way.append((task, submit(manager, task, count.subscribers()), count))
                while under_way and (len(under_way) >= _WINDOW or task is left[-1] or failure):
                    try:
                        finish(under_way.pop(0))
                    except Exception as error:
                        if not is_passing(error):
                            raise
                        failure = failure or error
                if failure:
                    break
        if failure:
            raise failure

    return run


def _local(error: OSError, path: str) -> ConfigError:
    remedy = "make room, or choose another place" if error.errno in _FULL else "check the path and its permissions"
    return ConfigError(error.strerror or str(error), where=str(error.filename or path), remedy=remedy)


def _nobody(_text: str) -> None:
    """Tell nobody."""
