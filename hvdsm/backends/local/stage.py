"""The directories of a job: ``/opt/ml`` of each host as the service lays it out, and what is mounted into the hosts."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Tuple

from hvdsm.backends.local import data, s3
from hvdsm.backends.local.checkpoint import make_directory
from hvdsm.backends.local.data import DataSet
from hvdsm.backends.local.layout import HostLayout, host_hyperparameters, input_data_config, resource_config
from hvdsm.backends.local.packages import Packages, packages_of
from hvdsm.backends.local.plan import WORK, LocalPlan
from hvdsm.compose.mask import mask_request
from hvdsm.emulator import Mount
from hvdsm.errors import ConfigError

SOURCE_TARGET = "/opt/hvdsm/source"
# Never part of a source that is uploaded, and large.
_LEFT_OUT = frozenset({".git", "__pycache__", ".ipynb_checkpoints", ".hg", ".svn"})


@dataclass(frozen=True)
class Stage:
    """What was prepared: the base directory of each host, the mounts of all, and what both are made of.

    ``source`` is the path of the source on this machine, ``channels`` their data, all downloaded; ``packages`` what the source
    needs beyond the environment, None when that is nothing.
    """

    work: str
    bases: Mapping[str, str]
    mounts: Tuple[Mount, ...]
    source: str = ""
    channels: Tuple[DataSet, ...] = ()
    packages: Optional[Packages] = None


def prepare(plan: LocalPlan, say: Callable[[str], None], environ: Mapping[str, str]) -> Stage:
    """Make ``JOB-NAME/`` with ``request.json``, ``logs/`` and the staged hosts.

    Raises:
        ConfigError: the directory exists or cannot be made, or data cannot be had.
    """
    try:
        os.makedirs(os.path.dirname(plan.job_dir), exist_ok=True)
        os.mkdir(plan.job_dir)
    except OSError as error:
        raise ConfigError(
            f"cannot be made: {error.strerror}", where=plan.job_dir, remedy="choose another --job-name or --output"
        ) from None
    try:
        return _prepare(plan, say, environ)
    except BaseException:
        remove_tree(plan.job_dir)
        raise


def _prepare(plan: LocalPlan, say: Callable[[str], None], environ: Mapping[str, str]) -> Stage:
    work = os.path.join(plan.job_dir, WORK)
    os.mkdir(work, 0o700)
    os.mkdir(os.path.join(plan.job_dir, "logs"))
    if plan.checkpoint is not None:
        make_directory(plan.checkpoint)
    write_json(os.path.join(plan.job_dir, "request.json"), mask_request(plan.request))
    cache = s3.cache_directory(environ)
    source = _snapshot(_fetched(plan.source, cache, say, exact=True), plan, work, say)
    channels = tuple(_fetched(channel, cache, say) for channel in plan.channels)
    packages = packages_of(source, plan, work, say, environ)
    return lay_out(plan, Stage(work, {}, (), source, channels, packages))


def lay_out(plan: LocalPlan, stage: Stage) -> Stage:
    """Make ``/opt/ml`` of each host, as the service does for new hosts; what was there is removed."""
    work, channels = stage.work, stage.channels
    bases: Dict[str, str] = {}
    mounts: List[Mount] = []
    source_path = stage.source if plan.single else source_target(plan)
    if not plan.single:
        mounts.append(Mount(stage.source, source_path))
        if stage.packages is not None:
            mounts.append(Mount(stage.packages.root, stage.packages.root))
        if plan.checkpoint is not None:
            mounts.append(Mount(plan.checkpoint.directory, plan.checkpoint.local_path, writable=True))
    for index, host in enumerate(plan.layout):
        base = bases[host.name] = os.path.join(work, host.name)
        remove_tree(base)
        _lay_out(plan, host, base, source_path)
        if not plan.single:
            mounts.append(Mount(base, "/opt/ml", host=host.name, writable=True))
        for channel in channels:
            part = replace(channel, files=data.shard(channel.files, index, len(plan.layout))) if channel.sharded else channel
            mounts += _place(part, base, None if plan.single else host.name, work)
    return replace(stage, bases=bases, mounts=tuple(mounts))


def source_target(plan: LocalPlan) -> str:
    """Path of the source as the hosts see it."""
    if plan.source.directory is not None:
        name, real = os.path.basename(plan.source.directory), plan.source.directory
    elif len(plan.source.files) == 1:
        name, real = os.path.basename(plan.source.files[0][0]), plan.source.files[0][1]
    else:
        name = real = os.path.basename((plan.source.download or "").rstrip("/")) or "source"
    return real if plan.single else f"{SOURCE_TARGET}/{name or 'source'}"


def _fetched(dataset: DataSet, cache: str, say: Callable[[str], None], exact: bool = False) -> DataSet:
    if dataset.download is None:
        return dataset
    files = s3.download(dataset.download, cache, say, f"channel {dataset.name}" if not exact else "the source", exact=exact)
    return replace(dataset, download=None, files=files)


def _lay_out(plan: LocalPlan, host: HostLayout, base: str, source: str) -> None:
    for directory in ("input/config", "input/data", "model", "output/data", "checkpoints", ".hvdsm"):
        os.makedirs(os.path.join(base, directory))
    if plan.single and plan.checkpoint is not None:
        place = os.path.join(base, plan.checkpoint.below_base or "checkpoints")
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if os.path.isdir(place):
            os.rmdir(place)
        os.symlink(plan.checkpoint.directory, place)
    config = os.path.join(base, "input", "config")
    write_json(
        os.path.join(config, "hyperparameters.json"),
        host_hyperparameters(plan.request, source=source, processes=plan.processes if plan.single else None),
    )
    write_json(os.path.join(config, "resourceconfig.json"), resource_config(plan.layout, host))
    write_json(os.path.join(config, "inputdataconfig.json"), input_data_config(plan.request))


def _place(dataset: DataSet, base: str, host: Optional[str], work: str) -> List[Mount]:
    """Put a channel's data in its place: a read-only mount on an emulated host, else links."""
    place = os.path.join(base, "input", "data", dataset.name)
    target = f"/opt/ml/input/data/{dataset.name}"
    if host is None:
        if dataset.directory is not None:
            os.symlink(dataset.directory, place)
        for name, path in dataset.files:
            os.makedirs(os.path.dirname(os.path.join(place, name)), exist_ok=True)
            os.symlink(path, os.path.join(place, name))
        return []
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
        os.makedirs(gathered)
        for name, path in dataset.files:
            os.makedirs(os.path.dirname(os.path.join(gathered, name)), exist_ok=True)
            link_or_copy(path, os.path.join(gathered, name))
    return [Mount(gathered, target, host=host)]


