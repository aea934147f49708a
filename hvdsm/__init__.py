"""Run MPI and Horovod training on Amazon SageMaker, and rehearse the very same job on one's own machine.

::

    import hvdsm

    outcome = hvdsm.launch("train.py", instance_count=2, processes_per_host=2, hyperparameters={"epochs": 3})

Names are imported when they are first used: ``import hvdsm`` costs a training script milliseconds and no third-party package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List

from hvdsm.version import __version__

if TYPE_CHECKING:
    from hvdsm.api import distribution, launch
    from hvdsm.errors import HvdsmError
    from hvdsm.model import JobOutcome, RankFailure
    from hvdsm.training import TrainingEnv, is_rank_zero, progress, rank_zero_only, training_env

__all__ = [
    "HvdsmError",
    "JobOutcome",
    "RankFailure",
    "TrainingEnv",
    "__version__",
    "distribution",
    "is_rank_zero",
    "launch",
    "progress",
    "rank_zero_only",
    "training_env",
]

_HOME = {
    "launch": "hvdsm.api",
    "distribution": "hvdsm.api",
    "HvdsmError": "hvdsm.errors",
    "JobOutcome": "hvdsm.model",
    "RankFailure": "hvdsm.model",
    "TrainingEnv": "hvdsm.training",
    "training_env": "hvdsm.training",
    "is_rank_zero": "hvdsm.training",
    "progress": "hvdsm.training",
    "rank_zero_only": "hvdsm.training",
}


def __getattr__(name: str) -> Any:
    """A public name, imported now (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    """The public names, for completion."""
    return sorted(__all__)
