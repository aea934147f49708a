"""DistDGL on two hosts loads the partitions, and samples the graph they were made of."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest
import torch
from partition_support import ROOT, on_threads, sample, write_chunked

from hvdsm.emulator import ClusterSpec, EmulatedCluster, Mount, probe
from hvdsm.graphjob.partition_exchange import Exchange
from hvdsm.graphjob.partition_metadata import parse_metadata
from hvdsm.graphjob.partition_run import Plan, partition

CLIENT = str(Path(__file__).with_name("partition_client.py"))


def test_two_hosts_sample_what_the_graph_has(tmp_path: Path) -> None:
    availability = probe()
    if not availability.ok:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"emulated hosts: {availability.reason}")
    graph = sample(5)
    path = write_chunked(graph, tmp_path / "in")
    parsed = parse_metadata(path.read_text(), str(path))

    def work(comm: Any) -> None:
        scratch = str(tmp_path / f"scratch{comm.Get_rank()}")
        partition(Plan(parsed, str(path.parent), str(tmp_path / "out"), 2, scratch=scratch), Exchange(comm))

    assert on_threads(2, work) == [None, None]
    edges = {":".join(kind): np.stack(ends) for kind, ends in graph.edges.items()}
    features = {"feat": graph.node_data["paper"]["feat"], "year": graph.edge_data["paper", "cites", "paper"]["year"]}
    np.savez(tmp_path / "out" / "truth.npz", **features, **edges)
    places = (sys.prefix, ROOT, str(Path(torch.__file__).parents[4]), sys.base_prefix)
    spec = ClusterSpec(2, mounts=(Mount(str(tmp_path / "out"), "/opt/ml"),), visible=tuple(dict.fromkeys(places)))
    words = ["/opt/ml/dist_graph/metadata.json", "/opt/ml/truth.npz"]
    with EmulatedCluster.start(spec) as cluster:
        running: Dict[str, Any] = {}
        for number, host in enumerate(("algo-1", "algo-2")):
            for role in ("server", "client"):
                log = (tmp_path / f"{host}-{role}").open("wb")
                command = [sys.executable, CLIENT, role, str(number), *words]
                running[f"{host}-{role}"] = cluster.popen(host, command, env={"PYTHONPATH": ROOT}, stdout=log, stderr=log)
        codes = {name: process.wait(timeout=200) for name, process in running.items() if name.endswith("client")}
        logs = {name: (tmp_path / name).read_text() for name in running}
        assert set(codes.values()) == {0}, (codes, logs)
        assert {running[f"{host}-server"].wait(timeout=60) for host in ("algo-1", "algo-2")} == {0}, logs
    told = [json.loads(next(line for line in logs[name].splitlines() if line.startswith("{"))) for name in sorted(codes)]
    assert sorted(told[0]["nodes"] + told[1]["nodes"]) == list(range(graph.nodes["paper"]))
    to_papers = sum(len(ends[0]) for kind, ends in graph.edges.items() if kind[2] == "paper")
    assert told[0]["edges"] + told[1]["edges"] == to_papers
