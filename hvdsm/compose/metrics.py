"""MetricDefinitions: the values that regular expressions find in the lines of a job's output; pure.

As the service has it, a definition is searched for in every line, and what the first group of its expression captured (all that
it matched, where there is no group) is the value.  Source: the SageMaker API reference, "MetricDefinition".
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Pattern, Sequence, Tuple

from hvdsm.errors import ConfigError

# Bytes of a line that are searched: some expressions take time by the square of a line's length.
MAX_LINE = 4096
_JAVA_GROUP = re.compile(r"(?<!\\)((?:\\\\)*)\(\?<(?=[A-Za-z_])")

Summary = Dict[str, Dict[str, float]]
Search = Callable[["Pattern[str]", str], "Optional[re.Match[str]]"]


@dataclass
class Metric:
    """One definition and what was found of it: ``matches`` counts lines, ``count`` those that gave a number."""

    name: str
    text: str
    pattern: Pattern[str]
    matches: int = 0
    count: int = 0
    last: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    no_number: Optional[str] = None
    too_slow: bool = False

    def take(self, found: re.Match[str]) -> None:
        """Count a match; a value that is no finite number counts as a match alone."""
        captured = found.group(1) if self.pattern.groups else found.group(0)
        self.matches += 1
        try:
            value = float(captured)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            self.no_number = captured
            return
        self.count += 1
        self.last = value
        self.least, self.most = min(self.least, value), max(self.most, value)


def _plain_search(pattern: Pattern[str], text: str) -> Optional[re.Match[str]]:
    return pattern.search(text)


@dataclass
class Metrics:
    """The definitions of a job.

    ``search`` stands for ``pattern.search``: one that gives up raises TimeoutError, and the definition is left out from then on.
    """

    metrics: List[Metric]
    search: Search = field(default=_plain_search)

    def feed(self, line: bytes) -> None:
        """Look for values in one line of output; a very long one is looked at in its first 4,096 bytes."""
        text = line[:MAX_LINE].decode("utf-8", "replace").rstrip("\r\n")
        for metric in self.metrics:
            if metric.too_slow:
                continue
            try:
                found = self.search(metric.pattern, text)
            except (TimeoutError, RecursionError):
                metric.too_slow = True
                continue
            if found is not None:
                metric.take(found)

    def summary(self) -> Summary:
        """``{name: {"count", "last", "min", "max"}}`` of the definitions that gave numbers."""
        return {
            metric.name: {"count": metric.count, "last": metric.last, "min": metric.least, "max": metric.most}
            for metric in self.metrics
            if metric.count
        }

    def unmatched(self) -> Dict[str, str]:
        """What is to be said of each definition that never matched, once the job has completed."""
        return {
            metric.name: f"{_title(metric)} never matched a line of the output"
            for metric in self.metrics
            if not metric.matches and not metric.too_slow
        }

    def warnings(self) -> Tuple[str, ...]:
        """What is odd however the job ended: definitions that captured no number, or took too long."""
        return tuple(text for metric in self.metrics for text in _oddities(metric))


def _title(metric: Metric) -> str:
    return f"metric {metric.name}: its regular expression {metric.text}"


def _oddities(metric: Metric) -> List[str]:
    if metric.too_slow:
        return [f"{_title(metric)} took too long on a line and was not searched for from then on: make it simpler"]
    if metric.matches and not metric.count:
        return [f"{_title(metric)} matched {metric.matches} lines but captured no number, {metric.no_number!r} for one"]
    return []


def compile_metrics(definitions: Sequence[Mapping[str, Any]], search: Optional[Search] = None) -> Metrics:
    """Prepare the MetricDefinitions of a request.

    Args:
        definitions: the entries, each with ``Name`` and ``Regex``.
        search: instead of ``pattern.search``; see :class:`Metrics`.

    Raises:
        ConfigError: an entry has no name or expression, one is not valid, or a name is given twice.

    >>> metrics = compile_metrics([{"Name": "loss", "Regex": "loss=([0-9.]+)"}])
    >>> metrics.feed(b"[0,algo-1] step 1 loss=0.5")
    >>> metrics.feed(b"[0,algo-1] step 2 loss=0.25")
    >>> metrics.summary()
    {'loss': {'count': 2, 'last': 0.25, 'min': 0.25, 'max': 0.5}}
    """
    made: List[Metric] = []
    for number, definition in enumerate(definitions):
        where = f"AlgorithmSpecification.MetricDefinitions[{number}]"
        if not isinstance(definition, Mapping):
            raise ConfigError(f"must have Name and Regex, not {definition!r}", where=where)
        name, text = definition.get("Name"), definition.get("Regex")
        if not isinstance(name, str) or not name or not isinstance(text, str) or not text:
            raise ConfigError("must have a Name and a Regex, texts that are not empty", where=where)
        if any(metric.name == name for metric in made):
            raise ConfigError(f"the name {name} is given twice", where=where, remedy="give each metric a name of its own")
        made.append(Metric(name, text, _compiled(text, f"{where} ({name})")))
    return Metrics(made) if search is None else Metrics(made, search)


def _compiled(text: str, where: str) -> Pattern[str]:
    try:
        # The service's expressions write (?<name>…) what Python writes (?P<name>…).
        return re.compile(_JAVA_GROUP.sub(r"\1(?P<", text))
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(
            f"the regular expression {text} is not valid: {error}", where=where, remedy='for example "loss=([0-9.]+)"'
        ) from None


def merged(first: Mapping[str, Mapping[str, float]], then: Mapping[str, Mapping[str, float]]) -> Summary:
    """The summary of two runs of one job, the second after the first."""
    result = {name: dict(values) for name, values in first.items()}
    for name, values in then.items():
        old = result.get(name)
        if old is None:
            result[name] = dict(values)
        else:
            result[name] = {
                "count": old["count"] + values["count"],
                "last": values["last"],
                "min": min(old["min"], values["min"]),
                "max": max(old["max"], values["max"]),
            }
    return result
