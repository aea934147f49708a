"""What a training leaves behind: logs, the network, a plot.  Only rank 0 writes."""

from __future__ import annotations

import contextlib
import csv
import os
from dataclasses import asdict
from typing import IO, Any, Dict, List, Tuple

import torch

from gcmc.graphs import Messages, pairs_graph
from gcmc.model import Network, Shape, expected_stars
from gcmc.plot import chart
from gcmc.training import Best, Progress


class Records:
    """Three CSV files that grow with the training, so that a stopped one has left what it got to."""

    def __init__(self, directory: str, save_id: str, silent: bool) -> None:
        os.makedirs(directory, exist_ok=True)
        self.directory, self.save_id, self.silent = directory, save_id, silent
        columns = {"train_loss": ("iter", "loss", "rmse"), "valid_loss": ("iter", "rmse"), "test_loss": ("iter", "rmse")}
        self.streams = contextlib.ExitStack()
        self.files = {name: self.streams.enter_context(self.new(f"{name}{save_id}.csv")) for name in columns}
        self.lines: Dict[str, List[Tuple[float, float]]] = {"train": [], "valid": [], "test": []}
        for name, row in columns.items():
            self.write(name, row)

    def path(self, name: str) -> str:
        """Where a file goes."""
        return os.path.join(self.directory, name)

    def new(self, name: str) -> IO[str]:
        """A new text file."""
        return open(self.path(name), "w", newline="", encoding="utf-8")

    def write(self, name: str, row: Any) -> None:
        """Add a line to a CSV file."""
        csv.writer(self.files[name], lineterminator="\n").writerow(row)
        self.files[name].flush()

    def tell(self, progress: Progress) -> None:
        """Log what is known after a step."""
        said = []
        if progress.train is not None and progress.loss is not None:
            self.write("train_loss", (progress.step, f"{progress.loss:.6f}", f"{progress.train:.6f}"))
            self.lines["train"].append((progress.step, progress.train))
            said.append(f"loss {progress.loss:.4f}, training RMSE {progress.train:.4f}, rate {progress.rate:g}")
        for name, value in (("valid", progress.valid), ("test", progress.test)):
            if value is not None:
                self.write(f"{name}_loss", (progress.step, f"{value:.6f}"))
                self.lines[name].append((progress.step, value))
                said.append(f"{name} RMSE {value:.4f}")
        if not self.silent:
            print(f"iter {progress.step}: {', '.join(said)}", flush=True)

    def describe(self, network: Network, title: str) -> None:
        """Write net.txt: the network's parts and the number of its weights."""
        count = sum(value.numel() for value in network.parameters())
        with self.new(f"net{self.save_id}.txt") as stream:
            stream.write(f"{title}\n{network}\n")
            for name, value in network.named_parameters():
                stream.write(f"{name}: {' x '.join(map(str, value.shape))}\n")
            stream.write(f"{count} weights\n")

    def save(self, shape: Shape, best: Best, more: Dict[str, Any]) -> str:
        """Write the best network: whole or not at all."""
        path = self.path(f"best_valid_net{self.save_id}")
        state = {"shape": asdict(shape), "weights": {name: value.cpu() for name, value in best.weights.items()}, **more}
        torch.save(state, path + ".part")
        os.replace(path + ".part", path)
        return path

    def plot(self, directory: str) -> str:
        """Draw the RMSE over the steps."""
        os.makedirs(directory, exist_ok=True)
        path = os.path.join(directory, f"rmse{self.save_id}.png")
        with open(path, "wb") as stream:
            stream.write(chart({name: line for name, line in self.lines.items() if line}, "iter", "RMSE"))
        return path

    def close(self) -> None:
        """Close the CSV files."""
        self.streams.close()


def load(path: str) -> Tuple[Network, Dict[str, Any]]:
    """Return a saved network and what was saved with it: ids by number, features, options, RMSE."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    network = Network(Shape(**{**saved["shape"], "stars": tuple(saved["shape"]["stars"])}))
    network.load_state_dict(saved["weights"])
    return network.eval(), saved


def predict(network: Network, messages: Messages, features: Dict[str, Any], users: Any, movies: Any, stars: Any) -> Any:
    """Stars that users, by number, would give to movies."""
    counts = [len(messages.receive[side]) for side in ("user", "movie")]
    with torch.no_grad():
        return expected_stars(network(messages, features, pairs_graph(users, movies, *counts)), stars)
