"""Every example as a user meets it: help at once, no need of hvdsm, arguments checked; and its functions on their own."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*/train.py"))
TRAINING = [path for path in EXAMPLES if path.parent.name != "allreduce_mpi4py"]


def name(path: Path) -> str:
    return path.parent.name


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_help_needs_the_standard_library_only(path: Path) -> None:
    # -S: no site-packages, so that an import of a framework before the parsing fails.
    done = subprocess.run([sys.executable, "-I", "-S", str(path), "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: train.py")


# The TensorFlow example ignores them, and says so, as scripts of the SageMaker SDK do: tests/workloads/test_mnist_tf.py.
@pytest.mark.parametrize("path", [path for path in EXAMPLES if name(path) != "mnist_tf_horovod"], ids=name)
def test_unknown_option_is_refused(path: Path) -> None:
    done = subprocess.run([sys.executable, "-I", "-S", str(path), "--no-such-option", "1"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_script_does_not_import_hvdsm(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [module for module in imported if module.split(".")[0] == "hvdsm"]


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_readme_names_every_option(path: Path) -> None:
    readme = (path.parent / "README.md").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            option = str(ast.literal_eval(node.args[0]))
            assert f"`{option}" in readme, f"{option} is not in the README"
    assert f"hvdsm launch --instance-count 2 --processes-per-host 2 examples/{name(path)}/train.py" in readme


@pytest.mark.parametrize("path", TRAINING, ids=name)
def test_batches_hold_each_sample_once(path: Path, names_in: Callable[[Path], Dict[str, Any]]) -> None:
    pytest.importorskip("numpy")
    batches = names_in(path)["batches"]
    for count, steps in [(360, 12), (359, 12), (5, 5), (33, 2), (1, 1)]:
        dealt = batches(count, steps, [42, 3, 1])
        sizes = [len(batch) for batch in dealt]
        assert len(dealt) == steps and min(sizes) >= 1 and max(sizes) - min(sizes) <= 1
        assert sorted(sample for batch in dealt for sample in batch) == list(range(count))
    assert [list(batch) for batch in batches(50, 3, [42, 0, 0])] == [list(batch) for batch in batches(50, 3, [42, 0, 0])]
    assert [list(batch) for batch in batches(50, 3, [42, 0, 0])] != [list(batch) for batch in batches(50, 3, [42, 1, 0])]


@pytest.mark.parametrize("path", TRAINING, ids=name)
def test_digits_are_split_without_overlap(path: Path, names_in: Callable[[Path], Dict[str, Any]]) -> None:
    pytest.importorskip("sklearn")
    train_x, train_y, test_x, test_y = names_in(path)["load_data"](None, None)
    assert (train_x.shape, train_y.shape, test_x.shape, test_y.shape) == ((1437, 8, 8), (1437,), (360, 8, 8), (360,))
    assert not {image.tobytes() for image in train_x} & {image.tobytes() for image in test_x}


@pytest.mark.parametrize("path", TRAINING, ids=name)
def test_channel_is_a_file_or_a_directory(path: Path, names_in: Callable[[Path], Dict[str, Any]], tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    load = names_in(path)["load_data"]
    np.savez(tmp_path / "train.npz", data=np.arange(10 * 28 * 28).reshape(10, 28, 28, 1), labels=np.arange(10))
    assert [len(array) for array in load(str(tmp_path), None)] == [8, 8, 2, 2]  # a fifth held out
    np.savez(tmp_path / "test.npz", data=np.zeros((3, 28, 28)), labels=np.arange(3))
    assert load(str(tmp_path), None)[2].shape == (3, 28, 28)  # the test set beside the training set is not overlooked
    assert [len(array) for array in load(str(tmp_path / "train.npz"), str(tmp_path / "test.npz"))] == [10, 10, 3, 3]


@pytest.mark.parametrize("path", TRAINING, ids=name)
def test_bad_data_is_named(path: Path, names_in: Callable[[Path], Dict[str, Any]], tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    load = names_in(path)["load_data"]
    with pytest.raises(SystemExit, match=r"expected train\.npz or one npz file, found none"):
        load(str(tmp_path), None)
    np.savez(tmp_path / "a.npz", data=np.zeros((4, 8, 8)))
    with pytest.raises(SystemExit, match="no array labels"):
        load(str(tmp_path), None)
    np.savez(tmp_path / "a.npz", data=np.zeros((4, 64)), labels=np.zeros(4))
    with pytest.raises(SystemExit, match=r"data is \(4, 64\)"):
        load(str(tmp_path), None)
    with pytest.raises(SystemExit, match="give --train as well"):
        load(None, str(tmp_path))


@pytest.mark.parametrize("path", TRAINING, ids=name)
def test_false_is_false(path: Path, names_in: Callable[[Path], Dict[str, Any]]) -> None:
    flag = names_in(path)["flag"]
    assert [flag(text) for text in ("True", "true", "1", "False", "false", "0")] == [True, True, True, False, False, False]
