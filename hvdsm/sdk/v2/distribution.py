"""The ``distribution`` of an estimator, checked: what the SDK would drop or misread is an error.

Source of what the SDK does with each key: ``sagemaker.estimator.Framework._distribution_configuration`` and
``sagemaker.fw_utils.validate_distribution`` of 2.257, executed.
"""

from __future__ import annotations

import operator
from typing import Any, Callable, Dict, List, Mapping, NoReturn, Optional, Sequence, Tuple

from hvdsm.compose.problems import shown, suggestion
from hvdsm.errors import UsageError
from hvdsm.sdk.v2.mpi_options import check_options

MPI = "mpi"
TORCH = "torch_distributed"
SMD = "smdistributed"
GROUPS = "instance_groups"
# The keys of each strategy beside "enabled".
_KEYS: Mapping[str, Tuple[str, ...]] = {
    MPI: ("processes_per_host", "custom_mpi_options"),
    TORCH: (),
    "parameter_server": (),
    "multi_worker_mirrored_strategy": (),
    "pytorchxla": (),
    "pytorchddp": ("custom_mpi_options",),
}
_SMD_KEYS: Mapping[str, Tuple[str, ...]] = {"dataparallel": ("custom_mpi_options",), "modelparallel": ("parameters",)}
# Settings of hvdsm that people look for here.
_SETTINGS = ("hang_timeout", "max_restarts", "timeout", "secrets")


def distribution(
    config: Optional[Mapping[str, Any]] = None,
    *,
    enabled: Optional[Any] = None,
    processes_per_host: Optional[Any] = None,
    custom_mpi_options: Optional[str] = None,
    instance_groups: Optional[Sequence[Any]] = None,
    **strategies: Any,
) -> Dict[str, Any]:
    """The dict for ``distribution=`` of the SDK's TensorFlow, PyTorch, HuggingFace and MXNet, and of :class:`Estimator`.

    >>> distribution(processes_per_host=2, custom_mpi_options="-x NCCL_DEBUG=INFO")
    {'mpi': {'enabled': True, 'processes_per_host': 2, 'custom_mpi_options': '-x NCCL_DEBUG=INFO'}}

    A variable of a SageMaker pipeline may stand for any value; what it will be cannot be checked.

    Args:
        config: a dict to check instead of the keywords, any strategy of the SDK: ``{"mpi": {"enabled": True, …}}``.
        enabled: whether mpirun starts the ranks; True by default.
        processes_per_host: ranks on each host; by default its GPUs, else its Neuron cores, else 1.
        custom_mpi_options: further words for mpirun, quoted as in a shell.
        instance_groups: the groups that run ranks, of those that the estimator has: ``InstanceGroup`` objects; for
            :class:`Estimator` names will do.
        **strategies: the strategies of such a dict by their names: ``mpi={"enabled": True, …}``.

    Raises:
        UsageError: a key is not known, a value has another type, or keys contradict each other.
        MpiError: mpirun would refuse the options, or they contradict the rest.
    """
    for name in strategies:
        if name not in (*_KEYS, SMD):
            _unknown(name, "distribution(...)", ("enabled", *_KEYS[MPI], GROUPS, *_KEYS, SMD))
    words = {
        "enabled": enabled,
        "processes_per_host": processes_per_host,
        "custom_mpi_options": custom_mpi_options,
        GROUPS: instance_groups,
    }
    given = {name: value for name, value in words.items() if value is not None}
    if strategies and config is None:
        config = {**strategies, **({} if instance_groups is None else {GROUPS: given.pop(GROUPS)})}
        strategies = {}
    if config is not None:
        if given or strategies:
            raise UsageError(
                f"{', '.join((*given, *strategies))} and a dict are given",
                where="distribution(...)",
                remedy="put all of it into the dict, or none",
            )
        return checked(config, stacklevel=3)
    mpi = {"enabled": True, **{name: value for name, value in given.items() if name != GROUPS}}
    groups = {} if instance_groups is None else {GROUPS: instance_groups}
    return checked({MPI: mpi, **groups}, stacklevel=3)


