"""What the local back end is told besides the request; light, since `hvdsm launch --help` imports it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple

from hvdsm.model.slow import SlowHost, slow_hosts

AUTO = "auto"
NAMESPACES = "namespaces"
SINGLE = "single"
HOST_MODES = (AUTO, NAMESPACES, SINGLE)


@dataclass(frozen=True)
class Gateway:
    """A service that stands for AWS, on this machine's loopback; the hosts reach it under the same address on theirs.

    Attributes:
        port: its TCP port on 127.0.0.1.
        variables: what clients of AWS need to know of it: address, credentials, region.
    """

    port: int
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class LocalOptions:
    """What the local back end is told besides the request.

    Attributes:
        output: directory under which ``JOB-NAME/`` is made.
        hosts: ``namespaces``, ``single`` or ``auto``.
        s3_root: directory that stands for S3.
        mpirun: path of mpirun; None is the first on PATH.
        delay_ms: one-way delay between hosts, milliseconds; 0 is none.
        mbit: rate of each host's link, megabits per second; 0 is unlimited.
        slow_hosts: hosts whose link is slower than that of the others, also as texts: ``algo-3:delay-ms=20,mbit=100``.
        stop_grace: seconds between SIGTERM and SIGKILL when a job is stopped or interrupted, or its time limit ends it; None
            is HVDSM_STOP_GRACE of the request's Environment, else 10 (the service waits 120).
        interrupt_after: seconds of ranks running after which all hosts are taken away once, and the job is launched anew.
        variables: what the programs on the hosts get in their environment besides all else.
        gateway: a service for what the programs on the hosts ask AWS themselves; a request with EnableNetworkIsolation is kept
            from it.
    """

    output: str = "hvdsm-out"
    hosts: str = AUTO
    s3_root: Optional[str] = None
    mpirun: Optional[str] = None
    delay_ms: float = 0.0
    mbit: float = 0.0
    slow_hosts: Tuple[SlowHost, ...] = ()
    stop_grace: Optional[float] = None
    interrupt_after: Optional[float] = None
    variables: Mapping[str, str] = field(default_factory=dict)
    gateway: Optional[Gateway] = None

    def __post_init__(self) -> None:
        """Read slow hosts that are texts, as they come from variables.

        Raises:
            UsageError: one is written wrongly.
        """
        object.__setattr__(self, "slow_hosts", slow_hosts(self.slow_hosts))
