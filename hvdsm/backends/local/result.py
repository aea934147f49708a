"""What becomes of a job when its hosts have ended: the outcome, and the files that are kept."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from typing import Mapping, Optional, Sequence

from hvdsm.backends.local.keep import keep_files, keeps_model
from hvdsm.backends.local.meter import Found
from hvdsm.backends.local.plan import LocalPlan
from hvdsm.backends.local.run import TIMEOUT, HostRun
from hvdsm.backends.local.running import remove_running
from hvdsm.backends.local.stage import Stage
from hvdsm.backends.local.verdict import exit_code, failure_file, read_in, verdict
from hvdsm.compose.failure import signal_name
from hvdsm.compose.secrets import without, without_pieces
from hvdsm.errors import EXIT_TIMEOUT
from hvdsm.model import JobOutcome, RankFailure
from hvdsm.model.outcome import FAILED, KIND_HOST_LOST, KIND_LAUNCH, KIND_TIMEOUT, STOPPED

TAIL = 4096
# Bytes of an outcome: far more than one has.
MAX_OUTCOME = 16 << 20


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
    found: Optional[Found] = None,
    masked: Sequence[str] = (),
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
        found: the metrics in the output.
        masked: texts of secrets, which are left out of what is said of a failure.
    """
    reports = {run.name: report for run in hosts if (report := read_outcome(stage.bases[run.name])) is not None}
    said = None
    if plan.command is not None:
        said = {run.name: without(failure_file(stage.bases[run.name]), masked) for run in hosts}
    outcome = decide(plan, hosts, reports, said, lost=lost, reason=reason, stop_signal=stop_signal, stragglers=stragglers)
    if found is not None:
        unmatched = found.unmatched.values() if outcome.ok else ()
        warnings = (*warnings, *found.warnings, *unmatched)
    if (
        outcome.failure is not None
        and not outcome.failure.output_tail
        and not outcome.failure.traceback
        and outcome.failure.rank is None
    ):
        host = outcome.failure.host or plan.launcher
        outcome = replace(
            outcome, failure=replace(outcome.failure, output_tail=without_pieces(log_tail(plan.job_dir, host), masked, TAIL))
        )
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
        metrics=found.summary if found is not None else {},
    )
    clashes = keep_files(plan, stage, outcome, said or {})
    _mask_reason(plan.job_dir, masked)
    outcome = replace(outcome, warnings=(*outcome.warnings, *clashes))
    with open(os.path.join(plan.job_dir, "outcome.json"), "w", encoding="utf-8") as file:
        file.write(outcome.to_json())
    remove_running(plan.job_dir)
    return outcome


def _mask_reason(job_dir: str, masked: Sequence[str]) -> None:
    """Secrets that a script has written into its reason."""
    text = read_in(job_dir, "output", "failure", MAX_OUTCOME).decode("utf-8", "surrogateescape") if masked else ""
    if without(text, masked) != text:
        with open(os.path.join(job_dir, "output", "failure"), "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(without(text, masked))


def read_outcome(base: str) -> Optional[JobOutcome]:
    """The outcome that the container program of a host wrote, None when it did not come to that."""
    try:
        return JobOutcome.from_dict(json.loads(read_in(base, ".hvdsm", "outcome.json", MAX_OUTCOME)))
    except (AttributeError, ValueError, KeyError, TypeError):
        return None


def decide(
    plan: LocalPlan,
    hosts: Sequence[HostRun],
    reports: Mapping[str, JobOutcome],
    said: Optional[Mapping[str, str]] = None,
    *,
    lost: Sequence[str],
    reason: Optional[str],
    stop_signal: int,
    stragglers: Sequence[str],
) -> JobOutcome:
    """How the job ended, from what the hosts reported and how their programs exited.

    The launcher's report counts before the others'; what this side did (time limit, stop) before all; a completed job whose
    program exited with an error is a failed one.  ``said`` is what each host has written into ``output/failure``, where the hosts
    run a command of the request's own.
    """
    names = (plan.launcher, *(run.name for run in hosts))
    report = next((reports[name] for name in names if name in reports), None)
    if report is None and said is not None:
        report = verdict(plan.job_name, hosts, said, lost)
    elif report is None:
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
        text = f"stopped by {signal_name(number)}"
        return replace(report, status=STOPPED, exit_code=128 + number, failure=None, warnings=(*report.warnings, text))
    return report


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
