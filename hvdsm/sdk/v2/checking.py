"""Whether what an estimator will send has all of its distribution."""

from __future__ import annotations

import copy
import json
from typing import Any, Dict, List, Mapping, Optional, Tuple

from hvdsm.compose.problems import shown
from hvdsm.errors import HvdsmError, UsageError
from hvdsm.sdk.v2.distribution import active, checked
from hvdsm.sdk.v2.encoding import MPI_ENABLED, encoded

# PyTorch sends pytorchddp under the name of smdistributed.
_ALSO = {"sagemaker_pytorch_ddp_enabled": "sagemaker_distributed_dataparallel_enabled"}


def check(estimator: Any, distribution: Optional[Mapping[str, Any]] = None) -> None:
    """Make sure that nothing of an estimator's distribution is lost; asks nothing of AWS, and leaves the estimator as it is.

    Args:
        estimator: any estimator of the SDK 2.
        distribution: what the estimator was given, needed for a class that does not keep it, such as the SDK's ``Estimator``.

    Raises:
        UsageError: something would be lost or misread; the message has all of it.
    """
    lost = dropped(estimator, distribution)
    if lost:
        raise UsageError(
            "\n  ".join([f"{len(lost)} thing{'s' if len(lost) > 1 else ''} would be lost", *lost]),
            where=f"{type(estimator).__name__}(…)",
            remedy="hvdsm.sdk.v2.Estimator(image_uri=…, distribution=…) sends all of it, for any image",
        )


def dropped(estimator: Any, distribution: Optional[Mapping[str, Any]] = None) -> Tuple[str, ...]:
    """What :func:`check` complains of, one line each."""
    own = bool(getattr(estimator, "keeps_distribution", False))
    given = getattr(estimator, "distribution", None) if distribution is None else distribution
    sent = _sent(estimator)
    found: List[str] = []
    if given is None:
        if MPI_ENABLED not in sent:
            found.append(
                f"{type(estimator).__name__} has no distribution, and drops one that it is given; say it: check(estimator, {{…}})"
            )
    elif given:
        try:
            wanted = checked(given, own=own)
        except HvdsmError as error:
            found.append(str(error).replace("\n", "\n  "))
        else:
            found += _missing(wanted, sent, type(estimator).__name__)
    return (*found, *_misread(estimator, sent))


def _sent(estimator: Any) -> Dict[str, Any]:
    """The hyperparameters that the request will have; of a copy, since TensorFlow decides on its model_dir when it is asked."""
    twin = copy.copy(estimator)
    if hasattr(twin, "model_dir"):
        twin.model_dir = False
    return dict(twin.hyperparameters() or {})


def _missing(wanted: Mapping[str, Any], sent: Mapping[str, Any], name: str) -> List[str]:
    if not active(wanted):
        return []
    found = []
    for key, value in encoded(wanted).items():
        # What is off, or empty, is as good as not there.
        if value in ("false", '""') or not isinstance(value, str):
            continue
        there = sent.get(key, sent.get(_ALSO.get(key, key)))
        if there is None:
            found.append(f"{key}={value}: {name} does not send it")
        elif isinstance(there, str) and _decoded(there) != _decoded(value):
            found.append(f"{key}={value}: {name} sends {there}")
    return found


def _misread(estimator: Any, sent: Mapping[str, Any]) -> List[str]:
    """Hyperparameters that are no texts of JSON: the SDK sends ``str()`` of them."""
    found = []
    for key, value in sent.items():
        if isinstance(value, (dict, list, tuple, bool)) or value is None:
            found.append(
                f"hyperparameter {key}: {type(estimator).__name__} without source_dir sends {shown(str(value))}, which is no JSON"
            )
    return found


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
