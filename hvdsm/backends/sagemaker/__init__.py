"""The SageMaker back end: the same request, sent to the service and followed to its end."""

from hvdsm.backends.sagemaker.attach import Detached, attend, follow, submit
from hvdsm.backends.sagemaker.backend import SageMakerBackend
from hvdsm.backends.sagemaker.handle import TrainingJobHandle
from hvdsm.backends.sagemaker.job import SageMakerJob
from hvdsm.backends.sagemaker.plan import SageMakerOptions, SageMakerPlan
from hvdsm.backends.sagemaker.result import outcome_of

__all__ = [
    "Detached",
    "SageMakerBackend",
    "SageMakerJob",
    "SageMakerOptions",
    "SageMakerPlan",
    "TrainingJobHandle",
    "attend",
    "follow",
    "outcome_of",
    "submit",
]
