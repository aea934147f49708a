"""What a partitioning fails with."""

from __future__ import annotations

from typing import Optional

from .failures import JobError


class PartitionError(JobError):
    """Something wrong with the data, the arguments or a host.

    Args:
        what: what is wrong.
        where: the file, address, option or host concerned; the reader of a file adds it where it is missing.
        remedy: the next change to try.
    """

    on_all_hosts = False

    def __init__(self, what: str, *, where: Optional[str] = None, remedy: Optional[str] = None) -> None:
        super().__init__(what, where or "the graph", remedy)
        self.what = what
        self.where = where
        self.remedy = remedy


class FailedTogether(PartitionError):
    """A host failed, and all raise this; the exit code is that of the host's own error."""

    on_all_hosts = True

    def __init__(self, code: int, what: str, where: str, remedy: Optional[str]) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.exit_code = code
