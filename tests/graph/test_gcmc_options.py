"""The GC-MC example's command line, its channels and downloads, its schedule, and its estimator's arguments."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, Dict, List

import pytest
from gcmc_support import APP, EXAMPLE, small_data

pytest.importorskip("torch", reason="torch: `make setup` installs it")
pytest.importorskip("dgl", reason="DGL 1.1.3: `make test-graph` installs it")

import run_sagemaker
import train as script
from gcmc.movielens import LAYOUTS, DataError
from gcmc.options import parse
from gcmc.parallel import Alone, processes
from gcmc.plot import chart, ticks
from gcmc.training import Schedule

from hvdsm.images.dockerfile import read_dockerfile

assert Path(run_sagemaker.__file__ or "").parent == EXAMPLE and Path(script.__file__ or "").parent == APP


def test_defaults_are_the_seeds_and_the_papers() -> None:
    args = parse([], {})
    assert (args.data_name, args.seed, args.data_test_ratio, args.data_valid_ratio) == ("ml-1m", 123, 0.1, 0.1)
    assert (args.gcn_agg_accum, args.gcn_agg_units, args.gcn_out_units, args.gcn_dropout) == ("sum", 500, 75, 0.7)
    assert (args.gen_r_num_basis_func, args.gcn_agg_norm_symm, args.share_param, args.use_one_hot_fea) == (2, True, False, True)
    assert (args.train_optimizer, args.train_lr, args.train_grad_clip, args.train_min_lr) == ("adam", 0.01, 1.0, 0.001)
    assert (args.train_lr_decay_factor, args.train_decay_patience, args.train_early_stopping_patience) == (0.5, 50, 100)
    assert (args.train_max_iter, args.train_log_interval, args.train_valid_interval) == (2000, 1, 1)
    assert args.train_patience_from == 500
    assert args.save_dir == args.output_dir == "model" and args.data_dir == "data"
    assert parse(["--data_name", "ml-100k"], {}).gcn_agg_accum == "stack"
    large = parse(["--data_name", "ml-10m"], {})
    assert (large.gcn_agg_accum, large.gcn_dropout, large.gen_r_num_basis_func, large.minibatch_size) == ("stack", 0.3, 4, 10000)
    assert parse(["--data_name", "ml-10m", "--gcn_agg_accum", "sum"], {}).gcn_agg_accum == "sum"


@pytest.mark.parametrize(("word", "value"), [("False", False), ("false", False), ("0", False), ("True", True), ("1", True)])
def test_truth_values_are_words(word: str, value: bool) -> None:
    for name in ("use_one_hot_fea", "gcn_agg_norm_symm", "share_param", "silent"):
        assert getattr(parse([f"--{name}", word], {}), name) is value
        assert getattr(parse([f"--{name}"], {}), name) is True


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data_name", "ml-20m"], "invalid choice"),
        (["--share_param", "maybe"], "'maybe' is neither True nor False"),
        (["--gcn_agg_units", "502", "--gcn_agg_accum", "stack"], "must be a multiple of 5"),
        (["--data_valid_ratio", "1.5"], "1.5 is not between 0 and 1"),
        (["--gcn_dropout", "1"], "1 is not from 0 to below 1"),
        (["--use_one_hot_fea", "--fea_as", "side"], "choose one"),
        (["--train_max_iter", "0"], "0 is less than 1"),
        (["--train_lr", "-1"], "-1 is not above 0"),
        (["--seed", "-2"], "-2 is less than -1"),
        (["--no_such_option", "1"], "unrecognized arguments: --no_such_option 1"),
    ],
)
def test_wrong_options_are_refused(capsys: pytest.CaptureFixture[str], words: List[str], told: str) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(words, {})
    assert ended.value.code == 2 and told in capsys.readouterr().err


def test_features_are_used_where_they_are_asked_for() -> None:
    for words, one_hot, place in (
        ([], True, "side"),
        (["--use_one_hot_fea", "False"], False, "side"),
        (["--fea_as", "input"], False, "input"),
        (["--fea_as", "side", "--use_one_hot_fea", "False"], False, "side"),
        (["--glove", "/data/g"], False, "side"),
        (["--glove", "/data/g", "--use_one_hot_fea", "True"], True, "side"),
    ):
        args = parse(words, {})
        assert (args.use_one_hot_fea, args.fea_as) == (one_hot, place), words
    assert parse([], {"SM_CHANNEL_GLOVE": "/data/g"}).use_one_hot_fea is False


def test_directories_of_a_job() -> None:
    job = {"SM_MODEL_DIR": "/opt/ml/model", "SM_OUTPUT_DATA_DIR": "/opt/ml/output/data", "SM_CHANNEL_RATINGS": "/data/r"}
    args = parse([], job)
    assert (args.save_dir, args.output_dir, args.data_dir) == ("/opt/ml/model", "/opt/ml/output/data", "/data/r")
    args = parse(["--save_dir=/x"], {**job, "SM_CHANNEL_TRAIN": "/data/t", "SM_CHANNEL_GLOVE": "/data/g"})
    assert (args.save_dir, args.data_dir, args.glove) == ("/x", "/data/t", "/data/g")


def packed(place: Path, target: Path) -> str:
    """An archive of a data set; its digest."""
    with zipfile.ZipFile(target, "w") as archive:
        for file in place.iterdir():
            archive.write(file, f"{place.name}/{file.name}")
    return hashlib.md5(target.read_bytes()).hexdigest()


def find(where: Path, *words: str) -> Any:
    """What train.py reads."""
    args = parse(["--data_name", "ml-1m", "--data_dir", str(where), *words], {})
    return script.find(args, LAYOUTS["ml-1m"], True, lambda: None)


def enter(monkeypatch: pytest.MonkeyPatch, directory: Path) -> Path:
    """Work in a new directory."""
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive in a channel."""
    monkeypatch.delenv("SM_MODEL_DIR", raising=False)
    place = small_data(tmp_path / "made", "ml-1m", (40, 60, 400))
    (tmp_path / "channel" / "inside").mkdir(parents=True)
    packed(place, tmp_path / "channel" / "inside" / "ml-1m.zip")
    return tmp_path / "channel" / "inside" / "ml-1m.zip"


