"""This host's part of a job's plan: runs its steps and roles as the launcher asks, and says what became of them."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from hvdsm.compose.placeholders import Values, expand
from hvdsm.compose.plan import variables, words
from hvdsm.container.config import ContainerConfig
from hvdsm.container.loop import Loop, Timer
from hvdsm.container.planning import values_of
from hvdsm.container.readiness import Readiness
from hvdsm.container.roles import GRACE, Roles, Running, send
from hvdsm.errors import EXIT_TIMEOUT
from hvdsm.model import RoleProcess
from hvdsm.model.plan import FAILURE, TERMINATE, WAIT, JobPlan, Ready, Role, Step

Event = Dict[str, Any]


class _Party:
    """The processes of one role on this host."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.running: List[Running] = []
        self.readiness: List[Readiness] = []
        self.unready = role.count
        self.ending = False
        self.overdue = ""
        self.timer: Optional[Timer] = None

    @property
    def ended(self) -> bool:
        return all(process.ended for process in self.running)


class Stage:
    """Runs what the plan has for this host.

    ``emit`` gets ``{"say": "step-done" | "role-ready" | "role-ended" | "role-failed", "name", …}``.  A failure that counts also
    when the ranks have ended well is ``late``.
    """

    def __init__(
        self,
        loop: Loop,
        roles: Roles,
        config: ContainerConfig,
        plan: JobPlan,
        *,
        emit: Callable[[Event], None],
        say: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._roles = roles
        self._config = config
        self._plan = plan
        self._emit = emit
        self._say = say
        self._values = Values("", 0, ())
        self._environment: Mapping[str, str] = {}
        self._directory = config.paths.code
        self._parties: Dict[str, _Party] = {}
        self._steps: Dict[str, Running] = {}

    def set_up(
        self, told: Mapping[str, Any], ports: Mapping[str, int], restart: int, environment: Mapping[str, str]
    ) -> Dict[str, str]:
        """Begin a run of the ranks; returns their environment.

        Args:
            told: what the launcher says of the job's hosts.
            ports: the plan's ports in this run.
            restart: how often the ranks were started again.
            environment: that of this host's ranks, without what the plan says.

        Raises:
            ConfigError: a placeholder has no value here.
        """
        values = self._values = values_of(self._config, told, ports, sys.executable, restart)
        shared = {**environment, **variables(self._plan.environment, values)}
        # A Python that writes to a pipe keeps its lines back otherwise, also the one that says that it is ready.
        self._environment = {"PYTHONUNBUFFERED": "1", **shared}
        return {**shared, **variables(self._plan.ranks.environment, values)}

    def command(self, given: Sequence[str]) -> List[str]:
        """What ranks run: the arguments that the plan gives may have placeholders."""
        return list(given) if self._plan.ranks.arguments is None else list(words(given, self._values))

    def handle(self, message: Mapping[str, Any]) -> None:
        """Do one thing for the launcher.

        Raises:
            ConfigError: a program cannot be started.
        """
        do, name = message["do"], str(message["name"])
        if do == "step":
            self._run_step(next(step for step in self._plan.steps if step.name == name))
        elif do == "role":
            self._start(self._plan.role(name))
        elif do == "end-role":
            self._end(self._parties[name])

    def signal(self, number: int) -> None:
        """Send a signal to the steps that run; roles live until the ranks have ended."""
        for running in self._steps.values():
            send(running, number)

    def reset(self) -> None:
        """Forget the processes, which are about to be ended."""
        for party in self._parties.values():
            _cancel(party.timer)
            for readiness in party.readiness:
                readiness.cancel()
        self._parties.clear()
        self._steps.clear()

    # ------------------------------------------------------------------ steps

    def _run_step(self, step: Step) -> None:
        environment = {**self._environment, **variables(step.environment, self._values)}
        process = RoleProcess(step.name, words(step.command, self._values), {})
        running = self._steps[step.name] = self._roles.start(process, environment, self._directory)
        timer = self._loop.later(step.timeout, partial(self._step_overdue, step)) if step.timeout else None
        running.on_end = partial(self._step_ended, running, timer)

    def _step_ended(self, running: Running, timer: Optional[Timer]) -> None:
        _cancel(timer)
        if self._steps.pop(running.name, None) is None:
            return
        if running.process.returncode:
            self._emit({"say": "role-failed", **running.end, "noun": "step", "when": "", "late": True})
        else:
            self._emit({"say": "step-done", "name": running.name})

    def _step_overdue(self, step: Step) -> None:
        running = self._steps.pop(step.name, None)
        if running is not None:
            send(running, signal.SIGTERM)
            self._fail_late(running, f"the step {step.name} had not ended after {step.timeout:g} s")

    # ------------------------------------------------------------------ roles

    def _start(self, role: Role) -> None:
        party = self._parties[role.name] = _Party(role)
        if role.ready.anything:
            party.timer = self._loop.later(role.ready_timeout, partial(self._ready_overdue, party))
        for index in range(role.count):
            values = replace(self._values, index=index, count=role.count)
            command = words(role.command, values)
            environment = {**self._environment, **variables(role.environment, values)}
            readiness = Readiness(self._loop, _ready_of(role.ready, values), self._directory, partial(self._one_ready, party))
            running = self._roles.start(RoleProcess(role.process(index), command, {}), environment, self._directory)
            running.on_lines = readiness.hear
            running.on_end = partial(self._role_ended, party, running, readiness)
            party.running.append(running)
            party.readiness.append(readiness)
            self._say(f"process {running.name} started: {command[0]}")
        for readiness in party.readiness:
            readiness.begin()

    def _one_ready(self, party: _Party) -> None:
        party.unready -= 1
        if not party.unready:
            _cancel(party.timer)
            self._emit({"say": "role-ready", "name": party.role.name})

    def _ready_overdue(self, party: _Party) -> None:
        for running, readiness in zip(party.running, party.readiness):
            if not readiness.over:
                seconds = f"{party.role.ready_timeout:g} s"
                self._fail_late(running, f"the process {running.name} was not ready within {seconds}: {readiness.missing}")
                return

    def _role_ended(self, party: _Party, running: Running, readiness: Readiness) -> None:
        readiness.check()
        role, code = party.role, running.process.returncode
        event = {"say": "role-failed", **running.end, "late": role.end == WAIT}
        if not readiness.over:
            readiness.cancel()
            self._emit({**event, "when": f" before it was ready: {readiness.missing}"})
        elif not party.ending:
            if code or role.end == TERMINATE:
                remedy = "" if code else '; one that ends by itself has "end": "wait" in the plan'
                self._emit({**event, "when": f" before the ranks had ended{remedy}"})
        elif code and role.end == WAIT and not party.overdue:
            self._emit({**event, "when": " after the ranks had ended"})
        if party.ending and party.ended:
            self._tell_ended(party)

    # ------------------------------------------------------------------ the end of roles

    def _end(self, party: _Party) -> None:
        party.ending = True
        if party.ended:
            self._tell_ended(party)
            return
        if party.role.end == TERMINATE:
            _send_all(party, signal.SIGTERM)
        party.timer = self._loop.later(party.role.end_timeout, partial(self._end_overdue, party))

    def _end_overdue(self, party: _Party) -> None:
        role = party.role
        left = [running for running in party.running if not running.ended]
        names = ", ".join(running.name for running in left)
        since = "SIGTERM" if role.end == TERMINATE else "the end of the ranks"
        party.overdue = f"{names} had not ended {role.end_timeout:g} s after {since}"
        if role.overdue == FAILURE:
            self._fail_late(left[0], party.overdue)
        if role.end == TERMINATE:
            _send_all(party, signal.SIGKILL)
        else:
            _send_all(party, signal.SIGTERM)
            party.timer = self._loop.later(GRACE, partial(_send_all, party, signal.SIGKILL))

    def _tell_ended(self, party: _Party) -> None:
        _cancel(party.timer)
        told = {"warning": party.overdue} if party.overdue else {}
        self._emit({"say": "role-ended", "name": party.role.name, **told})

    def _fail_late(self, running: Running, message: str) -> None:
        """A time limit of the plan has passed."""
        event = {"say": "role-failed", "name": running.name, "exit_code": EXIT_TIMEOUT, "signal": None, "timeout": True}
        self._emit({**event, "output_tail": running.tail, "message": message, "late": True})


def _ready_of(ready: Ready, values: Values) -> Ready:
    """With its placeholders replaced; a line's expression has none."""
    file = None if ready.file is None else expand(ready.file, values)
    return Ready(file, None if ready.port is None else expand(ready.port, values), ready.line)


def _send_all(party: _Party, number: int) -> None:
    for running in party.running:
        send(running, number)


def _cancel(timer: Optional[Timer]) -> None:
    if timer is not None:
        timer.cancel()
