"""The network of Graph Convolutional Matrix Completion (van den Berg, Kipf, Welling 2017).

Encoder: a user's messages are rows of a matrix of weights, one for each number of stars, summed over the movies rated so; a dense
layer makes 75 numbers of the sums.  Movies likewise.  Features enter the dense layer beside the sums, as in the paper, or are
what messages are made of, as in DGL's example.  Decoder: for a pair, bilinear forms mixed to one score for each number of stars.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple, Type

import dgl
import torch
from torch import nn

from gcmc.graphs import SIDES, Messages


@dataclass(frozen=True)
class Shape:
    """What a network is made of; saved beside its weights."""

    stars: Tuple[str, ...]
    nodes: Dict[str, int]
    features: Dict[str, int]  # columns by side; 0 where there are none
    features_in_messages: bool
    units: int = 500
    out_units: int = 75
    feature_units: int = 10
    accumulate: str = "sum"
    dropout: float = 0.7
    activation: str = "leaky"
    bases: int = 2
    share: bool = False


def activation(name: str) -> nn.Module:
    """A nonlinearity by its name."""
    if name == "leaky":
        return nn.LeakyReLU(0.1)
    kinds: Dict[str, Type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "none": nn.Identity}
    return kinds[name]()


class Encoder(nn.Module):
    """A graph convolution over all numbers of stars, and a dense layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        each = shape.units // len(shape.stars) if shape.accumulate == "stack" else shape.units
        self.inputs = {side: (shape.features[side] if shape.features_in_messages else 0) or shape.nodes[side] for side in SIDES}
        # Of one-hot inputs each node has rows of its own; there is nothing to share.
        common = shape.share and shape.features_in_messages
        width = {side: max(self.inputs.values()) if common else self.inputs[side] for side in SIDES}
        self.weights = nn.ParameterDict()
        for stars in shape.stars:
            for side in SIDES:
                if not common or side == SIDES[0]:
                    self.weights[f"{side}_{stars}"] = nn.Parameter(nn.init.xavier_uniform_(torch.empty(width[side], each)))
        self.owner = {side: SIDES[0] if common else side for side in SIDES}
        self.beside = {side: 0 if shape.features_in_messages else shape.features[side] for side in SIDES}
        self.features = nn.ModuleDict(
            {side: nn.Linear(self.beside[side], shape.feature_units) for side in SIDES if self.beside[side]}
        )
        received = {side: shape.units + (shape.feature_units if self.beside[side] else 0) for side in SIDES}
        self.dense = nn.ModuleDict({side: nn.Linear(received[side], shape.out_units) for side in SIDES})
        if shape.share and len(set(received.values())) == 1:
            self.dense[SIDES[1]] = self.dense[SIDES[0]]
        self.dropout = nn.Dropout(shape.dropout)
        self.activation = activation(shape.activation)

    def rows(self, side: str, stars: str, features: Optional[Any], nodes: Optional[Any]) -> Any:
        """What the nodes of a side say about one number of stars."""
        weight = self.weights[f"{self.owner[side]}_{stars}"]
        if self.shape.features_in_messages and features is not None:
            chosen = features if nodes is None else features[nodes]
            return chosen @ weight[: chosen.shape[1]]
        weight = weight[: self.inputs[side]]
        return weight if nodes is None else weight[nodes]

    def forward(self, messages: Messages, features: Dict[str, Any]) -> Dict[str, Any]:
        """Return a row of numbers for each target of the messages."""
        received: Dict[str, List[Any]] = {side: [] for side in SIDES}
        for relation in messages.relations:
            nodes = messages.nodes[relation.source] if messages.nodes else None
            rows = self.rows(relation.source, relation.stars, features.get(relation.source), nodes)
            # Dropout takes whole nodes: all that a node says about one number of stars, or nothing.
            sums = dgl.ops.copy_u_sum(relation.graph, rows * self.dropout(messages.send[relation.source]))
            received[relation.target].append(sums if relation.scale is None else sums * relation.scale)
        outputs = {}
        for side, parts in received.items():
            joined = torch.cat(parts, dim=1) if self.shape.accumulate == "stack" else torch.stack(parts).sum(0)
            hidden = self.activation(joined * messages.receive[side])
            if self.beside[side]:
                own = features[side] if messages.targets is None else features[side][messages.targets[side]]
                hidden = torch.cat([hidden, self.activation(self.features[side](own))], dim=1)
            outputs[side] = self.dense[side](self.dropout(hidden))
        return outputs


class Decoder(nn.Module):
    """Bilinear forms of user and movie, mixed to a score for each number of stars."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        size = shape.out_units
        self.forms = nn.ParameterList(nn.init.xavier_uniform_(torch.empty(size, size)) for _ in range(shape.bases))
        self.mix = nn.Linear(shape.bases, len(shape.stars), bias=False)
        nn.init.xavier_uniform_(self.mix.weight)

    def forward(self, pairs: Any, encoded: Dict[str, Any]) -> Any:
        """Scores of each edge of a decoder's graph."""
        forms = [dgl.ops.u_dot_v(pairs, encoded["user"] @ form, encoded["movie"]) for form in self.forms]
        return self.mix(torch.cat(forms, dim=1))


class Network(nn.Module):
    """Encoder and decoder."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape)
        for layer in self.modules():
            if isinstance(layer, nn.Linear) and layer is not self.decoder.mix:
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, messages: Messages, features: Dict[str, Any], pairs: Any) -> Any:
        """Scores of the pairs' possible numbers of stars."""
        return self.decoder(pairs, self.encoder(messages, features))


def expected_stars(scores: Any, stars: Any) -> Any:
    """The mean of the numbers of stars, each as probable as its score says."""
    return torch.softmax(scores, dim=1) @ stars
