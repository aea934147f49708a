"""Puts the data of channels where a host finds them: read-only mounts, links, copies of its own, or named pipes."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from typing import List, Optional, Sequence, Tuple

from hvdsm.backends.local import data
from hvdsm.backends.local.data import DataSet, PipeFormat
from hvdsm.backends.local.layout import HostLayout
from hvdsm.emulator import Mount

# A host gets a copy of a channel that it may write in, as from the service, up to this many bytes.
COPIED = 256 << 20


@dataclass(frozen=True)
class Feed:
    """A channel in Pipe mode on one host: ``directory`` is the host's ``input/data`` on this machine."""

    directory: str
    channel: str
    files: Tuple[str, ...]
    form: PipeFormat


def part_of(dataset: DataSet, layout: Sequence[HostLayout], host: HostLayout) -> Optional[DataSet]:
    """What a host gets of a channel: all of it, its share, or None where the channel is for other instance groups.

    Where a host is the only one it stands for all of them.
    """
    members = [other.name for other in layout if not dataset.groups or other.group in dataset.groups]
    if len(layout) == 1:
        members = [host.name]
    if host.name not in members:
        return None
    if not dataset.sharded:
        return dataset
    return replace(dataset, files=data.shard(dataset.files, members.index(host.name), len(members)))


def feed_of(dataset: DataSet, base: str) -> Feed:
    """A channel in Pipe mode."""
    assert dataset.pipe is not None
    files = tuple(path for _, path in data.files_of(dataset))
    return Feed(os.path.join(base, "input", "data"), dataset.name, files, dataset.pipe)


def link(dataset: DataSet, base: str) -> None:
    """Links to a channel's data, on this machine as the only host."""
    place = os.path.join(base, "input", "data", dataset.name)
    if dataset.directory is not None:
        os.symlink(dataset.directory, place)
    for name, path in dataset.files:
        os.makedirs(os.path.dirname(os.path.join(place, name)), exist_ok=True)
        os.symlink(path, os.path.join(place, name))


def mounts(dataset: DataSet, base: str, host: str, work: str) -> List[Mount]:
    """Read-only mounts of a channel's data on an emulated host."""
    place = os.path.join(base, "input", "data", dataset.name)
    target = f"/opt/ml/input/data/{dataset.name}"
    os.makedirs(place, exist_ok=True)
    if dataset.directory is not None:
        return [Mount(dataset.directory, target, host=host)]
    if len(dataset.files) == 1 and "/" not in dataset.files[0][0]:
        name, path = dataset.files[0]
        with open(os.path.join(place, name), "xb"):
            pass
        return [Mount(path, f"{target}/{name}", host=host)]
    gathered = os.path.join(work, "channels", host if dataset.sharded else "all", dataset.name)
    if not os.path.isdir(gathered):
        gather(dataset.files, gathered)
    return [Mount(gathered, target, host=host)]


def gather(files: Sequence[Tuple[str, str]], directory: str) -> None:
    """Bring files together in a new directory, by links where that can be done."""
    os.makedirs(directory)
    for name, path in files:
        os.makedirs(os.path.dirname(os.path.join(directory, name)), exist_ok=True)
        link_or_copy(path, os.path.join(directory, name))


def is_small(dataset: DataSet) -> bool:
    """Whether every host gets a copy of a channel that it may write in."""
    return sum(os.path.getsize(path) for _, path in data.files_of(dataset)) <= COPIED


def copy(dataset: DataSet, base: str) -> None:
    """A copy that the host may write in; as from S3, no file can be executed before something makes it so."""
    place = os.path.join(base, "input", "data", dataset.name)
    os.makedirs(place, exist_ok=True)
    for name, path in data.files_of(dataset):
        target = os.path.join(place, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(path, target)
        os.chmod(target, 0o644)


def link_or_copy(source: str, target: str) -> None:
    """A hard link where the file system and its rules allow one, else a copy; the hosts see it read-only."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)
