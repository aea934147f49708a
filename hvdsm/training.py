"""For training scripts: the job as one rank sees it, and work that only one rank may do.

Standard library only; nothing of MPI is imported or started, so it is safe at the top of any script, before or after
``hvd.init()``, and outside of a job too (there it is the only rank of one host).
"""

from __future__ import annotations

import functools
import json
import mmap
import os
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional, Tuple, TypeVar

from hvdsm.container.progress import RECORD, progress_path

Result = TypeVar("Result")

# hvdsm's own variables first; then those of Open MPI, PMIx and others, for a script that is started without hvdsm.
_RANK = ("RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK")
_LOCAL_RANK = ("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID")
_WORLD_SIZE = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
_LOCAL_WORLD_SIZE = ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")


@dataclass(frozen=True)
class TrainingEnv:
    """The job as one rank sees it.

    ``channels`` maps a channel's name to its directory, ``hyperparameters`` are decoded; ``hosts`` has the launcher first;
    ``restart_count`` says how often the ranks of this job were started again.
    """

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    local_world_size: int = 1
    node_rank: int = 0
    hosts: Tuple[str, ...] = ("localhost",)
    current_host: str = "localhost"
    job_name: str = ""
    model_dir: str = "/opt/ml/model"
    output_data_dir: str = "/opt/ml/output/data"
    channels: Mapping[str, str] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    num_cpus: int = 1
    num_gpus: int = 0
    network_interface: str = ""
    checkpoint_dir: str = "/opt/ml/checkpoints"
    restart_count: int = 0

    @property
    def is_rank_zero(self) -> bool:
        """Whether this rank writes what is written once: the model, metrics, messages."""
        return self.rank == 0


def training_env(environ: Optional[Mapping[str, str]] = None) -> TrainingEnv:
    """The job as this process sees it.

    Args:
        environ: variables to read instead of those of this process.

    Returns:
        a frozen record; outside of a job it is that of one rank on one host.
    """
    variables = os.environ if environ is None else environ
    hosts = tuple(_json(variables, "SM_HOSTS", ["localhost"]))
    names = _json(variables, "SM_CHANNELS", [])
    base = variables.get("SAGEMAKER_BASE_DIR", "/opt/ml")
    return TrainingEnv(
        rank=_number(variables, _RANK, 0),
        local_rank=_number(variables, _LOCAL_RANK, 0),
        world_size=_number(variables, _WORLD_SIZE, 1),
        local_world_size=_number(variables, _LOCAL_WORLD_SIZE, 1),
        node_rank=_number(variables, ("NODE_RANK", "GROUP_RANK"), 0),
        hosts=hosts,
        current_host=variables.get("SM_CURRENT_HOST") or hosts[0],
        job_name=variables.get("SAGEMAKER_JOB_NAME") or variables.get("TRAINING_JOB_NAME", ""),
        model_dir=variables.get("SM_MODEL_DIR", base + "/model"),
        output_data_dir=variables.get("SM_OUTPUT_DATA_DIR", base + "/output/data"),
        channels={name: variables.get("SM_CHANNEL_" + name.upper(), f"{base}/input/data/{name}") for name in names},
        hyperparameters=_json(variables, "SM_HPS", {}),
        num_cpus=_number(variables, ("SM_NUM_CPUS",), os.cpu_count() or 1),
        num_gpus=_number(variables, ("SM_NUM_GPUS",), 0),
        network_interface=variables.get("SM_NETWORK_INTERFACE_NAME", ""),
        checkpoint_dir=base + "/checkpoints",
        restart_count=_number(variables, ("HVDSM_RESTART_COUNT",), 0),
    )


def is_rank_zero() -> bool:
    """Whether this process is rank 0 of the job; true outside of a job."""
    return _number(os.environ, _RANK, 0) == 0


def rank_zero_only(function: Callable[..., Result]) -> Callable[..., Optional[Result]]:
    """Let only rank 0 call a function; on other ranks the call does nothing and gives None.

    Example::

        @hvdsm.rank_zero_only
        def save(model, directory):
            torch.save(model.state_dict(), directory + "/model.pt")

    The function must not communicate: a collective operation that only one rank enters never ends.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Optional[Result]:
        return function(*args, **kwargs) if is_rank_zero() else None

    return call


def progress(step: int) -> None:
    """Tell the job that this rank has reached a step, a whole number that grows; costs no system call.

    A job with a hang time limit (``sagemaker_hvdsm_hang_timeout``) counts it as a sign of life and names the ranks that are
    behind; one with restarts (``sagemaker_hvdsm_max_restarts``) counts a greater step as progress.  Outside of a job it does
    nothing.
    """
    record = _progress_record()
    if record is not None:
        RECORD.pack_into(record, 0, int(step), time.monotonic())


@functools.lru_cache(maxsize=None)
def _progress_record() -> Optional[mmap.mmap]:
    session, rank = os.environ.get("HVDSM_SESSION"), os.environ.get("HVDSM_RANK")
    if not session or not rank or not os.path.isdir(session):
        return None
    descriptor = os.open(progress_path(session, int(rank)), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.ftruncate(descriptor, RECORD.size)
        return mmap.mmap(descriptor, RECORD.size)
    finally:
        os.close(descriptor)


def _number(variables: Mapping[str, str], names: Tuple[str, ...], default: int) -> int:
    for name in names:
        try:
            return int(variables[name])
        except (KeyError, ValueError):
            continue
    return default


def _json(variables: Mapping[str, str], name: str, default: Any) -> Any:
    try:
        value = json.loads(variables[name])
    except (KeyError, ValueError):
        return default
    return value if isinstance(value, type(default)) and (value or isinstance(value, dict)) else default
