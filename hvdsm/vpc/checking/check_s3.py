"""Checks of the way to S3, by which training data comes in and models go out: routes, rules, network ACLs, the endpoint's policy.

Sources: SageMaker Developer Guide (training jobs in a VPC), Amazon VPC User Guide (network ACLs are not applied within a subnet;
answers come in at ephemeral ports), AWS PrivateLink Guide (endpoint policies).
"""

from __future__ import annotations

from itertools import permutations
from typing import Iterator, List, Optional, Sequence, Tuple

from hvdsm.aws.session import partition
from hvdsm.vpc.checking.check_groups import attached, authorize, rules_of
from hvdsm.vpc.checking.check_subnets import chosen
from hvdsm.vpc.checking.facts import Acl, Block, Endpoint, Network, Subnet, label
from hvdsm.vpc.checking.permits import MAYBE, NO, Asked, verdict
from hvdsm.vpc.checking.reach import EVERYWHERE, TCP, Piece, blocks, not_allowed, ports_text, refused
from hvdsm.vpc.checking.s3_path import GATEWAY, INTERFACE, NAT, NONE, OTHER, service_of, way_of
from hvdsm.vpc.checking.wanted import Job
from hvdsm.vpc.templates.groups import Finding

HTTPS = (443, 443)
# Ports of Linux at which answers come in.
EPHEMERAL = (32768, 60999)
_ACTIONS = (("s3:GetObject", True), ("s3:PutObject", True), ("s3:ListBucket", False))


def s3_list(network: Network) -> Optional[str]:
    """Id of the prefix list with S3's addresses."""
    return next((name for name, title in network.prefix_lists.items() if title == service_of(network.region)), None)


def s3_blocks(network: Network) -> List[Block]:
    """S3's addresses, or everywhere where they are not known."""
    known = blocks(network.prefix_cidrs.get(s3_list(network) or "", ()))
    return [found for found in known if found.version == 4] or [EVERYWHERE]


def reached(network: Network, job: Job) -> Iterator[Finding]:
    """Each subnet has a way to S3."""
    for subnet in chosen(network, job):
        # The tables of another network were not read; that it is another one is said already.
        if network.vpc is not None and subnet.vpc_id != network.vpc.id:
            continue
        way = way_of(network, subnet)
        if way.kind == NONE:
            what = way.what if way.what.startswith("has ") else f"S3 {way.what}"
            yield Finding("s3-way", label(subnet), f"{what}; no job starts without it", way.remedy)
        elif way.kind in (NAT, OTHER):
            yield Finding("s3-way", label(subnet), f"traffic to S3 {way.what}", way.remedy, "warning")
        elif way.kind == INTERFACE:
            yield Finding("s3-way", label(subnet), f"traffic to S3 {way.what}", _gateway(network, subnet), "note")


def _gateway(network: Network, subnet: Subnet) -> str:
    table = network.table_of(subnet.id)
    return (
        f"aws ec2 create-vpc-endpoint --region {network.region} --vpc-endpoint-type Gateway --vpc-id {subnet.vpc_id} "
        f"--service-name {service_of(network.region)} --route-table-ids {table.id if table else 'ID'}"
    )


def https(network: Network, job: Job) -> Iterator[Finding]:
    """The groups let HTTPS out to S3."""
    found = attached(network, job)
    places = chosen(network, job)
    if not found or not places:
        return
    name = s3_list(network)
    # Through an interface endpoint S3 has addresses of the network's own; that is looked at with the endpoints.
    if all(way_of(network, subnet).kind == INTERFACE for subnet in places):
        return
    pieces: List[Piece] = [(block, *HTTPS) for block in s3_blocks(network)]
    left = not_allowed(rules_of(network, job), True, TCP, pieces, lists=network.prefix_cidrs, whole_lists=[name] if name else [])
    if left:
        some = "" if sum(_size(piece) for piece in left) == sum(_size(piece) for piece in pieces) else " to some of its addresses"
        peer = f"PrefixListIds=[{{PrefixListId={name}}}]" if name else "IpRanges=[{CidrIp=0.0.0.0/0}]"
        yield Finding(
            "s3-egress",
            ", ".join(label(group) for group in found),
            f"does not let TCP 443 out to S3{some}",
            authorize(network, found[0].id, True, f"IpProtocol=tcp,FromPort=443,ToPort=443,{peer}"),
        )


