"""The cluster's network: who has which address, the bridge or switch between the hosts, and a host's own interface.

All of it lies in network namespaces of the cluster; the machine's interfaces, routes and firewall are not touched, and the
hosts have no way out to them.
"""

from __future__ import annotations

import os
import socket
from typing import Optional, Sequence

from hvdsm.emulator.netlink import Netlink

INTERFACE = "eth0"
MTU = 1500
MAX_HOSTS = 250
_PREFIX_LENGTH = 16
_BRIDGE = "br0"


def address_of(number: int) -> str:
    """The IPv4 address of host ``number`` (from 1)."""
    return f"10.77.{number >> 8}.{number & 255}"


def mac_of(number: int) -> bytes:
    """The hardware address (6 bytes, locally administered) of host ``number``; its last two bytes are the number."""
    return b"\x02\x77\x00\x00" + number.to_bytes(2, "big")


def port_of(number: int) -> str:
    """The name of the interface on the bridge's or switch's side of host ``number``."""
    return f"port{number}"


def without_ipv6() -> None:
    """Switch IPv6 off in this network namespace; a kernel without IPv6 is fine too."""
    for which in ("all", "default"):
        try:
            with open(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6", "w") as file:
                file.write("1")
        except OSError:
            pass


def make_middle(*, bridge: bool) -> Optional[int]:
    """In the cluster's own network namespace: the bridge that connects the hosts (its index), or None for a switch."""
    without_ipv6()
    netlink = Netlink()
    try:
        netlink.set_link("lo", up=True)
        if not bridge:
            return None
        netlink.add_bridge(_BRIDGE)
        return socket.if_nametoindex(_BRIDGE)
    finally:
        netlink.close()


def join(middle: Netlink, number: int, hosts: Sequence[int], bridge: Optional[int]) -> None:
    """Inside host ``number``'s network namespace: connect it to the middle and configure its interface.

    Args:
        middle: netlink socket made in the cluster's network namespace.
        number: this host's number.
        hosts: numbers of all hosts.
        bridge: index of the bridge in the cluster's network namespace, or None.
    """
    without_ipv6()
    here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        middle.add_veth(port_of(number), INTERFACE, peer_mac=mac_of(number), peer_namespace=here, master=bridge, mtu=MTU)
    finally:
        os.close(here)
    netlink = Netlink()
    netlink.set_link("lo", up=True)
    netlink.set_link(INTERFACE, up=True)
    netlink.add_address(INTERFACE, address_of(number), _PREFIX_LENGTH)
    # Neighbour tables are limited for the machine as a whole; known neighbours do not count and need no broadcast.
    netlink.add_neighbours(INTERFACE, [(address_of(other), mac_of(other)) for other in hosts if other != number])
    netlink.close()
