"""A worker of a job without a distribution: its script does not need the other hosts, and does not wait for them.

It starts at once.  When the launcher is joined, everything that has happened is told and the job is one again; a host whose
script ends before that ends for itself.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Sequence

from hvdsm.container.agent import Agent
from hvdsm.container.attempt import Attempt
from hvdsm.container.conductor import Ledger
from hvdsm.container.config import ContainerConfig, Settings
from hvdsm.container.loop import Loop
from hvdsm.container.starter import Starter
from hvdsm.model import JobOutcome

Message = Dict[str, Any]
# How long a host whose script has ended waits for others that have not been there yet, seconds.
LINGER = 5.0


class Alone:
    """Runs the script on this host until the launcher takes over; ``on_over`` gets the outcome if it never does.

    Args:
        loop: the loop.
        config: what the platform wrote.
        settings: hvdsm's own settings.
        agent: this host's agent, prepared.
        say: gets lines for the log.
        on_over: gets this host's own outcome.
    """

    def __init__(
        self,
        loop: Loop,
        config: ContainerConfig,
        settings: Settings,
        agent: Agent,
        say: Callable[..., None],
        on_over: Callable[[JobOutcome], None],
    ) -> None:
        self._loop = loop
        self._config = config
        self._agent = agent
        self._say = say
        self._on_over = on_over
        self._started = time.monotonic()
        self._host = config.cluster.current_host
        self._events: List[Message] = []
        self._taken_over = False
        self.given_up = False
        self._attempt = Attempt(
            loop,
            Ledger(config.job.name, [self._host], [self._host]),
            0,
            config.job.distribution,
            settings,
            Starter(loop, "mpirun", say),
            tell=agent.handle,
            tell_host=lambda _host, message: agent.handle(message),
            phase=lambda _name, _text: None,
            waiting=lambda: False,
            silence=lambda _host: 0.0,
            give_up=lambda _host, _reason: None,
            say=say,
            on_over=self._over,
        )

    def begin(self) -> None:
        """Start the script."""
        cluster = self._config.cluster
        self._agent.handle(own_setup(self._agent, cluster.launcher))
        self._attempt.start_plainly({self._host: cluster.hosts.index(self._host)}, len(cluster.hosts))

    def hear(self, message: Message) -> None:
        """Something happened on this host before the launcher was joined."""
        self._events.append(message)
        self._attempt.hear(self._host, message)

    def take_over(self) -> List[Message]:
        """The launcher is there: what it must hear of, in order."""
        self._taken_over = True
        return [event for event in self._events if event.get("say") not in ("ready", "activity")]

    def stop(self, grace: float) -> None:
        """SIGTERM came here."""
        self._attempt.stop(grace)

    def _over(self) -> None:
        # A failure too is waited with: it is the launcher's to end the other hosts for it, or to start all ranks again.
        at_once = self._attempt.ledger.stopping or self.given_up
        self._loop.later(0.0 if at_once else LINGER, self._leave)

    def _leave(self) -> None:
        if not self._taken_over:
            self._on_over(self._attempt.ledger.outcome(time.monotonic() - self._started))


def own_setup(agent: Agent, launcher: str) -> Message:
    """The setup of a host that needs nothing of the others."""
    return {
        "do": "setup",
        "session": agent.session,
        "keys": {},
        "master_address": launcher,
        "master_port": 0,
        "exported": [],
    }


def absent_text(hosts: Sequence[str]) -> str:
    """The warning about hosts that had not joined when the job ended."""
    return f"{', '.join(hosts)} had not joined when the script had ended on the others"
