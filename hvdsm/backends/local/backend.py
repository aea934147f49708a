"""The local back end behind the protocol of :mod:`hvdsm.backends.base`."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from hvdsm.backends.base import NOTE, PHASE, WARNING, Event
from hvdsm.backends.local.gateway import Relay, client_variables, listen
from hvdsm.backends.local.layout import decoded
from hvdsm.backends.local.machine import (
    as_in_an_image,
    base_environment,
    importable,
    look_at_machine,
    mpirun_on_hosts,
    needed_paths,
    of_python,
    on_emulated_host,
    threads_of,
)
from hvdsm.backends.local.meter import Found, Meter
from hvdsm.backends.local.options import LocalOptions
from hvdsm.backends.local.pipes import Feeder
from hvdsm.backends.local.plan import LocalPlan, make_plan
from hvdsm.backends.local.prelude import with_prelude
from hvdsm.backends.local.result import collect, read_outcome
from hvdsm.backends.local.run import INTERRUPTED, PROGRAM, STOPPED, TIMEOUT, Cluster, Run
from hvdsm.backends.local.secret_values import NAMES, secret_values
from hvdsm.backends.local.single import SingleMachine
from hvdsm.backends.local.stage import Stage, lay_out, prepare, remove_tree
from hvdsm.backends.local.verdict import exit_code
from hvdsm.compose.secrets import forms
from hvdsm.emulator import ClusterSpec, EmulatedCluster
from hvdsm.errors import ConfigError
from hvdsm.model import JobOutcome
from hvdsm.model.outcome import STOPPED as JOB_STOPPED

HOSTS_UP = "hosts up"
LOGS_INTERRUPTED = "logs-interrupted"


@dataclass
class LocalJob:
    """A job on hosts of this machine."""

    plan: LocalPlan
    stage: Stage
    cluster: Cluster
    run: Run
    hosts_up: float
    ended: Optional[JobOutcome] = None
    interruptions: int = 0
    phases: Dict[str, float] = field(default_factory=dict)
    warnings: List[str] = field(default_factory=list)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    feeders: Tuple[Feeder, ...] = ()
    meter: Optional[Meter] = None
    found: Optional[Found] = None

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
        secrets_of = secret_values(plan.request, self.environ)
        stage = self._staged(plan, say)
        options = plan.options
        ours = plan.command is None
        run = Run(started, plan.max_run, plan.stop_grace, options.interrupt_after, together=ours, alone=plan.alone)
        try:
            started_job = self._start(plan, stage, run, secrets_of)
        except BaseException:
            remove_tree(plan.job_dir)
            raise
        job = LocalJob(plan, stage, run=run, secrets=secrets_of, **started_job)
        job.warnings += stage.prelude.warnings if stage.prelude is not None else ()
        return job

    def _staged(self, plan: LocalPlan, say: Callable[[str], None]) -> Stage:
        """What the hosts find; an image has more of it than this machine's Python."""
        return prepare(plan, say, self.environ)

    def _start(self, plan: LocalPlan, stage: Stage, run: Run, secrets_of: Mapping[str, str]) -> Dict[str, Any]:
        """Start the hosts and the program on each: the fields of :class:`LocalJob` that come of it."""
        logs = os.path.join(plan.job_dir, "logs")
        feeders: List[Feeder] = []
        try:
            for feed in stage.feeds:
                feeders.append(Feeder(feed.directory, feed.channel, feed.files, feed.form))
                run.at_close(feeders[-1].close)
                feeders[-1].start()
            cluster = self._cluster(plan, stage, secrets_of)
            hosts_up = run.seconds()
            try:
                if plan.options.gateway is not None and not plan.single and not _isolated(plan):
                    port = plan.options.gateway.port
                    run.at_close(Relay(listen(cluster, plan.hosts, port), port).close)
                environments = self._environments(plan, stage, secrets_of)
                run.start_programs(cluster, environments, logs, plan.command or PROGRAM, launcher=plan.launcher)
            except OSError as error:
                cluster.close()
                if plan.command is None:
                    raise
                where = "AlgorithmSpecification.ContainerEntrypoint"
                raise ConfigError(f"{plan.command[0]} cannot be run here: {error.strerror}", where=where) from None
            except BaseException:
                cluster.close()
                raise
            meter = self._meter(plan, logs)
            if meter is not None:
                run.on_output = meter.more
        except BaseException:
            run.close()
            raise
        return {"cluster": cluster, "hosts_up": hosts_up, "feeders": tuple(feeders), "meter": meter}

    def _meter(self, plan: LocalPlan, logs: str) -> Optional[Meter]:
        """Searches the output for metrics: the launcher has all lines of ranks; of other programs every host has its own."""
        definitions = (plan.request.get("AlgorithmSpecification") or {}).get("MetricDefinitions")
        if not definitions:
            return None
        # A host that waits for no other may say, and end, something before the launcher hears of it.
        alone = plan.alone
        names = plan.hosts if alone or plan.command is not None else (plan.launcher,)
        paths = [os.path.join(logs, f"{name}.log") for name in names]
        return Meter(definitions, paths, importable(base_environment(self.environ)), own=alone)

    def _environments(self, plan: LocalPlan, stage: Stage, secrets_of: Mapping[str, str]) -> Dict[str, Dict[str, str]]:
        return host_environments(plan, stage, self.environ, secrets_of)

    def _cluster(self, plan: LocalPlan, stage: Stage, secrets_of: Mapping[str, str]) -> Cluster:
        """The hosts, up: something that programs can be started on."""
        del secrets_of
        if plan.single:
            return SingleMachine()
        spec = ClusterSpec(
            instance_count=len(plan.layout),
            mounts=(*stage.mounts, *(mpirun_on_hosts(plan.mpirun)[1] if plan.mpirun else ())),
            visible=needed_paths(plan.mpirun),
            # A command of the request's own may install packages, each host for itself.
            private_copies=(sys.prefix,) if plan.command is not None else (),
            sshd=stage.prelude is not None and stage.prelude.ssh,
            delay_ms=plan.options.delay_ms,
            mbit=plan.options.mbit,
            slow=plan.options.slow_hosts,
        )
        return EmulatedCluster.start(spec)

    def events(self, job: LocalJob) -> Iterator[Event]:
        """The job's events until it ends; its results are in place then."""
        for text in job.plan.notes:
            yield Event(NOTE, text)
        for text in (*job.plan.warnings, *job.warnings):
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
        self._measure(job)
        ours = plan.command is None
        run = Run(first.started, plan.max_run, plan.stop_grace, used=used, together=ours, alone=plan.alone)
        for name, value in self._start(plan, job.stage, run, job.secrets).items():
            setattr(job, name, value)
        job.run, job.interruptions = run, 1
        if first.asked_to_stop():
            run.stop(first.stop_signal)
        yield self._hosts_up(job)
        yield from run.events()

    def _measure(self, job: LocalJob) -> None:
        """Take what was found in the output of the run that has ended."""
        if job.meter is not None:
            found, job.meter = job.meter.finish(), None
            job.found = found if job.found is None else job.found.then(found)

    def _finish(self, job: LocalJob) -> None:
        if job.ended is not None:
            return
        self._measure(job)
        broken = [f"channel {feeder.channel}: {feeder.error}" for feeder in job.feeders if feeder.error]
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
            warnings=(*job.warnings, *broken),
            found=job.found,
            masked=forms(job.secrets.values()),
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


