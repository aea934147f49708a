"""Measure ``hvdsm launch --backend sagemaker`` against the SageMaker SDK 2 in one run: ``make bench-cloud``.

Both are real commands that speak HTTP to one sandbox, a SageMaker service on loopback, which plays the same job for both.  Prints
what this run measured and writes it to ``benchmarks/results``.  Ends with 0 whatever the numbers are, with 1 when something could
not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from measure import Goal, Row, cpu_seconds, load, say, shown, table
from parts import PYTHON
from run import compile_package, revision, write

from hvdsm.compose.outcome_line import encode_outcome
from hvdsm.model import JobOutcome
from hvdsm.sandbox import Sandbox, Script, Step, TrainingJob

REQUIREMENT = "sagemaker>=2.257,<2.258"
PLACE = "HVDSM_BENCH_SDK"
DEFAULT_PLACE = os.path.join(sys.prefix, "sdk2")
SDK = "SDK 2 fit"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1"
ROLE = "arn:aws:iam::123456789012:role/hvdsm-training"
INSTANCE = "ml.c5.xlarge"

# How often each looks whether the job has ended, seconds: its ends are spread evenly over that.
CYCLES = {"hvdsm": 1.0, "sdk": 30.0}
MANY_HOSTS, MANY_LINES, MANY_SECONDS = 200, 50, 3.0
# A client that has not returned by then is killed, and the part not measured.
PATIENCE = 300.0
# With many hosts not returning is a result, too: seconds after the start, far more than the SDK's longest look and the job take.
MANY_PATIENCE = 100.0
END_GOAL = Goal(allowance=1.5)

FIT = """
import sys
from sagemaker.estimator import Estimator

name, hosts, image, role, kind = sys.argv[1:]
estimator = Estimator(
    image_uri=image, role=role, instance_count=int(hosts), instance_type=kind, entry_point="train.py", source_dir="source"
)
estimator.fit(job_name=name, logs="All")
"""

NOTES = """\
Job's end: the moment at which the sandbox says Completed. The ends of the small jobs are spread evenly over the interval
in which each client looks: 1 s for hvdsm; 30 s for the SDK, which reads the logs once more 10 s after it has seen the end.
Loopback has no latency and no TLS, and log lines can be read at once. In the service they can come seconds late: hvdsm then
waits for its outcome line (10 s at most), so its end is later there; what the SDK has not read by its last look, it leaves out.
The SDK gets no distribution and hvdsm no data channels: both pack and upload one file, and create one job of as many hosts.
The job of many hosts runs once for each, so its time is one sample. hvdsm keeps its GetLogEvents requests below an account's
limit, and every host has its own stream: reading all to their ends takes at least hosts divided by that rate. A command that
is not back 100 s after its start is ended: it has no time then, and its lines count up to there.
CPU until CreateTrainingJob is the kernel's count for the process and its ended children, in steps of 10 ms."""


def sdk_environment(asked: str) -> str:
    """The directory of a virtual environment with the SDK: the one asked for, or one made now and kept for later runs.

    Raises:
        RuntimeError: the directory asked for has no SDK of the required version.
        subprocess.CalledProcessError: pip could not install it.
    """
    place = os.path.abspath(asked or DEFAULT_PLACE)
    if sdk_version(place).startswith("2.257."):
        return place
    if asked:
        raise RuntimeError(f"no {REQUIREMENT} in {place}: --sdk names a virtual environment in which it is installed")
    say(f"making {place} with {REQUIREMENT} (about two minutes, once)")
    subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
    subprocess.run([os.path.join(place, "bin", "pip"), "install", "--quiet", REQUIREMENT], check=True)
    return place


