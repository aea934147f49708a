"""A training that begins with a saved model, and a task's script, on the hosts of a graph job."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import pytest

from hvdsm.graphjob.commands import script_words
from hvdsm.graphjob.failures import JobError
from hvdsm.graphjob.preparing import prepare
from hvdsm.graphjob.state import JobState, Places, read_found
from hvdsm.graphjob.transfers import Store

GRAPH = {"g/mag.json": b'{"num_parts": 2}', "g/part0/graph.dgl": b"0", "g/part1/graph.dgl": b"1"}


class Objects:
    """An S3 that holds some objects."""

    def __init__(self, objects: Dict[str, bytes]) -> None:
        self.objects = objects

    def get_paginator(self, name: str) -> Objects:
        assert name == "list_objects_v2"
        return self

    def paginate(self, Bucket: str, Prefix: str) -> List[Any]:
        del Bucket
        found = [{"Key": key, "Size": len(body)} for key, body in self.objects.items() if key.startswith(Prefix)]
        return [{"Contents": found}]

    def download_file(self, bucket: str, key: str, path: str, **more: Any) -> None:
        del bucket, more
        Path(path).write_bytes(self.objects[key])


def host(tmp_path: Path, number: int, checkpoint: str) -> JobState:
    (tmp_path / "nc.yaml").write_text("gsf:\n  basic: {}\n")
    options = {"graph-name": "mag", "graph-data-s3": "s3://b/g", "train-yaml-s3": "s3://b/nc.yaml"}
    return JobState(
        "train",
        {**options, "model-checkpoint-to-load": checkpoint},
        (),
        Places(str(tmp_path / f"host{number}")),
        host=number,
        addresses=("10.0.0.1", "10.0.0.2"),
        yaml_directory=str(tmp_path),
    )


@pytest.mark.parametrize("number", [0, 1])
def test_every_host_begins_with_the_model(tmp_path: Path, number: int) -> None:
    objects = Objects(
        {**GRAPH, "m/epoch-2/model.bin": b"two", "m/epoch-2/paper/sparse_emb.pt": b"s", "m/epoch-3/model.bin": b"three"}
    )
    state = host(tmp_path, number, "s3://b/m/epoch-2/")
    prepare(state, Store(lambda _: None, objects), lambda _: None)
    place = Path(state.places.checkpoint)
    assert sorted(p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()) == [
        "model.bin",
        "paper/sparse_emb.pt",
    ]
    assert (place / "model.bin").read_bytes() == b"two"
    words = script_words(state, read_found(state.places), ["--num-epochs", "1"])
    assert words[words.index("--restore-model-path") + 1] == str(place)
    # What is saved goes elsewhere.
    assert words[words.index("--save-model-path") + 1] == state.places.saved != str(place)


def test_a_checkpoint_that_is_none(tmp_path: Path) -> None:
    state = host(tmp_path, 0, "s3://b/none/")
    with pytest.raises(JobError, match=r"s3://b/none: has no model.bin"):
        prepare(state, Store(lambda _: None, Objects(dict(GRAPH))), lambda _: None)
