"""Jobs of SageMaker."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence

from hvdsm.backends.local.layout import distribution_of
from hvdsm.backends.local.program import command_of
from hvdsm.backends.sagemaker import outcome_of
from hvdsm.backends.sagemaker.result import phases_of
from hvdsm.compose.cloud import is_own_program
from hvdsm.compose.mask import mask_request
from hvdsm.errors import HvdsmError, UsageError
from hvdsm.jobs.base import SAGEMAKER, JobState, Line, Say, Summary
from hvdsm.jobs.local import LocalRun, launcher_of
from hvdsm.model import NONE, JobOutcome

ENDED = ("Completed", "Failed", "Stopped")
# Seconds between two looks at a job that runs.
INTERVAL = 1.0
# How long a network that is gone is waited for while a job is followed, seconds.
PATIENCE = 3600.0


@dataclass
class CloudJob:
    """A job of SageMaker.

    Args:
        aws: the connection.
        description: what DescribeTrainingJob said last.
        kept: what this machine has kept of it, when it was submitted from here.
        interval: seconds between two looks.
        pause: waits for so many seconds.
    """

    aws: Any
    description: Mapping[str, Any]
    kept: Optional[LocalRun] = None
    interval: float = INTERVAL
    pause: Callable[[float], Any] = field(default_factory=lambda: threading.Event().wait)
    clock: Callable[[], float] = time.time
    backend: str = SAGEMAKER

    @property
    def name(self) -> str:
        """TrainingJobName."""
        return str(self.description["TrainingJobName"])

    @property
    def place(self) -> str:
        """Service and region."""
        return f"SageMaker, {self.aws.region}"

    @property
    def launcher(self) -> str:
        """The host whose log has the lines of all ranks."""
        return launcher_of(self.description)

    @property
    def is_ended(self) -> bool:
        """Whether it has ended, as far as is known."""
        return self.description.get("TrainingJobStatus") in ENDED

    def look(self, say: Optional[Say] = None) -> Mapping[str, Any]:
        """Ask for its description; with ``say`` a network that is gone is waited for."""
        from hvdsm.aws.failures import patiently
        from hvdsm.aws.training import describe_job

        if say is None:
            self.description = describe_job(self.aws, self.name)
        else:
            self.description = patiently(lambda: describe_job(self.aws, self.name), say=say, limit=PATIENCE)
        return self.description

    def outcome(self) -> Optional[JobOutcome]:
        """How it ended; None while it runs.  What the launcher reported is known where this machine has kept it."""
        if not self.is_ended:
            return None
        return outcome_of(self.description, self.kept.outcome() if self.kept is not None else None)

    def state(self) -> JobState:
        """How it is now."""
        found = self.description
        outcome = self.outcome()
        created = found["CreationTime"].timestamp()
        notes: List[str] = []
        changes = found.get("SecondaryStatusTransitions") or ()
        message = str(changes[-1].get("StatusMessage") or "").strip() if changes else ""
        secondary = str(found.get("SecondaryStatus") or "")
        if message and outcome is None:
            notes.append(message)
        if outcome is not None:
            notes += [text for text in outcome.warnings if text != "stopped"]
        return JobState(
            summary_of(found, self.aws.region, outcome),
            secondary,
            tuple(hosts_named(found)),
            outcome.seconds if outcome is not None else max(0.0, self.clock() - created),
            phases_of(found) if outcome is None else outcome.phases,
            outcome,
            tuple(notes),
            self.kept.directory if self.kept is not None else None,
        )

    def describe(self) -> Dict[str, Any]:
        """DescribeTrainingJob's answer, masked."""
        return mask_request(self.description)

    def repeats(self) -> bool:
        """Whether hosts' logs repeat what the launcher's has: where hvdsm's program is known to run the job."""
        if is_own_program(self.description):
            return True
        request = self.kept.request if self.kept is not None else {}
        return bool(request) and command_of(request) is None

    def alone(self) -> bool:
        """Whether hvdsm's program runs the job and its hosts do not wait for each other: it has no distribution."""
        return self.repeats() and distribution_of(self.description) == NONE

    def lines(
        self, *, hosts: Optional[Sequence[str]], since: Optional[float], follow: bool, say: Say
    ) -> Iterator[Sequence[Line]]:
        """The lines of hosts; see :class:`hvdsm.jobs.base.Job`."""
        from hvdsm.aws.logs import Follower

        reader = Follower(self.aws, self.name, hosts=hosts, since=since, interval=self.interval)
        told = ""
        while follow and not self.is_ended:
            try:
                lines = reader.poll()
            except HvdsmError as error:
                # No line is passed over: the next look begins where this one did.
                if told != error.what:
                    say(f"the logs cannot be read now: {error.what}")
                told, lines = error.what, reader.collected()
            else:
                told = ""
            yield [Line(line.host, line.data, line.seconds) for line in lines]
            self.pause(self.interval)
            self.look(say)
        # In portions, as far as there are many; what is read last is complete.
        while lines := reader.poll():
            yield [Line(line.host, line.data, line.seconds) for line in lines]
        yield [Line(line.host, line.data, line.seconds) for line in reader.flush()]

    def stop(self, *, now: bool) -> str:
        """StopTrainingJob.

        Raises:
            UsageError: SageMaker has no stop at once.
        """
        from hvdsm.aws.training import stop_job

        if now:
            raise UsageError(
                "SageMaker always gives containers SIGTERM and 120 seconds",
                where="--now",
                remedy=f"hvdsm jobs stop {self.name}",
            )
        if self.is_ended:
            return f"{self.name} has ended already ({self.description['TrainingJobStatus']})"
        stop_job(self.aws, self.name)
        return f"{self.name} is being stopped: its containers get SIGTERM and 120 s"

    def wait(self, say: Say) -> JobOutcome:
        """Wait for its end."""
        while not self.is_ended:
            self.pause(self.interval)
            self.look(say)
        outcome = self.outcome()
        assert outcome is not None
        return outcome


def summary_of(found: Mapping[str, Any], region: str, outcome: Optional[JobOutcome] = None) -> Summary:
    """The line in a list, from a description or from a summary of ListTrainingJobs."""
    ended = found.get("TrainingEndTime")
    return Summary(
        str(found["TrainingJobName"]),
        SAGEMAKER,
        str(found["TrainingJobStatus"]),
        found["CreationTime"].timestamp(),
        ended.timestamp() if ended is not None else None,
        region,
        None if outcome is None else outcome.exit_code,
    )


def hosts_named(request: Mapping[str, Any]) -> List[str]:
    """Names of a job's hosts."""
    from hvdsm.backends.local.layout import hosts_of

    try:
        return [host.name for host in hosts_of(request)]
    except (HvdsmError, LookupError, TypeError, ValueError):
        return []
