"""A switch in user space with delay and rate, where no kernel queueing discipline is to be relied on.

Each port is the cluster's end of a host's interface, read and written through packet(7) sockets.  PACKET_VNET_HDR keeps the
10-byte offload header (linux/virtio_net.h) before each frame, so that large unsegmented frames pass whole.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import selectors
import socket
import time
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from hvdsm.emulator.network import mac_of, port_of

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
_VNET_HEADER = 10
_FRAME = 70_000  # bytes: an unsegmented frame and its headers
_BURST = 64  # frames taken from one port before the others have their turn
_BUFFER = 8 << 20  # bytes a port may hold before it drops
_QUEUE_SECONDS = 0.5  # a port's longest backlog at its rate; beyond it frames are dropped, as a real switch does


class Link(NamedTuple):
    """How a host is connected.

    Attributes:
        send_delay: seconds that a frame of the host is held.
        send_mbit: rate at which the host can send, in 10^6 bits a second; 0 for no limit.
        receive_delay: seconds that a frame for the host is held besides.
        receive_mbit: rate at which it can receive.
    """

    send_delay: float = 0.0
    send_mbit: float = 0.0
    receive_delay: float = 0.0
    receive_mbit: float = 0.0


def make_links(hosts: Sequence[int], delay: float, mbit: float, slow: Mapping[int, Sequence[float]]) -> Dict[int, Link]:
    """The links of hosts that are alike, and of slow ones.

    Args:
        hosts: numbers of the hosts.
        delay: seconds each frame is held, one way.
        mbit: rate of each host's sending direction in 10^6 bits a second; 0 for no limit.
        slow: by number: seconds more in each direction, and the rate in each direction, 0 for no limit of its own.
    """
    links = {}
    for number in hosts:
        more, own = slow.get(number, (0.0, 0.0))
        links[number] = Link(delay + more, min(filter(None, (mbit, own)), default=0.0), more, own)
    return links


def serve(hosts: Sequence[int], links: Mapping[int, Link]) -> None:
    """Forward frames between the ports for ever.

    Args:
        hosts: numbers of the hosts; their ports exist.
        links: how each is connected.
    """
    # A switch that waited for a core would be a slow network, and priorities end at the borders of sessions: real time does not.
    # Where neither is allowed, it has to do as it is.
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    # epoll counts in whole milliseconds, which a short delay would show.
    selector = selectors.SelectSelector()
    ports: Dict[int, socket.socket] = {}
    for number in hosts:
        port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        port.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        port.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        port.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        port.bind((port_of(number), _ETH_P_ALL))
        port.setblocking(False)
        ports[number] = port
        selector.register(port, selectors.EVENT_READ, number)
    # When, a number that keeps the order, the host that it is for, whether it is through that host's link, and the frame.
    queue: List[Tuple[float, int, int, bool, bytes]] = []
    sequence = 0
    sends, receives = Rates(), Rates()
    prefix = mac_of(0)[:4]
    while True:
        while queue and queue[0][0] <= time.monotonic():
            when, _, number, through, frame = heapq.heappop(queue)
            link = links[number]
            if not through and link.receive_mbit:
                leaves = receives.pass_frame(number, when, len(frame), link.receive_mbit)
                if leaves is not None:
                    sequence += 1
                    heapq.heappush(queue, (leaves + link.receive_delay, sequence, number, True, frame))
                continue
            try:
                ports[number].send(frame)
            except OSError:  # the host is gone, its link is down, or its queue is full: the frame is lost
                pass
        timeout = max(0.0, queue[0][0] - time.monotonic()) if queue else None
        for key, _ in selector.select(timeout):
            number = key.data
            link = links[number]
            for _ in range(_BURST):
                try:
                    frame = ports[number].recv(_FRAME)
                except OSError:
                    break
                leaves = sends.pass_frame(number, time.monotonic(), len(frame), link.send_mbit)
                if leaves is None:
                    continue
                target = frame[_VNET_HEADER : _VNET_HEADER + 6]
                if target[:4] == prefix:
                    targets = [int.from_bytes(target[4:], "big")]
                else:
                    targets = [other for other in hosts if other != number]
                for other in targets:
                    if other in ports:
                        sequence += 1
                        # Where the receiver has a rate, its delay comes behind it: the frame is looked at when it is there.
                        held = link.send_delay + (0.0 if links[other].receive_mbit else links[other].receive_delay)
                        heapq.heappush(queue, (leaves + held, sequence, other, False, frame))


class Rates:
    """When the frames of each host are through its link, in one direction."""

    def __init__(self) -> None:
        self._free_at: Dict[int, float] = {}

    def pass_frame(self, number: int, now: float, size: int, mbit: float) -> Optional[float]:
        """When a frame that comes now is through, in the clock's seconds; None where the backlog is so long that it is dropped.

        Args:
            number: the host.
            now: the clock's time.
            size: bytes of the frame.
            mbit: the link's rate in 10^6 bits a second; 0 for no limit.
        """
        if not mbit:
            return now
        leaves = max(self._free_at.get(number, 0.0), now)
        if leaves - now > _QUEUE_SECONDS:
            return None
        leaves += size * 8e-6 / mbit
        self._free_at[number] = leaves
        return leaves
