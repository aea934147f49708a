"""Hosts of an emulated cluster whose link is slowed on purpose."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Dict, Iterable, Sequence, Tuple, Union

from hvdsm.errors import UsageError

OPTION = "--slow-host"
_EXAMPLE = "HOST:delay-ms=20,mbit=100, with one of the two at least"
_KEYS = {"delay-ms": "delay_ms", "delay_ms": "delay_ms", "mbit": "mbit"}


@dataclass(frozen=True)
class SlowHost:
    """A host that is slower than the others.

    Attributes:
        name: of the host.
        delay_ms: milliseconds more for each frame that the host sends and for each that it receives, so that a round trip to it
            takes twice as much longer, and one between two slow hosts is slowed by both.
        mbit: rate of the host's link in 10^6 bits a second, in each direction; 0 for no limit of its own.
    """

    name: str
    delay_ms: float = 0.0
    mbit: float = 0.0

    def __str__(self) -> str:
        """As the option has it."""
        parts = [f"delay-ms={self.delay_ms:g}"] * bool(self.delay_ms) + [f"mbit={self.mbit:g}"] * bool(self.mbit)
        return f"{self.name}:{','.join(parts)}"

    @property
    def words(self) -> str:
        """What is done to it, for people."""
        parts = [f"{self.delay_ms:g} ms more in each direction"] * bool(self.delay_ms)
        parts += [f"{self.mbit:g} Mbit/s at most"] * bool(self.mbit)
        return " and ".join(parts)


def parse_slow_host(text: str) -> SlowHost:
    """``HOST:delay-ms=20,mbit=100``; HOST is a name, or its number: 3 is algo-3.

    Raises:
        UsageError: it is written otherwise, or slows nothing.
    """
    name, colon, rest = text.partition(":")
    name = f"algo-{name}" if re.fullmatch(r"[0-9]+", name) else name
    if not name or not colon:
        raise UsageError(f"{text!r} does not say how slow", where=OPTION, remedy=_EXAMPLE)
    found: Dict[str, float] = {}
    for word in rest.split(","):
        key, _, value = word.strip().partition("=")
        if key not in _KEYS:
            raise UsageError(f"{word!r} is neither delay-ms=… nor mbit=…", where=f"{OPTION} {text}", remedy=_EXAMPLE)
        if _KEYS[key] in found:
            raise UsageError(f"{key} is given twice", where=f"{OPTION} {text}")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            raise UsageError(f"{key} must be a number above 0, not {value!r}", where=f"{OPTION} {text}", remedy=_EXAMPLE)
        found[_KEYS[key]] = number
    return SlowHost(name, **found)


def slow_hosts(given: Iterable[Union[str, SlowHost]]) -> Tuple[SlowHost, ...]:
    """Slow hosts from what a user gives: texts as for the option, or records.

    Raises:
        UsageError: a text is written wrongly.
    """
    return tuple(parse_slow_host(one) if isinstance(one, str) else one for one in given)


def check_slow_hosts(slow: Sequence[SlowHost], names: Sequence[str]) -> None:
    """Refuse what cannot be meant.

    Args:
        slow: the slow hosts.
        names: names of all hosts.

    Raises:
        UsageError: there is no host of the name, it is named twice, or a number is out of range.
    """
    for number, host in enumerate(slow):
        if host.name not in names:
            known = ", ".join(names) if len(names) <= 8 else f"{names[0]} to {names[-1]}"
            raise UsageError("no such host", where=f"{OPTION} {host}", remedy=f"one of {known}")
        if host.name in [other.name for other in slow[:number]]:
            raise UsageError(f"{host.name} is named twice", where=OPTION, remedy="give its delay and its rate together")
        if not (0 <= host.delay_ms < math.inf and 0 <= host.mbit < math.inf):
            raise UsageError("delay and rate must be numbers from 0", where=f"{OPTION} {host}")
        if not host.delay_ms and not host.mbit:
            raise UsageError(f"{host.name} is not slowed by anything", where=OPTION, remedy=_EXAMPLE)
