"""What a job of ``hvdsm bench network`` measured: found, written and shown."""

from __future__ import annotations

import datetime
import json
import os
import re
import shlex
import sys
import tempfile
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional

from hvdsm.api import DEFAULT_OUTPUT, SAGEMAKER
from hvdsm.backends.base import OUTPUT, Event
from hvdsm.backends.display import Display, failure_lines
from hvdsm.backends.local import LocalOptions
from hvdsm.backends.local.layout import hosts_of
from hvdsm.bench.assembling import Context, Parts, assemble
from hvdsm.bench.program.main import FILE
from hvdsm.bench.record import Bench, HostShape, Shaping, to_json
from hvdsm.cli.bench_show import show, write_results
from hvdsm.cli.jobs_common import print_json
from hvdsm.compose.cloud import CloudOptions
from hvdsm.errors import ConfigError, HvdsmError
from hvdsm.model import JobOutcome

# A line of rank 0 that says how it goes on.
_SAID = re.compile(rb"^\[0,[^\]]*\]\s?network: (.*)$")


@dataclass(frozen=True)
class Run:
    """What the user says: fields of the request, what the back end is told, and the other options."""

    cloud: CloudOptions
    told: Dict[str, Any]
    given: Dict[str, Any]
    html: Optional[str]
    as_json: bool


class Shown(Display):
    """Shows the job; what rank 0 says of the measuring is a line of hvdsm's own, and parts of the results are kept apart."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.parts = Parts()

    def show(self, event: Event) -> None:
        """Write one event."""
        if event.kind != OUTPUT:
            super().show(event)
            return
        for line in event.data.splitlines(keepends=True):
            said = _SAID.match(line.rstrip(b"\n"))
            if said:
                self.say(said[1].decode("utf-8", "replace"))
            elif not self.parts.take(line):
                super().show(replace(event, data=line))


def fetch(run: Run, name: str) -> int:
    """Bring, write and show what a job in SageMaker measured; the exit code.

    Raises:
        ConfigError: there is no such job, or it has measured nothing.
        CloudUnavailable: AWS cannot be reached.
    """
    display = Shown(sys.stderr if run.as_json else sys.stdout)
    run = replace(run, given={**run.given, "backend": SAGEMAKER})
    job = _found(run, name)
    state = str(job.description.get("TrainingJobStatus"))
    if state not in ("Completed", "Failed", "Stopped"):
        raise ConfigError(f"has not ended: {state}", where=f"job {name}", remedy=f"hvdsm jobs wait {name}")
    from hvdsm.backends.sagemaker.result import outcome_of

    return brought_from_cloud(run, outcome_of(job.description), display, job)


def _found(run: Run, name: str) -> Any:
    from hvdsm.jobs import Where, find_job

    return find_job(name, Where(run.given["output"], SAGEMAKER, run.given["region"], run.told["aws_profile"]))


def brought_from_cloud(run: Run, outcome: JobOutcome, display: Shown, job: Any = None) -> int:
    """The results from the job's output, else from its log; a job that is not given was attended, and its end is told already."""
    from hvdsm.jobs.results import OUTPUT as KIND
    from hvdsm.jobs.results import download_cloud

    told = job is None
    job = job or _found(run, outcome.job_name)
    written = None
    with tempfile.TemporaryDirectory(prefix="hvdsm-") as folder:
        try:
            brought = download_cloud(
                job, os.path.join(folder, "results"), logs=False, begin=_nothing, progress=_nothing, say=_nothing
            )
            written = next((found for found in map(read_written, _places(brought.get(KIND))) if found is not None), None)
        except HvdsmError as error:
            display.say(f"warning: the job's output cannot be had, its log is read instead: {error.what}")
    if written is None and display.parts.last is None:
        for batch in job.lines(hosts=None, since=None, follow=False, say=_nothing):
            for line in batch:
                display.parts.take(line.data)
    directory = os.path.join(os.path.abspath(os.path.expanduser(run.given["output"])), outcome.job_name)
    return finished(run, job.description, outcome, written or display.parts.last, directory, display, None, told=told)


