"""Checks of interface endpoints, by which scripts call AWS services, and of flow logs.

A job needs none of them but S3's (SageMaker pulls images and writes logs by its own network), so that most of this is a warning.
Sources: AWS PrivateLink Guide (interface endpoints), Amazon VPC User Guide (flow logs).
"""

from __future__ import annotations

import difflib
from typing import Iterator, List

from hvdsm.vpc.checking.check_groups import attached, authorize, rules_of
from hvdsm.vpc.checking.check_subnets import chosen
from hvdsm.vpc.checking.facts import Endpoint, Network, Subnet, label
from hvdsm.vpc.checking.reach import TCP, Piece, not_allowed
from hvdsm.vpc.checking.s3_path import INTERFACE, way_of
from hvdsm.vpc.checking.wanted import Job
from hvdsm.vpc.templates.endpoints import SERVICES
from hvdsm.vpc.templates.groups import Finding


def services(network: Network, job: Job) -> Iterator[Finding]:
    """Endpoints are for services that there are, of this region."""
    del job
    begin = f"com.amazonaws.{network.region}."
    for endpoint in network.endpoints:
        name = endpoint.service
        if name.startswith("com.amazonaws.vpce.") or not name:
            # A service of somebody's own.
            continue
        if network.services is not None and name not in network.services:
            near = difflib.get_close_matches(name, [begin + service for service in (*SERVICES, "s3", "dynamodb")], 1, 0.6)
            what = f"is for {name!r}, a service that {network.region} does not have"
            remedy = f"make one for {near[0]}" if near else "make one for a service of this region"
            delete = f"aws ec2 delete-vpc-endpoints --region {network.region} --vpc-endpoint-ids {endpoint.id}"
            yield Finding("endpoint-name", label(endpoint), what, f"{remedy}; {delete}", "warning")


def interfaces(network: Network, job: Job) -> Iterator[Finding]:
    """Interface endpoints can be called from the job's hosts by the services' own names."""
    if job.network_isolation:
        return
    places = chosen(network, job)
    for endpoint in network.endpoints:
        if endpoint.kind != "Interface":
            continue
        # Where S3 itself is behind the endpoint no job works without it.
        vital = any(way.kind == INTERFACE and way.endpoint == endpoint for way in (way_of(network, one) for one in places))
        level = "error" if vital else "warning"
        show = f"aws ec2 describe-vpc-endpoints --region {network.region} --vpc-endpoint-ids {endpoint.id}"
        change = f"aws ec2 modify-vpc-endpoint --region {network.region} --vpc-endpoint-id {endpoint.id}"
        if endpoint.state != "available":
            what = f"{_short(network, endpoint)}: its state is {endpoint.state}"
            yield Finding("endpoint-state", label(endpoint), what, show, level)
        if not endpoint.private_dns and not endpoint.service.startswith("com.amazonaws.vpce."):
            what = f"{_short(network, endpoint)}: has no private name, so that calls by the service's own name pass it by"
            yield Finding("endpoint-dns", label(endpoint), what, f"{change} --private-dns-enabled", "warning")
        yield from _zones(network, endpoint, places, change)
        yield from _doors(network, endpoint, places, job, level)


def _short(network: Network, endpoint: Endpoint) -> str:
    return endpoint.service.rpartition(f"{network.region}.")[2]


def _zones(network: Network, endpoint: Endpoint, places: List[Subnet], change: str) -> Iterator[Finding]:
    zones = {found.zone for name in endpoint.subnets for found in [network.subnet(name)] if found is not None}
    for subnet in places:
        if zones and subnet.zone not in zones:
            what = f"{_short(network, endpoint)}: has no address in {subnet.zone}; calls cross zones, which is slower and costs"
            yield Finding("endpoint-zones", label(endpoint), what, f"{change} --add-subnet-ids {subnet.id}", "warning")


def _doors(network: Network, endpoint: Endpoint, places: List[Subnet], job: Job, level: str) -> Iterator[Finding]:
    """HTTPS comes in at the endpoint, and goes out of the hosts."""
    doors = [group for name in sorted(endpoint.groups) for group in [network.group(name)] if group is not None]
    mine = attached(network, job)
    if not doors or not mine or not places:
        return
    hosts: List[Piece] = [(subnet.block, 443, 443) for subnet in places if subnet.block is not None]
    rules = [rule for group in doors for rule in group.rules]
    if not_allowed(rules, False, TCP, hosts, members=job.groups, lists=network.prefix_cidrs):
        permission = f"IpProtocol=tcp,FromPort=443,ToPort=443,UserIdGroupPairs=[{{GroupId={mine[0].id}}}]"
        what = f"{_short(network, endpoint)}: {label(doors[0])} does not let TCP 443 in from the job's hosts"
        yield Finding("endpoint-group", label(endpoint), what, authorize(network, doors[0].id, False, permission), level)
    there = [found for name in sorted(endpoint.subnets) for found in [network.subnet(name)] if found is not None]
    targets: List[Piece] = [(subnet.block, 443, 443) for subnet in there if subnet.block is not None]
    if not_allowed(rules_of(network, job), True, TCP, targets, members=endpoint.groups, lists=network.prefix_cidrs):
        permission = f"IpProtocol=tcp,FromPort=443,ToPort=443,UserIdGroupPairs=[{{GroupId={doors[0].id}}}]"
        what = f"{_short(network, endpoint)}: {label(mine[0])} does not let TCP 443 out to it"
        yield Finding("endpoint-group", label(endpoint), what, authorize(network, mine[0].id, True, permission), level)


def flow_logs(network: Network, job: Job) -> Iterator[Finding]:
    """Refused traffic is recorded, so that what is missing can be seen."""
    if network.vpc is None:
        return
    places = [network.vpc.id, *job.subnets]
    if network.vpc.id not in network.logged and not (job.subnets and set(job.subnets) <= network.logged):
        remedy = (
            f"aws ec2 create-flow-logs --region {network.region} --resource-type VPC --resource-ids {places[0]} "
            "--traffic-type REJECT --log-group-name NAME --deliver-logs-permission-arn ROLE"
        )
        yield Finding("flow-logs", label(network.vpc), "has no flow logs: refused traffic leaves no trace", remedy, "note")
