"""The host that this rank is on, and what carried bytes from it."""

from __future__ import annotations

import fcntl
import glob
import os
import platform
import socket
import struct
from typing import Any, Dict, Mapping, Optional, Tuple

_SIOCGIFADDR = 0x8915
# Of the bytes that were sent, a counter has so many at least where they went over it.
_SHARE = 0.8
TCP, EFA, VERBS = "tcp", "ofi (EFA)", "verbs"


def host_name(environ: Mapping[str, str], fallback: str) -> str:
    """The name in the job: ``algo-1``."""
    return environ.get("SM_CURRENT_HOST") or fallback


def facts(name: str, environ: Mapping[str, str]) -> Dict[str, Any]:
    """What is known of the host before anything is measured."""
    return {
        "name": name,
        "interface": environ.get("SM_NETWORK_INTERFACE_NAME"),
        "cpus": len(os.sched_getaffinity(0)),
        "gpus": int(environ.get("SM_NUM_GPUS") or len(glob.glob("/dev/nvidia[0-9]*"))),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
    }


def address_of(interface: Optional[str]) -> Optional[str]:
    """The IPv4 address of an interface; None where it has none."""
    if not interface:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            answer = fcntl.ioctl(asked.fileno(), _SIOCGIFADDR, struct.pack("256s", interface.encode()[:15]))
        except OSError:
            return None
    return socket.inet_ntoa(answer[20:24])


def counters() -> Dict[Tuple[str, str], int]:
    """Bytes sent so far, by transport and device: interfaces but the loopback, and InfiniBand devices, of which EFA is one."""
    found: Dict[Tuple[str, str], int] = {}
    try:
        with open("/proc/net/dev") as file:
            for line in file:
                name, colon, rest = line.partition(":")
                if colon and name.strip() != "lo":
                    found[TCP, name.strip()] = int(rest.split()[8])
    except (OSError, ValueError, IndexError):
        pass
    # EFA counts bytes, verbs count words of four bytes.
    for pattern, kind, factor in (("hw_counters/tx_bytes", EFA, 1), ("counters/port_xmit_data", VERBS, 4)):
        for path in glob.glob(f"/sys/class/infiniband/*/ports/*/{pattern}"):
            try:
                with open(path) as file:
                    device = path.split("/")[4]
                    found[kind, device] = found.get((kind, device), 0) + factor * int(file.read())
            except (OSError, ValueError):
                continue
    return found


def carried(before: Mapping[Tuple[str, str], int], after: Mapping[Tuple[str, str], int], sent: int) -> Tuple[Optional[str], str]:
    """The transport and device over which most of what was sent went; None where no counter tells.

    A library does not tell what it uses; the counters of the devices do.

    Args:
        before: counters before.
        after: counters after.
        sent: bytes that were sent meanwhile.
    """
    if sent <= 0:
        return None, ""
    grown: Dict[str, Dict[str, int]] = {}
    for (kind, device), count in after.items():
        grown.setdefault(kind, {})[device] = count - before.get((kind, device), 0)
    # A bus of several EFA devices carries its part on each.
    for kind in (EFA, VERBS, TCP):
        devices = grown.get(kind, {})
        if sum(devices.values()) >= _SHARE * sent:
            return kind, max(devices, key=lambda device: devices[device])
    return None, ""
