"""``hvdsm launch``."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Dict, Mapping, Optional, Tuple

import click

from hvdsm.api import BACKENDS, DEFAULT_OUTPUT, DOCKER, LOCAL, SAGEMAKER, execute, with_settings
from hvdsm.backends.display import Display
from hvdsm.backends.docker import ENGINES
from hvdsm.backends.local import HOST_MODES, LocalOptions
from hvdsm.backends.making import change_request, make_request
from hvdsm.cli.cloud_flags import Sectioned, cloud_flags, pairs, taken_apart
from hvdsm.cli.defaults import given_by_flag, hyperparameters_of, settled
from hvdsm.cli.shaping_flags import refuse_shaping, shaping_flags
from hvdsm.compose.cloud import CloudOptions
from hvdsm.compose.compose_file import SHM_SIZE
from hvdsm.compose.limits import check_types
from hvdsm.compose.request import LOCAL_INSTANCE_TYPE
from hvdsm.errors import ConfigError, HvdsmError, UsageError
from hvdsm.model import DISTRIBUTIONS, MPI
from hvdsm.model.slow import slow_hosts

# What a request says itself, so that the option beside --request would contradict it.
_IN_REQUEST = (
    "instance_count", "processes_per_host", "custom_mpi_options", "source_dir", "distribution", "instance_type", "region",
)  # fmt: skip


@click.command(cls=Sectioned, context_settings={"allow_interspersed_args": False})
@click.option("--instance-count", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Number of hosts.")
@click.option(
    "--processes-per-host", type=click.IntRange(1), metavar="P", help="Ranks on each host.  [default: its GPUs, else 1]"
)
@click.option(
    "--custom-mpi-options",
    "--mpi-options",
    default="",
    metavar="STR",
    help="Options for mpirun, quoted as in a shell; they win over hvdsm's own.",
)
@click.option(
    "--hyperparameter",
    "--hp",
    "hyperparameters",
    multiple=True,
    metavar="K=V",
    help="Passed to the script as --K V; V is JSON where it parses.  Repeatable.",
)
@click.option(
    "--hyperparameters", "hyperparameters_file", metavar="FILE", help="The same from JSON or YAML; --hyperparameter wins."
)
@click.option("--channel", "channels", multiple=True, metavar="NAME=PATH", help="Input data: a path or s3://.  Repeatable.")
@click.option("--source-dir", metavar="DIR", help="Directory that SCRIPT is in.  [default: SCRIPT alone]")
@click.option("--env", "environment", multiple=True, metavar="K=V", help="Environment of the container.  Repeatable.")
@click.option("--job-name", metavar="NAME", help="Name of the job.  [default: SCRIPT's name and the time]")
@click.option("--max-run", type=int, metavar="SECONDS", help="Time limit; exit code 75 when it is exceeded.")
@click.option("--stop-grace", type=click.FloatRange(0), metavar="SECONDS", help="From SIGTERM to SIGKILL.  [default: 10]")
@click.option("--checkpoint", metavar="DIR", help="Keeps /opt/ml/checkpoints of all hosts, for this run and the next.")
@click.option(
    "--interrupt-after",
    type=float,
    metavar="SECONDS",
    help="Rehearse a spot interruption: SIGTERM after that time of running, then the job anew on other hosts.",
)
@click.option("--max-restarts", type=click.IntRange(0), metavar="N", help="Start the ranks again after a failure, N times.")
@click.option(
    "--hang-timeout", type=float, metavar="SECONDS", help="Fail when no rank says anything for so long, and show its stacks."
)
@click.option("--plan", metavar="FILE", help="Steps before and after the ranks, and processes beside them (JSON).")
@click.option("--output", default=DEFAULT_OUTPUT, show_default=True, metavar="DIR", help="Results go to DIR/JOB-NAME/.")
@click.option("--request", "request_file", metavar="FILE", help="CreateTrainingJob request (JSON) instead of SCRIPT.")
@click.option("--s3-root", metavar="DIR", help="Stands for S3: s3://BUCKET/KEY is DIR/BUCKET/KEY.")
@click.option("--distribution", type=click.Choice(DISTRIBUTIONS), default=MPI, show_default=True, help="How ranks are started.")
@click.option("--mpirun", metavar="PATH", help="mpirun to use.  [default: the first on PATH]")
@click.option(
    "--hosts",
    type=click.Choice(HOST_MODES),
    default="auto",
    show_default=True,
    help="Emulated hosts from namespaces, or this machine as the single host.",
)
@click.option("--backend", type=click.Choice(BACKENDS), default=LOCAL, show_default=True, help="Where the job runs.")
@click.option("--engine", type=click.Choice(ENGINES), default="auto", show_default=True, help="What runs the containers.")
@click.option("--shm-size", default=SHM_SIZE, show_default=True, metavar="SIZE", help="/dev/shm of each container.")
@click.option("--instance-type", default=LOCAL_INSTANCE_TYPE, show_default=True, metavar="TYPE", help="Type of the hosts.")
@click.option("--region", metavar="REGION", help="AWS region.")
@shaping_flags
@click.option("--no-run", is_flag=True, help="Write the Compose file and what it mounts, and start nothing.")
@cloud_flags
@click.option("--dry-run", is_flag=True, help="Show what would be run, and start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON; the job's output goes to stderr.")
@click.argument("script", required=False)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int:
    """Run a training script on hosts of this machine, as a SageMaker training job would run it, or as one in SageMaker.

    --backend docker has containers of --image for hosts, made by a Compose file and removed in the end.

    Options stand before SCRIPT; all words after it go to the script as they are, after the arguments made of
    hyperparameters.  Results: DIR/JOB-NAME/{model/, output/, logs/algo-N.log, request.json, outcome.json}.

    \b
    Examples:
      hvdsm launch --instance-count 2 --processes-per-host 2 train.py --epochs 3
      hvdsm launch --source-dir src --hp lr=0.1 --channel train=data/ --custom-mpi-options "-x NCCL_DEBUG=INFO" train.py
      hvdsm launch --request job.json --s3-root ./s3 --channel train=data/
      hvdsm launch --backend docker --image my-image:latest --instance-count 2 train.py
      hvdsm launch --backend sagemaker --instance-type ml.c5.xlarge --image URI --role ARN --instance-count 2 train.py
    """  # noqa: D301
    as_json = given.pop("as_json")
    if not given["dry_run"]:
        hand_over_in_container()
    try:
        given = settled(ctx, given)
        asked = _asked(ctx, given["request_file"], given["script"])
        return carry_out(ctx, as_json, asked=asked, **settled(ctx, given, asked))
    except HvdsmError as error:
        if as_json:
            click.echo(json.dumps({"error": str(error), "exit_code": error.exit_code}, indent=2))
        raise


def carry_out(
    ctx: click.Context, as_json: bool, *, dry_run: bool, backend: str, asked: Optional[Dict[str, Any]], **given: Any
) -> int:
    """Run what the options of launch say, or of ``asked`` a request; or show it.

    Args:
        ctx: of the command.
        as_json: whether standard output is for a machine.
        dry_run: whether nothing is started.
        backend: where it runs.
        asked: a request that stands instead of a script.
        given: the other options of launch; and for the local back end ``gateway`` and ``variables``.
    """
    local = LocalOptions(
        output=given["output"],
        hosts=given.pop("hosts"),
        s3_root=given.pop("s3_root"),
        mpirun=given.pop("mpirun"),
        delay_ms=given.pop("delay_ms"),
        mbit=given.pop("mbit"),
        slow_hosts=slow_hosts(given.pop("slow_hosts")),
        stop_grace=given.pop("stop_grace"),
        interrupt_after=given.pop("interrupt_after"),
        gateway=given.pop("gateway", None),
        variables=given.pop("variables", {}),
    )
    own = {name: given.pop(name) for name in ("engine", "shm_size", "no_run")}
    if own["no_run"] and backend != DOCKER:
        raise UsageError("is for containers", where="--no-run", remedy="add --backend docker; or --dry-run")
    given.pop("request_file")
    cloud, told, given = taken_apart(given)
    for name in ("instance_count", "instance_type"):
        if cloud.instance_groups and given_by_flag(ctx, name):
            raise UsageError("instance groups say it for each group", where=f"--{name.replace('_', '-')}", remedy="leave it out")
    request = _request(ctx, cloud=cloud, asked=asked, **given)
    display = Display(sys.stderr if as_json else sys.stdout)
    if backend == SAGEMAKER:
        refuse_shaping(ctx)
        told.update(region=given["region"], output=given["output"])
        return _in_the_cloud(request, told, display, as_json=as_json, dry_run=dry_run)
    request = with_settings(dict(request), told["settings"])
    if backend == DOCKER:
        from hvdsm.cli.launch_docker import run

        return run(ctx, request, {**told, **own}, local, display, as_json=as_json, dry_run=dry_run)
    if dry_run:
        from hvdsm.backends.local.dryrun import dry_run as described

        shown = described(request, local)
        click.echo(json.dumps(shown.as_json(), indent=2) if as_json else shown.as_text(), nl=as_json)
        return 0
    outcome = execute(request, local, display)
    if as_json:
        click.echo(outcome.to_json(), nl=False)
    return outcome.exit_code


def _in_the_cloud(request: Mapping[str, Any], told: Dict[str, Any], display: Display, *, as_json: bool, dry_run: bool) -> int:
    from hvdsm.backends.sagemaker import Detached, SageMakerBackend, SageMakerOptions, attend, submit

    options = SageMakerOptions(**told)
    if dry_run:
        from hvdsm.backends.sagemaker.dryrun import dry_run as described

        shown = described(request, options)
        click.echo(json.dumps(shown.as_json(), indent=2) if as_json else shown.as_text(), nl=as_json)
        return 0
    backend = SageMakerBackend(options)
    plan = backend.plan(request, say=display.say)
    try:
        job = submit(backend, plan, display)
    except Detached as detached:
        return detached.exit_code
    if not options.wait:
        choice = job.plan.choice if job.plan is not None else None
        if as_json:
            place = choice.place.as_json() if choice is not None else {}
            click.echo(json.dumps({"job_name": job.name, "arn": job.arn, "region": job.region, **place}, indent=2))
        display.say(f"to see it: hvdsm jobs wait {job.name}")
        if choice is not None and choice.further:
            display.say("without waiting for it no other zone is tried when there is no capacity")
        return 0
    try:
        outcome = attend(backend, job, display, stop_on_interrupt=options.stop_on_interrupt)
    except Detached as detached:
        return detached.exit_code
    if as_json:
        click.echo(outcome.to_json(), nl=False)
    return outcome.exit_code


def _request(
    ctx: click.Context,
    *,
    script: Optional[str],
    args: Tuple[str, ...],
    hyperparameters: Tuple[str, ...],
    channels: Tuple[str, ...],
    environment: Tuple[str, ...],
    hyperparameters_file: Optional[str],
    cloud: CloudOptions,
    asked: Optional[Dict[str, Any]],
    **options: Any,
) -> Mapping[str, Any]:
    values = hyperparameters_of(ctx, hyperparameters, hyperparameters_file)
    places = pairs(channels, "--channel", str)
    variables = pairs(environment, "--env", str)
    if asked is None:
        if script is None:
            raise UsageError("SCRIPT is missing (or --request FILE)", remedy="hvdsm launch --help")
        return make_request(script, args, hyperparameters=values, channels=places, env=variables, cloud=cloud, **options)
    return change_request(
        asked,
        job_name=options["job_name"],
        channels=places,
        environment=variables,
        hyperparameters=values,
        max_run=options["max_run"],
        checkpoint=options["checkpoint"],
        hang_timeout=options["hang_timeout"],
        max_restarts=options["max_restarts"],
        plan=options["plan"],
        cloud=cloud,
    )


def _asked(ctx: click.Context, request_file: Optional[str], script: Optional[str]) -> Optional[Dict[str, Any]]:
    """The request of --request; None without one."""
    if request_file is None:
        return None
    if script is not None:
        raise UsageError(f"--request stands instead of SCRIPT ({script})", remedy="leave one of them out")
    for name in _IN_REQUEST:
        if given_by_flag(ctx, name):
            raise UsageError(f"--{name.replace('_', '-')} is said by the request itself", remedy=f"change it in {request_file}")
    request = read_request(request_file)
    check_types(request)
    return request


def read_request(path: str) -> Dict[str, Any]:
    """A request from a JSON file, or from standard input for ``-``.

    Raises:
        ConfigError: it cannot be read, or is no JSON object.
    """
    try:
        with click.open_file(path, encoding="utf-8-sig") as file:
            request = json.load(file)
    except OSError as error:
        raise ConfigError(error.strerror or str(error), where=path, remedy="check the path") from None
    except RecursionError:
        raise ConfigError("is nested too deeply", where=path, remedy="give the arguments of CreateTrainingJob as JSON") from None
    except ValueError as error:
        raise ConfigError(f"is no JSON: {error}", where=path, remedy="give the arguments of CreateTrainingJob as JSON") from None
    if not isinstance(request, dict):
        raise ConfigError("must be a JSON object", where=path, remedy="give the arguments of CreateTrainingJob as JSON")
    return request


def hand_over_in_container() -> None:
    """Inside a training container become ``hvdsm-train``: what is to run is in its configuration there."""
    base = os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")
    config = os.path.join(base, "input", "config", "resourceconfig.json")
    if os.path.exists(config):
        print(f"hvdsm: inside a training container ({config}): handing over to hvdsm-train", file=sys.stderr, flush=True)
        os.execv(sys.executable, [sys.executable, "-m", "hvdsm.container"])  # noqa: S606
