"""Where the source of a request is: ``sagemaker_submit_directory``, on this machine, on S3, or in one of the channels."""

from __future__ import annotations

import os
from typing import Any, Mapping, Optional, Tuple

from hvdsm.backends.local.data import DataSet, locate
from hvdsm.backends.local.layout import decoded, program_of
from hvdsm.compose.request import PROGRAM, SUBMIT_DIRECTORY, file_uri
from hvdsm.errors import ConfigError

_CHANNELS = "/opt/ml/input/data/"


def source_of(
    request: Mapping[str, Any], s3_root: Optional[str], command: Optional[Tuple[str, ...]]
) -> Tuple[str, Optional[DataSet]]:
    """The entry point of a request and where its source is.

    A request that has the hosts run a command of its own needs neither; where it names a source it is found all the same.

    Raises:
        ConfigError: there is no script, or no source where it should be.
    """
    values = request.get("HyperParameters") or {}
    uri, program = decoded(values, SUBMIT_DIRECTORY), program_of(request)
    where = f"HyperParameters.{SUBMIT_DIRECTORY}"
    if command is not None:
        if not isinstance(uri, str) or not uri or uri.startswith("/opt/ml/"):
            return "", None
        return "", locate("source", file_uri(uri) if uri.startswith("/") else uri, s3_root, where, siblings=False)
    if (not isinstance(uri, str) or not uri) and not program:
        raise _in_the_image(request)
    for key, value in ((SUBMIT_DIRECTORY, uri), (PROGRAM, program)):
        if not isinstance(value, str) or not value:
            raise ConfigError(
                "is missing: a rehearsal runs the script of a request, never the program of its image",
                where=f"HyperParameters.{key}",
                remedy="make the request with a source directory and entry point (script mode)",
            )
    assert isinstance(uri, str) and isinstance(program, str)
    if uri.startswith(_CHANNELS):
        uri = _in_channel(request, uri, where)
    elif uri.startswith("/"):
        uri = file_uri(uri)
    source = locate("source", uri, s3_root, where, siblings=False)
    if source.directory is not None and not os.path.isfile(os.path.join(source.directory, program)):
        raise ConfigError(f"has no {program}", where=source.directory, remedy="name the script relative to the source directory")
    return program, source


def _in_channel(request: Mapping[str, Any], path: str, where: str) -> str:
    """The address of a source that a channel brings, as for containers that may not reach S3 (network isolation)."""
    name, _, inside = path[len(_CHANNELS) :].partition("/")
    inside = inside.strip("/")
    if os.pardir in inside.split("/"):
        raise ConfigError(f"{path} leads out of its channel", where=where, remedy="name a file or directory of the channel")
    for channel in request.get("InputDataConfig") or ():
        if channel.get("ChannelName") == name:
            uri = str(((channel.get("DataSource") or {}).get("S3DataSource") or {}).get("S3Uri") or "")
            if not inside or uri.endswith("/" + inside):
                return uri
            return uri.rstrip("/") + "/" + inside
    raise ConfigError(
        f"{path} is in a channel that the request does not have", where=where, remedy=f"add it: --channel {name}=PATH"
    )


def _in_the_image(request: Mapping[str, Any]) -> ConfigError:
    algorithm = request.get("AlgorithmSpecification") or {}
    image = algorithm.get("TrainingImage") or algorithm.get("AlgorithmName") or "its image"
    entry = algorithm.get("ContainerEntrypoint")
    has = f"but {entry[0]}, which is the image's own," if entry else "nor a ContainerEntrypoint"
    return ConfigError(
        f"the program of this job is in {image}, which is not run here: the request has {'no' if entry else 'neither a'} script "
        f"(HyperParameters.{PROGRAM}, {SUBMIT_DIRECTORY}) {has}".rstrip(","),
        where="AlgorithmSpecification",
        remedy="make the request with a source directory and entry point (script mode)"
        + ("" if entry else ", or with a ContainerEntrypoint"),
    )
