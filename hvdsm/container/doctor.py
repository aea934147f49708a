"""``hvdsm-train --doctor``: whether this image can run jobs, and what it lacks, with the lines of a Dockerfile that bring it.

It runs wherever the container program does, as one file, too, changes nothing, and may be an image's health check.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
from typing import Callable, FrozenSet, List, Mapping, Optional, Sequence

from hvdsm.compose.inherited import clean_environment
from hvdsm.compose.needs import (
    APK,
    ImageFacts,
    Missing,
    Wanted,
    dockerfile,
    install_line,
    manager_of,
    missing_modules,
    missing_programs,
)
from hvdsm.container import accelerators, mpi_health, ssh_health, vitals
from hvdsm.container.diagnosis import Check, Probe, as_json, examine, exit_code, failed, good, lines, note, unchecked, warning
from hvdsm.container.facts import find_mpirun, sshd_path
from hvdsm.container.image import OS_RELEASE
from hvdsm.container.inquiries import Run, run
from hvdsm.container.packages import version_of, versions
from hvdsm.errors import EXIT_CONFIG
from hvdsm.model import MPI, NONE, TORCH_DISTRIBUTED

GOAL = "container"
KINDS = (MPI, TORCH_DISTRIBUTED, NONE)
# What a script may want, by the names of its modules.
PACKAGES = ("torch", "tensorflow", "horovod", "mpi4py", "lightning", "dgl", "graphstorm", "numpy", "boto3")


def container_probes(
    environ: Mapping[str, str], *, kind: str = MPI, hosts: int = 2, quick: bool = False, runs: Run = run
) -> List[Probe]:
    """What is looked into in an image.

    Args:
        environ: the container's environment.
        kind: distribution of the jobs that are meant; what others need is no failure.
        hosts: their hosts.
        quick: whether to start no ranks.
        runs: runs a program.
    """
    wanted = Wanted(kind, hosts=hosts, mpirun=environ.get("HVDSM_MPIRUN"))
    facts = image_facts(environ)

    def remedy(missing: Sequence[Missing]) -> str:
        return "add to the image's Dockerfile:\n" + "\n".join(dockerfile(missing, facts)) if missing else ""

    pip = install_line(facts.manager, ["py3-pip" if facts.manager == APK else "python3-pip"]) if facts.manager else ""
    found = missing_programs(facts, wanted)
    mpi = [one for one in found if one.what.endswith("Open MPI 4.1 or 5")]
    ssh = [one for one in found if one not in mpi]
    listed = [Probe("python", lambda: vitals.python(vitals.python_here(environ), pip=pip), needed=True)]
    if kind == MPI:

        def look_at_mpi() -> List[Check]:
            return mpi_checks(wanted.mpirun, environ, runs, quick=quick, remedy=remedy(mpi))

        def look_at_ssh() -> Check:
            return ssh_health.ssh(ssh_health.ssh_here(environ, runs), hosts=hosts, remedy=remedy(ssh) or ssh_health.INSTALL)

        listed += [Probe("open-mpi", look_at_mpi, 90.0, needed=True), Probe("ssh", look_at_ssh, needed=True)]
    if kind == TORCH_DISTRIBUTED:
        listed.append(Probe("torch", lambda: _torch(remedy(missing_modules(facts, wanted)))))
    return [
        *listed,
        Probe("train", lambda: train(environ)),
        Probe("packages", packages),
        *network_probes(),
        *system_probes(environ, (), runs, mounted=(base_directory(environ),)),
    ]


def network_probes() -> List[Probe]:
    """How ranks reach each other; emulated hosts have their own of both."""
    return [
        Probe("interface", lambda: vitals.interface(vitals.interfaces_here(), loopback=vitals.loopback_here())),
        Probe("shm", lambda: vitals.shared_memory(next(iter(vitals.spaces_here((vitals.SHM,))), None))),
    ]


def system_probes(
    environ: Mapping[str, str], directories: Sequence[str], runs: Run = run, *, mounted: Sequence[str] = ()
) -> List[Probe]:
    """What is looked into wherever ranks run.

    Args:
        environ: environment.
        directories: where results go.
        runs: runs a program.
        mounted: more of them, where the platform puts something of its own.
    """
    return [
        Probe("memory", lambda: vitals.memory(vitals.memory_here())),
        Probe("disk", lambda: vitals.disk(vitals.spaces_here(directories, mounted), vitals.temporary_here(environ))),
        Probe("gpu", lambda: accelerators.accelerators(accelerators.accelerators_here(environ, runs)), 45.0),
    ]


def mpi_checks(
    mpirun: Optional[str], environ: Mapping[str, str], runs: Run = run, *, quick: bool = False, remedy: str = ""
) -> List[Check]:
    """Open MPI, ranks that it starts, and what of Python is built against it.

    Args:
        mpirun: its mpirun, if it is named.
        environ: environment of the ranks.
        runs: runs a program.
        quick: whether to start no ranks.
        remedy: what brings an Open MPI that is missing.
    """
    first, mpi = mpi_health.installation(mpirun, environ, remedy)
    found = [first]
    if mpi is None or first.code:
        found += [unchecked("ranks", "there is no Open MPI to start them"), _mpi4py_unused()]
    elif quick:
        found.append(_mpi4py_unused())
    else:
        by_hand = shlex.join([*mpi_health.rank_words(mpi), "hostname"])
        found += mpi_health.ranks(mpi_health.start_ranks(mpi, environ, runs), by_hand)
    return [*found, mpi_health.horovod(mpi_health.horovod_here(environ, runs), mpi)]


def _mpi4py_unused() -> Check:
    version = version_of("mpi4py")
    if version is None:
        return note("mpi4py", "not here: scripts that import it need it", f"{sys.executable} -m pip install mpi4py")
    return unchecked("mpi4py", f"{version}; what it is built against shows when ranks are started", version=version)


def image_facts(environ: Mapping[str, str]) -> ImageFacts:
    """What of programs and of the distribution decides on the lines of a Dockerfile."""
    programs = {name for name in ("ssh", "ssh-keygen") if shutil.which(name, path=environ.get("PATH"))}
    programs |= {"sshd"} if sshd_path(environ) else set()
    programs |= {"mpirun"} if find_mpirun(environ.get("HVDSM_MPIRUN"), environ) else set()
    modules: FrozenSet[str] = frozenset(name for name in ("torch", "mpi4py") if version_of(name) is not None)
    return ImageFacts(
        programs=frozenset(programs),
        modules=modules,
        manager=manager_of(vitals.text_of(OS_RELEASE)),
        conda=os.path.isdir(os.path.join(sys.prefix, "conda-meta")),
        pip=version_of("pip") is not None,
        user="root" if os.getuid() == 0 else str(os.getuid()),
    )


def train(environ: Mapping[str, str]) -> Check:
    """Whether the word that SageMaker starts an image by leads to this program."""
    name = "train"
    path = shutil.which("train", path=environ.get("PATH"))
    link = 'RUN ln -s "$(command -v hvdsm-train)" /usr/local/bin/train'
    if path is None:
        what = "no program of this name: SageMaker needs one, or the program that hvdsm launch ships (--container-program bundle)"
        return note(name, what, f"add to the image's Dockerfile:\n{link}")
    real = os.path.realpath(path)
    try:
        with open(real, "rb") as file:
            ours = b"hvdsm" in file.read(1 << 16) or os.path.basename(real) == "hvdsm-train"
    except OSError as error:
        return warning(name, f"{path} cannot be read: {error.strerror}", f"chmod 755 {path}", path=path)
    if ours:
        return good(name, f"{path} leads to hvdsm", path=path, leads_to=real)
    what = f"{path} is another program: what it does with a job is its own matter"
    return note(
        name, what, f"hvdsm launch --container-program bundle ships hvdsm beside it; or:\n{link}", path=path, leads_to=real
    )


def packages() -> Check:
    """What of the usual packages is there."""
    found = versions(PACKAGES)
    what = ", ".join(f"{name} {version}" for name, version in found.items())
    return good("packages", what, **found) if found else note("packages", "none of the usual frameworks is here")


def _torch(remedy: str) -> Check:
    version = version_of("torch")
    if version is None:
        return failed("torch", "not here: torchrun, which starts the ranks, is part of it", remedy, EXIT_CONFIG)
    return good("torch", f"{version}, with torchrun", version=version)


def base_directory(environ: Mapping[str, str]) -> str:
    """Where the platform puts data and takes results from."""
    return environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml"


def main(argv: Sequence[str], environ: Mapping[str, str], write: Callable[[str], object]) -> int:
    """Look into this image and print what was found.

    Args:
        argv: words after ``--doctor``.
        environ: the container's environment.
        write: writes text to standard output.

    Returns:
        0 where jobs can run, else 69 or 78.
    """
    parser = argparse.ArgumentParser(
        prog="hvdsm-train --doctor", description="Check whether this image can run training jobs; nothing is changed."
    )
    parser.add_argument("--distribution", choices=KINDS, default=MPI, help="of the jobs that are meant (default: mpi)")
    parser.add_argument("--instance-count", type=int, default=2, metavar="N", help="their hosts (default: 2)")
    parser.add_argument("--quick", action="store_true", help="start no ranks, as for a health check while a job runs")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
    given = parser.parse_args(list(argv))
    cleaned, notes = clean_environment(environ)

    def say(text: str) -> None:
        sys.stderr.write(f"hvdsm: {text}\n")

    for text in notes:
        say(text)
    probes = container_probes(cleaned, kind=given.distribution, hosts=given.instance_count, quick=given.quick)
    try:
        checks = examine(probes, say)
    except KeyboardInterrupt:
        say("interrupted; nothing was changed")
        return 130
    code = exit_code(checks)
    if given.as_json:
        write(json.dumps(as_json(GOAL, checks), indent=2) + "\n")
    else:
        text = "".join(f"{line}\n" for line in (*lines(checks), f"hvdsm: {verdict(checks)}"))
        # An image may have a locale without the letters that a program has said.
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        write(text.encode(encoding, "backslashreplace").decode(encoding))
    return code


def verdict(checks: Sequence[Check], what: str = "this image can run jobs") -> str:
    """One line on a goal."""
    wrong = [check.name for check in checks if check.status == "failed"]
    if wrong:
        return f"not yet: {what} once this is put right: {', '.join(wrong)}"
    warned = [check.name for check in checks if check.status == "warning"]
    open_ = [check.name for check in checks if check.status == "not checked"]
    more = [f"look at {', '.join(warned)}"] if warned else []
    more += [f"not checked: {', '.join(open_)}"] if open_ else []
    return "; ".join([what, *more])
