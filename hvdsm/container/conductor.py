"""What the launcher knows of the job, and the decisions that follow: who has started, who failed first, how it ended.

No I/O: the launcher feeds it events and asks.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from hvdsm.compose.failure import ENDED_BY_MPIRUN, first_cause, signal_name
from hvdsm.errors import EXIT_CONFIG
from hvdsm.model import Distribution, JobOutcome, RankFailure
from hvdsm.model.outcome import (
    COMPLETED,
    FAILED,
    KIND_EXCEPTION,
    KIND_EXIT,
    KIND_LAUNCH,
    KIND_ROLE,
    KIND_SIGNAL,
    KIND_TIMEOUT,
    STOPPED,
)

EXIT_STOPPED = 143


class Ledger:
    """One run of a job's ranks, by their events.

    Args:
        job_name: name of the job.
        hosts: all hosts.
        plain: hosts outside of the distribution, each with one process of the script; their processes are numbered after
            the ranks.
    """

    def __init__(self, job_name: str, hosts: Sequence[str], plain: Sequence[str] = ()) -> None:
        self.job_name = job_name
        self.hosts = tuple(hosts)
        self.plain = tuple(plain)
        self.world_size = 0
        self.started: Dict[int, str] = {}
        self.ended: Dict[int, int] = {}
        self.failures: List[RankFailure] = []
        self._reported: Set[int] = set()
        self.stopping = False
        self.absent: Tuple[str, ...] = ()
        # What a plan has for the time after the ranks is not done yet.
        self.unfinished = False
        self.phases: Dict[str, float] = {}
        self.warnings: List[str] = []

    def on_started(self, host: str, event: Mapping[str, Any]) -> None:
        """A rank runs on a host."""
        self.started[int(event["rank"])] = host
        if host not in self.plain:
            self.world_size = max(self.world_size, int(event["world_size"]))

    def on_failure(self, host: str, event: Mapping[str, Any], now: float) -> None:
        """A rank reports an exception or an exit code from inside of the script."""
        exception = event.get("exception")
        self._reported.add(int(event["rank"]))
        self._add(
            RankFailure(
                kind=KIND_EXCEPTION if exception else KIND_EXIT,
                message=str(event.get("message") or ""),
                exit_code=int(event["exit_code"]),
                host=host,
                rank=self._rank(host, event),
                local_rank=int(event["local_rank"]),
                exception=str(exception) if exception else None,
                traceback=str(event.get("traceback") or ""),
                output_tail=str(event.get("output_tail") or ""),
                reported=True,
                time=now,
            )
        )

    def on_exited(self, host: str, event: Mapping[str, Any], now: float) -> None:
        """A rank's process has ended."""
        rank, code = int(event["rank"]), int(event["exit_code"])
        self.ended[rank] = code
        if code == 0 or rank in self._reported:
            return
        if event.get("exception"):
            # Python behind a shell entry point told of it before the shell ended.
            self.on_failure(host, event, now)
            return
        number = event.get("signal")
        self._add(
            RankFailure(
                kind=KIND_SIGNAL if number else KIND_EXIT,
                message=ENDED_BY_MPIRUN if event.get("vanished") else str(event.get("message") or ""),
                exit_code=code,
                host=host,
                rank=self._rank(host, event),
                local_rank=int(event["local_rank"]),
                signal=int(number) if number else None,
                output_tail=str(event.get("output_tail") or ""),
                time=now,
                evidence=str(event.get("evidence") or ""),
            )
        )

    def _rank(self, host: str, event: Mapping[str, Any]) -> Optional[int]:
        """The rank's number; a plain process of a host outside of the distribution has none."""
        return None if host in self.plain else int(event["rank"])

    def fail(self, failure: RankFailure) -> None:
        """Something other than a rank failed."""
        self._add(failure)

    def _add(self, failure: RankFailure) -> None:
        self.failures.append(failure)

    @property
    def failed(self) -> bool:
        """Whether anything failed; ends that follow from a stop do not count."""
        return bool(self.failures) and not self.stopping

    @property
    def all_started(self) -> bool:
        """Whether every rank of the world has started."""
        expected = self.world_size + len(self.plain) - len(self.absent)
        return bool(self.started) and len(self.started) >= expected and self._worlds_begun

    @property
    def _worlds_begun(self) -> bool:
        """Whether a rank of the distribution has told the size of the world."""
        return self.world_size > 0 or len(self.plain) == len(self.hosts)

    @property
    def all_ended(self) -> bool:
        """Whether every rank that has started has ended."""
        return len(self.ended) >= len(self.started)

    @property
    def all_succeeded(self) -> bool:
        """Whether the whole world has ended with exit code 0."""
        return self.all_started and self.all_ended and not any(self.ended.values())

    def hosts_running(self) -> Set[str]:
        """Hosts with a rank that has not ended."""
        return {host for rank, host in self.started.items() if rank not in self.ended}

    def ranks_per_host(self) -> Dict[str, int]:
        """How many ranks really started on each host."""
        placed = list(self.started.values())
        return {host: placed.count(host) for host in self.hosts}

    def cause(self) -> Optional[RankFailure]:
        """The failure that the job is said to have failed by."""
        return first_cause(self.failures)

    def check_placement(self, distribution: Distribution, say: Callable[[str], None]) -> None:
        """Ranks that all sit on one host are the failure that ends as success; options that ask for it only get a warning."""
        empty = [host for host, count in self.ranks_per_host().items() if not count and host not in self.absent]
        if not self.started or not empty or self.failures:
            return
        message = f"no rank ran on {', '.join(empty)}; all {len(self.started)} ran on the other hosts"
        if distribution.custom_mpi_options or distribution.world_size:
            self.warnings.append(message + ", as the custom options ask")
            say("warning: " + self.warnings[-1])
        elif not self.stopping:
            self.fail(launch_failure(message, EXIT_CONFIG, 0.0, host=empty[0]))

    def outcome(self, seconds: float, restarts: int = 0) -> JobOutcome:
        """The outcome as things stand."""
        failure = None if self.stopping else self.cause()
        if self.stopping:
            status, code = STOPPED, 0 if self.all_succeeded and not self.unfinished else EXIT_STOPPED
        elif failure is None:
            status, code = COMPLETED, 0
        else:
            status, code = FAILED, failure.exit_code or 1
        return JobOutcome(
            job_name=self.job_name,
            status=status,
            exit_code=code,
            world_size=self.world_size,
            ranks_per_host=self.ranks_per_host(),
            failure=failure,
            phases=dict(self.phases),
            seconds=round(seconds, 3),
            warnings=tuple(self.warnings),
            restarts=restarts,
        )


