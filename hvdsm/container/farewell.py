"""Tells the job's other hosts that this one has failed before it could take part: none of them waits for it in vain."""

from __future__ import annotations

import signal
from typing import Dict

from hvdsm.compose.failure import describe
from hvdsm.container.config import ContainerConfig, Settings
from hvdsm.container.loop import Loop
from hvdsm.container.relay import Output
from hvdsm.container.rendezvous import Joiner, Listener
from hvdsm.container.wire import Connection, Message
from hvdsm.errors import ConfigError
from hvdsm.model import JobOutcome

# Hosts whose framework functions never join each other are not there to be told.
SECONDS = 30.0
MAX_MESSAGE = 16 << 10


def tell_others(
    output: Output, config: ContainerConfig, settings: Settings, outcome: JobOutcome, seconds: float = SECONDS
) -> None:
    """Say to the launcher, or as the launcher to all workers, that the job has failed here.

    Returns when they know, at the latest after ``seconds``, and at once on SIGTERM.
    """
    cluster = config.cluster
    loop = Loop()
    loop.on_signals({signal.SIGTERM: loop.stop, signal.SIGINT: loop.stop})
    loop.later(seconds, loop.stop)
    output.say(f"telling the other hosts of the failure (at most {seconds:.0f} s)")
    if cluster.is_launcher:
        workers = [host for host in cluster.hosts if host != cluster.current_host]
        try:
            listener = _as_launcher(loop, workers, settings, outcome)
        except ConfigError as error:
            output.say(f"warning: the other hosts cannot be told: {error}")
            return
        loop.run()
        listener.close()
    else:
        _as_worker(loop, config, settings, outcome, output, seconds)
        loop.run()


def _as_launcher(loop: Loop, workers: list[str], settings: Settings, outcome: JobOutcome) -> Listener:
    told: Dict[str, Connection] = {}
    gone = set()

    def joined(host: str, _announcement: Message, connection: Connection) -> None:
        told[host] = connection
        connection.on_close = lambda _reason: left(host)
        connection.send({"do": "end", "outcome": outcome.to_json()})

    def left(host: str) -> None:
        gone.add(host)
        if len(gone) == len(workers):
            loop.stop()

    return Listener(loop, workers, settings.rendezvous_port, settings.token, joined)


def _as_worker(
    loop: Loop, config: ContainerConfig, settings: Settings, outcome: JobOutcome, output: Output, seconds: float
) -> None:
    message = describe(outcome.failure) if outcome.failure else "failed"
    announcement = {"host": config.cluster.current_host, "error": message[:MAX_MESSAGE], "exit_code": outcome.exit_code}

    def joined(connection: Connection) -> None:
        connection.on_close = lambda _reason: loop.stop()
        connection.on_message = lambda told: loop.stop() if told.get("do") == "end" else None

    Joiner(
        loop,
        config.cluster.launcher,
        settings.rendezvous_port,
        settings.token,
        announcement,
        timeout=seconds,
        say=output.say,
        on_joined=joined,
        on_failed=lambda _why: loop.stop(),
    )
