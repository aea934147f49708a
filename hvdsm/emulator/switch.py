"""A switch in user space with delay and rate, where no kernel queueing discipline is to be relied on.

Each port is the cluster's end of a host's interface, read and written through packet(7) sockets.  PACKET_VNET_HDR keeps the
10-byte offload header (linux/virtio_net.h) before each frame, so that large unsegmented frames pass whole.
"""

from __future__ import annotations

import heapq
import selectors
import socket
import time
from typing import Dict, List, Sequence, Tuple

from hvdsm.emulator.network import mac_of, port_of

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
_VNET_HEADER = 10
_FRAME = 70_000  # bytes: an unsegmented frame and its headers
_BURST = 64  # frames taken from one port before the others have their turn
_BUFFER = 8 << 20  # bytes a port may hold before it drops
_QUEUE_SECONDS = 0.5  # a port's longest backlog at its rate; beyond it frames are dropped, as a real switch does


def serve(hosts: Sequence[int], delay: float, mbit: float) -> None:
    """Forward frames between the ports for ever.

    Args:
        hosts: numbers of the hosts; their ports exist.
        delay: seconds each frame is held, one way.
        mbit: rate of each host's sending direction in 10^6 bits a second; 0 for no limit.
    """
    selector = selectors.DefaultSelector()
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
    queue: List[Tuple[float, int, socket.socket, bytes]] = []
    sequence = 0
    free_at = dict.fromkeys(hosts, 0.0)
    prefix = mac_of(0)[:4]
    while True:
        now = time.monotonic()
        while queue and queue[0][0] <= now:
            _, _, port, frame = heapq.heappop(queue)
            try:
                port.send(frame)
            except OSError:  # the host is gone, its link is down, or its queue is full: the frame is lost
                pass
        timeout = max(0.0, queue[0][0] - time.monotonic()) if queue else None
        for key, _ in selector.select(timeout):
            number = key.data
            for _ in range(_BURST):
                try:
                    frame = ports[number].recv(_FRAME)
                except OSError:
                    break
                now = time.monotonic()
                leaves = now
                if mbit:
                    leaves = max(free_at[number], now)
                    if leaves - now > _QUEUE_SECONDS:
                        continue
                    leaves += len(frame) * 8e-6 / mbit
                    free_at[number] = leaves
                target = frame[_VNET_HEADER : _VNET_HEADER + 6]
                if target[:4] == prefix:
                    targets = [int.from_bytes(target[4:], "big")]
                else:
                    targets = [other for other in hosts if other != number]
                for other in targets:
                    if other in ports:
                        sequence += 1
                        heapq.heappush(queue, (leaves + delay, sequence, ports[other], frame))
