"""Whether jobs can be rehearsed on emulated hosts of this machine."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence

from hvdsm.backends.local.machine import (
    base_environment,
    find_mpirun,
    importable,
    mpirun_on_hosts,
    needed_paths,
    on_emulated_host,
)
from hvdsm.container import mpi_health, ssh_health, vitals
from hvdsm.container.diagnosis import FAILED, Check, Probe, failed, good, of_error, unchecked, warning
from hvdsm.container.doctor import mpi_checks, system_probes
from hvdsm.container.facts import probe_mpi
from hvdsm.container.inquiries import Ran, Run, run
from hvdsm.emulator import Availability, ClusterSpec, probe
from hvdsm.errors import HvdsmError, NamespacesUnavailable
from hvdsm.model import MpiImplementation

# Hosts that are started, and seconds that a program on one may take.
HOSTS = 2
SECONDS = 30.0
# Says how the sshd of another host greets.
_GREETING = "import socket, sys; print(socket.create_connection((sys.argv[1], 22), 10).recv(64).decode().strip())"


def local_probes(environ: Mapping[str, str], mpirun: Optional[str] = None, output: str = ".", runs: Run = run) -> List[Probe]:
    """What is looked into.

    Args:
        environ: the caller's environment.
        mpirun: path that the user gave.
        output: where results would go.
        runs: runs a program.
    """
    if not sys.platform.startswith("linux"):
        return [Probe("platform", lambda: platform(sys.platform))]
    found = find_mpirun(mpirun)
    inner = base_environment(environ)
    alone = "hvdsm cluster -- hostname, to see the same alone"
    return [
        Probe("platform", lambda: platform(sys.platform)),
        Probe("python", lambda: python(environ), needed=True),
        # A path that leads nowhere is named by the check, too.
        Probe("open-mpi", lambda: open_mpi(found or mpirun, inner, runs), 60.0, needed=True),
        Probe("hosts", lambda: hosts(environ, found, runs), 90.0, needed=True, remedy=alone),
        *system_probes(environ, (output,), runs),
    ]


def open_mpi(mpirun: Optional[str], environ: Mapping[str, str], runs: Run) -> List[Check]:
    """Open MPI, and Horovod's; ranks are started on hosts."""
    check, mpi = mpi_health.installation(mpirun, environ, naming="--mpirun ")
    return [check, mpi_health.horovod(mpi_health.horovod_here(environ, runs), mpi)]


def platform(name: str) -> Check:
    """Whether this system has namespaces at all."""
    if name.startswith("linux"):
        return good("platform", "Linux", platform=name)
    what = f"emulated hosts need Linux; this is {name}"
    return failed("platform", what, "a Linux machine or virtual machine, or hvdsm launch --backend docker", platform=name)


def python(environ: Mapping[str, str]) -> Check:
    """Whether this Python will do; the ranks get the one that runs hvdsm, whatever is first on PATH."""
    return vitals.python(replace(vitals.python_here(environ), other=""), oldest=(3, 10), image=False)


def namespaces(found: Availability) -> Check:
    """Whether the kernel lets this user make hosts."""
    who = "root" if os.getuid() == 0 else "an ordinary user, with user namespaces"
    if found.ok:
        return good("namespaces", f"hosts can be made, as {who}", uid=os.getuid())
    return failed("namespaces", found.reason, found.remedy, NamespacesUnavailable.exit_code, uid=os.getuid())


@dataclass(frozen=True)
class HostFacts:
    """What a host said of itself: its checks, as JSON; empty where it said nothing that can be read."""

    name: str
    checks: Mapping[str, Mapping[str, Any]]
    said: str = ""


@dataclass(frozen=True)
class Reached:
    """What came of reaching a host: the greeting of its sshd, and what ``hostname`` said there by ssh."""

    greeting: str
    login: str


