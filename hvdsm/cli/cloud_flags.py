"""The options of ``hvdsm launch`` that are fields of the request which matter in the cloud, or are said to its back end."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple, TypeVar

import click

from hvdsm.compose.cloud import BUNDLE, INPUT_MODES, PROGRAMS, CloudOptions, parse_instance_group
from hvdsm.compose.request import split_assignment
from hvdsm.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])
Value = TypeVar("Value")

_OPTIONS = (
    click.option("--image", metavar="URI", help="Training image."),
    click.option("--role", metavar="ARN", help="Role that the job may use.  [default: $SAGEMAKER_ROLE]"),
    click.option("--aws-profile", metavar="NAME", help="Profile of the AWS configuration."),
    click.option(
        "--s3-prefix", metavar="URI", help="s3://BUCKET/PREFIX for uploads and results.  [default: the account's bucket]"
    ),
    click.option(
        "--container-program",
        type=click.Choice(PROGRAMS),
        default=BUNDLE,
        show_default=True,
        help="Ship hvdsm to the container, or start the image's own `train`.",
    ),
    click.option(
        "--instance-group", "instance_groups", multiple=True, metavar="NAME=TYPE:N", help="Hosts of a type.  Repeatable."
    ),
    click.option("--distribution-group", "distribution_groups", multiple=True, metavar="NAME", help="Group that runs ranks."),
    click.option("--spot/--no-spot", help="Managed spot capacity."),
    click.option("--max-wait", type=int, metavar="SECONDS", help="With --spot: limit of waiting and running together."),
    click.option("--keep-alive", type=int, metavar="SECONDS", help="Keep the instances warm after the job."),
    click.option("--subnet", "subnets", multiple=True, metavar="ID", help="Subnet of the VPC.  Repeatable."),
    click.option("--security-group", "security_groups", multiple=True, metavar="ID", help="Security group.  Repeatable."),
    click.option("--vpc-stack", metavar="NAME", help="CloudFormation stack whose outputs name both; one subnet is chosen."),
    click.option("--zone", metavar="NAME", help="Availability zone (name or id) whose subnet is taken.  [default: the first]"),
    click.option(
        "--vpc-check/--no-vpc-check",
        default=None,
        help="Check the VPC before anything is uploaded.  [default: with --vpc-stack]",
    ),
    click.option("--encrypt-traffic/--no-encrypt-traffic", help="Encrypt traffic between hosts."),
    click.option("--network-isolation/--no-network-isolation", help="Containers reach nothing outside."),
    click.option("--tag", "tags", multiple=True, metavar="K=V", help="Tag of the job.  Repeatable."),
    click.option("--metric", "metrics", multiple=True, metavar="NAME=REGEX", help="Metric found in the output.  Repeatable."),
    click.option(
        "--secret", "secrets", multiple=True, metavar="NAME=ARN", help="Variable that the container fetches.  Repeatable."
    ),
    click.option("--volume-size", type=int, metavar="GB", help="Volume of each instance.  [default: 30]"),
    click.option("--volume-kms-key", metavar="KEY", help="KMS key of the volumes."),
    click.option("--output-kms-key", metavar="KEY", help="KMS key of results and uploads."),
    click.option("--input-mode", type=click.Choice(INPUT_MODES), help="How channels are read.  [default: File]"),
    click.option("--shard", "sharded", multiple=True, metavar="CHANNEL", help="Divide a channel's objects among the hosts."),
    click.option("--retries", type=int, metavar="N", help="Tries after internal errors of the service."),
    click.option("--set", "settings", multiple=True, metavar="PATH=JSON", help="Any other field of the request.  Repeatable."),
    click.option("--prices", metavar="FILE", help="Prices by instance type.  [default: asked of AWS]"),
    click.option("--wait/--no-wait", default=True, show_default=True, help="Follow a job in SageMaker to its end."),
    click.option("--stop-on-interrupt", is_flag=True, help="Ctrl-C stops a job in SageMaker instead of leaving it."),
)
_PAIRS = {"tags": "--tag", "metrics": "--metric", "secrets": "--secret"}
_SERVICE = (
    "aws_profile", "s3_prefix", "container_program", "vpc_stack", "zone", "vpc_check", "prices", "wait", "stop_on_interrupt",
    "settings",
)  # fmt: skip
_FIELDS = tuple(CloudOptions.__dataclass_fields__)


# How the help of the command is divided; what is named nowhere stands in the first part.
SECTIONS = {
    "On this machine": (
        "output", "hosts", "s3_root", "mpirun", "delay_ms", "mbit", "slow_hosts", "interrupt_after", "stop_grace",
    ),
    "In containers": ("engine", "shm_size", "no_run"),
    "In SageMaker": (
        "image", "role", "aws_profile", "s3_prefix", "container_program", "instance_groups", "distribution_groups", "spot",
        "max_wait", "keep_alive", "subnets", "security_groups", "vpc_stack", "zone", "vpc_check", "encrypt_traffic",
        "network_isolation", "volume_size", "volume_kms_key", "output_kms_key", "input_mode", "sharded", "retries", "prices",
        "wait", "stop_on_interrupt",
    ),
    "What is shown": ("dry_run", "as_json", "help"),
}  # fmt: skip


class Sectioned(click.Command):
    """A command whose help has its options in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        titles = {name: title for title, names in SECTIONS.items() for name in names}
        found: Dict[str, List[Tuple[str, str]]] = {"Options": [], **{title: [] for title in SECTIONS}}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                found[titles.get(str(parameter.name), "Options")].append(record)
        for title, records in found.items():
            if not records:
                continue
            with formatter.section(title):
                formatter.write_dl(records)


def cloud_flags(command: Command) -> Command:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def taken_apart(given: Dict[str, Any]) -> Tuple[CloudOptions, Dict[str, Any], Dict[str, Any]]:
    """The request's fields, what the back end is told, and the other arguments of the command.

    Raises:
        UsageError: a value is written wrongly, or twice.
    """
    fields = {name: given[name] for name in _FIELDS}
    for name, option in _PAIRS.items():
        fields[name] = pairs(fields[name], option, str)
    fields["instance_groups"] = tuple(parse_instance_group(text) for text in fields["instance_groups"])
    rest = {name: value for name, value in given.items() if name not in _FIELDS and name not in _SERVICE}
    return CloudOptions(**fields), {name: given[name] for name in _SERVICE}, rest


def pairs(words: Tuple[str, ...], option: str, value_of: Callable[[str], Value]) -> Dict[str, Value]:
    """``NAME=VALUE`` words as a mapping.

    Raises:
        UsageError: one is written otherwise, or a name is given twice.
    """
    found: Dict[str, Value] = {}
    for word in words:
        name, value = split_assignment(word, option)
        if name in found:
            raise UsageError(f"{name} is given twice", where=option)
        found[name] = value_of(value)
    return found
