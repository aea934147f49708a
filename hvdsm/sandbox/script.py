"""The life of a job that is only played: statuses, log lines and an end, as a script says."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import List, Mapping, Optional, Sequence, Tuple

from hvdsm.sandbox.jobs import COMPLETED, FAILED, INTERRUPTED, STOPPED, TrainingJob
from hvdsm.sandbox.wire import ServiceError

CAPACITY = "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type."


@dataclass(frozen=True)
class Pace:
    """How long a job stays in its statuses, seconds; lines of logs are spread over ``training``."""

    starting: float = 0.0
    downloading: float = 0.0
    training: float = 0.0
    uploading: float = 0.0
    stopping: float = 0.0


@dataclass(frozen=True)
class Step:
    """A status on the way.

    Attributes:
        status: secondary status; the same one again only changes its message.
        seconds: how long it lasts; None until :meth:`hvdsm.sandbox.Sandbox.release` or a stop.
        message: its StatusMessage; the service's usual one by default.
    """

    status: str
    seconds: Optional[float] = 0.0
    message: Optional[str] = None


@dataclass(frozen=True)
class Script:
    """What becomes of a job.

    Attributes:
        steps: statuses in their order; those of the sandbox's pace by default.
        status: how it ends: Completed, Failed or Stopped.
        reason: FailureReason.
        secondary: last secondary status where it is another than ``status``, such as MaxRuntimeExceeded or Interrupted.
        lines: for each host the lines that it logs while in Training; a (seconds, line) pair has its own event time.
        late_lines: lines that come ``late`` seconds after the end; of a host without ``lines``, so does its stream.
        late: seconds, see above.
        stop_lines: lines that are logged when the job is stopped.
        interruptions: how often spot capacity is taken back: Interrupted, and all steps again with new streams.
        retries: how often the service fails by itself: Restarting, and all steps again with new streams.
        refuse: code and message of the error that CreateTrainingJob answers; the job is not created.
        model: whether it has a model in S3 (only the address: nothing is written).
        billable: BillableTimeInSeconds; the training time by default.
    """

    steps: Tuple[Step, ...] = ()
    status: str = COMPLETED
    reason: Optional[str] = None
    secondary: Optional[str] = None
    lines: Mapping[str, Sequence[object]] = field(default_factory=dict)
    late_lines: Mapping[str, Sequence[object]] = field(default_factory=dict)
    late: float = 0.0
    stop_lines: Mapping[str, Sequence[object]] = field(default_factory=dict)
    interruptions: int = 0
    retries: int = 0
    refuse: Optional[Tuple[str, str]] = None
    model: bool = True
    billable: Optional[int] = None

    @classmethod
    def capacity(cls, seconds: float = 0.0) -> Script:
        """No instances are to be had: the job fails in Starting, and has no logs."""
        message = "Insufficient capacity error from EC2 while launching instances, retrying!"
        steps = (Step("Starting", 0.0), Step("Starting", seconds, message))
        return cls(steps=steps, status=FAILED, reason=CAPACITY, model=False)

    @classmethod
    def failing(cls, reason: str, lines: Optional[Mapping[str, Sequence[object]]] = None) -> Script:
        """The job fails while it trains."""
        return cls(status=FAILED, reason=reason, lines=lines or {}, model=False)

    @classmethod
    def held(cls, status: str = "Training", lines: Optional[Mapping[str, Sequence[object]]] = None) -> Script:
        """The job stays in a status until it is released or stopped."""
        order = ["Starting", "Downloading", "Training", "Uploading"]
        steps = [Step(name, None if name == status else 0.0) for name in order]
        return cls(steps=tuple(steps), lines=lines or {})

    @classmethod
    def overtime(cls, lines: Optional[Mapping[str, Sequence[object]]] = None) -> Script:
        """MaxRuntimeInSeconds ends the job."""
        return cls(status=STOPPED, secondary="MaxRuntimeExceeded", lines=lines or {})

    def check_admission(self) -> None:
        """Raise what CreateTrainingJob answers.

        Raises:
            ServiceError: see ``refuse``.
        """
        if self.refuse is not None:
            raise ServiceError(*self.refuse)

    def with_pace(self, pace: Pace) -> Script:
        """The script with the steps of a pace where it has none."""
        if self.steps:
            return self
        steps = [
            Step("Starting", pace.starting / 2),
            Step("Starting", 0.0, "Launching requested ML instances"),
            Step("Starting", pace.starting / 2, "Preparing the instances for training"),
            Step("Downloading", pace.downloading),
            Step("Training", 0.0, "Downloading the training image"),
            Step("Training", pace.training),
        ]
        if self.status == COMPLETED:
            steps.append(Step("Uploading", pace.uploading))
        return replace(self, steps=tuple(steps))


def play(script: Script, job: TrainingJob, pace: Pace) -> None:
    """Lead a job through its script."""
    script = script.with_pace(pace)
    for ended_by in (*[INTERRUPTED] * script.interruptions, *["Restarting"] * script.retries, None):
        if not _attempt(script, job):
            _stopped(script, job, pace)
            return
        if ended_by is not None:
            job.enter(ended_by)
    if script.model and script.status != FAILED:
        job.model_artifacts = model_address(job)
    job.billable = script.billable
    job.end(script.status, reason=script.reason, secondary=script.secondary)
    _log_late(script, job)


def model_address(job: TrainingJob) -> str:
    """Where the service puts a job's model."""
    config = job.request.get("OutputDataConfig") or {}
    place = f"{str(config.get('S3OutputPath', '')).rstrip('/')}/{job.name}/output"
    return f"{place}/model/" if config.get("CompressionType") == "NONE" else f"{place}/model.tar.gz"