def _snapshot(source: DataSet, plan: LocalPlan, work: str, say: Callable[[str], None]) -> str:
    """The source as one path: a file as it is; a directory as a copy without what is never uploaded.

    The copy keeps the results of earlier jobs, which often lie in the source directory, out of this one.
    """
    if source.directory is None:
        if len(source.files) == 1:
            name, path = source.files[0]
            if os.path.basename(path) == os.path.basename(name):
                return path
        copy = os.path.join(work, "source")
        for name, path in source.files:
            os.makedirs(os.path.dirname(os.path.join(copy, name)), exist_ok=True)
            link_or_copy(path, os.path.join(copy, name))
        return os.path.join(copy, source.files[0][0]) if len(source.files) == 1 else copy
    copy = os.path.join(work, "source", os.path.basename(source.directory.rstrip("/")) or "source")
    os.makedirs(os.path.dirname(copy))
    left_out: List[str] = []
    outside = {os.path.realpath(os.path.dirname(plan.job_dir))}
    if plan.checkpoint is not None:
        outside.add(os.path.realpath(plan.checkpoint.directory))
    _copy_source(os.path.abspath(source.directory), copy, frozenset(outside), frozenset(), left_out)
    named = [os.path.relpath(path, source.directory) for path in left_out if os.path.basename(path) != "__pycache__"]
    if named:
        say(f"left out of the source: {', '.join(named[:5])}" + (f" and {len(named) - 5} more" if len(named) > 5 else ""))
    return copy


def _copy_source(source: str, target: str, outside: FrozenSet[str], above: FrozenSet[str], left_out: List[str]) -> None:
    real = os.path.realpath(source)
    os.mkdir(target)
    shutil.copymode(source, target)
    os.chmod(target, os.stat(target).st_mode | 0o700)
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        place = os.path.join(target, entry.name)
        if entry.is_dir():
            resolved = os.path.realpath(entry.path)
            virtual = os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
            # A link to a directory that contains it would never end.
            if entry.name in _LEFT_OUT or virtual or resolved in outside | above | {real}:
                left_out.append(entry.path)
            else:
                _copy_source(entry.path, place, outside, above | {real}, left_out)
        elif entry.is_file():
            shutil.copy2(entry.path, place)
        elif entry.is_symlink():
            os.symlink(os.readlink(entry.path), place)


def link_or_copy(source: str, target: str) -> None:
    """A hard link where the file system and its rules allow one, else a copy; the hosts see it read-only."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)


def write_json(path: str, value: Any) -> None:
    """Write indented JSON with a newline at the end."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(value, indent=2) + "\n")


def remove_tree(path: str) -> None:
    """Remove a directory, also one with directories that are not writable."""

    def retry(function: Callable[[str], Any], failed: str, _info: Any) -> None:
        os.chmod(os.path.dirname(failed), 0o700)
        if os.path.isdir(failed) and not os.path.islink(failed):
            os.chmod(failed, 0o700)
        if function in (os.unlink, os.rmdir):
            function(failed)
        else:
            shutil.rmtree(failed, ignore_errors=True)

    if os.path.lexists(path):
        shutil.rmtree(path, onerror=retry)
