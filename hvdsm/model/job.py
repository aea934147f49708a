"""What a training job is to run, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Tuple

MPI = "mpi"
TORCH_DISTRIBUTED = "torch_distributed"
NONE = "none"
DISTRIBUTIONS = (MPI, TORCH_DISTRIBUTED, NONE)


@dataclass(frozen=True)
class Distribution:
    """How ranks are started: by mpirun, by torchrun, or one plain process on each host.

    ``processes_per_host`` None means: GPUs of the host, else Neuron cores, else 1.
    ``world_size`` None means: processes per host times hosts.
    """

    kind: str = MPI
    processes_per_host: Optional[int] = None
    custom_mpi_options: str = ""
    world_size: Optional[int] = None


@dataclass(frozen=True)
class Supervision:
    """When a job is ended or started again.

    Attributes:
        timeout: seconds that the whole job may take; None is no limit.
        hang_timeout: seconds without a line of output and without progress from any rank; None is no limit.
        max_restarts: how often the ranks are started again after a failure.
    """

    timeout: Optional[float] = None
    hang_timeout: Optional[float] = None
    max_restarts: int = 0


@dataclass(frozen=True)
class RoleProcess:
    """A process beside the ranks of this host, such as a parameter server: started before them, ended after them.

    ``variables`` are set over the environment that ranks have.
    """

    name: str
    command: Tuple[str, ...]
    variables: Mapping[str, str]


@dataclass(frozen=True)
class TrainingJob:
    """A training job as the container reads it from its configuration files.

    ``hyperparameters`` are decoded and without the reserved ``sagemaker_*`` ones, which are in ``reserved``;
    ``extra_arguments`` go to the script verbatim after the arguments made of hyperparameters.
    """

    name: str
    program: str
    distribution: Distribution
    hyperparameters: Mapping[str, Any]
    reserved: Mapping[str, Any]
    channels: Tuple[str, ...] = ()
    extra_arguments: Tuple[str, ...] = ()
    submit_directory: Optional[str] = None
    supervision: Supervision = Supervision()
