"""The directories of a job: ``/opt/ml`` of each host as the service lays it out, and what is mounted into the hosts."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from hvdsm.backends.local import placing, s3
from hvdsm.backends.local.checkpoint import make_directory
from hvdsm.backends.local.data import DataSet
from hvdsm.backends.local.layout import HostLayout, host_hyperparameters, input_data_config, resource_config
from hvdsm.backends.local.packages import Packages, packages_of
from hvdsm.backends.local.pipes import check_files
from hvdsm.backends.local.placing import Feed, link_or_copy
from hvdsm.backends.local.plan import WORK, LocalPlan
from hvdsm.backends.local.prelude import COMMANDS_TARGET, Prelude, prelude_of
from hvdsm.backends.local.program import is_shipped
from hvdsm.backends.local.running import write_running
from hvdsm.backends.source import source_files
from hvdsm.compose.cloud import BUNDLE_CHANNEL, BUNDLE_FILE
from hvdsm.compose.mask import mask_request
from hvdsm.emulator import Mount
from hvdsm.errors import BackendUnavailable, ConfigError

SOURCE_TARGET = "/opt/hvdsm/source"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Stage:
    """What was prepared: the base directory of each host, the mounts of all, and what both are made of.

    ``source`` is the path of the source on this machine, ``channels`` their data, all downloaded; ``packages`` what the source
    needs beyond the environment, None when that is nothing.  ``feeds`` are the channels in Pipe mode; ``prelude`` is what was
    made for a command of the request's own.
    """

    work: str
    bases: Mapping[str, str]
    mounts: Tuple[Mount, ...]
    source: str = ""
    channels: Tuple[DataSet, ...] = ()
    packages: Optional[Packages] = None
    feeds: Tuple[Feed, ...] = ()
    prelude: Optional[Prelude] = None


def prepare(plan: LocalPlan, say: Callable[[str], None], environ: Mapping[str, str], *, image: bool = False) -> Stage:
    """Make ``JOB-NAME/`` with ``running.json``, ``request.json``, ``logs/`` and the staged hosts.

    ``image`` says that the hosts run an image, which has what its programs need, or installs it itself.

    Raises:
        ConfigError: the directory exists or cannot be made, or data cannot be had.
        BackendUnavailable: there is no room.
    """
    try:
        os.makedirs(os.path.dirname(plan.job_dir), exist_ok=True)
        os.mkdir(plan.job_dir)
    except OSError as error:
        raise ConfigError(
            f"cannot be made: {error.strerror}", where=plan.job_dir, remedy="choose another --job-name or --output"
        ) from None
    try:
        return _prepare(plan, say, environ, image)
    except BaseException as error:
        remove_tree(plan.job_dir)
        if isinstance(error, OSError) and error.errno in _FULL:
            raise BackendUnavailable(
                f"cannot be written: {error.strerror}", where=plan.job_dir, remedy="free some room, or choose another --output"
            ) from None
        raise


def _prepare(plan: LocalPlan, say: Callable[[str], None], environ: Mapping[str, str], image: bool) -> Stage:
    write_running(plan.job_dir)
    work = os.path.join(plan.job_dir, WORK)
    os.mkdir(work, 0o700)
    os.mkdir(os.path.join(plan.job_dir, "logs"))
    if plan.checkpoint is not None:
        make_directory(plan.checkpoint)
    write_json(os.path.join(plan.job_dir, "request.json"), mask_request(plan.request))
    cache = s3.cache_directory(environ)
    source = "" if plan.source is None else _snapshot(_fetched(plan.source, cache, say, exact=True), plan, work, say)
    channels = tuple(_fetched(channel, cache, say) for channel in plan.channels) + _shipped(plan, work)
    for channel in channels:
        if channel.pipe is not None:
            check_files(channel.name, placing.feed_of(channel, work).files, channel.pipe)
    if image:
        return lay_out(plan, Stage(work, {}, (), source, channels))
    if plan.command is not None:
        prelude = prelude_of(plan, channels, work, say, environ)
        return lay_out(plan, Stage(work, {}, (), source, channels, prelude.packages, prelude=prelude))
    return lay_out(plan, Stage(work, {}, (), source, channels, packages_of(source, plan, work, say, environ)))


def _shipped(plan: LocalPlan, work: str) -> Tuple[DataSet, ...]:
    """The channel that brings hvdsm's own program, made here: scripts that look at all channels find it."""
    names = [channel["ChannelName"] for channel in plan.request.get("InputDataConfig") or ()]
    if not any(is_shipped(plan.request, name) for name in names):
        return ()
    from hvdsm.bundle import write

    return (DataSet(BUNDLE_CHANNEL, files=((BUNDLE_FILE, write(os.path.join(work, BUNDLE_FILE)).path),)),)


