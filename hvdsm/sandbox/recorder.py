"""Remembers what was asked of the sandbox."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Deque, Dict, List, Optional, Tuple

_KEPT = 100_000

Asked = Tuple[str, Optional[Dict[str, Any]]]


class Recorder:
    """The last 100,000 requests: operations, and the content of those whose content the sandbox reads."""

    def __init__(self) -> None:
        self._asked: Deque[Asked] = deque(maxlen=_KEPT)
        self._changed = threading.Condition()

    def note(self, operation: str, body: Optional[Dict[str, Any]]) -> None:
        """Remember a request."""
        with self._changed:
            self._asked.append((operation, body))
            self._changed.notify_all()

    def all(self) -> List[Asked]:
        """All requests in their order."""
        with self._changed:
            return list(self._asked)

    def wait_for(self, operation: str, count: int, timeout: float) -> bool:
        """Wait until an operation has been asked for so often; whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: sum(name == operation for name, _ in self._asked) >= count, timeout)
