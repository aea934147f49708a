"""Whether the subnets of a rendered template have room for a job.

Sources: Amazon VPC User Guide (AWS keeps five addresses of a subnet), SageMaker Developer Guide (training jobs in a VPC:
addresses for each instance).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from hvdsm.vpc.templates.groups import Finding
from hvdsm.vpc.templates.naming import block_of
from hvdsm.vpc.templates.rendering import Rendered

# Addresses of each subnet that AWS keeps.
RESERVED = 5


@dataclass(frozen=True)
class Hosts:
    """The hosts of a job: how many there are, and how many addresses each takes."""

    count: int
    each: int


def room(rendered: Rendered, hosts: Hosts) -> Iterator[Finding]:
    """Each subnet holds the whole job, as a job is given one."""
    need = hosts.count * hosts.each
    for name, entry in rendered.of_type("AWS::EC2::Subnet").items():
        block = block_of(rendered, entry.get("CidrBlock"))
        if block is None or block.version != 4:
            continue
        size = max(block.num_addresses - RESERVED, 0)
        if need > size:
            told = f"{hosts.count} instances take {need} addresses ({hosts.each} each), and {block} has {size}"
            length = 32 - (need + RESERVED - 1).bit_length()
            remedy = f"give it a /{length} or larger, or the job at most {size // hosts.each} instances"
            if length < 16:
                remedy = f"no subnet is that large: give the job at most {size // hosts.each} instances"
            yield Finding("addresses", name, f"can never hold the job: {told}", remedy)
