"""Packages that a source asks pip for: what they are, and the directory of hvdsm's own that they are installed into.

Such a directory, an *overlay*, is a virtual environment without pip in which the packages of the caller's environment show
through: pip installs into it only what these do not satisfy, and never changes them.  It is kept for the next job with the same
requirements, the same Python and the same packages of the caller.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import sysconfig
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from hvdsm.backends.local.s3 import cache_directory
from hvdsm.compose.mask import mask_text
from hvdsm.container.source import is_package
from hvdsm.errors import ConfigError

if TYPE_CHECKING:
    from hvdsm.backends.local.plan import LocalPlan

REQUIREMENTS = "requirements.txt"
_FORMAT = "1"
_INCLUDE = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))(\S.*?)\s*(?:\s#.*)?$")
# A requirement that is a path: ``.``, ``./x``, ``/x``, ``name @ file:``, an archive, or an editable one.
_LOCAL = re.compile(
    r"^\s*(?:-e\b|--editable\b|\.{1,2}(?:/|\[|\s|$)|/)|^\s*[^#\s-]\S*\.(?:whl|tar\.gz|zip)\s*(?:[;#]|$)|file:|^\s*[\w.-]+/[\w./-]*\s*$",
    re.MULTILINE,
)
_PLACE = re.compile(r"(?:^|[\s=]|file://)(/[^\s;#]+)")
# What sends pip elsewhere than into the overlay.
_MISLEADING = (
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_PYTHON",
    "PIP_DRY_RUN",
    "PIP_REQUIREMENT",
    "PIP_EDITABLE",
    "PIP_REPORT",
)
# Settings of the request's Environment that pip in a training container would see.
_SETTING = re.compile(r"^(?:PIP_\w+|(?:HTTPS?|NO|ALL)_PROXY|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|NETRC)$", re.IGNORECASE)


@dataclass(frozen=True)
class Packages:
    """An overlay: its directory, its ``site-packages``, and the directory of its commands."""

    root: str

    @property
    def site(self) -> str:
        """The directory to import from."""
        return os.path.join(self.root, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")

    @property
    def commands(self) -> str:
        """The directory of the commands that came with the packages."""
        return os.path.join(self.root, "commands")

    @property
    def mark(self) -> str:
        """The file that is there once everything is installed."""
        return os.path.join(self.root, "complete")

    @property
    def complete(self) -> bool:
        """Whether everything is installed."""
        return os.path.exists(self.mark)


@dataclass(frozen=True)
class Wanted:
    """What pip is to install.

    Attributes:
        directory: the source.
        texts: requirements.txt and the files that it includes: path and text of each, the first one first.
        package: whether the source itself is a package.
        requirements: the file of requirements, relative to the source.
    """

    directory: str
    texts: Tuple[Tuple[str, str], ...] = ()
    package: bool = False
    requirements: str = REQUIREMENTS

    @property
    def needs_copy(self) -> bool:
        """Whether the source's own files are built or installed."""
        return self.package or any(_LOCAL.search(text) for _, text in self.texts)

    @property
    def title(self) -> str:
        """For messages."""
        parts = [self.requirements] if self.texts else []
        if self.package:
            parts.append("the source, which is a package")
        return " and ".join(parts)


def wanted_of(directory: str, program: str) -> Optional[Wanted]:
    """What a source needs installed, as a training container decides it; None for nothing.

    A shell entry point installs for itself.

    Args:
        directory: the source.
        program: its entry point.
    """
    if program.endswith(".sh"):
        return None
    package = is_package(directory)
    requirements = os.path.join(directory, REQUIREMENTS)
    texts = tuple(_with_includes(requirements, set())) if os.path.isfile(requirements) else ()
    return Wanted(directory, texts, package) if package or texts else None


