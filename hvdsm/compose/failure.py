"""What is said of a failed job: which failure was the cause, and its text for ``output/failure``.

SageMaker shows the first 1,024 characters of that file as FailureReason.
"""

from __future__ import annotations

import re
import signal as signals
from typing import Iterable, List, Optional

from hvdsm.compose.catalogue import nccl_warning, recognise
from hvdsm.errors import EXIT_CONFIG
from hvdsm.model.outcome import KIND_EXCEPTION, KIND_EXIT, KIND_HANG, KIND_LAUNCH, KIND_ROLE, KIND_SIGNAL, RankFailure

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
        return f"killed by {signal_name(failure.signal)}{_hint(failure)}"
    if failure.kind == KIND_EXIT:
        return f"exit code {failure.exit_code}" + (f" ({failure.message})" if failure.message else "")
    return failure.message


def signal_name(number: int) -> str:
    """``SIGKILL`` for 9; ``signal 99`` where the platform has no name."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _hint(failure: RankFailure) -> str:
    number = failure.signal
    if number == signals.SIGKILL and not failure.evidence and failure.message != ENDED_BY_MPIRUN:
        return " (often the kernel's out-of-memory killer: use less memory a rank, fewer processes per host or a larger instance)"
    if number in (signals.SIGSEGV, signals.SIGBUS, signals.SIGABRT, signals.SIGILL):
        return " (a crash in native code)"
    return ""


def toolkit_class(failure: RankFailure) -> str:
    """The name that the SageMaker Training Toolkit gives such a failure, for those who match on it; empty where it has none.

    A rank's failure, and a hang, is ``ExecuteUserScriptError``; what is wrong with packages ``InstallRequirementsError`` or
    ``InstallModuleError``; what is wrong with configuration or source ``ClientError``.
    """
    if failure.kind in (KIND_EXCEPTION, KIND_EXIT, KIND_SIGNAL, KIND_HANG, KIND_ROLE):
        return "ExecuteUserScriptError"
    if failure.kind != KIND_LAUNCH or failure.exit_code != EXIT_CONFIG:
        return ""
    text = failure.message
    if "requirements.txt" in text and "pip" in text:
        return "InstallRequirementsError"
    if "pip" in text and ("setup.py" in text or "pyproject.toml" in text):
        return "InstallModuleError"
    if "mpirun" in text:
        return "ExecuteUserScriptError"
    return "ClientError"


def explanation(failure: RankFailure) -> List[str]:
    """What is known of such a failure: NCCL's own warning, the measured evidence, cause and remedy; one line each."""
    lines = [failure.evidence] if failure.evidence else []
    said = f"{failure.exception}: {failure.message}" if failure.exception else failure.message
    warning = nccl_warning(failure.output_tail)
    if warning and "nccl" in f"{said}{failure.traceback}".lower():
        lines.append(warning)
    # What the failure itself says goes before what was printed earlier; a remedy of its own needs no other.
    finding = recognise(said, failure.traceback) or recognise(failure.output_tail)
    if finding is not None and "\n  try: " not in failure.message:
        lines += [f"cause: {finding.cause}", f"try: {finding.remedy}"]
    return lines


def failure_text(failure: RankFailure) -> str:
    """The text of ``output/failure``.

    It begins with who and what; then evidence, cause and remedy where they are known, the end of the traceback (or of the
    rank's output), and the toolkit's name for it, all within the first 1,024 characters; the whole text comes after them when
    it is longer.
    """
    head, name = _printable(headline(failure)), toolkit_class(failure)
    detail = _printable((failure.traceback or failure.output_tail).rstrip("\n"))
    known = [_shortened(_printable(line), 240) for line in explanation(failure)]
    last = [f"{name}: ExitCode {failure.exit_code}"] if name else []
    whole = "\n".join([head, *known, *([detail] if detail else []), *last]) + "\n"
    if len(whole) <= REASON_LENGTH:
        return whole
    first = [_shortened(head, 400), *known]
    room = REASON_LENGTH - sum(len(line) + 1 for line in (*first, *last)) - 1
    end = [tail(detail, room)] if detail and room > 20 else []
    parts: List[str] = ["\n".join([*first, *end, *last]), "", "whole report:", head, detail]
    if failure.traceback and failure.output_tail:
        parts += ["", "last output of the rank:", _printable(failure.output_tail.rstrip("\n"))]
    return "\n".join(parts) + "\n"


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _printable(text: str) -> str:
    """Text that can be written as UTF-8; escapes count as the characters that they become."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


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
