"""Pipe mode: a channel's files as one stream through named pipes, ``/opt/ml/input/data/<channel>_<epoch>``.

A pipe of the next epoch is there before the one of this epoch is read, as in the service.  The pipes lie in directories that the
programs on the hosts may write in: they are opened by the descriptors that made them, never again by their names.

Source: the SageMaker developer guide, "How Amazon SageMaker Provides Training Information".
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
import stat
import struct
import threading
from typing import BinaryIO, Iterator, List, Optional, Sequence

from hvdsm.backends.local.data import PipeFormat
from hvdsm.errors import ConfigError

# The RecordIO format of MXNet: a magic number, 29 bits of length, the record, padded to four bytes.
_MAGIC = 0xCED7230A
_MAX_RECORD = (1 << 29) - 1
_GZIP_MAGIC = b"\x1f\x8b"
_PIECE = 1 << 20


class Feeder:
    """Streams one channel to one host, epoch after epoch, for as long as somebody reads.

    Args:
        directory: ``input/data`` of the host, on this machine.
        channel: name of the channel.
        files: paths of the files, in their order.
        form: how they are streamed.

    Attributes:
        channel: name of the channel.
        error: why the stream broke off, None while it has not.
    """

    def __init__(self, directory: str, channel: str, files: Sequence[str], form: PipeFormat) -> None:
        self.channel = channel
        self._files = tuple(files)
        self._form = form
        self._lock = threading.Lock()
        self._closed = False
        self._directory = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._pipe = -1
        try:
            self._pipe = self._make(0)
        except BaseException:
            os.close(self._directory)
            raise
        self.error: Optional[str] = None
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"hvdsm-{channel}")

    def start(self) -> None:
        """Begin to serve readers."""
        self._thread.start()

    def close(self) -> None:
        """End; the programs that read have ended."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        while self._thread.is_alive():
            with self._lock:
                if self._pipe >= 0:
                    # Somebody opens and goes at once: a writer that waits for a reader goes on, and finds that it is over.
                    os.close(os.open(f"/proc/self/fd/{self._pipe}", os.O_RDONLY | os.O_NONBLOCK))
            self._thread.join(0.02)
        with self._lock:
            for descriptor in (self._pipe, self._directory):
                if descriptor >= 0:
                    os.close(descriptor)
            self._pipe = self._directory = -1

    def _make(self, epoch: int) -> int:
        """Make the pipe of an epoch; the descriptor stands for it whatever becomes of its name."""
        name = f"{self.channel}_{epoch}"
        os.mkfifo(name, 0o666, dir_fd=self._directory)
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(f"{name} is no pipe any more")
        return descriptor

    def _run(self) -> None:
        epoch = 0
        following = -1
        try:
            while not self._closed:
                following = self._make(epoch + 1)
                self._serve(epoch)
                with self._lock:
                    os.close(self._pipe)
                    self._pipe, following = following, -1
                epoch += 1
        except (OSError, EOFError, ValueError) as error:
            self.error = str(error)
        finally:
            if following >= 0:
                os.close(following)

    def _serve(self, epoch: int) -> None:
        with open(f"/proc/self/fd/{self._pipe}", "wb", buffering=0) as target:
            if self._closed:
                return
            try:
                for path in self._order(epoch):
                    self._write(path, target)
            except BrokenPipeError:
                # The reader has had enough of this epoch.
                return

    def _order(self, epoch: int) -> List[str]:
        files = list(self._files)
        if self._form.seed is not None:
            random.Random(f"{self._form.seed}-{epoch}").shuffle(files)  # noqa: S311
        return files

    def _write(self, path: str, target: BinaryIO) -> None:
        if self._form.record_io:
            for piece in record(path, self._content(path)):
                _write_all(target, piece)
            return
        with self._open(path) as source:
            shutil.copyfileobj(source, _Whole(target), _PIECE)

    def _content(self, path: str) -> bytes:
        with self._open(path) as source:
            return source.read(_MAX_RECORD + 1)

    def _open(self, path: str) -> BinaryIO:
        if self._form.gzip:
            return gzip.open(path, "rb")  # type: ignore[return-value]
        return open(path, "rb")


class _Whole:
    """Writes all of what it is given, where a raw pipe may take a part."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target

    def write(self, data: bytes) -> int:
        _write_all(self._target, data)
        return len(data)


def _write_all(target: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[target.write(view) :]


def record(path: str, content: bytes) -> Iterator[bytes]:
    """A file as one RecordIO record.

    Raises:
        ValueError: it is longer than a record can be.
    """
    if len(content) > _MAX_RECORD:
        raise ValueError(f"{path} is too long for one RecordIO record: at most {_MAX_RECORD:,} bytes")
    yield struct.pack("<II", _MAGIC, len(content))
    yield content
    yield b"\0" * (-len(content) % 4)


def check_files(channel: str, files: Sequence[str], form: PipeFormat) -> None:
    """Find before the job what would break its stream.

    Raises:
        ConfigError: a file is not compressed although it should be, or too long for a record.
    """
    where = f"channel {channel}"
    for path in files:
        if form.gzip:
            with open(path, "rb") as file:
                if file.read(2) != _GZIP_MAGIC:
                    raise ConfigError(f"{path} is not compressed by gzip", where=where, remedy="CompressionType None")
        elif form.record_io and os.path.getsize(path) > _MAX_RECORD:
            what = f"{path} is too long for one RecordIO record: at most {_MAX_RECORD:,} bytes"
            raise ConfigError(what, where=where, remedy="split the file")
