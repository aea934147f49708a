"""``hvdsm vpc``: the network that jobs in SageMaker run in; each command's module is imported when it is called."""

from __future__ import annotations

import click

from hvdsm.cli.lazy import group_of

# Name of the command, the module that has it, its name there, and its line in the list.
_COMMANDS = {
    "plan": ("hvdsm.cli.vpc_deploy", "plan", "Show what deploy would change, and what it would cost."),
    "deploy": ("hvdsm.cli.vpc_deploy", "deploy", "Create or update the stack; does nothing where nothing changes."),
    "status": ("hvdsm.cli.vpc_status", "status", "Show the stack and its resources, and why it failed if it did."),
    "outputs": ("hvdsm.cli.vpc_status", "outputs", "Print the stack's outputs, or a job's VpcConfig made of them."),
    "check": ("hvdsm.cli.vpc_check", "check", "Check a network for distributed training, whoever made it; or a template."),
    "delete": ("hvdsm.cli.vpc_delete", "delete", "Delete the stack, once no job is in it."),
}
# Other names of commands; their defaults are those of the command.
_ALIASES = {"create": "deploy"}


@click.group(cls=group_of("vpc", _COMMANDS, _ALIASES), context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Make, check and delete the network that jobs in SageMaker run in.

    \b
    Examples:
      hvdsm vpc plan
      hvdsm vpc deploy my-net --zones 2
      hvdsm vpc check --vpc-stack my-net --instance-type ml.p4d.24xlarge --instance-count 8
      hvdsm launch --backend sagemaker --vpc-stack my-net … train.py
    """  # noqa: D301
