"""Measure the container program against bare mpirun and AWS's toolkit, all three in one run: ``make bench-container``.

Prints what this run measured and writes it to ``benchmarks/results``.  Ends with 0 whatever the numbers are, with 1 when
something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from footprint import install, memory, start
from jobs import PROCESSES, TRIVIAL, BareHosts, Ran, container_program
from measure import Goal, Row, load, say, shown, table
from programs import JobHosts, Program
from relay import LINES, RELAY, Relayed, relayed
from run import compile_package, revision, write
from toolkit import PACKAGE, PLACE, Session, Toolkit, toolkit_environment, write_script

BARE = "bare mpirun"
# A worker of the toolkit that has missed its daemon looks for it for up to 20 minutes.
MISSED_SECONDS = 60.0
ATTEMPTS = 4


def trivial_job(session: Session) -> List[Row]:
    """Two hosts with two processes each do one all-reduce: bare mpirun, hvdsm and the toolkit take turns."""
    series: Dict[str, List[float]] = {BARE: [], "hvdsm": [], "toolkit": [], "tail": [], "toolkit tail": []}
    missed = 0
    with tempfile.TemporaryDirectory(prefix="hvdsm-bench-") as folder:
        script = write_script(folder, TRIVIAL)
        with BareHosts(script) as bare:
            runs: Dict[str, Callable[[], Ran]] = {BARE: bare.run, "hvdsm": lambda: container_program(script)}
            for number in range(session.rounds + 1):  # the first only warms caches
                for name in list(runs) if number % 2 else list(runs)[::-1]:
                    ran = runs[name]()
                    if number:
                        series[name].append(ran.seconds)
                        if name == "hvdsm":
                            series["tail"].append(ran.tail)
                if session.toolkit and 0 < number <= session.toolkit_rounds:
                    ran, times = toolkit_job(session.toolkit, script)
                    missed += times
                    series["toolkit"].append(ran.seconds)
                    series["toolkit tail"].append(ran.tail)
                say(f"  trivial job, round {number} of {session.rounds}: {shown(series)} s")
    ours, peer, theirs = tuple(series["hvdsm"]), tuple(series[BARE]), tuple(series["toolkit"])
    rows = [
        Row("trivial 2x2 job, hvdsm", "s", ours, Goal(1.15, 0.3), BARE, peer),
        Row("last rank's end to all hosts' end, hvdsm", "s", tuple(series["tail"]), Goal(allowance=0.2)),
    ]
    if theirs:
        rows += [
            Row("trivial 2x2 job, toolkit", "s", theirs, None, BARE, peer),
            Row("trivial 2x2 job, hvdsm beside toolkit", "s", ours, None, "toolkit", theirs),
            Row("last rank's end to all hosts' end, toolkit", "s", tuple(series["toolkit tail"])),
            Row("toolkit's runs in which a worker missed its daemon", "runs", (float(missed),)),
        ]
    return rows


def toolkit_job(toolkit: Toolkit, script: str) -> Tuple[Ran, int]:
    """A good run of the toolkit, and how many before it were given up because the worker waited for a daemon that had ended.

    Raises:
        RuntimeError: it failed, or missed its daemon each time.
    """
    for missed in range(ATTEMPTS):
        with JobHosts(toolkit.program(), script, processes=PROCESSES) as job:
            job.start()
            first = job.wait(job.hosts[0])
            try:
                seconds = max(first, *(job.wait(host, first + MISSED_SECONDS) for host in job.hosts[1:]))
            except subprocess.TimeoutExpired:
                say(f"  the toolkit's worker missed its daemon: given up after {first + MISSED_SECONDS:.0f} s, once more")
                continue
            ended = time.time()
        return Ran(seconds, ended, job.logs[job.hosts[0]].text), missed
    raise RuntimeError(f"the toolkit's worker missed its daemon in {ATTEMPTS} of {ATTEMPTS} runs")


def relay(session: Session) -> List[Row]:
    """Four ranks write 250,000 lines each: how long until they are in the first host's log, and how many are whole there."""
    results: Dict[str, List[Relayed]] = {BARE: [], "hvdsm": [], "toolkit": []}
    with tempfile.TemporaryDirectory(prefix="hvdsm-bench-") as folder:
        script = write_script(folder, RELAY)
        with BareHosts(script) as bare:

            def by_mpirun() -> Relayed:
                bare.run(custom_options="--tag-output")
                return relayed(bare.log, "mpirun")

            runs = {BARE: by_mpirun, "hvdsm": lambda: _relayed(session.hvdsm, script, "hvdsm")}
            if session.toolkit:
                capturing = session.toolkit.program(capture=True)
                runs["toolkit"] = lambda: _relayed(capturing, script, "toolkit")
            rounds = max(1, min(session.rounds, 3))
            for number in range(rounds):
                for name in list(runs) if number % 2 else list(runs)[::-1]:
                    if name != "toolkit" or number < session.toolkit_rounds:
                        results[name].append(runs[name]())
                        say(f"  relay, round {number + 1} of {rounds}, {name}: {results[name][-1]}")
    seconds = {name: tuple(one.seconds for one in series) for name, series in results.items()}
    broken = {name: tuple(float(one.broken) for one in series) for name, series in results.items()}
    lines = f"{LINES * 4} lines of 4 ranks"
    rows = [
        Row(f"{lines} relayed by hvdsm", "s", seconds["hvdsm"], Goal(1.0), "mpirun --tag-output", seconds[BARE]),
        Row("lines broken or lost, hvdsm", "lines", broken["hvdsm"], Goal(allowance=0.0), "mpirun --tag-output", broken[BARE]),
    ]
    if results["toolkit"]:
        rows += [
            Row(f"{lines} relayed by toolkit", "s", seconds["toolkit"], None, "mpirun --tag-output", seconds[BARE]),
            Row("lines broken or lost, toolkit", "lines", broken["toolkit"], None, "mpirun --tag-output", broken[BARE]),
        ]
    return rows


