"""From a request and what the machine has to a plan: everything that can be found wrong is found here."""

from __future__ import annotations

import os
import re
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
)
from hvdsm.backends.local.machine import Machine
from hvdsm.backends.local.notes import UNPROVEN, checkpoint_notes, plan_warnings, request_notes, shape_notes
from hvdsm.backends.local.options import NAMESPACES, SINGLE, LocalOptions
from hvdsm.backends.local.origin import source_of
from hvdsm.backends.local.program import check_command, command_of, is_shipped
from hvdsm.compose.limits import check_request
from hvdsm.compose.mask import MASK, masked_fields
from hvdsm.compose.metrics import compile_metrics
from hvdsm.compose.options import parse_options
from hvdsm.compose.request import max_run_of
from hvdsm.compose.supervision import check_seconds
from hvdsm.container.config import decode, read_settings
from hvdsm.container.reserved import distribution
from hvdsm.emulator import divide_gpus
from hvdsm.emulator.places import is_hidden
from hvdsm.errors import ConfigError, NamespacesUnavailable, UsageError
from hvdsm.model import MPI, NONE
from hvdsm.model.slow import check_slow_hosts

# Where the hosts' directories are while a job runs, below its results.
WORK = ".hosts"
# Seconds; the service waits 120, and at a terminal someone waits.
STOP_GRACE = 10.0


@dataclass(frozen=True)
class LocalPlan:
    """What the local back end will do.

    ``processes`` is what the container program of a host is told (None: its own default); in ``single`` mode ``layout``
    has one host, which has the processes of all.  ``gpus`` has an entry for each host, None where there are none to divide.
    ``checkpoint`` is the directory that stands for CheckpointConfig's place, if any.  ``command`` is what the hosts run where
    that is not hvdsm's own program: then there is no ``program``, and a ``source`` only if the request has one.
    """

    request: Mapping[str, Any]
    options: LocalOptions
    layout: Tuple[HostLayout, ...]
    single: bool
    distribution: str
    processes: Optional[int]
    program: str
    source: Optional[DataSet]
    channels: Tuple[DataSet, ...]
    job_dir: str
    mpirun: Optional[str]
    gpus: Optional[Tuple[Tuple[str, ...], ...]]
    max_run: int
    stop_grace: float = STOP_GRACE
    checkpoint: Optional[Checkpoint] = None
    notes: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()
    command: Optional[Tuple[str, ...]] = None

    @property
    def job_name(self) -> str:
        """TrainingJobName."""
        return os.path.basename(self.job_dir)

    def host_directory(self, host: str) -> str:
        """What stands for ``/opt/ml`` of a host while the job runs."""
        return os.path.join(self.job_dir, WORK, host)

    @property
    def hosts(self) -> Tuple[str, ...]:
        """Names of the hosts."""
        return tuple(host.name for host in self.layout)

    @property
    def alone(self) -> bool:
        """Whether each host shows its own lines: it begins by itself, and may end before the launcher hears of it."""
        return self.command is None and self.distribution == NONE and not self.single

    @property
    def launcher(self) -> str:
        """Name of the host that starts the ranks, and has their lines and the model: the first of the distribution."""
        if self.command is not None:
            return self.layout[0].name
        return distribution_hosts(self.request, self.layout)[0].name


