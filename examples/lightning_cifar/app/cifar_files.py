"""Reads CIFAR-10 in its Python format, as published: ``cifar-10-python.tar.gz`` or the directory that it holds.

The files are pickles, and a pickle may run any program when it is read.  So they are read by an unpickler that knows NumPy arrays
and plain values and nothing else, and the archive is never unpacked: its members are read by name, into memory.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tarfile
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Dict, List, Tuple

import numpy as np

ARCHIVE = "cifar-10-python.tar.gz"
DIRECTORY = "cifar-10-batches-py"
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"  # of the archive that Krizhevsky publishes
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = ("test_batch",)
META = "batches.meta"
NAMES = (*TRAIN, *TEST, META)
LARGEST = 256 << 20  # bytes of one file; the published ones have 31 MB
SHAPE = (3, 32, 32)

_ALLOWED = {
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy.core.numeric", "_frombuffer"),
}


class DataError(Exception):
    """The data set is not there, or not what it should be."""


@dataclass(frozen=True)
class Split:
    """Images (N x 3 x 32 x 32, uint8) and labels (N, int64, from 0)."""

    images: Any
    labels: Any


@dataclass(frozen=True)
class Cifar:
    """The whole data set; ``place`` says where it was read."""

    train: Split
    test: Split
    classes: Tuple[str, ...]
    place: str


class _Unpickler(pickle.Unpickler):
    """Reads arrays and plain values only."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR-10 file needs")
        module = module.replace("numpy._core", "numpy.core") if int(np.__version__.split(".")[0]) < 2 else module
        return super().find_class(module, name)


def unpickle(data: bytes, name: str) -> Dict[str, Any]:
    """The dictionary in a file of the data set, with keys of text; ``name`` is for messages."""
    try:
        found = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:
        raise DataError(f"{name} is not read: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"{name} holds {type(found).__name__}, not a dictionary")
    return {_text(key): value for key, value in found.items()}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def load(directory: str) -> Cifar:
    """Read the data set below ``directory``: the archive, the extracted directory, or the files themselves.

    Raises:
        DataError: nothing is there, or something else.
    """
    files, place = _files(directory)
    missing = [name for name in NAMES if name not in files]
    if missing:
        raise DataError(f"{place} lacks {', '.join(missing)}: it is not CIFAR-10 in its Python format")
    classes = tuple(_text(name) for name in unpickle(files[META], f"{META} of {place}").get("label_names", ()))
    if not classes:
        raise DataError(f"{META} of {place} has no label_names")
    train, test = (_split([(name, files[name]) for name in names], place, len(classes)) for names in (TRAIN, TEST))
    return Cifar(train, test, classes, place)


def _split(files: List[Tuple[str, bytes]], place: str, classes: int) -> Split:
    images, labels = [], []
    for name, data in files:
        batch = unpickle(data, f"{name} of {place}")
        pixels, answers = batch.get("data"), np.asarray(batch.get("labels", ()))
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (len(answers), int(np.prod(SHAPE))):
            found = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
            raise DataError(f"{name} of {place}: data is {found} for {len(answers)} labels; expected uint8 (N, 3072)")
        if len(answers) and (answers.dtype.kind not in "iu" or answers.min() < 0 or answers.max() >= classes):
            raise DataError(f"{name} of {place}: labels are not whole numbers from 0 to {classes - 1}")
        images.append(pixels.reshape(-1, *SHAPE))
        labels.append(answers.astype(np.int64))
    return Split(np.concatenate(images), np.concatenate(labels))


def _files(directory: str) -> Tuple[Dict[str, bytes], str]:
    for place in (os.path.join(directory, DIRECTORY), directory):
        if os.path.isfile(os.path.join(place, META)):
            return {name: _read(os.path.join(place, name)) for name in NAMES if os.path.isfile(os.path.join(place, name))}, place
    archive = directory if os.path.isfile(directory) else os.path.join(directory, ARCHIVE)
    if not os.path.isfile(archive):
        raise DataError(f"{directory} has neither {ARCHIVE} nor {DIRECTORY}/: give --data.data_dir, or let it be downloaded")
    return _members(archive), archive


def _read(path: str) -> bytes:
    if os.path.getsize(path) > LARGEST:
        raise DataError(f"{path} has more than {LARGEST >> 20} MB: it is no file of CIFAR-10")
    with open(path, "rb") as file:
        return file.read()


def _members(archive: str) -> Dict[str, bytes]:
    """The files of the archive, by their names without directories."""
    files = {}
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                name = os.path.basename(member.name)
                if name not in NAMES or not member.isfile():
                    continue
                if member.size > LARGEST:
                    raise DataError(f"{member.name} in {archive} has more than {LARGEST >> 20} MB: it is no file of CIFAR-10")
                file = tar.extractfile(member)
                files[name] = file.read() if file else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{archive} is not read: {error}; remove it, or download it again") from error
    return files


def is_there(directory: str) -> bool:
    """Whether there is something to read."""
    paths = (directory, os.path.join(directory, ARCHIVE))
    metas = (os.path.join(directory, META), os.path.join(directory, DIRECTORY, META))
    return any(os.path.isfile(path) for path in (*paths, *metas))


def download(directory: str, url: str = URL, md5: str = MD5) -> str:
    """Download the archive into ``directory`` unless the data set is there; it appears under its name when its digest is right.

    Raises:
        DataError: it cannot be had, or is another file than ``md5`` says.
    """
    target = os.path.join(directory, ARCHIVE)
    if is_there(directory):
        return target
    os.makedirs(directory, exist_ok=True)
    digest = hashlib.md5(usedforsecurity=False)
    with tempfile.NamedTemporaryFile(dir=directory, prefix=ARCHIVE + ".", delete=False) as file:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                for block in iter(lambda: answer.read(1 << 20), b""):
                    digest.update(block)
                    file.write(block)
            if md5 and digest.hexdigest() != md5:
                raise DataError(f"{url} has the MD5 {digest.hexdigest()}, expected {md5}: it was damaged or is another file")
        except BaseException as error:
            file.close()
            os.unlink(file.name)
            if isinstance(error, (urllib.error.URLError, OSError, ValueError)):
                raise DataError(f"{url} is not downloaded: {error}; put {ARCHIVE} into {directory}") from error
            raise
    os.chmod(file.name, 0o644)
    os.replace(file.name, target)
    return target
