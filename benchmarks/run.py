"""Measure hvdsm against bare mpirun in one run: ``make bench``.

Prints what this run measured, beside the peer, and writes it to ``benchmarks/results``.  Ends with 0 whatever the numbers are,
with 1 when something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Sequence

from jobs import ROOT
from measure import Row, load, say, table
from parts import PARTS

RESULTS = Path(__file__).parent / "results"
ROUNDS, QUICK_ROUNDS = 5, 2


def compile_package() -> None:
    """Compile hvdsm as an installer does: hosts are copy-on-write and would compile it again in every process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-m", "compileall", "-q", os.path.join(ROOT, "hvdsm")], env=environment, check=True)


def revision() -> str:
    """Commit of the working tree, with ``-dirty`` where it differs; empty where git cannot tell."""
    argv = ["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def write(rows: Sequence[Row], facts: Dict[str, object]) -> Path:
    """The JSON file of this run."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / time.strftime("%Y%m%d-%H%M%S.json")
    path.write_text(json.dumps({**facts, "rows": [row.as_dict() for row in rows]}, indent=1) + "\n", encoding="utf-8")
    return path


def main(argv: Sequence[str]) -> int:
    """Measure the chosen parts, print the table, write the results."""
    parser = argparse.ArgumentParser(description="Measure hvdsm against bare mpirun on the same kind of emulated hosts.")
    parser.add_argument("--only", choices=sorted(PARTS), action="append", metavar="PART", help=f"one of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="the median of N counts (%(default)s)")
    parser.add_argument("--quick", dest="rounds", action="store_const", const=QUICK_ROUNDS, help=f"{QUICK_ROUNDS} rounds")
    options = parser.parse_args(argv)
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    compile_package()
    begin, load_before = time.monotonic(), load()
    rows: List[Row] = []
    broken: List[str] = []
    for name, part in PARTS.items():
        if options.only and name not in options.only:
            continue
        say(f"{name}: {options.rounds} rounds")
        try:
            rows += part(options.rounds)
        except Exception as error:  # the other parts still say something
            broken.append(name)
            print(f"{name} could not be measured: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    if rows:
        print(table(rows))
    facts: Dict[str, object] = {
        "revision": revision(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": [load_before, load()],
        "rounds": options.rounds,
        "broken": broken,
    }
    path = write(rows, facts)
    missed = sum(row.met is False for row in rows)
    goals = sum(row.met is not None for row in rows)
    where = f"{os.cpu_count()} cores, load {load_before:.1f} before and {load():.1f} after"
    print(f"{goals - missed} of {goals} goals met in {time.monotonic() - begin:.0f} s ({where}); written to {path}")
    if broken:
        print(f"not measured: {', '.join(broken)} (see above)", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