def make_plan(request: Mapping[str, Any], options: LocalOptions, machine: Machine) -> LocalPlan:
    """Check a request against the service's limits, the files it names and the machine.

    Raises:
        ConfigError: the request, or a file that it names, is wrong.
        NamespacesUnavailable: emulated hosts were demanded and cannot be had.
    """
    check_request(request)
    check_unmasked(request)
    name = request["TrainingJobName"]
    job_dir = os.path.join(os.path.abspath(os.path.expanduser(options.output)), name)
    if os.path.lexists(job_dir):
        raise ConfigError(
            "there are results of an earlier job here",
            where=job_dir,
            remedy="choose another --job-name or --output, or remove it",
        )
    wanted = hosts_of(request)
    command = command_of(request)
    kind, processes = (NONE, 1) if command else (distribution_of(request), processes_of(request))
    check_distribution(request, command)
    compile_metrics((request.get("AlgorithmSpecification") or {}).get("MetricDefinitions") or ())
    single, notes = _mode(options, machine, len(wanted), command)
    together = wanted if command else distribution_hosts(request, wanted)
    layout = together[:1] if single else wanted
    gpus = divide(machine.gpus, len(wanted), processes, single, command)
    if single and kind != NONE:
        processes = len(together) * (processes or max(1, len(machine.gpus) // len(wanted)))
    root = s3_root_of(options)
    program, source = source_of(request, root, command)
    channels = channels_of(request, root)
    checkpoint = checkpoint_of(request, root, job_dir)
    check_slow_hosts(options.slow_hosts, [host.name for host in wanted])
    if options.interrupt_after is not None:
        check_seconds(options.interrupt_after, "interrupt after")
    warnings = list(plan_warnings((processes or 1) * len(layout), machine, single=single, hosts=len(wanted), kind=kind))
    if command:
        warnings += check_command(command, (request.get("Environment") or {}).get("PATH") or machine.path, is_hidden)
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
        stop_grace=stop_grace_of(request, options),
        checkpoint=checkpoint,
        notes=(
            *request_notes(request),
            *checkpoint_notes(request, checkpoint, f"{job_dir}/{WORK}/{layout[0].name}" if single else None),
            *notes,
            *([] if single else shape_notes(options)),
        ),
        warnings=tuple(warnings),
        command=command,
    )


def check_distribution(request: Mapping[str, Any], command: Optional[Tuple[str, ...]]) -> None:
    """Find here what the container program would refuse on every host.

    Raises:
        ConfigError: a distribution that hvdsm does not have, or options for mpirun that cannot be read.
    """
    if command is not None:
        return
    values = request.get("HyperParameters") or {}
    framework = bool((request.get("Environment") or {}).get("SAGEMAKER_TRAINING_MODULE"))
    asked = {key: decode(value) for key, value in values.items() if key.startswith("sagemaker_")}
    if distribution(asked, framework=framework).kind == MPI:
        parse_options(str(decoded(values, "sagemaker_mpi_custom_mpi_options") or ""))


def channels_of(request: Mapping[str, Any], root: Optional[str]) -> Tuple[DataSet, ...]:
    """Where the data of each channel is.

    Raises:
        ConfigError: it is missing, or cannot be had from here.
    """
    mode = str((request.get("AlgorithmSpecification") or {}).get("TrainingInputMode") or "File")
    found = tuple(
        data.channel_data(channel, root, mode)
        for channel in request.get("InputDataConfig") or ()
        if not is_shipped(request, channel["ChannelName"])
    )
    for pipe in (channel.name for channel in found if channel.pipe is not None):
        for name in (channel.name for channel in found if re.fullmatch(re.escape(pipe) + r"_\d+", channel.name)):
            raise ConfigError(
                f"has the name of a pipe of the channel {pipe}", where=f"channel {name}", remedy="give one of them another name"
            )
    return found


def check_unmasked(request: Mapping[str, Any]) -> None:
    """Refuse a request that was written with masks in place of its secrets.

    Raises:
        ConfigError: it holds one.
    """
    fields = masked_fields(request)
    if fields:
        option = "--env" if fields[0].startswith("Environment") else "--hp"
        raise ConfigError(
            f"holds {MASK} instead of a value (secrets are masked when a request is written)",
            where=", ".join(fields),
            remedy=f"give the value: {option} {fields[0].partition('.')[2]}=…",
        )


def s3_root_of(options: LocalOptions) -> Optional[str]:
    """The directory that stands for S3, absolute.

    Raises:
        ConfigError: there is none.
    """
    if options.s3_root is None:
        return None
    root = os.path.abspath(os.path.expanduser(options.s3_root))
    if not os.path.isdir(root):
        raise ConfigError(
            "is no directory", where=f"--s3-root {options.s3_root}", remedy="name a directory with one folder a bucket"
        )
    return root


def _mode(options: LocalOptions, machine: Machine, count: int, command: Optional[Tuple[str, ...]]) -> Tuple[bool, List[str]]:
    if options.hosts == SINGLE and command is not None:
        raise UsageError(
            "a request with a ContainerEntrypoint of its own needs emulated hosts: its program looks into /opt/ml, and this "
            "machine as the only host has another directory",
            where="--hosts single",
            remedy="--hosts namespaces",
        )
    if options.hosts == SINGLE:
        return True, [UNPROVEN] if count > 1 else []
    if machine.availability.ok:
        return False, []
    reason, remedy = machine.availability.reason, machine.availability.remedy
    if options.hosts == NAMESPACES or command is not None:
        raise NamespacesUnavailable(reason, where="emulated hosts", remedy=remedy)
    shaped = " Network shaping (delay, rate) is left out." if options.delay_ms or options.mbit or options.slow_hosts else ""
    return True, [f"Emulated hosts are not to be had here: {reason} (to get them: {remedy}). {UNPROVEN}{shaped}"]


def divide(
    gpus: Tuple[str, ...], hosts: int, processes: Optional[int], single: bool, command: Optional[Tuple[str, ...]]
) -> Optional[Tuple[Tuple[str, ...], ...]]:
    """The GPUs of each host; None where there are none.

    Raises:
        ConfigError: there are too few.
    """
    if not gpus:
        return None
    if command is not None:
        return divide_gpus(gpus, hosts)
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


def stop_grace_of(request: Mapping[str, Any], options: LocalOptions) -> float:
    """Seconds from SIGTERM to SIGKILL.

    Raises:
        UsageError: it is no number of seconds.
    """
    if options.stop_grace is not None:
        if not isinstance(options.stop_grace, (int, float)) or not 0 <= options.stop_grace < float("inf"):
            raise UsageError(f"must be a number of seconds from 0, not {options.stop_grace!r}", where="stop grace")
        return options.stop_grace
    own = (request.get("Environment") or {}).get("HVDSM_STOP_GRACE")
    return STOP_GRACE if own is None else read_settings({"HVDSM_STOP_GRACE": own}).stop_grace
