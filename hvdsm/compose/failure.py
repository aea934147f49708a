"""What is said of a failed job: which failure was the cause, and its text for ``output/failure``.

SageMaker shows the first 1,024 characters of that file as FailureReason.
"""

from __future__ import annotations

import re
import signal as signals
from typing import Iterable, List, Optional

from hvdsm.model.outcome import KIND_EXCEPTION, KIND_EXIT, KIND_SIGNAL, RankFailure

REASON_LENGTH = 1024
# How long after the first report another one may turn out to be the cause, in seconds.
SETTLE = 1.0
ENDED_BY_MPIRUN = "ended by mpirun"

# A rank says one of these when another one is gone: a consequence, not a cause.
_CONSEQUENCE = re.compile(
    r"HorovodInternalError|Horovod has been shut down|Connection (?:closed|reset) by peer|Broken pipe|Connection refused"
    r"|MPI_ERR_PROC_FAILED|unhandled system error, NCCL|NCCL.*remote process exited|Socket closed|gloo::IoException",
    re.IGNORECASE,
)


def first_cause(failures: Iterable[RankFailure]) -> Optional[RankFailure]:
    """The failure that the others follow from: the earliest.

    A failure that only says that a connection broke, or a rank ended by SIGTERM, gives way to another one that was reported
    within a second of it: a killed rank cannot report itself before its peers notice.
    """
    ordered = sorted(failures, key=lambda failure: failure.time)
    if not ordered:
        return None
    window = [failure for failure in ordered if failure.time <= ordered[0].time + SETTLE]
    causes = [failure for failure in window if not is_consequence(failure)] or ordered[:1]
    if causes[0].kind == KIND_EXIT and not causes[0].reported:
        # MPI ends a rank whose peer is gone by an exit code of its own; a peer that a signal killed explains it.
        return next((failure for failure in causes if failure.kind == KIND_SIGNAL), causes[0])
    return causes[0]


def is_consequence(failure: RankFailure) -> bool:
    """Whether a failure reads like the result of another rank's end."""
    if failure.kind == KIND_SIGNAL:
        return failure.signal in (signals.SIGTERM, signals.SIGPIPE) or failure.message == ENDED_BY_MPIRUN
    if failure.kind == KIND_EXCEPTION:
        return bool(_CONSEQUENCE.search(f"{failure.exception}: {failure.message}"))
    if failure.kind == KIND_EXIT:
        return bool(_CONSEQUENCE.search(failure.output_tail))
    return False


def headline(failure: RankFailure) -> str:
    """One line: ``rank 1 (algo-2, local rank 0): ValueError: bad batch``."""
    return f"{failure.who}: {describe(failure)}"


def describe(failure: RankFailure) -> str:
    """What happened, without who: exception, exit code or signal."""
    if failure.kind == KIND_EXCEPTION:
        first = failure.message.strip().split("\n", 1)[0]
        return f"{failure.exception}: {first}" if first else str(failure.exception)
    if failure.kind == KIND_SIGNAL and failure.signal is not None:
        return f"killed by {signal_name(failure.signal)}{_hint(failure.signal)}"
    if failure.kind == KIND_EXIT:
        return f"exit code {failure.exit_code}" + (f" ({failure.message})" if failure.message else "")
    return failure.message


def signal_name(number: int) -> str:
    """``SIGKILL`` for 9; ``signal 99`` where the platform has no name."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _hint(number: int) -> str:
    if number == signals.SIGKILL:
        return " (often the kernel's out-of-memory killer: use less memory a rank, fewer processes per host or a larger instance)"
    if number in (signals.SIGSEGV, signals.SIGBUS, signals.SIGABRT, signals.SIGILL):
        return " (a crash in native code)"
    return ""


def failure_text(failure: RankFailure) -> str:
    """The text of ``output/failure``.

    It begins with who and what; the end of the traceback (or of the rank's output) follows within the first 1,024
    characters; the whole text comes after them when it is longer.
    """
    head = headline(failure)
    detail = (failure.traceback or failure.output_tail).rstrip("\n")
    if not detail:
        return head + "\n"
    whole = f"{head}\n{detail}\n"
    if len(whole) <= REASON_LENGTH:
        return whole
    head = head if len(head) <= 400 else head[:397] + "..."
    room = REASON_LENGTH - len(head) - 2
    reason = f"{head}\n{tail(detail, room)}\n"
    parts: List[str] = [reason, "", "whole report:", headline(failure), detail]
    if failure.traceback and failure.output_tail:
        parts += ["", "last output of the rank:", failure.output_tail.rstrip("\n")]
    return "\n".join(parts) + "\n"


def tail(text: str, length: int) -> str:
    """The last whole lines of a text that fit in ``length`` characters, after ``...``; the end of the last line at least."""
    if len(text) <= length:
        return text
    kept: List[str] = []
    size = 4
    for line in reversed(text.split("\n")):
        if size + len(line) + 1 > length:
            break
        kept.append(line)
        size += len(line) + 1
    if not kept:
        return "..." + text[len(text) - length + 3 :]
    return "\n".join(["...", *reversed(kept)])
