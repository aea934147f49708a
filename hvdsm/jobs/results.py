"""What a job left: model, output and logs of a job of SageMaker brought here, those of a local run named or copied."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zlib
from typing import Any, BinaryIO, Callable, Dict, List, Optional, Tuple

from hvdsm.container.source import unpack
from hvdsm.errors import ConfigError
from hvdsm.jobs.base import Say
from hvdsm.jobs.cloud import CloudJob
from hvdsm.jobs.local import LocalRun

Progress = Callable[[int], None]
Begin = Callable[[int, int], None]
MODEL, OUTPUT, LOGS = "model", "output", "logs"


def places(job: CloudJob) -> List[Tuple[str, str]]:
    """Names and ``s3://`` addresses of a job's results; folders end with a slash.

    Source of the addresses: the SageMaker API reference, "OutputDataConfig" and "ModelArtifacts".
    """
    found = []
    description = job.description
    model = (description.get("ModelArtifacts") or {}).get("S3ModelArtifacts")
    if model:
        found.append((MODEL, str(model)))
    config = description.get("OutputDataConfig") or {}
    if config.get("S3OutputPath"):
        place = f"{str(config['S3OutputPath']).rstrip('/')}/{job.name}/output"
        plain = config.get("CompressionType") == "NONE"
        found.append((OUTPUT, f"{place}/output/" if plain else f"{place}/output.tar.gz"))
    return found


def download_cloud(job: CloudJob, target: str, *, logs: bool, begin: Begin, progress: Progress, say: Say) -> Dict[str, str]:
    """Bring a job's results to a directory: ``model/``, ``output/`` and ``logs/algo-N.log``, as a local run leaves them.

    Args:
        job: the job.
        target: the directory; made if it is missing.
        logs: whether the logs are wanted, too.
        begin: is told of files and bytes to come.
        progress: is told of bytes.
        say: is told of what there is none of.

    Returns:
        what was brought, by name: its directory.

    Raises:
        ConfigError: something is there already, S3 refuses, or an archive is unsafe or damaged.
        CloudUnavailable: AWS cannot be reached.
    """
    wanted = places(job)
    for name in [*(name for name, _ in wanted), *([LOGS] if logs else [])]:
        path = os.path.join(target, name)
        if os.path.isdir(path) and os.listdir(path) and not (name == LOGS and job.kept is not None):
            raise ConfigError("is there already, and has files", where=path, remedy="name another directory: --to DIR")
    _make(target)
    found: Dict[str, str] = {}
    for name, uri in wanted:
        path = os.path.join(target, name)
        if _folder(job.aws, uri, path, begin, progress) if uri.endswith("/") else _archive(job.aws, uri, path, begin, progress):
            found[name] = path
        else:
            say(f"{name}: there is none at {uri}")
    if MODEL not in dict(wanted):
        say(f"model: the job has none ({job.description.get('TrainingJobStatus')})")
    if logs:
        count = write_logs(job, os.path.join(target, LOGS), say)
        if count:
            found[LOGS] = os.path.join(target, LOGS)
        else:
            say("logs: there are none")
    return found


def _archive(aws: Any, uri: str, path: str, begin: Begin, progress: Progress) -> bool:
    from hvdsm.aws.storage import download, find_object

    there = find_object(aws, uri)
    if there is None:
        return False
    begin(1, there.size)
    parent = os.path.dirname(os.path.abspath(path))
    # Beside its place, so that it appears there whole or not at all.
    with tempfile.TemporaryDirectory(prefix=".hvdsm-", dir=parent) as folder:
        archive, unpacked = os.path.join(folder, "archive.tar.gz"), os.path.join(folder, "unpacked")
        download(aws, uri, archive, progress=progress)
        os.mkdir(unpacked)
        try:
            unpack(archive, unpacked)
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise ConfigError(
                f"cannot be unpacked: {error}", where=uri, remedy=f"look at it yourself: hvdsm data download {uri} ."
            ) from None
        if os.path.isdir(path):
            os.rmdir(path)
        os.rename(unpacked, path)
    return True


def _folder(aws: Any, uri: str, path: str, begin: Begin, progress: Progress) -> bool:
    from hvdsm.aws.storage import download_files, list_objects, split_uri, targets

    bucket, prefix = split_uri(uri)
    objects = list(list_objects(aws, uri))
    if not objects:
        return False
    wanted, folders = targets(objects, prefix, path)
    begin(len(wanted), sum(entry.size for entry, _ in wanted))
    for folder in folders:
        _make(folder)
    download_files(aws, bucket, wanted, progress=progress)
    return True


def write_logs(job: CloudJob, directory: str, say: Say) -> int:
    """Write each host's log to ``algo-N.log``; the number of hosts that have one.

    Raises:
        ConfigError: a file cannot be written.
        CloudUnavailable: AWS cannot be reached.
    """
    files: Dict[str, BinaryIO] = {}
    count = 0
    try:
        for batch in job.lines(hosts=None, since=None, follow=False, say=say):
            for line in batch:
                if line.host not in files:
                    _make(directory)
                    # A host's name comes from the name of a stream.
                    name = os.path.basename(line.host) or "host"
                    files[line.host] = open(os.path.join(directory, f"{name}.log"), "wb")  # noqa: SIM115
                files[line.host].write(line.data + b"\n")
            if len(batch):
                count += len(batch)
                say(f"logs: {count:,} lines of {len(files)} host{'s' if len(files) != 1 else ''}")
    except OSError as error:
        raise ConfigError(error.strerror or str(error), where=directory, remedy="name another directory: --to DIR") from None
    finally:
        for file in files.values():
            file.close()
    return len(files)


def copy_local(run: LocalRun, target: Optional[str], *, logs: bool) -> Dict[str, str]:
    """The directories of a local run's results; copied where a target is named.

    Raises:
        ConfigError: something is there already, or cannot be copied.
    """
    names = [name for name in (MODEL, OUTPUT, *((LOGS,) if logs or target is None else ())) if _has(run, name)]
    if target is None:
        return {name: os.path.join(run.directory, name) for name in names}
    found = {}
    for name in names:
        path = os.path.join(target, name)
        if os.path.lexists(path):
            raise ConfigError("is there already", where=path, remedy="name another directory: --to DIR")
    _make(target)
    for name in names:
        found[name] = os.path.join(target, name)
        try:
            shutil.copytree(os.path.join(run.directory, name), found[name], symlinks=True)
        except (OSError, shutil.Error) as error:
            remedy = "name another directory: --to DIR"
            raise ConfigError(f"cannot be copied: {error}", where=found[name], remedy=remedy) from None
    return found


def _has(run: LocalRun, name: str) -> bool:
    return os.path.isdir(os.path.join(run.directory, name))


def _make(directory: str) -> None:
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise ConfigError(error.strerror or str(error), where=directory, remedy="name another directory: --to DIR") from None
