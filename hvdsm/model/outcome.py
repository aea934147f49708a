"""How a job ended: the same record in the container, in ``outcome.json`` and in the Python API."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple

COMPLETED = "Completed"
FAILED = "Failed"
STOPPED = "Stopped"

KIND_EXCEPTION = "exception"
KIND_EXIT = "exit"
KIND_SIGNAL = "signal"
KIND_HOST_LOST = "host-lost"
KIND_TIMEOUT = "timeout"
KIND_LAUNCH = "launch"
KIND_HANG = "hang"
KIND_ROLE = "role"


@dataclass(frozen=True)
class RankFailure:
    """Why a job failed: the first failing rank, or what kept ranks from running (``rank`` is None then).

    ``time`` is seconds since the epoch on the launcher's clock; ``exit_code`` 128+N for signal N.  ``reported`` says that the
    script told of it before it ended; otherwise the end itself was seen.  ``evidence`` is what the host measured of it: the
    counters of its memory limit after a SIGKILL, a rank's state in ``/proc`` when it hangs.
    """

    kind: str
    message: str
    exit_code: int
    host: Optional[str] = None
    rank: Optional[int] = None
    local_rank: Optional[int] = None
    exception: Optional[str] = None
    traceback: str = ""
    signal: Optional[int] = None
    output_tail: str = ""
    reported: bool = False
    time: float = 0.0
    evidence: str = ""

    @property
    def who(self) -> str:
        """``rank 1 (algo-2, local rank 0)``, or the host alone, or ``the job``."""
        if self.rank is None:
            return self.host or "the job"
        return f"rank {self.rank} ({self.host}, local rank {self.local_rank})"


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended.

    ``phases`` maps a phase's name to the seconds from the start of the job until it was reached.
    ``ranks_per_host`` counts the ranks that really ran on each host; ``restarts`` how often they were started again
    in the same job; ``interruptions`` how often all hosts were taken from it and it was launched anew on others.
    ``metrics`` has the values found for each of the request's MetricDefinitions: ``count``, ``last``, ``min``, ``max``.
    """

    job_name: str
    status: str
    exit_code: int
    world_size: int = 0
    ranks_per_host: Mapping[str, int] = field(default_factory=dict)
    failure: Optional[RankFailure] = None
    phases: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: Tuple[str, ...] = ()
    output_dir: Optional[str] = None
    model_dir: Optional[str] = None
    restarts: int = 0
    interruptions: int = 0
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the job completed."""
        return self.status == COMPLETED

    def to_json(self) -> str:
        """The record as indented JSON with sorted keys."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> JobOutcome:
        """The record from what ``json.loads`` makes of :meth:`to_json`; unknown keys are ignored.

        Raises:
            TypeError: a mandatory field is missing.
        """
        known: Dict[str, Any] = {k: v for k, v in data.items() if k in cls.__dataclass_fields__}
        failure = known.get("failure")
        if failure is not None:
            known["failure"] = RankFailure(**{k: v for k, v in failure.items() if k in RankFailure.__dataclass_fields__})
        known["warnings"] = tuple(known.get("warnings", ()))
        return cls(**known)