def checked(config: Any, *, own: bool = False, stacklevel: int = 2) -> Dict[str, Any]:
    """A distribution after all checks; its values as they were, but for numbers of other libraries and options written anew.

    Args:
        config: the dict.
        own: whether :class:`hvdsm.sdk.v2.Estimator` sends it, which loses nothing and knows more.
        stacklevel: of warnings.

    Raises:
        UsageError: see :func:`distribution`.
        MpiError: see :func:`distribution`.
    """
    if not isinstance(config, Mapping):
        raise UsageError(f"must be a dict, not {shown(config)}", where="distribution", remedy='{"mpi": {"enabled": True}}')
    found: Dict[str, Any] = {}
    for name, value in config.items():
        if name == GROUPS:
            if value is not None:
                found[GROUPS] = _groups(value, own)
        elif name == SMD:
            found[SMD] = _smdistributed(value, stacklevel + 1)
        elif name in _KEYS:
            more = ("processes_per_host",) if own and name == TORCH else ()
            found[name] = _strategy(value, _place(name), (*_KEYS[name], *more), stacklevel + 1)
        else:
            if isinstance(name, str) and name in (*_KEYS[MPI], "enabled"):
                raise UsageError(
                    f"{name} belongs to mpi", where="distribution", remedy=f'{{"mpi": {{"enabled": True, "{name}": …}}}}'
                )
            _unknown(name, "distribution", (*_KEYS, SMD, GROUPS))
    _together(found, own)
    return found


def active(config: Mapping[str, Any]) -> List[str]:
    """The strategies that are enabled, those of smdistributed as ``smdistributed.dataparallel``."""
    found = [name for name in _KEYS if (config.get(name) or {}).get("enabled")]
    return found + [f"{SMD}.{name}" for name, value in (config.get(SMD) or {}).items() if value.get("enabled")]


def is_deferred(value: Any) -> bool:
    """Whether this is a variable of a SageMaker pipeline, whose value is known when the pipeline runs."""
    return hasattr(value, "expr") and hasattr(value, "to_string")


def group_name(group: Any) -> str:
    """The name of an instance group: of the SDK's object, or the name itself."""
    return str(getattr(group, "instance_group_name", group))


def _place(*names: str) -> str:
    return "distribution" + "".join(f'["{name}"]' for name in names)


def _unknown(name: Any, where: str, known: Sequence[str]) -> NoReturn:
    if name in _SETTINGS:
        raise UsageError(
            f"{name} is no part of a distribution", where=where, remedy=f"hyperparameters=hyperparameters({{…}}, {name}=…)"
        )
    close = suggestion(name, known) if isinstance(name, str) else ""
    raise UsageError(f"there is no {shown(name)}{close}", where=where, remedy=f"use one of: {', '.join(known)}")


def _strategy(value: Any, place: str, keys: Sequence[str], stacklevel: int) -> Dict[str, Any]:
    """One strategy: ``enabled`` and the keys that it has."""
    if not isinstance(value, Mapping):
        remedy = '{"enabled": True}' if value is True else f'{place} = {{"enabled": …}}'
        raise UsageError(f"must be a dict, not {shown(value)}", where=place, remedy=remedy)
    for name in value:
        if name != "enabled" and name not in keys:
            if name == "processes_per_host" and place == _place(TORCH):
                raise UsageError(
                    "the SDK would drop it: torchrun starts one process for each GPU",
                    where=f'{place}["{name}"]',
                    remedy="leave it out, or say hyperparameters=hyperparameters({…}, processes_per_host=…), which hvdsm reads",
                )
            _unknown(name, place, ("enabled", *keys))
    if "enabled" not in value:
        raise UsageError("is missing, which means False to the SDK", where=f'{place}["enabled"]', remedy='add "enabled": True')
    on = value["enabled"]
    if not isinstance(on, bool) and not is_deferred(on):
        remedy = f"{str(on).strip().title()}, without quotes" if str(on).strip().lower() in ("true", "false") else "True or False"
        raise UsageError(f"must be True or False, not {shown(on)}", where=f'{place}["enabled"]', remedy=remedy)
    found: Dict[str, Any] = {"enabled": on}
    given = [name for name in keys if value.get(name) is not None and value[name] != ""]
    if on is False and given:
        raise UsageError(
            f"{', '.join(given)} would mean nothing, since it is not enabled",
            where=place,
            remedy='"enabled": True, or leave them out',
        )
    for name in keys:
        if value.get(name) is not None:
            counted = value.get("processes_per_host") is not None
            found[name] = _VALUES[name](value[name], f'{place}["{name}"]', counted, stacklevel + 1)
    return found


