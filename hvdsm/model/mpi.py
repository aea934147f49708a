"""The MPI implementation that was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple


@dataclass(frozen=True)
class MpiImplementation:
    """An Open MPI installation, probed once per job.

    ``mpirun`` is an absolute path; ``prefix`` the installation it belongs to, passed as ``--prefix`` where remote
    daemons would not be found without it.
    """

    mpirun: str
    version: Tuple[int, ...]
    prefix: Optional[str] = None

    @property
    def is_prrte(self) -> bool:
        """Whether ranks are started by PRRTE (Open MPI 5 and later; its daemon is ``prted``, not ``orted``)."""
        return self.version[:1] >= (5,)

    @property
    def daemon(self) -> str:
        """Name of the daemon that mpirun starts on each other host."""
        return "prted" if self.is_prrte else "orted"
