"""The GC-MC example for its tests: its modules, its data, its runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple

from make_movielens import Structure, generate

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "gcmc_movielens"
APP = EXAMPLE / "app"

PATIENCE = 400  # seconds: a limit for what hangs, also on a machine that does five times as much
# Tastes weigh more than in reality and noise less: few ratings then show what a model has found.
CLEAR = Structure(taste=0.9, noise=0.45, cold=0.01)
SIZE = (150, 110, 5200)
LEFT_OUT = ("SM_", "OMPI_", "PMIX_", "HOROVOD_", "RANK", "LOCAL_", "WORLD_SIZE", "SAGEMAKER_", "DGLBACKEND")
# A small network, on few ratings: it learns in a second.
SMALL = {
    "data_name": "ml-100k",
    "use_one_hot_fea": "False",
    "gcn_agg_units": "60",
    "gcn_out_units": "30",
    "gcn_dropout": "0.3",
    "train_max_iter": "300",
    "train_decay_patience": "30",
    "train_early_stopping_patience": "30",
    "train_patience_from": "150",
    "threads": "1",
}
FINAL = r"^(?:algo-\d+: )?(?:\[[^\]]*\] )?Best Iter Idx=(\d+), Best Valid RMSE=(\d\.\d{4}), Best Test RMSE=(\d\.\d{4})$"


@dataclass(frozen=True)
class Ran:
    """A training that has ended."""

    code: int
    output: str

    @property
    def final(self) -> Tuple[int, float, float]:
        """The last line: the best step, and its RMSE of validation and test."""
        ((step, valid, test),) = re.findall(FINAL, self.output, re.MULTILINE)
        return int(step), float(valid), float(test)


def environment(extra: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """This process's environment without launchers and jobs; one thread a process."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(LEFT_OUT)}
    paths = os.pathsep.join([str(ROOT), *filter(None, [own.get("PYTHONPATH")])])
    return {**own, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **(extra or {})}


def words(options: Mapping[str, str]) -> List[str]:
    """Options as hyperparameters become words."""
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def train(directory: Path, options: Mapping[str, str], *more: str, env: Optional[Mapping[str, str]] = None) -> Ran:
    """Run train.py alone."""
    command = [sys.executable, str(APP / "train.py"), *words({**SMALL, **options}), *more]
    done = subprocess.run(
        command, cwd=directory, env=environment(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace", timeout=PATIENCE, check=False,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout)


def small_data(parent: Path, data_name: str = "ml-100k", size: Tuple[int, int, int] = SIZE) -> Path:
    """A data set below ``parent``."""
    return Path(generate(data_name, str(parent), size, CLEAR, seed=1))
