"""SageMaker Python SDK 2.x: a checked ``distribution``, old argument names, and an estimator for an image of one's own.

::

    from sagemaker.pytorch import PyTorch
    from hvdsm.sdk.v2 import distribution, hyperparameters

    PyTorch(
        ...,
        distribution=distribution(processes_per_host=8, custom_mpi_options="-x NCCL_DEBUG=WARN"),
        hyperparameters=hyperparameters({"epochs": 3}, hang_timeout=600),
    )

The SDK reads what it knows of a ``distribution`` and says nothing of the rest; here that is an error.  Only :class:`Estimator`
needs the SDK, and imports it when it is first named; all else works without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List

from hvdsm.sdk.v2.arguments import OldNameWarning, arguments
from hvdsm.sdk.v2.checking import check, dropped
from hvdsm.sdk.v2.distribution import distribution
from hvdsm.sdk.v2.encoding import encoded
from hvdsm.sdk.v2.hyperparameters import hyperparameters
from hvdsm.sdk.v2.mpi_options import RewrittenOptionWarning

if TYPE_CHECKING:
    from hvdsm.sdk.v2.estimator import Estimator as Estimator

# Without Estimator: `import *` works where the SDK is not installed.
__all__ = [
    "OldNameWarning",
    "RewrittenOptionWarning",
    "arguments",
    "check",
    "distribution",
    "dropped",
    "encoded",
    "hyperparameters",
]


def __getattr__(name: str) -> Any:
    """``Estimator``, made now (PEP 562): it imports the SDK, which takes seconds."""
    if name != "Estimator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hvdsm.sdk.v2.estimator import Estimator

    globals()[name] = Estimator
    return Estimator


def __dir__() -> List[str]:
    """The public names, for completion."""
    return sorted([*__all__, "Estimator"])
