"""Network interfaces that training jobs have in a stack's network, and leave behind for a while.

Source: the SageMaker developer guide, "Give SageMaker AI training jobs access to resources in your VPC".
"""

from __future__ import annotations

import uuid
from typing import List, Optional

from hvdsm.sandbox.stacks.endpoints import add_interface, release_interface
from hvdsm.sandbox.stacks.records import Stack
from hvdsm.sandbox.stacks.region import Leaving, Region
from hvdsm.sandbox.wire import Request, ServiceError

SUBNET, GROUP = "AWS::EC2::Subnet", "AWS::EC2::SecurityGroup"
_SAGEMAKER = "[DO NOT DELETE] ENI managed by SageMaker for Training Job ({job})"
_REQUESTER = "AROASANDBOX0000000000:SageMaker"


def leave(
    region: Region,
    stack: Stack,
    *,
    seconds: Optional[float],
    count: int,
    in_use: bool,
    subnet: Optional[str],
    group: Optional[str],
    job: str,
) -> List[str]:
    """Make such interfaces; their IDs.

    Args:
        region: where the stack is.
        stack: the stack.
        seconds: when they vanish; None is never.
        count: how many.
        in_use: whether a job still runs on them.
        subnet: logical ID of the subnet, the first by default.
        group: logical ID of the security group, the first by default.
        job: name of the job, which their description has.
    """
    places = _named(stack, SUBNET, subnet), _named(stack, GROUP, group)
    made = []
    for _ in range(count):
        text = _SAGEMAKER.format(job=job)
        identifier = add_interface(region.world, places[0][0], places[1][:1], text, requester=_REQUESTER, in_use=in_use)
        made.append(identifier)
        if seconds is not None:
            region.leaving.append(Leaving(region.clock() + seconds, identifier))
    return made


def _named(stack: Stack, kind: str, name: Optional[str]) -> List[str]:
    found = [made.physical for made in stack.resources.values() if made.kind == kind and name in (None, made.name)]
    if not found:
        raise KeyError(f"stack {stack.name} has no {kind}{f' {name}' if name else ''}")
    return found


def end_use(region: Region, interfaces: List[str], seconds: Optional[float]) -> None:
    """A job has ended: its interfaces are not used any more, and vanish after a while."""
    for identifier in interfaces:
        release_interface(region.world.backend, identifier)
        if seconds is not None:
            region.leaving.append(Leaving(region.clock() + seconds, identifier))


def check_interface(region: Region, request: Request) -> None:
    """Refuse to delete an interface that a service has.

    Raises:
        ServiceError: as EC2 says it.
    """
    from urllib.parse import parse_qs

    identifier = parse_qs(request.body.decode("utf-8", "replace")).get("NetworkInterfaceId", [""])[0]
    interface = region.world.backend.enis.get(identifier)
    if interface is None:
        return
    if interface.status == "in-use":
        raise ServiceError("InvalidParameterValue", f"Network interface '{identifier}' is currently in use.")
    if interface.requester_managed:
        text = "You do not have permission to access the specified resource."
        raise ServiceError("AuthFailure", f"{text} ({uuid.uuid4()})", 403)
