"""Whether a replay ended as the job of the cloud did; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Optional, Tuple

from hvdsm.model import JobOutcome, RankFailure
from hvdsm.model.outcome import COMPLETED, KIND_LAUNCH

SAME, DIFFERENT, UNKNOWN = "same", "different", "unknown"


@dataclass(frozen=True)
class Comparison:
    """The verdict, ``same``, ``different`` or ``unknown``, and its reasons."""

    verdict: str
    lines: Tuple[str, ...]


def compare(cloud: Optional[JobOutcome], local: JobOutcome) -> Comparison:
    """Compare how a job ended in the cloud and here.

    Same is: the same status, and of a failed job the same exit code and the same exception.  Texts and ranks may differ.

    Args:
        cloud: the cloud's; None when the job has not ended there.
        local: the replay's.
    """
    if cloud is None:
        return Comparison(UNKNOWN, (f"here: {_ending(local)}", "in the cloud the job has not ended"))
    lines = [f"in the cloud: {_ending(cloud)}", f"here: {_ending(local)}"]
    if cloud.status != local.status:
        return Comparison(DIFFERENT, tuple(lines))
    if cloud.status == COMPLETED:
        return Comparison(SAME, tuple(lines))
    there, here = cloud.failure, local.failure
    if there is not None and there.kind == KIND_LAUNCH and there.rank is None and not _exception_in(there):
        lines.append("the cloud's failure is the service's own, which cannot happen here")
        return Comparison(DIFFERENT, tuple(lines))
    same = cloud.exit_code == local.exit_code
    if not same:
        lines.append(f"the exit codes differ: {cloud.exit_code} in the cloud, {local.exit_code} here")
    told = _exceptions(there, here)
    if told is not None:
        lines.append(told[1])
        same = same and told[0]
    if there is not None and here is not None and there.rank is not None and here.rank is not None and there.rank != here.rank:
        lines.append(f"rank {there.rank} was the first to fail in the cloud, rank {here.rank} here")
    return Comparison(SAME if same else DIFFERENT, tuple(lines))


def _exceptions(there: Optional[RankFailure], here: Optional[RankFailure]) -> Optional[Tuple[bool, str]]:
    """Whether the exceptions are the same, in words; None where there is none on either side."""
    ours = here.exception if here is not None else None
    if there is None:
        return None
    theirs = there.exception
    if theirs is None and ours is not None and re.search(rf"\b{re.escape(_last(ours))}\b", _text(there)):
        theirs = ours
    theirs = theirs or _exception_in(there)
    if theirs is None and ours is None:
        return None
    if theirs is not None and ours is not None and _last(theirs) == _last(ours):
        return True, f"the same exception: {_last(ours)}"
    return False, f"the exceptions differ: {theirs or 'none is known'} in the cloud, {ours or 'none'} here"


def _exception_in(failure: RankFailure) -> Optional[str]:
    """The exception that a FailureReason names after the service's own word for it."""
    # The service's and the toolkit's own words for whose failure it is.
    text = re.sub(r"^(?:Algorithm|Client|Capacity|InternalServer)Error:|\bExecuteUserScriptError\b", "", _text(failure))
    found = re.findall(r"\b((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit))\b(?=[:(\"\s]|$)", text)
    return str(found[-1]) if found else failure.exception


def _text(failure: RankFailure) -> str:
    return "\n".join((failure.message, failure.traceback))


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _ending(outcome: JobOutcome) -> str:
    text = f"{outcome.status}, exit code {outcome.exit_code}"
    failure = outcome.failure
    if failure is None:
        return text
    said: List[str] = [failure.who] if failure.rank is not None else []
    first = failure.message.strip().split("\n")[0]
    named = failure.exception or ""
    said.append(first if named and first.startswith(_last(named)) else ": ".join(filter(None, (named, first))))
    return f"{text} ({', '.join(part[:300] for part in said if part)})"
