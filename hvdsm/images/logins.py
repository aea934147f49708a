"""Logging an engine in to a registry of ECR: the password goes over standard input, and is shown nowhere."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from hvdsm.aws.registry import login
from hvdsm.aws.registry_names import Registry
from hvdsm.images.commands import login_command
from hvdsm.images.running import check, run


def log_in(aws: Any, engine: str, registry: Registry, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Log in, which is good for 12 hours.

    Args:
        aws: session.
        engine: what logs in.
        registry: where.
        environ: environment of the command.
        say: is told of it.

    Raises:
        EngineFailed: the engine, or the registry, refuses it.
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses a password.
    """
    found = login(aws, registry)
    command = login_command(engine, registry, found.user)
    say(f"logging in to {registry.host}")
    done = run(command, environ, password=found.password)
    check(done, command, f"log in to {registry.host}", "check the network; --no-login where it is logged in already")