def _isolated(plan: LocalPlan) -> bool:
    """Whether the job is to reach nothing but its own hosts."""
    return bool(plan.request.get("EnableNetworkIsolation"))


def host_environments(
    plan: LocalPlan, stage: Stage, environ: Mapping[str, str], secrets_of: Optional[Mapping[str, str]] = None
) -> Dict[str, Dict[str, str]]:
    """The variables of the program on each host: the caller's, the request's, its secrets, the platform's, hvdsm's."""
    values = plan.request.get("HyperParameters") or {}
    region = decoded(values, "sagemaker_region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    base = base_environment(environ)
    if plan.command is not None:
        base = as_in_an_image(base)
    asked = {**(plan.request.get("Environment") or {}), **(secrets_of or {})}
    gateway = plan.options.gateway
    if gateway is not None:
        base = client_variables(base, gateway, asked, isolated=_isolated(plan))
    shared = {
        **importable({**(base if plan.single else on_emulated_host(base)), **asked}),
        "TRAINING_JOB_NAME": plan.job_name,
        "TRAINING_JOB_ARN": f"arn:aws:sagemaker:{region or 'local'}:000000000000:training-job/{plan.job_name}",
        "HVDSM_REHEARSAL": "1",
        "HVDSM_JOB_TOKEN": secrets.token_hex(32),
        "HVDSM_STOP_GRACE": f"{plan.stop_grace:g}",
    }
    if secrets_of:
        shared[NAMES] = ",".join(secrets_of)
    if stage.prelude is not None:
        shared = with_prelude(shared, stage.prelude)
    elif stage.packages is not None:
        shared["PATH"] = stage.packages.commands + os.pathsep + shared["PATH"]
    if stage.packages is not None:
        shared["HVDSM_PACKAGES"] = stage.packages.site
    if region and (gateway is None or "AWS_REGION" not in asked):
        shared["AWS_REGION"] = str(region)
    if plan.mpirun:
        shared["HVDSM_MPIRUN"] = plan.mpirun if plan.single else mpirun_on_hosts(plan.mpirun)[0]
        shared = {**of_python(shared["HVDSM_MPIRUN"]), **shared}
    if plan.gpus is None:
        shared = {**threads_of((plan.processes or 1) * (1 if plan.single else len(plan.layout))), **shared}
    found = {}
    for index, host in enumerate(plan.layout):
        directory = stage.bases[host.name] if plan.single else "/opt/ml"
        own = {"HVDSM_OUTCOME_FILE": directory + "/.hvdsm/outcome.json"}
        if plan.single:
            own["SAGEMAKER_BASE_DIR"] = directory
        if plan.gpus is not None:
            own["CUDA_VISIBLE_DEVICES"] = ",".join(plan.gpus[index])
        found[host.name] = {**shared, **own, **plan.options.variables}
    return found
