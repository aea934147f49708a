"""The wheel and the sdist hold what they should, and the wheel works alone."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import List, Set

import check
import pytest
from packaging_support import REPOSITORY, Distributions

THIRD_PARTY = ("click", "rich", "boto3", "botocore", "yaml", "numpy", "torch", "mpi4py")


def names_in_wheel(wheel: Path) -> Set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def source_files(repository_files: List[str]) -> Set[str]:
    return {name for name in repository_files if name.startswith("hvdsm/") and name.endswith((".py", "py.typed", ".yaml"))}


def recipe_files(repository_files: List[str]) -> Set[str]:
    return {name for name in repository_files if name.startswith("containers/")}


def test_wheel_holds_every_module_and_nothing_else(distributions: Distributions, repository_files: List[str]) -> None:
    packed = {name for name in names_in_wheel(distributions.wheel) if ".dist-info/" not in name}
    beside = {"hvdsm/vpc/training-cluster.yaml", *(f"hvdsm/images/{name}" for name in recipe_files(repository_files))}
    assert packed == source_files(repository_files) | beside
    assert "hvdsm/py.typed" in packed


def test_every_directory_with_modules_is_a_package(repository_files: List[str]) -> None:
    directories = {os.path.dirname(name) for name in source_files(repository_files)}
    assert {directory for directory in directories if f"{directory}/__init__.py" not in repository_files} == set()


def test_wheel_metadata(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as archive:
        info = next(name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name)
        metadata = archive.read(f"{info}/METADATA").decode()
        entry_points = configparser.ConfigParser()
        entry_points.read_string(archive.read(f"{info}/entry_points.txt").decode())
        licences = [name for name in archive.namelist() if name.startswith(info) and name.endswith("/LICENSE")]
    assert "Requires-Python: >=3.8\n" in metadata
    assert "Name: hvdsm\n" in metadata
    assert set(entry_points["console_scripts"]) == {"hvdsm", "hvdsm-train"}
    assert licences
    # The in-container program is installed into old images too: what the client needs must not be asked for there.
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert required and all("python_version" in line for line in required)


def test_wheel_and_sdist_hold_the_template_itself(
    distributions: Distributions, repository_files: List[str], tmp_path: Path
) -> None:
    template = (REPOSITORY / "vpc" / "training-cluster.yaml").read_bytes()
    with zipfile.ZipFile(distributions.wheel) as archive:
        assert archive.read("hvdsm/vpc/training-cluster.yaml") == template
    with tarfile.open(distributions.sdist) as archive:
        found = {name.split("/", 1)[1]: member for member in archive.getmembers() for name in [member.name] if "/" in name}
        # A link would lead to nowhere, or to another place, where the archive is unpacked.
        assert [name for name, member in found.items() if member.issym() or member.islnk()] == []
        file = archive.extractfile(found["vpc/training-cluster.yaml"])
        assert file is not None and file.read() == template
        assert recipe_files(repository_files) | {".dockerignore"} <= set(found)


def test_a_wheel_made_of_the_sdist_holds_the_template(distributions: Distributions, tmp_path: Path) -> None:
    with tarfile.open(distributions.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    program = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    built = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=tree, capture_output=True, check=False)
    assert built.returncode == 0, built.stderr.decode()
    (wheel,) = tmp_path.glob("*.whl")
    assert names_in_wheel(wheel) == names_in_wheel(distributions.wheel)


def test_sdist_holds_the_same_modules_licence_and_readme(distributions: Distributions, repository_files: List[str]) -> None:
    with tarfile.open(distributions.sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert source_files(repository_files) <= names
    assert {"LICENSE", "README.md", "setup.cfg", "pyproject.toml", "PKG-INFO"} <= names


def interpreters() -> List[str]:
    """This interpreter, and the oldest supported one where the machine has it."""
    return [sys.executable, check.find_oldest() or ""]


@pytest.fixture(scope="module", params=interpreters(), ids=["this-python", f"python{check.OLDEST}"])
def bare(request: pytest.FixtureRequest, distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel and none of its dependencies."""
    if not request.param:
        pytest.skip(f"no python{check.OLDEST} on this machine (PYTHON38=/path/to/python{check.OLDEST} names one)")
    venv = tmp_path_factory.mktemp("bare") / "a venv"
    subprocess.run([request.param, "-m", "venv", str(venv)], check=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([str(venv / "bin" / "python"), *install, str(distributions.wheel)], check=True)
    return venv


def run(argv: List[str], tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=tmp_path,
        env={"PATH": os.defpath, "HOME": str(tmp_path), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_import_needs_no_third_party_package(bare: Path, tmp_path: Path) -> None:
    program = f"import sys, hvdsm, hvdsm.training; print(hvdsm.__version__, [n for n in {THIRD_PARTY!r} if n in sys.modules])"
    done = run([str(bare / "bin" / "python"), "-c", program], tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.split(" ", 1)[1].strip() == "[]"


def test_container_program_starts_and_says_what_is_missing(bare: Path, tmp_path: Path) -> None:
    done = run([str(bare / "bin" / "hvdsm-train")], tmp_path, SAGEMAKER_BASE_DIR=str(tmp_path / "ml"))
    assert done.returncode == 78, done.stdout
    assert "resourceconfig.json" in done.stdout
    assert "Traceback" not in done.stdout


def test_an_installed_hvdsm_has_the_template(distributions: Distributions, tmp_path: Path) -> None:
    """Unpacked, with what this interpreter has: the template is read from the package, not from the repository."""
    with zipfile.ZipFile(distributions.wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = "import hvdsm; from hvdsm.vpc.templates.template import text; print(hvdsm.__file__); print(len(text()))"
    done = run([sys.executable, "-c", program], tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 0, done.stdout
    place, length = done.stdout.splitlines()
    assert place.startswith(str(tmp_path)) and int(length) == len((REPOSITORY / "vpc" / "training-cluster.yaml").read_text())


def test_import_also_works_with_this_repository_elsewhere(bare: Path, tmp_path: Path) -> None:
    where = run([str(bare / "bin" / "python"), "-c", "import hvdsm; print(hvdsm.__file__)"], tmp_path)
    assert where.returncode == 0, where.stdout
    assert not where.stdout.startswith(str(REPOSITORY))


def test_an_installed_hvdsm_has_the_recipes_and_can_be_put_into_an_image(distributions: Distributions, tmp_path: Path) -> None:
    """What is staged from an installation is a project that pip would install with the same programs."""
    site = tmp_path / "site"
    unpack = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*unpack, str(distributions.wheel)], check=True)
    program = (
        "import sys\n"
        "from hvdsm.images.recipes import recipe\n"
        "from hvdsm.images.staging import staging\n"
        "import shutil\n"
        "found = recipe('pytorch')\n"
        "with staging(found.copies(None), found.texts(), print) as place:\n"
        "    shutil.copytree(place, sys.argv[1], symlinks=True)\n"
    )
    context = tmp_path / "context"
    done = run([sys.executable, "-c", program, str(context)], tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stdout
    for script in (REPOSITORY / "containers" / "shared").iterdir():
        copy = context / "containers" / "shared" / script.name
        assert copy.read_bytes() == script.read_bytes() and os.access(copy, os.X_OK) == os.access(script, os.X_OK)
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "vpc"):
        assert (context / name).exists(), "a Dockerfile copies it"
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    built = subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=context, capture_output=True, check=False)
    assert built.returncode == 0, built.stderr.decode()
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == distributions.wheel.name
    modules = {name for name in names_in_wheel(distributions.wheel) if name.endswith((".py", "py.typed", "cluster.yaml"))}
    assert modules <= names_in_wheel(wheel)
    with zipfile.ZipFile(wheel) as archive:
        (listed,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        programs = configparser.ConfigParser()
        programs.read_string(archive.read(listed).decode())
    assert dict(programs["console_scripts"]) == {"hvdsm": "hvdsm.cli:main", "hvdsm-train": "hvdsm.container.train:main"}
