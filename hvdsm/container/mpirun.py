"""mpirun on the launcher: finds Open MPI, composes the command, runs it and hears it."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from typing import List, Optional, Tuple

from hvdsm.compose.hostfile import job_hostfile
from hvdsm.compose.mpirun import MpirunCommand, job_command
from hvdsm.container.agent import Agent, with_hvdsm
from hvdsm.container.config import ContainerConfig, Settings
from hvdsm.container.facts import network_interface, probe_mpi
from hvdsm.container.loop import Loop
from hvdsm.container.relay import Output
from hvdsm.model import MpiImplementation

LEAVE_SECONDS = 0.2
TAIL = 8192


def compose(config: ContainerConfig, settings: Settings, agent: Agent, session: str) -> MpirunCommand:
    """Write the hostfile and compose the mpirun command of a job; a wrong option is known before anything starts.

    Raises:
        MpiError: there is no Open MPI, or the custom options cannot be read.
    """
    hosts, distribution = config.cluster.hosts, config.job.distribution
    slots = distribution.processes_per_host or agent.facts.slots
    with open(os.path.join(session, "hostfile"), "w", encoding="utf-8") as file:
        file.write(job_hostfile(hosts, slots))
    mpi = probe_mpi(settings.mpirun, agent.environ)
    return job_command(
        mpi,
        agent.command,
        python=sys.executable,
        hosts=hosts,
        slots=slots,
        world_size=distribution.world_size,
        session=session,
        interface=network_interface(config.cluster.network_interface),
        custom_options=distribution.custom_mpi_options,
        environ=with_hvdsm(agent.environ),
        rehearsal=settings.rehearsal,
        more_variables=mpi4py_variables(mpi, sys.prefix),
    )


def mpi4py_variables(mpi: MpiImplementation, python_prefix: str) -> List[Tuple[str, str]]:
    """``MPI4PY_LIBMPI`` where mpirun is not of the environment that Python runs in.

    mpi4py's wheels load the MPI library of Python's own prefix first, and that of another Open MPI cannot join the job.
    """
    prefix = os.path.dirname(os.path.dirname(mpi.mpirun))
    library = os.path.join(prefix, "lib", "libmpi.so.40")
    if os.path.realpath(prefix) == os.path.realpath(python_prefix) or not os.path.exists(library):
        return []
    return [("MPI4PY_LIBMPI", library)]


class Mpirun:
    """The running mpirun; what it says goes to the log with ``mpirun: `` in front, and its end is kept in :attr:`tail`."""

    def __init__(self, loop: Loop, output: Output, agent: Agent) -> None:
        self._loop = loop
        self._output = output
        self._agent = agent
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._said = b""
        self._quiet = False
        self.ended = False

    def start(self, command: MpirunCommand) -> None:
        """Start it in a session of its own, so that no terminal's signal reaches it past the program."""
        environ = with_hvdsm({**self._agent.environ, "HVDSM_SESSION": str(self._agent.session)})
        self._process = subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._agent.session,
            env=environ,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._loop.watch(self._process.stdout, selectors.EVENT_READ, lambda _events: self._hear())

    @property
    def code(self) -> int:
        """Mpirun's exit code, negative for a signal; 0 while it runs."""
        return (self._process.returncode or 0) if self._process else 0

    @property
    def tail(self) -> str:
        """The last 8 KiB that it said."""
        return self._said.decode(errors="replace")

    def just_ended(self) -> bool:
        """Whether it has ended since the last time this was asked."""
        if self._process is None or self.ended or self._process.poll() is None:
            return False
        self.ended = True
        while self._hear():
            pass
        return True

    def _hear(self) -> bool:
        assert self._process is not None and self._process.stdout is not None
        data = self._process.stdout.read(1 << 16)
        if not data:
            if data == b"":
                self._loop.unwatch(self._process.stdout)
            return False
        self._said = (self._said + data)[-TAIL:]
        if not self._quiet:
            self._output.say(data.decode(errors="backslashreplace"), prefix="mpirun: ")
        return True

    def terminate(self) -> None:
        """The job is over: end it if it has not ended; what it says of that is no news."""
        self._quiet = True
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def close(self) -> None:
        """Wait a moment for its end, then kill it."""
        if self._process is None:
            return
        assert self._process.stdout is not None
        self._loop.unwatch(self._process.stdout)
        try:
            self._process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
