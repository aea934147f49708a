"""What a host needs of a partitioned graph; pure.

Source: GraphStorm's ``download_graph``: which files, and where they are expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Tuple

from .failures import JobError

TRANSFORMS = "data_transform_new.json"
NODE_MAP, EDGE_MAP = "node_mapping.pt", "edge_mapping.pt"
RAW_IDS = "raw_id_mappings"


@dataclass(frozen=True)
class Share:
    """What one host downloads: names below the graph's address, and where each goes below the graph's directory."""

    config: str
    files: Tuple[Tuple[str, str], ...]
    warnings: Tuple[str, ...]


def config_name(names: Mapping[str, int], graph_name: str, where: str) -> str:
    """The file that describes the partitions.

    Raises:
        JobError: there is none.
    """
    wanted = (f"{graph_name}.json", "metadata.json")
    for name in wanted:
        if name in names:
            return name
    raise JobError(f"has neither {wanted[0]} nor {wanted[1]}", where, "check --graph-data-s3 and --graph-name")


def share_of(names: Mapping[str, int], graph_name: str, host: int, hosts: int, where: str, *, edges: bool = False) -> Share:
    """The share of a host.

    Args:
        names: sizes of all objects below the graph's address, by their names there.
        graph_name: name of the graph.
        host: the host's number, which is that of its part.
        hosts: how many there are.
        where: the graph's address, for messages.
        edges: whether edge IDs are needed.

    Raises:
        JobError: the description or the part is missing.
    """
    config = config_name(names, graph_name, where)
    part = f"part{host}/"
    own = [name for name in names if name.startswith(part)]
    if not own:
        raise JobError(
            f"has no {part}, which host {host + 1} of {hosts} is to hold",
            where,
            "construct or partition the graph anew, and wait until all of it has been uploaded",
        )
    warnings: List[str] = []
    files = [config, *own]
    if TRANSFORMS in names:
        files.append(TRANSFORMS)
    else:
        warnings.append(f"{where} has no {TRANSFORMS}, which is needed to deploy the model")
    if NODE_MAP in names:
        files.append(NODE_MAP)
    elif hosts > 1 and f"{part}orig_nids.dgl" not in names:
        warnings.append(
            f"{where} has no {NODE_MAP}: node IDs of embeddings and predictions may be those of the partitioned graph"
        )
    if edges and EDGE_MAP in names:
        files.append(EDGE_MAP)
    if host == 0:
        others = (f"part{number}/orig_nids.dgl" for number in range(1, hosts))
        files += [name for name in others if name in names]
    return Share(config, tuple((name, name) for name in sorted(files)), tuple(warnings))


def raw_mappings(names: Mapping[str, int]) -> Tuple[Tuple[str, str], ...]:
    """Names below the address of the raw IDs, and where each goes below the graph's directory: ``raw_id_mappings/TYPE/FILE``.

    >>> raw_mappings({"paper/part-0.parquet": 1, "author/parquet/part-0.parquet": 1, "README": 1})
    (('author/parquet/part-0.parquet', 'raw_id_mappings/author/part-0.parquet'), \
('paper/part-0.parquet', 'raw_id_mappings/paper/part-0.parquet'))
    """
    found: Dict[str, str] = {}
    for name in names:
        words = name.split("/")
        kinds = words[:-2] if len(words) > 2 and words[-2] == "parquet" else words[:-1]
        if kinds:
            found[name] = f"{RAW_IDS}/{kinds[-1]}/{words[-1]}"
    return tuple(sorted(found.items()))
