"""How the tests of ``hvdsm launch`` run it: as a command, and what they read of its results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import hvdsm

ROOT = str(Path(hvdsm.__file__).parent.parent)


@dataclass(frozen=True)
class Launched:
    """A finished ``hvdsm launch --json``."""

    code: int
    outcome: Dict[str, Any]
    output: bytes
    results: Path

    @property
    def lines(self) -> List[str]:
        """The job's output."""
        return self.output.decode("utf-8", "replace").splitlines()

    @property
    def failure(self) -> str:
        """What ``output/failure`` says."""
        return (self.results / "output" / "failure").read_text()

    def said_by(self, rank: int) -> List[str]:
        """What a rank printed, each line once."""
        tag = f"[{rank},"
        return [line.split("] ", 1)[1] for line in self.lines if line.startswith(tag) and "] " in line]


def environment(extra: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """The variables of the command."""
    paths = [ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **(extra or {})}


def command(words: Sequence[str], output: Path) -> List[str]:
    """The command line."""
    return [sys.executable, "-m", "hvdsm", "launch", "--json", "--output", str(output), *words]


def python_of(user: Sequence[str]) -> Optional[List[str]]:
    """A Python that an ordinary user can run, as the words before ``-m``, with this one's packages; None if there is none.

    Args:
        user: the words that make a command that user's.
    """
    packages = os.pathsep.join(path for path in sys.path if path.endswith("-packages"))
    system = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    for words in ([sys.executable], ["env", f"PYTHONPATH={ROOT}{os.pathsep}{packages}", system]):
        check = [*user, "sh", "-c", 'exec "$@" -c "import click, hvdsm"', "sh", *words]
        if subprocess.run(check, env=environment(), cwd="/", stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return words
    return None


def launch(
    output: Path, *words: str, env: Optional[Mapping[str, str]] = None, python: Sequence[str] = (sys.executable,)
) -> Launched:
    """Run ``hvdsm launch --json --output OUTPUT WORDS…``."""
    done = subprocess.run(
        [*python, *command(words, output)[1:]], env=environment(env), cwd="/", capture_output=True, check=False, timeout=240
    )
    return finished(done.returncode, done.stdout, done.stderr, output)


def finished(code: int, out: bytes, err: bytes, output: Path) -> Launched:
    """What a command that has ended left."""
    try:
        outcome = json.loads(out)
    except ValueError:
        raise AssertionError(f"exit code {code}, no JSON in {out!r}; its output was:\n{err.decode('utf-8', 'replace')}") from None
    return Launched(code, outcome, err, output / outcome.get("job_name", "none"))


def as_activated(words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run this Python with some words in a folder, as in an activated environment: its own directory is first on PATH."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    try:
        return subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env=environment({"PATH": path}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=400,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode("utf-8", "replace")
        raise AssertionError(f"no end after {error.timeout:.0f} s; its output was:\n{said}") from None
