"""The Python interface: what ``hvdsm.launch`` and the command line have in common.

Works in a notebook: output is live, interrupting the kernel stops the job.
"""

from __future__ import annotations

import datetime
import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, TextIO

from hvdsm.backends.display import Display
from hvdsm.backends.local import LocalBackend, LocalJob, LocalOptions
from hvdsm.compose.options import parse_options
from hvdsm.compose.request import LOCAL_INSTANCE_TYPE, LaunchOptions, build_request, changed_request, file_uri
from hvdsm.errors import ConfigError, UsageError
from hvdsm.model import MPI, JobOutcome

DEFAULT_OUTPUT = "hvdsm-out"


def launch(
    script: Optional[str] = None,
    args: Sequence[str] = (),
    *,
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
    stream: Optional[TextIO] = None,
    checkpoint: Optional[str] = None,
    interrupt_after: Optional[float] = None,
    stop_grace: Optional[float] = None,
    hang_timeout: Optional[float] = None,
    max_restarts: Optional[int] = None,
) -> JobOutcome:
    """Run a training script on hosts of this machine as a SageMaker training job would run it.

    Args:
        script: the training script; with ``source_dir`` relative to it.
        args: words that the script gets verbatim after the arguments made of hyperparameters.
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
            ``max_run``, ``checkpoint``, ``hang_timeout`` and ``max_restarts`` change it for this run.
        s3_root: directory that stands for S3: ``s3://bucket/key`` is ``s3_root/bucket/key``.
        distribution: ``mpi``, ``torch_distributed`` or ``none``.
        mpirun: path of mpirun; the first on PATH by default.
        hosts: ``namespaces`` (emulated hosts), ``single`` (this machine as the only host) or ``auto``.
        instance_type: type that the hosts are told to be of.
        region: AWS region that the job is told.
        delay_ms: one-way network delay between hosts, milliseconds.
        mbit: rate of each host's link, megabits per second.
        stream: where live output goes; standard output by default.
        checkpoint: directory that ``/opt/ml/checkpoints`` of all hosts is kept in, for this run and the next.
        interrupt_after: seconds of ranks running after which all hosts are taken away, as from a managed spot job, and the
            job is launched anew; its outcome is that of the second run.
        stop_grace: seconds between SIGTERM and SIGKILL when a job is stopped or interrupted; 10 by default (the service: 120).
        hang_timeout: seconds without output and without ``hvdsm.progress`` of any rank after which the job fails.
        max_restarts: how often the ranks are started again on the same hosts after a failure.

    Returns:
        how the job ended; a failing job raises nothing, see ``outcome.ok`` and ``outcome.failure``.

    Raises:
        UsageError: arguments contradict each other.
        ConfigError: a file, the request or a hyperparameter is wrong.
        BackendUnavailable: emulated hosts were demanded and cannot be had.
        KeyboardInterrupt: the job was interrupted; its results are written.
    """
    if request is None:
        made = make_request(
            script,
            args,
            instance_count=instance_count,
            processes_per_host=processes_per_host,
            custom_mpi_options=custom_mpi_options,
            hyperparameters=hyperparameters or {},
            channels=channels or {},
            source_dir=source_dir,
            env=env or {},
            job_name=job_name,
            max_run=max_run,
            output=output,
            distribution=distribution,
            instance_type=instance_type,
            region=region,
            checkpoint=checkpoint,
            hang_timeout=hang_timeout,
            max_restarts=max_restarts,
        )
    elif script is not None or args or source_dir is not None:
        raise UsageError("a request stands instead of a script", remedy="leave out script, args and source_dir")
    else:
        made = changed_request(
            request,
            job_name=job_name,
            channels={name: data_uri(path) for name, path in (channels or {}).items()},
            environment=env,
            hyperparameters=hyperparameters,
            max_run=max_run,
            checkpoint=checkpoint_uri(checkpoint),
            hang_timeout=hang_timeout,
            max_restarts=max_restarts,
        )
    options = LocalOptions(
        output=output,
        hosts=hosts,
        s3_root=s3_root,
        mpirun=mpirun,
        delay_ms=delay_ms,
        mbit=mbit,
        stop_grace=stop_grace,
        interrupt_after=interrupt_after,
    )
    outcome = execute(made, options, Display(sys.stdout if stream is None else stream))
    if outcome.exit_code == 128 + signal.SIGINT and outcome.status == "Stopped":
        raise KeyboardInterrupt
    return outcome


