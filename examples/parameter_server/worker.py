"""A worker: logistic regression on texts that are lists of words, its weights kept by parameter servers.

A text has 12 of 3,000 words, so a worker asks the servers only for the weights of the words in its batch, and sends only their
gradients.  The texts are made from hidden weights; the model must find them again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from wire import connect

WORDS, LENGTH = 3000, 12
Text = Tuple[List[int], int]


class ParameterStore:
    """The weights, wherever they are: weight k is on server k modulo the number of servers."""

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._scheduler = connect(os.environ["DMLC_PS_ROOT_URI"], int(os.environ["DMLC_PS_ROOT_PORT"]))
        found = self._scheduler.ask(role="worker")["servers"]
        self._servers = [connect(address, port) for address, port in found]

    def pull(self, step: int, keys: Sequence[int]) -> Dict[int, float]:
        """Weights before a step."""
        wanted = self._by_server(keys)
        for server, mine in zip(self._servers, wanted):
            server.tell(do="pull", step=step, keys=mine)
        return {key: w for server, mine in zip(self._servers, wanted) for key, w in zip(mine, server.hear()["weights"])}

    def push(self, rate: float, gradients: Dict[int, float]) -> None:
        """This worker's part of a step; every server counts it, also where it has nothing for that one."""
        for server, mine in zip(self._servers, self._by_server(gradients)):
            server.tell(do="push", rank=self._rank, rate=rate, gradients={key: gradients[key] for key in mine})

    def close(self) -> None:
        """Say goodbye, so that servers and scheduler can end."""
        for server in self._servers:
            server.tell(do="leave")
        self._scheduler.tell(bye=True)

    def _by_server(self, keys: Any) -> List[List[int]]:
        count = len(self._servers)
        return [[key for key in keys if key % count == number] for number in range(count)]


def make_texts(count: int, seed: int) -> List[Text]:
    """Texts whose class follows from hidden weights of their words."""
    hidden = random.Random(7)
    weights = [hidden.gauss(0.0, 1.0) for _ in range(WORDS)]
    chosen = random.Random(seed)
    texts = [[chosen.randrange(WORDS) for _ in range(LENGTH)] for _ in range(count)]
    return [(words, int(sum(weights[word] for word in words) > 0)) for words in texts]


def gradient(batch: Sequence[Text], weights: Dict[int, float]) -> Tuple[Dict[int, float], float]:
    """The gradient of the batch's mean loss, and the loss."""
    found: Dict[int, float] = {}
    loss = 0.0
    for words, label in batch:
        score = sum(weights[word] for word in words)
        chance = 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, score))))
        loss -= math.log(chance if label else 1.0 - chance) / len(batch)
        for word in words:
            found[word] = found.get(word, 0.0) + (chance - label) / len(batch)
    return found, loss


def batches(texts: Sequence[Text], size: int, epochs: int) -> Iterator[Sequence[Text]]:
    """The texts again and again, in an order that is the same in every run."""
    order = random.Random(1)
    mine = list(texts)
    for _ in range(epochs):
        order.shuffle(mine)
        yield from (mine[begin : begin + size] for begin in range(0, len(mine) - size + 1, size))


def accuracy(texts: Sequence[Text], weights: Dict[int, float]) -> float:
    """Share of the texts whose class is found."""
    return sum((sum(weights[word] for word in words) > 0) == bool(label) for words, label in texts) / len(texts)


def main() -> None:
    """Train this worker's part of the texts, together with the others."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=int, default=24000)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=60.0)
    options = parser.parse_args()
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    store = ParameterStore(rank)
    mine = make_texts(options.texts, seed=2)[rank::size]
    # All workers make the same number of steps: a server waits for all of them.
    mine = mine[: options.texts // size]
    step, seen = 0, 0.0
    for batch in batches(mine, options.batch_size, options.epochs):
        weights = store.pull(step, sorted({word for words, _ in batch for word in words}))
        found, loss = gradient(batch, weights)
        store.push(options.lr, found)
        step, seen = step + 1, seen + loss
        if rank == 0 and step % 100 == 0:
            print(f"step {step} loss {seen / 100:.4f}", flush=True)
            seen = 0.0
    if rank == 0:
        weights = store.pull(step, range(WORDS))
        print(f"test accuracy {accuracy(make_texts(4000, seed=3), weights):.4f}", flush=True)
        with open(os.path.join(os.environ["SM_MODEL_DIR"], "weights.json"), "w", encoding="utf-8") as file:
            json.dump([weights[word] for word in range(WORDS)], file)
    store.close()


if __name__ == "__main__":
    main()