def test_archives_in_channels(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digest, whole, channel = hashlib.md5(made.read_bytes()).hexdigest(), made.read_bytes(), tmp_path / "channel"
    enter(monkeypatch, tmp_path / "wrong")
    with pytest.raises(DataError, match=f"its MD5 is {digest}, expected 0000"):
        find(channel, "--data_md5", "0" * 32)
    cut = bytearray(whole)
    cut[200:260] = bytes(60)
    for broken in (whole[:3000], bytes(cut)):
        made.write_bytes(broken)
        with pytest.raises(DataError, match=r"ml-1m\.zip: .*: it is no archive of MovieLens, or it is truncated"):
            find(channel)
        assert list(Path().rglob("*.*")) == []
    made.write_bytes(whole)
    capsys.readouterr()
    assert len(find(channel).ratings) == 400 and f"its MD5 is {digest}, not that of GroupLens'" in capsys.readouterr().out
    assert len(find(tmp_path / "nothing").ratings) == 400  # unpacked before, in ./data
    enter(monkeypatch, tmp_path / "right")
    assert len(find(made, "--data_md5", digest).ratings) == 400 and capsys.readouterr().out == ""


def test_downloads(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest, whole, url = hashlib.md5(made.read_bytes()).hexdigest(), made.read_bytes(), made.as_uri()
    here = enter(monkeypatch, tmp_path / "here")
    for words, told in (
        (["--data_url", url], f"its MD5 is {digest}, expected {LAYOUTS['ml-1m'].digest}"),
        (["--data_url", url + "x", "--data_md5="], "give the data set as a channel"),
    ):
        with pytest.raises(DataError, match=told):
            find(here, *words)
    made.write_bytes(whole[:3000])
    with pytest.raises(DataError, match=f"expected {digest}: truncated"):
        find(here, "--data_url", url, "--data_md5", digest)
    assert list(here.rglob("*.*")) == []
    made.write_bytes(whole)
    assert len(find(here, "--data_url", url, "--data_md5", digest).ratings) == 400


def test_the_rate_falls_then_the_training_ends() -> None:
    schedule = Schedule(0.01, 0.004, 0.5, 1, 3, begin=10)
    assert [schedule.worse(step) for step in range(1, 10)] == [False] * 9 and (schedule.rate, schedule.waited) == (0.01, 0)
    told = [(schedule.worse(step), schedule.rate) for step in range(10, 18)]
    assert told == [(False, rate) for rate in (0.01, 0.005, 0.005, 0.004, 0.004, 0.004, 0.004)] + [(True, 0.004)]
    schedule.better()
    assert schedule.worse(18) is False


def test_processes_are_counted() -> None:
    assert processes({}) == 1 and processes({"OMPI_COMM_WORLD_SIZE": "4"}) == 4 and processes({"HOROVOD_SIZE": "2"}) == 2
    assert Alone().sums([1.0, 2.0]) == [1.0, 2.0]


def pixels(png: bytes) -> List[bytes]:
    """Rows of a PNG file, which must be whole."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, {}
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        name, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (zlib.crc32(name + data),)
        found[name] = data
        at += 12 + length
    width, height, depth, kind = struct.unpack(">IIBB", found[b"IHDR"][:10])
    raw = zlib.decompress(found[b"IDAT"])
    assert (depth, kind) == (8, 2) and len(raw) == height * (3 * width + 1)
    return [raw[row * (3 * width + 1) + 1 : (row + 1) * (3 * width + 1)] for row in range(height)]


def test_the_plot_shows_each_line() -> None:
    lines: Dict[str, Any] = {"train": [(1, 1.2), (10, 0.9)], "valid": [(1, 1.1), (10, 1.0)], "test": [(5, 1.0)]}
    rows = pixels(chart(lines, "iter", "RMSE"))
    colours = {row[at : at + 3] for row in rows for at in range(0, len(row), 3)}
    assert {bytes(colour) for colour in ((31, 119, 180), (255, 127, 14), (44, 160, 44))} <= colours
    blue = [number for number, row in enumerate(rows[40:], 40) if bytes((31, 119, 180)) in row]
    assert blue[0] < 80 and blue[-1] > 450  # from the first point to the last, below the legend
    assert pixels(chart({"train": [(1, 1.0)]}, "iter", "RMSE"))
    assert ticks(0.93, 1.21) == pytest.approx([0.95, 1.0, 1.05, 1.1, 1.15, 1.2]) or ticks(0.93, 1.21) == pytest.approx(
        [1.0, 1.1, 1.2]
    )


def test_arguments_of_the_estimator() -> None:
    args = run_sagemaker.parse_args(["--role=arn:r"], {})
    made = run_sagemaker.estimator_arguments(args, "b", "1.dkr.ecr.r.amazonaws.com/sagemaker-dgl-gcmc:latest")
    assert (made["instance_count"], made["instance_type"], made["entry_point"]) == (1, "ml.p3.2xlarge", "train.py")
    assert made["image_uri"] == "1.dkr.ecr.r.amazonaws.com/sagemaker-dgl-gcmc:latest" and made["role"] == "arn:r"
    assert made["hyperparameters"] == {"data_name": "ml-1m", "save_dir": "/opt/ml/model/"}
    assert made["tags"] == [{"Key": "ML Task", "Value": "DGL"}]
    assert (made["output_path"], made["code_location"]) == ("s3://b/artifacts", "s3://b/customcode")
    assert "distribution" not in made and Path(made["source_dir"], made["entry_point"]).is_file()
    args = run_sagemaker.parse_args(
        ["--instance_count=2", "--hyperparams", "data_name=ml-100k", "save_id=a=b"], {"SAGEMAKER_ROLE": "r"}
    )
    made = run_sagemaker.estimator_arguments(args, "b", "i")
    assert made["distribution"] == {"mpi": {"enabled": True, "processes_per_host": 1}}
    assert made["hyperparameters"] == {"data_name": "ml-100k", "save_dir": "/opt/ml/model/", "save_id": "a=b"}
    assert json.loads(json.dumps(made)) == made


def test_the_image_begins_with_the_graph_image() -> None:
    dockerfile = read_dockerfile((EXAMPLE / "GCMC.Dockerfile").read_text())
    assert [dockerfile.bases({"DEVICE": device}) for device in ("cpu", "gpu")] == [
        ("hvdsm-graph:sm-cpu",),
        ("hvdsm-graph:sm-gpu",),
    ]
    assert dockerfile.bases({"BASE": "other:1"}) == ("other:1",)
