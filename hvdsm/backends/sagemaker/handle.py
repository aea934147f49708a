"""A training job in SageMaker for programs and notebooks."""

from __future__ import annotations

from typing import Any, Iterator, Optional, TextIO

from hvdsm.backends.display import Display
from hvdsm.backends.sagemaker.attach import attend
from hvdsm.backends.sagemaker.backend import SageMakerBackend
from hvdsm.backends.sagemaker.follow import ENDED, Lines
from hvdsm.backends.sagemaker.job import SageMakerJob, is_alone, launcher_of
from hvdsm.backends.sagemaker.result import outcome_of
from hvdsm.model import JobOutcome


class TrainingJobHandle:
    """A job that was submitted; ``hvdsm.launch(backend="sagemaker", …)`` gives one.

    A job that has no capacity while :meth:`wait` waits for it becomes another one in the next zone, if its network has one.
    """

    def __init__(self, backend: SageMakerBackend, job: SageMakerJob) -> None:
        self._backend = backend
        self._submitted = job

    @property
    def _job(self) -> SageMakerJob:
        return self._submitted.latest

    @property
    def name(self) -> str:
        """TrainingJobName."""
        return self._job.name

    @property
    def arn(self) -> str:
        """The job's ARN."""
        return self._job.arn

    @property
    def region(self) -> str:
        """The region that it runs in."""
        return self._job.region

    def __repr__(self) -> str:
        """Name and region."""
        return f"TrainingJobHandle({self.name!r}, region={self.region!r})"

    @property
    def status(self) -> str:
        """TrainingJobStatus as it is now: InProgress, Completed, Failed, Stopping or Stopped.

        Raises:
            CloudUnavailable: AWS cannot be reached.
        """
        return str(self.describe().get("TrainingJobStatus"))

    @property
    def outcome(self) -> Optional[JobOutcome]:
        """How the job ended; None while it runs.  What the launcher reported is known once :meth:`wait` has returned."""
        if self._job.ended is not None:
            return self._job.ended
        found = self.describe()
        return outcome_of(found, self._job.reported) if found.get("TrainingJobStatus") in ENDED else None

    def describe(self) -> Any:
        """What DescribeTrainingJob says now."""
        from hvdsm.aws.training import describe_job

        return describe_job(self._backend.aws, self.name)

    def wait(self, stream: Optional[TextIO] = None, *, stop_on_interrupt: bool = False) -> JobOutcome:
        """Show the job until it ends.

        Args:
            stream: where to; standard output by default.
            stop_on_interrupt: whether an interrupt stops the job; otherwise it is left and goes on.

        Raises:
            KeyboardInterrupt: the job was left.
            CloudUnavailable: AWS cannot be reached any more.
        """
        import sys

        if self._job.ended is not None:
            return self._job.ended
        display = Display(sys.stdout if stream is None else stream)
        return attend(self._backend, self._job, display, stop_on_interrupt=stop_on_interrupt)

    def logs(self) -> Iterator[str]:
        """The lines of all hosts so far, without their ends; a host's own stand behind its name, but for the launcher's."""
        from hvdsm.aws.logs import Follower

        launcher = launcher_of(self._job.request)
        for host, data in Lines(launcher, alone=is_alone(self._job.request)).take(Follower(self._backend.aws, self.name).flush()):
            text = data.decode("utf-8", "replace").rstrip("\n")
            yield text if host == launcher else f"{host}: {text}"

    def stop(self) -> None:
        """Ask for the job's end: its containers get SIGTERM, and SIGKILL 120 seconds later."""
        self._backend.stop(self._job)
