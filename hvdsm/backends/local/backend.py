"""The local back end behind the protocol of :mod:`hvdsm.backends.base`."""

from __future__ import annotations

import os
import secrets
import signal
import time
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, Union

from hvdsm.backends.base import NOTE, PHASE, WARNING, Event
from hvdsm.backends.local.layout import decoded
from hvdsm.backends.local.machine import (
    base_environment,
    importable,
    look_at_machine,
    mpirun_on_hosts,
    needed_paths,
    on_emulated_host,
)
from hvdsm.backends.local.plan import LocalOptions, LocalPlan, make_plan
from hvdsm.backends.local.result import collect, exit_code, read_outcome
from hvdsm.backends.local.run import INTERRUPTED, STOPPED, TIMEOUT, Run
from hvdsm.backends.local.single import SingleMachine
from hvdsm.backends.local.stage import Stage, lay_out, prepare, remove_tree
from hvdsm.emulator import ClusterSpec, EmulatedCluster
from hvdsm.model import JobOutcome
from hvdsm.model.outcome import STOPPED as JOB_STOPPED

HOSTS_UP = "hosts up"
LOGS_INTERRUPTED = "logs-interrupted"


@dataclass
class LocalJob:
    """A job on hosts of this machine."""

    plan: LocalPlan
    stage: Stage
    cluster: Union[EmulatedCluster, SingleMachine]
    run: Run
    hosts_up: float
    ended: Optional[JobOutcome] = None
    interruptions: int = 0
    phases: Dict[str, float] = field(default_factory=dict)
    warnings: List[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """TrainingJobName."""
        return self.plan.job_name


class LocalBackend:
    """Executes requests on emulated hosts, or on the machine itself as the only host.

    Args:
        options: what it is told besides the request.
        environ: variables of the caller, ``os.environ`` by default.
    """

    def __init__(self, options: Optional[LocalOptions] = None, environ: Optional[Mapping[str, str]] = None) -> None:
        self.options = options or LocalOptions()
        self.environ = dict(os.environ if environ is None else environ)

    def plan(self, request: Mapping[str, Any]) -> LocalPlan:
        """Check the request, the files that it names and this machine; see :func:`make_plan`."""
        return make_plan(request, self.options, look_at_machine(self.options.mpirun, self.options.hosts, self.environ))

    def submit(self, plan: LocalPlan, say: Callable[[str], None]) -> LocalJob:
        """Stage the hosts, start them and the container program on each.

        Raises:
            ConfigError: results of that name exist, or data cannot be had.
            NamespacesUnavailable: the hosts cannot be made after all.
        """
        started = time.monotonic()
        stage = prepare(plan, say, self.environ)
        run = Run(started, plan.max_run, plan.stop_grace, plan.options.interrupt_after)
        try:
            cluster, hosts_up = self._start(plan, stage, run)
        except BaseException:
            remove_tree(plan.job_dir)
            raise
        return LocalJob(plan, stage, cluster, run, hosts_up)

    def _start(self, plan: LocalPlan, stage: Stage, run: Run) -> Tuple[Union[EmulatedCluster, SingleMachine], float]:
        """Start the hosts and the container program on each; also says when the hosts were up, in seconds of the job."""
        try:
            cluster = self._cluster(plan, stage)
            hosts_up = run.seconds()
            try:
                environments = host_environments(plan, stage, self.environ)
                run.start_programs(cluster, environments, os.path.join(plan.job_dir, "logs"), launcher=plan.launcher)
            except BaseException:
                cluster.close()
                raise
        except BaseException:
            run.close()
            raise
        return cluster, hosts_up

    def _cluster(self, plan: LocalPlan, stage: Stage) -> Union[EmulatedCluster, SingleMachine]:
        if plan.single:
            return SingleMachine()
        spec = ClusterSpec(
            instance_count=len(plan.layout),
            mounts=(*stage.mounts, *(mpirun_on_hosts(plan.mpirun)[1] if plan.mpirun else ())),
            visible=needed_paths(plan.mpirun),
            delay_ms=plan.options.delay_ms,
            mbit=plan.options.mbit,
        )
        return EmulatedCluster.start(spec)

    def events(self, job: LocalJob) -> Iterator[Event]:
        """The job's events until it ends; its results are in place then."""
        for text in job.plan.notes:
            yield Event(NOTE, text)
        for text in job.plan.warnings:
            yield Event(WARNING, text)
        try:
            yield self._hosts_up(job)
            yield from job.run.events()
            if job.run.reason == INTERRUPTED:
                yield from self._relaunch(job)
            elif job.plan.options.interrupt_after is not None and job.run.reason is None:
                yield self._never_interrupted(job)
        except GeneratorExit:
            job.run.reason = STOPPED if job.run.reason in (None, INTERRUPTED) else job.run.reason
            raise
        finally:
            job.run.close()
            self._finish(job)

    def _hosts_up(self, job: LocalJob) -> Event:
        count = len(job.plan.layout)
        where = "this machine is the only host" if job.plan.single else f"{count} of {count}"
        return Event(PHASE, f"{HOSTS_UP} ({where})", seconds=job.hosts_up)

    def _never_interrupted(self, job: LocalJob) -> Event:
        job.warnings.append(
            f"never interrupted: the job ended before its ranks had run for {job.plan.options.interrupt_after:g} s"
        )
        return Event(WARNING, job.warnings[-1], seconds=job.run.seconds())

    def _relaunch(self, job: LocalJob) -> Iterator[Event]:
        """After an interruption: the same job on new hosts, of which only the checkpoints are those of the first ones."""
        plan, first = job.plan, job.run
        report = read_outcome(job.stage.bases[plan.launcher])
        if report is not None and report.status != JOB_STOPPED:
            # It had ended by itself when the signal came.
            first.reason = None
            yield self._never_interrupted(job)
            return
        used = time.monotonic() - first.program_start
        if first.asked_to_stop() or used >= plan.max_run:
            first.reason = STOPPED if first.asked_to_stop() else TIMEOUT
            return
        ended = [f"{run.name} {exit_code(run)}" for run in first.hosts]
        job.phases["interrupted"] = round(first.seconds(), 3)
        kept = os.path.join(plan.job_dir, LOGS_INTERRUPTED)
        os.rename(os.path.join(plan.job_dir, "logs"), kept)
        os.mkdir(os.path.join(plan.job_dir, "logs"))
        yield Event(NOTE, f"interrupted; exit codes: {', '.join(ended)}; its logs are in {kept}", seconds=first.seconds())
        job.stage = lay_out(plan, job.stage)
        found = f"{plan.checkpoint.count()} checkpoint files" if plan.checkpoint else "no checkpoints"
        yield Event(NOTE, f"relaunching the job on new hosts, with {found}", seconds=first.seconds())
        run = Run(first.started, plan.max_run, plan.stop_grace, used=used)
        job.cluster, job.hosts_up = self._start(plan, job.stage, run)
        job.run, job.interruptions = run, 1
        if first.asked_to_stop():
            run.stop(first.stop_signal)
        yield self._hosts_up(job)
        yield from run.events()

    def _finish(self, job: LocalJob) -> None:
        if job.ended is not None:
            return
        job.ended = collect(
            job.plan,
            job.stage,
            job.run.hosts,
            lost=job.run.lost,
            reason=job.run.reason,
            stop_signal=job.run.stop_signal,
            stragglers=job.run.stragglers,
            phases={**job.phases, HOSTS_UP: round(job.hosts_up, 3)},
            program_start=job.run.program_start - job.run.started,
            seconds=job.run.seconds(),
            interruptions=job.interruptions,
            warnings=job.warnings,
        )

    def logs(self, job: LocalJob, host: str) -> BinaryIO:
        """A host's log, open for reading."""
        return open(os.path.join(job.plan.job_dir, "logs", f"{host}.log"), "rb")

    def stop(self, job: LocalJob, number: int = signal.SIGTERM) -> None:
        """SIGTERM to all ranks; a second call kills all hosts."""
        job.run.stop(number)

    def outcome(self, job: LocalJob) -> JobOutcome:
        """How the job ended; waits for it."""
        if job.ended is None:
            for _ in self.events(job):
                continue
        assert job.ended is not None
        return job.ended


def host_environments(plan: LocalPlan, stage: Stage, environ: Mapping[str, str]) -> Dict[str, Dict[str, str]]:
    """The variables of the container program on each host: the caller's, the request's, the platform's, hvdsm's."""
    values = plan.request.get("HyperParameters") or {}
    region = decoded(values, "sagemaker_region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    base = base_environment(environ)
    shared = {
        **importable({**(base if plan.single else on_emulated_host(base)), **(plan.request.get("Environment") or {})}),
        "TRAINING_JOB_NAME": plan.job_name,
        "TRAINING_JOB_ARN": f"arn:aws:sagemaker:{region or 'local'}:000000000000:training-job/{plan.job_name}",
        "HVDSM_REHEARSAL": "1",
        "HVDSM_JOB_TOKEN": secrets.token_hex(32),
        "HVDSM_STOP_GRACE": f"{plan.stop_grace:g}",
    }
    if stage.packages is not None:
        shared["HVDSM_PACKAGES"] = stage.packages.site
        shared["PATH"] = stage.packages.commands + os.pathsep + shared["PATH"]
    if region:
        shared["AWS_REGION"] = str(region)
    if plan.mpirun:
        shared["HVDSM_MPIRUN"] = plan.mpirun if plan.single else mpirun_on_hosts(plan.mpirun)[0]
    found = {}
    for index, host in enumerate(plan.layout):
        directory = stage.bases[host.name] if plan.single else "/opt/ml"
        own = {"HVDSM_OUTCOME_FILE": directory + "/.hvdsm/outcome.json"}
        if plan.single:
            own["SAGEMAKER_BASE_DIR"] = directory
        if plan.gpus is not None:
            own["CUDA_VISIBLE_DEVICES"] = ",".join(plan.gpus[index])
        found[host.name] = {**shared, **own}
    return found
