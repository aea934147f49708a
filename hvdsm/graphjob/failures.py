"""What a graph job fails with."""

from __future__ import annotations

from typing import Optional


class JobError(Exception):
    """Something that the user can change.

    Args:
        what: what is wrong.
        where: the file, address or option concerned.
        remedy: the next change to try.
    """

    exit_code = 78

    def __init__(self, what: str, where: str, remedy: Optional[str] = None) -> None:
        super().__init__(f"{where}: {what}" + (f"\n  try: {remedy}" if remedy else ""))
