"""Names that estimators had in the SDK 1, and what they are called in the SDK 2.

Source: the SDK's guide "Use Version 2.x of the SageMaker Python SDK", and the renaming that its upgrade command does.
"""

from __future__ import annotations

import warnings
from typing import Any, Dict, Sequence

from hvdsm.compose.problems import shown, suggestion
from hvdsm.errors import UsageError
from hvdsm.sdk.v2.distribution import checked

RENAMED = {
    "train_instance_count": "instance_count",
    "train_instance_type": "instance_type",
    "train_volume_size": "volume_size",
    "train_volume_kms_key": "volume_kms_key",
    "train_max_run": "max_run",
    "train_max_wait": "max_wait",
    "train_max_run_wait": "max_wait",
    "train_use_spot_instances": "use_spot_instances",
    "distributions": "distribution",
    "image_name": "image_uri",
    "image": "image_uri",
    "session": "sagemaker_session",
}
# What the SDK 2 swallows without a word, and what stands for it.
_GONE = {
    "training_steps": 'hyperparameters={"training_steps": …}, which the script reads',
    "evaluation_steps": 'hyperparameters={"evaluation_steps": …}, which the script reads',
    "checkpoint_path": "checkpoint_s3_uri",
    "requirements_file": "a requirements.txt in source_dir",
    "enable_cloudwatch_metrics": "metric_definitions",
}


class OldNameWarning(FutureWarning):
    """An argument of the SDK 1 was translated; shown by default, as DeprecationWarning is not."""


def arguments(**given: Any) -> Dict[str, Any]:
    """Arguments of an estimator by the names that they have in the SDK 2.

    ::

        TensorFlow(**arguments(train_instance_count=2, distributions={"mpi": {"enabled": True}}, ...))

    What is not old stays as it is.  A ``distribution`` is checked, see :func:`hvdsm.sdk.v2.distribution`.

    Args:
        **given: arguments, by old or new names.

    Raises:
        UsageError: an argument has two values, has no successor, or is almost one of the old ones.
        MpiError: see :func:`hvdsm.sdk.v2.distribution`.
    """
    return translated(given, stacklevel=3)


def translated(given: Dict[str, Any], *, known: Sequence[str] = (), own: bool = False, stacklevel: int = 2) -> Dict[str, Any]:
    """Like :func:`arguments`.

    Args:
        given: the arguments; not changed.
        known: names that an estimator takes: an old one of its own there is none.
        own: whether hvdsm's estimator gets them, which checks its distribution itself.
        stacklevel: of the warnings.

    Raises:
        UsageError: see :func:`arguments`.
        MpiError: see :func:`arguments`.
    """
    found = {name: value for name, value in given.items() if name not in RENAMED or name in known}
    sources = {name: name for name in found}
    for old, value in given.items():
        if old in found:
            continue
        new = RENAMED[old]
        if new in found and not _equal(found[new], value):
            raise UsageError(
                f"{sources[new]}={shown(found[new])} and {old}={shown(value)} contradict each other",
                where=new,
                remedy=f"leave {old} out: it is the old name of {new}",
            )
        warnings.warn(OldNameWarning(f"{old} is now called {new}"), stacklevel=stacklevel)
        found.setdefault(new, value)
        sources.setdefault(new, old)
    _script_mode(found, stacklevel + 1)
    for name in found:
        if name in _GONE and name not in known:
            raise UsageError("the SDK 2 has it no more, and drops it silently", where=name, remedy=_GONE[name])
        if name.startswith("train_") and name not in known:
            close = suggestion(name, RENAMED)
            raise UsageError(f"no estimator has such an argument{close}", where=name, remedy="check the name, or leave it out")
    if not own and found.get("distribution") is not None:
        found["distribution"] = checked(found["distribution"], stacklevel=stacklevel + 1)
    return found


def _script_mode(found: Dict[str, Any], stacklevel: int) -> None:
    if "script_mode" not in found:
        return
    if found.pop("script_mode") is False:
        raise UsageError(
            "the SDK 2 has script mode only, and drops this silently",
            where="script_mode=False",
            remedy="make the entry point a script that trains when it is run, and leave script_mode out",
        )
    warnings.warn(OldNameWarning("script_mode is always on now"), stacklevel=stacklevel)


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
