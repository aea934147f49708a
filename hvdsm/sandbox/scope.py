"""What of SageMaker the sandbox has: training jobs; of all else, records only, since nothing would run behind it."""

from __future__ import annotations

import re

from hvdsm.sandbox.wire import Request, ServiceError

# Of what moto keeps records; these promise no work of the service.
_RECORDS = (
    "Model|Models|ModelPackage|ModelPackageGroup|EndpointConfig|Experiment|Trial|TrialComponent|Tags|Action|Artifact|Context|"
    "Association|Image|ImageVersion|Algorithm|CodeRepository|FeatureGroup|ModelCard|Hub"
)
_KEPT = re.compile(
    rf"^((Create|Update|Delete|Add)({_RECORDS})|(Associate|Disassociate)TrialComponent|(List|Describe|Search|Query|BatchDescribe|Get)\w*"
    r"|Delete\w+)$"
)


def check_scope(request: Request) -> None:
    """Refuse what would seem to work: endpoints, processing, tuning, pipelines, ….

    Raises:
        ServiceError: the operation is outside of what the sandbox does.
    """
    if request.service != "sagemaker":
        return
    if not request.is_json:
        asked = f"{request.method} {request.target.partition('?')[0]}"
    elif request.operation == "Search" and request.json().get("Resource") == "TrainingJob":
        # The jobs are not among moto's records, which would say that there are none.
        asked = "Search of training jobs (ListTrainingJobs has them)"
    elif _KEPT.match(request.operation):
        return
    else:
        asked = request.operation
    raise out_of_scope(asked)


def out_of_scope(asked: str) -> ServiceError:
    """The error that says so."""
    return ServiceError(
        "UnknownOperationException",
        f"{asked}: the sandbox of hvdsm runs training jobs only, and has no such operation. A job's model is in its S3 and the "
        "job's results directory.",
    )
