"""Checks of the subnets that a job is given: that they can be used, are near each other, and have room.

Sources: SageMaker API Reference (VpcConfig), SageMaker Developer Guide (training jobs in a VPC: addresses for each instance,
tenancy), Amazon EC2 User Guide (EFA traffic stays in its zone).
"""

from __future__ import annotations

import math
import re
from itertools import combinations
from typing import FrozenSet, Iterator, List

from hvdsm.vpc.checking.facts import RESERVED, Network, Subnet, label
from hvdsm.vpc.checking.reach import block, blocks
from hvdsm.vpc.checking.wanted import Job, per_instance
from hvdsm.vpc.templates.groups import Finding

MOST_SUBNETS = 16
# The addresses of Docker's own bridge, by default; a container on it reaches no others of these.
DOCKER = "172.17.0.0/16"


# How SageMaker's instance types are called.
TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9-]+")


def chosen(network: Network, job: Job) -> List[Subnet]:
    """The job's subnets that are there."""
    return [found for name in job.subnets for found in [network.subnet(name)] if found is not None]


def subnets(network: Network, job: Job) -> Iterator[Finding]:
    """They are there, in one network, and of the kind that SageMaker takes."""
    if not job.subnets:
        yield Finding("subnets", "", "names no subnet", f"aws ec2 describe-subnets --region {network.region}, and --subnet ID")
    if len(job.subnets) > MOST_SUBNETS:
        yield Finding("subnets", "", f"names {len(job.subnets)} subnets, of which a job takes {MOST_SUBNETS}", "name one")
    for name in sorted({name for name in job.subnets if network.subnet(name) is None}):
        remedy = f"aws ec2 describe-subnets --region {network.region} lists those that are there"
        yield Finding("subnets", name, f"there is no such subnet in {network.region}", remedy)
    found = chosen(network, job)
    places = sorted({subnet.vpc_id for subnet in found})
    if len(places) > 1:
        yield Finding("one-vpc", "", f"the subnets are in several networks: {', '.join(places)}", "name subnets of one network")
    for subnet in found:
        if network.vpc is not None and network.vpc.id not in places:
            what = f"is in {subnet.vpc_id}, not in {network.vpc.id}"
            yield Finding("one-vpc", label(subnet), what, f"leave out --vpc-id, or use a subnet of {network.vpc.id}")
        yield from _kind(network, subnet)


_OTHER = "use a subnet with IPv4 addresses in an Availability Zone"


def _kind(network: Network, subnet: Subnet) -> Iterator[Finding]:
    where = label(subnet)
    if subnet.state != "available":
        remedy = f"aws ec2 wait subnet-available --region {network.region} --subnet-ids {subnet.id}"
        yield Finding("subnets", where, f"its state is {subnet.state}", remedy)
    if subnet.ipv6_only:
        yield Finding("subnet-kind", where, "has IPv6 addresses only", _OTHER)
    if subnet.outpost:
        yield Finding("subnet-kind", where, f"is on the Outpost {subnet.outpost}, where SageMaker has no instances", _OTHER)
    if subnet.public:
        yield Finding(
            "public-subnet",
            where,
            "gives public addresses to instances; a job's interfaces get none of them",
            f"aws ec2 modify-subnet-attribute --region {network.region} --subnet-id {subnet.id} --no-map-public-ip-on-launch",
            "note",
        )


def zone_kinds(network: Network, job: Job) -> Iterator[Finding]:
    """They are in Availability Zones, not in places of another kind."""
    for subnet in chosen(network, job):
        if subnet.zone_type not in ("", "availability-zone"):
            kind = subnet.zone_type.replace("-", " ")
            what = f"is in the {kind} {subnet.zone}, where SageMaker has no instances"
            yield Finding("subnet-kind", label(subnet), what, _OTHER)


def one_zone(network: Network, job: Job) -> Iterator[Finding]:
    """All hosts are in one zone."""
    found = chosen(network, job)
    zones = sorted({subnet.zone for subnet in found})
    if len(zones) < 2 or job.count < 2:
        return
    remedy = f"give the job one subnet, such as --subnet {found[0].id}; the others serve when its zone has no capacity"
    if job.efa(network):
        what = f"the subnets are in {', '.join(zones)}: EFA traffic cannot leave its zone"
        yield Finding("one-zone", "", what, remedy)
    else:
        what = f"the subnets are in {', '.join(zones)}: latency between zones is several times that within one"
        yield Finding("one-zone", "", what, remedy, "warning")


def types(network: Network, job: Job) -> Iterator[Finding]:
    """The instance types are names of SageMaker's."""
    del network
    for kind in job.types:
        if not TYPE.fullmatch(kind):
            near = f"ml.{kind}" if TYPE.fullmatch(f"ml.{kind}") else "ml.p4d.24xlarge"
            what = "is no instance type of SageMaker: their names begin with ml."
            yield Finding("instance-type", kind, what, f"write it as {near}")


