"""What the services refuse before anything is done: botocore's own model of the request, and the hand table of rules."""

from __future__ import annotations

import threading
from typing import Any, Dict, List, Mapping, Optional

from hvdsm.sandbox.wire import ServiceError

_lock = threading.Lock()
_models: Dict[str, Any] = {}
# Times are numbers on the wire, and something else in the model.
_TIMES = ("CreationTimeAfter", "CreationTimeBefore", "LastModifiedTimeAfter", "LastModifiedTimeBefore")


def check(operation: str, body: Mapping[str, Any]) -> None:
    """Check a request of SageMaker: fields, types, lengths, patterns, enumerations, and rules between fields.

    Raises:
        ServiceError: ValidationException that names all that is wrong.
    """
    given = {name: value for name, value in body.items() if name not in _TIMES}
    found = _basic(operation, given) or _further(operation, given)
    if found:
        count = len(found)
        message = f"{count} validation error{'s' if count > 1 else ''} detected: {'; '.join(found)}"
        raise ServiceError("ValidationException", message)


def _basic(operation: str, body: Mapping[str, Any]) -> List[str]:
    """What botocore's own validation finds: missing and unknown fields, types, minimal lengths."""
    from botocore.validate import ParamValidator

    shape = _shape(operation)
    if shape is None:
        return []
    report = ParamValidator().validate(body, shape)
    return str(report.generate_report()).splitlines() if report.has_errors() else []


def _further(operation: str, body: Mapping[str, Any]) -> List[str]:
    """What only the service itself finds."""
    try:
        from hvdsm.aws.shapes import problems
    except ImportError:
        return []
    found = list(problems(body, operation))
    if operation == "CreateTrainingJob":
        from hvdsm.compose.rules import rule_problems

        found += rule_problems(body)
    return found


def _shape(operation: str) -> Optional[Any]:
    with _lock:
        if "sagemaker" not in _models:
            from botocore.loaders import create_loader
            from botocore.model import ServiceModel

            # Not by a session: that would read the AWS configuration of whoever runs the sandbox.
            _models["sagemaker"] = ServiceModel(create_loader().load_service_model("sagemaker", "service-2"), "sagemaker")
        return _models["sagemaker"].operation_model(operation).input_shape