def hosts(environ: Mapping[str, str], mpirun: Optional[str], runs: Run) -> List[Check]:
    """ssh; then start two hosts, let each look into itself, reach one from the other by ssh, and start ranks on both.

    Where there are no hosts, ranks are started on this machine: so a launch would do it.
    """
    from hvdsm.emulator import EmulatedCluster

    sudo = "" if os.getuid() == 0 else "sudo "
    by_ssh = ssh_health.ssh(ssh_health.ssh_here(environ, runs, account=False), remedy=f"{sudo}{ssh_health.INSTALL}")
    first = [by_ssh, namespaces(probe())]
    mpi = _working(mpirun, base_environment(environ))
    if first[1].status == FAILED:
        none = unchecked("hosts", "no hosts can be made: a launch starts all ranks on this machine itself")
        return [*first, none, *mpi_checks(mpirun, base_environment(environ), runs)[1:3]]
    if by_ssh.status == FAILED:
        return [*first, unchecked("hosts", "they reach each other by ssh"), unchecked("ranks", "hosts are reached by ssh")]
    started: Optional[_Report] = None
    try:
        began = time.monotonic()
        on_hosts, mounts = mpirun_on_hosts(mpirun) if mpirun else (None, ())
        spec = ClusterSpec(HOSTS, mounts=mounts, visible=needed_paths(mpirun), sshd=True)
        with EmulatedCluster.start(spec) as cluster:
            seconds = time.monotonic() - began
            own = {**importable(on_emulated_host(base_environment(environ))), **({"HVDSM_MPIRUN": on_hosts} if on_hosts else {})}
            names = [host.name for host in cluster.hosts]
            argv = [sys.executable, "-m", "hvdsm.container", "--doctor", "--quick", "--json"]
            reports = [_Report(cluster, name, argv, own) for name in names]
            if mpi is not None:
                words = mpi_health.rank_words(replace(mpi, mpirun=on_hosts or mpi.mpirun), names)
                argv = [*words, *mpi_health.rank_program()]
                started = _Report(cluster, names[0], argv, mpi_health.without_outer(own), mpi_health.START_SECONDS)
            greetings = [_Report(cluster, names[0], [sys.executable, "-c", _GREETING, name], own) for name in names[1:]]
            logins = [_Report(cluster, names[0], ["ssh", name, "hostname"], own) for name in names[1:]]
            facts = [_facts(name, report.text()) for name, report in zip(names, reports)]
            reached = {
                name: Reached(greeting.last(), login.last()) for name, greeting, login in zip(names[1:], greetings, logins)
            }
            ran = started.ran() if started is not None else None
    except HvdsmError as error:
        check = of_error("hosts", error)
        return [*first, check if check.remedy else replace(check, remedy="hvdsm cluster -- hostname, to see the same alone")]
    return [*first, judge_hosts(facts, reached, seconds, mpi is not None), *_ranks(ran, mpirun, names), *_of_hosts(facts)]


def _working(mpirun: Optional[str], environ: Mapping[str, str]) -> Optional[MpiImplementation]:
    try:
        return probe_mpi(mpirun, environ) if mpirun else None
    except HvdsmError:
        # A check of its own.
        return None


def _ranks(ran: Optional[Ran], mpirun: Optional[str], names: Sequence[str]) -> List[Check]:
    if ran is None:
        return [unchecked("ranks", "there is no Open MPI to start them")]
    by_hand = f"hvdsm cluster -- {shlex.quote(str(mpirun))} --allow-run-as-root -H {','.join(names)} -np {len(names)} hostname"
    return mpi_health.ranks(ran, by_hand, f"on {len(names)} emulated hosts")


def _of_hosts(facts: Sequence[HostFacts]) -> List[Check]:
    """What the first host tells of what a host has for itself."""
    told = [facts[0].checks[name] for name in ("interface", "shm") if name in facts[0].checks]
    return [
        Check(one["name"], one["status"], one["what"], one.get("remedy", ""), one.get("exit_code", 0), one.get("facts", {}))
        for one in told
    ]