def lay_out(plan: LocalPlan, stage: Stage) -> Stage:
    """Make ``/opt/ml`` of each host, as the service does for new hosts; what was there is removed."""
    work = stage.work
    bases: Dict[str, str] = {}
    mounts: List[Mount] = [] if plan.single else list(_common_mounts(plan, stage))
    feeds: List[Feed] = []
    source = source_target(plan) if plan.source is not None else None
    for host in plan.layout:
        base = bases[host.name] = os.path.join(work, host.name)
        remove_tree(base)
        _lay_out(plan, host, base, source)
        if not plan.single:
            mounts.append(Mount(base, "/opt/ml", host=host.name, writable=True))
        for channel in stage.channels:
            part = placing.part_of(channel, plan.layout, host)
            if part is None:
                continue
            if part.pipe is not None:
                feeds.append(placing.feed_of(part, base))
            elif plan.single:
                placing.link(part, base)
            elif plan.command is not None and placing.is_small(part):
                placing.copy(part, base)
            else:
                mounts += placing.mounts(part, base, host.name, work)
    return replace(stage, bases=bases, mounts=tuple(mounts), feeds=tuple(feeds))


def _common_mounts(plan: LocalPlan, stage: Stage) -> Iterator[Mount]:
    if plan.source is not None:
        yield Mount(stage.source, source_target(plan))
    if stage.packages is not None:
        yield Mount(stage.packages.root, stage.packages.root)
    if stage.prelude is not None and stage.prelude.commands is not None:
        yield Mount(stage.prelude.commands, COMMANDS_TARGET)
    if plan.checkpoint is not None:
        yield Mount(plan.checkpoint.directory, plan.checkpoint.local_path, writable=True)


def source_target(plan: LocalPlan) -> str:
    """Path of the source as the hosts see it."""
    assert plan.source is not None
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
    if dataset.manifest:
        files = s3.download_manifest(dataset.download, cache, say, f"channel {dataset.name}")
        return replace(dataset, download=None, files=files)
    files = s3.download(dataset.download, cache, say, f"channel {dataset.name}" if not exact else "the source", exact=exact)
    return replace(dataset, download=None, files=files)


def _lay_out(plan: LocalPlan, host: HostLayout, base: str, source: Optional[str]) -> None:
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
    write_json(os.path.join(config, "inputdataconfig.json"), input_data_config(plan.request, None if plan.single else host))


def _snapshot(source: DataSet, plan: LocalPlan, work: str, say: Callable[[str], None]) -> str:
    """The source as one path: a file as it is; a directory as a copy of the files that would be uploaded.

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
    directory = os.path.abspath(source.directory)
    copy = os.path.join(work, "source", os.path.basename(directory) or "source")
    os.makedirs(copy)
    outside = [os.path.dirname(plan.job_dir), *([plan.checkpoint.directory] if plan.checkpoint is not None else [])]
    names = source_files(directory, [plan.program], outside)
    for name in names:
        os.makedirs(os.path.dirname(os.path.join(copy, name)), exist_ok=True)
        shutil.copy2(os.path.join(directory, name), os.path.join(copy, name))
    there = {name.split("/")[0] for name in names}
    left_out = sorted(name for name in os.listdir(directory) if name not in there and name != "__pycache__")
    if left_out:
        say(
            f"left out of the source: {', '.join(left_out[:5])}" + (f" and {len(left_out) - 5} more" if len(left_out) > 5 else "")
        )
    return copy


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
