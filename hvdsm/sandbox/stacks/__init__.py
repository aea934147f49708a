"""CloudFormation of the sandbox: stacks that take their time, fail, are rolled back, and make real objects in EC2 and IAM.

Where things happen: ``query`` speaks the protocol; ``requesting``, ``changesets`` and ``asking`` are the operations; ``region``
has the stacks and the clock; ``operations`` is a stack's life, made of ``waves`` of steps that ``building`` and ``deleting``
give; ``kinds`` knows the types of resources; ``scripts`` says what goes wrong.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Dict, List, Mapping, Optional

from hvdsm.sandbox.logs import LogService
from hvdsm.sandbox.objects import Handle
from hvdsm.sandbox.stacks.scripts import Scripts, StackScript
from hvdsm.sandbox.wire import Answer, Request, ServiceError

__all__ = ["SERVICE", "StackScript", "Stacks"]

# The name by which requests of CloudFormation are signed.
SERVICE = "cloudformation"


class Stacks:
    """CloudFormation in all regions.

    Args:
        handle: answers requests of all other services.
        logs: CloudWatch Logs of a region.
        region: the region that is meant where none is named.
        account: 12 digits.

    Attributes:
        clock: gives seconds since the epoch; by it stacks go on.
    """

    def __init__(self, handle: Handle, logs: Callable[[str], LogService], region: str, account: str) -> None:
        self._handle = handle
        self._logs = logs
        self._region = region
        self._account = account
        self._lock = threading.Lock()
        self._regions: Dict[str, _Served] = {}
        self.scripts = Scripts()
        self.clock: Callable[[], float] = time.time

    def script(self, script: StackScript, stack: str = "*") -> None:
        """Say what will become of stacks of this name; ``*`` and ``?`` stand for other characters, the exact name goes first."""
        self.scripts.add(script, stack)

    def handle(self, request: Request) -> Answer:
        """Carry a request of CloudFormation out.

        Raises:
            ServiceError: the service refuses it.
        """
        return self._served(request.region).handle(request)

    def notice(self, request: Request) -> None:
        """Let everything happen that is due before another service is asked.

        Raises:
            ServiceError: EC2 would refuse the request, and moto does not.
        """
        with self._lock:
            served = self._regions.get(request.region or self._region)
        if served is None or request.service not in ("ec2", "iam", "logs"):
            return
        with served.region.lock:
            served.region.advance()
            if request.operation == "DeleteNetworkInterface":
                from hvdsm.sandbox.stacks.leaving import check_interface

                check_interface(served.region, request)

    def status(self, stack: str, region: Optional[str] = None) -> Optional[str]:
        """The status of a stack, None where there is none."""
        served = self._served(region)
        with served.region.lock:
            served.region.advance()
            found = served.region.find(stack)
            return None if found is None else found.status

    def leave_interfaces(
        self,
        stack: str,
        *,
        seconds: Optional[float] = None,
        count: int = 1,
        in_use: bool = False,
        subnet: Optional[str] = None,
        group: Optional[str] = None,
        job: str = "training",
        region: Optional[str] = None,
    ) -> List[str]:
        """Make network interfaces as training jobs have them in a stack's network; their IDs.

        Args:
            stack: its name.
            seconds: when they vanish; None is never.
            count: how many.
            in_use: whether a job still runs on them; else they are what it has left.
            subnet: logical ID of the subnet; the first one by default.
            group: logical ID of the security group; the first one by default.
            job: name of the job, which their description has.
            region: of the stack; that of the sandbox by default.

        Raises:
            KeyError: the stack has no such subnet or group.
        """
        from hvdsm.sandbox.stacks.leaving import leave

        served = self._served(region)
        with served.region.lock:
            served.region.advance()
            found = served.region.existing(stack)
            return leave(served.region, found, seconds=seconds, count=count, in_use=in_use, subnet=subnet, group=group, job=job)

    def end_use(self, interfaces: List[str], *, seconds: Optional[float] = None, region: Optional[str] = None) -> None:
        """A job has ended: its interfaces are not in use any more, and vanish after so many seconds."""
        from hvdsm.sandbox.stacks.leaving import end_use

        served = self._served(region)
        with served.region.lock:
            end_use(served.region, interfaces, seconds)

    def _served(self, name: Optional[str]) -> _Served:
        region = name or self._region
        with self._lock:
            if region not in self._regions:
                self._regions[region] = _Served(
                    self._handle, self._logs(region), region, self._account, self.scripts, lambda: self.clock()
                )
            return self._regions[region]


class _Served:
    """CloudFormation of one region; imported when it is first asked."""

    def __init__(
        self, handle: Handle, logs: LogService, name: str, account: str, scripts: Scripts, clock: Callable[[], float]
    ) -> None:
        from hvdsm.sandbox.stacks.asking import Asking
        from hvdsm.sandbox.stacks.changesets import ChangeSets
        from hvdsm.sandbox.stacks.region import Region
        from hvdsm.sandbox.stacks.requesting import Requesting
        from hvdsm.sandbox.stacks.world import World

        self.region = Region(World(handle, logs, name, account), scripts, clock)
        self._requesting = Requesting(self.region)
        self._parts: List[Any] = [self._requesting, ChangeSets(self.region, self._requesting), Asking(self.region)]

    def handle(self, request: Request) -> Answer:
        from hvdsm.sandbox.stacks.query import answer, asked

        body: Mapping[str, Any] = asked(request)
        method = _snake(request.operation)
        operation = next((getattr(part, method) for part in self._parts if hasattr(part, method)), None)
        if operation is None:
            raise ServiceError("InvalidAction", f"The sandbox has no {request.operation} of CloudFormation")
        with self.region.lock:
            self.region.advance()
            return answer(request.operation, operation(body))


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