def judge_hosts(facts: Sequence[HostFacts], reached: Mapping[str, Reached], seconds: float, with_mpi: bool) -> Check:
    """Whether the hosts are alike, and reach each other.

    Args:
        facts: of each host.
        reached: what came of reaching the others from the first.
        seconds: that the hosts took to come up.
        with_mpi: whether this machine has an Open MPI, which they must then see.
    """
    name = "hosts"
    told = {host.name: _told(host) for host in facts}
    silent = [host for host in facts if not host.checks]
    if silent:
        what = f"{silent[0].name} came up, but the container program does not run there: {silent[0].said}"
        return failed(name, what, "hvdsm cluster -- hvdsm doctor container, to see the same alone", **told)
    missing = ("open-mpi", "ssh") if with_mpi else ("ssh",)
    wrong = [(host, host.checks[one]) for host in facts for one in missing if host.checks.get(one, {}).get("status") == FAILED]
    if wrong:
        host, check = wrong[0]
        return failed(
            name, f"{host.name}: {check['what']}", str(check.get("remedy", "")), int(check.get("exit_code", 69)), **told
        )
    lost = [f"{other} ({one.greeting or 'no answer'})" for other, one in reached.items() if not one.greeting.startswith("SSH-")]
    if lost:
        what = f"{facts[0].name} does not reach sshd on {', '.join(lost)}"
        return failed(name, what, "hvdsm cluster -- ssh algo-2 hostname", **told)
    alike = {json.dumps(one, sort_keys=True) for one in told.values()}
    one = next(iter(told.values()))
    each = f"each with Open MPI {one['open_mpi']}" if one.get("open_mpi") else "without Open MPI"
    if len(alike) > 1:
        return failed(name, f"the hosts differ: {told}", "hvdsm cluster -- bash, to look around", **told)
    what = f"{len(facts)} came up in {seconds:.2f} s, {each}, interface {one.get('interface')}"
    refused = [f"{other} ({one.login})" for other, one in reached.items() if one.login != other]
    if refused:
        # Jobs bring keys and configuration of their own.
        what += f"; a login of one's own on {', '.join(refused)} is refused, which jobs do without"
        return warning(name, what, f"hvdsm cluster -- ssh -v {next(iter(reached))} hostname, to see why", **told)
    return good(name, f"{what}; ssh leads from one to the other", **told)


def _told(host: HostFacts) -> Dict[str, Any]:
    def fact(check: str, name: str) -> Any:
        return host.checks.get(check, {}).get("facts", {}).get(name)

    return {
        "open_mpi": fact("open-mpi", "version"),
        "mpirun": fact("open-mpi", "mpirun"),
        "python": fact("python", "version"),
        "ssh": fact("ssh", "version"),
        "interface": fact("interface", "used"),
    }


def _facts(name: str, text: str) -> HostFacts:
    try:
        checks = json.loads(text[text.index("{") : text.rindex("}") + 1])["checks"]
        return HostFacts(name, {check["name"]: check for check in checks})
    except (ValueError, KeyError, TypeError):
        said = text.strip().splitlines()
        return HostFacts(name, {}, said[-1][:300] if said else "it says nothing")


class _Report:
    """A program on a host, and what it says."""

    def __init__(
        self, cluster: Any, host: str, argv: Sequence[str], environ: Mapping[str, str], seconds: float = SECONDS
    ) -> None:
        self._seconds = seconds
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it is read
        self._process: Any = None
        self._error = ""
        try:
            self._process = cluster.popen(
                host, argv, env=environ, cwd="/", stdin=subprocess.DEVNULL, stdout=self._file, stderr=subprocess.STDOUT
            )
        except OSError as error:
            self._error = str(error)

    def ran(self) -> Ran:
        """How it ended, and all that it said."""
        with self._file:
            if self._process is None:
                return Ran(None, self._error)
            code: Optional[int] = None
            try:
                code = self._process.wait(self._seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._file.seek(0)
            text = self._file.read().decode(errors="replace")
            return Ran(code, text if code is not None else f"{text}\nno answer within {self._seconds:g} s")

    def text(self) -> str:
        """All of it, once the program has ended."""
        return self.ran().text

    def last(self) -> str:
        """The last line of it."""
        said = self.text().strip().splitlines()
        return said[-1].strip()[:300] if said else ""
