"""What is measured: each part gives rows.  Those who are compared take turns, and change who is first from round to round."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Sequence, Tuple

from jobs import ROOT, TRIVIAL, BareHosts, Ran, container_program, under_hvdsm
from measure import Goal, Row, cpu_seconds, say, shown

from hvdsm.emulator import ClusterSpec, EmulatedCluster

EXAMPLE = os.path.join(ROOT, "examples", "mnist_torch_horovod", "train.py")
START_GOALS = {2: 0.15, 64: 1.5}
CONFIGURATION_ERROR = 78
PYTHON = "python -c pass"


def interleave(runs: Mapping[str, Callable[[], Ran]], rounds: int, title: str) -> Dict[str, List[Ran]]:
    """Run each of ``runs`` once a round, every other round in reverse order; a first round warms caches and is left out."""
    results: Dict[str, List[Ran]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name in list(runs) if number % 2 else list(runs)[::-1]:
            ran = runs[name]()
            if number:
                results[name].append(ran)
        seconds = {name: [ran.seconds for ran in series] for name, series in results.items()}
        say(f"  {title}, round {number} of {rounds}: {shown(seconds) + ' s' if number else 'warmed up'}")
    return results


def trivial_job(rounds: int) -> List[Row]:
    """A job of two hosts with two processes each that does one all-reduce."""
    with tempfile.TemporaryDirectory(prefix="hvdsm-bench-") as folder:
        script = os.path.join(folder, "train.py")
        Path(script).write_text(TRIVIAL, encoding="utf-8")
        with BareHosts(script) as bare:
            runs = {
                "launch": lambda: under_hvdsm(script),
                "container": lambda: container_program(script),
                "mpirun": bare.run,
                "defaults": bare.run_by_defaults,
            }
            results = interleave(runs, rounds, "trivial job")
    seconds = {name: tuple(ran.seconds for ran in series) for name, series in results.items()}
    tails = {name: tuple(ran.tail for ran in series) for name, series in results.items()}
    goal, peer = Goal(1.15, 0.3), "bare mpirun"
    return [
        Row("trivial 2x2 job, hvdsm launch", "s", seconds["launch"], goal, peer, seconds["mpirun"]),
        Row("trivial 2x2 job, container program", "s", seconds["container"], goal, peer, seconds["mpirun"]),
        Row("trivial 2x2 job, mpirun without hvdsm's options", "s", seconds["defaults"], None, peer, seconds["mpirun"]),
        Row("last rank's end to all hosts' end", "s", tails["container"], Goal(allowance=0.2), peer, tails["mpirun"]),
        Row("last rank's end to the end of hvdsm launch", "s", tails["launch"], None, peer, tails["mpirun"]),
    ]


def hosts(rounds: int) -> List[Row]:
    """Start and end of emulated hosts, without sshd as ``hvdsm launch`` starts them, and with it."""
    rows = []
    for count in (2, 8, 32, 64):
        for sshd in (False, True):
            starts, ends = zip(*(_hosts_once(count, sshd) for _ in range(rounds)))
            what = f"{count} hosts with sshd" if sshd else f"{count} hosts"
            goal = Goal(allowance=START_GOALS[count]) if count in START_GOALS and not sshd else None
            rows.append(Row(f"start of {what}", "s", starts, goal))
            if not sshd:
                rows.append(Row(f"end of {what}", "s", ends))
            say(f"  {what}: start {rows[-1 if sshd else -2].value:.3f} s")
    return rows


def _hosts_once(count: int, sshd: bool) -> Tuple[float, float]:
    begin = time.monotonic()
    cluster = EmulatedCluster.start(ClusterSpec(count, sshd=sshd))
    ready = time.monotonic()
    cluster.close()
    return ready - begin, time.monotonic() - ready


def start_up(rounds: int) -> List[Row]:
    """CPU time until the CLI has shown its help, and until the container program has found that nothing is configured."""
    series: Dict[str, List[float]] = {"python": [], "help": [], "train": []}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SM_", "SAGEMAKER_"))}
    for number in range(3 * rounds + 1):  # cheap, and a single one says little
        with tempfile.TemporaryDirectory(prefix="hvdsm-bench-") as empty:
            base = {**environment, "SAGEMAKER_BASE_DIR": empty}
            once = {
                "python": cpu_seconds([sys.executable, "-c", "pass"], env=base),
                "help": cpu_seconds([sys.executable, "-m", "hvdsm", "--help"], env=base),
                "train": cpu_seconds([sys.executable, "-m", "hvdsm.container"], (CONFIGURATION_ERROR,), base),
            }
        for name, value in once.items():
            if number:
                series[name].append(value)
    say(f"  CPU of one start: {shown(series)} s")
    peer = tuple(series["python"])
    return [
        Row("hvdsm --help, CPU", "s", tuple(series["help"]), Goal(allowance=0.10), PYTHON, peer),
        Row("start of train, CPU", "s", tuple(series["train"]), Goal(allowance=0.06), PYTHON, peer),
    ]


def throughput(rounds: int) -> List[Row]:
    """Samples a second of the torch Horovod example, as it prints them itself."""
    arguments = ["--epochs", "30"]
    with BareHosts(EXAMPLE) as bare:
        runs = {"launch": lambda: under_hvdsm(EXAMPLE, arguments), "mpirun": lambda: bare.run(arguments)}
        results = interleave(runs, rounds, "torch Horovod example")
    ours, peer = (samples_per_second(results[name]) for name in ("launch", "mpirun"))
    return [Row("torch Horovod example 2x2", "samples/s", ours, Goal(0.99, at_least=True), "bare mpirun", peer)]


def samples_per_second(jobs: Sequence[Ran]) -> Tuple[float, ...]:
    """What the example printed.

    Raises:
        RuntimeError: it printed no throughput.
    """
    values = []
    for ran in jobs:
        found = re.search(r"throughput: ([0-9.]+) samples/s", ran.output)
        if not found:
            raise RuntimeError(f"no throughput in:\n{ran.output}")
        values.append(float(found[1]))
    return tuple(values)


PARTS: Dict[str, Callable[[int], List[Row]]] = {
    "start-up": start_up,
    "hosts": hosts,
    "job": trivial_job,
    "throughput": throughput,
}