def requirements_of(directory: str, name: str) -> Optional[Wanted]:
    """What one file of requirements asks for; None when it is not there or asks for nothing."""
    path = os.path.join(directory, name)
    texts = tuple(_with_includes(path, set())) if os.path.isfile(path) else ()
    lines = [line for _, text in texts for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return Wanted(directory, texts, requirements=name) if lines else None


def _with_includes(path: str, seen: set[str]) -> Iterator[Tuple[str, str]]:
    real = os.path.realpath(path)
    if real in seen:
        return
    seen.add(real)
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            text = file.read()
    except OSError:
        # pip says it better, with the line that names the file.
        return
    yield path, text
    for line in text.replace("\\\n", " ").splitlines():
        found = _INCLUDE.match(line)
        if found and "://" not in found[1]:
            yield from _with_includes(os.path.join(os.path.dirname(path), found[1].strip("'\"")), seen)


def overlay_of(wanted: Wanted, environ: Mapping[str, str]) -> Packages:
    """Where the packages are, or will be, kept."""
    cache = os.path.join(os.path.dirname(cache_directory(environ)), "packages")
    return Packages(os.path.join(cache, key_of(wanted, environ, sys.path)))


def key_of(wanted: Wanted, environ: Mapping[str, str], search_path: Sequence[str]) -> str:
    """A name that changes with whatever changes what pip would do; no secret goes into it.

    Args:
        wanted: what is to be installed.
        environ: pip's variables.
        search_path: where the caller's packages are.
    """
    digest = hashlib.sha256()

    def add(*words: str) -> None:
        digest.update("".join(f"{len(word)}:{word}" for word in words).encode("utf-8", "surrogateescape"))

    add(_FORMAT, sys.implementation.cache_tag or "", sys.version, sysconfig.get_platform(), os.path.realpath(sys.prefix))
    for path, text in wanted.texts:
        add(os.path.relpath(path, wanted.directory), mask_text(text))
    for directory in site_directories(search_path):
        add(directory, *_installed(directory))
    for name in sorted(environ):
        if name.startswith("PIP_"):
            add(name, mask_text(environ[name]))
    for path in _configuration_files(environ):
        add(path, mask_text(_text(path)))
    for text in (text for _, text in wanted.texts):
        for place in _PLACE.findall(text):
            add(place, *_state(place))
    if wanted.needs_copy:
        for path in _files_below(wanted.directory):
            add(os.path.relpath(path, wanted.directory), _digest(path))
    return digest.hexdigest()[:32]


def site_directories(search_path: Sequence[str]) -> List[str]:
    """The directories of installed packages of a search path."""
    return [path for path in search_path if os.path.basename(path) in ("site-packages", "dist-packages") and os.path.isdir(path)]


def _installed(directory: str) -> List[str]:
    ends = (".dist-info", ".egg-info", ".egg-link", ".pth")
    return sorted(name for name in os.listdir(directory) if name.endswith(ends))


def _configuration_files(environ: Mapping[str, str]) -> List[str]:
    home = environ.get("HOME", "")
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    named = [
        environ.get("PIP_CONFIG_FILE", ""),
        "/etc/pip.conf",
        "/etc/xdg/pip/pip.conf",
        os.path.join(home, ".pip", "pip.conf"),
        os.path.join(config, "pip", "pip.conf"),
        os.path.join(sys.prefix, "pip.conf"),
    ]
    return [path for path in named if path and os.path.isfile(path)]


def _state(place: str) -> List[str]:
    """Names, sizes and times of a file, or of the entries of a directory, that requirements name."""
    try:
        entries = [entry.path for entry in os.scandir(place)] if os.path.isdir(place) else [place]
        found = [(path, os.stat(path)) for path in sorted(entries)]
    except OSError:
        return []
    return [f"{path} {status.st_size} {status.st_mtime_ns}" for path, status in found]


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _files_below(directory: str) -> List[str]:
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(directory) for name in names)


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return "-"
    return digest.hexdigest()


def pip_environment(environ: Mapping[str, str], container: Mapping[str, str]) -> Dict[str, str]:
    """Variables for pip: the caller's, over them pip's of the container; without those that lead it out of the overlay."""
    settings = {name: value for name, value in container.items() if _SETTING.match(name)}
    kept = {name: value for name, value in {**environ, **settings}.items() if name not in _MISLEADING}
    # Also against a pip.conf: an overlay is a virtual environment, which knows no user's packages.
    return {**kept, "PIP_USER": "0", "PYTHONNOUSERSITE": "1"}


def packages_of(
    source: str, plan: LocalPlan, work: str, say: Callable[[str], None], environ: Mapping[str, str]
) -> Optional[Packages]:
    """Install what the source needs, unless an earlier job has; None when it needs nothing.

    Args:
        source: path of the source on this machine.
        plan: the plan.
        work: directory for what is only needed now.
        say: told of progress.
        environ: the caller's variables.

    Raises:
        ConfigError: pip cannot install something; it says what.
    """
    directory = source_directory(source, work)
    wanted = None if directory is None else wanted_of(directory, plan.program)
    return None if wanted is None else installed(wanted, plan, work, say, environ)


def installed(wanted: Wanted, plan: LocalPlan, work: str, say: Callable[[str], None], environ: Mapping[str, str]) -> Packages:
    """Install what is wanted, unless an earlier job has.

    Raises:
        ConfigError: pip cannot install something; it says what.
    """
    from hvdsm.backends.local.install import install

    settings = plan.request.get("Environment") or {}
    if settings.get("CA_REPOSITORY_ARN"):
        say("CA_REPOSITORY_ARN is not used in a rehearsal: packages come from where pip is told to look")
    variables = pip_environment(environ, settings)
    overlay = overlay_of(wanted, variables)
    install(wanted, overlay, variables, work, say)
    return overlay


def source_directory(source: str, work: str) -> Optional[str]:
    """The source as a directory: itself, or unpacked below ``work``; None when it is one file."""
    if os.path.isdir(source):
        return source
    if not os.path.isfile(source) or not tarfile.is_tarfile(source):
        return None
    from hvdsm.container.source import unpack

    target = os.path.join(work, "unpacked")
    os.mkdir(target)
    try:
        unpack(source, target)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise ConfigError(str(error), where=source, remedy="give a tar.gz, or the directory itself") from None
    return target
