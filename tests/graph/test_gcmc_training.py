"""The GC-MC example trains: better than biases, as well as factorisation; alone, in mini-batches and on two hosts."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import numpy as np
import pytest
from gcmc_baselines import biases, factors, rmse
from gcmc_support import EXAMPLE, PATIENCE, ROOT, SMALL, Ran, environment, small_data, train

pytest.importorskip("dgl", reason="DGL 1.1.3: `make test-graph` installs it")

import torch
from gcmc import dataset, graphs, sampling
from gcmc.model import Network, Shape
from gcmc.movielens import LAYOUTS, read
from gcmc.parallel import Alone
from gcmc.records import load, predict
from gcmc.training import Schedule
from gcmc.training import train as learn

README = EXAMPLE / "README.md"
pytestmark = [pytest.mark.examples, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def yardsticks(data: Path) -> Dict[str, float]:
    """RMSE of the test by simpler predictions, and that of the best one."""
    made = dataset.build(read(LAYOUTS["ml-100k"], str(data)), 0.1, 0.1, 123, False)
    stars = np.array(made.stars)
    known, asked = made.train.also(made.valid), made.test
    counts = (len(made.user_ids), len(made.movie_ids))
    mean, users, movies = biases(known.users, known.movies, stars[known.classes], counts)
    base = mean + users[asked.users] + movies[asked.movies]
    rest = stars[known.classes] - mean - users[known.users] - movies[known.movies]
    of_users, of_movies = factors(known.users, known.movies, rest, counts, 4, 1.0)
    factorised = np.clip(base + (of_users[asked.users] * of_movies[asked.movies]).sum(1), 1, 5)
    actual = stars[asked.classes]
    best = json.loads((data / "structure.json").read_text())["best_rmse"]
    return {"mean": rmse(actual, mean), "biases": rmse(actual, base), "factors": rmse(actual, factorised), "best": best}


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training in one process: its directory, with its output in the file ``log``."""
    place = tmp_path_factory.mktemp("trained")
    job = {"SM_CHANNEL_TRAIN": str(data), "SM_MODEL_DIR": str(place / "model"), "SM_OUTPUT_DATA_DIR": str(place / "output")}
    options = {"use_one_hot_fea": "True", "gcn_agg_units": "100", "train_lr": "0.02", "train_max_iter": "360"}
    ran = train(place, {**options, "save_id": "7", "share_param": "False"}, env=job)
    (place / "log").write_text(ran.output)
    assert ran.code == 0, ran.output
    return place


