"""What the container program and the toolkit cost before any rank runs: CPU of a start, packages and bytes, memory while idle."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Tuple

from jobs import ROOT
from measure import Goal, Row, cpu_seconds, say, shown
from parts import CONFIGURATION_ERROR, PYTHON
from programs import JobHosts, Program
from toolkit import PACKAGE, Session, write_script

IDLE = """
import time
from mpi4py import MPI
MPI.COMM_WORLD.Barrier()
print("rank is up", flush=True)
time.sleep(600)
"""

# Run on a host: memory of the processes whose command line holds a word, in KiB.
MEMORY = """
import os, sys
word, total = sys.argv[1].encode(), {"Rss": 0, "Pss": 0}
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) != os.getpid():
        try:
            words = open(f"/proc/{name}/cmdline", "rb").read().split(b"\\0")[:-1]
            if words and words[-1].endswith(word):
                for line in open(f"/proc/{name}/smaps_rollup"):
                    key, _, rest = line.partition(":")
                    if key in total:
                        total[key] += int(rest.split()[0])
        except OSError:
            continue
print(total["Rss"], total["Pss"])
"""

# Modules of others that are loaded once the container program has every part of itself and has run.
FOREIGN = """
import importlib, pkgutil, sys
import hvdsm.container
for module in pkgutil.iter_modules(hvdsm.container.__path__):
    if module.name != "__main__":
        importlib.import_module("hvdsm.container." + module.name)
from hvdsm.container.train import main
main()
print(len({name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names) - {"hvdsm", "__main__"}))
"""

# Run by the Python of an environment: how many other packages a package needs there, and the bytes of all of them together.
CLOSURE = """
import os, sys
from importlib.metadata import PackageNotFoundError, distribution
from pip._vendor.packaging.requirements import Requirement
found, wanted = {}, [sys.argv[1]]
while wanted:
    name = wanted.pop()
    try:
        package = distribution(name)
    except PackageNotFoundError:
        continue
    key = package.metadata["Name"].lower().replace("_", "-")
    if key in found:
        continue
    files = [str(package.locate_file(file)) for file in package.files or ()]
    found[key] = sum(os.path.getsize(file) for file in files if os.path.isfile(file))
    for text in package.requires or ():
        needed = Requirement(text)
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            wanted.append(needed.name)
print(len(found) - 1, sum(found.values()))
"""


def start(session: Session) -> List[Row]:
    """CPU time of importing the program, and of its start until it has found that nothing is configured."""
    commands: Dict[str, Tuple[List[str], Tuple[int, ...]]] = {
        PYTHON: ([sys.executable, "-c", "pass"], (0,)),
        "import, hvdsm": ([sys.executable, "-c", "import hvdsm.container.train"], (0,)),
        "start of train, hvdsm": ([sys.executable, "-m", "hvdsm.container"], (CONFIGURATION_ERROR,)),
    }
    if session.toolkit:
        python, train = session.toolkit.python, os.path.join(session.toolkit.environment, "bin", "train")
        commands["import, toolkit"] = ([python, "-c", "import sagemaker_training.trainer"], (0,))
        commands["start of train, toolkit"] = ([python, train], (0, 1))
    series: Dict[str, List[float]] = {name: [] for name in commands}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SM_", "SAGEMAKER_"))}
    for number in range(3 * session.rounds + 1):
        for name, (argv, codes) in commands.items():
            with tempfile.TemporaryDirectory(prefix="hvdsm-bench-") as empty:
                seconds = cpu_seconds(argv, codes, {**inherited, "SAGEMAKER_BASE_DIR": empty, "PYTHONPATH": ROOT})
            if number:
                series[name].append(seconds * 1000)
    say(f"  CPU of one start: {shown(series)} ms")
    rows = []
    for what in ("import", "start of train"):
        theirs = tuple(series.get(f"{what}, toolkit", ()))
        name, peer = ("toolkit", theirs) if theirs else (PYTHON, tuple(series[PYTHON]))
        rows.append(Row(f"{what}, hvdsm, CPU", "ms", tuple(series[f"{what}, hvdsm"]), Goal(allowance=60.0), name, peer))
        if theirs:
            rows.append(Row(f"{what}, toolkit, CPU", "ms", theirs, None, PYTHON, tuple(series[PYTHON])))
    return rows


def memory(session: Session) -> List[Row]:
    """Memory of the program itself while ranks do nothing, on the first host and on a worker."""
    measured: Dict[str, Dict[str, Tuple[float, float]]] = {"hvdsm": _memory(session.hvdsm)}
    if session.toolkit:
        measured["toolkit"] = _memory(session.toolkit.program())
    rows = []
    for host, role in (("algo-1", "launcher"), ("algo-2", "worker")):
        for index, kind in enumerate(("RSS", "PSS")):
            ours = (measured["hvdsm"][host][index],)
            theirs = (measured["toolkit"][host][index],) if session.toolkit else ()
            rows.append(Row(f"idle {role}, {kind}, hvdsm", "MiB", ours, None, "toolkit" if theirs else "", theirs))
    return rows


def _memory(program: Program) -> Dict[str, Tuple[float, float]]:
    """MiB resident and proportional, of each host's program."""
    found = {}
    folder = tempfile.TemporaryDirectory(prefix="hvdsm-bench-")
    with folder, JobHosts(program, write_script(folder.name, IDLE), processes=1) as job:
        job.start()
        job.wait_for("rank is up", len(job.hosts))
        for host in job.hosts:
            code, said = job.run(host, [sys.executable, "-c", MEMORY, program.word])
            numbers = [int(word) / 1024 for word in said.split()] if code == 0 else []
            if len(numbers) != 2 or not all(numbers):
                raise RuntimeError(f"no memory of {program.name} on {host}:\n{said}")
            found[host] = (numbers[0], numbers[1])
    return found


def install(session: Session) -> List[Row]:
    """Packages and bytes that each needs: hvdsm in a container (itself alone), hvdsm with its command line, and the toolkit."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("SM_", "SAGEMAKER_"))}
    with tempfile.TemporaryDirectory(prefix="hvdsm-bench-") as empty:
        environment = {**alone, "SAGEMAKER_BASE_DIR": empty, "PYTHONPATH": ROOT}
        # Without site-packages (-S): a package that it needed would be missed.
        argv = [sys.executable, "-S", "-c", FOREIGN]
        foreign = int(subprocess.run(argv, stdout=subprocess.PIPE, text=True, env=environment, check=True).stdout.split()[-1])
    package = Path(ROOT, "hvdsm")
    size = sum(path.stat().st_size for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc")
    needed, rest = _closure(sys.executable, "hvdsm")
    rows = []
    theirs = _closure(session.toolkit.python, PACKAGE) if session.toolkit else None
    name = "toolkit" if theirs else ""
    counts, sizes = ((float(theirs[0]),), (theirs[1] / 1e6,)) if theirs else ((), ())
    rows.append(Row("packages that the container program needs", "packages", (float(foreign),), None, name, counts))
    rows.append(Row("size of the container program", "MB", (size / 1e6,), None, name, sizes))
    rows.append(Row("packages that hvdsm with its command line needs", "packages", (float(needed),), None, name, counts))
    rows.append(Row("size of hvdsm with its command line", "MB", ((size + rest) / 1e6,), None, name, sizes))
    return rows


def _closure(python: str, package: str) -> Tuple[int, int]:
    said = subprocess.run([python, "-c", CLOSURE, package], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return int(said[0]), int(said[1])