def sdk_version(place: str) -> str:
    """Version of the SDK of a virtual environment; empty without one."""
    python = os.path.join(place, "bin", "python")
    code = "import importlib.metadata as m; print(m.version('sagemaker'))"
    try:
        done = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def cpu_of(pid: int) -> float:
    """User and system time of a process and of its ended children up to now, seconds.  Source: proc(5), fields 14 to 17."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def seconds_until(begun: float, now: float, cycle: float, phase: float) -> float:
    """Seconds from ``now`` to the next moment that is ``phase`` (0 to 1) of a cycle, where cycles began at ``begun``."""
    return (phase * cycle - (now - begun)) % cycle


def counted(output: bytes, hosts: int, lines: int) -> Tuple[int, int]:
    """How many of the lines of :func:`numbered` are lost and how many are there once more than they should be."""
    seen = Counter(re.findall(rb"line (\d+) of (\d+) ends$", output, re.MULTILINE))
    wanted = {(b"%d" % number, b"%d" % host) for host in range(1, hosts + 1) for number in range(lines)}
    return len(wanted - set(seen)), sum(seen.values()) - len(seen)


def numbered(host: int, lines: int) -> List[str]:
    """Lines that tell each other apart."""
    return [f"line {number} of {host} ends" for number in range(lines)]


class Client:
    """A command that creates the job ``name`` and follows it to its end.

    Attributes:
        arrived: when CreateTrainingJob had arrived, seconds since the epoch; ``cpu`` is what the command had used by then.
        returned: when the command had ended, seconds since the epoch.
    """

    def __init__(self, name: str, argv: Sequence[str], directory: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self.arrived = self.cpu = self.returned = 0.0
        self.created = threading.Event()
        self.log = Path(directory) / f"{name}.log"
        with self.log.open("wb") as log:
            self.begun = time.time()
            self._process = subprocess.Popen(
                argv, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self._code: Optional[int] = None
        # Waiting with a time limit would look only every 50 ms.
        self._waiter = threading.Thread(target=self._wait, daemon=True)
        self._waiter.start()

    def _wait(self) -> None:
        self._code = self._process.wait()
        self.returned = time.time()
        self.created.set()

    def note_creation(self) -> None:
        """CreateTrainingJob is here."""
        self.arrived, self.cpu = time.time(), cpu_of(self._process.pid)
        self.created.set()

    def wait_created(self) -> None:
        """Wait until the job has been created.

        Raises:
            RuntimeError: the command ended, or :data:`PATIENCE` did, before.
        """
        if not self.created.wait(PATIENCE) or not self.arrived:
            self.close()
            raise RuntimeError(f"{self.name} created no job:\n{self.output()[-4000:].decode(errors='replace')}")

    def wait_returned(self) -> None:
        """Wait for the command's end.

        Raises:
            RuntimeError: it failed, or did not end in :data:`PATIENCE`.
        """
        self._waiter.join(PATIENCE)
        self.close()
        if self._code != 0:
            text = self.output()[-4000:].decode(errors="replace")
            raise RuntimeError(f"{self.name} ended with {self._code}:\n{text}")

    def returns_within(self, seconds: float) -> bool:
        """Whether the command ends in so many seconds."""
        self._waiter.join(seconds)
        return not self._waiter.is_alive()

    def output(self) -> bytes:
        """What it has printed."""
        return self.log.read_bytes()

    def close(self) -> None:
        """End the command where it has not ended."""
        if self._waiter.is_alive():
            self._process.kill()
            self._waiter.join()


class Cloud:
    """The sandbox and the commands that use it; ``sdk`` is the SDK's virtual environment, None where it is left out."""

    def __init__(self, rounds: int, sdk: Optional[str]) -> None:
        self.rounds = rounds
        self.sdk = sdk
        self._folder = tempfile.TemporaryDirectory(prefix="hvdsm-bench-")
        source = Path(self._folder.name, "source")
        source.mkdir()
        (source / "train.py").write_text("print()\n", encoding="utf-8")
        Path(self._folder.name, "fit.py").write_text(FIT, encoding="utf-8")
        self.clients: Dict[str, Client] = {}
        self.sandbox = Sandbox.start(runner=self._lead)
        own = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "HVDSM_", "SAGEMAKER_"))}
        self._environment = self.sandbox.client_environment(own)

    @property
    def kinds(self) -> List[str]:
        """Who is compared."""
        return ["hvdsm", *(["sdk"] if self.sdk else [])]

    def start(self, kind: str, name: str, hosts: int) -> Client:
        """Start a command."""
        if kind == "sdk":
            # Unbuffered, so that what it has printed counts even if it must be ended.
            argv = [os.path.join(str(self.sdk), "bin", "python"), "-u", "fit.py", name, str(hosts), IMAGE, ROLE, INSTANCE]
        else:
            argv = [sys.executable, "-m", "hvdsm", "launch", "--backend", "sagemaker", "--image", IMAGE, "--role", ROLE]
            argv += ["--instance-type", INSTANCE, "--instance-count", str(hosts), "--job-name", name]
            argv += ["--source-dir", "source", "train.py"]
        client = Client(name, argv, self._folder.name, self._environment)
        self.clients[name] = client
        return client

    def end_to_return(self, client: Client) -> float:
        """Seconds from the job's end to that of its command."""
        ended = self.sandbox.jobs[client.name].ended_at
        assert ended is not None
        return client.returned - ended

    def listings(self, name: str) -> int:
        """How often the streams of a job were listed."""
        asked = [body for operation, body in self.sandbox.requests if operation == "DescribeLogStreams"]
        return sum(str((body or {}).get("logStreamNamePrefix", "")).startswith(name) for body in asked)

    def _lead(self, job: TrainingJob) -> None:
        """A job of two hosts that trains until it is released; its outcome is its last line, as hvdsm's program has it."""
        self.clients[job.name].note_creation()
        job.begin_attempt()
        for status in ("Starting", "Downloading", "Training"):
            job.enter(status)
        for host in ("algo-1", "algo-2"):
            job.log(host, ["hvdsm: begins", *(f"[{host[-1]},{host}] step {step}" for step in range(20))])
        if job.pause(None):
            job.log("algo-2", ["hvdsm: ends"])
            job.log("algo-1", ["hvdsm: ends", encode_outcome(JobOutcome(job.name, "Completed", 0))])
            job.enter("Uploading")
            job.end("Completed")

    def close(self) -> None:
        """End all commands and the sandbox."""
        for client in self.clients.values():
            client.close()
        self.sandbox.stop()
        self._folder.cleanup()