def launch_failure(message: str, exit_code: int, now: float, *, host: Optional[str] = None, tail: str = "") -> RankFailure:
    """A failure that is no rank's."""
    return RankFailure(kind=KIND_LAUNCH, message=message, exit_code=exit_code, host=host, output_tail=tail, time=now)


def role_failure(host: str, event: Mapping[str, Any], now: float) -> RankFailure:
    """A process beside the ranks has ended when it should not, or a step with another code than 0; or its time was up."""
    number, code = event.get("signal"), int(event["exit_code"])
    how = f"was killed by {signal_name(int(number))}" if number else f"ended with exit code {code}"
    text = f"the {event.get('noun', 'process')} {event['name']} {how}{event.get('when', ' before the ranks had ended')}"
    return RankFailure(
        KIND_TIMEOUT if event.get("timeout") else KIND_ROLE,
        str(event.get("message") or text),
        code or 1,
        host=host,
        signal=int(number) if number else None,
        output_tail=str(event["output_tail"]),
        time=now,
    )


def mpirun_verdict(code: int, started: int, tail: str, options: str = "") -> Tuple[str, int]:
    """What mpirun's own end means when no rank has said why: a message and the job's exit code.

    mpirun ends with 0 after ``--help``, and may after a lost connection: without ranks that is no success.

    Args:
        code: mpirun's exit code, negative for a signal.
        started: ranks that had started.
        tail: the end of what mpirun said.
        options: the user's custom_mpi_options, named where no rank started.
    """
    said = f"exit code {code}" if code >= 0 else f"signal {-code}"
    lines = [line.strip() for line in tail.splitlines() if line.strip(" -*=\t")]
    reason = f": {lines[0]}" if lines and code else ""
    if not started:
        hint = f" (custom_mpi_options: {options})" if options else ""
        return f"mpirun ended with {said} and started no rank{hint}{reason}", EXIT_CONFIG
    return f"mpirun ended with {said} before all ranks had ended{reason}", (code if code > 0 else 128 - code) if code else 1
