"""Brings the source to ``/opt/ml/code`` and says how its entry point is run."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import unquote_to_bytes, urlparse

from hvdsm.compose.arguments import program_command
from hvdsm.compose.environment import Paths, user_arguments
from hvdsm.container.config import ContainerConfig, split_command
from hvdsm.errors import ConfigError
from hvdsm.model.plan import PLAN_KEY, JobPlan

# Not source: what tools leave beside it, and environments that can be huge.
IGNORED = shutil.ignore_patterns(".git", "__pycache__", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache", "*.egg-info")
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_LONGEST = 3000


@dataclass(frozen=True)
class Prepared:
    """The source in its place: the command of its entry point, and further directories to import from.

    Attributes:
        command: program and arguments.
        python_path: directories that the ranks search after the code directory.
        temporary: directories that were made for this job, to be removed when it has ended.
        plan: the job's plan, if it has one.
    """

    command: List[str]
    python_path: Tuple[str, ...] = ()
    temporary: Tuple[str, ...] = ()
    plan: Optional[JobPlan] = None


def bring(config: ContainerConfig, environ: Mapping[str, str], say: Callable[..., None], python: str) -> Prepared:
    """Fetch the source, install what it needs, and say how it is run; blocking, and safe in a thread.

    Where ``HVDSM_PACKAGES`` names a directory of packages that are installed already, nothing is installed.

    Raises:
        ConfigError: the source cannot be had, pip failed, or the entry point is not in it.
    """
    paths, job = config.paths, config.job
    if job.program:
        split_command(job.program)
    if config.ready:
        say(f"source already in {paths.code}")
        plan = _plan(config)
        return Prepared(_command(paths, job.program, config.arguments or (), plan, as_file=True), plan=plan)
    submitted = job.submit_directory or ""
    if submitted.startswith("s3://"):
        from hvdsm.container.fetch import download

        name = os.path.basename(submitted.rstrip("/"))
        with tempfile.TemporaryDirectory(prefix="hvdsm-source-") as folder:
            target = os.path.join(folder, "source" if name in ("", ".", "..") else name)
            download(submitted, target, environ, say, _region(config))
            say(fetch(paths, target, named=submitted))
    else:
        say(fetch(paths, job.submit_directory))
    arguments = user_arguments(job) if config.arguments is None else config.arguments
    plan = _plan(config)
    command = _command(paths, job.program, list(arguments), plan)
    packages = environ.get("HVDSM_PACKAGES")
    search: Tuple[str, ...] = (packages,) if packages else ()
    package = is_package(paths.code)
    # A shell entry point installs for itself, and any other program that is not Python has no use for requirements.
    needed = package or (command[0] == sys.executable and os.path.isfile(os.path.join(paths.code, "requirements.txt")))
    if needed and not packages and not job.program.endswith(".sh"):
        from hvdsm.container.install import install, made_for

        search = install(paths.code, package, environ, say, python)
        return Prepared(command, search, made_for(search), plan)
    return Prepared(command, search, plan=plan)


def _plan(config: ContainerConfig) -> Optional[JobPlan]:
    if not config.planned:
        return None
    # Only a job with a plan pays for reading one.
    from hvdsm.container.planning import read_plan

    return read_plan(config.job.reserved[PLAN_KEY], config.paths.code)


def _command(
    paths: Paths, program: str, arguments: Sequence[str], plan: Optional[JobPlan], *, as_file: bool = False
) -> List[str]:
    """What ranks run: the module of the plan, else the entry point.

    Raises:
        ConfigError: neither is named, or the entry point is not in the source.
    """
    if plan is not None and plan.ranks.arguments is not None:
        arguments = plan.ranks.arguments
    if plan is not None and plan.ranks.module is not None:
        return [sys.executable, "-m", plan.ranks.module, *arguments]
    if not program:
        raise ConfigError(
            "no entry point is named",
            where=f"hyperparameter sagemaker_program, or ranks.module of the plan ({PLAN_KEY})",
            remedy="set one of them: the script's name, for example train.py, or a Python module",
        )
    return entry_command(paths, program, arguments, as_file)


def _region(config: ContainerConfig) -> Optional[str]:
    return str(config.job.reserved.get("sagemaker_region") or "") or None


def fetch(paths: Paths, submit_directory: Optional[str], named: Optional[str] = None) -> str:
    """Put the source into the code directory; a local directory, tarball or single file.

    Without ``submit_directory`` the code is already in place.  ``named`` is what messages call it.

    Returns:
        What was done, one line.

    Raises:
        ConfigError: the source does not exist or cannot be unpacked.
    """
    os.makedirs(paths.code, exist_ok=True)
    if not submit_directory:
        return f"source already in {paths.code}"
    parsed = urlparse(submit_directory)
    if parsed.scheme not in ("", "file"):
        raise ConfigError(
            f"cannot fetch {submit_directory}",
            where="sagemaker_submit_directory",
            remedy="give s3://BUCKET/KEY, or a directory, tar.gz or file that is on this host",
        )
    path = os.fsdecode(unquote_to_bytes(parsed.path)) if parsed.scheme == "file" else submit_directory
    if not os.path.exists(path):
        raise ConfigError("does not exist", where=f"sagemaker_submit_directory {path}")
    if os.path.samefile(path, paths.code):
        return f"source already in {paths.code}"
    if _inside(os.path.realpath(path), os.path.realpath(paths.code)):
        raise ConfigError(
            f"lies inside of {paths.code}, which is emptied for the source",
            where=f"sagemaker_submit_directory {path}",
            remedy=f"leave sagemaker_submit_directory out when the code is already in {paths.code}, or put the source elsewhere",
        )
    try:
        _clear(paths.code)
        if os.path.isdir(path):
            shutil.copytree(path, paths.code, dirs_exist_ok=True, ignore=IGNORED, symlinks=True)
        elif tarfile.is_tarfile(path):
            unpack(path, paths.code)
        elif path.endswith(ARCHIVES):
            raise ConfigError(
                f"is no tar archive, though its name says so ({os.path.getsize(path)} bytes)",
                where=f"sagemaker_submit_directory {named or path}",
                remedy="make it again: tar -czf source.tar.gz -C SOURCE_DIRECTORY .",
            )
        else:
            shutil.copy2(path, os.path.join(paths.code, os.path.basename(path)))
    except (OSError, EOFError, zlib.error, tarfile.TarError, shutil.Error) as error:
        raise ConfigError(str(error), where=f"sagemaker_submit_directory {named or path}") from None
    return f"source {named or path} copied to {paths.code}"


def _clear(directory: str) -> None:
    """A stale file must never shadow the given source."""
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            _make_writable(entry.path)
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def _make_writable(directory: str) -> None:
    """Let an ordinary user remove what is in a directory of his that is read-only."""
    _add_mode(directory, 0o700)
    for folder, names, _ in os.walk(directory):
        for name in names:
            _add_mode(os.path.join(folder, name), 0o700)


def _add_mode(path: str, mode: int) -> None:
    if not os.path.islink(path) and os.stat(path).st_mode & mode != mode:
        os.chmod(path, os.stat(path).st_mode | mode)


def unpack(archive: str, directory: str) -> None:
    """Unpack a tarball; nothing in it may lead out of the directory or be a device, and all of it must fit on the disk.

    Owners and the set-uid bits of members are dropped, and this user may always read and write what came.

    Raises:
        ConfigError: a member is unsafe, or they are too large.
    """
    root = os.path.realpath(directory)
    room, size = shutil.disk_usage(root).free, 0
    with tarfile.open(archive) as tar:
        for member in tar:
            if not _safe(member, root):
                raise ConfigError(f"member {member.name!r} leads out of the archive or is no file", where=archive)
            size += _stored(member)
            if size > room:
                raise ConfigError(
                    f"it unpacks to more than the {room / 1e6:.0f} MB that are free in {directory}",
                    where=archive,
                    remedy="leave data out of the source, and give it as an input channel",
                )
            needed = stat.S_IRWXU if member.isdir() else stat.S_IRUSR | stat.S_IWUSR
            member.mode = ((member.mode or 0o644) & 0o777 & ~(stat.S_IWGRP | stat.S_IWOTH)) | needed
            member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
            if hasattr(tarfile, "fully_trusted_filter"):
                tar.extract(member, root, filter="fully_trusted")
            else:
                tar.extract(member, root)


def _stored(member: tarfile.TarInfo) -> int:
    """The bytes that a member takes on the disk; holes take none."""
    pieces: Any = member.sparse
    return sum(length for _, length in pieces) if member.issparse() else member.size


def _safe(member: tarfile.TarInfo, root: str) -> bool:
    """Whether a member is a file, directory or link that stays below the root."""
    if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
        return False
    target = os.path.realpath(os.path.join(root, member.name))
    # A path of nearly PATH_MAX cannot be resolved to its end, so where it leads is not known.
    if not _inside(target, root) or len(os.fsencode(target)) > _LONGEST:
        return False
    if member.issym():
        return _inside(os.path.realpath(os.path.join(os.path.dirname(target), member.linkname)), root)
    if member.islnk():
        linked = os.path.join(root, member.linkname)
        # A second name of a symbolic link lies elsewhere, and leads elsewhere.
        return _inside(os.path.realpath(linked), root) and not os.path.islink(linked)
    return True


def _inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root + os.sep)


def is_package(directory: str) -> bool:
    """Whether a source is a package: it has a setup.py, or a pyproject.toml that is not for settings of tools alone."""
    if os.path.isfile(os.path.join(directory, "setup.py")):
        return True
    try:
        with open(os.path.join(directory, "pyproject.toml"), encoding="utf-8", errors="replace") as file:
            return bool(re.search(r"^\s*\[(?:project|build-system)\]", file.read(), re.MULTILINE))
    except OSError:
        return False


def entry_command(paths: Paths, program: str, arguments: Sequence[str], as_file: bool = False) -> List[str]:
    """The command of :func:`command_in` for the code directory; an entry point that is a program is made executable.

    With ``as_file`` it is run as the file that it is, also where the source is a package.

    Raises:
        ConfigError: the entry point is not in the source, or its name leads out of it.
    """
    path = os.path.join(paths.code, program)
    is_given = as_file and os.path.isfile(path)
    command = program_command(sys.executable, program, arguments) if is_given else command_in(paths.code, program, arguments)
    if command[0] != sys.executable:
        if not _inside(os.path.realpath(path), os.path.realpath(paths.code)):
            raise ConfigError(
                f"the entry point {program!r} is a link that leads out of the source",
                where=paths.code,
                remedy="put the program itself into the source",
            )
        if not os.access(path, os.X_OK):
            try:
                os.chmod(path, os.stat(path).st_mode | 0o111)
            except OSError as error:
                raise ConfigError(
                    f"cannot be made executable: {error.strerror}", where=path, remedy=f"chmod +x {program} in the source"
                ) from None
    return command


def command_in(directory: str, program: str, arguments: Sequence[str]) -> List[str]:
    """The command that runs an entry point in the directory of its source.

    In this order, which is the SageMaker Training Toolkit's:

    - a ``.sh`` is run by ``/bin/sh``;
    - a module of a source that is a package (it has a ``setup.py``, or a ``pyproject.toml`` with a project) by ``python -m``:
      ``train.py``, ``pkg/train.py`` and ``pkg.train`` are all such names.  A ``.py`` in a directory without ``__init__.py`` is a
      script nevertheless;
    - a ``.py`` by the Python that runs hvdsm;
    - any other file as a program;
    - a name that is no file, but a module or package of the source (``pkg.main``, or ``pkg`` with ``__main__.py``) by
      ``python -m``.

    Raises:
        ConfigError: the entry point is not in the source, or its name leads out of it.
    """
    name, is_python = split_command(program)
    is_file = os.path.isfile(os.path.join(directory, name))
    module = (name[:-3] if is_python else name).replace("/", ".")
    if not name.endswith(".sh") and is_package(directory) and not (is_file and _is_script(directory, name)):
        return [sys.executable, "-m", module, *arguments]
    if is_file:
        return program_command(sys.executable, name, arguments)
    path = os.path.join(directory, *module.split("."))
    if not name.endswith((".sh", ".py")) and (os.path.isfile(path + ".py") or os.path.isfile(os.path.join(path, "__main__.py"))):
        return [sys.executable, "-m", module, *arguments]
    found = sorted(os.listdir(directory))[:20]
    raise ConfigError(
        f"the entry point {name!r} is not in the source",
        where=directory,
        remedy=f"name a file of the source; it holds: {', '.join(found) or 'nothing'}",
    )


def _is_script(directory: str, name: str) -> bool:
    """Whether a file of a package's source cannot be meant as a module."""
    folder, _, base = name.rpartition("/")
    outside = bool(folder) and not os.path.isfile(os.path.join(directory, folder, "__init__.py"))
    return outside or not base.endswith(".py") or "." in base[:-3]
