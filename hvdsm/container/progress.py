"""A rank's last step: 16 bytes that the rank maps into its memory and the container program reads, without a system call."""

from __future__ import annotations

import os
import struct
from typing import Iterable, Optional, Tuple

RECORD = struct.Struct("<qd")


def progress_path(session: str, rank: int) -> str:
    """The file of one rank."""
    return os.path.join(session, f"progress-{rank}")


def read_progress(session: str, rank: int) -> Optional[Tuple[int, float]]:
    """Step and monotonic time (seconds) of a rank's last ``hvdsm.progress``; None when it has not told any."""
    try:
        with open(progress_path(session, rank), "rb") as file:
            data = file.read(RECORD.size)
    except OSError:
        return None
    if len(data) < RECORD.size:
        return None
    step, told = RECORD.unpack(data)
    return (step, told) if told else None


def forget_progress(session: str, ranks: Iterable[int]) -> None:
    """Remove the records of ranks that are over."""
    for rank in ranks:
        try:
            os.unlink(progress_path(session, rank))
        except FileNotFoundError:
            continue
