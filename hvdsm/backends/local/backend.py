"""The local back end behind the protocol of :mod:`hvdsm.backends.base`."""

from __future__ import annotations

import os
import secrets
import signal
import time
from dataclasses import dataclass
from typing import Any, BinaryIO, Callable, Dict, Iterator, Mapping, Optional, Union

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
from hvdsm.backends.local.result import collect
from hvdsm.backends.local.run import STOPPED, Run
from hvdsm.backends.local.single import SingleMachine
from hvdsm.backends.local.stage import Stage, prepare, remove_tree
from hvdsm.emulator import ClusterSpec, EmulatedCluster
from hvdsm.model import JobOutcome

HOSTS_UP = "hosts up"


@dataclass
class LocalJob:
    """A job on hosts of this machine."""

    plan: LocalPlan
    stage: Stage
    cluster: Union[EmulatedCluster, SingleMachine]
    run: Run
    hosts_up: float
    program_start: float
    ended: Optional[JobOutcome] = None

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
        run = Run(started, plan.max_run, plan.options.stop_grace)
        try:
            cluster = self._cluster(plan, stage)
            hosts_up = run.seconds()
            try:
                environments = host_environments(plan, stage, self.environ)
                run.start_programs(cluster, environments, os.path.join(plan.job_dir, "logs"))
            except BaseException:
                cluster.close()
                raise
        except BaseException:
            run.close()
            remove_tree(plan.job_dir)
            raise
        return LocalJob(plan, stage, cluster, run, hosts_up, run.program_start - started)

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
        count = len(job.plan.layout)
        where = "this machine is the only host" if job.plan.single else f"{count} of {count}"
        yield Event(PHASE, f"{HOSTS_UP} ({where})", seconds=job.hosts_up)
        try:
            yield from job.run.events()
        except GeneratorExit:
            job.run.reason = job.run.reason or STOPPED
            raise
        finally:
            job.run.close()
            self._finish(job)

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
            phases={HOSTS_UP: round(job.hosts_up, 3)},
            program_start=job.program_start,
            seconds=job.run.seconds(),
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
        "HVDSM_STOP_GRACE": f"{plan.options.stop_grace:g}",
    }
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
