"""``hvdsm graph upload`` to an S3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import pytest
from aws_support import moto_aws, moto_server

from hvdsm import graph
from hvdsm.cli import main


def test_a_graph_and_its_configuration_lie_where_they_were_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mag" / "part0").mkdir(parents=True)
    (tmp_path / "mag" / "part0" / "graph.dgl").write_text("graph")
    (tmp_path / "mag" / "mag.json").write_text('{"num_parts": 1}')
    (tmp_path / "mag.yaml").write_text("gsf")
    words = [str(tmp_path / "mag"), str(tmp_path / "mag.yaml"), "--graph-data-s3", "s3://graphs/mag_1p/", "--json"]
    with moto_server() as url:
        s3 = moto_aws(url).client("s3")
        s3.create_bucket(Bucket="graphs", CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
        for name, value in {
            "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_DEFAULT_REGION": "us-east-1",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)

        def done() -> Dict[str, Any]:
            assert main(["graph", "upload", *words, "--yaml-s3", "s3://graphs/conf/"]) == 0
            found: Dict[str, Any] = json.loads(capsys.readouterr().out)
            return found

        first = done()
        assert (first["parts"], first["files"], first["yaml_s3"]) == (1, 3, "s3://graphs/conf/mag.yaml")
        keys = {entry["Key"] for entry in s3.list_objects_v2(Bucket="graphs")["Contents"]}
        assert keys == {"mag_1p/mag.json", "mag_1p/part0/graph.dgl", "conf/mag.yaml"}
        again = done()
        assert (again["files"], again["present"]) == (0, 3)
        # From Python, to another place.
        found = graph.upload(words[0], words[1], graph_data_s3="s3://graphs/two", yaml_s3="s3://graphs/two.yaml")
        assert (found["files"], found["graph_data_s3"]) == (3, "s3://graphs/two")
        assert main(["graph", "upload", *words, "--yaml-s3", "s3://graphs/mag_1p/mag.yaml"]) == 2
        assert "lies below the graph" in json.loads(capsys.readouterr().out)["error"]
