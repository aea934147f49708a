"""The goals, what is looked into for each, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from hvdsm.compose.inherited import clean_environment
from hvdsm.container.diagnosis import Check, Probe, as_json, examine_all, exit_code, of_error, unchecked
from hvdsm.container.doctor import container_probes, verdict
from hvdsm.doctor.cloud import Wanted, cloud_probes
from hvdsm.doctor.engines import docker_probes
from hvdsm.doctor.local import local_probes
from hvdsm.errors import HvdsmError
from hvdsm.model import MPI

LOCAL, DOCKER, SAGEMAKER, CONTAINER = "local", "docker", "sagemaker", "container"
# Each goal, and what it means that it works.
GOALS: Dict[str, str] = {
    LOCAL: "jobs can be rehearsed on emulated hosts of this machine",
    DOCKER: "images can be built here, and jobs run in containers",
    SAGEMAKER: "jobs can be sent to SageMaker",
    CONTAINER: "an image like this system can run jobs",
}


@dataclass(frozen=True)
class Asked:
    """What is meant.

    Attributes:
        wanted: the job in the cloud.
        mpirun: path that the user gave.
        output: where local results go.
        distribution: of jobs in the image.
        quick: whether no ranks are started in the image.
        engine: the container engine, or ``auto``.
        image: of containers.
    """

    wanted: Wanted = field(default_factory=Wanted)
    mpirun: Optional[str] = None
    output: str = "hvdsm-out"
    distribution: str = MPI
    quick: bool = False
    engine: str = "auto"
    image: Optional[str] = None


def probes(goal: str, environ: Mapping[str, str], asked: Asked) -> List[Probe]:
    """What is looked into for a goal; what cannot even be begun is a check as well."""
    makers: Dict[str, Callable[[], List[Probe]]] = {
        LOCAL: lambda: local_probes(environ, asked.mpirun, asked.output),
        DOCKER: lambda: docker_probes(environ, engine=asked.engine, image=asked.image),
        SAGEMAKER: lambda: cloud_probes(environ, asked.wanted),
        CONTAINER: lambda: container_probes(_of_image(environ, asked), kind=asked.distribution, quick=asked.quick),
    }
    try:
        return makers[goal]()
    except HvdsmError as error:
        wrong = of_error(goal, error)
    except Exception as error:
        wrong = unchecked(goal, f"the checks cannot be made: {type(error).__name__}: {error}")
    return [Probe(goal, lambda: wrong)]


def _of_image(environ: Mapping[str, str], asked: Asked) -> Dict[str, str]:
    return {**clean_environment(environ)[0], **({"HVDSM_MPIRUN": asked.mpirun} if asked.mpirun else {})}


def diagnose(
    goals: Sequence[str], environ: Mapping[str, str], asked: Asked, say: Optional[Callable[[str], None]] = None
) -> Dict[str, List[Check]]:
    """The checks of each goal; all are looked into at the same time.

    Args:
        goals: names of goals.
        environ: the caller's environment.
        asked: what is meant.
        say: is told what takes its time.
    """
    return examine_all({goal: probes(goal, environ, asked) for goal in goals}, say)


def report(found: Mapping[str, Sequence[Check]]) -> Dict[str, Any]:
    """Several goals, for programs."""
    return {"goals": {goal: as_json(goal, checks) for goal, checks in found.items()}}


def rows(found: Mapping[str, Sequence[Check]]) -> List[List[str]]:
    """Goal, whether it works, what is in the way or worth a look."""
    told = []
    for goal, checks in found.items():
        failed = [check.name for check in checks if check.status == "failed"]
        others = [check.name for check in checks if check.status in ("warning", "not checked")]
        told.append([goal, "no" if failed else "yes", ", ".join(failed), ", ".join(others)])
    return told


def sentence(goal: str, checks: Sequence[Check]) -> str:
    """One line on a goal."""
    return verdict(checks, GOALS[goal])


__all__ = ["GOALS", "Asked", "Wanted", "diagnose", "exit_code", "probes", "report", "rows", "sentence"]