def _relayed(program: Program, script: str, kind: str) -> Relayed:
    with JobHosts(program, script, processes=PROCESSES) as job:
        job.start()
        job.wait(job.hosts[0])
    # Not before the hosts are gone: the toolkit leaves an sshd behind, which holds the log open.
    return relayed(job.logs[job.hosts[0]], kind)


PARTS: Dict[str, Callable[[Session], List[Row]]] = {
    "start": start,
    "install": install,
    "memory": memory,
    "job": trivial_job,
    "relay": relay,
}


def main(argv: Sequence[str]) -> int:
    """Measure the chosen parts, print the table or JSON, write the results."""
    parser = argparse.ArgumentParser(description="Measure the container program against bare mpirun and sagemaker-training.")
    parser.add_argument("--only", choices=sorted(PARTS), action="append", metavar="PART", help=f"one of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds of hvdsm and mpirun (%(default)s)")
    parser.add_argument("--toolkit-rounds", type=int, default=1, metavar="N", help="of them with the toolkit (%(default)s)")
    parser.add_argument(
        "--toolkit",
        default=os.environ.get(PLACE, ""),
        metavar="DIR",
        help=f"a virtual environment with {PACKAGE}; else {PLACE}, else one is made and kept",
    )
    parser.add_argument("--without-toolkit", action="store_true", help="compare with bare mpirun only")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args(argv)
    if options.rounds < 1 or options.toolkit_rounds < 1:
        parser.error("at least one round")
    compile_package()
    begin, load_before = time.monotonic(), load()
    rows: List[Row] = []
    broken: List[str] = []
    toolkit: Optional[Toolkit] = None
    try:
        if not options.without_toolkit:
            try:
                toolkit = Toolkit(toolkit_environment(options.toolkit))
            except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
                broken.append("toolkit")
                print(f"the toolkit could not be had: {error}\n  try: --toolkit DIR or --without-toolkit", file=sys.stderr)
        session = Session(options.rounds, min(options.toolkit_rounds, options.rounds), toolkit)
        for name, part in PARTS.items():
            if options.only and name not in options.only:
                continue
            say(f"{name}:")
            try:
                rows += part(session)
            except Exception as error:  # the other parts still say something
                broken.append(name)
                print(f"{name} could not be measured: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        if toolkit:
            toolkit.close()
    facts: Dict[str, object] = {
        "benchmark": "container",
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
    if options.json:
        print(json.dumps({**facts, "rows": [row.as_dict() for row in rows]}, indent=1))
    elif rows:
        print(table(rows))
    met, goals = sum(row.met is True for row in rows), sum(row.met is not None for row in rows)
    where = f"{os.cpu_count()} cores, load {load_before:.1f} before and {load():.1f} after"
    print(f"{met} of {goals} goals met in {time.monotonic() - begin:.0f} s ({where}); written to {path}", file=sys.stderr)
    if broken:
        print(f"not measured: {', '.join(broken)} (see above)", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
