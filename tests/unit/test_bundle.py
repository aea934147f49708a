"""The one-file runner: what is in it, that it needs nothing, and that it is always the same."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Dict, Iterator, List

import pytest
from click.testing import CliRunner

from hvdsm.bundle import build, sources, write
from hvdsm.cli.app import app
from hvdsm.errors import UsageError
from hvdsm.version import __version__


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(str(tmp_path_factory.mktemp("bundle") / "hvdsm.pyz")).path


def bare(argv: List[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run this Python with nothing but its standard library."""
    return subprocess.run(
        [sys.executable, "-I", "-S", *argv],
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )


def imports(source: bytes, name: str) -> Iterator[str]:
    """The modules that a file imports, except for type checkers alone."""
    tree = ast.parse(source, name)
    checked = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.dump(branch.test)
        for child in branch.body
        for node in ast.walk(child)
    }
    for node in ast.walk(tree):
        if id(node) in checked:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} imports relatively"
            yield str(node.module)
            if str(node.module).startswith("hvdsm"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_it_holds_what_it_imports_and_imports_the_standard_library_only() -> None:
    files = sources()
    modules = {name[: -len(".py")].replace("/", ".").replace(".__init__", "") for name in files}
    here = {module.rsplit(".", 1)[0] for module in modules} | modules
    # Optional where it is imported: S3 access prefers it, and goes on without.
    optional = {"boto3", "botocore"}
    for name, source in files.items():
        for wanted in imports(source, name):
            if wanted.split(".")[0] == "hvdsm":
                assert wanted in modules or wanted.rsplit(".", 1)[0] in here, (
                    f"{name} imports {wanted}, which is not in the bundle"
                )
            else:
                root = wanted.split(".")[0]
                assert root in sys.stdlib_module_names or root in optional, f"{name} imports {wanted}"


def test_every_module_of_the_bundle_can_be_imported_from_it_alone(bundle: str) -> None:
    names = [name[: -len(".py")].replace("/", ".") for name in sources() if name.startswith("hvdsm/")]
    modules = sorted(name.replace(".__init__", "") for name in names if not name.endswith(("__main__", ".hook")))
    code = "import sys, importlib\nsys.path.insert(0, sys.argv[1])\nfor name in sys.argv[2:]: importlib.import_module(name)\n"
    code += "import hvdsm; print(hvdsm.__file__, hvdsm.training_env().world_size, hvdsm.is_rank_zero())\n"
    done = bare(["-c", code, bundle, *modules])
    assert done.stdout == f"{bundle}/hvdsm/__init__.py 1 True\n"


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = write(str(tmp_path / "one.pyz")), write(str(tmp_path / "two.pyz"))
    assert first.sha256 == second.sha256
    content = Path(first.path).read_bytes()
    assert content == Path(second.path).read_bytes() == build()
    assert first.size == len(content) and os.access(first.path, os.X_OK)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        entries = archive.infolist()
        assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
        assert {name.split("/")[1] for name in names if name != "__main__.py"} == {
            "__init__.py", "compose", "container", "errors.py", "framework.py", "model", "training.py", "version.py",
        }  # fmt: skip


def test_version_and_help_without_anything_installed(bundle: str) -> None:
    assert bare([bundle, "--version"]).stdout == f"hvdsm, version {__version__}\n"
    assert bare([bundle, "--help"]).stdout.startswith("usage: hvdsm-train\n")
    assert subprocess.run([bundle, "--version"], stdout=subprocess.PIPE, check=True).stdout.decode().startswith("hvdsm, version")


def test_an_old_python_is_told_what_is_needed(bundle: str) -> None:
    with zipfile.ZipFile(bundle) as archive:
        main = archive.read("__main__.py").decode()
    code = "import sys\nsys.version_info = (3, 6, 9)\n" + main
    done = bare(["-c", code])
    assert done.returncode == 78 and "the image lacks Python 3.8 or later" in done.stdout


@pytest.mark.parametrize("name", ["hvdsm.pyz", "train"])
def test_a_host_of_one_runs_from_the_file(bundle: str, tmp_path: Path, name: str) -> None:
    """Under its own name, and as the `train` of an image."""
    program = shutil.copy(bundle, tmp_path / name)
    config = tmp_path / "input" / "config"
    config.mkdir(parents=True)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text("import sys, hvdsm\nprint(hvdsm.__file__, sys.argv[1:])\n")
    files: Dict[str, object] = {
        "resourceconfig": {"current_host": "algo-1", "hosts": ["algo-1"]},
        "hyperparameters": {"sagemaker_program": "train.py", "lr": "0.1"},
    }
    for name, document in files.items():
        (config / f"{name}.json").write_text(json.dumps(document))
    done = bare([str(program)], SAGEMAKER_BASE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert f"[0,algo-1] {program}/hvdsm/__init__.py ['--lr', '0.1']\n" in done.stdout
    assert (tmp_path / "output" / "success").exists()


def test_the_command_writes_it_and_says_what_it_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["bundle"])
    assert done.exit_code == 0, done.output
    written = write(str(tmp_path / "again.pyz"))
    assert done.output == f"{tmp_path}/hvdsm.pyz: {written.size} bytes, sha256 {written.sha256}\n"
    assert (tmp_path / "hvdsm.pyz").read_bytes() == (tmp_path / "again.pyz").read_bytes()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not-there/hvdsm\.pyz: cannot be written: No such file"):
        write(str(tmp_path / "not-there" / "hvdsm.pyz"))
    (tmp_path / "directory").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        write(str(tmp_path / "directory"))
    assert os.listdir(tmp_path) == ["directory"]
