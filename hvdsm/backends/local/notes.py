"""What a user should know before a job starts: what of a request a rehearsal does otherwise, or not at all."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Tuple

from hvdsm.backends.local.checkpoint import Checkpoint
from hvdsm.backends.local.data import PIPE, input_mode
from hvdsm.backends.local.machine import Machine
from hvdsm.backends.local.options import LocalOptions
from hvdsm.backends.local.program import command_of
from hvdsm.compose.cloud import is_own_program
from hvdsm.compose.request import CHECKPOINTS
from hvdsm.model import NONE

UNPROVEN = (
    "One host stands for all: this does not prove ssh between hosts, the network and its interface names, files that are on "
    "one host only, sharded channels, or what happens when a host is lost."
)
# Fields that mean something to the service alone: they change nothing here.
_LEFT_OUT = (
    "DebugHookConfig", "DebugRuleConfigurations", "ExperimentConfig", "InfraCheckConfig", "MlflowConfig", "ModelPackageConfig",
    "ProfilerConfig", "ProfilerRuleConfigurations", "RemoteDebugConfig", "RetryStrategy", "ServerlessJobConfig",
    "SessionChainingConfig", "TensorBoardOutputConfig", "VpcConfig",
)  # fmt: skip


def request_notes(request: Mapping[str, Any]) -> List[str]:
    """What of the request is done otherwise."""
    algorithm = request.get("AlgorithmSpecification") or {}
    notes = []
    image = algorithm.get("TrainingImage") or algorithm.get("AlgorithmName")
    if image:
        notes.append(f"{image} is not run: the current Python environment stands in for the image.")
    command = command_of(request)
    if command is None and not is_own_program(request):
        words = [name for name in ("ContainerEntrypoint", "ContainerArguments") if algorithm.get(name)]
        if words:
            notes.append(f"{' and '.join(words)}: left out, hvdsm's own program starts the script.")
    mode = str(algorithm.get("TrainingInputMode") or "File")
    plain = [
        str(channel.get("ChannelName"))
        for channel in request.get("InputDataConfig") or ()
        if channel.get("CompressionType", "None") != "None" and input_mode(channel, mode) != PIPE
    ]
    if plain:
        notes.append(f"CompressionType of {', '.join(plain)} counts in Pipe mode only: the files stay as they are.")
    left_out = [name for name in _LEFT_OUT if request.get(name)]
    if left_out:
        notes.append(f"without a meaning here: {', '.join(left_out)}.")
    if request.get("EnableManagedSpotTraining"):
        notes.append("EnableManagedSpotTraining: nothing interrupts the job here unless --interrupt-after SECONDS does.")
    return notes


def checkpoint_notes(request: Mapping[str, Any], checkpoint: Optional[Checkpoint], single_dir: Optional[str]) -> List[str]:
    """Where checkpoints are.

    Args:
        request: the request.
        checkpoint: the directory that stands for their place on S3.
        single_dir: base directory of the host when it is this machine itself.
    """
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


def shape_notes(options: LocalOptions) -> List[str]:
    """How the network between emulated hosts is slowed."""
    parts = [f"{options.delay_ms:g} ms one way"] * bool(options.delay_ms)
    parts += [f"each host sends at {options.mbit:g} Mbit/s at most"] * bool(options.mbit)
    parts += [f"{host.name} is slower: {host.words}" for host in options.slow_hosts]
    return [f"network: {'; '.join(parts)}."] if parts else []


def plan_warnings(total: int, machine: Machine, *, single: bool, hosts: int, kind: str) -> Tuple[str, ...]:
    """What the number of processes means for this machine."""
    found = []
    if not machine.gpus and total > machine.cores:
        found.append(f"{total} processes share {machine.cores} cores: the results are right, the speed says nothing.")
    if single and kind == NONE and hosts > 1:
        found.append(f"Without MPI or torch.distributed one process runs here in place of {hosts} hosts.")
    return tuple(found)
