"""What ``hvdsm graph upload`` brings where, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from hvdsm.errors import ConfigError, UsageError
from hvdsm.recipes.graph.uploading import planned


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A graph of two parts, and a configuration beside it."""
    for part in ("part0", "part1"):
        (tmp_path / "graph" / part).mkdir(parents=True)
        (tmp_path / "graph" / part / "graph.dgl").write_text(part)
    (tmp_path / "graph" / "data_transform_new.json").write_text("{}")
    (tmp_path / "graph" / "mag.json").write_text('{"num_parts": 2}')
    (tmp_path / "conf.yml").write_text("x")
    return tmp_path / "graph"


def test_a_graph_and_its_configuration(graph: Path) -> None:
    yaml = str(graph.parent / "conf.yml")
    asked = planned(str(graph), yaml, "s3://b/mag_2p/", "s3://b/conf/")
    assert (asked.graph_data, asked.yaml_data, asked.parts) == ("s3://b/mag_2p", "s3://b/conf/conf.yml", 2)
    assert planned(str(graph), yaml, "s3://b/mag", "s3://b/mag.yaml").yaml_data == "s3://b/mag.yaml"
    # A name that begins like the graph's is no place below it.
    assert planned(str(graph), yaml, "s3://b/mag", "s3://b/mag-conf/").yaml_data == "s3://b/mag-conf/conf.yml"


@pytest.mark.parametrize(
    ("graph_data", "yaml_data", "message"),
    [
        ("s3://b/mag/", "s3://b/mag/conf.yaml", "lies below the graph"),
        ("s3://b", "s3://b/conf.yaml", "lies below the graph"),
        ("s3://b/mag", "s3://b/mag/", "lies below the graph"),
        ("s3://b/mag", "s3://b/conf.json", "must end in .yaml or .yml"),
        ("/mag", "s3://b/conf.yaml", "--graph-data-s3: must be an address of S3"),
        ("s3://b/mag", "conf.yaml", "--yaml-s3: must be an address of S3"),
    ],
)
def test_places_that_cannot_be_meant(graph: Path, graph_data: str, yaml_data: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        planned(str(graph), str(graph.parent / "conf.yml"), graph_data, yaml_data)


def test_files_that_cannot_be_meant(graph: Path) -> None:
    def refused(yaml: str = "conf.yml") -> str:
        with pytest.raises((ConfigError, UsageError)) as caught:
            planned(str(graph), str(graph.parent / yaml), "s3://b/mag", "s3://b/c/x.yaml")
        return str(caught.value)

    assert "there is no such file" in refused("other.yaml")
    assert "must end in .yaml or .yml" in refused("graph")
    (graph / "part1" / "graph.dgl").unlink()
    (graph / "part1").rmdir()
    assert "has no part1, and mag.json names 2 partitions" in refused()
    (graph / "mag.json").write_text('{"num_parts": "two"}')
    assert "has no num_parts" in refused()
    (graph / "mag.json").unlink()
    assert "has no metadata with num_parts" in refused()
