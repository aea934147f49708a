"""The launcher: joins the hosts, runs mpirun, watches ranks and hosts, and ends the job the same way on all of them."""

from __future__ import annotations

import signal
import time
from typing import Any, Callable, Dict, List, Optional

from hvdsm.compose.mpirun import MpirunCommand
from hvdsm.container.agent import Agent, Message
from hvdsm.container.conductor import Ledger, launch_failure, mpirun_verdict
from hvdsm.container.config import ContainerConfig, Settings
from hvdsm.container.loop import Loop, Timer
from hvdsm.container.mpirun import Mpirun, compose
from hvdsm.container.relay import Output
from hvdsm.container.rendezvous import Listener, own_address
from hvdsm.container.ssh import free_port
from hvdsm.container.wire import Connection
from hvdsm.errors import EXIT_TIMEOUT, HvdsmError
from hvdsm.model import MPI, NONE, JobOutcome
from hvdsm.model.outcome import KIND_HOST_LOST, KIND_TIMEOUT, RankFailure

MASTER_PORT = 7777
HEARTBEAT = 1.0
# After a failure: how long ranks may take to end by SIGTERM, and how long a silent host is then waited for.
KILL_AFTER = 2.0
SILENT_AFTER = 3.0
MPIRUN_LINGER = 0.1
LEAVE_SECONDS = 2.0
JOIN_AFTER_FAILURE = 60.0


