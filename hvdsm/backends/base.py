"""The protocol of back ends: a CreateTrainingJob request goes in, events and an outcome come out.

::

    plan = backend.plan(request)       # everything that can be found wrong is found here; nothing is started
    job = backend.submit(plan, print)
    for event in backend.events(job):  # the job's life; the loop ends with the job
        ...
    outcome = backend.outcome(job)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO, Callable, Iterator, Mapping, Optional, Protocol, Tuple, TypeVar

from hvdsm.model import JobOutcome

PHASE = "phase"
NOTE = "note"
WARNING = "warning"
OUTPUT = "output"


@dataclass(frozen=True)
class Event:
    """Something that happened in a job.

    Attributes:
        kind: ``phase`` (the job came further), ``note`` and ``warning`` (said by the back end), or ``output`` (a piece of a
            host's output).
        text: what a phase, note or warning says.
        data: bytes of output, whole lines with their newline unless the host's output ended without one.
        host: the host that the output came from, None for what belongs to the whole job.
        seconds: seconds since the job was submitted.
    """

    kind: str
    text: str = ""
    data: bytes = b""
    host: Optional[str] = None
    seconds: float = 0.0


class Plan(Protocol):
    """What a back end will do with a request."""

    @property
    def job_name(self) -> str:
        """TrainingJobName."""

    @property
    def hosts(self) -> Tuple[str, ...]:
        """Names of the hosts."""

    @property
    def warnings(self) -> Tuple[str, ...]:
        """What the user should know before the job starts."""


class Job(Protocol):
    """A submitted job."""

    @property
    def name(self) -> str:
        """TrainingJobName."""


PlanT = TypeVar("PlanT", bound=Plan)
JobT = TypeVar("JobT", bound=Job)


class Backend(Protocol[PlanT, JobT]):
    """Executes CreateTrainingJob requests."""

    def plan(self, request: Mapping[str, Any]) -> PlanT:
        """Check a request and decide how to execute it; nothing is started or written.

        Raises:
            ConfigError: the request or a file that it names is wrong.
            BackendUnavailable: this back end cannot work here.
        """

    def submit(self, plan: PlanT, say: Callable[[str], None]) -> JobT:
        """Start the job; ``say`` is told how its preparation (downloads, uploads) goes on."""

    def events(self, job: JobT) -> Iterator[Event]:
        """The job's events until it ends; closing the iterator ends the job."""

    def logs(self, job: JobT, host: str) -> BinaryIO:
        """One host's whole output so far, unchanged."""

    def stop(self, job: JobT) -> None:
        """Ask the job to end, as StopTrainingJob does; a second call ends it at once.  Safe from signal handlers and threads."""

    def outcome(self, job: JobT) -> JobOutcome:
        """How the job ended; waits for its end."""
