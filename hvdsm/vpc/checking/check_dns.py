"""Checks of names: S3's and those of endpoints have to be resolved.

Sources: Amazon VPC User Guide (DNS attributes, DHCP options), AWS PrivateLink Guide (private DNS needs both attributes).  A job
is refused where the DHCP options lack name servers or a domain name: SageMaker says "expected DHCP options to include keys
domain-name-servers and domain-name".
"""

from __future__ import annotations

from typing import Iterator

from hvdsm.vpc.checking.check_groups import attached, authorize, rules_of
from hvdsm.vpc.checking.facts import Network, label
from hvdsm.vpc.checking.reach import UDP, block, not_allowed
from hvdsm.vpc.checking.wanted import Job
from hvdsm.vpc.templates.groups import Finding

AMAZON = "AmazonProvidedDNS"


def names(network: Network, job: Job) -> Iterator[Finding]:
    """The network resolves names, and private names of endpoints where there are some."""
    vpc = network.vpc
    if vpc is None:
        return
    change = f"aws ec2 modify-vpc-attribute --region {network.region} --vpc-id {vpc.id}"
    if vpc.dns_support is False:
        what = "enableDnsSupport is off: no name is resolved, not even S3's"
        yield Finding("dns-support", label(vpc), what, f"{change} --enable-dns-support")
    if vpc.dns_hostnames is not False:
        return
    private = [endpoint for endpoint in network.endpoints if endpoint.kind == "Interface" and endpoint.private_dns]
    if private and not job.network_isolation:
        services = ", ".join(endpoint.service.rpartition(f"{network.region}.")[2] for endpoint in private)
        what = f"enableDnsHostnames is off: the private names of endpoints ({services}) do not lead to them, and calls hang"
        yield Finding("dns-hostnames", label(vpc), what, f"{change} --enable-dns-hostnames")
    else:
        what = "enableDnsHostnames is off: interface endpoints would have no private names"
        yield Finding("dns-hostnames", label(vpc), what, f"{change} --enable-dns-hostnames", "warning")


def dhcp(network: Network, job: Job) -> Iterator[Finding]:
    """The DHCP options name servers and a domain; servers of one's own have to know AWS's names."""
    vpc = network.vpc
    # `default` may stand for the account's default options, too: it tells nothing.
    if vpc is None or vpc.dhcp_id in ("", "default"):
        return
    where, change = f"{label(vpc)}, {vpc.dhcp_id}", f"aws ec2 associate-dhcp-options --region {network.region} --vpc-id {vpc.id}"
    if vpc.dns_servers is None or vpc.domain is None:
        what = f"its DHCP options are not told to this account{f'; {vpc.owner} owns the network' if vpc.owner else ''}"
        yield Finding("dhcp", where, what, "ask the owner whether they have domain-name-servers and domain-name", "note")
        return
    lacking = [name for name, value in (("domain-name-servers", vpc.dns_servers), ("domain-name", vpc.domain)) if not value]
    if lacking:
        what = f"its DHCP options lack {' and '.join(lacking)}: SageMaker refuses such a network"
        servers = f"Key=domain-name-servers,Values={','.join(vpc.dns_servers) or AMAZON}"
        usual = "ec2.internal" if network.region == "us-east-1" else f"{network.region}.compute.internal"
        domain = f"Key=domain-name,Values={vpc.domain or usual}"
        create = f"aws ec2 create-dhcp-options --region {network.region} --dhcp-configurations {servers} {domain}"
        yield Finding("dhcp", where, what, f"{create}, then {change} --dhcp-options-id ID")
    own = [server for server in vpc.dns_servers if server != AMAZON]
    if own and AMAZON not in vpc.dns_servers:
        what = f"names are resolved by {', '.join(own)}: they have to know S3's names and the private names of endpoints"
        remedy = f"let them forward amazonaws.com to AWS's resolver, or {change} --dhcp-options-id ID, with {AMAZON}"
        yield Finding("dns-servers", where, what, remedy, "warning")
        there = [(found, 53, 53) for found in map(block, own) if found is not None]
        groups = attached(network, job)
        if groups and not_allowed(rules_of(network, job), True, UDP, there, lists=network.prefix_cidrs):
            permission = f"IpProtocol=udp,FromPort=53,ToPort=53,IpRanges=[{','.join(f'{{CidrIp={one[0]}}}' for one in there)}]"
            what = f"does not let UDP 53 out to the name servers {', '.join(own)}"
            remedy = authorize(network, groups[0].id, True, permission)
            yield Finding("dns-servers", ", ".join(label(group) for group in groups), what, remedy, "warning")
