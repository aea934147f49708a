"""Starts the ranks of a run: by mpirun on the launcher, by torchrun on every host, or the script once on each."""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, Optional, Sequence

from hvdsm.container.agent import Agent, Message
from hvdsm.container.attempt import Attempt
from hvdsm.container.config import ContainerConfig, Settings
from hvdsm.container.facts import ASSUMED, find_mpirun, probe_mpi
from hvdsm.container.mpirun import compose, mpirun_environment
from hvdsm.container.reserved import borrowed
from hvdsm.container.same_mpi import installation
from hvdsm.errors import HvdsmError
from hvdsm.model import MPI, NONE, MpiImplementation

Announced = Mapping[str, Message]


class Starting:
    """Knows how this job's ranks are started; for mpirun it finds Open MPI once.

    Args:
        config: what the platform wrote.
        settings: hvdsm's own settings.
        agent: the launcher's agent.
    """

    def __init__(self, config: ContainerConfig, settings: Settings, agent: Agent) -> None:
        self._config = config
        self._settings = settings
        self._agent = agent
        self._mpi: Optional[MpiImplementation] = None

    @property
    def known(self) -> bool:
        """Whether everything is known that the start needs."""
        return self._config.job.distribution.kind != MPI or self._mpi is not None

    @property
    def installation(self) -> Dict[str, str]:
        """What workers compare their Open MPI with; empty for one host or without mpirun."""
        alone = len(self._config.cluster.distribution_hosts) == 1
        return {} if self._mpi is None or alone else installation(self._mpi)

    def find_mpi(self, done: Callable[[], None], broken: Callable[[HvdsmError], None]) -> Callable[[], None]:
        """In a thread, since finding Open MPI takes as long as making keys; returns what is to be called in the loop.

        That there is none is the agent's to say, together with what else the image lacks.
        """
        if find_mpirun(self._settings.mpirun, self._agent.environ) is None:
            return lambda: None
        try:
            found = probe_mpi(self._settings.mpirun, self._agent.environ)
        except HvdsmError as error:
            caught = error
            return lambda: broken(caught)

        def probed() -> None:
            self._mpi = found
            if found.version == ASSUMED:
                self._agent.say(f"warning: {found.mpirun} does not tell its version; it is taken for Open MPI 4.1")
            done()

        return probed

    def slots(self, announced: Announced) -> List[int]:
        """Processes of each host of the distribution: what the job asks for, else what each host has."""
        wanted = self._config.job.distribution.processes_per_host
        return [wanted or int(announced[host]["slots"]) for host in self._config.cluster.distribution_hosts]

    def exported(self, announced: Announced) -> List[str]:
        """Names of the variables that mpirun sends with values of its own.

        Raises:
            MpiError: the custom options cannot be read.
        """
        if self._mpi is None:
            return []
        return list(compose(self._config, self._settings, self._agent, self._mpi, self.slots(announced)).exported)

    def start(self, attempt: Attempt, announced: Announced, phase: Callable[[str, str], None]) -> None:
        """Start the ranks of a run, and the script on the hosts outside of the distribution.

        Raises:
            HvdsmError: the command cannot be composed.
            OSError: mpirun cannot be started.
        """
        cluster, distribution = self._config.cluster, self._config.job.distribution
        hosts = cluster.distribution_hosts
        if distribution.kind == NONE:
            # Hosts that do not wait for each other start their own at first; a restart is the launcher's, for those that joined.
            own = self._config.independent and not attempt.number
            there = [host for host in cluster.hosts if host == cluster.launcher or (not own and host in announced)]
            attempt.start_plainly({host: cluster.hosts.index(host) for host in there}, len(cluster.hosts))
            return
        slots = self.slots(announced)
        replaced = borrowed(self._config.job.reserved)
        for text in (*([replaced] if replaced else ()), *too_many(hosts, slots, announced, distribution.world_size)):
            attempt.ledger.warnings.append(text)
            self._agent.say(f"warning: {text}")
        if self._mpi is not None:
            if len(hosts) > 1:
                phase("ssh ready", f"ssh ready on {len(hosts)} of {len(hosts)} hosts")
            command = compose(self._config, self._settings, self._agent, self._mpi, slots)
            attempt.mpirun.start(command.argv, mpirun_environment(self._agent), str(self._agent.session))
            attempt.started_by_mpirun()
        else:
            attempt.start_torchrun(hosts, slots)
        if attempt.ledger.plain:
            first = distribution.world_size or sum(slots)
            attempt.start_plainly({host: first + index for index, host in enumerate(attempt.ledger.plain)}, 1)


def too_many(hosts: Sequence[str], slots: Sequence[int], announced: Announced, world_size: Optional[int]) -> List[str]:
    """What is said when more ranks are asked for than hosts have accelerators, or than all slots together."""
    texts = []
    for host, count in zip(hosts, slots):
        has = int(announced[host].get("accelerators", 0))
        if 0 < has < count:
            texts.append(f"{count} processes a host are asked for, and {host} has {has} accelerator{'s' if has != 1 else ''}")
            break
    if world_size and world_size > sum(slots):
        texts.append(f"sagemaker_mpi_num_processes asks for {world_size} ranks, and the hosts have {sum(slots)} slots")
    return texts