def _count(value: Any, where: str, _counted: bool, _stacklevel: int) -> Any:
    if is_deferred(value):
        return value
    try:
        number = None if isinstance(value, (bool, str)) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < 1:
        remedy = str(int(value)) if isinstance(value, str) and value.strip().isdecimal() else "leave it out for one on each GPU"
        raise UsageError(f"must be a whole number from 1, not {shown(value)}", where=where, remedy=remedy)
    return number


def _options(value: Any, where: str, counted: bool, stacklevel: int) -> Any:
    return value if is_deferred(value) else check_options(value, where, counted=counted, stacklevel=stacklevel + 1)


def _parameters(value: Any, where: str, _counted: bool, _stacklevel: int) -> Any:
    if not isinstance(value, (Mapping, str)) or not value:
        raise UsageError(
            f"must be a dict that is not empty, not {shown(value)}; without parameters the SDK drops modelparallel", where=where
        )
    return value


_VALUES: Mapping[str, Callable[[Any, str, bool, int], Any]] = {
    "processes_per_host": _count,
    "custom_mpi_options": _options,
    "parameters": _parameters,
}


def _smdistributed(value: Any, stacklevel: int) -> Dict[str, Any]:
    place = _place(SMD)
    if not isinstance(value, Mapping) or not value:
        raise UsageError(
            f"must be a dict, not {shown(value)}", where=place, remedy='{"smdistributed": {"dataparallel": {"enabled": True}}}'
        )
    found: Dict[str, Any] = {}
    for name, strategy in value.items():
        if name not in _SMD_KEYS:
            _unknown(name, place, tuple(_SMD_KEYS))
        found[name] = _strategy(strategy, _place(SMD, name), _SMD_KEYS[name], stacklevel + 1)
    model = found.get("modelparallel")
    if model and model["enabled"] and "parameters" not in model:
        raise UsageError(
            "without parameters the SDK drops modelparallel", where=_place(SMD, "modelparallel"), remedy='add "parameters": {…}'
        )
    return found


def _groups(value: Any, own: bool) -> List[Any]:
    place = _place(GROUPS)
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        raise UsageError(f"must be a list of instance groups, not {shown(value)}", where=place, remedy="[group], also for one")
    if not value:
        raise UsageError("names no group", where=place, remedy="leave it out, or name the groups that run ranks")
    for group in value:
        if not isinstance(group, str) and not hasattr(group, "instance_group_name"):
            raise UsageError(f"must be an InstanceGroup, not {shown(group)}", where=place)
    names = [group_name(group) for group in value]
    if len(set(names)) != len(names):
        raise UsageError(f"names a group twice: {', '.join(names)}", where=place)
    if len(names) > 1 and not own:
        raise UsageError(
            "the SDK's estimators take one group",
            where=place,
            remedy=f"name one of {', '.join(names)}, or use hvdsm.sdk.v2.Estimator",
        )
    return list(value)


def _together(config: Mapping[str, Any], own: bool) -> None:
    """What contradicts each other, or is lost beside each other."""
    on = active(config)
    with_model = f"{SMD}.modelparallel" in on
    starters = [name for name in on if name != f"{SMD}.modelparallel"]
    # smdistributed's libraries may be started by torchrun: the SDK sends both.
    if len(starters) > 1 and set(starters) != {TORCH, f"{SMD}.dataparallel"}:
        lost = "; PyTorch would send torch_distributed alone" if TORCH in starters and MPI in starters else ""
        raise UsageError(
            f"{' and '.join(starters)} are enabled together, and only one can start the ranks{lost}",
            where="distribution",
            remedy=f"leave one of them: {{{starters[0]!r}: …}}",
        )
    if with_model and not {MPI, TORCH} & set(starters):
        raise UsageError(
            "modelparallel needs mpi or torch_distributed, which start the ranks",
            where=_place(SMD, "modelparallel"),
            remedy='add "mpi": {"enabled": True, "processes_per_host": …}',
        )
    if GROUPS in config and not on:
        raise UsageError(
            "no strategy is enabled that would use the groups", where=_place(GROUPS), remedy='"mpi": {"enabled": True}'
        )
    if GROUPS in config and on == [TORCH] and not own:
        raise UsageError(
            "the SDK's PyTorch drops the groups beside torch_distributed, and all hosts would run ranks",
            where=_place(GROUPS),
            remedy="use mpi, or hvdsm.sdk.v2.Estimator",
        )
