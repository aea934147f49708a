"""The hostfile of mpirun."""

from __future__ import annotations

from typing import Sequence


def job_hostfile(hosts: Sequence[str], slots: Sequence[int]) -> str:
    """The hostfile of a job: a single host is ``localhost``.

    Its own name may not be known to it yet, or never, when only the platform names hosts.
    """
    return hostfile(hosts if len(hosts) > 1 else ("localhost",), slots)


def hostfile(hosts: Sequence[str], slots: Sequence[int]) -> str:
    """One line a host: ``algo-1 slots=2``, in the order that gives rank 0 to the first host.

    Args:
        hosts: host names, the launcher first.
        slots: processes that each host may run.
    """
    return "".join(f"{host} slots={count}\n" for host, count in zip(hosts, slots))
