"""A job's plan: what runs beside its ranks, before them and after them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple

# The hyperparameter that names the plan's file in the source, or is the plan.
PLAN_KEY = "sagemaker_hvdsm_plan"
EACH, FIRST = "each", "first"
HOSTS = (EACH, FIRST)
TERMINATE, WAIT = "terminate", "wait"
ENDS = (TERMINATE, WAIT)
WARNING, FAILURE = "warning", "failure"
OVERDUE = (WARNING, FAILURE)


@dataclass(frozen=True)
class Ready:
    """When a process counts as ready: one of the three at most; none of them means as soon as it runs.

    Attributes:
        file: a file that is there, and was not or was another one when the process started; relative to the code directory.
        port: a TCP port that somebody on the host listens on; a number, after placeholders.
        line: a regular expression that a line of its output matches somewhere.
    """

    file: Optional[str] = None
    port: Optional[str] = None
    line: Optional[str] = None

    @property
    def anything(self) -> bool:
        """Whether there is something to wait for."""
        return not (self.file is None and self.port is None and self.line is None)


@dataclass(frozen=True)
class Step:
    """A command that each host of the job, or the first one, runs to its end; no host goes on before all have ended with 0.

    ``timeout`` is in seconds; None is no limit but the job's own.
    """

    name: str
    command: Tuple[str, ...]
    hosts: str = EACH
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: Optional[float] = None


@dataclass(frozen=True)
class Role:
    """Processes beside the ranks, on each host that runs ranks or on the first one.

    Attributes:
        name: in the log, in messages, and in ``after`` of other roles.
        command: program and arguments.
        hosts: ``each`` or ``first``.
        count: processes on such a host.
        environment: variables over those of the plan.
        after: roles that must be ready on all their hosts before this one starts; in the end this one ends before them.
        ready: when a process counts as ready.
        ready_timeout: seconds for that.
        end: ``terminate`` for one that runs until it is told to end, ``wait`` for one that ends by itself.
        end_timeout: seconds from SIGTERM to SIGKILL; with ``wait`` those before SIGTERM.
        overdue: whether a process that has not ended in that time is a ``warning`` or a ``failure`` of the job.
    """

    name: str
    command: Tuple[str, ...]
    hosts: str = EACH
    count: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    after: Tuple[str, ...] = ()
    ready: Ready = Ready()
    ready_timeout: float = 60.0
    end: str = TERMINATE
    end_timeout: float = 30.0
    overdue: str = WARNING

    def process(self, index: int) -> str:
        """What one of its processes on a host is called: the name, with a number where there are several."""
        return self.name if self.count == 1 else f"{self.name}-{index}"


@dataclass(frozen=True)
class Ranks:
    """What ranks run, and their variables.

    Attributes:
        module: run by ``python -m`` instead of the job's script.
        arguments: instead of those that hyperparameters make.
        environment: variables over those of the plan.
    """

    module: Optional[str] = None
    arguments: Optional[Tuple[str, ...]] = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class JobPlan:
    """The steps before, the roles, the ranks and the steps after; ``environment`` is for all of them."""

    prepare: Tuple[Step, ...] = ()
    roles: Tuple[Role, ...] = ()
    ranks: Ranks = Ranks()
    finish: Tuple[Step, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def steps(self) -> Tuple[Step, ...]:
        """All steps."""
        return (*self.prepare, *self.finish)

    def role(self, name: str) -> Role:
        """The role of a name."""
        return next(role for role in self.roles if role.name == name)

    def to_dict(self) -> Dict[str, Any]:
        """The plan as JSON has it, without what is as by default."""
        found: Dict[str, Any] = {
            "environment": dict(self.environment),
            "prepare": [_step(step) for step in self.prepare],
            "roles": [_role(role) for role in self.roles],
            "ranks": _kept(
                {
                    "module": self.ranks.module,
                    "arguments": None if self.ranks.arguments is None else list(self.ranks.arguments),
                    "environment": dict(self.ranks.environment) or None,
                }
            ),
            "finish": [_step(step) for step in self.finish],
        }
        return {key: value for key, value in found.items() if value}


def _step(step: Step) -> Dict[str, Any]:
    return _kept(
        {
            "name": step.name,
            "command": list(step.command),
            "hosts": step.hosts if step.hosts != EACH else None,
            "environment": dict(step.environment) or None,
            "timeout": step.timeout,
        }
    )


def _role(role: Role) -> Dict[str, Any]:
    usual = Role(role.name, role.command)
    ready = _kept({"file": role.ready.file, "port": role.ready.port, "line": role.ready.line})
    found: Dict[str, Any] = {"name": role.name, "command": list(role.command)}
    if role.after:
        found["after"] = list(role.after)
    if role.environment:
        found["environment"] = dict(role.environment)
    if ready:
        found["ready"] = ready
    for name in ("hosts", "count", "ready_timeout", "end", "end_timeout", "overdue"):
        if getattr(role, name) != getattr(usual, name):
            found[name] = getattr(role, name)
    return found


def _kept(values: Mapping[str, Any]) -> Dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