def _size(piece: Piece) -> int:
    return int(piece[0].num_addresses)


def acls(network: Network, job: Job) -> Iterator[Finding]:
    """Network ACLs let through HTTPS to S3, its answers, and what hosts in several subnets say to each other."""
    found = chosen(network, job)
    for subnet in found:
        acl = network.acl_of(subnet.id)
        if acl is None:
            continue
        told: List[Finding] = []
        if not all(way_of(network, one).kind == INTERFACE for one in found):
            s3 = s3_blocks(network)
            told += _closed(network, acl, subnet, True, [(one, *HTTPS) for one in s3], "TCP 443 to S3")
            told += _closed(network, acl, subnet, False, [(one, *EPHEMERAL) for one in s3], "answers of S3 (TCP")
        yield from told
        own = subnet.block
        if len(found) == 1 and own is not None and job.count > 1 and not told:
            pieces: List[Piece] = [(own, 0, 65535)]
            if any(refused(acl.entries, outward, TCP, pieces) for outward in (False, True)):
                what = f"{label(acl)} refuses traffic with the subnet's own addresses; within the subnet that does not matter"
                yield Finding("acl", label(subnet), what, "mind it before a job gets a second subnet", "note")
    if job.count < 2:
        return
    for one, other in permutations(found, 2):
        acl, there = network.acl_of(one.id), other.block
        if acl is not None and there is not None:
            for outward, way in ((False, "from"), (True, "to")):
                yield from _closed(network, acl, one, outward, [(there, 0, 65535)], f"TCP {way} hosts in {other.id}")


def _closed(network: Network, acl: Acl, subnet: Subnet, outward: bool, pieces: List[Piece], said: str) -> Iterator[Finding]:
    left = refused(acl.entries, outward, TCP, pieces)
    if not left:
        return
    ports = ports_text(left)
    if said.endswith("(TCP"):
        said = f"{said} {ports})"
    elif ports not in ("443", "0-65535"):
        said = f"{said} at ports {ports}"
    cidr = str(pieces[0][0]) if len(pieces) == 1 else "0.0.0.0/0"
    way = "--egress" if outward else "--ingress"
    number = _number(acl, outward)
    remedy = (
        f"aws ec2 create-network-acl-entry --region {network.region} --network-acl-id {acl.id} {way} --rule-number {number} "
        f"--protocol tcp --port-range From={pieces[0][1]},To={pieces[0][2]} --cidr-block {cidr} --rule-action allow"
    )
    yield Finding("acl", label(subnet), f"{label(acl)} refuses {said}", remedy)


def _number(acl: Acl, outward: bool) -> int:
    """A free number that goes before the first line that refuses something."""
    taken = {entry.number for entry in acl.entries if entry.outward is outward}
    first = min((entry.number for entry in acl.entries if entry.outward is outward and not entry.allow), default=100)
    return next((number for number in range(min(first, 100) - 1, 0, -1) if number not in taken), 1)


def routes(network: Network, job: Job) -> Iterator[Finding]:
    """No route of the subnets leads nowhere, or takes traffic between hosts elsewhere."""
    for subnet in chosen(network, job):
        table = network.table_of(subnet.id)
        for route in table.routes if table is not None else ():
            if route.state == "blackhole":
                where, what = (
                    f"{label(subnet)}, {label(table)}",
                    f"the route to {route.destination} leads to {route.target or 'nothing'}",
                )
                field = "prefix-list-id" if route.destination.startswith("pl-") else "cidr-block"
                remedy = f"aws ec2 delete-route --region {network.region} --route-table-id {table.id if table else ''}"
                remedy += f" --destination-{field} {route.destination}"
                yield Finding("blackhole", where, f"{what}, which is gone", remedy, "warning")
            elif route.target != "local" and _inside(route.destination, chosen(network, job), subnet):
                what = f"the route to {route.destination} takes traffic between the job's hosts through {route.target}"
                yield Finding("detour", f"{label(subnet)}, {label(table)}", what, "take the route away", "warning")


