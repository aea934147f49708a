"""Dividing the machine's GPUs among the hosts."""

from __future__ import annotations

import os
import re
from typing import Mapping, Sequence, Tuple


def divide_gpus(indices: Sequence[str], hosts: int) -> Tuple[Tuple[str, ...], ...]:
    """The GPUs of each host: equal consecutive shares, as the hosts of a training job are equal.

    What does not divide evenly stays unused; with fewer GPUs than hosts no host has one.

    Args:
        indices: GPU indices or UUIDs, as in CUDA_VISIBLE_DEVICES.
        hosts: number of hosts, at least 1.
    """
    share = len(indices) // hosts
    return tuple(tuple(indices[host * share : (host + 1) * share]) for host in range(hosts))


def usable_gpus(devices: Sequence[str], environ: Mapping[str, str]) -> Tuple[str, ...]:
    """The GPUs that a process with this environment would use.

    Args:
        devices: names in ``/dev``; ``nvidia0``, ``nvidia1``… are GPUs.
        environ: CUDA_VISIBLE_DEVICES limits the choice, in its own order; it ends at the first invalid entry (CUDA C++
            Programming Guide, environment variables).
    """
    present = sorted((name[len("nvidia") :] for name in devices if re.fullmatch(r"nvidia\d+", name)), key=int)
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return tuple(present)
    usable = []
    for entry in (part.strip() for part in chosen.split(",")):
        if not present or (entry not in present and not entry.startswith(("GPU-", "MIG-"))):
            break
        usable.append(entry)
    return tuple(usable)


def machine_gpus(environ: Mapping[str, str]) -> Tuple[str, ...]:
    """The GPUs of this machine that ``environ`` admits."""
    try:
        return usable_gpus(os.listdir("/dev"), environ)
    except OSError:
        return ()
