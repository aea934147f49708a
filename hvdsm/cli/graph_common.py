"""What the commands of ``hvdsm graph`` have in common."""

from __future__ import annotations

import datetime
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar

import click

from hvdsm.api import BACKENDS, LOCAL, SAGEMAKER
from hvdsm.cli.cloud_flags import Sectioned
from hvdsm.cli.defaults import given_by_flag
from hvdsm.cli.launch import command as launch
from hvdsm.compose.compose_graph import LOG_LEVELS
from hvdsm.compose.request import LOCAL_INSTANCE_TYPE
from hvdsm.errors import UsageError
from hvdsm.recipes.graph.parameters import SAME, check_same

Command = TypeVar("Command", bound=Callable[..., Any])
# Arguments of launch that a graph job says otherwise, or has no use for.
_NOT_TAKEN = (
    "instance_count", "processes_per_host", "custom_mpi_options", "hyperparameters", "channels", "source_dir", "environment",
    "job_name", "hyperparameters_file", "request_file", "s3_root", "distribution", "backend", "instance_type", "region", "image",
    "role", "plan", "wait", "instance_groups", "distribution_groups", "sharded", "script", "args", "checkpoint",
    "interrupt_after",
)  # fmt: skip
# GraphStorm has an option of this name, too: what torch talks through.
_BACKEND = "--backend"
_OF_TORCH = ("gloo", "nccl", "mpi")
EXTRA = "hvdsm.cli.graph"


class Forwarding(Sectioned):
    """A command that takes options which it does not know, in their order, for GraphStorm."""

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        """Take GraphStorm's ``--backend gloo`` out of the words."""
        end = args.index("--") if "--" in args else len(args)
        kept: List[str] = []
        extra: List[str] = []
        at = 0
        while at < len(args):
            word, following = args[at], args[at + 1] if at + 1 < end else ""
            if at < end and word == _BACKEND and following in _OF_TORCH:
                extra += [word, following]
                at += 2
                continue
            if at < end and word in [f"{_BACKEND}={name}" for name in _OF_TORCH]:
                extra.append(word)
            else:
                kept.append(word)
            at += 1
        ctx.meta[EXTRA] = tuple(extra)
        return super().parse_args(ctx, kept)


SETTINGS: Mapping[str, Any] = {
    "ignore_unknown_options": True,
    "allow_extra_args": True,
    "help_option_names": ["--help"],
    "max_content_width": 110,
}
_COMMON = (
    click.option("--image-url", "--image-uri", "--image", "image", metavar="URI", help="Image with GraphStorm; in SageMaker."),
    click.option("--role", metavar="ARN", help="Role that the job may use.  [default: $SAGEMAKER_ROLE]"),
    click.option("--instance-type", metavar="TYPE", help="Type of the hosts; local means this machine."),
    click.option("--region", metavar="REGION", help="AWS region.  [default: that of the AWS configuration]"),
    click.option("--task-name", "--job-name", "task_name", metavar="NAME", help="Name of the job."),
    click.option("--async-execution", is_flag=True, help="Return when the job has been created in SageMaker."),
    click.option("--sm-estimator-parameters", "parameters", default="", metavar='"K=V K=V"', help="Fields by the SDK's names."),
    click.option("--backend", type=click.Choice(BACKENDS), default=LOCAL, show_default=True, help="Where the job runs."),
    click.option("--env", "environment", multiple=True, metavar="K=V", help="Environment of the container.  Repeatable."),
)
log_level = click.option(
    "--log-level", type=click.Choice(LOG_LEVELS), default="INFO", show_default=True, help="Of the job's program."
)


def common_flags(command: Command) -> Command:
    """Add the options that all have, and those of launch that a graph job has, too."""
    for parameter in reversed([p for p in launch.params if p.name not in _NOT_TAKEN and isinstance(p, click.Option)]):
        command = _with(command, parameter)
    for option in reversed(_COMMON):
        command = option(command)
    return command


def _with(command: Command, parameter: click.Parameter) -> Command:
    # As click's own decorators do it: the list is turned when the command is made.
    if not hasattr(command, "__click_params__"):
        command.__click_params__ = []  # type: ignore[attr-defined]
    command.__click_params__.append(parameter)  # type: ignore[attr-defined]
    return command


def launch_arguments(given: Mapping[str, Any]) -> Dict[str, Any]:
    """The arguments of ``launch`` for a request: those that were given, and the defaults of the others."""
    defaults = launch.make_context("launch", [], resilient_parsing=True).params
    found = {name: given.get(name, value) for name, value in defaults.items()}
    taken = {name: found[name] for name in defaults if name in _NOT_TAKEN}
    for name in taken:
        found[name] = defaults[name]
    return {**found, "image": given["image"], "role": given["role"], "region": given["region"]}


def forwarded_words(ctx: click.Context) -> Tuple[str, ...]:
    """The words for GraphStorm."""
    return (*ctx.meta.get(EXTRA, ()), *ctx.args)


def backend_of(ctx: click.Context, given: Mapping[str, Any]) -> str:
    """Where the job runs: ``--instance-type local`` means here, unless the command line says otherwise.

    Raises:
        UsageError: a job of this machine is not to be waited for; or SageMaker has no such type.
    """
    backend = str(given["backend"])
    if given["instance_type"] == LOCAL_INSTANCE_TYPE and backend == SAGEMAKER:
        if given_by_flag(ctx, "backend"):
            raise UsageError(
                "is this machine, and no type of SageMaker's",
                where="--instance-type local",
                remedy="leave out --backend sagemaker",
            )
        backend = LOCAL
    if given["async_execution"] and backend != SAGEMAKER:
        raise UsageError(
            "a job on this machine ends with the command", where="--async-execution", remedy="add --backend sagemaker"
        )
    return backend


def without_doubles(ctx: click.Context, given: Mapping[str, Any], values: Mapping[str, Any]) -> Dict[str, Any]:
    """The options of a launch, of which ``--sm-estimator-parameters`` say none.

    What the configuration says of them gives way.

    Raises:
        UsageError: an option of the command line says the same.
    """
    check_same(values, lambda name: given_by_flag(ctx, name) and bool(given.get(name)))
    changed = dict(given)
    for name in {argument for parameter in values for argument in SAME.get(parameter, ())}:
        if name in changed:
            changed[name] = type(changed[name])() if isinstance(changed[name], (bool, tuple)) else None
    return changed


def timestamp() -> str:
    """The end of a job's name that is made."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d-%H-%M-%S-%f")[:-3]


def type_of(given: Mapping[str, Any]) -> Optional[str]:
    """The type of the hosts; None where none was named, or this machine."""
    kind = given["instance_type"]
    return None if kind in (None, LOCAL_INSTANCE_TYPE) else str(kind)


def said(lines: Sequence[str]) -> None:
    """Show what a job is made of."""
    for line in lines:
        click.echo(f"hvdsm: {line}", err=True)
