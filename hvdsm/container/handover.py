"""A job that another program hands over: what it says of the job, over what the platform wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Tuple


@dataclass(frozen=True)
class Handover:
    """What another program, which the platform started, says of the job when it hands this host's part over.

    Attributes:
        source: directory of the source, ready to be run there.
        reserved: ``sagemaker_*`` hyperparameters over those of the job: the program, its distribution, its supervision.
        arguments: the script's arguments, in place of those that hyperparameters make.
        settings: ``HVDSM_*`` variables over those of the environment.
    """

    source: str
    reserved: Mapping[str, Any]
    arguments: Tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)

    def config_fields(self) -> Dict[str, Any]:
        """Fields of the container's configuration that follow from it."""
        told = json.dumps(self.arguments, separators=(",", ":"))
        return {"arguments": self.arguments, "variables": {"SM_USER_ARGS": told}, "ready": True}
