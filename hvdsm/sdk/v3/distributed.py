"""``DistributedConfig`` classes for ``ModelTrainer`` of the SageMaker SDK 3, by which hvdsm starts the ranks."""

from __future__ import annotations

import shlex
from typing import Any, Dict, List, Optional

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator
from sagemaker.train.distributed import DistributedConfig

from hvdsm.compose.model_trainer import quoted
from hvdsm.compose.options import parse_options
from hvdsm.errors import MpiError
from hvdsm.model import MPI as MPI_KIND
from hvdsm.model import TORCH_DISTRIBUTED
from hvdsm.sdk.v3.driver import KINDS
from hvdsm.sdk.v3.shipped import driver_directory

_SCRIPTS = {kind: name for name, kind in KINDS.items()}


class Ranks(DistributedConfig):  # type: ignore[misc]
    """What both ways to start ranks have in common.

    Attributes:
        process_count_per_node: ranks on each host; by default its GPUs, else its Neuron cores, else 1.
        arguments: further words for the script, after those that hyperparameters make; any text, single quotes too.
        instance_groups: names of the instance groups whose hosts run ranks together; all by default.
        timeout: seconds that the job may take on its hosts.
        hang_timeout: seconds without a line of output and without progress from any rank, after which the job fails.
        max_restarts: how often the ranks are started again after a failure, on the same hosts.
        stop_grace: seconds between SIGTERM and SIGKILL when the ranks are ended.
    """

    process_count_per_node: Optional[int] = Field(default=None, ge=1, strict=True)
    arguments: Optional[List[str]] = None
    instance_groups: Optional[List[str]] = Field(default=None, min_length=1)
    timeout: Optional[float] = Field(default=None, gt=0, allow_inf_nan=False)
    hang_timeout: Optional[float] = Field(default=None, gt=0, allow_inf_nan=False)
    max_restarts: Optional[int] = Field(default=None, ge=0, strict=True)
    stop_grace: Optional[float] = Field(default=None, ge=0, allow_inf_nan=False)

    @property
    def driver_dir(self) -> str:
        """Directory that the SDK copies into the job: the driver and hvdsm's program; it lasts as long as this process."""
        return driver_directory()

    @model_serializer(mode="wrap")
    def _without_quotes(self, handler: SerializerFunctionWrapHandler) -> Dict[str, Any]:
        """Single quotes as ``%27``: the SDK's environment.py puts all of it between two of them, unquoted."""
        found: Dict[str, Any] = quoted(handler(self))
        return found


class MPI(Ranks):
    """Ranks on all hosts by mpirun.

    Example::

        from hvdsm.sdk.v3 import MPI

        ModelTrainer(..., distributed=MPI(process_count_per_node=2, mpi_additional_options=["-x", "NCCL_DEBUG=INFO"]))

    Attributes:
        mpi_additional_options: further words of mpirun's command line; they win over hvdsm's own.
        custom_mpi_options: the same as one text, quoted as in a shell, as the SDK 2 has it.
        process_count: all ranks of the job, where that is not the number of hosts times ``process_count_per_node``.
    """

    mpi_additional_options: Optional[List[str]] = None
    custom_mpi_options: Optional[str] = None
    process_count: Optional[int] = Field(default=None, ge=1, strict=True)

    @property
    def driver_script(self) -> str:
        """Name of the driver in :attr:`driver_dir`."""
        return _SCRIPTS[MPI_KIND]

    @field_validator("custom_mpi_options")
    @classmethod
    def _readable(cls, text: Optional[str]) -> Optional[str]:
        try:
            parse_options(text or "")
        except MpiError as error:
            raise ValueError(str(error)) from None
        return text

    @field_validator("mpi_additional_options")
    @classmethod
    def _words(cls, words: Optional[List[str]]) -> Optional[List[str]]:
        for word in words or ():
            if word.startswith("-") and len(word.split()) > 1 and "=" not in word.split()[0]:
                split = ", ".join(repr(part) for part in shlex.split(word))
                raise ValueError(f"{word!r} holds several words of mpirun's command line; give each as one: {split}")
        try:
            parse_options(" ".join(map(shlex.quote, words or ())))
        except MpiError as error:
            raise ValueError(str(error)) from None
        return words

    @model_validator(mode="after")
    def _one_way(self) -> MPI:
        if self.mpi_additional_options and self.custom_mpi_options:
            raise ValueError("mpi_additional_options and custom_mpi_options say the same in two ways; give one of them")
        return self


class Torchrun(Ranks):
    """Ranks on all hosts by torchrun."""

    @property
    def driver_script(self) -> str:
        """Name of the driver in :attr:`driver_dir`."""
        return _SCRIPTS[TORCH_DISTRIBUTED]
