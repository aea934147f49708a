"""Listens on a port of this host's loopback, hands the socket over, and ends; started as a file, standard library only.

A socket belongs to the network namespace that it was made in, whoever holds it: connections of this host are accepted outside.
"""

from __future__ import annotations

import array
import json
import socket
import sys
from typing import List

# Connections that wait to be accepted; the kernel takes no more than net.core.somaxconn.
_BACKLOG = 4096


def main(argv: List[str]) -> int:
    """``listener.py PORT``, with one end of a socket pair as standard input."""
    caller = socket.socket(fileno=0)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
            server.bind(("127.0.0.1", int(argv[0])))
            server.listen(_BACKLOG)
            caller.sendmsg([b"{}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [server.fileno()]))])
    except OSError as error:
        caller.send(json.dumps({"error": error.strerror or str(error)}).encode())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
