"""Measure hvdsm against bare mpirun in one run: ``make bench``.

Prints what this run measured, as ratios beside the peer, and writes it to ``benchmarks/results``.  Ends with 0 whatever the
numbers are.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List

from jobs import ROOT, TRIVIAL, BareHosts, container_program, under_hvdsm
from measure import Row, cpu_seconds, say, table

from hvdsm.emulator import ClusterSpec, EmulatedCluster


def trivial_job(repeats: int) -> List[Row]:
    """A job of two hosts with two processes each that does one all-reduce."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "train.py"
        script.write_text(TRIVIAL)
        bare = BareHosts(str(script))
        whole, program, peer, leave = [], [], [], []
        try:
            for index in range(repeats + 1):
                measured = under_hvdsm(str(script))[0], container_program(script), bare.run()[0]
                if index:  # the first round warms the caches of all three
                    whole.append(measured[0])
                    program.append(measured[1][0])
                    leave.append(measured[1][1])
                    peer.append(measured[2])
        finally:
            bare.close()
    base = statistics.median(peer)
    limit, goal = 1.15 * base + 0.3, "<= 1.15 x + 0.3 s"
    return [
        Row("trivial 2x2 job, hvdsm launch", statistics.median(whole), "s", base, "bare mpirun", limit, goal),
        Row("trivial 2x2 job, container program", statistics.median(program), "s", base, "bare mpirun", limit, goal),
        Row("last rank's end to all hosts' end", statistics.median(leave), "s", limit=0.2, goal="<= 0.2 s"),
    ]


def cluster_start(repeats: int) -> List[Row]:
    """Starting emulated hosts, without sshd."""
    rows = []
    for count, limit in ((2, 0.15), (8, None), (32, None), (64, 1.5)):
        times = []
        for _ in range(repeats):
            start = time.monotonic()
            cluster = EmulatedCluster.start(ClusterSpec(count))
            times.append(time.monotonic() - start)
            cluster.close()
        goal = f"<= {limit} s" if limit else ""
        rows.append(Row(f"start of {count} hosts", statistics.median(times), "s", limit=limit, goal=goal))
    return rows


def start_up(repeats: int) -> List[Row]:
    """CPU time until the CLI shows its help, and until the container program has found that nothing is configured."""
    python = cpu_seconds([sys.executable, "-c", "pass"], repeats)
    with tempfile.TemporaryDirectory() as empty:
        environment = {**os.environ, "SAGEMAKER_BASE_DIR": empty}
        train = cpu_seconds([sys.executable, "-m", "hvdsm.container"], repeats, environment)
    shown = cpu_seconds([sys.executable, "-m", "hvdsm", "--help"], repeats)
    return [
        Row("hvdsm --help, CPU", shown, "s", python, "python -c pass", 0.10, "<= 0.10 s"),
        Row("start of train, CPU", train, "s", python, "python -c pass", 0.06, "<= 0.06 s"),
    ]


def throughput(repeats: int) -> List[Row]:
    """Samples a second of the torch Horovod example."""
    script = os.path.join(ROOT, "examples", "mnist_torch_horovod", "train.py")
    bare = BareHosts(script)
    ours, peer = [], []
    arguments = ["--epochs", "30"]
    try:
        for _ in range(repeats):
            ours.append(_samples(under_hvdsm(script, arguments)[1]))
            peer.append(_samples(bare.run(arguments)[1]))
    finally:
        bare.close()
    base = statistics.median(peer)
    name, value = "torch Horovod example, 2x2", statistics.median(ours)
    return [Row(name, value, "samples/s", base, "bare mpirun", 0.99, "ratio >= 0.99", of_ratio=True, at_least=True)]


def _samples(text: str) -> float:
    found = re.search(r"throughput: ([0-9.]+) samples/s", text)
    if not found:
        raise RuntimeError(f"no throughput in:\n{text}")
    return float(found[1])


PARTS: Dict[str, Callable[[int], List[Row]]] = {
    "start-up": start_up,
    "hosts": cluster_start,
    "job": trivial_job,
    "throughput": throughput,
}


def compiling() -> Dict[str, str]:
    """The environment in which Python keeps compiled modules."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def main() -> int:
    """Measure the chosen parts, print the table, write the results."""
    parser = argparse.ArgumentParser(description="Measure hvdsm against bare mpirun on the same emulated hosts.")
    parser.add_argument("--only", choices=sorted(PARTS), help="one part")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each part; the median counts (default 5)")
    options = parser.parse_args()
    # As in an installed package; emulated hosts are copy-on-write and would compile again in every process.
    subprocess.run([sys.executable, "-m", "compileall", "-q", os.path.join(ROOT, "hvdsm")], env=compiling(), check=True)
    rows: List[Row] = []
    for name, part in PARTS.items():
        if options.only in (None, name):
            say(f"measuring {name}, {options.repeats} rounds")
            rows += part(options.repeats)
    print(table(rows))
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    path = results / time.strftime("%Y%m%d-%H%M%S.json")
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], stdout=subprocess.PIPE, text=True, cwd=ROOT, check=False
    ).stdout.strip()
    path.write_text(
        json.dumps({"revision": revision, "cores": os.cpu_count(), "rows": [row.as_dict() for row in rows]}, indent=1)
    )
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
