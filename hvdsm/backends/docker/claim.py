"""One job of a name at a time: two that start together would end each other's containers."""

from __future__ import annotations

import errno
import json
import socket
import sys
import zlib
from contextlib import contextmanager
from typing import Iterator, Mapping

from hvdsm.backends.docker.engine import Engine
from hvdsm.errors import ConfigError

# What tells an engine's programs which engine is meant.
_WHERE = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "CONTAINER_HOST", "CONTAINER_CONNECTION")


def project_key(engine: Engine, environ: Mapping[str, str], project: str) -> str:
    """What stands for a Compose project of an engine on this machine."""
    words = [engine.program, *(environ.get(name, "") for name in _WHERE)]
    return f"{zlib.crc32(json.dumps(words).encode()):08x}/{project}"


@contextmanager
def claimed(what: str, name: str) -> Iterator[None]:
    """Hold a claim, which ends with this process at the latest and leaves no file.

    Linux only: elsewhere nothing is claimed.

    Args:
        what: is claimed on this machine.
        name: is shown.

    Raises:
        ConfigError: another process holds it.
    """
    if sys.platform != "linux":
        yield
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
        try:
            # A name that begins with a zero byte is in no directory.
            claim.bind(f"\0hvdsm/{what}")
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                remedy = "choose another --job-name, or wait for that job"
                raise ConfigError("a job of that name is running", where=name, remedy=remedy) from None
        yield