def make_request(
    script: Optional[str],
    args: Sequence[str] = (),
    *,
    channels: Mapping[str, str],
    env: Mapping[str, str],
    source_dir: Optional[str] = None,
    output: str = DEFAULT_OUTPUT,
    checkpoint: Optional[str] = None,
    **options: Any,
) -> Dict[str, Any]:
    """The CreateTrainingJob request of a launch; the arguments are those of :func:`launch`.

    Raises:
        UsageError: there is no script, or arguments contradict each other.
        ConfigError: the script does not exist, or a limit is exceeded.
    """
    if not script:
        raise UsageError("a script is needed (or a request)", remedy="hvdsm.launch('train.py', instance_count=2)")
    for word in args:
        if not isinstance(word, str):
            raise UsageError(f"args must be strings, not {word!r}", remedy="args=['--epochs', '3']")
    program, source = locate_script(script, source_dir)
    return build_request(
        LaunchOptions(
            program=program,
            source=file_uri(source),
            arguments=tuple(args),
            channels={name: data_uri(path) for name, path in channels.items()},
            environment=env,
            output=file_uri(os.path.abspath(os.path.expanduser(output))),
            checkpoint=checkpoint_uri(checkpoint),
            timestamp=datetime.datetime.now().strftime("%Y-%m-%d-%H-%M-%S-%f")[:-3],
            **options,
        )
    )


def locate_script(script: str, source_dir: Optional[str]) -> tuple[str, str]:
    """The entry point as the source has it, and the absolute path of the source.

    Raises:
        ConfigError: there is no such file, or it lies outside of the source directory.
    """
    script = os.path.expanduser(script)
    if source_dir is None:
        path = os.path.abspath(script)
        if not os.path.isfile(path):
            raise ConfigError("no such script", where=path, remedy="check the path; options stand before the script")
        return os.path.basename(path), path
    directory = os.path.abspath(os.path.expanduser(source_dir))
    if not os.path.isdir(directory):
        raise ConfigError("is no directory", where=f"source directory {directory}", remedy="check the path")
    if not os.path.isabs(script) and os.path.isfile(os.path.join(directory, script)):
        return os.path.normpath(script), directory
    inside = os.path.relpath(os.path.abspath(script), directory)
    if os.path.isfile(script) and not inside.startswith(os.pardir):
        return inside, directory
    raise ConfigError(f"has no {script}", where=f"source directory {directory}", remedy="name the script relative to it")


def data_uri(place: str) -> str:
    """A path as ``file://``; ``s3://`` and ``file://`` stay."""
    place = os.fspath(place)
    if place.startswith(("s3://", "file://")):
        return place
    return file_uri(os.path.abspath(os.path.expanduser(place)))


def checkpoint_uri(place: Optional[str]) -> Optional[str]:
    """The place of checkpoints as a URI; None stays.

    Raises:
        UsageError: it is empty.
    """
    if place is None:
        return None
    if not os.fspath(place):
        raise UsageError("names no directory", where="checkpoint", remedy="--checkpoint DIR")
    return data_uri(place)


def execute(request: Mapping[str, Any], options: LocalOptions, display: Display, *, summary: bool = True) -> JobOutcome:
    """Execute a request by the local back end and show it.

    SIGINT, SIGTERM and SIGHUP stop the job orderly, a second one at once.
    """
    backend = LocalBackend(options)
    plan = backend.plan(request)
    display.launcher = plan.launcher
    display.say(f"{plan.job_name}: {len(plan.hosts)} host{'s' if len(plan.hosts) > 1 else ''}, results go to {plan.job_dir}")
    job: Optional[LocalJob] = None

    def stop(number: int) -> None:
        if job is None:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        backend.stop(job, number)

    with stopping_signals(stop):
        job = backend.submit(plan, display.say)
        for event in backend.events(job):
            display.show(event)
        outcome = backend.outcome(job)
    if summary:
        display.summary(outcome, plan.job_dir)
    return outcome


@contextmanager
def stopping_signals(stop: Callable[[int], None]) -> Iterator[None]:
    """Let the signals that end a program call ``stop`` instead; a signal that is ignored stays so.

    Outside of the main thread Python delivers no signals: then nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, lambda received, _frame: stop(received))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def distribution(processes_per_host: Optional[int] = None, custom_mpi_options: str = "") -> Dict[str, Any]:
    """The ``distribution`` of a SageMaker SDK estimator for MPI, checked.

    Example::

        PyTorch(..., distribution=hvdsm.distribution(processes_per_host=8, custom_mpi_options="-x NCCL_DEBUG=WARN"))

    Args:
        processes_per_host: ranks on each host; by default its GPUs, else 1.
        custom_mpi_options: further options of mpirun, quoted as in a shell.

    Raises:
        UsageError: the number is none that can be meant.
        MpiError: the options cannot be read.
    """
    if processes_per_host is not None and (
        not isinstance(processes_per_host, int) or isinstance(processes_per_host, bool) or processes_per_host < 1
    ):
        raise UsageError(f"must be a whole number from 1, not {processes_per_host!r}", where="processes_per_host")
    parse_options(custom_mpi_options)
    mpi: Dict[str, Any] = {"enabled": True}
    if processes_per_host is not None:
        mpi["processes_per_host"] = processes_per_host
    if custom_mpi_options:
        mpi["custom_mpi_options"] = custom_mpi_options
    return {"mpi": mpi}
