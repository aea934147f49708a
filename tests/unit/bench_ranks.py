"""Ranks as threads: what of MPI the program of ``hvdsm bench network`` uses, for tests of its logic."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Sequence, Tuple

SECONDS = 30


class World:
    """What the ranks share."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = threading.Barrier(size)
        self.slots: List[Any] = [None] * size
        self.mail: Dict[Tuple[int, int], Deque[bytes]] = {}
        self.changed = threading.Condition()


class Done:
    """A request that is done."""

    def Wait(self) -> None:
        return None

    def Test(self) -> bool:
        return True


class Awaited:
    """A request for a message."""

    def __init__(self, receive: Callable[[], None], there: Callable[[], bool]) -> None:
        self._receive = receive
        self._there = there

    def Wait(self) -> None:
        self._receive()

    def Test(self) -> bool:
        if not self._there():
            return False
        self._receive()
        return True


class Rank:
    """A communicator as one rank has it."""

    def __init__(self, world: World, rank: int) -> None:
        self._world = world
        self.rank = rank
        self.size = world.size

    def Barrier(self) -> None:
        self._world.barrier.wait(SECONDS)

    def Ibarrier(self) -> Done:
        self.Barrier()
        return Done()

    def allgather(self, value: Any) -> List[Any]:
        self._world.slots[self.rank] = value
        self.Barrier()
        found = list(self._world.slots)
        self.Barrier()
        return found

    def gather(self, value: Any) -> Any:
        found = self.allgather(value)
        return found if self.rank == 0 else None

    def bcast(self, value: Any) -> Any:
        return self.allgather(value)[0]

    def Send(self, data: Any, peer: int, tag: int) -> None:
        with self._world.changed:
            self._world.mail.setdefault((self.rank, peer), deque()).append(bytes(data))
            self._world.changed.notify_all()

    def Recv(self, data: Any, peer: int, tag: int) -> None:
        with self._world.changed:
            assert self._world.changed.wait_for(lambda: bool(self._world.mail.get((peer, self.rank))), SECONDS), "no message came"
            found = self._world.mail[peer, self.rank].popleft()
        memoryview(data).cast("B")[:] = found

    def Isend(self, data: Any, peer: int, tag: int) -> Done:
        self.Send(data, peer, tag)
        return Done()

    def Irecv(self, data: Any, peer: int, tag: int) -> Awaited:
        return Awaited(lambda: self.Recv(data, peer, tag), lambda: bool(self._world.mail.get((peer, self.rank))))


def on_ranks(size: int, run: Callable[[Rank], Any]) -> List[Any]:
    """What a function gives on each rank; an exception of one is raised here."""
    world = World(size)
    found: List[Any] = [None] * size
    failed: List[BaseException] = []

    def one(rank: int) -> None:
        try:
            found[rank] = run(Rank(world, rank))
        except BaseException as error:
            failed.append(error)
            world.barrier.abort()

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    if failed:
        raise failed[0]
    return found


def clock_of(steps: Sequence[float]) -> Callable[[], float]:
    """A clock that goes on by the steps, again and again."""
    now, calls = [0.0], [0]

    def clock() -> float:
        now[0] += steps[calls[0] % len(steps)]
        calls[0] += 1
        return now[0]

    return clock
