"""A partitioned graph and GraphStorm's configuration on their way to S3."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional

from hvdsm.errors import CloudRefused, ConfigError, UsageError
from hvdsm.recipes.graph.metadata import count_of

YAMLS = (".yaml", ".yml")


@dataclass(frozen=True)
class Upload:
    """What goes where.

    Attributes:
        graph: directory of the graph.
        graph_data: its S3 address.
        yaml: the configuration's file.
        yaml_data: its S3 address, of the object.
        parts: number of partitions.
    """

    graph: str
    graph_data: str
    yaml: str
    yaml_data: str
    parts: int


def planned(graph: str, yaml: str, graph_data: str, yaml_data: str) -> Upload:
    """What goes where.

    Args:
        graph: directory of the graph.
        yaml: the configuration's file.
        graph_data: S3 address of the graph.
        yaml_data: S3 address of the configuration; with a slash at its end that of its folder.

    Raises:
        UsageError: an address is none, or the configuration would lie below the graph.
        ConfigError: the directory has no metadata or not all partitions, or there is no such file.
    """
    for option, value in (("--graph-data-s3", graph_data), ("--yaml-s3", yaml_data)):
        if not re.match(r"s3://[^/]+", value):
            raise UsageError(f"must be an address of S3, not {value!r}", where=option, remedy="s3://BUCKET/PREFIX")
    if yaml_data.endswith("/"):
        yaml_data += os.path.basename(yaml)
    for where, name in (("YAML", yaml), ("--yaml-s3", yaml_data)):
        if not name.endswith(YAMLS):
            raise UsageError(f"must end in .yaml or .yml, not {name!r}", where=where, remedy="name the configuration's file")
    if not os.path.isfile(yaml):
        raise ConfigError("there is no such file", where=yaml, remedy="check the path")
    if f"{yaml_data}/".startswith(f"{graph_data.rstrip('/')}/"):
        raise UsageError(
            f"{yaml_data} lies below the graph",
            where="--yaml-s3",
            remedy="name another prefix: whoever copies the graph copies it all",
        )
    return Upload(graph, graph_data.rstrip("/"), yaml, yaml_data, _parts(graph))


def _parts(graph: str) -> int:
    if not os.path.isdir(graph):
        raise ConfigError("there is no such directory", where=graph, remedy="check the path")
    for name in sorted(name for name in os.listdir(graph) if name.endswith(".json")):
        path = os.path.join(graph, name)
        with open(path, "rb") as file:
            content = file.read()
        if b'"num_parts"' not in content:
            continue
        count = count_of(content, path)
        missing = [f"part{part}" for part in range(count) if not os.path.isdir(os.path.join(graph, f"part{part}"))]
        if missing:
            raise ConfigError(
                f"has no {', '.join(missing[:5])}, and {name} names {count} partitions",
                where=graph,
                remedy="construct or partition the graph anew",
            )
        return count
    raise ConfigError("has no metadata with num_parts", where=graph, remedy="name the directory of a partitioned graph")


def bring(
    asked: Upload,
    region: Optional[str],
    profile: Optional[str],
    *,
    say: Callable[[str], None],
    progress: Optional[Callable[[int], None]] = None,
    begin: Optional[Callable[[int, int], None]] = None,
) -> Dict[str, Any]:
    """Copy what is not there yet; the addresses and how much it was.

    Args:
        asked: what goes where.
        region: AWS region.
        profile: of the AWS configuration.
        say: is told of troubles.
        progress: is given the bytes as they are copied.
        begin: is given the number of files and bytes.

    Raises:
        CloudRefused: S3 refuses.
        CloudUnavailable: S3 cannot be reached.
    """
    from hvdsm.aws import storage
    from hvdsm.aws.session import connect

    graph = storage.keyed(asked.graph, [name for name, _ in storage.tree_files(asked.graph)], asked.graph_data)
    groups = ((graph, f"{asked.graph_data}/"), ([(asked.yaml, asked.yaml_data)], asked.yaml_data))
    aws = connect(region, profile)
    if begin is not None:
        begin(len(graph) + 1, sum(os.path.getsize(path) for files, _ in groups for path, _ in files))
    count = size = present = 0
    for files, prefix in groups:
        done = storage.upload_files(aws, files, progress=progress, say=say, known=_there(aws, prefix))
        count, size, present = count + done.files, size + done.size, present + done.present
    told = {"graph_data_s3": asked.graph_data, "yaml_s3": asked.yaml_data, "parts": asked.parts}
    return {**told, "files": count, "bytes": size, "present": present}


def _there(aws: Any, prefix: str) -> Mapping[str, Any]:
    """The objects that are there; none for credentials that may write but not list."""
    from hvdsm.aws import storage
    from hvdsm.aws.failures import is_denied

    try:
        return {entry.key: entry for entry in storage.list_objects(aws, prefix)}
    except CloudRefused as error:
        if not is_denied(error):
            raise
        return {}
