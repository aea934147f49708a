"""Times and sizes as users write them; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Optional, Sequence

from hvdsm.errors import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_AGE = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?B|B)", re.IGNORECASE)
_POWERS = {"B": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_since(text: str, now: float, where: str = "--since") -> float:
    """Seconds since the epoch of ``10m`` (ago), ``1h30m``, ``2026-11-21`` or ``2026-11-21T10:00:00Z``.

    A date without a zone is meant in the time zone of this machine.

    Raises:
        UsageError: it is written otherwise.
    """
    word = text.strip()
    if _AGE.fullmatch(word):
        return now - sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)([smhdw])", word))
    try:
        if not re.match(r"\d{4}-\d\d-\d\d", word):
            raise ValueError
        return datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", word)).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is neither an age nor a time", where=where, remedy=f"{where} 10m, {where} 2h, or {where} 2026-01-31T12:00"
        ) from None


@dataclass(frozen=True)
class Sample:
    """How much of a channel is taken: at most so many objects, and bytes; None is no limit."""

    objects: Optional[int] = None
    size: Optional[int] = None


def parse_sample(words: Sequence[str]) -> Sample:
    """A sample from ``1000`` (objects), ``200MB`` (bytes), or both, or ``all``.

    Raises:
        UsageError: it is written otherwise, or is nothing.
    """
    objects: Optional[int] = None
    size: Optional[int] = None
    for word in words:
        found = _SIZE.fullmatch(word.strip())
        if word.strip() == "all":
            continue
        if found:
            base = 1024 if "i" in found[2].lower() else 1000
            size = int(float(found[1]) * base ** _POWERS[found[2][0].upper()])
        elif word.strip().isdecimal():
            objects = int(word)
        if (not found and not word.strip().isdecimal()) or objects == 0 or size == 0:
            raise UsageError(
                f"{word!r} is neither a number of objects nor a size",
                where="--sample",
                remedy="--sample 1000, --sample 200MB, both, or --sample all",
            )
    return Sample(objects, size)


def shown_size(size: float) -> str:
    """Bytes for people.

    >>> [shown_size(size) for size in (12, 1500, 2_000_000)]
    ['12 bytes', '1.5 kB', '2.0 MB']
    """
    if size < 1000:
        return f"{size:.0f} byte{'' if size == 1 else 's'}"
    power = next((n for n in (1, 2, 3) if size < 1000 ** (n + 1)), 4)
    return f"{size / 1000**power:.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def shown_seconds(seconds: float) -> str:
    """A duration for people.

    >>> [shown_seconds(seconds) for seconds in (3.21, 75, 7322, 200000)]
    ['3.2 s', '1 min 15 s', '2 h 2 min', '2 d 7 h']
    """
    if seconds < 60:
        return f"{max(0.0, seconds):.1f} s"
    whole = int(seconds)
    for upper, lower, name, part in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= upper:
            return f"{whole // upper} {name} {whole % upper // lower} {part}"
    raise AssertionError("unreachable")


def shown_time(seconds: Optional[float]) -> str:
    """A time in this machine's zone; ``-`` for none."""
    return "-" if seconds is None else datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
