"""examples/graphstorm_mag/run.py: raw data to predictions on two emulated hosts, by the commands of its README."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List

import pytest
from graph_chain_support import ROOT

# Not imported here: that takes long.
if find_spec("graphstorm") is None:
    pytest.skip("GraphStorm is not installed: make test-graph", allow_module_level=True)
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800), pytest.mark.xdist_group("graph-chain")]
EXAMPLE = Path(ROOT) / "examples" / "graphstorm_mag"
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
TYPES = ("author", "field", "institution", "paper")
FILES = ("graph.dgl", "node_feat.dgl", "edge_feat.dgl")
MAPPINGS = tuple(f"raw_id_mappings/{kind}/part-00000.parquet" for kind in TYPES)
MODEL = ("model.bin", "GRAPHSTORM_RUNTIME_UPDATED_TRAINING_CONFIG.yaml", "data_transform_new.json")
# The nodes that have no features, of which each host saves its share.
LEARNED = tuple(f"{kind}/sparse_emb_0000{host}.pt" for kind in TYPES if kind != "paper" for host in (0, 1))


@dataclass(frozen=True)
class Ran:
    """What run.py has left."""

    directory: Path
    results: Dict[str, Any]
    output: str


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The command of the README, run."""
    place = tmp_path_factory.mktemp("mag")
    script, *words = shlex.split(next(line for line in README.splitlines() if "/run.py" in line))[1:]
    # A host that waits for a core of a busy machine is not lost.
    command = [sys.executable, str(Path(ROOT) / script), *words, "--env", "HVDSM_HOST_LOSS_SECONDS=300"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])}
    done = subprocess.run(
        command, cwd=place, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1500, check=False
    )
    assert done.returncode == 0, done.stdout
    directory = place / words[0]
    return Ran(directory, json.loads((directory / "results.json").read_text()), done.stdout)


def test_the_readme_has_the_commands_that_were_run(ran: Ran) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    shown = [shlex.split(line) for block in blocks for line in block.replace("\\\n", " ").splitlines() if "/run.py" not in line]
    done = [[word.replace(str(EXAMPLE), "$EXAMPLE") for word in entry["command"]] for entry in ran.results["commands"]]
    assert shown == done


def in_s3(ran: Ran, prefix: str) -> List[str]:
    """Files below a prefix, as the last command has brought them from S3."""
    folder = ran.directory / "s3" / prefix
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("prefix", "names"),
    [
        (
            "graph",
            ("mag.json", "node_mapping.pt", "edge_mapping.pt", "data_transform_new.json", "mag.dgl", *MAPPINGS)
            + tuple(f"part{part}/{name}" for part in (0, 1) for name in FILES),
        ),
        ("parts/partition", (*(f"{kind}.txt" for kind in TYPES), "partition_meta.json")),
        (
            "parts/dist_graph",
            ("metadata.json", "data_transform_new.json", *MAPPINGS)
            + tuple(f"part{part}/{name}" for part in (0, 1) for name in (*FILES, "orig_nids.dgl", "orig_eids.dgl")),
        ),
        ("model-nc/train-nc/output/model", (*MODEL, *LEARNED)),
        ("model-lp/train-lp/output/model", (*MODEL, *LEARNED)),
        ("embeddings-nc", ("emb_info.json", *(f"paper/embed-0000{host}_00000.parquet" for host in (0, 1)))),
        ("embeddings-lp", ("emb_info.json", *(f"{kind}/embed-0000{host}_00000.parquet" for kind in TYPES for host in (0, 1)))),
        ("predictions", ("result_info.json", *(f"paper/pred.predict-0000{host}_00000.parquet" for host in (0, 1)))),
    ],
)
def test_outputs_are_where_the_readme_says(ran: Ran, prefix: str, names: List[str]) -> None:
    there = in_s3(ran, prefix)
    assert set(names) <= set(there)
    assert there == ran.results["outputs"][prefix]
    assert all((ran.directory / "s3" / prefix / name).stat().st_size for name in names)
    assert f"{prefix}/" in README


def test_the_transformations_are_those_of_the_construction(ran: Ran) -> None:
    places = ("graph", "parts/dist_graph", "model-nc/train-nc/output/model", "model-lp/train-lp/output/model")
    told = [json.loads((ran.directory / "s3" / place / "data_transform_new.json").read_text()) for place in places]
    paper = next(kind for kind in told[0]["nodes"] if kind["node_type"] == "paper")
    assert len(paper["features"][0]["transform"]["sum"]) == 8
    assert told == [told[0]] * len(places)


def features_by_original_id(folder: Path, mapping: Dict[str, Any], side: str) -> Dict[str, List[Any]]:
    """All features of nodes or edges of a partitioned graph, in the order of the constructed one."""
    import dgl
    import torch

    parts = [dgl.data.utils.load_tensors(str(folder / f"part{part}" / f"{side}_feat.dgl")) for part in (0, 1)]
    found = {}
    for name in parts[0]:
        values = torch.cat([part[name] for part in parts])
        found[name] = values[torch.argsort(mapping[name.rpartition("/")[0]])].tolist()
    return found


@pytest.mark.parametrize("side", ["node", "edge"])
def test_both_ways_to_partitions_say_the_same_of_every_original(ran: Ran, side: str) -> None:
    import dgl
    import torch

    by_construct, by_partition = ran.directory / "s3" / "graph", ran.directory / "s3" / "parts" / "dist_graph"
    saved = torch.load(by_construct / f"{side}_mapping.pt")
    theirs = {kind if isinstance(kind, str) else ":".join(kind): ids for kind, ids in saved.items()}
    parts = [dgl.data.utils.load_tensors(str(by_partition / f"part{part}" / f"orig_{side[0]}ids.dgl")) for part in (0, 1)]
    ours = {kind: torch.cat([part[kind] for part in parts]) for kind in parts[0]}
    assert {kind: sorted(ids.tolist()) for kind, ids in ours.items()} == {
        kind: sorted(ids.tolist()) for kind, ids in theirs.items()
    }
    found = features_by_original_id(by_partition, ours, side)
    assert {"node": "paper/venue", "edge": "author:writes:paper/train_mask"}[side] in found
    assert found == features_by_original_id(by_construct, theirs, side)


def test_embeddings_are_of_all_nodes_by_the_ids_of_the_raw_data(ran: Ran) -> None:
    import pandas

    for prefix, kinds in (("embeddings-nc", ["paper"]), ("embeddings-lp", TYPES)):
        for kind in kinds:
            table = pandas.read_parquet(ran.directory / "s3" / prefix / kind)
            raw = pandas.read_parquet(ran.directory / "raw" / f"{kind}.parquet")
            assert sorted(table["nid"]) == sorted(raw["id"]), (prefix, kind)
            assert {len(vector) for vector in table["emb"]} == {16}


def test_both_tasks_are_learned(ran: Ran) -> None:
    figures = ran.results["figures"]
    assert ran.results["problems"] == []
    assert figures["accuracy"] >= 0.95 > 0.7 > figures["accuracy_features_alone"], figures
    assert figures["links_mrr"] > 3 * figures["links_mrr_chance"], figures
    assert figures["links_hits"] > 4 * figures["links_hits_chance"], figures
    for name in ("writes", "cites"):
        assert figures[f"{name}_hits"] > 2.3 * figures[f"{name}_hits_chance"], figures
    assert f"accuracy: {figures['accuracy']:.3f}" in ran.output
