"""The few rtnetlink requests that the emulated network needs (rtnetlink(7); constants of linux/rtnetlink.h, if_link.h)."""

from __future__ import annotations

import os
import socket
import struct
from typing import Iterable, Optional, Tuple, Union

_NLMSG_ERROR = 2
_RTM_NEWLINK = 16
_RTM_NEWADDR = 20
_RTM_NEWNEIGH = 28
_NLM_F_REQUEST, _NLM_F_ACK = 1, 4
_NLM_F_EXCL, _NLM_F_CREATE = 0x200, 0x400
_IFF_UP = 1
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 4, 10, 18, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_NDA_DST, _NDA_LLADDR = 1, 2
_NUD_PERMANENT = 0x80


def _attribute(kind: int, value: Union[int, str, bytes]) -> bytes:
    if isinstance(value, str):
        value = value.encode() + b"\0"
    elif isinstance(value, int):
        value = struct.pack("I", value)
    return struct.pack("HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _link_header(up: bool) -> bytes:
    return struct.pack("BxHiII", 0, 0, 0, _IFF_UP if up else 0, _IFF_UP)


class Netlink:
    """A netlink socket.  It keeps speaking to the network namespace in which it was made, wherever its process goes."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.bind((0, 0))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _message(self, kind: int, flags: int, body: bytes) -> bytes:
        return struct.pack("IHHII", 16 + len(body), kind, flags | _NLM_F_REQUEST | _NLM_F_ACK, 1, 0) + body

    def _acknowledged(self, count: int) -> None:
        while count:
            data = self._socket.recv(1 << 16)
            while data:
                length, kind = struct.unpack_from("IH", data)
                if kind == _NLMSG_ERROR:
                    number = -struct.unpack_from("i", data, 16)[0]
                    if number:
                        raise OSError(number, f"netlink: {os.strerror(number)}")
                    count -= 1
                data = data[(length + 3) & ~3 :]

    def _request(self, kind: int, flags: int, body: bytes) -> None:
        self._socket.send(self._message(kind, flags, body))
        self._acknowledged(1)

    def set_link(self, name: str, *, up: bool) -> None:
        """Set an interface up or down."""
        self._request(_RTM_NEWLINK, 0, _link_header(up) + _attribute(_IFLA_IFNAME, name))

    def add_bridge(self, name: str) -> None:
        """Make a bridge and set it up."""
        info = _attribute(_IFLA_LINKINFO, _attribute(_IFLA_INFO_KIND, "bridge"))
        self._request(_RTM_NEWLINK, _NLM_F_CREATE | _NLM_F_EXCL, _link_header(True) + _attribute(_IFLA_IFNAME, name) + info)

    def add_veth(self, name: str, peer: str, *, peer_mac: bytes, peer_namespace: int, master: Optional[int], mtu: int) -> None:
        """Make a pair of connected interfaces: ``name`` here, up and in bridge ``master``, and ``peer`` in another namespace.

        Args:
            name: interface in the namespace of this socket.
            peer: interface in the namespace of file descriptor ``peer_namespace``.
            peer_mac: hardware address of the peer.
            peer_namespace: file descriptor of a network namespace.
            master: index of the bridge that ``name`` joins, or None.
            mtu: largest packet, bytes.
        """
        far = (
            _link_header(False)  # the kernel makes this end first, and an end without its peer cannot be up
            + _attribute(_IFLA_IFNAME, peer)
            + _attribute(_IFLA_ADDRESS, peer_mac)
            + _attribute(_IFLA_NET_NS_FD, peer_namespace)
            + _attribute(_IFLA_MTU, mtu)
        )
        info = _attribute(_IFLA_INFO_KIND, "veth") + _attribute(_IFLA_INFO_DATA, _attribute(_VETH_INFO_PEER, far))
        near = _link_header(True) + _attribute(_IFLA_IFNAME, name) + _attribute(_IFLA_MTU, mtu)
        if master is not None:
            near += _attribute(_IFLA_MASTER, master)
        self._request(_RTM_NEWLINK, _NLM_F_CREATE | _NLM_F_EXCL, near + _attribute(_IFLA_LINKINFO, info))

    def add_address(self, interface: str, address: str, prefix: int) -> None:
        """Give an interface an IPv4 address."""
        raw = socket.inet_aton(address)
        header = struct.pack("BBBBI", socket.AF_INET, prefix, 0, 0, socket.if_nametoindex(interface))
        body = header + _attribute(_IFA_LOCAL, raw) + _attribute(_IFA_ADDRESS, raw)
        self._request(_RTM_NEWADDR, _NLM_F_CREATE | _NLM_F_EXCL, body)

    def add_neighbours(self, interface: str, neighbours: Iterable[Tuple[str, bytes]]) -> None:
        """Tell an interface the hardware addresses of its neighbours for good, so that it never asks (ARP)."""
        header = struct.pack("BxHiHBB", socket.AF_INET, 0, socket.if_nametoindex(interface), _NUD_PERMANENT, 0, 0)
        messages = [
            self._message(
                _RTM_NEWNEIGH,
                _NLM_F_CREATE,
                header + _attribute(_NDA_DST, socket.inet_aton(address)) + _attribute(_NDA_LLADDR, mac),
            )
            for address, mac in neighbours
        ]
        for first in range(0, len(messages), 64):
            batch = messages[first : first + 64]
            self._socket.send(b"".join(batch))
            self._acknowledged(len(batch))
