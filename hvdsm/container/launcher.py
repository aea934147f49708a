"""The launcher: joins the hosts, runs the ranks, and ends the job the same way on all hosts."""

from __future__ import annotations

import signal
import time
from typing import Any, Callable, Dict, Optional

from hvdsm.compose.failure import headline
from hvdsm.container.agent import Agent, Message
from hvdsm.container.alone import LINGER, absent_text, own_setup
from hvdsm.container.attempt import Attempt
from hvdsm.container.brake import Brake
from hvdsm.container.conductor import Ledger, launch_failure, role_failure
from hvdsm.container.config import ContainerConfig, Settings
from hvdsm.container.course import Course
from hvdsm.container.gathering import Gathering
from hvdsm.container.loop import Loop
from hvdsm.container.relay import Output
from hvdsm.container.rendezvous import own_address
from hvdsm.container.restarts import Restarts
from hvdsm.container.ssh import free_port
from hvdsm.container.starter import Starter
from hvdsm.container.starting import Starting
from hvdsm.container.vigil import Vigil
from hvdsm.errors import EXIT_CONFIG, EXIT_TIMEOUT, HvdsmError
from hvdsm.model import MPI, NONE, JobOutcome
from hvdsm.model.outcome import KIND_TIMEOUT, RankFailure

MASTER_PORT = 7777
LEAVE_SECONDS = 2.0
JOIN_AFTER_FAILURE = 60.0
# Phases that a restart of the ranks does not repeat.
BEFORE_RANKS = ("hosts joined", "prepared")


