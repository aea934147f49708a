"""From a request and what the machine has to a plan: everything that can be found wrong is found here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Tuple

from hvdsm.backends.local import data
from hvdsm.backends.local.checkpoint import Checkpoint, checkpoint_of
from hvdsm.backends.local.data import DataSet
from hvdsm.backends.local.layout import (
    HostLayout,
    decoded,
    distribution_hosts,
    distribution_of,
    hosts_of,
    processes_of,
    program_of,
)
from hvdsm.backends.local.machine import Machine
from hvdsm.compose.limits import check_request
from hvdsm.compose.mask import MASK, masked_fields
from hvdsm.compose.options import parse_options
from hvdsm.compose.request import CHECKPOINTS, SUBMIT_DIRECTORY, file_uri, max_run_of
from hvdsm.compose.supervision import check_seconds
from hvdsm.container.config import read_settings
from hvdsm.emulator import divide_gpus
from hvdsm.errors import ConfigError, NamespacesUnavailable, UsageError
from hvdsm.model import MPI, NONE

AUTO = "auto"
NAMESPACES = "namespaces"
SINGLE = "single"
HOST_MODES = (AUTO, NAMESPACES, SINGLE)
# Where the hosts' directories are while a job runs, below its results.
WORK = ".hosts"
# Seconds; the service waits 120, and at a terminal someone waits.
STOP_GRACE = 10.0
UNPROVEN = (
    "One host stands for all: this does not prove ssh between hosts, the network and its interface names, files that are on "
    "one host only, sharded channels, or what happens when a host is lost."
)


@dataclass(frozen=True)
class LocalOptions:
    """What the local back end is told besides the request.

    Attributes:
        output: directory under which ``JOB-NAME/`` is made.
        hosts: ``namespaces``, ``single`` or ``auto``.
        s3_root: directory that stands for S3.
        mpirun: path of mpirun; None is the first on PATH.
        delay_ms: one-way delay between hosts, milliseconds; 0 is none.
        mbit: rate of each host's link, megabits per second; 0 is unlimited.
        stop_grace: seconds between SIGTERM and SIGKILL when a job is stopped or interrupted, or its time limit ends it; None
            is HVDSM_STOP_GRACE of the request's Environment, else 10 (the service waits 120).
        interrupt_after: seconds of ranks running after which all hosts are taken away once, and the job is launched anew.
    """

    output: str = "hvdsm-out"
    hosts: str = AUTO
    s3_root: Optional[str] = None
    mpirun: Optional[str] = None
    delay_ms: float = 0.0
    mbit: float = 0.0
    stop_grace: Optional[float] = None
    interrupt_after: Optional[float] = None


@dataclass(frozen=True)
class LocalPlan:
    """What the local back end will do.

    ``processes`` is what the container program of a host is told (None: its own default); in ``single`` mode ``layout``
    has one host, which has the processes of all.  ``gpus`` has an entry for each host, None where there are none to divide.
    ``checkpoint`` is the directory that stands for CheckpointConfig's place, if any.
    """

    request: Mapping[str, Any]
    options: LocalOptions
    layout: Tuple[HostLayout, ...]
    single: bool
    distribution: str
    processes: Optional[int]
    program: str
    source: DataSet
    channels: Tuple[DataSet, ...]
    job_dir: str
    mpirun: Optional[str]
    gpus: Optional[Tuple[Tuple[str, ...], ...]]
    max_run: int
    stop_grace: float = STOP_GRACE
    checkpoint: Optional[Checkpoint] = None
    notes: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()

    @property
    def job_name(self) -> str:
        """TrainingJobName."""
        return os.path.basename(self.job_dir)

    @property
    def hosts(self) -> Tuple[str, ...]:
        """Names of the hosts."""
        return tuple(host.name for host in self.layout)

    @property
    def launcher(self) -> str:
        """Name of the host that starts the ranks, and has their lines and the model: the first of the distribution."""
        return distribution_hosts(self.request, self.layout)[0].name


def make_plan(request: Mapping[str, Any], options: LocalOptions, machine: Machine) -> LocalPlan:
    """Check a request against the service's limits, the files it names and the machine.

    Raises:
        ConfigError: the request, or a file that it names, is wrong.
        NamespacesUnavailable: emulated hosts were demanded and cannot be had.
    """
    check_request(request)
    _check_unmasked(request)
    name = request["TrainingJobName"]
    job_dir = os.path.join(os.path.abspath(os.path.expanduser(options.output)), name)
    if os.path.lexists(job_dir):
        raise ConfigError(
            "there are results of an earlier job here",
            where=job_dir,
            remedy="choose another --job-name or --output, or remove it",
        )
    wanted = hosts_of(request)
    kind, processes = distribution_of(request), processes_of(request)
    if kind == MPI:
        parse_options(str(decoded(request["HyperParameters"], "sagemaker_mpi_custom_mpi_options") or ""))
    single, notes = _mode(options, machine, len(wanted))
    together = distribution_hosts(request, wanted)
    layout = together[:1] if single else wanted
    gpus = _divide(machine.gpus, len(wanted), processes, single)
    if single and kind != NONE:
        processes = len(together) * (processes or max(1, len(machine.gpus) // len(wanted)))
    program, source = _source(request, options)
    channels = tuple(data.channel_data(channel, _s3_root(options)) for channel in request.get("InputDataConfig") or ())
    checkpoint = checkpoint_of(request, _s3_root(options), job_dir)
    if options.interrupt_after is not None:
        check_seconds(options.interrupt_after, "interrupt after")
    total = (processes or 1) * len(layout)
    warnings = list(_warnings(total, machine, single, len(wanted), kind))
    if options.interrupt_after is not None and checkpoint is None:
        warnings.append("After the interruption the script starts from nothing: no --checkpoint DIR keeps what it has saved.")
    return LocalPlan(
        request=request,
        options=options,
        layout=layout,
        single=single,
        distribution=kind,
        processes=processes,
        program=program,
        source=source,
        channels=channels,
        job_dir=job_dir,
        mpirun=machine.mpirun,
        gpus=gpus,
        max_run=max_run_of(request),
        stop_grace=_stop_grace(request, options),
        checkpoint=checkpoint,
        notes=(
            *_notes(request),
            *_checkpoint_notes(request, checkpoint, f"{job_dir}/{WORK}/{layout[0].name}" if single else None),
            *notes,
        ),
        warnings=tuple(warnings),
    )


def _check_unmasked(request: Mapping[str, Any]) -> None:
    fields = masked_fields(request)
    if fields:
        option = "--env" if fields[0].startswith("Environment") else "--hp"
        raise ConfigError(
            f"holds {MASK} instead of a value (secrets are masked when a request is written)",
            where=", ".join(fields),
            remedy=f"give the value: {option} {fields[0].partition('.')[2]}=…",
        )


def _s3_root(options: LocalOptions) -> Optional[str]:
    if options.s3_root is None:
        return None
    root = os.path.abspath(os.path.expanduser(options.s3_root))
    if not os.path.isdir(root):
        raise ConfigError(
            "is no directory", where=f"--s3-root {options.s3_root}", remedy="name a directory with one folder a bucket"
        )
    return root


def _source(request: Mapping[str, Any], options: LocalOptions) -> Tuple[str, DataSet]:
    values = request.get("HyperParameters") or {}
    uri, program = decoded(values, SUBMIT_DIRECTORY), program_of(request)
    for key, value in ((SUBMIT_DIRECTORY, uri), ("sagemaker_program", program)):
        if not isinstance(value, str) or not value:
            raise ConfigError(
                "is missing: a rehearsal runs the script of a request, never the program of its image",
                where=f"HyperParameters.{key}",
                remedy="make the request with a source directory and entry point (script mode)",
            )
    assert isinstance(uri, str) and isinstance(program, str)
    where = f"HyperParameters.{SUBMIT_DIRECTORY}"
    if uri.startswith("/"):
        uri = file_uri(uri)
    source = data.locate("source", uri, _s3_root(options), where, siblings=False)
    if source.directory is not None and not os.path.isfile(os.path.join(source.directory, program)):
        raise ConfigError(f"has no {program}", where=source.directory, remedy="name the script relative to the source directory")
    return program, source


def _mode(options: LocalOptions, machine: Machine, count: int) -> Tuple[bool, List[str]]:
    if options.hosts == SINGLE:
        return True, [UNPROVEN] if count > 1 else []
    if machine.availability.ok:
        return False, []
    reason, remedy = machine.availability.reason, machine.availability.remedy
    if options.hosts == NAMESPACES:
        raise NamespacesUnavailable(reason, where="emulated hosts", remedy=remedy)
    shaped = " Network shaping (delay, rate) is left out." if options.delay_ms or options.mbit else ""
    return True, [f"Emulated hosts are not to be had here: {reason} (to get them: {remedy}). {UNPROVEN}{shaped}"]


def _divide(gpus: Tuple[str, ...], hosts: int, processes: Optional[int], single: bool) -> Optional[Tuple[Tuple[str, ...], ...]]:
    if not gpus:
        return None
    share = len(gpus) // hosts
    if share < (processes or 1):
        raise ConfigError(
            f"{hosts} host{'s' if hosts > 1 else ''} of {processes or 1} processes do not fit on {len(gpus)} "
            f"GPU{'s' if len(gpus) > 1 else ''}: each host gets {share}",
            where="processes per host",
            remedy="ask for fewer, or rehearse on the CPU with CUDA_VISIBLE_DEVICES= set to nothing",
        )
    if single:
        return (gpus[: share * hosts],)
    return divide_gpus(gpus, hosts)


def _notes(request: Mapping[str, Any]) -> List[str]:
    algorithm = request.get("AlgorithmSpecification") or {}
    notes = []
    image = algorithm.get("TrainingImage") or algorithm.get("AlgorithmName")
    if image:
        notes.append(f"{image} is not run: the current Python environment stands in for the image.")
    if algorithm.get("ContainerEntrypoint") or algorithm.get("ContainerArguments"):
        notes.append("ContainerEntrypoint and ContainerArguments are not run: hvdsm's own program starts the script.")
    return notes


def _checkpoint_notes(request: Mapping[str, Any], checkpoint: Optional[Checkpoint], single_dir: Optional[str]) -> List[str]:
    uri = (request.get("CheckpointConfig") or {}).get("S3Uri")
    if not uri:
        return []
    if checkpoint is None:
        return [
            f"CheckpointConfig: {uri} is not read: {CHECKPOINTS} starts empty, and what the job writes there is kept with its "
            "results (to go on from a directory: --checkpoint DIR)."
        ]
    files = checkpoint.count()
    place = f"{checkpoint.local_path} on every host"
    if single_dir is not None:
        there = f"{single_dir}/{checkpoint.below_base or 'checkpoints'}"
        place = f"{there}, not {checkpoint.local_path}: this machine is the only host"
    return [f"checkpoints: {checkpoint.directory} ({files} file{'s' if files != 1 else ''}) is {place}."]


def _stop_grace(request: Mapping[str, Any], options: LocalOptions) -> float:
    if options.stop_grace is not None:
        if not isinstance(options.stop_grace, (int, float)) or not 0 <= options.stop_grace < float("inf"):
            raise UsageError(f"must be a number of seconds from 0, not {options.stop_grace!r}", where="stop grace")
        return options.stop_grace
    own = (request.get("Environment") or {}).get("HVDSM_STOP_GRACE")
    return STOP_GRACE if own is None else read_settings({"HVDSM_STOP_GRACE": own}).stop_grace


def _warnings(total: int, machine: Machine, single: bool, hosts: int, kind: str) -> List[str]:
    found = []
    if not machine.gpus and total > machine.cores:
        found.append(f"{total} processes share {machine.cores} cores: the results are right, the speed says nothing.")
    if single and kind == NONE and hosts > 1:
        found.append(f"Without MPI or torch.distributed one process runs here in place of {hosts} hosts.")
    return found
