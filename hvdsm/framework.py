"""For framework containers: what a function named by ``SAGEMAKER_TRAINING_MODULE=module:function`` works with.

``train`` imports the module from the image's packages and calls the function on every host, in its own main process, with the
environment if the function needs one argument.  The function prepares what its framework needs and runs the user's script::

    from hvdsm import framework

    def main(env):
        if env.current_host == env.hosts[0]:
            framework.start_role("scheduler", ["python", "-m", "my_framework.scheduler"])
        framework.start_role("server", ["python", "-m", "my_framework.server"])
        framework.entry_point.run(env.module_dir, env.user_entry_point, env.to_cmd_args(), env.to_env_vars())

How ranks are started (mpirun, torch.distributed, one plain process on each host) follows from the job, as without such a
function.  One that never calls ``entry_point.run`` has trained by itself: this host succeeds when it returns and fails when it
raises.  On SIGTERM the job is stopped while ``entry_point.run`` runs; elsewhere an exception that is no ``Exception`` ends the
function.
"""

from __future__ import annotations

import os
from typing import Mapping, Optional, Sequence, Union, overload

from hvdsm.container.config import base_paths, read_config
from hvdsm.container.facts import host_facts
from hvdsm.container.framework import JobFailed, current, current_environment
from hvdsm.container.framework_environment import FrameworkEnvironment, framework_environment

__all__ = ["FrameworkEnvironment", "JobFailed", "entry_point", "start_role", "training_env"]

Words = Sequence[str]
Variables = Mapping[str, str]


def training_env() -> FrameworkEnvironment:
    """The training environment of this host.

    Outside of a framework function it is read anew from ``/opt/ml/input/config``.

    Raises:
        ConfigError: a file of the platform is missing or wrong.
    """
    known = current_environment()
    if known is not None:
        return known
    config = read_config(base_paths(os.environ), os.environ, require_program=False)
    return framework_environment(config, host_facts(os.environ))


def start_role(name: str, command: Words, variables: Optional[Variables] = None) -> None:
    """Ask for a process of this host beside the ranks, such as a scheduler or a parameter server.

    The next ``entry_point.run`` starts it before the ranks, in the code directory and with the environment that ranks have; it is
    ended after them, by SIGTERM first.  Its lines are in the log behind ``[name,host]``.  If it ends with anything but 0
    before the ranks have ended, the job fails.

    Args:
        name: a letter, then letters, digits, dots and dashes; each process of a host has a name of its own.
        command: the program and its arguments, a list.
        variables: set over the environment that ranks have.

    Raises:
        UsageError: the name or command is not one, or no framework function is being called.
    """
    current().start_role(name, command, variables)


class EntryPoint:
    """The user's script, run as the job's ranks."""

    @overload
    def run(
        self, uri: str, user_entry_point: str, args: Optional[Words] = None, env_vars: Optional[Variables] = None
    ) -> None: ...

    @overload
    def run(self, uri: str, user_entry_point: Words, args: Optional[Variables] = None) -> None: ...

    def run(
        self,
        uri: str,
        user_entry_point: Union[str, Words],
        args: Union[Words, Variables, None] = None,
        env_vars: Optional[Variables] = None,
    ) -> None:
        """Run the job on this host, together with the other hosts, and return when it has completed.

        The shorter form ``run(user_entry_point, args, env_vars)`` takes the source that the job names.

        Args:
            uri: where the source is, as ``env.module_dir`` says.
            user_entry_point: the script, relative to the source.
            args: its arguments; by default those made of the hyperparameters.
            env_vars: set over the environment that this host's ranks have.

        Raises:
            JobFailed: the job failed or was stopped; code after the call runs only on success.
            UsageError: no script is named, or no framework function is being called.
        """
        if isinstance(user_entry_point, str):
            words = None if args is None else list(args)
            current().run(uri, user_entry_point, words, env_vars)
        else:
            variables = args if isinstance(args, Mapping) else env_vars
            current().run(None, uri, user_entry_point, variables)


entry_point = EntryPoint()
