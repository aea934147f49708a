"""What CreateTrainingJob demands of fields together, as far as a rehearsal needs it: it could not do what such a request says.

"API" is the SageMaker API reference, "guide" its developer guide, "service" an answer of the service that users published.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable, Iterator, List, Mapping, Sequence, Set, Tuple

from hvdsm.compose.problems import MISSING, Problem, shown

MAX_RUNTIME = 28 * 24 * 3600
# The service's default when a request gives no limit: one day (API, StoppingCondition).
DEFAULT_RUNTIME = 24 * 3600

Rule = Callable[[Mapping[str, Any]], Iterator[Problem]]


def broken(request: Mapping[str, Any], rules: Sequence[Rule]) -> List[Problem]:
    """What a request whose fields all have their types breaks of some rules."""
    return [problem for rule in rules for problem in rule(request)]


def repeated(entries: Sequence[Any], field: str) -> List[Tuple[int, str]]:
    """Index and value of each entry whose ``field`` an earlier one has already."""
    seen: Set[str] = set()
    again = []
    for index, entry in enumerate(entries):
        value = entry.get(field)
        if value in seen:
            again.append((index, value))
        elif value is not None:
            seen.add(value)
    return again


def _channels(request: Mapping[str, Any]) -> Iterator[Problem]:
    channels = request.get("InputDataConfig") or ()
    # A channel is a directory of its own below /opt/ml/input/data (guide, "How SageMaker provides training information").
    names = Counter(channel.get("ChannelName") for channel in channels)
    for index, name in repeated(channels, "ChannelName"):
        text = f"each name once, not {names[name]} times: {shown(name)}"
        yield Problem(f"InputDataConfig[{index}].ChannelName", text)


def _groups(request: Mapping[str, Any]) -> Iterator[Problem]:
    resources = request.get("ResourceConfig") or {}
    groups = resources.get("InstanceGroups") or ()
    if not groups:
        return
    # Service: "InstanceType or InstanceCount cannot be specified with InstanceGroups".
    for field in ("InstanceType", "InstanceCount"):
        if resources.get(field):
            told = shown(resources[field])
            yield Problem(f"ResourceConfig.{field}", f"must be left out beside InstanceGroups, which stand instead, not {told}")
    # Channels and hvdsm's own hyperparameter refer to a group by its name (API, S3DataSource.InstanceGroupNames).
    for index, name in repeated(groups, "InstanceGroupName"):
        yield Problem(f"ResourceConfig.InstanceGroups[{index}].InstanceGroupName", f"each name once, not again {shown(name)}")


def _group_names(request: Mapping[str, Any]) -> Iterator[Problem]:
    """API, S3DataSource.InstanceGroupNames: names of instance groups.

    Service: "Some channels have assigned instance groups: […] while others not: […]".
    """
    groups = (request.get("ResourceConfig") or {}).get("InstanceGroups") or ()
    known = [group.get("InstanceGroupName") for group in groups]
    without, assigned = [], 0
    for index, channel in enumerate(request.get("InputDataConfig") or ()):
        source = (channel.get("DataSource") or {}).get("S3DataSource")
        if source is None:
            continue
        path = f"InputDataConfig[{index}].DataSource.S3DataSource.InstanceGroupNames"
        names = source.get("InstanceGroupNames") or ()
        if names:
            assigned += 1
        else:
            without.append((path, channel.get("ChannelName")))
        for place, name in enumerate(names):
            if name not in known:
                there = ", ".join(shown(group) for group in known) or "none"
                yield Problem(f"{path}[{place}]", f"must be a name of ResourceConfig.InstanceGroups ({there}), not {shown(name)}")
    if assigned:
        for path, name in without:
            yield Problem(path, f"{MISSING} for channel {shown(name)} too, since other channels name their instance groups")


def _runtime(request: Mapping[str, Any]) -> Iterator[Problem]:
    stopping = request.get("StoppingCondition") or {}
    seconds, wait = stopping.get("MaxRuntimeInSeconds"), stopping.get("MaxWaitTimeInSeconds")
    # API, MaxRuntimeInSeconds: "The maximum value is 28 days."
    if seconds is not None and seconds > MAX_RUNTIME:
        yield Problem("StoppingCondition.MaxRuntimeInSeconds", f"at most {MAX_RUNTIME:,} (28 days), not {seconds:,}")
    # API, MaxWaitTimeInSeconds: equal to or greater than MaxRuntimeInSeconds.
    least = DEFAULT_RUNTIME if seconds is None else seconds
    if wait is not None and wait < least:
        default = ", its default" if seconds is None else ""
        text = f"at least MaxRuntimeInSeconds ({least:,}{default}), not {wait:,}"
        yield Problem("StoppingCondition.MaxWaitTimeInSeconds", text)


RUN_RULES: Sequence[Rule] = (_channels, _groups, _group_names, _runtime)
