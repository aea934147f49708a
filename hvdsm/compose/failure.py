"""What is said of a failed job: which failure was the cause, and its text for ``output/failure``.

SageMaker shows the first 1,024 characters of that file as FailureReason.
"""

from __future__ import annotations

import re
import signal as signals
from dataclasses import fields, replace
from typing import Any, Dict, Iterable, List, Optional

from hvdsm.compose.catalogue import Finding, is_general, nccl_warning, recognise
from hvdsm.errors import EXIT_CONFIG
from hvdsm.model.outcome import KIND_EXCEPTION, KIND_EXIT, KIND_HANG, KIND_LAUNCH, KIND_ROLE, KIND_SIGNAL, RankFailure

REASON_LENGTH = 1024
# Of these characters, what a line of evidence may take at most, and what the end of a traceback gets at least.
EVIDENCE_LENGTH = 240
DETAIL_LENGTH = 160
# How long after the first report another one may turn out to be the cause, in seconds.
SETTLE = 1.0
ENDED_BY_MPIRUN = "ended by mpirun"

# A rank says one of these when another one is gone: a consequence, not a cause.
_CONSEQUENCE = re.compile(
    r"HorovodInternalError|Horovod has been shut down|Connection (?:closed|reset) by peer|Broken pipe|Connection refused"
    r"|MPI_ERR_PROC_FAILED|unhandled system error, NCCL|NCCL.{0,300}remote process exited|Socket closed|gloo::IoException",
    re.IGNORECASE,
)

# Before the remedy that a message of hvdsm's brings itself (HvdsmError.__str__).
_REMEDY = "\n  try: "
# What is said of packages begins with the files that ask for them.
_PACKAGES = re.compile(r"(setup\.py|pyproject\.toml|requirements\.txt)(?: and requirements\.txt)?: ")
# Exceptions that only say that another program failed.
_OPAQUE = re.compile(r"CalledProcessError|SystemExit|ChildFailedError")


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
    killed = [failure for failure in causes if failure.kind == KIND_ROLE and failure.signal not in (None, signals.SIGTERM)]
    if killed and causes[0].kind in (KIND_EXCEPTION, KIND_EXIT):
        # A rank may tell that it misses the process beside it before that one's own host tells of its end.
        return killed[0]
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

    A rank's failure, a hang, the end of a process beside the ranks, and what mpirun or torchrun ended with are
    ``ExecuteUserScriptError``; what is wrong with packages ``InstallRequirementsError``, or ``InstallModuleError`` where the
    source is a package itself, with requirements or without; a framework's module that cannot be had ``ImportModuleError``;
    what else is wrong with configuration or source (exit code 78) ``ClientError``.  A lost host, a deadline before ranks ran, a
    stop and a defect of hvdsm have no such name.  Source: ``errors.py`` and ``modules.py`` of sagemaker-training 5.1.
    """
    if failure.kind in (KIND_EXCEPTION, KIND_EXIT, KIND_SIGNAL, KIND_HANG, KIND_ROLE):
        return "ExecuteUserScriptError"
    if failure.kind != KIND_LAUNCH:
        return ""
    text = failure.message
    if re.search(r"\b(?:mpirun|torchrun)\b|no rank ran on ", text):
        return "ExecuteUserScriptError"
    if failure.exit_code != EXIT_CONFIG:
        return ""
    if re.search(r"SAGEMAKER_TRAINING_MODULE=.{0,300}: the module ", text):
        return "ImportModuleError"
    packages = _PACKAGES.match(text)
    if packages:
        return "InstallRequirementsError" if packages[1] == "requirements.txt" else "InstallModuleError"
    return "ClientError"


def explanation(failure: RankFailure) -> List[str]:
    """What is known of such a failure: the measured evidence, NCCL's own warning, cause and remedy; each is one line.

    Evidence is verbatim.  A message that brings a remedy of its own gets no other.
    """
    lines = [failure.evidence] if failure.evidence else []
    said = f"{failure.exception}: {failure.message}" if failure.exception else f"{describe(failure)}\n{failure.message}"
    warning = nccl_warning(failure.output_tail) if "nccl" in f"{said}{failure.traceback}".lower() else ""
    if warning:
        lines.append(warning)
    finding = None if _REMEDY in failure.message else _finding(failure, said)
    if finding is not None:
        lines += [f"cause: {finding.cause}", f"try: {finding.remedy}"]
    return lines


def _finding(failure: RankFailure, said: str) -> Optional[Finding]:
    """What the failure itself says goes before what was printed earlier, unless it only says that something broke."""
    found = recognise(said, failure.traceback, failure.evidence)
    if found is None and failure.kind == KIND_EXCEPTION and not _OPAQUE.search(failure.exception or ""):
        # An exception of the script's own speaks for itself; a line before it may be a warning that did no harm.
        return None
    if found is not None and not is_general(found):
        return found
    before = recognise(failure.output_tail)
    return before if before is not None and not (found is not None and is_general(before)) else found


def failure_text(failure: RankFailure) -> str:
    """The text of ``output/failure``.

    It begins with who and what; then evidence, cause and remedy where they are known (or the remedy that the message brings),
    the end of the traceback (or of the rank's output), and the toolkit's name for it, all within the first 1,024 characters;
    the whole text comes after them when it is longer.
    """
    failure = _writable(failure)
    head, name, known = headline(failure), toolkit_class(failure), explanation(failure)
    detail = (failure.traceback or failure.output_tail).rstrip("\n")
    last = [f"{name}: ExitCode {failure.exit_code}"] if name else []
    whole = "\n".join([head, *known, *([detail] if detail else []), *last]) + "\n"
    if len(whole) <= REASON_LENGTH:
        return whole
    what, mark, remedy = head.rpartition(_REMEDY)
    shown = [_shortened(line, EVIDENCE_LENGTH) for line in (*known, *([mark.strip("\n") + remedy] if mark else []))]
    room = REASON_LENGTH - sum(len(line) + 1 for line in (*shown, *last)) - 1
    start = _shortened(what if mark else head, min(400, room - DETAIL_LENGTH) if detail else room)
    end = [tail(detail, room - len(start) - 1)] if detail else []
    parts: List[str] = ["\n".join([start, *shown, *end, *last]), "", "whole report:", head]
    parts += [line for line in known if line not in shown]
    parts += [detail] if detail else []
    if failure.traceback and failure.output_tail:
        parts += ["", "last output of the rank:", failure.output_tail.rstrip("\n")]
    return "\n".join(parts) + "\n"


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _writable(failure: RankFailure) -> RankFailure:
    """Texts that can be written as UTF-8; escapes count as the characters that they become."""
    texts = {field.name: getattr(failure, field.name) for field in fields(failure)}
    escaped: Dict[str, Any] = {
        name: text.encode("utf-8", "backslashreplace").decode("utf-8") for name, text in texts.items() if isinstance(text, str)
    }
    return replace(failure, **escaped)


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
