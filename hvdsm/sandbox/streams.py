"""What of the hosts' logs becomes log streams of a job that a SageMaker SDK has made."""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Callable, List

# User-Agent of the request that is being carried out.
CLIENT: ContextVar[str] = ContextVar("hvdsm-sandbox-client", default="")
# A line of a rank, as hvdsm's program tags it.
_TAGGED = re.compile(r"\[\d+,([^\],\s]+)\]~? ")

# The second is what the resource classes of the SDK 3 call themselves.
_SDKS = ("sagemaker-python-sdk", "sagemakercore")

Emit = Callable[[str, List[str]], None]


def is_sdk(client: str) -> bool:
    """Whether the SageMaker SDK, 2 or 3, has sent a request with such a User-Agent."""
    return any(name in client.lower() for name in _SDKS)


def each_once(emit: Emit, launcher: str, alone: bool) -> Emit:
    """Have each line of a rank in one stream only.

    hvdsm's program writes it into the launcher's log and into its own host's.  An SDK shows all streams, and the images whose
    estimators it knows write it once: mpirun's host has all lines, and hosts without a distribution have their own.

    Args:
        emit: gets a host's name and its new lines.
        launcher: the host whose log has the lines of all ranks.
        alone: whether the job has no distribution.
    """

    def kept(host: str, line: str) -> bool:
        found = _TAGGED.match(line)
        if found is None:
            return True
        return host == (found[1] if alone else launcher)

    def once(host: str, lines: List[str]) -> None:
        left = [line for line in lines if kept(host, line)]
        if left:
            emit(host, left)

    return once
