"""One run of the ranks: started, watched, ended.  A job has one, and one more after each restart."""

from __future__ import annotations

import signal
import time
from typing import Any, Callable, Dict, List, Mapping, Sequence, Set

from hvdsm.container.conductor import Ledger, launch_failure, mpirun_verdict
from hvdsm.container.config import Settings
from hvdsm.container.loop import Loop, Timer
from hvdsm.container.starter import Starter
from hvdsm.errors import EXIT_CONFIG, EXIT_TIMEOUT
from hvdsm.model import NONE, Distribution, RankFailure
from hvdsm.model.outcome import KIND_HOST_LOST, KIND_TIMEOUT

Message = Dict[str, Any]
# After a failure: how long ranks may take to end by SIGTERM, and how long a silent host is then waited for.
KILL_AFTER = 2.0
SILENT_AFTER = 3.0
MPIRUN_LINGER = 0.1


class Attempt:
    """A run of the ranks on all hosts; ``on_over`` is called once, when nothing of it is left to wait for.

    Args:
        loop: the loop.
        ledger: knows the ranks.
        number: 0 for the first run of the job.
        distribution: how ranks are started.
        settings: time limits.
        tell: sends a message to every host.
        tell_host: sends a message to one host.
        phase: notes a phase and says it.
        waiting: whether hosts are still expected that must learn of a failure.
        silence: seconds since a host was heard.
        give_up: drops a host, with the reason.
        say: says a line.
        busy: hosts that run a step of the plan, before the ranks or after them.
        conclude: does what follows ranks that have ended well, and calls back.
        on_over: called at the end.
    """

    def __init__(
        self,
        loop: Loop,
        ledger: Ledger,
        number: int,
        distribution: Distribution,
        settings: Settings,
        mpirun: Starter,
        *,
        tell: Callable[[Message], None],
        tell_host: Callable[[str, Message], None],
        phase: Callable[[str, str], None],
        waiting: Callable[[], bool],
        silence: Callable[[str], float],
        give_up: Callable[[str, str], None],
        say: Callable[[str], None],
        on_over: Callable[[], None],
        busy: Callable[[], Set[str]] = lambda: set(),
        conclude: Callable[[Callable[[], None]], None] = lambda then: then(),
    ) -> None:
        self._loop = loop
        self.ledger = ledger
        self.number = number
        self._distribution = distribution
        self._settings = settings
        self.mpirun = mpirun
        self._tell = tell
        self._tell_host = tell_host
        self._phase = phase
        self._waiting = waiting
        self._silence = silence
        self._give_up = give_up
        self._say = say
        self._last_end = 0.0
        self._on_over = on_over
        self._busy = busy
        self._conclude = conclude
        self._concluding = False
        self._timers: List[Timer] = []
        self._uses_mpirun = False
        self.launched = False
        self.ending = False
        self.over = False

    # ------------------------------------------------------------------ starting

    def started_by_mpirun(self) -> None:
        """Mpirun has been started."""
        self._uses_mpirun = True
        self._watch_start()

    def start_torchrun(self, hosts: Sequence[str], processes: Sequence[int]) -> None:
        """Let every host of the distribution start its ranks by torchrun."""
        for index, (host, count) in enumerate(zip(hosts, processes)):
            self._tell_host(host, {"do": "torchrun", "hosts": len(hosts), "node_rank": index, "processes": count})
        self._watch_start()

    def start_plainly(self, numbers: Mapping[str, int], total: int) -> None:
        """Run the script once on each of these hosts; ``numbers`` are those of the processes."""
        for host, number in numbers.items():
            place = {"rank": number, "local_rank": 0, "world_size": total, "local_world_size": 1}
            self._tell_host(host, {"do": "spawn", **place})
        if self._distribution.kind != NONE:
            self._watch_start()

    def _watch_start(self) -> None:
        if not self.launched:
            self.launched = True
            self._later(self._settings.launch_timeout, self._launch_overdue)

    def _launch_overdue(self) -> None:
        if not self.ledger.all_started and not self.ending:
            count = len(self.ledger.started)
            message = f"only {count} of the ranks had started after {self._settings.launch_timeout:.0f} s"
            self.fail(RankFailure(KIND_TIMEOUT, message, EXIT_TIMEOUT, output_tail=self.mpirun.tail, time=time.time()))

    # ------------------------------------------------------------------ events

    def hear(self, host: str, message: Message) -> None:
        """A rank started, failed or ended on a host, or its torchrun ended."""
        said, now = message.get("say"), time.time()
        if said == "started":
            self.ledger.on_started(host, message)
            if self.ledger.all_started and "ranks running" not in self.ledger.phases:
                count = len(self.ledger.started)
                self._phase("ranks running", f"{count} of {count} rank{'s' if count != 1 else ''} running")
                if self.ledger.stopping:
                    self._tell({"do": "signal", "signal": int(signal.SIGTERM)})
        elif said == "failure":
            self.ledger.on_failure(host, message, now)
            self._tell_host(host, {"do": "ack", "rank": message["rank"]})
        elif said == "exited":
            self.ledger.on_exited(host, message, now)
            if message.get("exit_code"):
                self._tell_host(host, {"do": "ack", "rank": message["rank"]})
        elif said == "starter":
            # The ranks' own reports come first where there are any.
            self._later(SILENT_AFTER if self.ledger.hosts_running() else 0.0, lambda: self._torchrun_ended(host, message))
            return
        if said in ("failure", "exited"):
            self._weigh()

    def _weigh(self) -> None:
        if self.ledger.failures and not self.ledger.stopping:
            self.end()
        elif self.ledger.all_succeeded and "ranks ended" not in self.ledger.phases:
            count = len(self.ledger.ended)
            self._phase("ranks ended", f"{count} of {count} rank{'s' if count != 1 else ''} ended with exit code 0")
            self._later(MPIRUN_LINGER, self._succeed)
        elif self.ledger.ended and self._distribution.kind != NONE:
            if not self._last_end:
                self._later(self._settings.stragglers, self._look_for_stragglers)
            self._last_end = time.monotonic()
        self.finish_if_over()

    def _look_for_stragglers(self) -> None:
        """Ranks end together, or one of them hangs: mostly at the end of Python, where no traceback tells of it."""
        left = self._last_end + self._settings.stragglers - time.monotonic()
        if self.ending or self.over or self.ledger.all_ended:
            return
        if left > 0.01:
            self._later(left, self._look_for_stragglers)
            return
        count, ended = len(self.ledger.started), len(self.ledger.ended)
        running = [f"rank {rank} ({host})" for rank, host in sorted(self.ledger.started.items()) if rank not in self.ledger.ended]
        names = ", ".join(running[:4]) + (f" and {len(running) - 4} more" if len(running) > 4 else "")
        runs = "still runs" if len(running) == 1 else "still run"
        self._say(f"{ended} of {count} ranks ended {self._settings.stragglers:g} s ago or earlier; {names} {runs}")

    def _torchrun_ended(self, host: str, message: Message) -> None:
        if self.ledger.failures or self.over:
            return
        code, tail = int(message["code"]), str(message["tail"])
        started = [rank for rank, where in self.ledger.started.items() if where == host]
        what = "before all ranks had ended" if started else "and started no rank"
        exit_code = (code if code > 0 else 128 - code) if started else EXIT_CONFIG
        lines = [line.strip() for line in tail.splitlines() if line.strip()]
        reason = f": {lines[-1]}" if lines else ""
        text = f"torchrun ended with {f'exit code {code}' if code > 0 else f'signal {-code}'} {what}{reason}"
        self.fail(launch_failure(text, exit_code, time.time(), host=host, tail=tail))

    def mpirun_ended(self) -> None:
        """Mpirun has just ended."""
        if self.mpirun.code < 0 and not self.ending:
            # Killed from outside: that its daemons end the ranks follows from it, and is often heard first.
            self._weigh_mpirun()
            return
        if not self.ledger.all_ended:
            # Reports of workers' ranks are still on their way.
            self._later(SILENT_AFTER if self.mpirun.code == 0 else 0.3, self._weigh_mpirun)
        else:
            self._weigh_mpirun()

    def _weigh_mpirun(self) -> None:
        if self.ledger.all_succeeded or self.ending:
            self.finish_if_over()
            return
        if self.mpirun.code == 0 and self._world_ended:
            # The ranks are through; hosts outside of the distribution still work.
            return
        options = self._distribution.custom_mpi_options
        message, code = mpirun_verdict(self.mpirun.code, len(self.ledger.started), self.mpirun.tail, options)
        self.fail(launch_failure(message, code, time.time(), host=self.ledger.hosts[0], tail=self.mpirun.tail))

    @property
    def _world_ended(self) -> bool:
        ranks = [rank for rank, host in self.ledger.started.items() if host not in self.ledger.plain]
        return bool(ranks) and len(ranks) >= self.ledger.world_size and all(self.ledger.ended.get(rank) == 0 for rank in ranks)

    def host_lost(self, host: str, reason: str) -> None:
        """A host is gone, and the ranks on it."""
        for rank, where in self.ledger.started.items():
            if where == host:
                self.ledger.ended.setdefault(rank, 1)
        # Ranks elsewhere may have failed by this loss before it was noticed: the loss is the cause.
        at = min([failure.time for failure in self.ledger.failures], default=time.time()) - 0.001
        self.fail(RankFailure(KIND_HOST_LOST, f"the host was lost: {reason}", 1, host=host, time=at))

    # ------------------------------------------------------------------ ending

    def fail(self, failure: RankFailure, grace: float = KILL_AFTER) -> None:
        """Something other than a rank failed: end the ranks."""
        self.ledger.fail(failure)
        self.end(grace)
        self.finish_if_over()

    def stop(self, grace: float) -> None:
        """The platform stops the job: pass SIGTERM to the ranks, and kill them after the grace period (seconds)."""
        if not self.ending:
            self.ledger.stopping = True
            self.end(grace)
            self.finish_if_over()

    def end(self, grace: float = KILL_AFTER) -> None:
        """SIGTERM to all ranks, SIGKILL after ``grace`` seconds."""
        if self.ending:
            return
        self.ending = True
        self._tell({"do": "signal", "signal": int(signal.SIGTERM)})
        self._later(grace, self._kill)

    def _kill(self) -> None:
        self._tell({"do": "signal", "signal": int(signal.SIGKILL)})
        self._later(SILENT_AFTER, self._silent)

    def _silent(self) -> None:
        """A host that does not even say that its ranks were killed is lost, which is then the cause."""
        for host in self.ledger.hosts_running() | self._busy():
            seconds = self._silence(host)
            if seconds > SILENT_AFTER - 0.5:
                self._give_up(host, f"silent for {seconds:.0f} s")
        if not self._waiting():
            self._finish()

    def finish_if_over(self) -> None:
        """End the run if nothing is left to wait for."""
        quiet = self.ledger.all_ended and not self._busy()
        failed = self.ending and quiet and (self.ledger.stopping or not self._waiting())
        if failed:
            self._finish()
        elif self.ledger.all_succeeded and (self.mpirun.ended or not self._uses_mpirun):
            self._succeed()

    def _succeed(self) -> None:
        """All ranks have ended with 0."""
        if self.ending:
            if not self._busy():
                self._finish()
        elif not self._concluding and not self.over:
            self._concluding = self.ledger.unfinished = True
            self._conclude(self._concluded)

    def _concluded(self) -> None:
        if not self.ending:
            self.ledger.unfinished = False
            self._finish()

    def _finish(self) -> None:
        if not self.over:
            self.over = True
            for timer in self._timers:
                timer.cancel()
            self._on_over()

    def _later(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timers.append(self._loop.later(seconds, callback))
