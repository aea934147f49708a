"""What jobs of this machine and of SageMaker have in common."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Protocol, Sequence, Tuple

from hvdsm.compose.failure import explanation, headline
from hvdsm.model import JobOutcome

LOCAL = "local"
SAGEMAKER = "sagemaker"
IN_PROGRESS = "InProgress"
# A job of this machine whose process is gone, and which has no outcome.
LOST = "Lost"
# A job of SageMaker that was submitted from here, of which no more is known here.
SUBMITTED = "Submitted"
STATUSES = (IN_PROGRESS, "Completed", "Failed", "Stopping", "Stopped", LOST, SUBMITTED)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Summary:
    """A job in a list.

    Attributes:
        name: TrainingJobName.
        backend: ``local`` or ``sagemaker``.
        status: TrainingJobStatus, ``Lost`` or ``Submitted``.
        created: seconds since the epoch.
        ended: seconds since the epoch; None while it runs, or when that is not known.
        place: directory of its results, or AWS region.
        exit_code: of a job that has ended, where it is known.
    """

    name: str
    backend: str
    status: str
    created: float
    ended: Optional[float] = None
    place: str = ""
    exit_code: Optional[int] = None

    def as_json(self) -> Dict[str, Any]:
        """For machines."""
        return asdict(self)


@dataclass(frozen=True)
class JobState:
    """How a job is.

    Attributes:
        summary: name, status and times.
        secondary: what exactly it does, in the service's words; empty for a local job.
        hosts: names of its hosts.
        seconds: how long it has run, or ran.
        phases: seconds from its start to each phase that it has reached.
        outcome: how it ended; None while it runs.
        notes: what else is to be said.
        directory: where on this machine its results are, or are to be.
    """

    summary: Summary
    secondary: str = ""
    hosts: Tuple[str, ...] = ()
    seconds: float = 0.0
    phases: Mapping[str, float] = field(default_factory=dict)
    outcome: Optional[JobOutcome] = None
    notes: Tuple[str, ...] = ()
    directory: Optional[str] = None

    @property
    def exit_code(self) -> Optional[int]:
        """Of a job that has ended."""
        return None if self.outcome is None else self.outcome.exit_code

    @property
    def failure_lines(self) -> Tuple[str, ...]:
        """The first failure, and what is known of it."""
        if self.outcome is None or self.outcome.failure is None:
            return ()
        return (headline(self.outcome.failure), *explanation(self.outcome.failure))

    def as_json(self) -> Dict[str, Any]:
        """For machines."""
        return {
            **self.summary.as_json(),
            "exit_code": self.exit_code,
            "secondary_status": self.secondary,
            "hosts": list(self.hosts),
            "seconds": round(self.seconds, 3),
            "phases": dict(self.phases),
            "outcome": None if self.outcome is None else asdict(self.outcome),
            "notes": list(self.notes),
            "directory": self.directory,
        }


@dataclass(frozen=True)
class Line:
    """A line of a host's log; ``seconds`` since the epoch, None where the log has no times."""

    host: str
    data: bytes
    seconds: Optional[float] = None


class Job(Protocol):
    """A job that exists."""

    @property
    def name(self) -> str:
        """TrainingJobName."""

    @property
    def backend(self) -> str:
        """``local`` or ``sagemaker``."""

    @property
    def place(self) -> str:
        """Where it was found, for people."""

    @property
    def launcher(self) -> str:
        """The host that has all ranks' lines."""

    def state(self) -> JobState:
        """How it is now."""

    def describe(self) -> Dict[str, Any]:
        """All that is known of it, for machines."""

    def repeats(self) -> bool:
        """Whether the hosts' logs repeat lines that the launcher's has, for sure."""

    def alone(self) -> bool:
        """Whether hvdsm's program runs the job and its hosts do not wait for each other."""

    def lines(
        self, *, hosts: Optional[Sequence[str]], since: Optional[float], follow: bool, say: Say
    ) -> Iterator[Sequence[Line]]:
        """The lines of some hosts' logs, or of all, in batches; with ``follow`` until the job ends.

        While nothing new comes, empty batches are given now and then.
        """

    def stop(self, *, now: bool) -> str:
        """Ask the job to end; what was done, in words."""

    def wait(self, say: Say) -> JobOutcome:
        """Wait for its end without showing anything."""
