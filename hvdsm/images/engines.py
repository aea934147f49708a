"""Which of docker, podman and buildah is there, and works."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import List, Mapping, Optional, Tuple

from hvdsm.errors import BackendUnavailable
from hvdsm.images.commands import DOCKER, ENGINES, probe_command
from hvdsm.images.reasons import remedy_of
from hvdsm.images.running import run

# Seconds that an engine gets to say its version: podman reads its whole storage for it.
PROBE = 20.0
# Found again by its remedy.
_LATE = "engine is silent"
_INSTALL = "install one: https://docs.docker.com/engine/install, or apt-get install podman, or dnf install podman"


@dataclass(frozen=True)
class Engine:
    """What builds images here: its name, its version, and why others were not taken."""

    name: str
    version: str = ""
    passed_over: Tuple[str, ...] = ()


def find_engine(wanted: Optional[str], environ: Mapping[str, str], limit: float = PROBE) -> Engine:
    """The engine to use: the one that is wanted, else the first that answers.

    Args:
        wanted: its name.
        environ: environment, whose PATH is searched.
        limit: seconds that each gets to answer.

    Raises:
        BackendUnavailable: there is none, or none that answers.
    """
    reasons: List[str] = []
    said: List[str] = []
    for name in (wanted,) if wanted else ENGINES:
        if shutil.which(name, path=environ.get("PATH")) is None:
            if wanted:
                reasons.append(f"{name} is not on PATH")
            continue
        try:
            done = run(probe_command(name), environ, apart=True, limit=limit)
        except BackendUnavailable as error:
            # A file that is no program here, such as one of another system.
            reasons.append(f"{name} {error.what}")
            continue
        found = re.search(r"\d+\.\d[\w.+~-]*", done.text)
        if done.code == 0 and found:
            return Engine(name, found[0], tuple(reasons))
        lines = [line for line in (*done.lines, *done.errors) if line.strip()]
        why = f"nothing within {limit:.0f} s" if done.late else lines[-1].strip() if lines else f"exit code {done.code}"
        reasons.append(f"{name} does not answer ({why})")
        lines += [_LATE] if done.late else []
        said += lines
    raise BackendUnavailable(
        "; ".join(reasons) or "none of docker, podman and buildah is on PATH",
        where="--engine" if wanted else "the engine that builds and pushes images",
        remedy=remedy_of(said, _INSTALL),
    )


def likely_engine(environ: Mapping[str, str]) -> str:
    """The engine that a dry run shows where none works: the first that is on PATH, else docker."""
    there = [name for name in ENGINES if shutil.which(name, path=environ.get("PATH")) is not None]
    return there[0] if there else DOCKER
