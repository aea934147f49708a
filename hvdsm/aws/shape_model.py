"""The shapes of SageMaker's requests, from the service model that botocore ships; read when first needed, once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Dict, Mapping

SERVICE = "sagemaker"
OPERATION = "CreateTrainingJob"

# What botocore calls a shape's type: structure, list, map, string, integer, long, float, double, boolean, timestamp, blob.
Shape = Mapping[str, Any]


@lru_cache(maxsize=None)
def service_model() -> Mapping[str, Any]:
    """``operations`` and ``shapes`` of SageMaker: 3,200 shapes, read in about 50 ms (and botocore imported in 70).

    botocore's loader finds it, so that a newer model in ``~/.aws/models`` counts as for any client.  No profile is needed.
    """
    from botocore.loaders import Loader

    model: Dict[str, Any] = Loader().load_service_model(SERVICE, "service-2")
    return model


def shape(name: str) -> Shape:
    """A shape by its name."""
    found: Shape = service_model()["shapes"][name]
    return found


def input_shape(operation: str = OPERATION) -> str:
    """Name of the shape of an operation's request."""
    name: str = service_model()["operations"][operation]["input"]["shape"]
    return name


@lru_cache(maxsize=None)
def answered_fields(operation: str = "DescribeTrainingJob") -> Mapping[str, Any]:
    """The fields of what an operation answers."""
    members: Mapping[str, Any] = shape(service_model()["operations"][operation]["output"]["shape"])["members"]
    return members


def model_version() -> str:
    """``botocore 1.44.5``, whose model it is."""
    import botocore

    return f"botocore {botocore.__version__}"