def beside(name: str, unit: str, values: Mapping[str, Sequence[float]], goal: Optional[Goal] = None) -> Row:
    """A row of hvdsm's values with the SDK's as the peer."""
    theirs = tuple(values.get("sdk", ()))
    return Row(name, unit, tuple(values["hvdsm"]), goal, SDK if theirs else "", theirs)


def job(cloud: Cloud) -> List[Row]:
    """Jobs are created one after the other, nothing else going on; then they end, each at another moment of the cycle."""
    started: Dict[str, List[Client]] = {kind: [] for kind in cloud.kinds}
    for number in range(cloud.rounds + 1):  # the first only warms caches
        for kind in cloud.kinds if number % 2 else cloud.kinds[::-1]:
            client = cloud.start(kind, f"{kind}-{number}", 2)
            client.wait_created()
            if number:
                started[kind].append(client)
            else:
                client.close()
        wall = {kind: [one.arrived - one.begun for one in series] for kind, series in started.items()}
        say(f"  until CreateTrainingJob, round {number} of {cloud.rounds}: {shown(wall) + ' s' if number else 'warmed up'}")
    tails: Dict[str, List[float]] = {kind: [] for kind in cloud.kinds}
    timers: List[threading.Timer] = []
    for kind, clients in started.items():
        for index, client in enumerate(clients):
            # hvdsm's jobs end one after the other, so that no two commands share the cores then.
            earliest = time.time() + (2.0 * (index + 1) if kind == "hvdsm" else 1.0)
            phase = (index + 0.5) / cloud.rounds
            at = earliest + seconds_until(client.arrived, earliest, CYCLES[kind], phase)
            timers.append(threading.Timer(at - time.time(), cloud.sandbox.release, (client.name,)))
    for timer in timers:
        timer.daemon = True
        timer.start()
    for kind, clients in started.items():
        for client in clients:
            client.wait_returned()
            tails[kind].append(cloud.end_to_return(client))
            say(f"  {client.name}: {tails[kind][-1]:.3f} s from the job's end to the command's return")
    worst = {kind: [max(series)] for kind, series in tails.items()}
    cpu = {kind: [one.cpu for one in series] for kind, series in started.items()}
    return [
        beside("job's end to return, median", "s", tails, END_GOAL),
        beside("job's end to return, worst", "s", worst, END_GOAL),
        beside("start to CreateTrainingJob, wall", "s", wall),
        beside("start to CreateTrainingJob, CPU", "s", cpu),
    ]


def start_up(cloud: Cloud) -> List[Row]:
    """CPU time of the help, and of importing what the SDK needs before it does anything."""
    runs: Dict[str, List[str]] = {
        "python": [sys.executable, "-c", "pass"],
        "help": [sys.executable, "-m", "hvdsm", "launch", "--help"],
    }
    if cloud.sdk:
        runs["import"] = [os.path.join(cloud.sdk, "bin", "python"), "-c", "from sagemaker.estimator import Estimator"]
    series: Dict[str, List[float]] = {name: [] for name in runs}
    for number in range(2 * cloud.rounds + 1):
        for name, argv in runs.items():
            value = cpu_seconds(argv)
            if number:
                series[name].append(value)
    say(f"  CPU of one start: {shown(series)} s")
    peer = tuple(series["python"])
    rows = [Row("hvdsm launch --help, CPU", "s", tuple(series["help"]), Goal(allowance=0.10), PYTHON, peer)]
    if cloud.sdk:
        rows.append(Row("import of the SDK's Estimator, CPU", "s", tuple(series["import"]), None, PYTHON, peer))
    return rows


