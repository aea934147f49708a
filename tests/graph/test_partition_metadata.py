"""The metadata of DGL's chunked graph format: what is read, what is refused."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict

import pytest

from hvdsm.graphjob.partition_errors import PartitionError
from hvdsm.graphjob.partition_metadata import parse_metadata, share


def good() -> Dict[str, Any]:
    return {
        "graph_name": "g",
        "node_type": ["user", "item"],
        "num_nodes_per_type": [3, 4],
        "edge_type": ["user:buys:item"],
        "num_edges_per_type": [5],
        "edges": {"user:buys:item": {"format": {"name": "csv", "delimiter": ","}, "data": ["a", "b"], "row_counts": [2, 3]}},
        "node_data": {"item": {"feat": {"format": {"name": "numpy"}, "data": ["x"]}}},
        "edge_data": {},
    }


def parsed(data: Dict[str, Any]) -> Any:
    return parse_metadata(json.dumps(data), "s3://b/metadata.json")


def test_everything_is_read() -> None:
    graph = parsed(good())
    assert (graph.name, graph.node_types, graph.num_nodes, graph.num_edges) == ("g", ("user", "item"), (3, 4), (5,))
    assert graph.edge_types == (("user", "buys", "item"),)
    assert graph.ends(0) == (0, 1)
    assert (graph.edges[0].delimiter, graph.edges[0].row_counts) == (",", (2, 3))
    assert graph.node_data[1, "feat"].files == ("x",)
    assert not graph.is_homogeneous


def test_counts_may_be_of_chunks() -> None:
    data = good()
    data["num_nodes_per_chunk"] = [[1, 2], [4, 0]]
    data["num_edges_per_chunk"] = [[2, 3]]
    del data["num_nodes_per_type"], data["num_edges_per_type"]
    assert (parsed(data).num_nodes, parsed(data).num_edges) == ((3, 4), (5,))


WRONG: Dict[str, Callable[[Dict[str, Any]], Any]] = {
    "graph_name is missing": lambda d: d.pop("graph_name"),
    "node_type is no list of names": lambda d: d.update(node_type="user"),
    "'user' comes twice": lambda d: d.update(node_type=["user", "user"]),
    "'a/b' cannot name a file": lambda d: d.update(node_type=["a/b", "user"]),
    "num_nodes_per_type does not have a number for each type": lambda d: d.update(num_nodes_per_type=[3]),
    "num_edges_per_type does not have a number for each type": lambda d: d.update(num_edges_per_type=[True]),
    "'user:item' is not SOURCE:RELATION:DESTINATION": lambda d: d.update(edge_type=["user:item"]),
    "no node type 'shop'": lambda d: d.update(edge_type=["user:buys:shop"]),
    "edges has no user:buys:item": lambda d: d.update(edges={}),
    "edges of user:buys:item: format or data is missing": lambda d: d["edges"].update({"user:buys:item": []}),
    "format 'orc' is none of csv, numpy, parquet": lambda d: d["edges"]["user:buys:item"].update(format={"name": "orc"}),
    "data is no list of files": lambda d: d["edges"]["user:buys:item"].update(data=[]),
    "row_counts does not have a number for each file": lambda d: d["edges"]["user:buys:item"].update(row_counts=[5]),
    "delimiter '' is no single character": lambda d: d["edges"]["user:buys:item"]["format"].update(delimiter=""),
    "node_data has 'shop'": lambda d: d["node_data"].update(shop={}),
    "the feature 'a/b' has a slash": lambda d: d["node_data"]["item"].update({"a/b": d["node_data"]["item"]["feat"]}),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_named(message: str) -> None:
    data = good()
    WRONG[message](data)
    with pytest.raises(PartitionError) as caught:
        parsed(data)
    assert message in caught.value.what
    assert caught.value.where == "s3://b/metadata.json" and caught.value.remedy


def test_all_problems_come_at_once() -> None:
    data = good()
    data["graph_name"], data["num_edges_per_type"] = "", []
    with pytest.raises(PartitionError) as caught:
        parsed(data)
    assert "graph_name" in caught.value.what and "num_edges_per_type" in caught.value.what


@pytest.mark.parametrize("text", ["{", "[]"])
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(PartitionError, match="JSON"):
        parse_metadata(text, "m")


@pytest.mark.parametrize(("count", "size"), [(0, 2), (1, 3), (7, 3), (9, 3)])
def test_every_file_is_read_once(count: int, size: int) -> None:
    shares = [list(share(count, rank, size)) for rank in range(size)]
    assert [number for part in shares for number in part] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
