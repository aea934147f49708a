"""Write a small academic graph like OGB-MAG, whose structure is known, as GConstruct reads it.

    python examples/graphstorm_mag/make_mag.py mag-raw

writes papers, authors, institutions and fields of study, and who writes, cites, is affiliated with and is about what, as Parquet
files with the IDs of the raw data; GConstruct's configuration, ``mag.json``; and the split of the papers.

A field belongs to one of four venues, an author to a field and an institution of its venue.  A paper has a field, and so a
venue; with probability ``FAITH`` its authors, its citations and its topics are of its field, else of any.  Of its features,
noise is the most.  Some edges of ``writes`` and ``cites`` are kept out of the graph, in ``held_out/``: they are what link
prediction is asked for.  The same seed makes the same files.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = "mag.json"
VENUES, FIELDS, INSTITUTIONS = 4, 12, 8
FAITH = 0.9
NOISE = 1.0  # of the features, whose centres are 1 from the origin
PAPERS_EACH = {"writes": 5, "cites": 5, "topic": 2}
HELD_OUT = {"writes": 0.15, "cites": 0.1}
ENDS = {
    "writes": ("author", "paper"),
    "cites": ("paper", "paper"),
    "affiliated": ("author", "institution"),
    "topic": ("paper", "field"),
}


@dataclass(frozen=True)
class Mag:
    """The graph by numbers from 0: what each node is like, and the edges."""

    counts: Dict[str, int]
    features: Any
    paper_field: Any
    edges: Dict[str, Tuple[Any, Any]]
    held_out: Dict[str, Tuple[Any, Any]]
    split: Dict[str, Any]

    @property
    def venues(self) -> Any:
        """The venue of each paper."""
        return self.paper_field % VENUES


def raw_id(kind: str, number: int) -> str:
    """The ID that a node has in the raw data.

    >>> raw_id("paper", 7)
    'paper-0007'
    """
    return f"{kind}-{number:04d}"


def make(papers: int, authors: int, seed: int) -> Mag:
    """Draw a graph."""
    random = np.random.default_rng(seed)
    paper_field = random.permutation(np.arange(papers) % FIELDS)
    author_field = random.permutation(np.arange(authors) % FIELDS)
    centres = np.eye(8)[:VENUES]
    features = (centres[paper_field % VENUES] + random.normal(0, NOISE, (papers, 8))).astype(np.float32)

    def chosen(wanted: Any, fields: Any) -> Any:
        """For each wanted field one of the nodes with it, or any."""
        drawn = random.integers(0, len(fields), len(wanted))
        for place in np.flatnonzero(random.random(len(wanted)) < FAITH):
            drawn[place] = random.choice(np.flatnonzero(fields == wanted[place]))
        return drawn

    writers = np.repeat(np.arange(authors), PAPERS_EACH["writes"])
    citing = np.repeat(np.arange(papers), PAPERS_EACH["cites"])
    topical = np.repeat(np.arange(papers), PAPERS_EACH["topic"])
    venue_of_institution = np.arange(INSTITUTIONS) % VENUES
    edges = {
        "writes": _once(writers, chosen(author_field[writers], paper_field)),
        "cites": _once(citing, chosen(paper_field[citing], paper_field), loops=False),
        "affiliated": (np.arange(authors), chosen(author_field % VENUES, venue_of_institution)),
        "topic": _once(topical, chosen(paper_field[topical], np.arange(FIELDS))),
    }
    held_out = {}
    for name, share in HELD_OUT.items():
        out = random.random(len(edges[name][0])) < share
        held_out[name] = (edges[name][0][out], edges[name][1][out])
        edges[name] = (edges[name][0][~out], edges[name][1][~out])
    order = random.permutation(papers)
    parts = np.split(order, [papers * 5 // 10, papers * 6 // 10])
    counts = {"paper": papers, "author": authors, "institution": INSTITUTIONS, "field": FIELDS}
    return Mag(counts, features, paper_field, edges, held_out, dict(zip(("train", "valid", "test"), parts)))


def _once(sources: Any, destinations: Any, loops: bool = True) -> Tuple[Any, Any]:
    """Each edge once, and without loops if they are not wanted."""
    pairs = np.unique(np.column_stack([sources, destinations]), axis=0)
    pairs = pairs if loops else pairs[pairs[:, 0] != pairs[:, 1]]
    return pairs[:, 0], pairs[:, 1]


def write(mag: Mag, directory: str) -> None:
    """Write the raw data, the split and GConstruct's configuration."""
    os.makedirs(os.path.join(directory, "held_out"), exist_ok=True)
    for kind, count in mag.counts.items():
        columns: Dict[str, List[Any]] = {"id": [raw_id(kind, number) for number in range(count)]}
        if kind == "paper":
            columns.update(feat=list(mag.features), venue=mag.venues.tolist())
        _table(columns, os.path.join(directory, f"{kind}.parquet"))
    for folder, edges in (("", mag.edges), ("held_out", mag.held_out)):
        for name, ends in edges.items():
            named = [[raw_id(kind, number) for number in side] for kind, side in zip(ENDS[name], ends)]
            _table({"from": named[0], "to": named[1]}, os.path.join(directory, folder, f"{name}.parquet"))
    for name, numbers in mag.split.items():
        with open(os.path.join(directory, f"{name}.json"), "w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(raw_id('paper', number))}\n" for number in numbers)
    shutil.copyfile(os.path.join(HERE, CONFIG), os.path.join(directory, CONFIG))


def _table(columns: Dict[str, List[Any]], path: str) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def main(words: Optional[Sequence[str]] = None) -> int:
    """Make the files that the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(description="Write a small academic graph whose structure is known.")
    parser.add_argument("directory", help="where the files go")
    parser.add_argument("--papers", type=int, default=240, help="number of papers (default: 240)")
    parser.add_argument("--authors", type=int, default=120, help="number of authors (default: 120)")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes another graph (default: 0)")
    given = parser.parse_args(words)
    if given.papers < 2 * FIELDS or given.authors < 2 * FIELDS:
        parser.error(f"--papers and --authors: at least {2 * FIELDS}, so that every field has some")
    mag = make(given.papers, given.authors, given.seed)
    write(mag, given.directory)
    print(f"{given.directory}: {sum(mag.counts.values())} nodes, {sum(len(e[0]) for e in mag.edges.values())} edges")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