def offers(network: Network, job: Job) -> Iterator[Finding]:
    """The zones have the instance types."""
    if not job.types:
        what = "no instance type is named: what EFA needs was not checked, nor whether the zones have the type"
        yield Finding("zone-offers", "", what, "--instance-type ml.TYPE", "note")
    for kind in job.types:
        zones = network.offered.get(kind)
        if zones is None:
            yield Finding("zone-offers", kind, "which zones offer it was not asked", "", "note")
            continue
        if not zones:
            yield Finding(
                "zone-offers",
                kind,
                f"EC2 offers no such type in any zone of {network.region}",
                "check the name, or use another --region or --instance-type",
            )
            continue
        for subnet in chosen(network, job):
            if subnet.zone not in zones and subnet.zone:
                yield Finding("zone-offers", label(subnet), f"{subnet.zone} does not offer {kind}", _elsewhere(network, zones))


def _elsewhere(network: Network, zones: FrozenSet[str]) -> str:
    place = network.vpc.id if network.vpc else None
    near = [subnet for subnet in network.subnets if subnet.zone in zones and subnet.vpc_id == place]
    names = ", ".join(sorted(zones))
    if near:
        use = f"use --subnet {near[0].id}, or with --vpc-stack --zone {near[0].zone}"
        return f"{use}; {names} offer it" if len(zones) > 1 else use
    vpc = place or "VPC"
    return (
        f"aws ec2 create-subnet --region {network.region} --vpc-id {vpc} --cidr-block CIDR --availability-zone {sorted(zones)[0]}"
    )


def addresses(network: Network, job: Job) -> Iterator[Finding]:
    """There are as many free addresses as the hosts take."""
    found = [subnet for subnet in chosen(network, job) if not subnet.ipv6_only]
    if not found:
        return
    need = job.addresses(network)
    free, size = sum(subnet.free for subnet in found), sum(subnet.size for subnet in found)
    where = ", ".join(label(subnet) for subnet in found)
    each = sorted({per_instance(network, kind) for kind, _ in job.instances})
    # Instances of several types may take different numbers.
    told = f"{job.count} instances take {need} addresses ({' or '.join(map(str, each))} each)"
    most = size // max(each)
    if need > size:
        length = 32 - math.ceil(math.log2(need + RESERVED))
        what = f"can never hold the job: {told}, and it has {size}"
        remedy = f"use a subnet of /{min(length, 28)} or larger, or at most {most} instances"
        yield Finding("addresses", where, what, remedy)
    elif need > free:
        what = f"cannot hold the job now: {told}, and {free} of its {size} are free"
        ids = ",".join(subnet.id for subnet in found)
        remedy = (
            f"wait for other jobs to end, or see who has them: aws ec2 describe-network-interfaces --region {network.region} "
            f"--filters Name=subnet-id,Values={ids}"
        )
        yield Finding("addresses", where, what, remedy)


def overlaps(network: Network, job: Job) -> Iterator[Finding]:
    """Addresses lie within the network, apart from each other, and from those that a host has itself."""
    found = [subnet for subnet in chosen(network, job) if subnet.block is not None]
    docker = block(DOCKER)
    for subnet in found:
        own = subnet.block
        if own is not None and docker is not None and own.overlaps(docker):
            yield Finding(
                "docker-addresses",
                label(subnet),
                f"{own} overlaps {DOCKER}, Docker's bridge: a container may not reach hosts that have these addresses",
                "use a subnet with other addresses",
                "warning",
            )
        whole = blocks(network.vpc.cidrs) if network.vpc and network.vpc.id == subnet.vpc_id else []
        if own is not None and whole and not any(own.version == one.version and own.subnet_of(one) for one in whole):  # type: ignore[arg-type]
            yield Finding("cidr", label(subnet), f"{own} is not within the network's {', '.join(map(str, whole))}", "use another")
    for one, other in combinations([subnet for subnet in network.subnets if subnet.block is not None], 2):
        ours = one.id in job.subnets or other.id in job.subnets
        if ours and one.vpc_id == other.vpc_id and one.block.overlaps(other.block):  # type: ignore[union-attr, arg-type]
            yield Finding("cidr", label(other), f"{other.cidr} overlaps {one.cidr} of {one.id}", "use subnets that lie apart")


def tenancy(network: Network, job: Job) -> Iterator[Finding]:
    """The network puts instances on shared hardware: SageMaker takes no other."""
    del job
    if network.vpc is not None and network.vpc.tenancy != "default":
        yield Finding(
            "tenancy",
            label(network.vpc),
            f"its tenancy is {network.vpc.tenancy}, and SageMaker trains in networks of default tenancy only",
            f"aws ec2 modify-vpc-tenancy --region {network.region} --vpc-id {network.vpc.id} --instance-tenancy default",
        )
