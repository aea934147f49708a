"""What each step learns: all pairs at once, or mini-batches with a sample of the ratings around them."""

from __future__ import annotations

from typing import Any, Dict, Iterator

import dgl
import torch

from gcmc.graphs import SIDES, Messages, norms, pairs_graph, relations_of, whole
from gcmc.training import Batch, share


def full_batches(encoder: Any, decoder: Any, symmetric: bool, part: int, parts: int) -> Iterator[Batch]:
    """This rank's share of all pairs, every time."""
    pairs, classes = share(decoder, part, parts)
    batch = Batch(whole(encoder, symmetric), pairs, classes, decoder.num_edges())
    while True:
        yield batch


def mini_batches(
    encoder: Any, decoder: Any, symmetric: bool, part: int, parts: int, size: int, fanout: int, random: torch.Generator
) -> Iterator[Batch]:
    """Pairs of this rank in ever new orders, and for their users and movies a sample of each one's ratings.

    Every rank makes as many steps with as many pairs as the others; up to ``size`` of each rank's pairs are left out in a round.
    """
    users, movies = decoder.edges(order="eid")
    users, movies, classes = users[part::parts], movies[part::parts], decoder.edata["class"][part::parts]
    least = decoder.num_edges() // parts
    size = min(size, least)
    send, receive = norms(encoder, symmetric)
    degree = {name: encoder.in_degrees(etype=name) for name in encoder.etypes}
    while True:
        order = torch.randperm(len(classes), generator=random)
        for begin in range(0, least - size + 1, size):
            chosen = order[begin : begin + size].to(users.device)
            some_users, user_places = torch.unique(users[chosen], return_inverse=True)
            some_movies, movie_places = torch.unique(movies[chosen], return_inverse=True)
            targets = {"user": some_users, "movie": some_movies}
            messages = sample(encoder, targets, fanout, send, receive, degree)
            pairs = pairs_graph(user_places, movie_places, len(some_users), len(some_movies))
            yield Batch(messages, pairs, classes[chosen], size * parts)


def sample(
    encoder: Any, targets: Dict[str, Any], fanout: int, send: Dict[str, Any], receive: Dict[str, Any], degree: Dict[str, Any]
) -> Messages:
    """Messages to some nodes, of each number of stars at most ``fanout``; their sums are scaled up to the whole."""
    found = dgl.sampling.sample_neighbors(encoder, targets, fanout or -1)
    block = dgl.to_block(found, targets)
    scale = {}
    for source, name, target in block.canonical_etypes:
        kept = block.in_degrees(etype=(source, name, target))
        scale[name] = (degree[name][targets[target]] / kept.clamp(min=1))[:, None].float()
    nodes = {side: block.srcnodes[side].data[dgl.NID] for side in SIDES}
    return Messages(
        relations=relations_of(block, scale),
        nodes=nodes,
        targets=targets,
        send={side: send[side][nodes[side]] for side in SIDES},
        receive={side: receive[side][targets[side]] for side in SIDES},
    )
