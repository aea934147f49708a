"""Jobs by name, of this machine and of SageMaker alike.

``lookup`` finds a job; ``local`` and ``cloud`` are the two kinds, behind the protocol of ``base``; ``lines``, ``select`` and
``fold`` decide which lines of a log are shown, and how; ``results`` brings what a job left; ``request``, ``sample``,
``fetching``, ``compare`` and ``replay`` make a past job of the cloud run here again; ``times`` reads what users write.
"""

from __future__ import annotations

from hvdsm.jobs.base import Job, JobState, Line, Summary
from hvdsm.jobs.lookup import Where, find_job, list_all

__all__ = ["Job", "JobState", "Line", "Summary", "Where", "find_job", "list_all"]
