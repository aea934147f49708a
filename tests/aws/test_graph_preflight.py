"""Before a graph job is submitted, its graph is looked at: nothing is created for another number of hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from aws_support import moto_aws, moto_server

from hvdsm import graph
from hvdsm.cli import main
from hvdsm.errors import UsageError

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/graphstorm:sm-cpu"
ROLE = "arn:aws:iam::123456789012:role/graphs"
COMMON = ("--task-type", "node_classification", "--yaml-s3", "s3://graphs/nc.yaml", "--model-artifact-s3", "s3://graphs/model")
CLOUD = ("--backend", "sagemaker", "--region", "us-east-1", "--image-url", IMAGE, "--role", ROLE)


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An AWS with two graphs of two parts, whose metadata have either name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with moto_server() as url:
        found = moto_aws(url)
        s3 = found.client("s3")
        s3.create_bucket(Bucket="graphs", CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
        for key in ("one/mag.json", "two/metadata.json"):
            s3.put_object(Bucket="graphs", Key=key, Body=b'{"num_parts": 2}')
        for name, value in {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}.items():
            monkeypatch.setenv(name, value)
        yield found


def words(action: str, place: str, *more: str) -> List[str]:
    return ["graph", action, "--graph-name", "mag", "--graph-data-s3", f"s3://graphs/{place}", *COMMON, *more]


@pytest.mark.parametrize("action", ["train", "infer"])
@pytest.mark.parametrize(("place", "name"), [("one/", "mag.json"), ("two", "metadata.json")])
@pytest.mark.parametrize("where", [CLOUD, ()])
def test_another_number_of_hosts_creates_nothing(
    aws: Any, capsys: pytest.CaptureFixture[str], action: str, place: str, name: str, where: Tuple[str, ...]
) -> None:
    assert main(words(action, place, "--instance-count", "3", "--task-name", "wrong", *where)) == 2
    said = capsys.readouterr().err
    assert f"--instance-count: is 3, and the graph has 2 partitions ({name})" in said
    assert aws.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []
    assert not Path("hvdsm-out").exists()


def test_a_graph_of_another_name(aws: Any, capsys: pytest.CaptureFixture[str]) -> None:
    del aws
    assert main(words("train", "one", "--graph-name", "mug", "--instance-count", "2", *CLOUD)) == 78
    assert "s3://graphs/one: has neither mug.json nor metadata.json" in capsys.readouterr().err


def test_a_dry_run_looks_when_it_is_told_to(aws: Any, capsys: pytest.CaptureFixture[str]) -> None:
    del aws
    dry = words("train", "one", "--instance-count", "3", *CLOUD, "--dry-run")
    assert main(dry) == 0
    assert main([*dry, "--check-graph"]) == 2
    assert "the graph has 2 partitions" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["local", "sagemaker"])
def test_the_same_from_python(aws: Any, backend: str) -> None:
    given: Dict[str, Any] = {
        "graph_name": "mag", "graph_data_s3": "s3://graphs/one", "task_type": "node_classification", "yaml_s3": "s3://graphs/nc.yaml",
        "instance_count": 1, "image_url": IMAGE, "role": ROLE, "region": "us-east-1", "backend": backend,
    }  # fmt: skip
    with pytest.raises(UsageError, match=r"is 1, and the graph has 2 partitions \(mag.json\)"):
        graph.train(**given)
    assert aws.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []
