"""A worker: joins the launcher, lets its agent do what the launcher asks, and ends with the job's outcome."""

from __future__ import annotations

import json
import signal
import time
from typing import Any, Callable, Dict, Optional

from hvdsm.container.agent import Agent, Message
from hvdsm.container.alone import Alone
from hvdsm.container.conductor import launch_failure
from hvdsm.container.config import ContainerConfig, Settings
from hvdsm.container.loop import Loop
from hvdsm.container.relay import Output
from hvdsm.container.rendezvous import Joiner
from hvdsm.container.wire import Connection
from hvdsm.errors import EXIT_CONFIG, EXIT_TIMEOUT
from hvdsm.model import JobOutcome, RankFailure
from hvdsm.model.outcome import FAILED, KIND_HOST_LOST, KIND_LAUNCH, KIND_TIMEOUT, STOPPED

HEARTBEAT = 1.0
MAX_BACKLOG = 16 << 20


class Worker:
    """This host's side of the connection to the launcher; ``run`` of the loop ends when :attr:`outcome` is known."""

    def __init__(self, loop: Loop, output: Output, config: ContainerConfig, settings: Settings, environ: Dict[str, str]) -> None:
        self.loop = loop
        self.output = output
        self.config = config
        self.settings = settings
        self.started = time.monotonic()
        self.outcome: Optional[JobOutcome] = None
        self.agent = Agent(loop, config, settings, environ, emit=self._emit, emit_lines=self._lines, say=output.say)
        self._connection: Optional[Connection] = None
        self._joiner: Optional[Joiner] = None
        self._alone: Optional[Alone] = None
        self._stop_asked = False

    def start(self) -> None:
        """Prepare this host and join the launcher, which also hears of a preparation that failed."""
        self.agent.prepare(self._prepared)

    def _prepared(self, announcement: Message) -> None:
        if self.outcome is not None:
            return
        if self.config.independent and not announcement.get("error"):
            self._alone = Alone(self.loop, self.config, self.settings, self.agent, self.output.say, self._ended_alone)
            self._alone.begin()
        self._joiner = Joiner(
            self.loop,
            self.config.cluster.launcher,
            self.settings.rendezvous_port,
            self.settings.token,
            announcement,
            timeout=self.settings.rendezvous_timeout,
            say=self.output.say,
            on_joined=self._joined,
            on_failed=self._not_joined,
        )

    def _ended_alone(self, outcome: JobOutcome) -> None:
        self.outcome = outcome
        self.loop.stop()

    def _not_joined(self, why: str) -> None:
        if self._alone is not None:
            self._alone.given_up = True
            self.output.say(f"warning: {why}; this host goes on alone")
            return
        host, refused = self.config.cluster.current_host, self._joiner is not None and self._joiner.refused
        kind, code = (KIND_LAUNCH, EXIT_CONFIG) if refused else (KIND_TIMEOUT, EXIT_TIMEOUT)
        self._end(RankFailure(kind, why, code, host=host, time=time.time()))

    def _joined(self, connection: Connection) -> None:
        self._connection = connection
        connection.on_message = self._told
        connection.on_close = self._launcher_lost
        self.output.say(f"joined {self.config.cluster.launcher} ({time.monotonic() - self.started:.2f} s)")
        if self._alone is not None:
            for event in self._alone.take_over():
                connection.send(event)
        if self._stop_asked:
            connection.send({"say": "stop"})
        self.loop.every(HEARTBEAT, self._beat)

    def _beat(self) -> None:
        connection = self._connection
        if connection is None:
            return
        connection.send({"say": "ping"})
        if time.monotonic() - connection.heard > self.settings.host_loss:
            connection.close()
            self._launcher_lost(f"silent for {self.settings.host_loss:.0f} s")

    def _told(self, message: Message) -> None:
        if message.get("do") == "end":
            self.outcome = JobOutcome.from_dict(json.loads(message["outcome"]))
            if self.agent.ranks:
                self.agent.ranks.close()
                self.agent.ranks = None
            assert self._connection is not None
            self._connection.when_drained(self.loop.stop)
        else:
            self.agent.handle(message)

    def _launcher_lost(self, reason: str) -> None:
        self._connection = None
        if self.outcome is None:
            name = self.config.cluster.launcher
            self._end(RankFailure(KIND_HOST_LOST, f"the launcher was lost: {reason}", 1, host=name, time=time.time()))
        else:
            self.loop.stop()

    def _end(self, failure: RankFailure) -> None:
        status, code = (STOPPED, 143) if self._stop_asked else (FAILED, failure.exit_code)
        self.outcome = JobOutcome(
            job_name=self.config.job.name,
            status=status,
            exit_code=code,
            failure=None if self._stop_asked else failure,
            seconds=time.monotonic() - self.started,
        )
        self.loop.stop()

    def _emit(self, message: Message) -> None:
        if self._connection is not None:
            self._connection.send(message)
        elif self._alone is not None:
            self._alone.hear(message)

    def _lines(self, lines: bytes) -> None:
        """To this host's own log, and to the launcher's, where users of mpirun look for all ranks."""
        if not lines:
            return
        self.output.write(lines)
        connection = self._connection
        if connection is not None:
            connection.send_lines(lines)
            if connection.backlog > MAX_BACKLOG or self.output.full:
                self.agent.pause(True)
                connection.when_drained(self._resume)

    def _resume(self) -> None:
        if not self.output.roomy:
            self.loop.later(0.02, self._resume)
        else:
            self.agent.pause(False)

    def stop(self) -> None:
        """SIGTERM came here: the launcher passes it to all ranks of the job."""
        self._stop_asked = True
        if self._connection is not None:
            self._connection.send({"say": "stop"})
        elif self._alone is not None:
            self._alone.stop(self.settings.stop_grace)
        else:
            self._end(launch_failure("stopped before the launcher was joined", 143, time.time()))

    def close(self) -> None:
        """End what is left on this host."""
        self.agent.close()


def handlers(worker: Worker) -> Dict[int, Callable[[], Any]]:
    """What a worker does on a signal."""
    return {signal.SIGTERM: worker.stop, signal.SIGINT: worker.stop, signal.SIGCHLD: worker.agent.reap}
