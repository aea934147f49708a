"""Parts of the Lightning example: its files, its shares of the data, its place among the hosts, its estimator."""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import pickle
import runpy
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Iterator, List

import pytest
from lightning_support import APP, EXAMPLE, environment

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
np = pytest.importorskip("numpy")
pytest.importorskip("sklearn")

MODULES = ("cifar_files", "cifar_data", "cluster", "resnet", "checkpoints")


@pytest.fixture(scope="module")
def app() -> Iterator[SimpleNamespace]:
    """The example's modules, by their names."""
    sys.path.insert(0, str(APP))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    finally:
        sys.path.remove(str(APP))
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("digits")
    make(place)
    return place


def make(place: Path) -> bytes:
    """Write the digits as CIFAR-10; returns the archive."""
    subprocess.run([sys.executable, str(EXAMPLE / "make_digits.py"), str(place)], env=environment(), check=True)
    return (place / "cifar-10-python.tar.gz").read_bytes()


def test_digits_in_cifars_format(app: SimpleNamespace, digits: Path, tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    data = app.cifar_files.load(str(digits))
    assert data.classes == tuple("0123456789")
    assert data.train.images.shape == (1437, 3, 32, 32) and data.test.images.shape == (360, 3, 32, 32)
    scans = {scan.tobytes() for scan in (load_digits().images * 15).astype(np.uint8)}
    assert all(np.ascontiguousarray(image[0, ::4, ::4]).tobytes() in scans for image in data.test.images)
    assert make(tmp_path) == (digits / "cifar-10-python.tar.gz").read_bytes()


def test_archive_and_directory_are_the_same(app: SimpleNamespace, digits: Path, tmp_path: Path) -> None:
    with tarfile.open(digits / "cifar-10-python.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    (whole, apart, inside) = (app.cifar_files.load(str(place)) for place in (digits, tmp_path, tmp_path / "cifar-10-batches-py"))
    for other in (apart, inside):
        assert (whole.train.images == other.train.images).all() and (whole.test.labels == other.test.labels).all()


class Evil:
    """Runs a program when it is unpickled by the ordinary reader."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def packed(place: Path, members: Dict[str, bytes]) -> Path:
    """An archive with these members."""
    place.mkdir(parents=True, exist_ok=True)
    with tarfile.open(place / "cifar-10-python.tar.gz", "w:gz") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return place


def members(digits: Path) -> Dict[str, bytes]:
    """All files of the archive."""
    with tarfile.open(digits / "cifar-10-python.tar.gz") as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def test_a_pickle_that_runs_something_is_refused(app: SimpleNamespace, digits: Path, tmp_path: Path) -> None:
    files = members(digits)
    files["cifar-10-batches-py/data_batch_3"] = pickle.dumps({"data": Evil(tmp_path / "ran"), "labels": []})
    with pytest.raises(app.cifar_files.DataError, match=r"data_batch_3 .* is not read: it asks for posix.mkdir"):
        app.cifar_files.load(str(packed(tmp_path / "data", files)))
    assert not (tmp_path / "ran").exists()


def test_nothing_is_unpacked(app: SimpleNamespace, digits: Path, tmp_path: Path) -> None:
    files = {**members(digits), "../escaped": b"x", "/tmp/../escaped-too": b"x"}
    place = packed(tmp_path / "data", files)
    assert len(app.cifar_files.load(str(place)).train.labels) == 1437
    assert [path.name for path in place.iterdir()] == ["cifar-10-python.tar.gz"] and not (tmp_path / "escaped").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda files: files.pop("cifar-10-batches-py/data_batch_2"), "lacks data_batch_2"),
        (lambda files: files.update({"cifar-10-batches-py/test_batch": pickle.dumps([1])}), "holds list, not a dictionary"),
        (
            lambda files: files.update(
                {"cifar-10-batches-py/test_batch": pickle.dumps({"data": np.zeros((2, 9)), "labels": [1, 2]}, 2)}
            ),
            r"data is float64 \(2, 9\) for 2 labels; expected uint8",
        ),
        (
            lambda files: files.update(
                {"cifar-10-batches-py/test_batch": pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [10]}, 2)}
            ),
            "labels are not whole numbers from 0 to 9",
        ),
    ],
)
def test_another_data_set_is_refused(app: SimpleNamespace, digits: Path, tmp_path: Path, change: Any, told: str) -> None:
    files = members(digits)
    change(files)
    with pytest.raises(app.cifar_files.DataError, match=told):
        app.cifar_files.load(str(packed(tmp_path, files)))


def test_a_truncated_archive_is_refused(app: SimpleNamespace, digits: Path, tmp_path: Path) -> None:
    data = (digits / "cifar-10-python.tar.gz").read_bytes()
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(app.cifar_files.DataError, match=r"is not read: .*; remove it, or download it again"):
        app.cifar_files.load(str(tmp_path))


def test_download_with_digest(app: SimpleNamespace, digits: Path, tmp_path: Path) -> None:
    source = digits / "cifar-10-python.tar.gz"
    with pytest.raises(app.cifar_files.DataError, match="expected c58f30108f718f92721af3b95e74349a"):
        app.cifar_files.download(str(tmp_path / "a"), source.as_uri())
    assert list((tmp_path / "a").iterdir()) == []
    digest = hashlib.md5(source.read_bytes(), usedforsecurity=False).hexdigest()
    app.cifar_files.download(str(tmp_path / "a"), source.as_uri(), digest)
    assert (tmp_path / "a" / source.name).read_bytes() == source.read_bytes()
    app.cifar_files.download(str(tmp_path / "a"), "file:///nowhere", digest)  # it is there
    with pytest.raises(app.cifar_files.DataError, match=r"put cifar-10-python\.tar\.gz into"):
        app.cifar_files.download(str(tmp_path / "b"), "file:///nowhere")


def test_evaluation_takes_each_sample_once_in_equally_many_steps(app: SimpleNamespace) -> None:
    for samples in (1, 2, 5, 16, 17, 287, 360):
        for ranks in (1, 2, 3, 4, 5):
            if samples < ranks:
                with pytest.raises(app.cifar_files.DataError, match="too few"):
                    app.cifar_data.even_batch_size(samples, ranks, 4)
                continue
            parts = [list(app.cifar_data.Part(range(samples), ranks, rank)) for rank in range(ranks)]
            assert sorted(index for part in parts for index in part) == list(range(samples))
            for asked in (1, 2, 4, 32):
                size = app.cifar_data.even_batch_size(samples, ranks, asked)
                assert size >= asked and len({-(-len(part) // size) for part in parts}) == 1


def test_augmentation_moves_and_mirrors(app: SimpleNamespace) -> None:
    images = torch.arange(6 * 3 * 32 * 32, dtype=torch.float32).reshape(6, 3, 32, 32) + 1
    made = app.cifar_data.augment(images, torch.Generator().manual_seed(1), 4, True)
    again = app.cifar_data.augment(images, torch.Generator().manual_seed(1), 4, True)
    assert made.shape == images.shape and (made == again).all() and (made != images).any()
    for before, after in zip(images, made):
        padded = torch.nn.functional.pad(before, (4,) * 4)
        windows = [padded[:, y : y + 32, x : x + 32] for y in range(9) for x in range(9)]
        assert any((after == window).all() or (after == window.flip(2)).all() for window in windows)
    assert app.cifar_data.augment(images, torch.Generator(), 0, False) is images


def test_it_is_resnet_18(app: SimpleNamespace) -> None:
    network = app.resnet.ResNet18()
    assert sum(parameter.numel() for parameter in network.parameters()) == 11_173_962  # of the usual ResNet-18 for CIFAR-10
    assert network(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, 10)


RANK = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "NODE_RANK": "1"}
MASTER = {"MASTER_ADDR": "algo-1", "MASTER_PORT": "29500"}


def test_a_launchers_ranks_are_taken(app: SimpleNamespace) -> None:
    options, told = app.cluster.trainer_options({"devices": 8, "accelerator": "cpu"}, {**RANK, **MASTER}, 0)
    found = options.pop("environment")
    assert options == {"devices": 2, "num_nodes": 2}
    assert told == ["trainer.devices=8 is not used: the launcher started 2 on each host"]
    assert (found.global_rank(), found.local_rank(), found.node_rank(), found.world_size()) == (3, 1, 1, 4)
    assert (found.main_address, found.main_port, found.creates_processes_externally) == ("algo-1", 29500, True)
    assert app.cluster.trainer_options({"devices": -1}, {**RANK, **MASTER}, 0)[1] == []


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        (RANK, "not MASTER_ADDR, MASTER_PORT"),
        ({**RANK, **MASTER, "WORLD_SIZE": "5"}, "same number of ranks on every host"),
        ({**RANK, **MASTER, "RANK": "2"}, "same number of ranks on every host"),
    ],
)
def test_ranks_that_cannot_be_are_refused(app: SimpleNamespace, environ: Dict[str, str], told: str) -> None:
    with pytest.raises(SystemExit, match=told):
        app.cluster.launched(environ)


def test_plain_hosts_find_each_other(app: SimpleNamespace) -> None:
    job = {"SM_HOSTS": '["algo-1", "algo-2"]', "SM_CURRENT_HOST": "algo-2", "SM_NETWORK_INTERFACE_NAME": "eth0"}
    made = app.cluster.place_host(job)
    assert made["NODE_RANK"] == "1" and made["MASTER_ADDR"] == "algo-1" and made["MASTER_PORT"] == "29400"
    assert made["NCCL_SOCKET_IFNAME"] == made["GLOO_SOCKET_IFNAME"] == "eth0" and made["NCCL_DEBUG"] == "INFO"
    kept = app.cluster.place_host({**job, "MASTER_PORT": "1", "NCCL_SOCKET_IFNAME": "eth1"})
    assert "MASTER_PORT" not in kept and "NCCL_SOCKET_IFNAME" not in kept
    assert app.cluster.place_host({**job, **RANK}) == {}
    assert app.cluster.place_host({"SM_HOSTS": '["algo-1"]', "SM_CURRENT_HOST": "algo-1"}) == {}
    assert app.cluster.trainer_options({"devices": 2}, job, 0)[0]["num_nodes"] == 2


def test_checkpoints_appear_whole(app: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "new" / "last.ckpt"
    app.checkpoints.write_whole({"a": 1}, str(path))
    with pytest.raises(Exception, match="pickle"):
        app.checkpoints.write_whole({"a": lambda: None}, str(path))
    assert torch.load(path, weights_only=True) == {"a": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_that_runs_something_is_refused(app: SimpleNamespace, tmp_path: Path) -> None:
    torch.save({"a": Evil(tmp_path / "ran")}, tmp_path / "last.ckpt")
    with pytest.raises(pickle.UnpicklingError):
        app.checkpoints.SharedCheckpoints().load_checkpoint(tmp_path / "last.ckpt")
    assert not (tmp_path / "ran").exists()


@pytest.fixture(scope="module")
def run_sagemaker() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(EXAMPLE / "run_sagemaker.py"), run_name="example"))


def made(run_sagemaker: SimpleNamespace, words: List[str], **environ: str) -> Dict[str, Any]:
    """The estimator's arguments."""
    arguments: Dict[str, Any] = run_sagemaker.estimator_arguments(run_sagemaker.parse_args(words, environ))
    return arguments


def test_defaults_of_run_sagemaker(run_sagemaker: SimpleNamespace) -> None:
    args = run_sagemaker.parse_args([], {})
    assert (args.job_name, args.image_uri, args.role) == (None, "sagemaker-tutorial", "arn:aws:iam::000000000000:role/dummy")
    assert (args.input_path, args.output_path, args.checkpoint_path) == ("file://.cache", "file://output", None)
    assert (args.instance_type, args.instance_count, args.spot_instances) == ("local_gpu", 1, False)
    assert (args.max_run, args.max_wait, args.max_retry, args.volume_size) == (86400, 129600, 5, 30)
    assert run_sagemaker.problems(args) == []
    given = made(run_sagemaker, [])
    assert given["hyperparameters"] == {**run_sagemaker.DEFAULT_HYPERPARAMS, "sagemaker_mpi_enabled": True}
    assert "max_wait" not in given and "use_spot_instances" not in given


def test_options_of_run_sagemaker(run_sagemaker: SimpleNamespace) -> None:
    words = ["--instance_type=ml.g4dn.12xlarge", "--instance_count=2", "--volume_size=77", "--checkpoint_path=s3://b/c"]
    words += ["--hyperparams", "trainer.devices=4", "logger.save_dir=s3://b/t?x=1", "--spot_instances", "True", "--max_retry=2"]
    given = made(run_sagemaker, words, SAGEMAKER_ROLE="arn:role", S3_PATH="s3://bucket/")
    assert (given["volume_size"], given["max_retry_attempts"], given["max_wait"]) == (77, 2, 129600)
    assert given["use_spot_instances"] is True and given["role"] == "arn:role" and given["output_path"] == "s3://bucket/output"
    assert (given["checkpoint_s3_uri"], given["checkpoint_local_path"]) == ("s3://b/c", "/opt/ml/checkpoints")
    assert given["environment"] == {"SM_CHECKPOINT_DIR": "/opt/ml/checkpoints"}
    values = given["hyperparameters"]
    assert values["trainer.devices"] == "4" and values["sagemaker_mpi_num_of_processes_per_host"] == 4
    assert values["logger.save_dir"] == "s3://b/t?x=1" and values["trainer.accelerator"] == "gpu"
    assert made(run_sagemaker, ["--instance_type=ml.c5.xlarge", "--spot_instances", "False"]).get("max_wait") is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--instance_type=ml.c5.xlarge", "--role=r"], "--input_path=file://.cache: with ml.c5.xlarge it begins with s3://"),
        (["--instance_type=ml.c5.xlarge"], "--role: a job in the cloud needs an execution role"),
        (["--checkpoint_path=s3://b/c"], "local mode has no checkpoints"),
        (["--spot_instances=true"], "local mode has no spot capacity"),
        (["--spot_instances=true", "--max_wait=5"], "--max_wait=5 is less than --max_run=86400"),
        (["--instance_count=0"], "must be 1 or more"),
    ],
)
def test_what_would_be_refused_later(run_sagemaker: SimpleNamespace, words: List[str], told: str) -> None:
    assert told in "\n".join(run_sagemaker.problems(run_sagemaker.parse_args(words, {})))


@pytest.mark.parametrize("words", [["--spot_instances=maybe"], ["--hyperparams", "lr"], ["--hyperparams", "=1"]])
def test_words_that_mean_nothing(run_sagemaker: SimpleNamespace, words: List[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_sagemaker.parse_args(words, {})
    assert caught.value.code == 2
