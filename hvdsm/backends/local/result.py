"""What becomes of a job when its hosts have ended: the outcome, and the files that are kept."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from typing import Mapping, Optional, Sequence, Tuple

from hvdsm.backends.local.plan import LocalPlan
from hvdsm.backends.local.run import TIMEOUT, HostRun
from hvdsm.backends.local.stage import Stage, remove_tree
from hvdsm.compose.failure import failure_text, signal_name
from hvdsm.errors import EXIT_TIMEOUT
from hvdsm.model import JobOutcome, RankFailure
from hvdsm.model.outcome import COMPLETED, FAILED, KIND_HOST_LOST, KIND_LAUNCH, KIND_TIMEOUT, STOPPED

TAIL = 4096


def collect(
    plan: LocalPlan,
    stage: Stage,
    hosts: Sequence[HostRun],
    *,
    lost: Sequence[str] = (),
    reason: Optional[str] = None,
    stop_signal: int = 0,
    stragglers: Sequence[str] = (),
    phases: Optional[Mapping[str, float]] = None,
    program_start: float = 0.0,
    seconds: float = 0.0,
    interruptions: int = 0,
    warnings: Sequence[str] = (),
) -> JobOutcome:
    """Keep the results, remove the hosts' directories, write ``outcome.json``.

    Args:
        plan: the plan.
        stage: the staged directories.
        hosts: the programs with their exit codes.
        lost: hosts that ended before their program.
        reason: ``timeout`` or ``stopped`` when this side ended the job.
        stop_signal: the signal that asked for it.
        stragglers: hosts that had to be killed.
        phases: phases reached on this side, seconds since the job was submitted.
        program_start: when the programs were started, on the same scale.
        seconds: how long the job took.
        interruptions: how often the hosts were taken from the job before these.
        warnings: what was found beside the plan's own warnings.
    """
    reports = {run.name: report for run in hosts if (report := read_outcome(stage.bases[run.name])) is not None}
    outcome = decide(plan, hosts, reports, lost=lost, reason=reason, stop_signal=stop_signal, stragglers=stragglers)
    if (
        outcome.failure is not None
        and not outcome.failure.output_tail
        and not outcome.failure.traceback
        and outcome.failure.rank is None
    ):
        host = outcome.failure.host or plan.launcher
        outcome = replace(outcome, failure=replace(outcome.failure, output_tail=log_tail(plan.job_dir, host)))
    merged = {**(phases or {}), **{name: round(program_start + at, 3) for name, at in outcome.phases.items()}}
    outcome = replace(
        outcome,
        job_name=plan.job_name,
        phases=merged,
        seconds=round(seconds, 3),
        warnings=(*plan.warnings, *warnings, *(note for note in outcome.warnings if note not in plan.warnings)),
        interruptions=interruptions,
        output_dir=os.path.join(plan.job_dir, "output"),
        model_dir=os.path.join(plan.job_dir, "model") if keeps_model(outcome) else None,
    )
    keep_files(plan, stage, outcome)
    with open(os.path.join(plan.job_dir, "outcome.json"), "w", encoding="utf-8") as file:
        file.write(outcome.to_json())
    return outcome


def keeps_model(outcome: JobOutcome) -> bool:
    """Whether the model is kept: that of a completed job, and what a stopped one has left; nothing half-made of a failed one.

    The service does so when a job is stopped or its time limit ends it (StopTrainingJob, MaxRuntimeInSeconds).
    """
    return outcome.status in (COMPLETED, STOPPED)


def read_outcome(base: str) -> Optional[JobOutcome]:
    """The outcome that the container program of a host wrote, None when it did not come to that."""
    try:
        with open(os.path.join(base, ".hvdsm", "outcome.json"), encoding="utf-8") as file:
            return JobOutcome.from_dict(json.load(file))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def decide(
    plan: LocalPlan,
    hosts: Sequence[HostRun],
    reports: Mapping[str, JobOutcome],
    *,
    lost: Sequence[str],
    reason: Optional[str],
    stop_signal: int,
    stragglers: Sequence[str],
) -> JobOutcome:
    """How the job ended, from what the hosts reported and how their programs exited.

    The launcher's report counts before the others'; what this side did (time limit, stop) before all; a completed job whose
    program exited with an error is a failed one.
    """
    names = (plan.launcher, *(run.name for run in hosts))
    report = next((reports[name] for name in names if name in reports), None)
    if report is None:
        missing = _no_report(hosts, lost)
        report = JobOutcome(plan.job_name, FAILED, missing.exit_code, failure=missing)
    bad = [(run.name, code) for run in hosts if (code := exit_code(run)) != report.exit_code and run.name not in stragglers]
    if report.ok and (bad or lost) and reason is None:
        name, code = bad[0] if bad else (lost[0], 1)
        failure = _lost(name) if name in lost else _ended(name, code)
        report = replace(report, status=FAILED, exit_code=failure.exit_code, failure=failure)
    if reason == TIMEOUT:
        message = f"the job exceeded its time limit: MaxRuntimeInSeconds is {plan.max_run}"
        failure = RankFailure(KIND_TIMEOUT, message, EXIT_TIMEOUT)
        return replace(report, status=STOPPED, exit_code=EXIT_TIMEOUT, failure=failure)
    if reason is not None:
        number = stop_signal or signal.SIGTERM
        said = f"stopped by {signal_name(number)}"
        return replace(report, status=STOPPED, exit_code=128 + number, failure=None, warnings=(*report.warnings, said))
    return report


def exit_code(run: HostRun) -> int:
    """A host's exit code as a shell gives it: 128+N for signal N; of a host that was killed here, 137."""
    code = -signal.SIGKILL if run.exit_code is None else run.exit_code
    return 128 - code if code < 0 else code


