"""The GC-MC example's graphs and network: what is connected with what, and what one layer computes."""

from __future__ import annotations

from typing import Any, Tuple

import pytest
from gcmc_support import small_data

pytest.importorskip("dgl", reason="DGL 1.1.3: `make test-graph` installs it")

import dgl
import torch
from gcmc import dataset, graphs, sampling
from gcmc.model import Decoder, Network, Shape, expected_stars
from gcmc.movielens import LAYOUTS, read


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dataset.Dataset:
    place = small_data(tmp_path_factory.mktemp("data"), size=(40, 60, 600))
    return dataset.build(read(LAYOUTS["ml-100k"], str(place)), 0.1, 0.1, 123, True)


@pytest.fixture(scope="module")
def made(data: dataset.Dataset) -> graphs.Graphs:
    return graphs.build(data)


def pairs(graph: Any, etype: Tuple[str, str, str]) -> set:
    return set(zip(*(ends.tolist() for ends in graph.edges(etype=etype))))


def test_six_graphs(data: dataset.Dataset, made: graphs.Graphs) -> None:
    assert made.valid_enc is made.train_enc
    for encoder, count in ((made.train_enc, len(data.train)), (made.test_enc, len(data.train) + len(data.valid))):
        assert sorted(encoder.etypes) == sorted([*"12345", *(f"rev-{star}" for star in "12345")])
        assert encoder.num_edges() / 2 == count
        assert (encoder.num_nodes("user"), encoder.num_nodes("movie")) == (len(data.user_ids), len(data.movie_ids))
        for star in "12345":
            assert pairs(encoder, ("user", star, "movie")) == {
                (user, movie) for movie, user in pairs(encoder, ("movie", f"rev-{star}", "user"))
            }
    asked = {name: pairs(getattr(made, name), ("user", "rate", "movie")) for name in ("train_dec", "valid_dec", "test_dec")}
    known = {name: set.union(*(pairs(getattr(made, name), ("user", star, "movie")) for star in "12345"))
             for name in ("train_enc", "valid_enc", "test_enc")}  # fmt: skip
    assert not asked["test_dec"] & (known["train_enc"] | known["valid_enc"] | known["test_enc"])
    assert not asked["valid_dec"] & known["valid_enc"] and asked["valid_dec"] <= known["test_enc"]
    assert asked["train_dec"] == known["train_enc"]
    assert made.test_dec.edata["class"].tolist() == data.test.classes.tolist()


def test_norms(data: dataset.Dataset, made: graphs.Graphs) -> None:
    degree = torch.bincount(torch.as_tensor(data.train.movies), minlength=len(data.movie_ids))
    assert (degree == 0).any()  # movies of the test alone
    send, receive = graphs.norms(made.train_enc, True)
    wanted = [1 / count**0.5 if count else 0.0 for count in degree.tolist()]
    assert send["movie"][:, 0].tolist() == pytest.approx(wanted) and receive["movie"][:, 0].tolist() == pytest.approx(wanted)
    send, receive = graphs.norms(made.train_enc, False)
    assert set(send["movie"][:, 0].tolist()) == {1.0}
    assert receive["movie"][:, 0].tolist() == pytest.approx([1 / count if count else 0.0 for count in degree.tolist()])


def test_half_stars_name_edge_types() -> None:
    assert [graphs.edge_type(star) for star in LAYOUTS["ml-10m"].stars[:4]] == ["0_5", "1", "1_5", "2"]


def shape(data: dataset.Dataset, **changed: Any) -> Shape:
    nodes = {"user": len(data.user_ids), "movie": len(data.movie_ids)}
    given = {"stars": tuple("12345"), "nodes": nodes, "features": {"user": 0, "movie": 0}, "features_in_messages": False,
             "units": 20, "out_units": 6, "dropout": 0.0}  # fmt: skip
    return Shape(**{**given, **changed})


@pytest.mark.parametrize("accumulate", ["sum", "stack"])
def test_a_layer_is_what_the_paper_says(data: dataset.Dataset, made: graphs.Graphs, accumulate: str) -> None:
    torch.manual_seed(0)
    encoder = Network(shape(data, accumulate=accumulate)).eval().encoder
    found = encoder(graphs.whole(made.train_enc, True), {})["user"]
    counts = len(data.user_ids), len(data.movie_ids)
    matrix = torch.zeros(5, *counts)
    matrix[data.train.classes, data.train.users, data.train.movies] = 1
    roots = [matrix.sum(0).sum(side).clamp(min=1).rsqrt() for side in (1, 0)]
    parts = [(roots[0][:, None] * matrix[at] * roots[1]) @ encoder.weights[f"movie_{at + 1}"] for at in range(5)]
    joined = torch.cat(parts, 1) if accumulate == "stack" else sum(parts)
    wanted = encoder.dense["user"](torch.nn.functional.leaky_relu(joined, 0.1))
    assert torch.allclose(found, wanted, atol=1e-5)


