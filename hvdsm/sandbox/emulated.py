"""Runs the sandbox's jobs on emulated hosts: data from its S3, logs into its CloudWatch, results back into its S3."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from dataclasses import replace
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from hvdsm.backends.base import NOTE, PHASE, WARNING
from hvdsm.backends.local import LocalBackend, LocalJob, LocalOptions
from hvdsm.backends.local.options import Gateway
from hvdsm.backends.local.program import command_of
from hvdsm.errors import BackendUnavailable, ConfigError, HvdsmError
from hvdsm.model import NONE, JobOutcome
from hvdsm.model.outcome import KIND_HOST_LOST, KIND_TIMEOUT
from hvdsm.model.outcome import STOPPED as OUTCOME_STOPPED
from hvdsm.sandbox.admission import check_admission
from hvdsm.sandbox.environment import past_proxies
from hvdsm.sandbox.jobs import COMPLETED, FAILED, INTERRUPTED, MAX_RUNTIME, MAX_WAIT, STOPPED, TrainingJob
from hvdsm.sandbox.objects import Mirror, Objects, gathered
from hvdsm.sandbox.script import model_address
from hvdsm.sandbox.streams import each_once, is_sdk
from hvdsm.sandbox.tail import Tail

# What a FailureReason may have.
_REASON = 1024
# Seconds between two looks for new checkpoints.
CHECKPOINT_SECONDS = 5.0
# Seconds between SIGTERM and SIGKILL, as the service has them.
SERVICE_GRACE = 120.0
_SUBMIT_DIRECTORY = "sagemaker_submit_directory"


class _ToEnd(Exception):
    """The job is to end while it is being prepared."""


class EmulatedRunner:
    """Leads jobs to their end by really running them.

    Args:
        directory: results go to ``directory/JOB-NAME``.
        environ: variables of the hosts' programs, as of one who launches jobs by hand.
        objects: S3.
        local: fields of LocalOptions.
        say: is told of what the local back end does.
        gateway: gives the sandbox as a job that begins now is to reach it; None: jobs do not reach it.
    """

    def __init__(
        self,
        directory: str,
        environ: Mapping[str, str],
        objects: Objects,
        local: Mapping[str, Any],
        say: Optional[Callable[[str], None]] = None,
        gateway: Optional[Callable[[], Gateway]] = None,
    ) -> None:
        os.makedirs(directory, exist_ok=True)
        self._directory = directory
        self._environ = dict(environ)
        self._objects = objects
        self._local = dict(local)
        self._say = say or (lambda _text: None)
        self._gateway = gateway

    def check_data(self, request: Mapping[str, Any]) -> None:
        """What the service finds out before it creates a job; see :func:`check_admission`."""
        check_admission(request, self._objects)

    def run(self, job: TrainingJob) -> None:
        """Run a job, again if spot capacity was taken from it or, as RetryStrategy has it, if a host was lost."""
        retries = (job.request.get("RetryStrategy") or {}).get("MaximumRetryAttempts", 0)
        while True:
            try:
                outcome, results = self._attempt(job)
            except _ToEnd:
                job.end(STOPPED)
                return
            except BackendUnavailable as error:
                job.end(FAILED, reason=f"InternalServerError: {error}")
                return
            except HvdsmError as error:
                job.end(FAILED, reason=f"ClientError: {error}")
                return
            if job.to_end():
                break
            if job.interrupted.is_set() and not outcome.ok:
                job.interrupted.clear()
                job.enter(INTERRUPTED)
                limit = (job.request.get("StoppingCondition") or {}).get("MaxWaitTimeInSeconds")
                if limit is not None and time.time() - job.created >= limit:
                    job.end(STOPPED, secondary=MAX_WAIT)
                    return
            elif retries > 0 and outcome.failure is not None and outcome.failure.kind == KIND_HOST_LOST:
                retries -= 1
                job.enter("Restarting")
            else:
                break
        self._finish(job, outcome, results)

    def _attempt(self, job: TrainingJob) -> Tuple[JobOutcome, str]:
        """Run the job once; its outcome, and where its results are."""
        job.begin_attempt()
        for message in (None, "Launching requested ML instances", "Preparing the instances for training"):
            job.enter("Starting", message)
        with tempfile.TemporaryDirectory(prefix="s3-", dir=self._directory) as root:
            job.enter("Downloading")
            checkpoints = self._download(job, root)
            region = region_of(job)
            environ = {**self._environ, "AWS_REGION": region, "AWS_DEFAULT_REGION": region}
            backend = LocalBackend(self._options(job, root), environ)
            plan = backend.plan(_with_outcome_line(job))
            job.results = plan.job_dir
            job.enter("Training", "Downloading the training image")
            local = backend.submit(plan, lambda text: self._progress(job, text))
            job.enter("Training")
            if local.warnings:
                # Of what the job's command does in the cloud too: for whoever reads the job's log.
                job.log(plan.launcher, [f"hvdsm: warning: {text}" for text in local.warnings])
            forget = job.call_on_stop(_Stop(backend, local, job))
            mirrors = [mirror for mirror in (checkpoints, self._board(job, plan.host_directory(plan.launcher))) if mirror]

            def up() -> None:
                for mirror in mirrors:
                    mirror.up()

            try:
                # A command with ranks of its own, such as hvdsm.sdk.v3's, has a distribution that the request does not show.
                alone = plan.command is None and plan.distribution == NONE
                emit = each_once(job.log, plan.launcher, alone) if is_sdk(job.client) else job.log
                with Tail(os.path.join(plan.job_dir, "logs"), emit, up, CHECKPOINT_SECONDS):
                    for event in backend.events(local):
                        if event.kind in (NOTE, WARNING, PHASE):
                            self._say(f"{job.name}: {'warning: ' if event.kind == WARNING else ''}{event.text}")
                    outcome = backend.outcome(local)
            finally:
                forget()
            up()
        return outcome, plan.job_dir

    def _progress(self, job: TrainingJob, text: str) -> None:
        if job.to_end():
            raise _ToEnd
        self._say(f"{job.name}: {text}")

    def _options(self, job: TrainingJob, root: str) -> LocalOptions:
        output, number = self._directory, 1
        while os.path.lexists(os.path.join(output, job.name)):
            number += 1
            output = os.path.join(self._directory, str(number))
        asked = job.request.get("Environment") or {}
        grace = None if "HVDSM_STOP_GRACE" in asked else SERVICE_GRACE
        options = {"output": output, "s3_root": root, "stop_grace": grace, **self._local}
        variables = {"TRAINING_JOB_ARN": job.arn, **(options.get("variables") or {})}
        if self._gateway is not None:
            options["gateway"] = _in_region(self._gateway(), region_of(job))
            if any(name.lower() == "http_proxy" for name in asked):
                # The sandbox is not behind a proxy of the job's.
                beyond = past_proxies(asked)
                variables = {**{name: beyond[name] for name in ("no_proxy", "NO_PROXY")}, **variables}
        return LocalOptions(**{**options, "variables": variables})

    def _download(self, job: TrainingJob, root: str) -> Optional[Mirror]:
        """Bring everything that the request names below a directory that stands for S3.

        Raises:
            ConfigError: something is not there.
            _ToEnd: the job is to end.
        """
        request = job.request
        for channel in request.get("InputDataConfig") or ():
            source = (channel.get("DataSource") or {}).get("S3DataSource")
            if source:
                fetch = self._objects.fetch_manifest if source.get("S3DataType") == "ManifestFile" else self._objects.fetch
                _some(fetch(source["S3Uri"], root), source["S3Uri"], f"channel {channel['ChannelName']}")
            if job.to_end():
                raise _ToEnd
        uri = str((request.get("HyperParameters") or {}).get(_SUBMIT_DIRECTORY, "")).strip('"')
        if uri.startswith("s3://"):
            _some(self._objects.fetch(uri, root), uri, f"HyperParameters.{_SUBMIT_DIRECTORY}")
        place = (request.get("CheckpointConfig") or {}).get("S3Uri")
        if not place:
            return None
        folder = place.rstrip("/") + "/"
        directory = os.path.join(root, *folder[len("s3://") :].rstrip("/").split("/"))
        os.makedirs(directory, exist_ok=True)
        self._objects.fetch(folder, root)
        mirror = Mirror(self._objects, directory, place)
        mirror.mark()
        return mirror

    def _finish(self, job: TrainingJob, outcome: JobOutcome, results: str) -> None:
        """Upload what a job has left, and end it."""
        overtime = outcome.status == OUTCOME_STOPPED and outcome.failure is not None and outcome.failure.kind == KIND_TIMEOUT
        stopped = overtime or job.to_end()
        if job.abandoned.is_set():
            job.end(STOPPED)
            return
        job.enter("Uploading")
        try:
            self._upload(job, outcome.ok or stopped, results)
        except Exception as error:
            job.end(FAILED, reason=f"ClientError: Failed to upload the job's results: {error}")
            return
        if stopped:
            job.end(STOPPED, secondary=MAX_RUNTIME if overtime and not job.stop_requested.is_set() else None)
        elif outcome.ok:
            job.end(COMPLETED)
        else:
            job.end(FAILED, reason=failure_reason(outcome, results, own_command=command_of(job.request) is not None))

    def _board(self, job: TrainingJob, base: str) -> Optional[Mirror]:
        """Keeps TensorBoardOutputConfig's place as its directory is, below what stands for ``/opt/ml``."""
        asked = job.request.get("TensorBoardOutputConfig")
        local = os.path.normpath((asked or {}).get("LocalPath") or "/opt/ml/output/tensorboard")
        if not asked or not local.startswith("/opt/ml/output/"):
            return None
        # The place as the SageMaker SDKs look it up.
        place = f"{asked['S3OutputPath'].rstrip('/')}/{job.name}/tensorboard-output"
        return Mirror(self._objects, base + local[len("/opt/ml") :], place)

    def _upload(self, job: TrainingJob, with_model: bool, results: str) -> None:
        place = f"{job.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job.name}/output"
        output = os.path.join(results, "output")
        others = sorted(name for name in _entries(output) if name.startswith("algo-"))
        data = {os.path.join(output, name): None for name in ("data", *others)}
        plain = (job.request["OutputDataConfig"].get("CompressionType")) == "NONE"
        board = self._board(job, results)
        if board is not None:
            board.up()
        trees: Dict[str, Dict[str, Optional[str]]] = {"output": dict(data)}
        model = os.path.join(results, "model")
        if with_model and os.path.isdir(model):
            trees["model"] = {model: None}
        for name, tree in trees.items():
            if plain:
                for file, path in gathered(tree).items():
                    if os.path.isfile(path):
                        self._objects.put_file(path, f"{place}/{name}/{file}")
            elif name == "model" or gathered(tree):
                self._objects.put_archive(tree, f"{place}/{name}.tar.gz")
        if "model" in trees:
            job.model_artifacts = model_address(job)


