"""From a plan and what is staged for it to a Compose project, and the values that its file only names; pure."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Collection, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.backends.docker.plan import DockerPlan
from hvdsm.backends.local.layout import HostLayout, decoded
from hvdsm.backends.local.machine import threads_of
from hvdsm.backends.local.secret_values import NAMES
from hvdsm.compose.compose_file import (
    AWS_TARGET,
    CREDENTIALS,
    Bind,
    ComposeProject,
    Reference,
    Service,
    Text,
    project_name,
    training_env,
)
from hvdsm.compose.mask import mask_arguments, mask_value
from hvdsm.emulator import Mount

OPT_ML = "/opt/ml"
# What the service mounts there; the rest of the directory, /opt/ml/code among it, is the image's.
PARTS = ("input", "model", "output", "checkpoints", ".hvdsm")
OUTCOME_FILE = f"{OPT_ML}/.hvdsm/outcome.json"
TOKEN = "HVDSM_JOB_TOKEN"  # noqa: S105 - its name
_WORD = "HVDSM_WORD_"
_VARIABLE = "HVDSM_VALUE_"
# Variables that the engine's own programs heed: a job's value of one is brought by another name.
_OF_CLIENTS = re.compile(
    r"(?:https?|ftp|all|no)_proxy$|(?:DOCKER|COMPOSE|PODMAN|CONTAINERS?|BUILDKIT|XDG)_|(?:PATH|HOME)$", re.IGNORECASE
)


@dataclass(frozen=True)
class Described:
    """A project, and the variables of who runs its file: values that the file does not hold."""

    project: ComposeProject
    values: Mapping[str, str] = field(repr=False)


def describe(
    plan: DockerPlan,
    bases: Mapping[str, str],
    mounts: Sequence[Mount],
    environ: Mapping[str, str],
    secrets: Mapping[str, str],
    token: str,
) -> Described:
    """The project of a plan.

    Args:
        plan: the plan.
        bases: what stands for ``/opt/ml`` of each host.
        mounts: what else the hosts see, and ``/opt/ml`` itself.
        environ: the caller's variables, for region and credentials.
        secrets: variables whose values are secret.
        token: the secret that the hosts of the job share.
    """
    values: Dict[str, str] = {}
    entrypoint = None if plan.entrypoint is None else _words(plan.entrypoint, "ENTRYPOINT", values)
    arguments = _words(plan.arguments, "", values) if plan.arguments else None
    services = []
    for index, host in enumerate(plan.layout):
        variables = variables_of(plan, host, environ, secrets, token)
        services.append(
            Service(
                name=host.name,
                image=plan.image,
                container_name=container_name(plan.job_name, host.name),
                entrypoint=entrypoint,
                command=arguments,
                environment=_named(variables, {*secrets, TOKEN}, values) | _credentials(plan, variables),
                binds=binds_of(host.name, bases[host.name], mounts, plan.aws_directory),
                gpus=() if plan.gpus is None else plan.gpus[index],
                stop_grace=plan.stop_grace,
                unlabelled=plan.selinux,
            )
        )
    hosts = "1 host as SageMaker lays it" if len(plan.layout) == 1 else f"{len(plan.layout)} hosts as SageMaker lays them"
    comments = (
        f"{plan.job_name}: {hosts} out, written by hvdsm.",
        "Values of secrets are not in this file: variables without a value take it from the environment.",
    )
    name = project_name(plan.job_name)
    project = ComposeProject(name, tuple(services), internal=plan.isolated, shm_size=plan.docker.shm_size, comments=comments)
    return Described(project, values)


def container_name(job_name: str, host: str) -> str:
    """Name of a host's container on the machine."""
    return f"{job_name}-{host}"


