"""Recognises failures that people really meet, by the words that they leave, and says cause and remedy.

The entries are in order of priority: what names a cause stands before what only says that something broke.  Sources: issue
trackers of Open MPI, Horovod, NCCL, PyTorch and the SageMaker packages, and the failures of hvdsm's own tests.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Optional, Pattern, Tuple

# What is looked at: the end of a text, where a program says why it ended; in characters.
LOOKED_AT = 64 << 10


@dataclass(frozen=True)
class Finding:
    """A failure that is known.

    Attributes:
        id: its name.
        title: the words by which people search for it; ``…`` stands for what differs.
        pattern: a regular expression that finds it in a message, traceback or output.  Every repetition in it has an upper
            bound, so that looking for it takes time linear in the text's length.
        cause: what is wrong, one sentence.
        remedy: what to do, one sentence.
    """

    id: str
    title: str
    pattern: str
    cause: str
    remedy: str


@functools.lru_cache(maxsize=None)
def _compiled(pattern: str) -> Pattern[str]:
    return re.compile(pattern, re.MULTILINE)


@functools.lru_cache(maxsize=1)
def catalogue() -> Tuple[Finding, ...]:
    """All entries by priority; the data is imported when a failure is looked up for the first time."""
    from hvdsm.compose.known_runtime import RUNTIME
    from hvdsm.compose.known_start import OWN, START

    return (*(Finding(*entry) for entry in (*OWN, *START, *RUNTIME)), *_general())


@functools.lru_cache(maxsize=1)
def _general() -> Tuple[Finding, ...]:
    from hvdsm.compose.known_general import GENERAL

    return tuple(Finding(*entry) for entry in GENERAL)


def is_general(finding: Finding) -> bool:
    """Whether it only says that something broke: another text of the same failure may say why."""
    return finding in _general()


def recognise(*texts: str) -> Optional[Finding]:
    """The entry of the highest priority that one of the texts matches; None when nothing is known of them.

    Args:
        texts: message, traceback, output; of each the last 64 Ki characters are looked at.
    """
    ends = [text[-LOOKED_AT:] for text in texts if text]
    for finding in catalogue():
        pattern = _compiled(finding.pattern)
        if any(pattern.search(text) for text in ends):
            return finding
    return None


def nccl_warning(text: str) -> str:
    """The first ``NCCL WARN`` line of a text, which says more than the error's code; empty when there is none."""
    match = _compiled(r"NCCL WARN[^\n]{1,300}").search(text[-LOOKED_AT:])
    return match.group().strip() if match else ""