def rows(path: Path) -> List[Dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_it_predicts_better_than_simpler_means(trained: Path, yardsticks: Dict[str, float]) -> None:
    found = Ran(0, (trained / "log").read_text()).final[2]
    assert yardsticks["best"] < found < 0.75 * yardsticks["biases"] < yardsticks["biases"] < yardsticks["mean"]
    assert found < 0.7 * yardsticks["mean"] and found < 1.1 * yardsticks["factors"]


def test_what_it_leaves_behind(trained: Path) -> None:
    log = (trained / "log").read_text()
    step, valid, test = Ran(0, log).final
    assert log.splitlines()[-1].startswith("Best Iter Idx=")
    model = trained / "model"
    assert sorted(file.name for file in model.iterdir()) == [
        "best_valid_net7", "net7.txt", "test_loss7.csv", "train_loss7.csv", "valid_loss7.csv",
    ]  # fmt: skip
    assert [file.name for file in (trained / "output").iterdir()] == ["rmse7.png"]
    training, validation, tests = (rows(model / f"{name}_loss7.csv") for name in ("train", "valid", "test"))
    assert [list(part[0]) for part in (training, validation, tests)] == [
        ["iter", "loss", "rmse"],
        ["iter", "rmse"],
        ["iter", "rmse"],
    ]
    assert [int(row["iter"]) for row in training] == [int(row["iter"]) for row in validation] == list(range(1, len(training) + 1))
    # The test is asked for where the validation was the best so far, and there only.
    best, records = 9.0, []
    for row in validation:
        if float(row["rmse"]) < best:
            best = float(row["rmse"])
            records.append(row["iter"])
    assert [row["iter"] for row in tests] == records and records[-1] == str(step)
    assert f"{best:.4f}" == f"{valid:.4f}" and f"{float(tests[-1]['rmse']):.4f}" == f"{test:.4f}"
    text = (model / "net7.txt").read_text()
    assert "encoder.weights.movie_5: " in text and text.rstrip().endswith(" weights")


def test_the_saved_network_predicts_the_same(trained: Path, data: Path) -> None:
    network, saved = load(str(trained / "model" / "best_valid_net7"))
    made = dataset.build(read(LAYOUTS["ml-100k"], str(data)), 0.1, 0.1, 123, True)
    assert saved["user_ids"].tolist() == made.user_ids.tolist() and saved["options"]["share_param"] is False
    stars = torch.tensor(made.stars)
    messages = graphs.whole(graphs.build(made).test_enc, True)
    found = predict(network, messages, saved["features"], made.test.users, made.test.movies, stars)
    error = rmse(np.array(made.stars)[made.test.classes], found.numpy())
    assert error == pytest.approx(saved["rmse"]["test"], abs=1e-4) and saved["rmse"]["test"] == pytest.approx(
        Ran(0, (trained / "log").read_text()).final[2], abs=1e-4
    )


def test_mini_batches_of_half_stars(tmp_path: Path) -> None:
    place = small_data(tmp_path, "ml-10m")
    options = {
        "data_name": "ml-10m", "data_dir": str(tmp_path), "minibatch_size": "1000", "minibatch_fanout": "8", "gcn_dropout": "0.1",
        "train_max_iter": "200", "train_lr": "0.01", "train_valid_interval": "40", "train_log_interval": "40", "silent": "True"
    }  # fmt: skip
    ran = train(tmp_path, options)
    assert ran.code == 0, ran.output
    made = dataset.build(read(LAYOUTS["ml-10m"], str(place)), 0.1, 0.1, 123, False)
    stars = np.array(made.stars)
    known = made.train.also(made.valid)
    mean, users, movies = biases(known.users, known.movies, stars[known.classes], (len(made.user_ids), len(made.movie_ids)))
    by_biases = rmse(stars[made.test.classes], mean + users[made.test.users] + movies[made.test.movies])
    assert ran.final[2] < 0.93 * by_biases
    assert "iter 40:" not in ran.output and (tmp_path / "model" / "rmse.png").is_file()


def test_one_hot_needs_the_ratings_alone(data: Path, tmp_path: Path) -> None:
    for name in ("u1.base", "u1.test"):
        (tmp_path / name).write_bytes((data / name).read_bytes())
    ran = train(tmp_path, {"data_dir": ".", "use_one_hot_fea": "True", "train_max_iter": "4", "gcn_agg_accum": "sum"})
    assert ran.code == 0 and ran.final[0] <= 4, ran.output
    network, saved = load(str(tmp_path / "model" / "best_valid_net"))
    assert not saved["features"] and not network.encoder.features
    assert len(rows(tmp_path / "model" / "train_loss.csv")) == 4
    assert network.encoder.weights["movie_5"].shape == (len(saved["movie_ids"]), 60)


def test_a_step_is_clipped_and_follows_the_rate(data: Path) -> None:
    made = dataset.build(read(LAYOUTS["ml-100k"], str(data)), 0.1, 0.1, 123, False)
    six = graphs.build(made)
    nodes = {"user": len(made.user_ids), "movie": len(made.movie_ids)}
    network = Network(Shape(tuple("12345"), nodes, {"user": 0, "movie": 0}, False, units=20, out_units=6))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    before, rates, norms = [value.detach().clone() for value in network.parameters()], [], []

    def ask(name: str) -> float:
        if name == "valid":
            now = [value.detach().clone() for value in network.parameters()]
            norms.append(float(sum((a - b).pow(2).sum() for a, b in zip(now, before)).sqrt()))
            rates.append(optimizer.param_groups[0]["lr"])
            before[:] = now
        return 1.0

    batches = sampling.full_batches(six.train_enc, six.train_dec, True, 0, 1)
    schedule = Schedule(0.5, 0.1, 0.5, 0, 1)
    best = learn(
        network, optimizer, schedule, batches, ask, Alone(), steps=9, clip=0.01, stars=torch.tensor(made.stars), features={},
        log_interval=1, valid_interval=1, tell=lambda _: None,
    )  # fmt: skip
    assert rates == [0.5, 0.5, 0.25, 0.125, 0.1, 0.1] and best.step == 1
    assert norms == pytest.approx([0.01 * rate for rate in rates], rel=0.01)


def test_a_script_without_data_says_what_to_do(tmp_path: Path) -> None:
    ran = train(tmp_path, {"data_dir": "nowhere", "data_url": (tmp_path / "none.zip").as_uri()})
    (said,) = ran.output.splitlines()
    assert ran.code == 1 and said.startswith("train.py: nowhere: no such directory, and there is no download: file://")
    assert said.endswith("give the data set as a channel, or --data_dir DIR, or --data_url URL")


@pytest.mark.cluster
@pytest.mark.timeout(2 * PATIENCE)
def test_two_hosts_by_horovod_learn_what_one_process_does(data: Path, emulated_hosts: None, tmp_path: Path) -> None:
    pytest.importorskip("horovod", reason="Horovod: `make setup` builds it")
    command = shlex.split(next(line for line in README.read_text().splitlines() if line.startswith("hvdsm launch ")))
    assert command[0] == "hvdsm" and command[-1] == "train.py"
    command[command.index("train=data")] = f"train={data}"
    # Without dropout nothing is drawn after the weights, so steps are the same to rounding.
    options = {**SMALL, "silent": "True", "gcn_dropout": "0", "train_max_iter": "12"}
    alone = train(tmp_path, {**options, "data_dir": str(data)})
    assert alone.code == 0, alone.output
    more = ["--hosts", "namespaces", "--output", str(tmp_path / "job"), "--max-run", str(PATIENCE)]
    for name, value in options.items():
        if name != "data_name":
            more += ["--hp", f"{name}={value}"]
    done = subprocess.run(
        [sys.executable, "-m", *command[:-1], *more, "train.py"], cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", timeout=2 * PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    for rank in (0, 1):
        assert f"rank {rank} of 2 on algo-{rank + 1}: cpu, 1 threads, seed 123" in done.stdout
    assert Ran(0, done.stdout).final == (alone.final[0], *(pytest.approx(value, abs=2e-4) for value in alone.final[1:]))
    (job,) = (file.parent for file in (tmp_path / "job").rglob("train_loss.csv"))
    for name in ("train_loss", "valid_loss", "test_loss"):
        wanted, found = (rows(place / f"{name}.csv") for place in (tmp_path / "model", job))
        assert len(found) > 3 and [list(map(float, row.values())) for row in found] == [
            pytest.approx(list(map(float, row.values())), abs=2e-4) for row in wanted
        ]
    found = sorted(file.name for file in tmp_path.joinpath("job").rglob("*") if file.name.startswith(("best_valid_net", "rmse")))
    assert found == ["best_valid_net", "rmse.png"], found
