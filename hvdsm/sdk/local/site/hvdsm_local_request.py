"""What the SDK says of a job of local mode, as hvdsm's program takes it: a request, places, variables."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple
from urllib.parse import quote

hook: Any = sys.modules["hvdsm_local_hook"]

WORKS = (
    "training on emulated hosts: estimator.fit() and ModelTrainer.train(), and pipelines of training steps; for the rest use the "
    "SageMaker SDK with Docker and without hvdsm's hook, or an instance type of the cloud"
)


def refused(what: str) -> NotImplementedError:
    """The error of what has no emulated counterpart."""
    return NotImplementedError(f"{what} in local mode needs Docker, which hvdsm replaces for training only. What works: {WORKS}.")


def file_uri(path: str) -> str:
    """``file://`` of a path."""
    return "file://" + quote(os.path.abspath(path))


def volumes_of(volumes: Iterable[str]) -> Dict[str, str]:
    """Directories of this machine by their place in the container, from ``HOST:CONTAINER`` of Docker."""
    pairs = (volume[: -len(":z")] if volume.endswith(":z") else volume for volume in volumes)
    return {container: host for host, _, container in (pair.rpartition(":") for pair in pairs)}


def session_variables(session: Any) -> Dict[str, str]:
    """Credentials, region and S3's address of the SDK's session, as the container gets them from Docker too."""
    if session is None:
        return {}
    found: Dict[str, Optional[str]] = {}
    with contextlib.suppress(Exception):
        held = session.boto_session.get_credentials().get_frozen_credentials()
        found = {
            "AWS_ACCESS_KEY_ID": held.access_key,
            "AWS_SECRET_ACCESS_KEY": held.secret_key,
            "AWS_SESSION_TOKEN": held.token,
        }
    region = getattr(session, "boto_region_name", None)
    found.update(AWS_REGION=region, AWS_DEFAULT_REGION=region)
    with contextlib.suppress(Exception):
        found["AWS_ENDPOINT_URL_S3"] = session.s3_resource.meta.client.meta.endpoint_url
    return {name: value for name, value in found.items() if isinstance(value, str) and value}


def runner_environment(environ: Mapping[str, str], session: Mapping[str, str], python: str) -> Dict[str, str]:
    """Variables of hvdsm's program: the script's, with the session's credentials, without this hook.

    Args:
        environ: the script's.
        session: see :func:`session_variables`.
        python: hvdsm's interpreter; another one's programs come first on PATH, and are in no virtual environment of the script's.
    """
    variables = {name: value for name, value in environ.items() if name not in ("PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT")}
    if os.path.dirname(python) != os.path.dirname(sys.executable):
        for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
            variables.pop(name, None)
        variables["PATH"] = os.pathsep.join([os.path.dirname(python), environ.get("PATH") or os.defpath])
    if "AWS_ACCESS_KEY_ID" in session:
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"):
            variables.pop(name, None)
    here = hook.HERE
    entries = [os.path.abspath(entry) for entry in environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(here))))
    if os.path.basename(package) not in ("site-packages", "dist-packages"):
        entries.insert(0, package)
    # Neither this hook nor that of a sandbox is for the programs of the job.
    entries = [e for e in entries if os.path.realpath(e) != here and not os.path.exists(os.path.join(e, "hvdsm_redirect.py"))]
    variables.update(session, PYTHONPATH=os.pathsep.join(entries))
    variables.setdefault("PYTHONUNBUFFERED", "1")
    return variables


def request_of(
    job_name: str,
    hosts: Tuple[str, int],
    image: Any,
    command: Tuple[Any, Any],
    hyperparameters: Optional[Mapping[str, Any]],
    environment: Optional[Mapping[str, Any]],
    channels: List[Dict[str, Any]],
    source: Optional[str] = None,
) -> Dict[str, Any]:
    """A CreateTrainingJob request of what a container of local mode was to run.

    Args:
        job_name: TrainingJobName.
        hosts: instance type and count.
        image: of the container; not run.
        command: ContainerEntrypoint and ContainerArguments, None for none.
        hyperparameters: values that are not text become JSON.
        environment: variables of the container.
        channels: entries of InputDataConfig.
        source: directory or archive of the script, if it is in a place of its own.
    """
    algorithm: Dict[str, Any] = {"TrainingImage": str(image), "TrainingInputMode": "File"}
    for name, words in zip(("ContainerEntrypoint", "ContainerArguments"), command):
        if words:
            algorithm[name] = [words] if isinstance(words, str) else [str(word) for word in words]
    values = {name: value if isinstance(value, str) else json.dumps(value) for name, value in (hyperparameters or {}).items()}
    if source is not None:
        values["sagemaker_submit_directory"] = json.dumps(file_uri(source))
    request: Dict[str, Any] = {
        "TrainingJobName": job_name,
        "AlgorithmSpecification": algorithm,
        "HyperParameters": values,
        "Environment": {name: str(value) for name, value in (environment or {}).items()},
        "ResourceConfig": {"InstanceType": hosts[0], "InstanceCount": hosts[1], "VolumeSizeInGB": 1},
        # Containers of local mode have no limit; this is the greatest that the service knows.
        "StoppingCondition": {"MaxRuntimeInSeconds": 28 * 24 * 3600},
    }
    if channels:
        request["InputDataConfig"] = channels
    return request


def channel(name: str, directory: str, **fields: Any) -> Dict[str, Any]:
    """An entry of InputDataConfig for a directory or file of this machine."""
    source = {"S3DataType": "S3Prefix", "S3Uri": file_uri(directory), "S3DataDistributionType": "FullyReplicated"}
    given = {key: value for key, value in fields.items() if value is not None}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **given}
