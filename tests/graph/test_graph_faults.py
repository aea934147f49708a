"""What breaks around GraphStorm in a job on two emulated hosts: a reason on every host, nothing in S3, nothing left running.

GraphStorm itself is played by a script that saves a model; its own faults are in ``test_graph_chain.py``.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Dict, Iterator, Optional, Tuple

import pytest
from graph_chain_support import BUCKET, Ended, Place, empty_place, processes
from graph_faults_support import Faults, breaking, stand_in

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600), pytest.mark.xdist_group("graph-faults")]
NEVER = ("--model-artifact-s3", f"s3://{BUCKET}/never")
PARTS = {
    "tiny.json": json.dumps({"num_parts": 2}), "node_mapping.pt": "map", "data_transform_new.json": "{}",
    "part0/graph.dgl": "graph of the first", "part0/orig_nids.dgl": "ids", "part1/graph.dgl": "graph of the second",
    "part1/orig_nids.dgl": "ids", "raw_id_mappings/paper/part-0.parquet": "raw",
}  # fmt: skip


class Fragile:
    """A place whose S3 may break, and the words that take the stand-in for GraphStorm's script."""

    def __init__(self, place: Place, directory: Path) -> None:
        self.place = place
        self.script = ("--custom-script", str(stand_in(directory)))
        packages = str(directory / "packages")
        place.environ["PYTHONPATH"] = os.pathsep.join([packages, place.environ["PYTHONPATH"]])

    def train(self, name: str, *words: str, faults: Optional[Faults] = None) -> Ended:
        """Train while S3 has faults."""
        with breaking(self.place.environ["AWS_ENDPOINT_URL"], faults or Faults()) as endpoint:
            return self.through(endpoint).job("train", name, *self.script, *NEVER, *words)

    def through(self, endpoint: str) -> Place:
        """The same place with another way to its S3."""
        found = object.__new__(Place)
        found.__dict__.update(self.place.__dict__, environ={**self.place.environ, "AWS_ENDPOINT_URL": endpoint})
        return found

    def failed(self, name: str, ended: Ended, code: int, *texts: str, before: str = "ranks running") -> None:
        """The job has failed on every host for a reason that its failure file and each host's log say; nothing is left."""
        assert (ended.code, ended.outcome["status"], ended.outcome["exit_code"]) == (code, "Failed", code), ended.output
        assert not {before, "finished"} & set(ended.outcome["phases"])
        folder = self.place.directory / "hvdsm-out" / name
        told = {path.name: path.read_text() for path in (folder / "output" / "failure", *(folder / "logs").iterdir())}
        assert sorted(told) == ["algo-1.log", "algo-2.log", "failure"]
        missing = [(where, text) for where, said in told.items() for text in texts if text not in said]
        assert missing == [], ended.output
        self.nothing_left(name)

    def nothing_left(self, name: str) -> None:
        """S3 has no model, the output no mark of success, and no process of the job is there."""
        assert self.place.names("never") == []
        assert not (self.place.directory / "hvdsm-out" / name / "output" / "success").exists()
        assert list(processes(name)) == []


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fragile]:
    """An S3 with a graph of two parts."""
    directory = tmp_path_factory.mktemp("faults")
    with empty_place(directory) as place:
        for name, text in PARTS.items():
            place.s3.put_object(Bucket=BUCKET, Key=f"tiny_2p/{name}", Body=text.encode())
        yield Fragile(place, directory)


PART = f"/{BUCKET}/tiny_2p/part1/graph.dgl"
CHECKPOINT = ("--model-checkpoint-to-load", f"s3://{BUCKET}/checkpoints/none")


