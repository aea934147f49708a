"""Runs the job of ``hvdsm bench network``."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any, Dict, Tuple

import click

from hvdsm.api import SAGEMAKER, execute, with_settings
from hvdsm.backends.local import LocalOptions
from hvdsm.backends.local.options import NAMESPACES, SINGLE
from hvdsm.backends.making import make_request
from hvdsm.bench.program.main import FILE
from hvdsm.bench.request import make_settings
from hvdsm.bench.source import write_source
from hvdsm.cli.bench_results import Run, Shown, brought_from_cloud, fetching, finished, read_written, shaping_of
from hvdsm.cli.bench_show import check_place
from hvdsm.cli.cloud_flags import pairs
from hvdsm.cli.jobs_common import print_json
from hvdsm.errors import UsageError
from hvdsm.model.slow import SlowHost, slow_hosts


def measure(run: Run) -> int:
    """Run the job, write and show the results; the exit code.

    Raises:
        UsageError: there is one host only, or options contradict each other.
        ConfigError: the request is wrong, or the results are.
        BackendUnavailable: hosts or AWS cannot be had.
    """
    display = Shown(sys.stderr if run.as_json else sys.stdout)
    slow = slow_hosts(run.given["slow_hosts"])
    with tempfile.TemporaryDirectory(prefix="hvdsm-") as folder:
        request = request_of(run, write_source(folder))
        if run.html is not None and not run.given["dry_run"]:
            check_place(run.html)
        if run.given["backend"] == SAGEMAKER:
            return _in_the_cloud(run, request, display)
        return _here(run, request, slow, display)


def request_of(run: Run, script: str) -> Dict[str, Any]:
    """The request of the job.

    Raises:
        UsageError: one host has no network, or an option cannot be meant.
    """
    given = run.given
    local = given["backend"] != SAGEMAKER
    if local and given["hosts"] == SINGLE:
        raise UsageError(
            "one host has no network to measure: it needs two at least", where="--hosts single", remedy="--hosts namespaces"
        )
    count = sum(group[2] for group in run.cloud.instance_groups) or given["instance_count"]
    if count < 2:
        raise UsageError(
            "one host has no network to measure: it needs two at least", where="--instance-count", remedy="--instance-count 2"
        )
    settings = make_settings(
        quick=given["quick"],
        sizes=given["sizes"],
        max_size=given["max_size"],
        seconds=given["seconds"],
        engines=given["engines"],
        pairs=given["pairs"],
        together=given["together"],
        hosts=count,
        shared_cores=local,
    )
    return make_request(
        os.path.basename(script),
        settings.arguments(log=not local),
        source_dir=os.path.dirname(script),
        instance_count=given["instance_count"],
        processes_per_host=given["processes_per_host"],
        custom_mpi_options=given["custom_mpi_options"],
        channels={},
        env=pairs(given["environment"], "--env", str),
        job_name=given["job_name"],
        max_run=given["max_run"],
        output=given["output"],
        instance_type=given["instance_type"],
        region=given["region"],
        cloud=run.cloud,
    )


def _here(run: Run, request: Dict[str, Any], slow: Tuple[SlowHost, ...], display: Shown) -> int:
    given = run.given
    options = LocalOptions(
        output=given["output"],
        hosts=NAMESPACES,
        mpirun=given["mpirun"],
        delay_ms=given["delay_ms"],
        mbit=given["mbit"],
        slow_hosts=slow,
    )
    whole = with_settings(request, run.told["settings"])
    if given["dry_run"]:
        from hvdsm.backends.local.dryrun import dry_run

        return _described(dry_run(whole, options), run.as_json)
    outcome = execute(whole, options, display, summary=False)
    directory = os.path.join(os.path.abspath(os.path.expanduser(given["output"])), outcome.job_name)
    written = read_written(os.path.join(directory, "output", "data", FILE))
    return finished(run, whole, outcome, written, directory, display, shaping_of(options))


def _in_the_cloud(run: Run, request: Dict[str, Any], display: Shown) -> int:
    from hvdsm.backends.sagemaker import Detached, SageMakerBackend, SageMakerOptions, attend, submit

    options = SageMakerOptions(**run.told, region=run.given["region"], output=run.given["output"])
    if run.given["dry_run"]:
        from hvdsm.backends.sagemaker.dryrun import dry_run

        return _described(dry_run(request, options), run.as_json)
    backend = SageMakerBackend(options)
    plan = backend.plan(request)
    name = plan.job_name
    try:
        job = submit(backend, plan, display)
        name = job.name
        if not options.wait:
            display.say(f"when it has ended: {fetching(name, run)}")
            if run.as_json:
                print_json({"job_name": job.name, "arn": job.arn, "region": job.region})
            return 0
        outcome = attend(backend, job, display, stop_on_interrupt=options.stop_on_interrupt)
    except Detached as detached:
        display.say(f"when it has ended: {fetching(name, run)}")
        return detached.exit_code
    return brought_from_cloud(run, outcome, display)


def _described(shown: Any, as_json: bool) -> int:
    click.echo(json.dumps(shown.as_json(), indent=2) if as_json else shown.as_text(), nl=as_json)
    return 0