def test_features_beside_the_sums_and_in_the_messages(data: dataset.Dataset, made: graphs.Graphs) -> None:
    features = {"user": torch.from_numpy(data.user_features), "movie": torch.from_numpy(data.movie_features)}
    columns = {side: table.shape[1] for side, table in features.items()}
    beside = Network(shape(data, features=columns, feature_units=4)).eval().encoder
    assert beside.dense["user"].in_features == 24 and beside.weights["movie_3"].shape == (len(data.movie_ids), 20)
    messages = graphs.whole(made.train_enc, True)
    cold = (graphs.degrees(made.train_enc)["movie"][:, 0] == 0).nonzero()[:, 0]
    output = beside(messages, features)["movie"]
    assert len({tuple(row) for row in output[cold].tolist()}) == len(cold) > 1  # told apart by features alone
    within = Network(shape(data, features=columns, features_in_messages=True)).eval().encoder
    assert within.weights["movie_3"].shape == (columns["movie"], 20) and within.dense["user"].in_features == 20
    shared = Network(shape(data, features=columns, features_in_messages=True, share=True)).eval().encoder
    assert sorted(shared.weights) == [f"user_{star}" for star in range(1, 6)] and shared.dense["user"] is shared.dense["movie"]
    assert shared(messages, features)["user"].shape == (len(data.user_ids), 6)


def test_the_decoder_mixes_bilinear_forms() -> None:
    decoder = Decoder(Shape(tuple("12345"), {}, {}, False, out_units=6, bases=3))
    users, movies = torch.randn(4, 6), torch.randn(3, 6)
    asked = graphs.pairs_graph([0, 3, 1], [2, 2, 0], 4, 3)
    scores = decoder(asked, {"user": users, "movie": movies})
    for row, (user, movie) in enumerate(((0, 2), (3, 2), (1, 0))):
        forms = torch.stack([users[user] @ form @ movies[movie] for form in decoder.forms])
        assert torch.allclose(scores[row], decoder.mix.weight @ forms, atol=1e-5)
    stars = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    assert expected_stars(torch.zeros(1, 5), stars).tolist() == pytest.approx([3.0])
    assert expected_stars(torch.tensor([[0.0, 0, 0, 0, 50]]), stars).tolist() == pytest.approx([5.0])


def test_mini_batches(data: dataset.Dataset, made: graphs.Graphs) -> None:
    features = {"user": torch.from_numpy(data.user_features), "movie": torch.from_numpy(data.movie_features)}
    network = Network(shape(data, features={side: table.shape[1] for side, table in features.items()})).eval()
    asked, classes = made.train_dec, made.train_dec.edata["class"]
    whole = network(graphs.whole(made.train_enc, True), features, asked)
    by_pair = dict(zip(zip(*(ends.tolist() for ends in asked.edges(order="eid"))), range(len(classes))))
    seen = []
    for rank in range(2):
        batches = sampling.mini_batches(made.train_enc, asked, True, rank, 2, 50, 0, torch.Generator().manual_seed(rank))
        steps = len(data.train) // 2 // 50
        for _ in range(steps):
            batch = next(batches)
            users, movies = batch.pairs.edges(order="eid")
            numbers = [by_pair[pair] for pair in zip(batch.messages.targets["user"][users].tolist(),
                                                     batch.messages.targets["movie"][movies].tolist())]  # fmt: skip
            assert len(numbers) == 50 and batch.total == 100 and all(number % 2 == rank for number in numbers)
            assert batch.classes.tolist() == classes[numbers].tolist()
            assert torch.allclose(network(batch.messages, features, batch.pairs), whole[numbers], atol=1e-5)
            seen += numbers
    assert len(set(seen)) == len(seen) == 2 * steps * 50


def test_a_sample_of_neighbours_is_scaled_to_the_whole(data: dataset.Dataset, made: graphs.Graphs) -> None:
    dgl.seed(0)
    send, receive = graphs.norms(made.train_enc, False)
    degree = {name: made.train_enc.in_degrees(etype=name) for name in made.train_enc.etypes}
    targets = {"user": torch.arange(len(data.user_ids)), "movie": torch.arange(len(data.movie_ids))}
    messages = sampling.sample(made.train_enc, targets, 2, send, receive, degree)
    for relation in messages.relations:
        kept = relation.graph.in_degrees()
        name = relation.stars if relation.target == "movie" else f"rev-{relation.stars}"
        assert kept.max() <= 2 and torch.equal(kept, degree[name].clamp(max=2))
        assert torch.allclose(kept * relation.scale[:, 0], degree[name].float())