class Launcher:
    """Conducts the job from the first host; ``run`` of the loop ends when :attr:`outcome` is known on all hosts."""

    def __init__(self, loop: Loop, output: Output, config: ContainerConfig, settings: Settings, environ: Dict[str, str]) -> None:
        self.loop = loop
        self.output = output
        self.config = config
        self.settings = settings
        self.cluster = config.cluster
        self.workers = tuple(self.cluster.hosts[1:])
        self.started = time.monotonic()
        self.ledger = Ledger(config.job.name, self.cluster.hosts)
        self.outcome: Optional[JobOutcome] = None
        self.agent = Agent(loop, config, settings, environ, emit=self._from_launcher, emit_lines=output.write, say=output.say)
        self._connections: Dict[str, Connection] = {}
        self._announced: Dict[str, Message] = {}
        self._ready: List[str] = []
        self._mpirun = Mpirun(loop, output, self.agent)
        self._command: Optional[MpirunCommand] = None
        self._ending: Optional[Timer] = None
        self._listener: Optional[Listener] = None
        self._finished = False

    # ------------------------------------------------------------------ joining

    def start(self) -> None:
        """Begin; everything else follows from events."""
        if self.workers:
            self._listener = Listener(self.loop, self.workers, self.settings.rendezvous_port, self.settings.token, self._joined)
            self.loop.later(self.settings.rendezvous_timeout, self._join_overdue)
            self.loop.every(HEARTBEAT, self._beat)
        try:
            announcement = self.agent.prepare()
            if self.config.job.distribution.kind == MPI:
                assert self.agent.session is not None
                self._command = compose(self.config, self.settings, self.agent, self.agent.session)
        except HvdsmError as error:
            self._broken(self.cluster.launcher, str(error), error.exit_code)
            return
        self._announced[self.cluster.launcher] = announcement
        self._all_joined()

    def _joined(self, host: str, announcement: Message, connection: Connection) -> None:
        self._connections[host] = connection
        self._announced[host] = announcement
        connection.on_message = lambda message: self._from(host, message)
        connection.on_lines = self._lines
        connection.on_close = lambda reason: self._lost(host, reason)
        if announcement.get("error"):
            self._broken(host, str(announcement["error"]), int(announcement.get("exit_code", 78)))
        elif self._ending:
            self._finish_if_over()
        else:
            self._all_joined()

    def _join_overdue(self) -> None:
        if self._listener and self._listener.missing and not self._ending:
            missing = ", ".join(sorted(self._listener.missing, key=self.cluster.hosts.index))
            message = (
                f"{missing} did not join within {self.settings.rendezvous_timeout:.0f} s; "
                "the security group must allow all TCP between the hosts of the job"
            )
            self._fail(RankFailure(KIND_TIMEOUT, message, EXIT_TIMEOUT, host=self.cluster.launcher, time=time.time()))

    def _all_joined(self) -> None:
        if self._ending or len(self._announced) < len(self.cluster.hosts):
            return
        self._phase("hosts joined", f"{len(self._announced)} of {len(self.cluster.hosts)} hosts joined")
        assert self.agent.session is not None
        keys = {}
        if self._announced[self.cluster.launcher]["host_key"]:
            own = own_address(self._connections)
            keys = {host: {"address": own, **announced} for host, announced in self._announced.items()}
        alone = not self.workers
        message = {
            "do": "setup",
            "session": self.agent.session,
            "keys": keys,
            "master_address": "127.0.0.1" if alone else self.cluster.launcher,
            "master_port": free_port(MASTER_PORT),
            "exported": list(self._command.exported) if self._command else [],
        }
        self._tell(message)

    # ------------------------------------------------------------------ starting

    def _launch(self) -> None:
        if self.workers and self.config.job.distribution.kind == MPI:
            self._phase("ssh ready", f"ssh ready on {len(self._ready)} of {len(self.cluster.hosts)} hosts")
        self.loop.later(self.settings.launch_timeout, self._launch_overdue)
        if self._command:
            self._mpirun.start(self._command)
            return
        plain = self.config.job.distribution.kind == NONE
        count = 1 if plain else self.config.job.distribution.processes_per_host or self.agent.facts.slots
        for index, host in enumerate(self.cluster.hosts):
            ranks = [
                {
                    "rank": index * count + i,
                    "local_rank": i,
                    "world_size": count * len(self.cluster.hosts),
                    "local_world_size": count,
                }
                for i in range(count)
            ]
            self._tell_host(host, {"do": "spawn", "ranks": ranks, "plain": plain})

    def _launch_overdue(self) -> None:
        if not self.ledger.all_started and not self._ending:
            message = f"only {len(self.ledger.started)} ranks had started after {self.settings.launch_timeout:.0f} s"
            self._fail(RankFailure(KIND_TIMEOUT, message, EXIT_TIMEOUT, output_tail=self._mpirun.tail, time=time.time()))

    # ------------------------------------------------------------------ events

    def _from_launcher(self, message: Message) -> None:
        self._from(self.cluster.launcher, message)

    def _from(self, host: str, message: Message) -> None:
        said, now = message.get("say"), time.time()
        if said == "ready":
            self._ready.append(host)
            if len(self._ready) == len(self.cluster.hosts) and not self._ending:
                self._launch()
        elif said == "started":
            self.ledger.on_started(host, message)
            if self.ledger.all_started and "ranks running" not in self.ledger.phases:
                self._phase("ranks running", f"{len(self.ledger.started)} of {self.ledger.world_size} ranks running")
                if self.ledger.stopping:
                    self._tell({"do": "signal", "signal": int(signal.SIGTERM)})
        elif said == "failure":
            self.ledger.on_failure(host, message, now)
            self._tell_host(host, {"do": "ack", "rank": message["rank"]})
        elif said == "exited":
            self.ledger.on_exited(host, message, now)
            if message.get("exit_code"):
                self._tell_host(host, {"do": "ack", "rank": message["rank"]})
        elif said == "error":
            self._broken(host, str(message["message"]), int(message["exit_code"]))
        elif said == "stop":
            self.stop(host)
        if said in ("failure", "exited"):
            self._weigh()

    def _lines(self, lines: bytes) -> None:
        self.output.write(lines)
        if self.output.full:
            self.hold(True)

    def hold(self, paused: bool) -> None:
        """Let ranks wait while the log cannot take more, or go on."""
        for connection in self._connections.values():
            connection.pause(paused)
        if self.agent.ranks:
            self.agent.ranks.pause(paused)

    def child_ended(self) -> None:
        """SIGCHLD: mpirun may have ended."""
        self.agent.reap()
        if not self._mpirun.just_ended():
            return
        if not self.ledger.all_ended:
            # Reports of workers' ranks are still on their way.
            self.loop.later(SILENT_AFTER if self._mpirun.code == 0 else 0.3, self._weigh_mpirun)
        else:
            self._weigh_mpirun()

    def _weigh_mpirun(self) -> None:
        if self.ledger.all_succeeded or self._ending:
            self._finish_if_over()
            return
        options = self.config.job.distribution.custom_mpi_options
        message, code = mpirun_verdict(self._mpirun.code, len(self.ledger.started), self._mpirun.tail, options)
        self._fail(launch_failure(message, code, time.time(), host=self.cluster.launcher, tail=self._mpirun.tail))

    def _weigh(self) -> None:
        if self.ledger.failures and not self.ledger.stopping:
            self._end_ranks()
        elif self.ledger.all_succeeded and "ranks ended" not in self.ledger.phases:
            self._phase("ranks ended", f"{len(self.ledger.ended)} of {self.ledger.world_size} ranks ended with exit code 0")
            self.loop.later(MPIRUN_LINGER, self._finish)
        self._finish_if_over()

    def _beat(self) -> None:
        now = time.monotonic()
        for host, connection in list(self._connections.items()):
            connection.send({"do": "ping"})
            if now - connection.heard > self.settings.host_loss and not connection.paused:
                connection.close()
                self._lost(host, f"silent for {self.settings.host_loss:.0f} s")

    def _lost(self, host: str, reason: str) -> None:
        self._connections.pop(host, None)
        if self._finished:
            if not self._connections:
                self.loop.stop()
            return
        for rank, where in self.ledger.started.items():
            if where == host:
                self.ledger.ended.setdefault(rank, 1)
        # Ranks elsewhere may have failed by this loss before it was noticed: the loss is the cause.
        at = min([failure.time for failure in self.ledger.failures], default=time.time()) - 0.001
        self._fail(RankFailure(KIND_HOST_LOST, f"the host was lost: {reason}", 1, host=host, time=at))

    # ------------------------------------------------------------------ ending

    def _broken(self, host: str, message: str, code: int) -> None:
        self._fail(launch_failure(message, code, time.time(), host=host))

    def _fail(self, failure: RankFailure) -> None:
        self.ledger.fail(failure)
        self._end_ranks()
        self._finish_if_over()

    def stop(self, host: str) -> None:
        """SIGTERM came to the program on a host: pass it to every rank, and give them the grace period."""
        if self.ledger.stopping or self._ending:
            return
        self.ledger.stopping = True
        self.output.say(f"SIGTERM on {host}: passed to all ranks, which have {self.settings.stop_grace:.0f} s to end")
        self._tell({"do": "signal", "signal": int(signal.SIGTERM)})
        self._ending = self.loop.later(self.settings.stop_grace, self._kill_ranks)
        self._finish_if_over()

    def _end_ranks(self) -> None:
        if self._ending:
            return
        self._tell({"do": "signal", "signal": int(signal.SIGTERM)})
        self._ending = self.loop.later(KILL_AFTER, self._kill_ranks)
        if self._listener and self._listener.missing:
            self.loop.later(JOIN_AFTER_FAILURE, self._finish)

    def _kill_ranks(self) -> None:
        self._tell({"do": "signal", "signal": int(signal.SIGKILL)})
        self.loop.later(SILENT_AFTER, self._silent)

    def _silent(self) -> None:
        now = time.monotonic()
        for host in self.ledger.hosts_running():
            connection = self._connections.get(host)
            if connection is not None and now - connection.heard > SILENT_AFTER - HEARTBEAT / 2:
                connection.close()
                self._lost(host, f"silent for {now - connection.heard:.0f} s")
        self._finish()

    def _finish_if_over(self) -> None:
        joining = self._listener is not None and bool(self._listener.missing)
        failed = self._ending is not None and self.ledger.all_ended and not joining
        succeeded = self.ledger.all_succeeded and self._mpirun.ended
        if failed or succeeded:
            self._finish()

    def _finish(self) -> None:
        """The job is over: tell every host, end what is left, leave."""
        if self._finished:
            return
        self._finished = True
        if self._listener:
            self._listener.close()
        self._check_placement()
        self.outcome = self.ledger.outcome(time.monotonic() - self.started)
        self._mpirun.terminate()
        text = self.outcome.to_json()
        for connection in self._connections.values():
            connection.pause(False)
            connection.send({"do": "end", "outcome": text})
        if not self._connections:
            self.loop.stop()
        else:
            self.loop.later(LEAVE_SECONDS, self.loop.stop)

    def close(self) -> None:
        """End what is left on this host."""
        self._mpirun.close()
        self.agent.close()

    def _check_placement(self) -> None:
        """Ranks that all sit on one host are the failure that ends as success."""
        empty = [host for host, count in self.ledger.ranks_per_host().items() if not count]
        if not self.ledger.started or not empty or self.ledger.failures:
            return
        message = f"no rank ran on {', '.join(empty)}; all {len(self.ledger.started)} ran on the other hosts"
        if self.config.job.distribution.custom_mpi_options or self.config.job.distribution.world_size:
            self.ledger.warnings.append(message + ", as the custom options ask")
            self.output.say("warning: " + self.ledger.warnings[-1])
        elif not self.ledger.stopping:
            self.ledger.fail(launch_failure(message, 78, time.time(), host=empty[0]))

    def _phase(self, name: str, text: str) -> None:
        seconds = time.monotonic() - self.started
        self.ledger.phases[name] = round(seconds, 3)
        self.output.say(f"{text} ({seconds:.2f} s)")

    def _tell(self, message: Message) -> None:
        for host in self.cluster.hosts:
            self._tell_host(host, message)

    def _tell_host(self, host: str, message: Message) -> None:
        if host == self.cluster.launcher:
            self.agent.handle(message)
        elif host in self._connections:
            self._connections[host].send(message)


def handlers(launcher: Launcher) -> Dict[int, Callable[[], Any]]:
    """What the launcher does on a signal."""

    def stop() -> None:
        launcher.stop(launcher.cluster.launcher)

    return {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGCHLD: launcher.child_ended}
