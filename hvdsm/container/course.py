"""Carries a job's plan out from the launcher: on all hosts the steps before, the roles in order, and what follows the ranks.

No sockets and no processes: it tells hosts what to do, and hears what they say.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set

from hvdsm.container.config import ContainerConfig
from hvdsm.model import Cluster
from hvdsm.model.plan import EACH, JobPlan, Role, Step

Message = Mapping[str, Any]
Then = Callable[[], None]


class Course:
    """Where a job is in its plan.  Without a plan everything follows at once.

    Args:
        cluster: the job's hosts.
        tell: sends a message to one host.
        phase: notes a phase of the job and says it.
        warn: notes a warning of the job and says it.
        halted: whether the job is failing or being stopped, so that nothing new begins.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        tell: Callable[[str, Dict[str, Any]], None],
        phase: Callable[[str, str], None],
        warn: Callable[[str], None],
        halted: Callable[[], bool],
    ) -> None:
        self.plan: Optional[JobPlan] = None
        self._cluster = cluster
        self._tell = tell
        self._phase = phase
        self._warn = warn
        self._halted = halted
        # What is under way: the hosts that have not answered, by the name of a step or role.
        self._awaited: Dict[str, Set[str]] = {}
        self._done: Set[str] = set()
        self._next: Then = lambda: None
        self._stepping = False
        self._lost: Set[str] = set()
        self._announced: Mapping[str, Message] = {}

    @property
    def hosts(self) -> Set[str]:
        """The hosts that run a step now."""
        return {host for hosts in self._awaited.values() for host in hosts} if self._stepping else set()

    def set_up(
        self,
        plan: Optional[JobPlan],
        config: ContainerConfig,
        announced: Mapping[str, Message],
        slots: Sequence[int],
        address: Optional[str],
    ) -> Dict[str, Any]:
        """What all hosts are told of the job's plan before anything of it runs; nothing without a plan.

        Args:
            plan: the plan as the launcher has it.
            config: what the platform wrote.
            announced: what each host has announced.
            slots: ranks of each host that runs some.
            address: the launcher's own; None on a single host.

        Raises:
            ConfigError: a host has another plan, or too few ports are free.
        """
        self.plan, self._announced = plan, announced
        if plan is None:
            return {}
        from hvdsm.container.planning import setup_of

        return {"plan": setup_of(plan, config, announced, slots, address), **self.ports(0)}

    def ports(self, restart: int) -> Dict[str, Any]:
        """What all hosts are told before a run of the ranks.

        Raises:
            ConfigError: too few ports are free.
        """
        if self.plan is None:
            return {}
        from hvdsm.container.planning import ports_for

        return {"ports": ports_for(self.plan, self._announced, restart)}

    def begin(self, restart: int, then: Then) -> None:
        """All hosts are ready for a run of the ranks: steps (before the first run only) and roles; ``then`` comes after them."""
        plan = self.plan
        self._awaited.clear()
        self._done.clear()
        self._stepping = False
        if plan is None:
            then()
        elif plan.prepare and not restart:
            self._walk(list(plan.prepare), "prepared", lambda: self._start_roles(then))
        else:
            self._start_roles(then)

    def conclude(self, then: Then) -> None:
        """All ranks have ended well: the roles end, the last that came first, and the steps after follow; then ``then``."""
        plan = self.plan
        if plan is None:
            then()
            return
        finish = list(plan.finish)
        after = (lambda: self._walk(finish, "finished", then)) if finish else then
        self._end_roles(plan, after)

    def hear(self, host: str, message: Message) -> None:
        """A host has done its part of something, or failed in it."""
        name, said = str(message["name"]), message["say"]
        if message.get("warning"):
            self._warn(f"{host}: {message['warning']}")
        if said == "role-failed":
            # Of a role it is the name of one process; nothing begins any more in any case.
            self._awaited.get(name, set()).discard(host)
        else:
            self._answered(host, name)

    def lost(self, host: str) -> None:
        """A host is gone, and will not answer."""
        self._lost.add(host)
        self.failed(host)

    def failed(self, host: str) -> None:
        """A host could not do what it was asked to; nothing more begins, and it is not waited for."""
        for hosts in self._awaited.values():
            hosts.discard(host)

    def _answered(self, host: str, name: str) -> None:
        waiting = self._awaited.get(name)
        if waiting is None:
            return
        waiting.discard(host)
        if not waiting:
            del self._awaited[name]
            self._done.add(name)
            if not self._halted():
                self._next()

    def _ask(self, do: str, name: str, hosts: Sequence[str]) -> None:
        self._awaited[name] = set(hosts) - self._lost
        for host in hosts:
            self._tell(host, {"do": do, "name": name})

    # ------------------------------------------------------------------ steps

    def _walk(self, left: List[Step], phase: str, then: Then) -> None:
        """One step after the other, each on all its hosts."""
        self._stepping = True

        def following() -> None:
            if left:
                step = left.pop(0)
                self._ask("step", step.name, self._cluster.hosts if step.hosts == EACH else (self._cluster.launcher,))
                return
            self._stepping = False
            count = len(self._cluster.hosts)
            self._phase(phase, f"{phase} on {count} of {count} host{'s' if count != 1 else ''}")
            then()

        self._next = following
        following()

    # ------------------------------------------------------------------ roles

    def _start_roles(self, then: Then) -> None:
        assert self.plan is not None
        roles = self.plan.roles
        self._in_order("role", {role.name: set(role.after) for role in roles}, "roles ready", "ready beside the ranks", then)

    def _end_roles(self, plan: JobPlan, then: Then) -> None:
        followers = {role.name: {other.name for other in plan.roles if role.name in other.after} for role in plan.roles}
        self._in_order("end-role", followers, "roles ended", "ended after the ranks", then)

    def _in_order(self, do: str, after: Mapping[str, Set[str]], phase: str, words: str, then: Then) -> None:
        """Ask for each role when all that it comes after have answered."""
        assert self.plan is not None
        roles = self.plan.roles
        self._done.clear()
        asked: Set[str] = set()

        def following() -> None:
            for role in roles:
                if role.name not in asked and after[role.name] <= self._done:
                    asked.add(role.name)
                    self._ask(do, role.name, self._hosts(role))
            if self._done >= set(after) and self._next is following:
                self._next = _nothing
                self._phase(phase, f"{words}: {', '.join(after)}")
                then()

        if not roles:
            then()
            return
        self._next = following
        following()

    def _hosts(self, role: Role) -> Sequence[str]:
        """Roles are where ranks are; steps are on the other hosts of a heterogeneous cluster, too."""
        return self._cluster.distribution_hosts if role.hosts == EACH else (self._cluster.launcher,)


def _nothing() -> None:
    """Nothing more is to come."""