def _no_report(hosts: Sequence[HostRun], lost: Sequence[str]) -> RankFailure:
    if lost:
        return _lost(lost[0])
    run = next((run for run in hosts if exit_code(run)), hosts[0])
    return _ended(run.name, exit_code(run))


def _lost(host: str) -> RankFailure:
    return RankFailure(KIND_HOST_LOST, "the host was lost while the job ran", 1, host=host)


def _ended(host: str, code: int) -> RankFailure:
    message = f"the training program ended with exit code {code} and did not say why; see its log"
    return RankFailure(KIND_LAUNCH, message, code or 1, host=host)


def log_tail(job_dir: str, host: str) -> str:
    """The end of a host's log, whole lines of its last four kilobytes."""
    try:
        with open(os.path.join(job_dir, "logs", f"{host}.log"), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return text if size <= TAIL else text.partition("\n")[2]


def keep_files(plan: LocalPlan, stage: Stage, outcome: JobOutcome) -> None:
    """Move what is kept out of the hosts' directories and remove these.

    ``model/`` is the launcher's; see :func:`keeps_model`.  ``output/`` is the launcher's ``/opt/ml/output``; what another
    host wrote into its ``output/data`` is in ``output/algo-N/``.  ``checkpoints/`` likewise, when there are any.
    """
    output = os.path.join(plan.job_dir, "output")
    for name in plan.hosts:
        base = stage.bases[name]
        if name == plan.launcher:
            if keeps_model(outcome):
                _move(os.path.join(base, "model"), os.path.join(plan.job_dir, "model"), always=True)
            _move(os.path.join(base, "output"), output, always=True)
            _drop_empty(output, ("intermediate", "data"))
            _move(os.path.join(base, "checkpoints"), os.path.join(plan.job_dir, "checkpoints"))
        else:
            _move(os.path.join(base, "output", "data"), os.path.join(output, name))
            _move(os.path.join(base, "checkpoints"), os.path.join(plan.job_dir, "checkpoints", name))
    success, failure = os.path.join(output, "success"), os.path.join(output, "failure")
    if not outcome.ok:
        if os.path.lexists(success):
            os.unlink(success)
        if not os.path.lexists(failure) and outcome.failure is not None:
            with open(failure, "w", encoding="utf-8", errors="replace") as file:
                file.write(failure_text(outcome.failure))
    remove_tree(stage.work)


def _move(source: str, target: str, always: bool = False) -> None:
    # A link leads to the directory that keeps the checkpoints: they stay there.
    there = os.path.isdir(source) and not os.path.islink(source)
    if there and (always or os.listdir(source)):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.move(source, target)
    elif always:
        os.makedirs(target, exist_ok=True)


def _drop_empty(directory: str, names: Tuple[str, ...]) -> None:
    for name in names:
        path = os.path.join(directory, name)
        if os.path.isdir(path) and not os.path.islink(path) and not os.listdir(path):
            os.rmdir(path)
