"""Running the Lightning example: its script alone, and in jobs on emulated hosts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple

import hvdsm

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lightning_cifar"
APP = EXAMPLE / "app"
ROOT = str(Path(hvdsm.__file__).parent.parent)
SECONDS = 280
TAG = r"^(?:algo-\d+: )?(?:\[[^\]]*\] )?"  # what hvdsm puts before a rank's line
# ResNet-18 with an eighth of its channels: two cores train it in seconds.  Mirrored digits are no digits.
SMALL = {
    "data": "CIFAR10DataModule",
    "data.flip": "false",
    "data.crop": "2",
    "model.width": "8",
    "optimizer": "Adam",
    "optimizer.lr": "0.003",
    "trainer.accelerator": "cpu",
}
_LEFT_OUT = (
    "SM_",
    "AWS_",
    "OMPI_",
    "PMIX_",
    "RANK",
    "LOCAL_",
    "NODE_",
    "GROUP_",
    "WORLD_SIZE",
    "MASTER_",
    "SAGEMAKER_",
    "S3_PATH",
)


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    output: str

    def found(self, pattern: str) -> List[Tuple[str, ...]]:
        """All matches in the output, as tuples of groups."""
        return [match.groups() for match in re.finditer(pattern, self.output, re.MULTILINE)]

    @property
    def accuracy(self) -> float:
        """On the held-out test images."""
        ((value,),) = self.found(r"test accuracy: (\d\.\d{4})$")
        return float(value)

    @property
    def epochs(self) -> List[int]:
        """Epochs in the order in which they were told."""
        return [int(number) for (number,) in self.found(rf"{TAG}epoch (\d+) of \d+: train_loss")]

    @property
    def places(self) -> List[Tuple[str, ...]]:
        """Rank, world size, host, local rank, node, nodes of each rank, by rank."""
        pattern = rf"{TAG}rank (\d+) of (\d+) on (.+): local rank (\d+), node (\d+) of (\d+), cpu$"
        return sorted(set(self.found(pattern)))

    @property
    def digests(self) -> Dict[int, str]:
        """Digest of the weights by rank."""
        return {int(rank): digest for rank, digest in self.found(rf"{TAG}rank (\d+) weights: ([0-9a-f]{{16}})$")}


def environment(extra: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """This process's environment without launchers, jobs and AWS; one thread per process."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    paths = os.pathsep.join([ROOT, *filter(None, [own.get("PYTHONPATH")])])
    return {**own, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "AWS_EC2_METADATA_DISABLED": "true", **(extra or {})}


def arguments(options: Mapping[str, str]) -> List[str]:
    """Options of the script as words."""
    return [f"--{name}={value}" for name, value in options.items()]


def train(directory: Path, options: Mapping[str, str], *words: str, env: Optional[Mapping[str, str]] = None) -> Ran:
    """Run train.py on this machine, without any launcher."""
    command = [sys.executable, str(APP / "train.py"), *arguments(options), *words]
    done = subprocess.run(
        command, cwd=directory, env=environment(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace", timeout=SECONDS, check=False,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout)


def launch(
    output: Path, data: Path, options: Mapping[str, str], *words: str, kill: Optional[Tuple[str, int]] = None, processes: int = 2
) -> Ran:
    """Run the script by ``hvdsm launch`` on two hosts.

    Args:
        output: gets the results.
        data: the channel ``training``.
        options: hyperparameters.
        words: further options of the command.
        kill: a text and a rank that is killed as soon as a line with the text is read.
        processes: on each host.
    """
    mark = f"LIGHTNING_TEST={output}"
    command = [
        sys.executable, "-m", "hvdsm", "launch", "--hosts", "namespaces", "--instance-count", "2",
        "--processes-per-host", str(processes), "--output", str(output), "--channel", f"training={data}",
        "--source-dir", str(APP), "--env", mark, "--env", "OMP_NUM_THREADS=1", "--max-run", str(SECONDS),
    ]  # fmt: skip
    for name, value in options.items():
        command += ["--hp", f"{name}={value}"]
    lines = []
    with subprocess.Popen(
        [*command, *words, "train.py"], cwd="/", env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if kill and kill[0] in line:
                os.kill(rank_process(mark, kill[1]), signal.SIGKILL)
                kill = None
        code = process.wait()
    return Ran(code, "".join(lines))


def rank_process(mark: str, rank: int) -> int:
    """The process of a rank on this machine, told from others by its environment."""
    wanted = {mark.encode(), f"RANK={rank}".encode()}
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdigit() and wanted <= set((place / "environ").read_bytes().split(b"\0")):
                return int(place.name)
        except OSError:
            continue
    raise LookupError(f"no process with {wanted}")
