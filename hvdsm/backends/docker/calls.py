"""Calls of an engine's programs as words, and their environment; pure."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional

from hvdsm.backends.docker.engine import Engine


def compose_command(engine: Engine, compose_file: str, project: str, *words: str) -> List[str]:
    """The words of a call of Compose."""
    return [*engine.compose, "--project-name", project, "--file", compose_file, *words]


def ownership(engine: Engine, image: str, directory: str, uid: int, gid: int) -> Optional[List[str]]:
    """The call that gives what containers have written to the caller; None where it is the caller's already.

    A daemon that runs as root leaves root's files.  Where a container's root is the caller, only what other users of an image
    have written is somebody else's.
    """
    if uid == 0:
        return None
    if engine.is_podman:
        return [engine.program, "unshare", "chown", "-R", "0:0", directory]
    place = "/opt/hvdsm/job"
    return [
        engine.program, "run", "--rm", "--network", "none", "--user", "0:0", "--entrypoint", "chown",
        "--mount", f"type=bind,{_field('source=' + directory)},target={place}", image,
        "-R", "0:0" if engine.rootless else f"{uid}:{gid}", place,
    ]  # fmt: skip


def _field(text: str) -> str:
    """A field of ``--mount``, whose value is a line of CSV."""
    return '"' + text.replace('"', '""') + '"'


def client_environment(environ: Mapping[str, str], values: Mapping[str, str]) -> Dict[str, str]:
    """The variables of the engine's programs: the caller's, and the values that the file only names."""
    # The health checks of an image are not for a job, and podman asks systemd for them, which is not everywhere.
    quiet = {"COMPOSE_IGNORE_ORPHANS": "true", "PODMAN_COMPOSE_WARNING_LOGS": "false", "DISABLE_HC_SYSTEMD": "true"}
    return {**environ, **quiet, **values}