def many(cloud: Cloud) -> List[Row]:
    """Many hosts write until the job's end: what is lost, what comes twice, how long the last lines take.  Once for each."""
    lost: Dict[str, List[float]] = {}
    repeated: Dict[str, List[float]] = {}
    listings: Dict[str, List[float]] = {}
    tails: Dict[str, List[float]] = {}
    for kind in cloud.kinds:
        name = f"{kind}-many"
        lines = {f"algo-{host}": numbered(host, MANY_LINES) for host in range(1, MANY_HOSTS + 1)}
        outcome = encode_outcome(JobOutcome(name, "Completed", 0))
        lines["algo-1"] = ["hvdsm: begins", *lines["algo-1"], outcome]
        steps = (Step("Starting"), Step("Downloading"), Step("Training", MANY_SECONDS), Step("Uploading"))
        cloud.sandbox.script(name, Script(steps=steps, lines=lines))
        client = cloud.start(kind, name, MANY_HOSTS)
        if client.returns_within(MANY_PATIENCE):
            client.wait_returned()
            tails[kind] = [cloud.end_to_return(client)]
            took = f"{tails[kind][0]:.3f} s from the job's end to the command's return"
        else:
            client.close()
            took = f"not back {MANY_PATIENCE:g} s after its start, and ended"
        gone, again = counted(client.output(), MANY_HOSTS, MANY_LINES)
        lost[kind], repeated[kind], listings[kind] = [gone], [again], [cloud.listings(name)]
        say(f"  {kind}: {gone} lost, {again} repeated, {listings[kind][0]:.0f} DescribeLogStreams; {took}")
    what = f"{MANY_HOSTS} hosts x {MANY_LINES} lines"
    rows = [
        beside(f"{what}, lost", "lines", lost, Goal()),
        beside(f"{what}, repeated", "lines", repeated, Goal()),
        beside(f"{what}, DescribeLogStreams", "requests", listings),
    ]
    if "hvdsm" not in tails:
        raise RuntimeError(f"hvdsm did not return in {MANY_PATIENCE:g} s with {MANY_HOSTS} hosts; {rows}")
    return [*rows, beside(f"{what}, job's end to return", "s", tails, END_GOAL)]


PARTS: Dict[str, Callable[[Cloud], List[Row]]] = {"start-up": start_up, "job": job, "many": many}


def main(argv: Sequence[str]) -> int:
    """Measure the chosen parts, print the table or JSON, write the results."""
    parser = argparse.ArgumentParser(description="Measure hvdsm launch --backend sagemaker against the SageMaker SDK 2.")
    parser.add_argument("--only", choices=sorted(PARTS), action="append", metavar="PART", help=f"one of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=6, metavar="N", help="jobs of each (%(default)s)")
    parser.add_argument(
        "--sdk",
        default=os.environ.get(PLACE, ""),
        metavar="DIR",
        help=f"a virtual environment with {REQUIREMENT}; else {PLACE}, else one is made and kept".replace("%", "%%"),
    )
    parser.add_argument("--without-sdk", action="store_true", help="measure hvdsm only")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args(argv)
    if options.rounds < 1:
        parser.error("at least one round")
    compile_package()
    begin, load_before = time.monotonic(), load()
    rows: List[Row] = []
    broken: List[str] = []
    sdk: Optional[str] = None
    if not options.without_sdk:
        try:
            sdk = sdk_environment(options.sdk)
        except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
            broken.append("SDK")
            print(f"the SDK could not be had: {error}\n  try: --sdk DIR or --without-sdk", file=sys.stderr)
    cloud = Cloud(options.rounds, sdk)
    try:
        for name, part in PARTS.items():
            if options.only and name not in options.only:
                continue
            say(f"{name}:")
            try:
                rows += part(cloud)
            except Exception as error:  # the other parts still say something
                broken.append(name)
                print(f"{name} could not be measured: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        cloud.close()
    facts: Dict[str, object] = {
        "benchmark": "cloud",
        "revision": revision(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sdk": sdk_version(sdk) if sdk else None,
        "cores": os.cpu_count(),
        "load": [load_before, load()],
        "rounds": options.rounds,
        "notes": NOTES.splitlines(),
        "broken": broken,
    }
    path = write(rows, facts)
    if options.json:
        print(json.dumps({**facts, "rows": [row.as_dict() for row in rows]}, indent=1))
    elif rows:
        print(f"{table(rows)}\n\n{NOTES}")
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
