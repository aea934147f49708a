"""The graphs of GC-MC in DGL: what is known goes into an encoder's graph, what is asked for into a decoder's.

An encoder's graph has two edge types for each number of stars: users' ratings, ``4``, and back, ``rev-4`` (``3_5`` for half
stars).  A decoder's has one, ``rate``, from users to movies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

import dgl
import numpy as np
import torch

from gcmc.dataset import Dataset, Pairs

SIDES = ("user", "movie")
REVERSE = "rev-"


@dataclass(frozen=True)
class Graphs:
    """Six graphs; the test may use the validation's ratings, the validation only those of the training."""

    train_enc: Any
    train_dec: Any
    valid_enc: Any
    valid_dec: Any
    test_enc: Any
    test_dec: Any


@dataclass(frozen=True)
class Relation:
    """Edges of one type, as messages use them."""

    stars: str
    source: str
    target: str
    graph: Any
    scale: Optional[Any] = None  # per target, where only some of its edges are in the graph


@dataclass(frozen=True)
class Messages:
    """An encoder's graph, or a sample of it, ready for a layer.

    ``nodes`` are the numbers of the sources and ``targets`` those of the targets, by side; None is all of them.
    ``send`` weighs the sources' messages, ``receive`` their sums.
    """

    relations: Tuple[Relation, ...]
    nodes: Optional[Dict[str, Any]]
    targets: Optional[Dict[str, Any]]
    send: Dict[str, Any]
    receive: Dict[str, Any]


def edge_type(stars: float) -> str:
    """Name of an edge type; names of a network's parts must not hold dots."""
    return f"{stars:g}".replace(".", "_")


def build(data: Dataset) -> Graphs:
    """All six."""
    train_enc = encoder_graph(data, data.train)
    return Graphs(
        train_enc=train_enc,
        train_dec=decoder_graph(data, data.train),
        valid_enc=train_enc,
        valid_dec=decoder_graph(data, data.valid),
        test_enc=encoder_graph(data, data.train.also(data.valid)),
        test_dec=decoder_graph(data, data.test),
    )


def encoder_graph(data: Dataset, pairs: Pairs) -> Any:
    """Ratings there and back; every number of stars has its edge types, be they empty."""
    edges = {}
    for number, stars in enumerate(data.stars):
        part = pairs.take(pairs.classes == number)
        users, movies = torch.from_numpy(part.users), torch.from_numpy(part.movies)
        edges["user", edge_type(stars), "movie"] = (users, movies)
        edges["movie", REVERSE + edge_type(stars), "user"] = (movies, users)
    return dgl.heterograph(edges, num_nodes_dict={"user": len(data.user_ids), "movie": len(data.movie_ids)})


def decoder_graph(data: Dataset, pairs: Pairs) -> Any:
    """Pairs of a user and a movie, in their order; the classes are the edges' ``class``."""
    graph = pairs_graph(pairs.users, pairs.movies, len(data.user_ids), len(data.movie_ids))
    graph.edata["class"] = torch.from_numpy(pairs.classes.astype(np.int64))
    return graph


def pairs_graph(users: Any, movies: Any, user_count: int, movie_count: int) -> Any:
    """Edges ``rate`` from users to movies."""
    counts = {"user": user_count, "movie": movie_count}
    return dgl.heterograph({("user", "rate", "movie"): (torch.as_tensor(users), torch.as_tensor(movies))}, num_nodes_dict=counts)


def degrees(graph: Any) -> Dict[str, Any]:
    """Number of ratings of each node, over all stars, as a column."""
    counts = {side: torch.zeros(graph.num_nodes(side)) for side in SIDES}
    for source, name, target in graph.canonical_etypes:
        counts[target] += graph.in_degrees(etype=(source, name, target)).cpu()
    return {side: count[:, None].to(graph.device) for side, count in counts.items()}


def norms(graph: Any, symmetric: bool) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """What messages and their sums are multiplied with: 1 / sqrt(degree) each, or 1 and 1 / degree.  0 for isolated nodes."""
    count = degrees(graph)
    inverse = {side: torch.where(value > 0, 1 / value.clamp(min=1), torch.zeros_like(value)) for side, value in count.items()}
    if symmetric:
        root = {side: value.sqrt() for side, value in inverse.items()}
        return root, root
    return {side: torch.ones_like(value) for side, value in inverse.items()}, inverse


def whole(graph: Any, symmetric: bool) -> Messages:
    """All messages of an encoder's graph."""
    send, receive = norms(graph, symmetric)
    return Messages(relations_of(graph), None, None, send, receive)


def relations_of(graph: Any, scale: Optional[Dict[str, Any]] = None) -> Tuple[Relation, ...]:
    """The edge types of a graph or block."""
    return tuple(
        Relation(name.replace(REVERSE, ""), source, target, graph[source, name, target], (scale or {}).get(name))
        for source, name, target in graph.canonical_etypes
    )
