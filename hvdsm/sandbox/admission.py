"""What the service finds out about a request's data and program before it creates a job."""

from __future__ import annotations

from typing import Any, Mapping

from hvdsm.backends.local.program import command_of
from hvdsm.sandbox.objects import Objects
from hvdsm.sandbox.wire import ServiceError

# What starts a function of the SDK's @remote is in a channel of this name.
_REMOTE_FUNCTION = "/opt/ml/input/data/sagemaker_remote_function_bootstrap/"


def check_admission(request: Mapping[str, Any], objects: Objects) -> None:
    """Check that a job can be created.

    Raises:
        ServiceError: a channel's prefix has no objects; or the job is a function of the SDK's @remote, whose caller would not be
            told of a FailureReason.
    """
    if any(word.startswith(_REMOTE_FUNCTION) for word in command_of(request) or ()):
        raise ServiceError(
            "ValidationException",
            "hvdsm cannot run functions of the SDK's @remote: such a function reads itself from S3 when it runs, and emulated "
            "hosts have no way out to it. Put its code into a script, and train that with an Estimator or a ModelTrainer.",
        )
    for channel in request.get("InputDataConfig") or ():
        source = (channel.get("DataSource") or {}).get("S3DataSource")
        if source and not objects.exists(source["S3Uri"]):
            bucket = source["S3Uri"][len("s3://") :].partition("/")[0]
            raise ServiceError(
                "ValidationException",
                f'No S3 objects found under S3 URL "{source["S3Uri"]}" given in input data source. Please ensure that the '
                f"bucket exists in the selected region, that objects exist under that S3 prefix, and that the role "
                f'"{request["RoleArn"]}" has "s3:ListBucket" permissions on bucket "{bucket}".',
            )