def _attempt(script: Script, job: TrainingJob) -> bool:
    """All steps once; False when the job is to end."""
    job.begin_attempt()
    logged = False
    last_training = max((i for i, step in enumerate(script.steps) if step.status == "Training"), default=-1)
    for index, step in enumerate(script.steps):
        job.enter(step.status, step.message)
        if index == last_training and script.lines and not logged:
            logged = True
            if not _log_spread(script.lines, job, step.seconds):
                return False
            if step.seconds is not None:
                continue
        if not job.pause(step.seconds):
            return False
    return True


def _log_spread(lines: Mapping[str, Sequence[object]], job: TrainingJob, seconds: Optional[float]) -> bool:
    """Log the lines over so many seconds, those of all hosts side by side."""
    if not seconds:
        for host, entries in lines.items():
            job.log(host, _entries(entries))
        return job.pause(0.0)
    longest = max(len(entries) for entries in lines.values())
    rounds = max(1, min(longest, int(seconds / 0.02)))
    begun, done = time.monotonic(), dict.fromkeys(lines, 0)
    for turn in range(1, rounds + 1):
        if not job.pause(max(0.0, begun + seconds * (turn - 1) / rounds - time.monotonic())):
            return False
        for host, entries in lines.items():
            upto = len(entries) * turn // rounds
            if upto > done[host]:
                job.log(host, _entries(entries[done[host] : upto]))
                done[host] = upto
    return job.pause(max(0.0, begun + seconds - time.monotonic()))


def _entries(entries: Sequence[object]) -> List[Tuple[Optional[float], str]]:
    found: List[Tuple[Optional[float], str]] = []
    for entry in entries:
        at, line = entry if isinstance(entry, tuple) else (None, entry)
        found.append((at, line.decode("utf-8", "replace") if isinstance(line, bytes) else str(line)))
    return found


def _stopped(script: Script, job: TrainingJob, pace: Pace) -> None:
    if job.abandoned.is_set() and not job.stop_requested.is_set():
        return
    for host, entries in script.stop_lines.items():
        job.log(host, _entries(entries))
    job.abandoned.wait(pace.stopping)
    if job.started is not None and script.model:
        job.enter("Uploading")
        job.model_artifacts = model_address(job)
    job.end(STOPPED)
    _log_late(script, job)


def _log_late(script: Script, job: TrainingJob) -> None:
    if script.late_lines and not job.abandoned.wait(script.late):
        for host, entries in script.late_lines.items():
            job.log(host, _entries(entries))
