"""The processes beside the ranks: a scheduler on the first host and a server on each, told apart by ``DMLC_ROLE``.

The scheduler waits until all servers and workers have registered, and tells everyone where the servers are.  A server keeps the
weights whose number leaves its own rest, takes the gradients of all workers for a step, and then makes the step.  Both end when
every worker has said goodbye.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from typing import Dict, List

from wire import Peer, connect

WORKERS, SERVERS = int(os.environ["DMLC_NUM_WORKER"]), int(os.environ["DMLC_NUM_SERVER"])
ROOT = (os.environ["DMLC_PS_ROOT_URI"], int(os.environ["DMLC_PS_ROOT_PORT"]))


def schedule() -> None:
    """Bring all together; stay until all workers have ended."""
    with socket.create_server(("0.0.0.0", ROOT[1]), backlog=WORKERS + SERVERS) as listener:
        peers: List[Peer] = []
        servers: List[List[object]] = []
        while len(peers) < WORKERS + SERVERS:
            peer = Peer(listener.accept()[0])
            peers.append(peer)
            hello = peer.hear()
            if hello["role"] == "server":
                servers.append([hello["address"], hello["port"]])
        servers.sort()
        for peer in peers:
            peer.tell(servers=servers)
        print(f"{WORKERS} workers and {SERVERS} servers know each other", flush=True)
        for peer in peers:
            peer.hear()
    print("all have ended", flush=True)


class Store:
    """The weights of one server, all 0 at first."""

    def __init__(self) -> None:
        self.weights: Dict[int, float] = {}
        self.step = 0
        self._pushed: Dict[int, Dict[str, float]] = {}
        self._changed = threading.Condition()
        self._gone = 0

    def pull(self, step: int, keys: List[int]) -> List[float]:
        """Some weights as they are before a step; waits until all steps before it are made."""
        with self._changed:
            self._changed.wait_for(lambda: self.step >= step)
            return [self.weights.get(key, 0.0) for key in keys]

    def push(self, rank: int, rate: float, gradients: Dict[str, float]) -> None:
        """A worker's gradients; those of the last worker make the step, in the order of ranks."""
        with self._changed:
            self._pushed[rank] = gradients
            if len(self._pushed) == WORKERS:
                for _, found in sorted(self._pushed.items()):
                    for key, gradient in found.items():
                        self.weights[int(key)] = self.weights.get(int(key), 0.0) - rate / WORKERS * gradient
                self._pushed.clear()
                self.step += 1
                self._changed.notify_all()

    def leave(self) -> None:
        """A worker has ended."""
        with self._changed:
            self._gone += 1
            self._changed.notify_all()

    def wait(self) -> None:
        """Until all workers have ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._gone == WORKERS)


def serve() -> None:
    """Keep a share of the weights until all workers have ended."""
    store = Store()
    with socket.create_server((os.environ["DMLC_NODE_HOST"], 0), backlog=WORKERS) as listener:
        address, port = listener.getsockname()
        scheduler = connect(*ROOT)
        scheduler.tell(role="server", address=address, port=port)
        print(f"registered {address}:{port} with the scheduler", flush=True)
        scheduler.hear()
        for _ in range(WORKERS):
            threading.Thread(target=attend, args=(store, Peer(listener.accept()[0])), daemon=True).start()
        store.wait()
    print(f"{len(store.weights)} weights after {store.step} steps", flush=True)
    scheduler.tell(bye=True)


def attend(store: Store, worker: Peer) -> None:
    """One worker's requests."""
    try:
        while True:
            asked = worker.hear()
            if asked["do"] == "pull":
                worker.tell(weights=store.pull(asked["step"], asked["keys"]))
            elif asked["do"] == "push":
                store.push(asked["rank"], asked["rate"], asked["gradients"])
            else:
                store.leave()
                return
    except (OSError, ValueError) as error:
        print(f"a worker is gone without a goodbye: {error}", flush=True)
        os._exit(1)


if __name__ == "__main__":
    {"scheduler": schedule, "server": serve}[os.environ["DMLC_ROLE"]]()
    sys.exit(0)
