"""A host's output: kept whole in its log, and cut into lines for display."""

from __future__ import annotations

import os
import re
from typing import Optional

# ``[rank,host] ``, ``[role,host] `` or ``[host] ``, ``~`` for a piece of a line: the launcher has these lines too.
_RANK_LINE = re.compile(rb"^\[[^\]\s]+\]~? .*\n?", re.MULTILINE)
# The relay passes lines up to 8 MiB whole; what is longer without an end is shown in pieces.
MAX_LINE = (8 << 20) + 4096
READ = 1 << 18


class HostStream:
    """The reading end of one host's output.

    Args:
        descriptor: pipe to read, made non-blocking.
        log: path of the file that gets every byte.
        is_launcher: the launcher shows all ranks' lines; another host's own ones would be shown twice.
        alone: the host's name where each shows its own lines: hosts that do not wait for each other may print before the
            launcher hears of them.
    """

    def __init__(self, descriptor: int, log: str, is_launcher: bool, alone: Optional[str] = None) -> None:
        self.descriptor = descriptor
        self.is_launcher = is_launcher
        self._hidden = None if is_launcher else _RANK_LINE
        if alone is not None:
            self._hidden = re.compile(rb"^\[(?:[^\],\s]+,)?(?!%s\])[^\],\s]+\]~? .*\n?" % re.escape(alone.encode()), re.MULTILINE)
        self.ended = False
        self._log = open(log, "xb", buffering=0)  # noqa: SIM115
        self._rest = bytearray()
        os.set_blocking(descriptor, False)

    def read(self) -> Optional[bytes]:
        """What is to be shown of what has come: whole lines; None when there is nothing to read now."""
        try:
            data = os.read(self.descriptor, READ)
        except BlockingIOError:
            return None
        if not data:
            self.ended = True
            return self.flush()
        self._log.write(data)
        end = data.rfind(b"\n") + 1
        if not end and len(self._rest) + len(data) < MAX_LINE:
            self._rest += data
            return b""
        end = end or len(data)
        block = bytes(self._rest) + data[:end]
        self._rest[:] = data[end:]
        return self._shown(block)

    def flush(self) -> bytes:
        """What is left of a last line without an end."""
        block, self._rest = bytes(self._rest), bytearray()
        return self._shown(block)

    def close(self) -> None:
        """Close the pipe and the log."""
        os.close(self.descriptor)
        self._log.close()

    def _shown(self, block: bytes) -> bytes:
        return block if self._hidden is None else self._hidden.sub(b"", block)
