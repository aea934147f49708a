"""What a user of the emulator declares: how many hosts, and what of the machine they see."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Optional, Tuple

from hvdsm.emulator.network import MAX_HOSTS
from hvdsm.errors import UsageError
from hvdsm.model.slow import SlowHost, check_slow_hosts


@dataclass(frozen=True)
class Mount:
    """A file or directory of the machine that hosts see at a place of its own.

    Attributes:
        source: absolute path on the machine.
        target: absolute path inside the host.
        host: name of the only host that sees it; None for all.
        writable: whether writing there changes the machine's files; otherwise it is read-only.
    """

    source: str
    target: str
    host: Optional[str] = None
    writable: bool = False


@dataclass(frozen=True)
class ClusterSpec:
    """The hosts to make.

    Attributes:
        instance_count: number of hosts, named algo-1 to algo-N.
        mounts: what hosts see beyond the default.
        visible: paths of the machine that every host can read at their own place, also beneath directories that are
            otherwise private (``/tmp``, ``/run``, ``/dev/shm``, ``/opt/ml``).
        private_copies: directories like ``visible`` ones that the hosts may also write in; each host sees its own writes only.
        sshd: whether sshd answers on port 22 of each host, with keys so that ``ssh algo-2`` just works.
        delay_ms: delay of the network, milliseconds, one way.
        mbit: rate at which a host can send, in 10^6 bits a second; 0 for no limit.
        slow: hosts that are slower than the others, besides.
    """

    instance_count: int
    mounts: Tuple[Mount, ...] = ()
    visible: Tuple[str, ...] = ()
    private_copies: Tuple[str, ...] = ()
    sshd: bool = False
    delay_ms: float = 0.0
    mbit: float = 0.0
    slow: Tuple[SlowHost, ...] = ()

    @property
    def host_names(self) -> Tuple[str, ...]:
        """algo-1 to algo-N."""
        return tuple(f"algo-{number}" for number in range(1, self.instance_count + 1))

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            UsageError: a number is out of range, a path is relative or does not exist, or a host has no such name.
        """
        if not 1 <= self.instance_count <= MAX_HOSTS:
            raise UsageError(f"{self.instance_count} hosts cannot be emulated", remedy=f"a number from 1 to {MAX_HOSTS}")
        if not (0 <= self.delay_ms < math.inf and 0 <= self.mbit < math.inf):
            what = f"a delay of {self.delay_ms:g} ms and a rate of {self.mbit:g} Mbit/s: both must be numbers, and not below 0"
            raise UsageError(what, remedy="--delay-ms 20, --mbit 100")
        check_slow_hosts(self.slow, self.host_names)
        for mount in self.mounts:
            if not (os.path.isabs(mount.source) and os.path.isabs(mount.target)):
                raise UsageError("a mount needs absolute paths", where=f"{mount.source} -> {mount.target}")
            if os.path.normpath(mount.target) == "/":
                raise UsageError("the root directory of a host cannot be a mount", where=mount.source)
            if not os.path.exists(mount.source):
                raise UsageError("no such file or directory to mount", where=mount.source, remedy="check the path")
            if mount.host is not None and mount.host not in self.host_names:
                raise UsageError("no such host", where=mount.host, remedy=f"one of {', '.join(self.host_names)}")
        for path in (*self.visible, *self.private_copies):
            if not os.path.isabs(path) or not os.path.exists(path):
                raise UsageError("not an absolute path of something that exists", where=path, remedy="check the path")
