"""What CreateTrainingJob demands of fields together, and single limits that its service model does not state.

Each rule names its source: "API" is the SageMaker API reference (its text is also in the service model of botocore), "guide"
the SageMaker developer guide, "service" an answer of the service itself, as users published it.
"""

from __future__ import annotations

import re
from typing import Any, Iterator, List, Mapping, Optional, Tuple

from hvdsm.compose.fields import well_typed
from hvdsm.compose.mask import MASK
from hvdsm.compose.problems import Path, Problem, path_text, shown, standing
from hvdsm.compose.rules_run import RUN_RULES, broken
from hvdsm.compose.rules_service import SERVICE_RULES

_ECR = re.compile(r"\d{12}\.dkr[.\-]ecr(?:-fips)?\.([a-z0-9\-]+)\.[^/]+/.+")
# Text fields whose words are the user's own: a file:// there is a place in the container.
_FREE = ("HyperParameters", "Environment", "Tags", "ContainerArguments", "ContainerEntrypoint", "MetricDefinitions")
_SUBMIT = "sagemaker_submit_directory"


def rule_problems(request: Any) -> List[str]:
    """What a request for the service breaks of these rules, one line each: ``Path.To.Field: the limit, not the value``.

    Fields with a wrong type are not looked at; they are a matter of the types.
    """
    typed, wrong = well_typed(request)
    return [str(problem) for problem in standing(broken(typed, (*RUN_RULES, *SERVICE_RULES)), wrong)]


def only_here(request: Any, region: Optional[str] = None) -> List[Problem]:
    """What stands in a request that only a rehearsal on this machine can use, or that another region's job could.

    Args:
        request: a CreateTrainingJob request.
        region: the region that the job is to run in, when known.
    """
    typed, _ = well_typed(request)
    return [*_places(typed), *_image(typed, region)]


def _places(request: Mapping[str, Any]) -> Iterator[Problem]:
    for path, text in _texts(request, ()):
        field, where = path[-1], path_text(path)
        if MASK in text:
            yield Problem(where, f"must be the value itself, not {MASK}: a request that was shown or stored does not have it")
        elif field == "InstanceType" and text.split("_")[0] == "local":
            yield Problem(where, f"must be the type of an instance, such as ml.c5.xlarge, not {shown(text)}")
        elif text.startswith(("file:", '"file:')) and (field == _SUBMIT or not set(path).intersection(_FREE)):
            yield Problem(where, f"must be a place that the job can reach, s3://BUCKET/PREFIX, not {shown(text)} of this machine")


def _texts(value: Any, path: Path) -> Iterator[Tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, entry in value.items():
            yield from _texts(entry, (*path, name))
    elif isinstance(value, (list, tuple)):
        for index, entry in enumerate(value):
            yield from _texts(entry, (*path, index))


def _image(request: Mapping[str, Any], region: Optional[str]) -> Iterator[Problem]:
    algorithm = request.get("AlgorithmSpecification") or {}
    image = algorithm.get("TrainingImage")
    if not image or (algorithm.get("TrainingImageConfig") or {}).get("TrainingRepositoryAccessMode") == "Vpc":
        return
    path = "AlgorithmSpecification.TrainingImage"
    found = _ECR.fullmatch(image)
    if not found:
        # Service: "Invalid training image. Please provide a valid Amazon Elastic Container Registry path".
        text = "must be an image in Amazon ECR, ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG"
        yield Problem(path, f"{text} (or TrainingImageConfig must give access to another registry), not {shown(image)}")
    elif region and found[1] != region:
        # Service: "Invalid DNS suffix … for region … in training image. Please provide the valid <region>.<dns-suffix>".
        yield Problem(path, f"must be an image of the job's region {region}, not of {found[1]}: {shown(image)}")
