"""Where the repository is, which files belong to it, and a way to import the programs in tools/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import List, NamedTuple

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools"))


class Distributions(NamedTuple):
    """The built archives."""

    wheel: Path
    sdist: Path


def files_of_repository() -> List[str]:
    """Return the files that are tracked or would be added by ``git add .``, relative to the root."""
    return [name for name in _entries() if (REPOSITORY / name).is_file()]


def directory_links_of_repository() -> List[str]:
    """Return the symbolic links to directories among them, which git has as entries of their own."""
    return [name for name in _entries() if (REPOSITORY / name).is_symlink() and (REPOSITORY / name).is_dir()]


def _entries() -> List[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip(f"which files belong to the repository is not known; git says: {listed.stderr.decode().strip()}")
    return sorted(name for name in listed.stdout.decode().split("\0") if name)
