"""How many partitions a graph has, read before a job is submitted, from its metadata in S3."""

from __future__ import annotations

import json
from typing import Any, Callable, Mapping, Optional, Tuple

from hvdsm.errors import ConfigError, UsageError

# Reads the object of a bucket and key; None where there is none.
Read = Callable[[str, str], Optional[bytes]]


def split_s3(uri: str) -> Tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``, the key without a slash at its end."""
    bucket, _, key = uri[len("s3://") :].partition("/")
    return bucket, key.rstrip("/")


def partitions(graph_data: str, graph_name: str, read: Read) -> Tuple[int, str]:
    """The number of partitions, and the name of the file that says so.

    Args:
        graph_data: S3 address of the partitioned graph.
        graph_name: its name.
        read: reads an object.

    Raises:
        ConfigError: there is no metadata, or they are not those of a partitioned graph.
    """
    bucket, prefix = split_s3(graph_data)
    names = (f"{graph_name}.json", "metadata.json")
    for name in names:
        content = read(bucket, f"{prefix}/{name}" if prefix else name)
        if content is not None:
            return count_of(content, f"{graph_data.rstrip('/')}/{name}"), name
    raise ConfigError(
        f"has neither {names[0]} nor {names[1]}",
        where=graph_data,
        remedy="check --graph-data-s3 and --graph-name: they name a partitioned graph, as hvdsm graph construct writes it",
    )


def check_instances(instances: int, count: int, where: str) -> None:
    """As many hosts as partitions.

    Raises:
        UsageError: there are more, or fewer.
    """
    if instances != count:
        raise UsageError(
            f"is {instances}, and the graph has {count} partition{'s' if count != 1 else ''} ({where}): each host has one",
            where="--instance-count",
            remedy=f"--instance-count {count}, or partition the graph anew",
        )


def count_of(content: bytes, where: str) -> int:
    """The number of partitions that metadata name.

    Raises:
        ConfigError: they are not those of a partitioned graph.
    """
    try:
        document: Any = json.loads(content)
    except ValueError as error:
        raise ConfigError(f"is no JSON: {error}", where=where, remedy="construct or partition the graph anew") from None
    count = document.get("num_parts") if isinstance(document, Mapping) else None
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ConfigError("has no num_parts", where=where, remedy="name a partitioned graph by --graph-data-s3 and --graph-name")
    return count
