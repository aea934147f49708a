"""A TensorBoard logger whose ``save_dir`` may be an address ``s3://BUCKET/PREFIX``.

TensorBoard's event files grow, and objects on S3 do not.  So the files are written to a directory of this machine, and a thread
copies those that have grown to S3: every ``flush_secs`` seconds, when the training ends, and when it fails.  TensorBoard shows
them while the training runs (``tensorboard --logdir s3://BUCKET/PREFIX``).  Nothing but boto3 is needed, whose own settings
(AWS_ENDPOINT_URL, ...) count.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import threading
import weakref
from typing import Any, Dict, Optional, Tuple, Union

from cluster import is_first
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

TRIES = 5


def default_save_dir() -> str:
    """``tensorboard`` below SageMaker's directory for output, else ``logs/tensorboard``."""
    return os.path.join(os.environ.get("SM_OUTPUT_DATA_DIR") or "logs", "tensorboard")


def split(uri: str) -> Tuple[str, str]:
    """Bucket and prefix of an address on S3."""
    bucket, _, prefix = uri[len("s3://") :].partition("/")
    if not bucket:
        raise SystemExit(f"train.py: logger.save_dir={uri} names no bucket")
    return bucket, prefix.strip("/")


class EventLogger(TensorBoardLogger):
    """TensorBoard, on this machine's disk or on S3.

    Args:
        save_dir: a directory, or s3://BUCKET/PREFIX.
        name: of the experiment: a directory below save_dir.
        version: of the run: a directory below that; the next free one by default.
        flush_secs: seconds between writing events out; with S3 also between copies.
    """

    def __init__(
        self,
        save_dir: str = default_save_dir(),
        name: str = "lightning_cifar",
        version: Optional[Union[int, str]] = None,
        flush_secs: float = 60,
    ) -> None:
        if flush_secs <= 0:
            raise SystemExit(f"train.py: logger.flush_secs is {flush_secs}; it must be more than 0")
        self._copies: Optional[Copies] = None
        self._every = flush_secs
        if save_dir.startswith("s3://"):
            split(save_dir)
            local = tempfile.mkdtemp(prefix="tensorboard-")
            weakref.finalize(self, shutil.rmtree, local, ignore_errors=True)
            if is_first(os.environ):
                self._copies = Copies(local, save_dir)
        else:
            local = save_dir
        super().__init__(local, name, version, default_hp_metric=False, flush_secs=flush_secs)

    @property
    def place(self) -> str:
        """Where events of this run are found in the end."""
        if self._copies is None:
            return self.log_dir
        return f"{self._copies.uri}/{os.path.relpath(self.log_dir, self._copies.directory)}"

    def _get_next_version(self) -> int:
        """The first number that no earlier run has, on S3 too; other ranks than the first write nothing and need none."""
        return self._copies.next_version(self.name) if self._copies else super()._get_next_version()

    @property
    def experiment(self) -> Any:
        """TensorBoard's writer; the copying begins with it."""
        writer = super().experiment
        if self._copies:
            self._copies.begin(self._every, self._flush)
        return writer

    def _flush(self) -> None:
        if self._experiment is not None:
            self._experiment.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write out what is left; Lightning calls this after success and after failure, once for each fit and test."""
        if self._experiment is not None:
            self._experiment.flush()
            if status == "success":
                self.save()
        if self._copies:
            self._copies.copy()

    @rank_zero_only
    def close(self) -> None:
        """Write and copy all that is left; nothing can be logged afterwards."""
        if self._experiment is not None:
            self._experiment.close()
        if self._copies:
            self._copies.end()


class Copies:
    """Copies files of a directory to S3, those that changed since they were copied.

    An error on the way is told once and tried again at the next turn: a training is worth more than its curves.  At the very
    beginning, where permissions and names are found to be wrong, it is an error.
    """

    def __init__(self, directory: str, uri: str) -> None:
        try:
            import boto3
            from botocore.config import Config
        except ImportError as error:
            raise SystemExit(f"train.py: {uri} needs boto3: pip install boto3") from error
        self.directory, self.uri = directory, uri.rstrip("/")
        self._bucket, self._prefix = split(uri)
        retries = {"max_attempts": TRIES, "mode": "standard"}
        # Few seconds to connect: a host without a way to S3 is told at once.
        self._s3 = boto3.client("s3", config=Config(connect_timeout=10, read_timeout=60, retries=retries))
        self._copied: Dict[str, Tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._failed = ""
        try:
            self._s3.list_objects_v2(Bucket=self._bucket, Prefix=self._key(""), MaxKeys=1)
        except Exception as error:
            raise SystemExit(
                f"train.py: logger.save_dir={uri} is not reached: {error}; check the bucket's name, the permissions "
                "s3:ListBucket and s3:PutObject, and the way to S3, or log to a directory"
            ) from error

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self._prefix, path) if part)

    def next_version(self, name: str) -> int:
        """The number after the greatest of ``NAME/version_N/``."""
        start = self._key(f"{name}/version_" if name else "version_")
        taken = [-1]
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start, Delimiter="/"):
            numbers = [entry["Prefix"][len(start) :].rstrip("/") for entry in page.get("CommonPrefixes", ())]
            taken += [int(number) for number in numbers if number.isdigit()]
        return max(taken) + 1

    def begin(self, every: float, flush: Any) -> None:
        """Start the thread, unless it runs; it calls ``flush`` and copies every ``every`` seconds."""
        if self._thread is not None or self._ended.is_set():
            return
        self._thread = threading.Thread(target=self._loop, args=(every, flush), name="tensorboard to S3", daemon=True)
        self._thread.start()
        atexit.register(self.end)

    def _loop(self, every: float, flush: Any) -> None:
        while not self._ended.wait(every):
            flush()
            self.copy()

    def end(self) -> None:
        """Copy what is left and end the thread; says so if something never reached S3."""
        if self._ended.is_set():
            return
        self._ended.set()
        atexit.unregister(self.end)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self.copy()
        if self._failed:
            print(f"train.py: TensorBoard's files are not complete on {self.uri}: {self._failed}", file=sys.stderr, flush=True)

    def copy(self) -> None:
        """Copy files that changed."""
        with self._lock:
            failed = ""
            for path in sorted(os.path.join(at, name) for at, _, names in os.walk(self.directory) for name in names):
                try:
                    self._copy(path)
                except Exception as error:
                    failed = str(error)
            if failed and not self._failed:
                print(f"train.py: TensorBoard to {self.uri}: {failed}; going on, tried again later", file=sys.stderr, flush=True)
            self._failed = failed

    def _copy(self, path: str) -> None:
        status = os.stat(path)
        state = (status.st_size, status.st_mtime_ns)
        if self._copied.get(path) == state:
            return
        key = self._key(os.path.relpath(path, self.directory).replace(os.sep, "/"))
        # The writer may append meanwhile: not more than the size that the request announces is read.
        with open(path, "rb") as file:
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=file.read(status.st_size))
        self._copied[path] = state
