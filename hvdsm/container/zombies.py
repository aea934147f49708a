"""Collects what others left behind, for a container program that runs as PID 1."""

from __future__ import annotations

import os
import subprocess
from typing import Mapping


def reap_orphans(owned: Mapping[int, subprocess.Popen[bytes]]) -> int:
    """Collect every ended child; one that is ours is polled by its owner's record, so that its exit code is kept.

    Args:
        owned: the children that this program started itself, by process id.

    Returns:
        How many were not ours.
    """
    count = 0
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return count
        if found is None:
            return count
        if found.si_pid in owned:
            owned[found.si_pid].poll()
            continue
        try:
            os.waitpid(found.si_pid, os.WNOHANG)
        except ChildProcessError:
            return count
        count += 1
