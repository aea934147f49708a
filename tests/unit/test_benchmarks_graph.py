"""The arithmetic of the graph benchmark; nothing is trained here, and no GraphStorm is needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from graph import LAUNCHER, in_turns, rows_of
from graph_jobs import Trained, launcher_words, phases_of, trained
from programs import Arrivals

LINES = [
    (101.0, "[server,algo-1] Server is waiting for connections\n"),
    (110.0, "INFO:root:Part 0 | Epoch 00000 | Batch 000 | Loss: 1.2\n"),
    (111.0, "INFO:root:Epoch 0 take 0.5 seconds\nINFO:root:Part 0 | Epoch 00001 | Batch 000 |"),
    (114.0, " Loss\nINFO:root:Epoch 1 take 0.5 seconds\n"),
    (115.0, "Client[0] in group[0] is exiting...\n"),
    (115.5, "Client[1] in group[0] is exiting...\n"),
]


def log_of(lines: List[tuple[float, str]]) -> Arrivals:
    log = Arrivals()
    log.finish()
    log.times, log.pieces = [when for when, _ in lines], [text.encode() for _, text in lines]
    return log


def test_what_a_log_tells() -> None:
    found = trained(log_of(LINES), 100.0, 118.0, 2, {"prepared": 1.5})
    assert (found.seconds, found.first, found.last, found.left) == (18.0, 10.0, 14.0, 15.5)
    assert (found.training, found.end) == (4.0, 2.5)


@pytest.mark.parametrize("missing", [1, 3, slice(4, 6)])
def test_a_log_of_less_than_a_training_is_refused(missing: int | slice) -> None:
    lines = list(LINES)
    del lines[missing]
    with pytest.raises(RuntimeError, match="no log of 2 epochs"):
        trained(log_of(lines), 100.0, 118.0, 2)


PHASES = {"prepared": 2.0, "roles ready": 6.0, "roles ended": 16.0, "finished": 17.0}


def test_rows_stand_beside_the_launcher() -> None:
    ours = [Trained(18.0, 9.0, 13.0, 15.0, PHASES), Trained(20.0, 9.0, 13.0, 15.0, PHASES)]
    theirs = [Trained(16.0, 8.0, 13.0, 14.0), Trained(18.0, 8.0, 13.0, 14.0)]
    rows = {row.name.strip(): row for row in rows_of(ours, theirs, "2x1")}
    whole, alone = rows["training 2x1, whole command"], rows["servers and ranks alone"]
    assert (whole.value, whole.peer, whole.peer_name, whole.met) == (19.0, 17.0, LAUNCHER, False)
    assert (alone.values, alone.peer, alone.met) == ((14.0, 14.0), 17.0, True)
    assert (rows["first batch to last epoch"].ratio, rows["last trainer's leave to end"].value) == (0.8, 4.0)
    apart = ("hosts, and graph from S3", "graph servers ready", "model kept and in S3", "results copied, hosts gone")
    assert [rows[name].values[0] for name in apart] == [2.0, 4.0, 1.0, 1.0]
    assert phases_of(ours, "", "") == (18.0, 20.0)


def test_they_take_turns_and_the_first_round_is_left_out() -> None:
    order: List[str] = []

    def run(name: str) -> Trained:
        order.append(name)
        return Trained(float(len(order)), 0, 0, 0)

    found = in_turns({name: (lambda name=name: run(name)) for name in "ab"}, 2, warm=True)  # type: ignore[misc]
    assert "".join(order) == "baabba"
    assert [[ran.seconds for ran in found[name]] for name in "ab"] == [[3.0, 6.0], [4.0, 5.0]]  # type: ignore[attr-defined]


def test_the_launcher_is_told_what_hvdsm_is_told() -> None:
    words = launcher_words("/g", "/ip", 2, 7)
    told = dict(zip(words, words[1:]))
    assert (told["--num-trainers"], told["--num-epochs"], told["--ssh-port"]) == ("2", "7", "22")
    assert (told["--part-config"], told["--ip-config"], told["--do-nid-remap"]) == ("/g/papers.json", "/ip", "False")