def _inside(destination: str, found: Sequence[Subnet], own: Subnet) -> bool:
    """Whether a route is for addresses of the job's hosts; the default route is not."""
    peers = [subnet.block for subnet in found if subnet.block is not None]
    return any(
        peer.version == there.version and peer.subnet_of(there) and there.prefixlen > 8  # type: ignore[arg-type]
        for there in blocks([destination])
        for peer in peers
    ) and bool(own.id)


def policy(network: Network, job: Job) -> Iterator[Finding]:
    """The policies of the endpoints let the job's buckets be read and written."""
    ways = [way_of(network, subnet) for subnet in chosen(network, job)]
    used = {way.endpoint.id: way.endpoint for way in ways if way.endpoint is not None and way.kind in (GATEWAY, INTERFACE)}
    for endpoint in used.values():
        for place in _written(network, job):
            # Where a job writes is its own account's, as a rule.
            found = _judged(network, endpoint, place, _ACTIONS, network.account)
            yield from _told(network, endpoint, place, found, ((NO, "error"), (MAYBE, "warning")))
        for place in job.inputs:
            if place.partition("/")[0] not in {one.partition("/")[0] for one in _written(network, job)}:
                found = _judged(network, endpoint, place, _ACTIONS[:1], "")
                yield from _told(network, endpoint, place, found, ((NO, "error"),))
        yield from _layers(network, endpoint)


def _written(network: Network, job: Job) -> List[str]:
    if job.buckets:
        return list(job.buckets)
    owner = network.account or (network.vpc.owner if network.vpc else "")
    return [f"sagemaker-{network.region}-{owner}"] if owner else []


def _told(
    network: Network, endpoint: Endpoint, place: str, found: Sequence[Tuple[str, str]], levels: Sequence[Tuple[str, str]]
) -> Iterator[Finding]:
    for answer, level in levels:
        actions = [action for action, said in found if said == answer]
        if actions:
            what = f"its policy {'does' if answer == NO else 'may'} not let {', '.join(actions)} through for s3://{place}"
            change = f"aws ec2 modify-vpc-endpoint --region {network.region} --vpc-endpoint-id {endpoint.id}"
            remedy = f"{change} --policy-document file://POLICY.json, with a policy that allows it; or --reset-policy"
            yield Finding("s3-policy", label(endpoint), what, remedy, level)


def _judged(
    network: Network, endpoint: Endpoint, place: str, actions: Sequence[Tuple[str, bool]], owner: str
) -> List[Tuple[str, str]]:
    bucket, _, prefix = place.partition("/")
    key = f"{bucket}/{prefix.strip('/') + '/' if prefix.strip('/') else ''}object"
    return [
        (action, verdict(endpoint.policy, _asked(network, endpoint, action, key if of_object else bucket, owner)))
        for action, of_object in actions
    ]


def _asked(network: Network, endpoint: Endpoint, action: str, resource: str, owner: str) -> Asked:
    place = network.vpc.id if network.vpc else ""
    arn = f"arn:{partition(network.region)}:s3:::{resource}"
    return Asked(action, arn, network.account, owner, place, endpoint.id, network.region)


def _layers(network: Network, endpoint: Endpoint) -> Iterator[Finding]:
    """Where images are pulled through the network, their layers come from a bucket of the service's."""
    if not any(one.service.endswith(".ecr.dkr") for one in network.endpoints):
        return
    bucket = f"prod-{network.region}-starport-layer-bucket"
    if verdict(endpoint.policy, _asked(network, endpoint, "s3:GetObject", f"{bucket}/layer", "")) == NO:
        what = f"its policy keeps the layers of images out: s3:GetObject for {bucket}"
        remedy = f"allow s3:GetObject for arn:{partition(network.region)}:s3:::{bucket}/* in it"
        yield Finding("s3-policy", label(endpoint), what, remedy, "warning")
