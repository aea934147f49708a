"""What is to be in S3 when the chain has run, and how good the predictions and embeddings are, by the raw data's IDs."""

from __future__ import annotations

import io
import json
import os
import posixpath
from typing import Any, Dict, List, Set, Tuple

import numpy as np

NODES = ("author", "field", "institution", "paper")
MODEL = ("model.bin", "GRAPHSTORM_RUNTIME_UPDATED_TRAINING_CONFIG.yaml")
PARTITIONED = ("graph.dgl", "node_feat.dgl", "edge_feat.dgl")
HITS = 20
VENUES = 4
# The least of each figure; chance has 0.25 of the accuracy, 0.026 of the mean reciprocal ranks, 0.085 of the hits.
LEAST = {"accuracy": 0.95, "links_mrr": 0.07, "links_hits": 0.3, "writes_hits": 0.15, "cites_hits": 0.2}


def client() -> Any:
    """The S3 that the environment leads to."""
    import boto3

    return boto3.client("s3")


def names(s3: Any, bucket: str, prefix: str) -> List[str]:
    """Keys below a prefix, relative to it."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    return sorted(entry["Key"][len(prefix) + 1 :] for page in pages for entry in page.get("Contents", ()))


def expected(hosts: int) -> Dict[str, Tuple[str, ...]]:
    """What has to be there: folders, and files or folders in each."""
    parts = tuple(f"part{part}/{name}" for part in range(hosts) for name in PARTITIONED)
    mappings = tuple(f"raw_id_mappings/{kind}/" for kind in NODES)
    both = (*parts, *mappings, "data_transform_new.json")
    originals = tuple(f"part{part}/orig_{ids}.dgl" for part in range(hosts) for ids in ("nids", "eids"))
    return {
        "graph": ("mag.json", "node_mapping.pt", "edge_mapping.pt", *both),
        "parts/partition": (*(f"{kind}.txt" for kind in NODES), "partition_meta.json"),
        "parts/dist_graph": ("metadata.json", *both, *originals),
        "model-nc/train-nc/output/model": MODEL,
        "model-lp/train-lp/output/model": MODEL,
        "embeddings-nc": ("paper/",),
        "embeddings-lp": tuple(f"{kind}/" for kind in NODES),
        "predictions": ("paper/",),
    }


def missing(there: List[str], wanted: Tuple[str, ...]) -> List[str]:
    """Of some names those that are not there; one with a slash is a folder with something in it.

    >>> missing(["a", "b/c"], ("a", "b/", "d", "e/"))
    ['d', 'e/']
    """
    return [name for name in wanted if not any(n.startswith(name) if name.endswith("/") else n == name for n in there)]


def results(s3: Any, bucket: str, raw: str, hosts: int) -> Dict[str, Any]:
    """Names of all outputs, figures, and what is wrong with either."""
    wanted = expected(hosts)
    outputs = {prefix: names(s3, bucket, prefix) for prefix in wanted}
    problems = [f"s3://{bucket}/{p}: no {name}" for p, some in wanted.items() for name in missing(outputs[p], some)]
    figures: Dict[str, float] = {}
    if not problems:
        figures = {**classification(s3, bucket, raw), **links(s3, bucket, raw)}
        problems += [
            f"{name} is {figures[name]:.3f}, less than {least}" for name, least in LEAST.items() if figures[name] < least
        ]
    return {"outputs": outputs, "figures": figures, "problems": problems}


def rows(file: Any) -> List[Dict[str, Any]]:
    """The rows of a Parquet file."""
    import pyarrow.parquet

    found: List[Dict[str, Any]] = pyarrow.parquet.read_table(file).to_pylist()
    return found


def by_id(s3: Any, bucket: str, prefix: str, column: str) -> Dict[str, Any]:
    """A column of all Parquet files below a prefix, by the nodes' IDs.

    Raises:
        ValueError: an ID is there twice.
    """
    found: Dict[str, Any] = {}
    for name in names(s3, bucket, prefix):
        if name.endswith(".parquet"):
            body = s3.get_object(Bucket=bucket, Key=f"{prefix}/{name}")["Body"].read()
            for row in rows(io.BytesIO(body)):
                if row["nid"] in found:
                    raise ValueError(f"{row['nid']} is twice in s3://{bucket}/{prefix}")
                found[row["nid"]] = row[column]
    return found


def classification(s3: Any, bucket: str, raw: str) -> Dict[str, float]:
    """How many papers of the test have been given their venue, and how many would have been by features alone.

    Raises:
        ValueError: there are not as many predictions as papers, each for one of them.
    """
    papers = {row["id"]: row for row in rows(os.path.join(raw, "paper.parquet"))}
    with open(os.path.join(raw, "test.json"), encoding="utf-8") as file:
        test = [json.loads(line) for line in file]
    predicted = by_id(s3, bucket, "predictions/paper", "pred")
    if set(predicted) != set(papers):
        raise ValueError("the predictions are not those of all papers")
    right = [papers[paper]["venue"] for paper in test]
    told = [int(np.argmax(predicted[paper]) if np.ndim(predicted[paper]) else predicted[paper]) for paper in test]
    # A venue's features are a unit vector and noise, so the largest of the four is the best guess.
    alone = [int(np.argmax(papers[paper]["feat"][:VENUES])) for paper in test]
    return {
        "accuracy": float(np.mean(np.equal(told, right))),
        "accuracy_features_alone": float(np.mean(np.equal(alone, right))),
        "accuracy_chance": 1 / VENUES,
    }


def links(s3: Any, bucket: str, raw: str) -> Dict[str, float]:
    """Where the papers of edges that nobody has seen stand among all that might be meant: of each relation, and of both."""
    vectors = {kind: by_id(s3, bucket, f"embeddings-lp/{kind}", "emb") for kind in ("author", "paper")}
    papers = list(vectors["paper"])
    matrix = np.array(list(vectors["paper"].values()))
    found: Dict[str, Tuple[List[int], List[int]]] = {"links": ([], [])}
    for name, kind in (("writes", "author"), ("cites", "paper")):
        hidden = rows(os.path.join(raw, "held_out", f"{name}.parquet"))
        known: Dict[str, Set[str]] = {}
        for edge in (*hidden, *rows(os.path.join(raw, f"{name}.parquet"))):
            known.setdefault(edge["from"], {edge["from"]}).add(edge["to"])
        ranks, candidates = found[name] = ([], [])
        for edge in hidden:
            scores = dict(zip(papers, matrix @ np.array(vectors[kind][edge["from"]])))
            others = [score for paper, score in scores.items() if paper not in known[edge["from"]]]
            ranks.append(1 + sum(bool(score >= scores[edge["to"]]) for score in others))
            candidates.append(len(others) + 1)
        found["links"] = (found["links"][0] + ranks, found["links"][1] + candidates)
    figures = {}
    for name, (ranks, candidates) in found.items():
        figures[f"{name}_mrr"] = float(np.mean([1 / rank for rank in ranks]))
        figures[f"{name}_mrr_chance"] = float(np.mean([np.mean(1 / np.arange(1, n + 1)) for n in candidates]))
        figures[f"{name}_hits"] = float(np.mean([rank <= HITS for rank in ranks]))
        figures[f"{name}_hits_chance"] = float(np.mean([HITS / n for n in candidates]))
    return figures


def report(found: Dict[str, Any]) -> str:
    """The results as lines."""
    lines = []
    for prefix, there in found["outputs"].items():
        folders = sorted({posixpath.dirname(name) for name in there})
        lines.append(f"{prefix}/: {len(there)} files")
        for folder in folders:
            inside = [posixpath.basename(name) for name in there if posixpath.dirname(name) == folder]
            lines.append(f"    {folder + '/' if folder else ''}{{{', '.join(inside)}}}")
    lines += [f"{name}: {value:.3f}" for name, value in found["figures"].items()]
    return "\n".join(
        [*lines, *(f"PROBLEM: {problem}" for problem in found["problems"]), *(["all is there"] * (not found["problems"]))]
    )