def failure_reason(outcome: JobOutcome, results: str, own_command: bool = False) -> str:
    """FailureReason as the service makes it of ``/opt/ml/output/failure`` and the container's exit code.

    Args:
        outcome: how the job ended.
        results: directory of its results.
        own_command: the hosts ran a command of the request's own: where that wrote no reason, the one in the results is hvdsm's.
    """
    if outcome.failure is not None and outcome.failure.kind == KIND_HOST_LOST:
        return "InternalServerError: We encountered an internal error. Please try again."
    text = ""
    failure = outcome.failure
    # One that names a rank is of hvdsm's program, which such a command may have started.
    if not own_command or (failure is not None and (failure.message or failure.rank is not None)):
        try:
            with open(os.path.join(results, "output", "failure"), encoding="utf-8", errors="replace") as file:
                text = file.read(_REASON)
        except OSError:
            text = ""
    begin, end = "AlgorithmError: ", f", exit code: {outcome.exit_code}"
    return begin + text[: _REASON - len(begin) - len(end)] + end


def region_of(job: TrainingJob) -> str:
    """The region that a job is in."""
    return job.arn.split(":")[3]


def _in_region(gateway: Gateway, region: str) -> Gateway:
    return replace(gateway, variables={**gateway.variables, "AWS_REGION": region, "AWS_DEFAULT_REGION": region})


class _Stop:
    """Ends a job's hosts: orderly, or at once when the sandbox ends."""

    def __init__(self, backend: LocalBackend, local: LocalJob, job: TrainingJob) -> None:
        self._backend = backend
        self._local = local
        self._job = job
        self._asked = False
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            first, self._asked = not self._asked, True
        if first:
            self._backend.stop(self._local)
        if self._job.abandoned.is_set():
            # Once more means at once.
            self._backend.stop(self._local)


def _with_outcome_line(job: TrainingJob) -> Dict[str, Any]:
    """The request with a variable by which the launcher's last line tells the outcome, as it does in the cloud.

    The SageMaker SDKs would show the line to people.
    """
    told = "0" if is_sdk(job.client) else "1"
    return {**job.request, "Environment": {"HVDSM_OUTCOME_LINE": told, **(job.request.get("Environment") or {})}}


def _some(count: int, uri: str, where: str) -> None:
    if not count:
        raise ConfigError(f"there are no objects under {uri}", where=where, remedy="upload the data first")


def _entries(directory: str) -> Tuple[str, ...]:
    return tuple(os.listdir(directory)) if os.path.isdir(directory) else ()
