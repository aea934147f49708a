"""The sandbox: SageMaker training jobs, their logs, and the services around them, on loopback."""

from __future__ import annotations

import os
import tempfile
import threading
from fnmatch import fnmatchcase
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

from hvdsm.errors import UsageError
from hvdsm.sandbox.answering import Answering
from hvdsm.sandbox.buckets import Buckets
from hvdsm.sandbox.environment import client_variables, script_variables, variables
from hvdsm.sandbox.faults import Faults
from hvdsm.sandbox.identity import Identity
from hvdsm.sandbox.jobs import TrainingJob
from hvdsm.sandbox.logs import LogService
from hvdsm.sandbox.logstore import LogStore
from hvdsm.sandbox.metrics import CLOUDWATCH, publish, watch_metrics
from hvdsm.sandbox.objects import Objects
from hvdsm.sandbox.others import OtherServices
from hvdsm.sandbox.recorder import Asked, Recorder
from hvdsm.sandbox.scope import check_scope
from hvdsm.sandbox.script import Pace, Script, play
from hvdsm.sandbox.server import HOST, Server
from hvdsm.sandbox.stacks import SERVICE as CLOUDFORMATION
from hvdsm.sandbox.stacks import Stacks
from hvdsm.sandbox.training import TrainingService
from hvdsm.sandbox.wire import Answer, Request, json_answer

ACCOUNT = "123456789012"
INSTANT, EMULATED = "instant", "emulated"

Runner = Callable[[TrainingJob], None]


class _Region:
    """What one region has."""

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        self.store = LogStore()
        self.training = TrainingService(name, ACCOUNT, self.store, sandbox._begin, sandbox._admit)
        self.logs = LogService(self.store, name, ACCOUNT)


