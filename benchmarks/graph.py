"""Measure ``hvdsm graph train`` against GraphStorm's own ssh launcher: ``python benchmarks/graph.py``.

Both train the same graph on two emulated hosts, in turns; prints what this run measured, or JSON.  Ends with 0 whatever the
numbers are, with 1 when something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence

from measure import Goal, Row, load, say, shown, table

ROUNDS, QUICK_ROUNDS = 3, 1
TRAINERS, EPOCHS, PAPERS = 1, 10, 2000
LAUNCHER = "GraphStorm's launcher"


def in_the_environment(argv: Sequence[str]) -> None:
    """Go on in the environment that has GraphStorm; this one may be it.

    Raises:
        SystemExit: there is none.
    """
    if find_spec("graphstorm") is not None:
        return
    python = os.environ.get("HVDSM_GRAPH_PYTHON") or os.path.join(sys.prefix, "graph", "bin", "python")
    if not os.path.exists(python):
        sys.exit(f"no {python}: python tools/graph.py --only-prepare makes it, or HVDSM_GRAPH_PYTHON names one with GraphStorm")
    os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    os.execv(python, [python, os.path.abspath(__file__), *argv])


def rows_of(hvdsm: Sequence[object], launcher: Sequence[object], what: str) -> List[Row]:
    """The table of both's rounds.

    Args:
        hvdsm: its trainings.
        launcher: those of GraphStorm's launcher.
        what: such as "2x1".
    """
    from graph_jobs import Trained, phases_of

    ours = [run for run in hvdsm if isinstance(run, Trained)]
    theirs = [run for run in launcher if isinstance(run, Trained)]
    faster = Goal(1.0)

    def both(name: str, told: str, goal: Optional[Goal] = None) -> Row:
        mine, peer = (tuple(float(getattr(run, told)) for run in runs) for runs in (ours, theirs))
        return Row(name, "s", mine, goal, LAUNCHER, peer)

    whole = both(f"training {what}, whole command", "seconds", faster)
    return [
        whole,
        Row("servers and ranks alone", "s", phases_of(ours, "prepared", "roles ended"), faster, LAUNCHER, whole.peer_values),
        both("start to first batch", "first"),
        both("first batch to last epoch", "training"),
        both("last trainer's leave to end", "end"),
        Row("  hosts, and graph from S3", "s", phases_of(ours, "", "prepared")),
        Row("  graph servers ready", "s", phases_of(ours, "prepared", "roles ready")),
        Row("  model kept and in S3", "s", phases_of(ours, "roles ended", "finished")),
        Row("  results copied, hosts gone", "s", phases_of(ours, "finished", "")),
    ]


def in_turns(runs: Mapping[str, Callable[[], object]], rounds: int, warm: bool) -> Dict[str, List[object]]:
    """Run each once a round, every other round in reverse order; ``warm`` adds a round before that only warms caches."""
    results: Dict[str, List[object]] = {name: [] for name in runs}
    for number in range(0 if warm else 1, rounds + 1):
        for name in list(runs) if number % 2 else list(runs)[::-1]:
            ran = runs[name]()
            if number:
                results[name].append(ran)
        seconds = {name: [float(getattr(ran, "seconds", 0)) for ran in series] for name, series in results.items()}
        say(f"  round {number} of {rounds}: {shown(seconds) + ' s' if number else 'warmed up'}")
    return results


def measure(rounds: int, trainers: int, epochs: int, papers: int, warm: bool = True) -> List[Row]:
    """Make the graph, and train it by both.

    Raises:
        RuntimeError: a training failed.
    """
    from graph_jobs import HOSTS, LauncherHosts, Service, make_graph, under_hvdsm

    with tempfile.TemporaryDirectory(prefix="hvdsm-bench-") as folder:
        graph = make_graph(Path(folder), papers)
        say(f"  a graph of {papers} papers is made")
        with Service(graph) as service, LauncherHosts(graph) as hosts:
            runs: Dict[str, Callable[[], object]] = {
                "hvdsm": lambda: under_hvdsm(service, trainers, epochs),
                "launcher": lambda: hosts.run(trainers, epochs),
            }
            results = in_turns(runs, rounds, warm)
    return rows_of(results["hvdsm"], results["launcher"], f"{HOSTS}x{trainers}")


def main(argv: Sequence[str]) -> int:
    """Measure, print the table or JSON."""
    parser = argparse.ArgumentParser(description="Training under hvdsm graph train against GraphStorm's own launcher.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="the median of N counts (%(default)s)")
    parser.add_argument("--quick", dest="rounds", action="store_const", const=QUICK_ROUNDS, help=f"{QUICK_ROUNDS} round")
    parser.add_argument("--cold", action="store_true", help="without the round that only warms caches")
    parser.add_argument("--trainers", type=int, default=TRAINERS, metavar="N", help="on each host (%(default)s)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, metavar="N", help="(%(default)s)")
    parser.add_argument("--papers", type=int, default=PAPERS, metavar="N", help="nodes that are classified (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args(argv)
    for name in ("rounds", "trainers", "epochs"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}: at least 1")
    in_the_environment(argv)
    before = load()
    try:
        rows = measure(options.rounds, options.trainers, options.epochs, options.papers, not options.cold)
    except Exception as error:
        print(f"could not be measured: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    if options.json:
        told = {name: getattr(options, name) for name in ("rounds", "trainers", "epochs", "papers")}
        facts: Dict[str, object] = {"cores": os.cpu_count(), "load": [before, load()], **told}
        print(json.dumps({**facts, "rows": [row.as_dict() for row in rows]}, indent=1))
    else:
        print(f"seconds, medians of {options.rounds}, on {os.cpu_count()} cores that both hosts share")
        print(table(rows))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
