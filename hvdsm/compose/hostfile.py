"""The hostfile of mpirun."""

from __future__ import annotations

from typing import Sequence


def hostfile(hosts: Sequence[str], slots: int) -> str:
    """One line a host: ``algo-1 slots=2``, in the order that gives rank 0 to the first host.

    Args:
        hosts: host names, the launcher first.
        slots: processes that each host may run.
    """
    return "".join(f"{host} slots={slots}\n" for host in hosts)
