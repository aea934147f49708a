"""The Python interface: what ``hvdsm.launch`` and the command line have in common.

Works in a notebook: output is live, interrupting the kernel stops a job on this machine, and leaves one in the cloud.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Dict, Literal, Mapping, Optional, Sequence, TextIO, Tuple, Union, overload

from hvdsm.backends.display import Display
from hvdsm.backends.executing import container_options, execute
from hvdsm.backends.local import LocalOptions
from hvdsm.backends.making import (
    DEFAULT_OUTPUT,
    PlanGiven,
    change_request,
    checkpoint_uri,
    data_uri,
    locate_script,
    make_request,
)
from hvdsm.backends.signals import stopping_signals
from hvdsm.compose.cloud import CloudOptions
from hvdsm.compose.limits import check_types
from hvdsm.compose.request import LOCAL_INSTANCE_TYPE
from hvdsm.errors import UsageError
from hvdsm.model import MPI, JobOutcome
from hvdsm.model.slow import SlowHost
from hvdsm.model.slow import slow_hosts as slow_hosts_of

if TYPE_CHECKING:
    from hvdsm.backends.sagemaker import TrainingJobHandle

__all__ = [
    "BACKENDS",
    "DEFAULT_OUTPUT",
    "checkpoint_uri",
    "cloud_options",
    "data_uri",
    "distribution",
    "execute",
    "launch",
    "locate_script",
    "make_request",
    "stopping_signals",
]

LOCAL = "local"
DOCKER = "docker"
SAGEMAKER = "sagemaker"
BACKENDS = (LOCAL, DOCKER, SAGEMAKER)
# Fields of SageMakerOptions that arguments of `launch` give.
_CLOUD_ONLY = (
    "aws_profile", "s3_prefix", "container_program", "vpc_stack", "zone", "vpc_check", "stop_on_interrupt", "prices", "interval",
)  # fmt: skip


@overload
def launch(
    script: Optional[str] = ..., args: Sequence[str] = ..., *, backend: Literal["local", "docker"] = ..., **options: Any
) -> JobOutcome: ...


@overload
def launch(
    script: Optional[str] = ..., args: Sequence[str] = ..., *, backend: Literal["sagemaker"], **options: Any
) -> TrainingJobHandle: ...


def launch(
    script: Optional[str] = None,
    args: Sequence[str] = (),
    *,
    backend: str = LOCAL,
    instance_count: int = 1,
    processes_per_host: Optional[int] = None,
    custom_mpi_options: str = "",
    hyperparameters: Optional[Mapping[str, Any]] = None,
    channels: Optional[Mapping[str, str]] = None,
    source_dir: Optional[str] = None,
    env: Optional[Mapping[str, str]] = None,
    job_name: Optional[str] = None,
    max_run: Optional[int] = None,
    output: str = DEFAULT_OUTPUT,
    request: Optional[Mapping[str, Any]] = None,
    s3_root: Optional[str] = None,
    distribution: str = MPI,
    mpirun: Optional[str] = None,
    hosts: str = "auto",
    instance_type: str = LOCAL_INSTANCE_TYPE,
    region: Optional[str] = None,
    delay_ms: float = 0.0,
    mbit: float = 0.0,
    slow_hosts: Sequence[Union[str, SlowHost]] = (),
    stream: Optional[TextIO] = None,
    checkpoint: Optional[str] = None,
    interrupt_after: Optional[float] = None,
    stop_grace: Optional[float] = None,
    hang_timeout: Optional[float] = None,
    max_restarts: Optional[int] = None,
    plan: PlanGiven = None,
    settings: Sequence[str] = (),
    wait: bool = False,
    engine: str = "auto",
    shm_size: Optional[str] = None,
    **cloud: Any,
) -> Union[JobOutcome, TrainingJobHandle]:
    """Run a training script on hosts of this machine as a SageMaker training job would run it, or as one in SageMaker.

    Args:
        script: the training script; with ``source_dir`` relative to it.
        args: words that the script gets verbatim after the arguments made of hyperparameters.
        backend: ``local``, ``docker`` (containers of ``image`` on this machine) or ``sagemaker``.
        instance_count: number of hosts.
        processes_per_host: ranks on each host; by default its GPUs, else 1.
        custom_mpi_options: further options of mpirun, quoted as in a shell; they win over hvdsm's own.
        hyperparameters: what JSON can express; the script gets ``--key value`` for each.
        channels: a path or ``s3://`` address for each input channel.
        source_dir: directory with the script and what it imports; without it the script alone is the source.
        env: variables of the container.
        job_name: name of the job; made from the script's name and the time by default.
        max_run: time limit in seconds.
        output: directory under which the results go, in ``JOB-NAME/``.
        request: a CreateTrainingJob request instead of a script; ``channels``, ``env``, ``hyperparameters``, ``job_name``,
            ``max_run``, ``checkpoint``, ``hang_timeout``, ``max_restarts``, ``plan`` and the fields of ``cloud`` change it for
            this run.
        s3_root: directory that stands for S3: ``s3://bucket/key`` is ``s3_root/bucket/key``; local only.
        distribution: ``mpi``, ``torch_distributed`` or ``none``.
        mpirun: path of mpirun; the first on PATH by default; local only.
        hosts: ``namespaces`` (emulated hosts), ``single`` (this machine as the only host) or ``auto``; local only.
        instance_type: type of the hosts; a real one in SageMaker.
        region: AWS region.
        delay_ms: one-way network delay between hosts, milliseconds; local only.
        mbit: rate of each host's link, megabits per second; local only.
        slow_hosts: hosts that are slower than the others, as ``HOST:delay-ms=20,mbit=100``; local only.
        stream: where live output goes; standard output by default.
        checkpoint: directory, or ``s3://`` prefix, that keeps ``/opt/ml/checkpoints`` of all hosts, for this run and the next.
        interrupt_after: seconds of ranks running after which all hosts are taken away, as from a managed spot job, and the
            job is launched anew; its outcome is that of the second run.  Local only.
        stop_grace: seconds between SIGTERM and SIGKILL when a job is stopped or interrupted; 10 by default (the service: 120).
        hang_timeout: seconds without output and without ``hvdsm.progress`` of any rank after which the job fails.
        max_restarts: how often the ranks are started again on the same hosts after a failure.
        plan: steps before and after the ranks and processes beside them: a JSON file, or what JSON makes of it.
        settings: ``Path.To.Field=JSON`` for further fields of the request.
        wait: whether to return only when a job in SageMaker has ended.
        engine: ``docker``, ``podman`` or ``auto``; of the back end docker only.
        shm_size: size of ``/dev/shm`` of each container, as ``8gb``; of the back end docker only.
        cloud: fields of :class:`hvdsm.compose.cloud.CloudOptions` (``image``, ``role``, ``spot``, ``subnets``, …), and
            ``aws_profile``, ``s3_prefix``, ``container_program``, ``vpc_stack``, ``zone``, ``vpc_check``,
            ``stop_on_interrupt``, ``prices`` and ``interval`` of :class:`hvdsm.backends.sagemaker.SageMakerOptions`.

    Returns:
        how the job ended; a failing job raises nothing, see ``outcome.ok`` and ``outcome.failure``.  Of ``sagemaker`` a handle
        with ``wait()``, ``logs()``, ``stop()`` and ``outcome``.

    Raises:
        UsageError: arguments contradict each other.
        ConfigError: a file, the request or a hyperparameter is wrong.
        BackendUnavailable: emulated hosts were demanded and cannot be had; or AWS cannot be reached.
        KeyboardInterrupt: the job was interrupted; its results are written.
    """
    if backend not in BACKENDS:
        raise UsageError(f"must be one of {', '.join(BACKENDS)}, not {backend!r}", where="backend")
    if backend == SAGEMAKER and not cloud.get("role") and os.environ.get("SAGEMAKER_ROLE") and not (request or {}).get("RoleArn"):
        cloud = {**cloud, "role": os.environ["SAGEMAKER_ROLE"]}
    fields, more = cloud_options(cloud)
    changes: Dict[str, Any] = {
        "channels": channels or {},
        "hyperparameters": hyperparameters or {},
        "job_name": job_name,
        "max_run": max_run,
        "checkpoint": checkpoint,
        "hang_timeout": hang_timeout,
        "max_restarts": max_restarts,
        "plan": plan,
        "cloud": fields,
    }
    if request is None:
        made = make_request(
            script,
            args,
            instance_count=instance_count,
            processes_per_host=processes_per_host,
            custom_mpi_options=custom_mpi_options,
            source_dir=source_dir,
            env=env or {},
            output=output,
            distribution=distribution,
            instance_type=instance_type,
            region=region,
            **changes,
        )
    elif script is not None or args or source_dir is not None:
        raise UsageError("a request stands instead of a script", remedy="leave out script, args and source_dir")
    else:
        check_types(request)
        made = change_request(request, environment=env, **changes)
    display = Display(sys.stdout if stream is None else stream)
    if backend == SAGEMAKER:
        from hvdsm.backends.sagemaker import SageMakerBackend, SageMakerOptions, TrainingJobHandle, submit

        told = SageMakerOptions(region=region, output=output, settings=tuple(settings), wait=wait, **more)
        service = SageMakerBackend(told)
        handle = TrainingJobHandle(service, submit(service, service.plan(made, say=display.say), display))
        if wait:
            handle.wait(stream, stop_on_interrupt=told.stop_on_interrupt)
        return handle
    made = dict(with_settings(made, settings))
    if backend == DOCKER:
        contained = container_options(
            more, output=output, s3_root=s3_root, engine=engine, shm_size=shm_size, stop_grace=stop_grace,
            interrupt_after=interrupt_after,
        )  # fmt: skip
        return _ended(execute(made, contained, display))
    options = LocalOptions(
        output=output,
        hosts=hosts,
        s3_root=s3_root,
        mpirun=mpirun,
        delay_ms=delay_ms,
        mbit=mbit,
        slow_hosts=slow_hosts_of(slow_hosts),
        stop_grace=stop_grace,
        interrupt_after=interrupt_after,
    )
    return _ended(execute(made, options, display))


def _ended(outcome: JobOutcome) -> JobOutcome:
    """The outcome of a job of this machine, unless it was the user's interrupt.

    Raises:
        KeyboardInterrupt: it was.
    """
    if outcome.exit_code == 128 + signal.SIGINT and outcome.status == "Stopped":
        raise KeyboardInterrupt
    return outcome


def with_settings(request: Dict[str, Any], settings: Sequence[str]) -> Mapping[str, Any]:
    """The request with further fields set by ``Path.To.Field=JSON``.

    Raises:
        UsageError: there is no such field.
    """
    if not settings:
        return request
    from hvdsm.aws.setting import apply_settings

    changed: Mapping[str, Any] = apply_settings(request, list(settings))
    return changed


def cloud_options(given: Mapping[str, Any]) -> Tuple[CloudOptions, Dict[str, Any]]:
    """The request's fields among some arguments, and the SageMaker back end's own.

    Raises:
        UsageError: an argument has no such name.
    """
    fields = {field.name for field in dataclasses.fields(CloudOptions)}
    for name in given:
        if name not in fields and name not in _CLOUD_ONLY:
            close = difflib.get_close_matches(name, [*fields, *_CLOUD_ONLY], 1)
            raise UsageError(f"launch has no argument {name}", remedy=f"did you mean {close[0]}?" if close else None)
    listed = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    own: Dict[str, Any] = {name: value for name, value in listed.items() if name in fields}
    return CloudOptions(**own), {name: value for name, value in listed.items() if name in _CLOUD_ONLY}


def distribution(processes_per_host: Optional[int] = None, custom_mpi_options: str = "") -> Dict[str, Any]:
    """The ``distribution`` of a SageMaker SDK estimator for MPI, checked; :func:`hvdsm.sdk.v2.distribution` knows more.

    Example::

        PyTorch(..., distribution=hvdsm.distribution(processes_per_host=8, custom_mpi_options="-x NCCL_DEBUG=WARN"))

    Args:
        processes_per_host: ranks on each host; by default its GPUs, else 1.
        custom_mpi_options: further options of mpirun, quoted as in a shell.

    Raises:
        UsageError: the number is none that can be meant.
        MpiError: the options cannot be read.
    """
    from hvdsm.sdk.v2 import distribution as checked

    return checked(processes_per_host=processes_per_host, custom_mpi_options=custom_mpi_options or None)
