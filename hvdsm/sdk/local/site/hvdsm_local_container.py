"""The container of ModelTrainer's local mode (SDK 3, and ``sagemaker.modules`` of late SDK 2), without Docker."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from types import ModuleType
from typing import Any, Callable, Dict, List

hook: Any = sys.modules["hvdsm_local_hook"]
jobs: Any = hook.sibling("hvdsm_local_job")
requests: Any = hook.sibling("hvdsm_local_request")

_SUBMIT_DIRECTORY = "sagemaker_submit_directory"
_CODE = "/opt/ml/code"
_DATA = "/opt/ml/input/data/"
# Holds what the SDK has written for this job, and removes when its own call returns.
_DRIVERS = "sm_drivers"
_FIELDS = {"training_job_name", "instance_type", "instance_count", "image", "container_root", "input_data_config", "environment"}


def change(module: ModuleType, replace: Callable[[Any, str, Any], None]) -> None:
    """Let containers train on emulated hosts.

    Raises:
        AttributeError, TypeError: the module is another than those known.
    """
    from inspect import signature

    container = vars(module)["_LocalContainer"]
    signature(container.train).bind(None, True)
    signature(container._prepare_training_volumes).bind(None, "", [], {})
    signature(container.retrieve_artifacts).bind(None, {})
    fields = getattr(container, "model_fields", {})
    missing = {"training_job_name", "instance_type", "instance_count", "image", "container_root", "input_data_config"} - set(
        fields
    )
    if missing:
        raise AttributeError(f"_LocalContainer has no {', '.join(sorted(missing))}")
    logger = vars(module)["logger"]
    vars(module)["check_for_studio"]

    def train(self: Any, wait: bool = True) -> str:
        return _train(self, bool(wait), logger)

    replace(container, "train", train)
    # In Studio Docker can start one container only; hosts are emulated there as anywhere.
    replace(module, "check_for_studio", lambda: False)


def _train(container: Any, wait: bool, logger: Any) -> str:
    root = os.path.abspath(container.container_root)
    os.makedirs(root, exist_ok=True)
    work = tempfile.mkdtemp(prefix="hvdsm-", dir=root)
    removed: List[str] = []
    try:
        data = os.path.join(work, "data")
        os.mkdir(data)
        hyperparameters = dict(container.hyper_parameters or {})
        channels = list(container.input_data_config or [])
        places = requests.volumes_of(container._prepare_training_volumes(data, channels, hyperparameters))
        removed += list(container._temporary_folders)
        request = requests.request_of(
            container.training_job_name,
            (container.instance_type, container.instance_count),
            container.image,
            (_given(container.container_entrypoint), _given(container.container_arguments)),
            hyperparameters,
            container.environment,
            [_channel(entry, places, work, root, removed, wait) for entry in channels],
            places.get(_CODE),
        )
        job = jobs.Job(request, work, removed, requests.session_variables(container.sagemaker_session))
    except BaseException:
        _clean(work, removed)
        raise

    def end() -> str:
        try:
            try:
                job.finish()
            finally:
                artifacts = _artifacts(container, job, work, root)
            logger.info("Local training job completed, output artifacts saved to %s", artifacts)
            return artifacts
        finally:
            _clean(work, removed)

    if wait or not job.wait_until_up():
        return end()
    logger.info("%s runs in the background, as long as this program: its artifacts will be below %s", job.name, root)
    jobs.in_background(job, end)
    return _archive(root)


def _given(words: Any) -> Any:
    """The words of a command, None where the SDK has no value."""
    return words if isinstance(words, (list, tuple, str)) else None


def _channel(entry: Any, places: Dict[str, str], work: str, root: str, removed: List[str], wait: bool) -> Dict[str, Any]:
    name = entry.channel_name
    place = places[_DATA + name]
    if name == _DRIVERS and os.path.dirname(os.path.abspath(place)) == root:
        if wait:
            removed.append(place)
        else:
            place = shutil.copytree(place, os.path.join(work, name))
    fields = {
        "ContentType": entry.content_type,
        "CompressionType": entry.compression_type,
        "RecordWrapperType": entry.record_wrapper_type,
        "InputMode": entry.input_mode,
    }
    made: Dict[str, Any] = requests.channel(
        name, place, **{key: value for key, value in fields.items() if isinstance(value, str)}
    )
    return made


def _archive(root: str) -> str:
    return os.path.join("file://" + root, "compressed_artifacts", "model.tar.gz")


def _artifacts(container: Any, job: Any, work: str, root: str) -> str:
    """Have the SDK collect this job's results apart, then put them where it does: what lies there from before is not taken in."""
    compose = job.place_results(container.hosts, os.path.join(work, "model"), work)
    before = container.container_root
    container.container_root = work
    try:
        container.retrieve_artifacts(compose)
    finally:
        container.container_root = before
    for name in ("artifacts", "compressed_artifacts"):
        shutil.copytree(os.path.join(work, name), os.path.join(root, name), dirs_exist_ok=True)
    return _archive(root)


def _clean(work: str, removed: List[str]) -> None:
    for directory in (*removed, work):
        jobs.remove(directory)
