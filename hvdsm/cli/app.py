"""The group of commands, which imports none of them to list them."""

from __future__ import annotations

from importlib import import_module
from typing import List, Optional

import click

from hvdsm.version import __version__

# Name of the command, the module that has it as ``command``, and its line in the list.
_COMMANDS = {
    "launch": ("hvdsm.cli.launch", "Run a training script as a training job: on hosts of this machine, or in SageMaker."),
    "jobs": ("hvdsm.cli.jobs", "List, follow, stop, download and replay jobs, of this machine and of SageMaker."),
    "data": ("hvdsm.cli.data", "Upload data to S3, and download it."),
    "config": ("hvdsm.cli.config", "Show defaults and profiles, and where each comes from."),
    "sandbox": ("hvdsm.cli.sandbox", "Run a SageMaker script or notebook, unmodified, against a SageMaker on this machine."),
    "graph": ("hvdsm.cli.graph", "Construct, partition, train and infer graphs with GraphStorm, here or in SageMaker."),
    "vpc": ("hvdsm.cli.vpc", "Make, check and delete the network that jobs in SageMaker run in."),
    "image": ("hvdsm.cli.image", "Build images for jobs, and push them to Amazon ECR."),
    "bench": ("hvdsm.cli.bench", "Measure the network between the hosts of a job, and show it."),
    "compose": ("hvdsm.cli.compose", "Write a Docker Compose file whose services look like SageMaker's hosts."),
    "doctor": ("hvdsm.cli.doctor", "Check what works on this machine, and say what helps where something does not."),
    "cluster": ("hvdsm.cli.cluster", "Start hosts and run a command, or a shell, on the first one."),
    "bundle": ("hvdsm.cli.bundle", "Make the container program as one file, for images that do not have hvdsm."),
}


class LazyGroup(click.Group):
    """Commands by name; a command's module is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> List[str]:
        """Their names."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        """The command of that name."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command = import_module(_COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        if cmd_name == "config":
            return command
        from hvdsm.cli.defaults import configurable

        return configurable(command, (cmd_name,), list(_COMMANDS))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in the help."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="hvdsm")
def app() -> None:
    """Run MPI and Horovod training on Amazon SageMaker, and rehearse the very same job on this machine.

    Exit codes: 0, the failing rank's own (128+N for signal N), 2 usage, 69 hosts or AWS cannot be had, 75 time limit, 78 a file,
    request or option is wrong, 130 interrupted.
    """
