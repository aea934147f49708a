"""Back ends: where a CreateTrainingJob request is executed, behind one protocol (:mod:`hvdsm.backends.base`)."""

from __future__ import annotations

from hvdsm.backends.base import Backend, Event, Job, Plan

__all__ = ["Backend", "Event", "Job", "Plan"]
