"""The container of the SDK 2 (``sagemaker.local.image``), which the SDK 3 has as well, without Docker."""

from __future__ import annotations

import json
import os
import sys
from types import ModuleType
from typing import Any, Callable, Dict, List, Mapping, Optional
from urllib.parse import urlparse

hook: Any = sys.modules["hvdsm_local_hook"]
jobs: Any = hook.sibling("hvdsm_local_job")
requests: Any = hook.sibling("hvdsm_local_request")

_SUBMIT_DIRECTORY = "sagemaker_submit_directory"
_CODE = "/opt/ml/code"
_DATA = "/opt/ml/input/data/"
_ARCHIVES = "compressed_artifacts"
# Of a channel; the container's description of it has no others that matter.
_FIELDS = ("ContentType", "CompressionType", "RecordWrapperType", "InputMode", "ShuffleConfig")


def change(module: ModuleType, replace: Callable[[Any, str, Any], None]) -> None:
    """Let containers train on emulated hosts.

    Raises:
        AttributeError, TypeError: the module is another than those known.
    """
    from inspect import signature

    container = vars(module)["_SageMakerContainer"]
    signature(container.train).bind(None, [], {}, {}, {}, "")
    signature(container.process).bind(None, [], {}, {}, "")
    signature(container.serve).bind(None, "", {})
    signature(container._create_tmp_folder).bind(None)
    signature(container._prepare_training_volumes).bind(None, "", [], {}, {})
    signature(container.retrieve_artifacts).bind(None, {}, {}, "")
    vars(container)["_get_compose_cmd_prefix"]
    utils = _package(module, "utils")
    vars(utils)["check_for_studio"]
    logger = vars(module)["logger"]
    sources = _package(module, "data").get_data_source_instance

    def train(
        self: Any,
        input_data_config: Any,
        output_data_config: Mapping[str, Any],
        hyperparameters: Mapping[str, Any],
        environment: Optional[Mapping[str, Any]],
        job_name: str,
    ) -> Any:
        artifacts = _train(
            self, list(input_data_config), output_data_config, dict(hyperparameters), environment, job_name, sources
        )
        logger.info("===== Job Complete =====")
        return artifacts

    def process(*_args: Any, **_kwargs: Any) -> None:
        raise requests.refused("Processing")

    def serve(*_args: Any, **_kwargs: Any) -> None:
        raise requests.refused("Serving a model (deploy, transform)")

    replace(container, "_get_compose_cmd_prefix", staticmethod(list))
    replace(container, "train", train)
    replace(container, "process", process)
    replace(container, "serve", serve)
    # In Studio Docker can start one container only; hosts are emulated there as anywhere.
    replace(utils, "check_for_studio", lambda: False)


def _package(module: ModuleType, name: str) -> Any:
    from importlib import import_module

    return import_module(f"{module.__name__.rpartition('.')[0]}.{name}")


def _train(
    container: Any,
    channels: List[Mapping[str, Any]],
    output: Mapping[str, Any],
    hyperparameters: Dict[str, Any],
    environment: Optional[Mapping[str, Any]],
    job_name: str,
    sources: Callable[[str, Any], Any],
) -> Any:
    session = container.sagemaker_session
    root = container.container_root = container._create_tmp_folder()
    fetched: List[str] = []
    kept = ""
    try:
        data = os.path.join(root, "data")
        os.mkdir(data)
        volumes = container._prepare_training_volumes(data, channels, output, hyperparameters)
        places = requests.volumes_of(volume.map for volume in volumes)
        fetched += [places[_DATA + entry["ChannelName"]] for entry in channels if str(entry["DataUri"]).startswith("s3://")]
        source = places.get(_CODE)
        uri = _text(hyperparameters.get(_SUBMIT_DIRECTORY))
        if source is None and uri.startswith("s3://"):
            directory = sources(uri, session).get_root_dir()
            fetched.append(directory)
            source = os.path.join(directory, os.path.basename(urlparse(uri).path))
        request = requests.request_of(
            job_name,
            (container.instance_type, container.instance_count),
            container.image,
            (container.container_entrypoint, container.container_arguments),
            hyperparameters,
            environment,
            [
                requests.channel(
                    entry["ChannelName"],
                    places[_DATA + entry["ChannelName"]],
                    **{name: entry.get(name) for name in _FIELDS},
                )
                for entry in channels
            ],
            source,
        )
        job = jobs.Job(request, root, fetched, requests.session_variables(session))
        try:
            job.finish()
        finally:
            compose = job.place_results(container.hosts, os.path.join(root, "model"), root)
            artifacts = container.retrieve_artifacts(compose, output, job_name)
        if output["S3OutputPath"] == "":
            kept = _ARCHIVES
        return artifacts
    finally:
        for directory in fetched:
            jobs.remove(directory)
        jobs.remove_all_but(root, kept)


def _text(value: Any) -> str:
    try:
        return str(json.loads(value))
    except (TypeError, ValueError):
        return str(value or "")