def variables_of(
    plan: DockerPlan, host: HostLayout, environ: Mapping[str, str], secrets: Mapping[str, str], token: str
) -> Dict[str, str]:
    """The variables of a host's container over those of the image, all with their values."""
    values = plan.request.get("HyperParameters") or {}
    region = decoded(values, "sagemaker_region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    found = {
        "TRAINING_JOB_NAME": plan.job_name,
        "TRAINING_JOB_ARN": f"arn:aws:sagemaker:{region or 'local'}:000000000000:training-job/{plan.job_name}",
        "SM_TRAINING_ENV": training_env(plan.hosts, host.name, plan.job_name, network_interface_name="eth0"),
        "HVDSM_STOP_GRACE": f"{plan.stop_grace:g}",
        "HVDSM_OUTCOME_FILE": OUTCOME_FILE,
        "HVDSM_OUTCOME_LINE": "0",
        TOKEN: token,
    }
    if len(plan.layout) > 1:
        # Hosts that share one machine's cores: a waiting rank gives its core to the rank that it waits for.
        found["OMPI_MCA_mpi_yield_when_idle"] = "1"
    if plan.gpus is None:
        found.update(threads_of((plan.processes or 1) * len(plan.layout)))
    if region:
        found["AWS_REGION"] = str(region)
    if plan.aws_directory is not None and not plan.isolated:
        found["AWS_PROFILE"] = str(plan.docker.aws_profile)
        found["AWS_CONFIG_FILE"] = f"{AWS_TARGET}/config"
        found["AWS_SHARED_CREDENTIALS_FILE"] = f"{AWS_TARGET}/credentials"
    if secrets:
        found[NAMES] = ",".join(secrets)
    asked = plan.request.get("Environment") or {}
    # The platform's own count before the request's, but not where that is a matter of speed.
    fast = {name: asked[name] for name in ("OMP_NUM_THREADS", "OMPI_MCA_mpi_yield_when_idle", "AWS_REGION") if name in asked}
    return {**asked, **secrets, **found, **fast, **plan.docker.variables}


def _named(variables: Mapping[str, str], secret: Collection[str], values: Dict[str, str]) -> Dict[str, Optional[Text]]:
    """Variables as the file has them: without its value each that is secret, or looks so; that goes into ``values``."""
    found: Dict[str, Optional[Text]] = {}
    for name, value in variables.items():
        found[name] = value
        if name in secret or (name != NAMES and _looks_secret(name, value)):
            foreign = _OF_CLIENTS.match(name) is not None
            given = f"{_VARIABLE}{name}" if foreign else name
            values[given] = value
            found[name] = Reference(given) if foreign else None
    return found


def _looks_secret(name: str, value: str) -> bool:
    words = value.split()
    return mask_value(name, value) != value or mask_arguments(words) != words


def _credentials(plan: DockerPlan, variables: Mapping[str, str]) -> Dict[str, Optional[Text]]:
    """The caller's credentials, by their names alone."""
    if plan.isolated or plan.aws_directory is not None:
        return {}
    return {name: None for name in CREDENTIALS if name not in variables}


def _words(words: Sequence[str], prefix: str, values: Dict[str, str]) -> Tuple[Text, ...]:
    """Words of a command; one that holds a secret becomes the name of a variable."""
    found: List[Text] = []
    for number, (word, masked) in enumerate(zip(words, mask_arguments(words)), 1):
        if word == masked:
            found.append(word)
            continue
        name = f"{_WORD}{prefix}{'_' if prefix else ''}{number}"
        values[name] = word
        found.append(Reference(name))
    return tuple(found)


def binds_of(host: str, base: str, mounts: Sequence[Mount], aws_directory: Optional[str]) -> Tuple[Bind, ...]:
    """The paths that a host sees, the outer ones first.

    ``/opt/ml`` is not mounted as a whole: what the image has there besides the service's directories stays.
    """
    found = {f"{OPT_ML}/{part}": Bind(os.path.join(base, part), f"{OPT_ML}/{part}", read_only=False) for part in PARTS}
    if aws_directory is not None:
        found[AWS_TARGET] = Bind(aws_directory, AWS_TARGET)
    for mount in mounts:
        if mount.host in (None, host) and mount.target != OPT_ML:
            found[mount.target] = Bind(mount.source, mount.target, read_only=not mount.writable)
    return tuple(sorted(found.values(), key=lambda bind: bind.target.count("/")))