class Launcher:
    """Conducts the job from the first host; ``run`` of the loop ends when :attr:`outcome` is known on all hosts."""

    def __init__(self, loop: Loop, output: Output, config: ContainerConfig, settings: Settings, environ: Dict[str, str]) -> None:
        self.loop = loop
        self.output = output
        self.config = config
        self.settings = settings
        self.cluster = config.cluster
        self.distribution = config.job.distribution
        self.started = time.monotonic()
        self.outcome: Optional[JobOutcome] = None
        self._brake = Brake(loop, output, self._hold)
        self.agent = Agent(
            loop, config, settings, environ, emit=self._from_own_host, emit_lines=self._brake.write, say=output.say
        )
        self.gathering = Gathering(
            loop,
            config.cluster,
            settings,
            output.say,
            on_joined=self._joined,
            on_message=self._from,
            on_lines=self._brake.write,
            on_lost=self._lost,
        )
        self._mpirun = Starter(loop, "mpirun", output.say)
        self._starting = Starting(config, settings, self.agent)
        self._ready: Dict[str, Message] = {}
        self._restarts = Restarts(config.job.supervision.max_restarts)
        self._finished = False
        self._tell_late = False
        self._before: Optional[Attempt] = None
        self._course = Course(
            config.cluster,
            tell=self._tell_host,
            phase=self._phase,
            warn=self._warn,
            halted=lambda: self.attempt.ending,
        )
        self.attempt = self._new_attempt(0)
        self.vigil = Vigil(
            loop,
            config.job.supervision.hang_timeout,
            ask=lambda: self._tell({"do": "stacks"}),
            fail=lambda failure: self.attempt.fail(failure),
        )

    def _new_attempt(self, number: int) -> Attempt:
        kind, ranked = self.distribution.kind, self.cluster.distribution_hosts
        plain = [host for host in self.cluster.hosts if host not in ranked and kind != NONE]
        return Attempt(
            self.loop,
            Ledger(self.config.job.name, self.cluster.hosts, plain),
            number,
            self.distribution,
            self.settings,
            self._mpirun,
            tell=self._tell,
            tell_host=self._tell_host,
            phase=self._phase,
            waiting=lambda: self._tell_late and bool(self.gathering.missing),
            silence=self.gathering.silence,
            give_up=self.gathering.drop,
            say=self.output.say,
            on_over=self._attempt_over,
            busy=lambda: self._course.hosts,
            conclude=self._conclude,
        )

    # ------------------------------------------------------------------ joining

    def start(self) -> None:
        """Begin; everything else follows from events.

        Raises:
            ConfigError: the rendezvous port is taken.
        """
        self.gathering.listen()
        if len(self.cluster.hosts) > 1:
            self.loop.later(self.settings.rendezvous_timeout, self._join_overdue)
        timeout = self.config.job.supervision.timeout
        if timeout:
            self.loop.later(timeout, lambda: self._time_is_up(timeout))
        if self.distribution.kind == MPI:
            self.loop.in_thread(lambda: self._starting.find_mpi(self._all_joined, self._broken_here))
        self.agent.prepare(self._prepared)

    def _prepared(self, announcement: Message) -> None:
        if announcement.get("error"):
            self._broken(self.cluster.launcher, str(announcement["error"]), int(announcement["exit_code"]))
            return
        self.gathering.announced[self.cluster.launcher] = announcement
        if self.config.independent:
            # The script needs no other host, and does not wait for one.
            self.agent.handle(own_setup(self.agent, "127.0.0.1"))
        else:
            self._all_joined()

    def _joined(self, host: str, announcement: Message) -> None:
        if announcement.get("error"):
            self._broken(host, str(announcement["error"]), int(announcement.get("exit_code", 78)))
        elif self.attempt.ending:
            self.gathering.send(host, {"do": "signal", "signal": int(signal.SIGTERM)})
            self.attempt.finish_if_over()
        elif not self.config.independent:
            self._all_joined()

    def _join_overdue(self) -> None:
        missing = self.gathering.missing
        if missing and self.config.independent:
            self.output.say(f"warning: {', '.join(missing)} did not join within {self.settings.rendezvous_timeout:.0f} s")
        elif missing and not self.attempt.ending:
            message = (
                f"{', '.join(missing)} did not join within {self.settings.rendezvous_timeout:.0f} s; "
                "the security group must allow all TCP between the hosts of the job"
            ) + "".join(f"; refused {text}" for text in self.gathering.refusals[:3])
            self.attempt.fail(RankFailure(KIND_TIMEOUT, message, EXIT_TIMEOUT, host=self.cluster.launcher, time=time.time()))

    def _all_joined(self) -> None:
        if self.attempt.ending or not self.gathering.complete or not self._starting.known:
            return
        count = len(self.cluster.hosts)
        self._phase("hosts joined", f"{count} of {count} host{'s' if count != 1 else ''} joined")
        try:
            exported = self._starting.exported(self.gathering.announced)
            planned = self._course.set_up(
                self.agent.plan,
                self.config,
                self.gathering.announced,
                self._starting.slots(self.gathering.announced),
                own_address(self.gathering.connections),
            )
        except HvdsmError as error:
            self._broken_here(error)
            return
        alone = len(self.cluster.distribution_hosts) == 1
        self._tell(
            {
                "do": "setup",
                "session": self.agent.session,
                "keys": self.gathering.keys(),
                "master_address": "127.0.0.1" if alone else self.cluster.launcher,
                "master_port": free_port(MASTER_PORT),
                "exported": exported,
                "mpi": self._starting.installation,
                **planned,
            }
        )

    # ------------------------------------------------------------------ running

    def _all_ready(self) -> None:
        given_up = self._restarts.begin()
        if given_up and self._before is not None:
            self.output.say(given_up)
            self.attempt = self._before
            self.attempt.ledger.warnings.append(given_up)
            self._finish()
            return
        self._course.begin(self.attempt.number, self._start_ranks)

    def _start_ranks(self) -> None:
        try:
            self._starting.start(self.attempt, self.gathering.announced, self._phase)
        except (HvdsmError, OSError) as error:
            self._broken_here(error)

    def _from_own_host(self, message: Message) -> None:
        self._from(self.cluster.launcher, message)

    def _from(self, host: str, message: Message) -> None:
        said = message.get("say")
        if message.get("run", self.attempt.number) != self.attempt.number:
            return
        if said == "ready":
            self._ready[host] = message
            self._restarts.hear(host, message)
            alone = self.config.independent and not self.attempt.number
            if (alone or len(self._ready) == len(self.cluster.hosts) - self._absent) and not self.attempt.ending:
                self._all_ready()
        elif said == "activity":
            self.vigil.hear(host, message["ranks"])
        elif said == "stacks":
            self.vigil.hear_stacks(host, message["ranks"])
        elif said == "error":
            self._course.failed(host)
            self._broken(host, str(message["message"]), int(message["exit_code"]), str(message.get("tail", "")))
        elif said == "role-failed":
            self._course.hear(host, message)
            ended_well = self.attempt.ledger.all_succeeded
            if ended_well and message.get("late"):
                # What the ranks have done would be done again.
                self._restarts.forbid()
            # One that follows the ranks into their end is no failure.
            if not ended_well or message.get("late"):
                self.attempt.fail(role_failure(host, message, time.time()))
        elif said in ("step-done", "role-ready", "role-ended"):
            self._course.hear(host, message)
            self.attempt.finish_if_over()
        elif said == "stop":
            self.stop(host)
        else:
            self.attempt.hear(host, message)
            if said == "exited" and self._absent and not self.attempt.ending and self.attempt.ledger.all_ended:
                self.loop.later(LINGER, self._end_without_the_absent)

    @property
    def _absent(self) -> int:
        """How many hosts a job without a distribution goes on without."""
        return len(self.gathering.missing) if self.config.independent else 0

    def _end_without_the_absent(self) -> None:
        ledger = self.attempt.ledger
        if self._absent and ledger.all_ended and not self.attempt.over:
            ledger.absent = self.gathering.missing
            ledger.warnings.append(absent_text(ledger.absent))
            self.output.say(f"warning: {ledger.warnings[-1]}")
            self.attempt.finish_if_over()

    def _hold(self, paused: bool) -> None:
        """Let ranks of all hosts wait, or go on."""
        self.gathering.pause(paused)
        self.agent.pause(paused)

    def child_ended(self) -> None:
        """SIGCHLD: mpirun may have ended."""
        self.agent.reap(self._mpirun.process)
        if self._mpirun.just_ended():
            self.attempt.mpirun_ended()

    def _lost(self, host: str, reason: str) -> None:
        if self._finished:
            if not self.gathering.connections:
                self.loop.stop()
        else:
            self._restarts.forbid()
            self._course.lost(host)
            self.attempt.host_lost(host, reason)

    # ------------------------------------------------------------------ ending

    def _broken(self, host: str, message: str, code: int, tail: str = "") -> None:
        self._restarts.forbid()
        if self.gathering.missing and not self._tell_late:
            # Workers that come late learn of the failure, instead of waiting for a launcher that is gone.
            self._tell_late = True
            self.loop.later(JOIN_AFTER_FAILURE, self._no_more_late)
        self.attempt.fail(launch_failure(message, code, time.time(), host=host, tail=tail))

    def _broken_here(self, error: Exception) -> None:
        self._broken(self.cluster.launcher, str(error), getattr(error, "exit_code", EXIT_CONFIG))

    def _no_more_late(self) -> None:
        self._tell_late = False
        self.attempt.finish_if_over()

    def _time_is_up(self, limit: float) -> None:
        self._restarts.forbid()
        if not self.attempt.ending:
            message = f"the job exceeded its time limit of {limit:g} s"
            self.output.say(f"{message}: SIGTERM to all ranks, which have {self.settings.stop_grace:.0f} s to end")
            failure = RankFailure(KIND_TIMEOUT, message, EXIT_TIMEOUT, time=time.time())
            self.attempt.fail(failure, self.settings.stop_grace)

    def stop(self, host: str) -> None:
        """SIGTERM came to the program on a host: pass it to every rank, and give them the grace period."""
        self._restarts.forbid()
        if not self.attempt.ending:
            grace = self.settings.stop_grace
            self.output.say(f"SIGTERM on {host}: passed to all ranks, which have {grace:.0f} s to end")
            self.attempt.stop(grace)

    def _conclude(self, then: Callable[[], None]) -> None:
        """The ranks have ended well; what the plan has for that follows, unless they were not where they should be."""
        if self._course.plan is not None:
            self.vigil.end()
            self._check_placement()
        if self.attempt.ledger.failures:
            then()
        else:
            self._course.conclude(then)

    def _check_placement(self) -> None:
        self.attempt.ledger.check_placement(self.distribution, self.output.say)

    def _warn(self, text: str) -> None:
        self.attempt.ledger.warnings.append(text)
        self.output.say(f"warning: {text}")

    def _attempt_over(self) -> None:
        """Start the ranks again, or end the job."""
        self.vigil.end()
        self._mpirun.terminate()
        before = self.attempt
        cause = before.ledger.cause()
        if before.ledger.stopping or cause is None or not before.ledger.started or not self._restarts.left:
            self._finish()
            return
        self._mpirun.close()
        self._before = before
        self._restarts.done = number = before.number + 1
        before.ledger.warnings.append(f"run {number} failed: {headline(cause)}")
        self.output.say(f"{before.ledger.warnings[-1]}\nrestart {number} of {self._restarts.limit}")
        self.attempt = self._new_attempt(number)
        self.attempt.ledger.warnings = list(before.ledger.warnings)
        self.attempt.ledger.phases = {name: at for name, at in before.ledger.phases.items() if name in BEFORE_RANKS}
        self._ready.clear()
        self._tell({"do": "reset", "restart": number, **self._course.ports(number)})

    def _finish(self) -> None:
        """The job is over: tell every host, end what is left, leave."""
        if self._finished:
            return
        self._finished = True
        self.gathering.close()
        if self._course.plan is None:
            self._check_placement()
        self.outcome = self.attempt.ledger.outcome(time.monotonic() - self.started, self.attempt.number)
        self._mpirun.terminate()
        self.gathering.pause(False)
        self.gathering.send_all({"do": "end", "outcome": self.outcome.to_json()})
        if not self.gathering.connections:
            self.loop.stop()
        else:
            self.loop.later(LEAVE_SECONDS, self.loop.stop)

    def close(self) -> None:
        """End what is left on this host."""
        self._mpirun.close()
        self.agent.close()

    def _phase(self, name: str, text: str) -> None:
        seconds = time.monotonic() - self.started
        self.attempt.ledger.phases[name] = round(seconds, 3)
        self.output.say(f"{text} ({seconds:.2f} s)")
        if name == "ranks running":
            self.vigil.begin()

    def _tell(self, message: Message) -> None:
        self.gathering.send_all(message)
        self.agent.handle(message)

    def _tell_host(self, host: str, message: Message) -> None:
        if host == self.cluster.launcher:
            self.agent.handle(message)
        else:
            self.gathering.send(host, message)


def handlers(launcher: Launcher) -> Dict[int, Callable[[], Any]]:
    """What the launcher does on a signal."""

    def stop() -> None:
        launcher.stop(launcher.cluster.launcher)

    return {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGCHLD: launcher.child_ended}
