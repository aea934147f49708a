"""What transfers count: bytes while they go, files when they have gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, List, Optional

# Told the bytes that have gone since the last call, one call at a time; negative where they have to go again.
Progress = Callable[[int], None]


@dataclass
class Transferred:
    """What a transfer of several objects did: files that were transferred, and those that were there already; sizes in bytes."""

    files: int = 0
    size: int = 0
    present: int = 0
    present_size: int = 0


class Count:
    """Tells of the bytes of one file, and takes them back if it fails.

    Args:
        progress: is told, if there is one.
        lock: of all files together.
    """

    def __init__(self, progress: Optional[Progress], lock: Any) -> None:
        self._progress = progress
        self._lock = lock
        self._told = 0

    def subscribers(self) -> List[Any]:
        """What the transfer manager tells."""
        if self._progress is None:
            return []
        from s3transfer.subscribers import BaseSubscriber

        told = self.tell

        class Told(BaseSubscriber):
            def on_progress(self, future: Any, bytes_transferred: int, **_kwargs: Any) -> None:
                del future
                told(bytes_transferred)

        return [Told()]

    def take_back(self) -> None:
        """The bytes have to go again."""
        if self._told:
            self.tell(-self._told)

    def tell(self, count: int) -> None:
        """Some bytes more."""
        with self._lock:
            self._told += count
            if self._progress is not None:
                self._progress(count)
