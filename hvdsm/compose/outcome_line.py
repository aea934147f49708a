"""The outcome of a job as the last line of its launcher's log, from which a client far away takes it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Callable, Optional, Tuple

from hvdsm.model import JobOutcome, RankFailure

PREFIX = b"hvdsm: outcome "
# Bytes; CloudWatch Logs cuts an event at 256 KiB.
LONGEST = 200_000
# What becomes of a text that is shortened, step by step, in characters.
_STEPS = (32768, 8192, 2048, 512)


def encode_outcome(outcome: JobOutcome) -> str:
    """One line of ASCII, at most ``LONGEST`` bytes.

    Where that is too little for the whole record, texts are shortened: first the traceback, then the rank's output, evidence,
    warnings and message; numbers stay, unless even that is not enough.
    """
    line = _line(outcome)
    shortened: Tuple[Callable[[JobOutcome, int], JobOutcome], ...] = (_traceback, _output, _evidence, _warnings, _message)
    for shorten in shortened:
        for room in _STEPS:
            if len(line) <= LONGEST:
                return line
            outcome = shorten(outcome, room)
            line = _line(outcome)
    if len(line) <= LONGEST:
        return line
    return _line(replace(outcome, metrics={}, ranks_per_host={}, phases={}, warnings=()))


def decode_outcome(line: bytes) -> Optional[JobOutcome]:
    """The outcome that a line tells; None for any other line."""
    if not line.startswith(PREFIX):
        return None
    try:
        return JobOutcome.from_dict(json.loads(line[len(PREFIX) :]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _line(outcome: JobOutcome) -> str:
    return PREFIX.decode() + json.dumps(asdict(outcome), sort_keys=True, separators=(",", ":"))


def _failure(outcome: JobOutcome, change: Callable[[RankFailure], RankFailure]) -> JobOutcome:
    return outcome if outcome.failure is None else replace(outcome, failure=change(outcome.failure))


def _end(text: str, room: int) -> str:
    return text if len(text) <= room else "..." + text[len(text) - room + 3 :]


def _begin(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 3] + "..."


def _traceback(outcome: JobOutcome, room: int) -> JobOutcome:
    """The end of a traceback says what was raised."""
    return _failure(outcome, lambda failure: replace(failure, traceback=_end(failure.traceback, room)))


def _output(outcome: JobOutcome, room: int) -> JobOutcome:
    return _failure(outcome, lambda failure: replace(failure, output_tail=_end(failure.output_tail, room)))


def _evidence(outcome: JobOutcome, room: int) -> JobOutcome:
    return _failure(outcome, lambda failure: replace(failure, evidence=_begin(failure.evidence, room)))


def _warnings(outcome: JobOutcome, room: int) -> JobOutcome:
    return replace(outcome, warnings=tuple(_begin(text, room) for text in outcome.warnings[: room // 32]))


def _message(outcome: JobOutcome, room: int) -> JobOutcome:
    return _failure(outcome, lambda failure: replace(failure, message=_begin(failure.message, room)))
