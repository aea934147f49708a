"""The training: steps, validations, the falling rate, the best network."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import torch

from gcmc.graphs import Messages, pairs_graph
from gcmc.model import Network, expected_stars
from gcmc.parallel import Alone


@dataclass
class Batch:
    """What one step learns: pairs as a graph, their classes, and the messages that it needs."""

    messages: Messages
    pairs: Any
    classes: Any
    total: int  # pairs of all ranks


@dataclass(frozen=True)
class Question:
    """Pairs whose stars are asked for: this rank's share, and the messages to answer from."""

    messages: Messages
    pairs: Any
    classes: Any


@dataclass(frozen=True)
class Progress:
    """A line of the logs."""

    step: int
    loss: Optional[float] = None
    train: Optional[float] = None
    valid: Optional[float] = None
    test: Optional[float] = None
    rate: Optional[float] = None


@dataclass(frozen=True)
class Best:
    """The best validation, and the test at that step."""

    step: int
    valid: float
    test: float
    weights: Dict[str, Any] = field(repr=False)


@dataclass
class Schedule:
    """When the rate falls, and when the training ends: both by validations without a better one."""

    rate: float
    least: float
    factor: float
    decay_patience: int
    stop_patience: int
    begin: int = 0  # the step from which they count
    waited: int = 0

    def better(self) -> None:
        """A validation was the best so far."""
        self.waited = 0

    def worse(self, step: int) -> bool:
        """A validation was not; returns whether the training ends."""
        if step < self.begin:
            return False
        self.waited += 1
        if self.waited > self.stop_patience and self.rate <= self.least:
            return True
        if self.waited > self.decay_patience and self.rate > self.least:
            self.rate = max(self.rate * self.factor, self.least)
            self.waited = 0
        return False


def share(graph: Any, part: int, parts: int) -> Tuple[Any, Any]:
    """Every so many pairs of a decoder's graph, and their classes."""
    users, movies = graph.edges(order="eid")
    chosen = slice(part, None, parts)
    mine = pairs_graph(users[chosen], movies[chosen], graph.num_nodes("user"), graph.num_nodes("movie"))
    return mine, graph.edata["class"][chosen]


def rmse(network: Network, question: Question, features: Dict[str, Any], stars: Any, ranks: Alone) -> float:
    """Root of the mean squared error over all ranks' pairs."""
    network.eval()
    with torch.no_grad():
        predicted = expected_stars(network(question.messages, features, question.pairs), stars)
        squares = (predicted - stars[question.classes]).double().pow(2).sum().item()
    total, count = ranks.sums([squares, float(len(question.classes))])
    return math.sqrt(total / count)


def train(
    network: Network,
    optimizer: Any,
    schedule: Schedule,
    batches: Iterator[Batch],
    ask: Callable[[str], float],
    ranks: Alone,
    *,
    steps: int,
    clip: float,
    stars: Any,
    features: Dict[str, Any],
    log_interval: int,
    valid_interval: int,
    tell: Callable[[Progress], None],
) -> Best:
    """Train until the steps are done or validations get no better.

    Args:
        network: gets trained, and has the best weights at the end.
        optimizer: of the network, averaging gradients over the ranks.
        schedule: of the rate.
        batches: what each step learns.
        ask: the RMSE of "valid" or "test" now.
        ranks: the other processes.
        steps: at most.
        clip: largest norm of the gradient.
        stars: the possible numbers of stars.
        features: of users and movies.
        log_interval: steps between two lines about the training.
        valid_interval: steps between two validations; the last step has one.
        tell: gets what is to be logged.
    """
    best: Optional[Best] = None
    window: List[float] = [0.0, 0.0, 0.0]
    for step in range(1, steps + 1):
        batch = next(batches)
        network.train()
        scores = network(batch.messages, features, batch.pairs)
        losses = torch.nn.functional.cross_entropy(scores, batch.classes, reduction="sum")
        optimizer.zero_grad()
        # Averaged over the ranks this is the mean over all pairs, though ranks may differ by a pair.
        (losses * (ranks.size / batch.total)).backward()
        ranks.averaged(optimizer)
        torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
        ranks.step(optimizer)
        with torch.no_grad():
            errors = expected_stars(scores, stars) - stars[batch.classes]
            window = [a + b for a, b in zip(window, (losses.item(), errors.pow(2).sum().item(), float(len(batch.classes))))]
        if step % log_interval == 0 or step == steps:
            loss, squares, count = ranks.sums(window)
            window = [0.0, 0.0, 0.0]
            tell(Progress(step, loss=loss / count, train=math.sqrt(squares / count), rate=schedule.rate))
        if step % valid_interval and step != steps:
            continue
        valid = ask("valid")
        if not math.isfinite(valid):
            raise SystemExit(f"train.py: the validation's RMSE is {valid} after step {step}: lower --train_lr")
        if best is None or valid < best.valid:
            best = Best(step, valid, ask("test"), {name: value.detach().clone() for name, value in network.state_dict().items()})
            tell(Progress(step, valid=valid, test=best.test))
            schedule.better()
            continue
        tell(Progress(step, valid=valid))
        if schedule.worse(step):
            break
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate
    assert best is not None
    network.load_state_dict(best.weights)
    return best