class Sandbox:
    """A SageMaker service of one's own; use it as a context manager, or call :meth:`stop`.

    Example::

        with Sandbox.start(runner="emulated") as sandbox:
            subprocess.run(["python", "fit.py"], env=sandbox.client_environment(os.environ))

    Attributes:
        region: the region of :attr:`jobs` and :attr:`logs`; requests signed for another one meet an empty region.
        faults: what goes wrong; see :class:`Fault`.
        pace: how long jobs without steps of their own stay in their statuses.
        buckets: makes buckets that are not there, if it is told to.
        stacks: CloudFormation; it can be told what becomes of stacks.
        directory: where emulated jobs keep their results.
    """

    def __init__(
        self,
        *,
        runner: Union[str, Runner] = INSTANT,
        directory: Optional[str] = None,
        region: str = "us-east-1",
        port: int = 0,
        pace: Optional[Pace] = None,
        local: Optional[Mapping[str, Any]] = None,
        say: Optional[Callable[[str], None]] = None,
    ) -> None:
        self.region = region
        self.pace = pace or Pace()
        self.faults = Faults()
        self._lock = threading.RLock()
        self._regions: Dict[str, _Region] = {}
        self._scripts: Dict[str, Script] = {}
        self._recorder = Recorder()
        self._timers: List[threading.Timer] = []
        self._stopped = False
        self._ended = threading.Event()
        self._key = 1
        self._temporary: Optional[tempfile.TemporaryDirectory[str]] = None
        if runner == EMULATED and directory is None:
            directory = os.path.join(self._own_directory(), "jobs")
        self.directory = None if directory is None else os.path.abspath(directory)
        self._server = Server(Answering(self.faults, self._recorder, self._ended, self._carry_out), port)
        self._others = OtherServices((HOST, self._server.port))
        self.buckets = Buckets(self._others.handle)
        self.stacks = Stacks(self._others.handle, lambda name: self._region(name).logs, region, ACCOUNT)
        self._identity = Identity(self._others.handle, ACCOUNT)
        try:
            self._runner, self._check = self._make_runner(runner, dict(local or {}), say)
        except BaseException:
            self._server.close()
            raise
        self._server.serve()

    @classmethod
    def start(
        cls,
        *,
        runner: Union[str, Runner] = INSTANT,
        directory: Optional[str] = None,
        region: str = "us-east-1",
        port: int = 0,
        pace: Optional[Pace] = None,
        local: Optional[Mapping[str, Any]] = None,
        say: Optional[Callable[[str], None]] = None,
    ) -> Sandbox:
        """Start a sandbox.

        Args:
            runner: ``instant`` plays scripts; ``emulated`` runs each job on emulated hosts of this machine; or a function that
                leads a :class:`TrainingJob` to its end.  A job with a script of its own is played in any case.
            directory: results of emulated jobs, ``DIRECTORY/JOB-NAME``; a temporary one by default, removed at the end.
            region: AWS region.
            port: TCP port on loopback; any free one by default.
            pace: how long played jobs stay in their statuses; no time by default.
            local: fields of :class:`hvdsm.backends.local.LocalOptions` for emulated jobs, such as ``delay_ms`` or ``stop_grace``.
            say: is told of an emulated job's preparation.
        """
        return cls(runner=runner, directory=directory, region=region, port=port, pace=pace, local=local, say=say)

    def _make_runner(
        self, runner: Union[str, Runner], local: Dict[str, Any], say: Optional[Callable[[str], None]]
    ) -> Tuple[Runner, Optional[Callable[[Mapping[str, Any]], None]]]:
        if callable(runner):
            return runner, None
        if runner == INSTANT:
            return (lambda job: play(Script(), job, self.pace)), None
        if runner != EMULATED:
            raise UsageError(f"must be {INSTANT}, {EMULATED} or a function, not {runner!r}", where="runner")
        from hvdsm.backends.local.options import Gateway
        from hvdsm.sandbox.emulated import EmulatedRunner

        assert self.directory is not None

        def gateway() -> Gateway:
            return Gateway(self._server.port, self.environ())

        emulated = EmulatedRunner(self.directory, self.client_environment(os.environ), self.objects(), local, say, gateway)
        return emulated.run, emulated.check_data

    def _own_directory(self) -> str:
        """A directory that is there as long as the sandbox."""
        with self._lock:
            if self._temporary is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="hvdsm-sandbox-")
            return self._temporary.name

    @property
    def temporary(self) -> str:
        """What is on disk as long as the sandbox lives."""
        return self._own_directory()

    @property
    def url(self) -> str:
        """Address of all services."""
        return f"http://{HOST}:{self._server.port}"

    @property
    def access_key(self) -> str:
        """The access key ID that :meth:`environ` gives."""
        return f"AKIASANDBOX{self._key:09d}"

    def environ(self) -> Dict[str, str]:
        """Variables that make the AWS SDKs, and ``aws``, talk to the sandbox."""
        return variables(self.url, self.access_key, self.region)

    def client_environment(self, environ: Mapping[str, str]) -> Dict[str, str]:
        """An environment with those variables, without what would lead a client elsewhere, and settings for the SageMaker SDK."""
        bucket = f"sagemaker-{self.region}-{ACCOUNT}"
        return client_variables(environ, self._own_directory(), self.environ(), bucket)

    def script_environment(self, environ: Mapping[str, str]) -> Dict[str, str]:
        """An environment for unmodified scripts: as :meth:`client_environment`, with a person's profiles and a hook in Python."""
        return script_variables(environ, self._own_directory(), self.environ(), self.region)

    def warm_up(self) -> None:
        """Import what S3 and the other services are made of while nobody waits for it.

        Raises:
            BackendUnavailable: it is not installed.
        """
        self._others.warm_up()

    def objects(self) -> Objects:
        """S3, past the network and its faults."""
        return Objects(self.buckets.handle, self.region)

    def script(self, job_name: str, script: Script) -> None:
        """Say what will become of jobs of this name; ``*`` and ``?`` stand for other characters, the exact name goes first."""
        with self._lock:
            self._scripts[job_name] = script

    @property
    def jobs(self) -> Dict[str, TrainingJob]:
        """The jobs by their names."""
        training = self._region(self.region).training
        with training.lock:
            return dict(training.jobs)

    @property
    def all_jobs(self) -> List[TrainingJob]:
        """The jobs of all regions, in the order of their creation."""
        with self._lock:
            regions = list(self._regions.values())
        found: List[TrainingJob] = []
        for region in regions:
            with region.training.lock:
                found += region.training.jobs.values()
        return sorted(found, key=lambda job: job.created)

    @property
    def logs(self) -> LogService:
        """CloudWatch Logs; its ``store`` can be written to."""
        return self._region(self.region).logs

    @property
    def requests(self) -> List[Asked]:
        """Operations asked for, in the order of their arrival, with the content of those of SageMaker and CloudWatch Logs."""
        return self._recorder.all()

    def wait_for_request(self, operation: str, count: int = 1, timeout: float = 60.0) -> bool:
        """Wait until an operation has been asked for so often."""
        return self._recorder.wait_for(operation, count, timeout)

    def release(self, job_name: str) -> None:
        """Let a job go on that stays in a status without a limit."""
        self.jobs[job_name].release()

    def interrupt(self, job_name: str) -> None:
        """Take spot capacity from an emulated job: its hosts are stopped, and it is launched anew on others."""
        self.jobs[job_name].interrupt()

    def wait(self, job_name: str, timeout: float = 60.0) -> TrainingJob:
        """Wait until a job has ended.

        Raises:
            TimeoutError: it has not.
        """
        job = self.jobs[job_name]
        if not job.wait(lambda it: it.is_ended, timeout):
            raise TimeoutError(f"{job_name} is {job.status} ({job.secondary}) after {timeout:g} s")
        return job

    def expire_credentials(self) -> None:
        """From now on the credentials of :meth:`environ` are refused as expired; it gives new ones then."""
        with self._lock:
            self.faults.expire(self.access_key)
            self._key += 1

    def go_offline(self, seconds: Optional[float] = None) -> None:
        """Cut all connections and refuse new ones.

        Args:
            seconds: how long; None: until :meth:`go_online`.
        """
        self._server.close(keep_port=True)
        if seconds is not None:
            timer = threading.Timer(seconds, self.go_online)
            timer.daemon = True
            with self._lock:
                self._timers.append(timer)
            timer.start()

    def go_online(self) -> None:
        """Accept connections again."""
        with self._lock:
            if not self._stopped:
                self._server.serve()

    def stop(self) -> None:
        """End all jobs, their hosts included, and the server."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            self._ended.set()
            for timer in self._timers:
                timer.cancel()
            jobs = [job for region in self._regions.values() for job in region.training.jobs.values()]
        for job in jobs:
            job.abandon()
        for job in jobs:
            if job.thread is not None:
                job.thread.join()
        self._server.close()
        self._others.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _region(self, name: str) -> _Region:
        with self._lock:
            if name not in self._regions:
                self._regions[name] = _Region(self, name)
            return self._regions[name]

    def _script_of(self, name: str) -> Optional[Script]:
        with self._lock:
            if name in self._scripts:
                return self._scripts[name]
            return next((script for pattern, script in self._scripts.items() if fnmatchcase(name, pattern)), None)

    def _admit(self, request: Mapping[str, Any]) -> None:
        script = self._script_of(request["TrainingJobName"])
        if script is not None:
            script.check_admission()
        elif self._check is not None:
            self._check(request)

    def _begin(self, job: TrainingJob) -> None:
        script = self._script_of(job.name)
        watch_metrics(job)

        def run() -> None:
            try:
                if script is not None:
                    play(script, job, self.pace)
                else:
                    self._runner(job)
            except Exception as error:  # A runner's own mistake must not leave a job that never ends.
                job.end("Failed", reason=f"InternalServerError: {type(error).__name__}: {error}")
                raise

        job.thread = threading.Thread(target=run, daemon=True, name=f"hvdsm-sandbox-{job.name}")
        with self._lock:
            if not self._stopped:
                job.thread.start()
            else:
                job.thread = None

    def _carry_out(self, request: Request, body: Optional[Dict[str, Any]]) -> Answer:
        self.stacks.notice(request)
        if body is not None:
            region = self._region(request.region or self.region)
            if request.service == "logs":
                return json_answer(region.logs.handle(request.operation, body))
            if region.training.handles(request.operation, body):
                return json_answer(region.training.handle(request.operation, body))
        if request.service == CLOUDWATCH:
            training = self._region(request.region or self.region).training
            publish(training.all(), self._others.handle, training.region)
        check_scope(request)
        if request.service == CLOUDFORMATION:
            return self.stacks.handle(request)
        return self._identity.handle(request) or self.buckets.handle(request)
