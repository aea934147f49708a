"""How the start of a job grows with its hosts, with and without mpirun's tree spawn: ``benchmarks/scale.py``.

All hosts share this machine's cores, and every one of them starts a Python, an sshd, a daemon of mpirun and a rank: what is
measured is work, which as many real machines do side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from typing import Dict, List, NamedTuple, Sequence, Tuple

from jobs import MPIRUN, ROOT
from measure import load, say
from programs import JobHosts, hvdsm_program
from run import compile_package

COUNTS = (2, 8, 32, 64, 128)
SPAWNS = {"tree": "", "flat": "-mca plm_rsh_no_tree_spawn 1"}
PHASES = ("hosts joined", "ssh ready", "ranks running", "ranks ended")
HEADINGS = ("hosts", "spawn", "emulated", *PHASES, "all ended")

REDUCE = """
from mpi4py import MPI
print("sum", MPI.COMM_WORLD.allreduce(1), flush=True)
"""


class Started(NamedTuple):
    """Seconds of one job: of the hosts' own start, then from the program's start to each phase and to its end on all hosts."""

    hosts: int
    spawn: str
    emulated: float
    phases: Tuple[float, ...]
    ended: float

    def cells(self) -> Tuple[str, ...]:
        """As the table shows it."""
        return (str(self.hosts), self.spawn, *(f"{value:.2f}" for value in (self.emulated, *self.phases, self.ended)))


def measure(count: int, spawn: str) -> Started:
    """Run one job.

    Raises:
        RuntimeError: it failed, or a rank of it did not run.
    """
    options = {"sagemaker_mpi_custom_mpi_options": SPAWNS[spawn]} if SPAWNS[spawn] else {}
    with tempfile.TemporaryDirectory(prefix="hvdsm-bench-") as folder:
        script = os.path.join(folder, "train.py")
        with open(script, "w", encoding="utf-8") as file:
            file.write(REDUCE)
        begin = time.monotonic()
        with JobHosts(hvdsm_program(ROOT, MPIRUN), script, count=count, processes=1, hyperparameters=options) as job:
            emulated = time.monotonic() - begin
            job.start()
            ended = max(job.wait(host) for host in job.hosts)
            outcome = json.loads(job.file(job.hosts[0], "outcome.json").read_text(encoding="utf-8"))
    said = job.logs[job.hosts[0]].text.count(f"sum {count}\n")
    if said != count:
        raise RuntimeError(f"{said} of {count} ranks reduced:\n{job.logs[job.hosts[0]].text[-8000:]}")
    return Started(count, spawn, emulated, tuple(float(outcome["phases"][name]) for name in PHASES), ended)


def table(rows: Sequence[Started]) -> str:
    """The rows as aligned text, in seconds."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths)) for line in lines)


def main(argv: Sequence[str]) -> int:
    """Measure, print the table or JSON."""
    parser = argparse.ArgumentParser(description="How the start of a job grows with its hosts, with and without tree spawn.")
    parser.add_argument("--hosts", type=int, action="append", metavar="N", help=f"by default {', '.join(map(str, COUNTS))}")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args(argv)
    compile_package()
    measure(2, "tree")  # only warms caches
    rows: List[Started] = []
    broken: List[str] = []
    for count in options.hosts or COUNTS:
        for spawn in SPAWNS:
            try:
                rows.append(measure(count, spawn))
            except Exception as error:  # the other sizes still say something
                broken.append(f"{count} hosts, {spawn}")
                print(f"{broken[-1]}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                continue
            say(f"  {count} hosts, {spawn} spawn: all ended after {rows[-1].ended:.2f} s")
    if options.json:
        facts: Dict[str, object] = {"cores": os.cpu_count(), "load": load(), "broken": broken}
        print(json.dumps({**facts, "rows": [row._asdict() for row in rows]}, indent=1))
    elif rows:
        print(f"seconds, on {os.cpu_count()} cores that all hosts share")
        print(table(rows))
    return 1 if broken else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