def _places(folder: Optional[str]) -> List[str]:
    if folder is None:
        return []
    return [os.path.join(place, FILE) for place, _, names in os.walk(folder) if FILE in names]


def _nothing(*_: object) -> None:
    return None


def read_written(path: str) -> Optional[Dict[str, Any]]:
    """What the job wrote; None where there is nothing, or not all of the pairs."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("pairs") else None


def finished(
    run: Run,
    request: Mapping[str, Any],
    outcome: JobOutcome,
    written: Optional[Mapping[str, Any]],
    directory: str,
    display: Display,
    shaping: Optional[Shaping],
    *,
    told: bool = False,
) -> int:
    """Write and show the results of a job that has ended, if it has any; the exit code.

    Args:
        run: what the user says.
        request: the job's request, or description.
        outcome: how it ended.
        written: what it wrote; None where that is nothing.
        directory: where the results go.
        display: for all that is no result.
        shaping: how emulated hosts' network was slowed.
        told: whether it has been said how the job ended.

    Raises:
        ConfigError: the job completed and has measured nothing, or what it wrote cannot be read.
    """
    reason = next(iter(failure_lines(outcome.failure)), "") if outcome.failure is not None else outcome.status.lower()
    if written is None:
        if not told:
            display.summary(outcome, directory)
        display.say("not all pairs were measured: there are no results")
        if outcome.ok:
            raise ConfigError("has measured nothing", where=f"job {outcome.job_name}", remedy=f"see {directory}/logs")
        if run.as_json:
            print_json({"error": f"job {outcome.job_name}: there are no results: {reason}", "exit_code": outcome.exit_code})
        return outcome.exit_code
    ended = None
    if not outcome.ok:
        ended = f"the job ended while it was measured: {reason}"
        if not told:
            display.summary(outcome, directory)
    bench = assemble(written, context_of(run, request, outcome.job_name, shaping), directory, ended)
    paths = write_results(bench, directory, run.html)
    if run.as_json:
        print_json({**to_json(bench), "files": paths})
    else:
        show(bench, terminal=sys.stdout.isatty())
    display.say(f"results: {paths['json']}")
    display.say(f"page: {paths['html']}")
    return outcome.exit_code if outcome.status == "Stopped" else missing_engine(bench, run.given["engines"])


def missing_engine(bench: Bench, asked: Optional[str]) -> int:
    """1 where an engine that was asked for by name was not measured, else 0."""
    return int(asked is not None and any(one.engine in asked.split(",") for one in bench.not_measured))


def context_of(run: Run, request: Mapping[str, Any], name: str, shaping: Optional[Shaping]) -> Context:
    """What the job does not know of itself, from its request or description."""
    kinds = sorted({str(host.instance_type) for host in hosts_of(request)})
    subnets = (request.get("VpcConfig") or {}).get("Subnets")
    local = run.given["backend"] != SAGEMAKER
    return Context(
        made=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        job_name=name,
        backend=run.given["backend"],
        label=run.given["label"] or name,
        instance_type=", ".join(kinds),
        region=None if local else str(request.get("TrainingJobArn") or "::::").split(":")[3] or run.given["region"],
        placement={"subnets": list(subnets)} if subnets and not local else None,
        shaping=shaping,
    )


def shaping_of(options: LocalOptions) -> Optional[Shaping]:
    """How the hosts' network is slowed; None where it is not."""
    if not (options.delay_ms or options.mbit or options.slow_hosts):
        return None
    return Shaping(
        options.delay_ms, options.mbit, {host.name: HostShape(host.delay_ms, host.mbit) for host in options.slow_hosts}
    )


def fetching(name: str, run: Run) -> str:
    """The command that brings the results of a job that was left."""
    words = ["hvdsm", "bench", "network", "--backend", SAGEMAKER]
    words += ["--region", run.given["region"]] if run.given["region"] else []
    words += ["--job", name]
    words += ["--output", run.given["output"]] if run.given["output"] != DEFAULT_OUTPUT else []
    for flag, value in (("--label", run.given["label"]), ("--html", run.html)):
        words += [flag, value] if value else []
    return shlex.join(words)
