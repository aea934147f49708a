"""The repository as git would give it to somebody else, and distributions built from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import List

import pytest
from packaging_support import REPOSITORY, Distributions, directory_links_of_repository, files_of_repository


@pytest.fixture(scope="session")
def repository_files() -> List[str]:
    return files_of_repository()


@pytest.fixture(scope="session")
def distributions(repository_files: List[str], tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Build a wheel and an sdist from a copy, so that nothing left over in the working tree gets into them."""
    copy = tmp_path_factory.mktemp("copy") / "a tree"
    for name in [*repository_files, *directory_links_of_repository()]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        # Links as they are in a clone.
        shutil.copy2(REPOSITORY / name, copy / name, follow_symlinks=False)
    out = tmp_path_factory.mktemp("dist")
    for kind in ("wheel", "sdist"):
        program = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
        built = subprocess.run(
            [sys.executable, "-c", program, str(out)],
            cwd=copy,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            check=False,
        )
        assert built.returncode == 0, built.stdout.decode()
    (wheel,) = out.glob("*.whl")
    (sdist,) = out.glob("*.tar.gz")
    return Distributions(wheel, sdist)