def test_a_job_comes_through_when_s3_breaks_off_for_a_while(s3: Fragile) -> None:
    # As often as boto3 itself tries.
    faults = Faults(cut={PART: 5})
    ended = s3.train("busy", "--model-artifact-s3", f"s3://{BUCKET}/models", faults=faults)
    assert ended.code == 0, ended.output
    assert f"s3:/{PART} cannot be downloaded: 9 read, but total bytes expected is 19" in ended.output
    assert s3.place.names("models/busy/output/model") == [
        "embedding-1.pt", "model.bin", "other-0.bin", "other-1.bin", "other-2.bin",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "faults", "words", "texts"),
    [
        ("truncated", Faults(cut={PART: 99}), (), (f"s3:/{PART}: cannot be downloaded: 9 read, but total bytes expected is 19",)),
        ("full", Faults(listed={PART: 10**15}), (), ("has 1,000,000,000,0", "are free at /tmp/gsgnn_graph/tiny")),
        ("denied", Faults(denied=(("GET HEAD", PART),)), (), (f"s3:/{PART}: cannot be downloaded: ", "(403)")),
        ("hidden", Faults(denied=(("GET", "/secret"),)), ("--model-checkpoint-to-load", "s3://secret/m"),
         ("s3://secret/m: cannot be listed: ", "AccessDenied")),
        ("restore", Faults(), CHECKPOINT, (f"s3://{BUCKET}/checkpoints/none: has no model.bin",)),
        ("script", Faults(), ("--custom-script", "/none.py"), ("--custom-script /none.py: is not in the image",)),
    ],
)  # fmt: skip
def test_a_download_that_cannot_end_well(
    s3: Fragile, name: str, faults: Faults, words: Tuple[str, ...], texts: Tuple[str, ...]
) -> None:
    ended = s3.train(name, *words, faults=faults)
    s3.failed(name, ended, 78, *texts)


@pytest.mark.parametrize(
    ("name", "keys", "words", "texts"),
    [
        ("yaml", {"bad.yaml": "gsf:\n  basic: [gloo\n"}, ("--yaml-s3", f"s3://{BUCKET}/bad.yaml"),
         ("the configuration bad.yaml: is no YAML: while parsing",)),
        ("other-yaml", {"other.yaml": "basic: {}\n"}, ("--yaml-s3", f"s3://{BUCKET}/other.yaml"),
         ("the configuration other.yaml: has no section gsf",)),
        ("parts", {"four/tiny.json": '{"num_parts": 4}', "four/part0/graph.dgl": "g", "four/part1/graph.dgl": "g"},
         ("--graph-data-s3", f"s3://{BUCKET}/four", "--no-check-graph"),
         (f"s3://{BUCKET}/four/tiny.json: has 4 partitions, and the job 2 hosts", "try: --instance-count 4")),
        ("missing", {"half/tiny.json": '{"num_parts": 2}', "half/part0/graph.dgl": "g"},
         ("--graph-data-s3", f"s3://{BUCKET}/half"), (f"s3://{BUCKET}/half: has no part1/, which host 2 of 2 is to hold",)),
    ],
)  # fmt: skip
def test_what_is_wrong_in_s3(
    s3: Fragile, name: str, keys: Dict[str, str], words: Tuple[str, ...], texts: Tuple[str, ...]
) -> None:
    for key, text in keys.items():
        s3.place.s3.put_object(Bucket=BUCKET, Key=key, Body=text.encode())
    s3.failed(name, s3.train(name, *words), 78, *texts)


def test_a_training_that_is_stopped_uploads_nothing(s3: Fragile) -> None:
    ended = s3.place.disturbed(
        "stopped", "trains", lambda pid: os.kill(pid, signal.SIGTERM), *s3.script, *NEVER, "--seconds", "300"
    )
    assert (ended.code, ended.outcome["status"]) == (143, "Stopped"), ended.output
    assert "finished" not in ended.outcome["phases"]
    s3.nothing_left("stopped")


def test_a_model_that_may_not_be_uploaded_fails_the_job(s3: Fragile) -> None:
    ended = s3.train("upload", faults=Faults(denied=(("PUT POST", f"/{BUCKET}/never/"),)))
    s3.failed("upload", ended, 78, f"s3://{BUCKET}/never/upload/output/model/", "cannot be uploaded", before="finished")
