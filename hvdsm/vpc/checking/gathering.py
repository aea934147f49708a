"""Reads what there is in a network: requests that change nothing, several at a time, each to its last page.

What the credentials may not read is recorded in ``Network.unread``, so that a check can say that it was not made.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Sequence, Tuple

from hvdsm.aws.failures import code_of, is_denied, message_of, translated
from hvdsm.aws.session import Aws, identity
from hvdsm.errors import CloudRefused, CloudUnavailable, ConfigError
from hvdsm.vpc.checking import parsing
from hvdsm.vpc.checking.facts import Network, Subnet, Unread, Vpc

# Requests at a time: EC2 throttles an account that asks more.
_AT_ONCE = 6
# Answers of something that stands in for EC2, and does not have all of it.
_NOT_THERE = ("InvalidAction", "UnknownOperationException", "UnsupportedOperation", "NotImplemented", "OptInRequired")


def gather(
    aws: Aws,
    *,
    vpc_id: Optional[str] = None,
    subnets: Sequence[str] = (),
    security_groups: Sequence[str] = (),
    instance_types: Sequence[str] = (),
) -> Network:
    """Read a network.

    Args:
        aws: region and credentials.
        vpc_id: the network; by default that of the first subnet, else of the first security group.
        subnets: ids of subnets that are to be in the answer, whichever network they are in.
        security_groups: the same for security groups.
        instance_types: types like ``ml.p4d.24xlarge`` whose zones are asked for, and whether they have EFA.

    Raises:
        ConfigError: nothing says which network is meant, or there is no such network.
        CloudUnavailable: AWS cannot be used now.
        CloudRefused: AWS refuses a request for another reason than a missing permission.
    """
    asking = _Asking(aws)
    named = asking.subnets("subnet-id", subnets) if subnets else []
    groups = asking.groups("group-id", security_groups) if security_groups else []
    place = vpc_id or next((entry.vpc_id for entry in (*named, *groups)), None)
    missing = [] if "DescribeSubnets" in asking.failed else [name for name in subnets if all(entry.id != name for entry in named)]
    if "DescribeSecurityGroups" not in asking.failed:
        missing += [name for name in security_groups if all(entry.id != name for entry in groups)]
    if place is None:
        refused = asking.failed.get("DescribeSecurityGroups")
        if refused is not None and not subnets:
            raise CloudRefused(
                f"which network it is in is not known: AWS refuses DescribeSecurityGroups ({refused.reason})",
                where=f"security group {', '.join(security_groups)}",
                remedy=f"allow {refused.permission} in the policy of these credentials, or name --vpc-id or --subnet, too",
            )
        return _nowhere(aws, asking, missing, bool(subnets or security_groups))
    read = asking.together({**_requests(asking, place, subnets), **_types(asking, instance_types)})
    vpc: Optional[Vpc] = read["vpc"]
    if vpc is None and "DescribeVpcs" not in asking.failed:
        raise ConfigError(
            f"there is no VPC of this id in {aws.region}",
            where=f"VPC {place}",
            remedy="aws ec2 describe-vpcs, or name its --region",
        )
    endpoints = tuple(read["endpoints"])
    later = asking.together(
        {
            "dhcp": lambda: asking.dhcp(vpc),
            "services": lambda: asking.services(sorted({entry.service for entry in endpoints})),
            "managed": lambda: asking.prefix_cidrs(_customer_lists(read, groups)),
        }
    )
    zones: Dict[str, str] = read["zones"]
    names = {name: found[0] for name, found in read["prefixes"].items()}
    cidrs = {name: found[1] for name, found in read["prefixes"].items() if found[1]}
    return Network(
        region=aws.region,
        account=read["account"],
        vpc=later["dhcp"],
        subnets=tuple(replace(entry, zone_type=zones.get(entry.zone, "")) for entry in _joined(read["subnets"], named)),
        groups=tuple(_joined(read["groups"], groups)),
        tables=tuple(read["tables"]),
        acls=tuple(read["acls"]),
        endpoints=endpoints,
        nats=tuple(read["nats"]),
        prefix_lists=names,
        prefix_cidrs={**cidrs, **later["managed"]},
        services=later["services"],
        logged=frozenset(read["logged"]),
        offered={kind: read[f"zones of {kind}"] for kind in instance_types if read[f"zones of {kind}"] is not None},
        efa={kind: read[f"efa of {kind}"] for kind in instance_types if read[f"efa of {kind}"] is not None},
        unread=tuple(asking.failed.values()),
        missing=tuple(missing),
    )


def offered(aws: Aws, instance_type: str) -> FrozenSet[str]:
    """Names of the zones that offer an instance type; none where EC2 knows no such type in the region.

    Raises:
        CloudUnavailable: AWS cannot be used now.
        CloudRefused: these credentials may not read it (ec2:DescribeInstanceTypeOfferings).
    """
    with translated(f"read which zones offer {instance_type}", aws.region):
        return frozenset(parsing.zones_of(_pages(aws.client("ec2"), "describe_instance_type_offerings", _offers(instance_type))))


def _offers(instance_type: str) -> Dict[str, Any]:
    wanted = [{"Name": "instance-type", "Values": [bare(instance_type)]}]
    return {"LocationType": "availability-zone", "Filters": wanted}


def bare(instance_type: str) -> str:
    """EC2's name of a type of SageMaker.

    >>> bare("ml.p4d.24xlarge")
    'p4d.24xlarge'
    """
    return instance_type[3:] if instance_type.startswith("ml.") else instance_type


def _nowhere(aws: Aws, asking: _Asking, missing: List[str], named: bool) -> Network:
    """Nothing that was asked for is there, or may be read."""
    if not named:
        raise ConfigError(
            "nothing says which network is meant", remedy="name it by --vpc-stack, --vpc-id, or --subnet and --security-group"
        )
    return Network(aws.region, unread=tuple(asking.failed.values()), missing=tuple(missing))


def _joined(one: List[Any], other: List[Any]) -> List[Any]:
    seen = {entry.id for entry in one}
    return [*one, *(entry for entry in other if entry.id not in seen)]


def _requests(asking: _Asking, place: str, subnets: Sequence[str]) -> Dict[str, Callable[[], Any]]:
    logs_of = [place, *subnets]

    def of_vpc(method: str, parse: Callable[[List[Any]], Any]) -> Callable[[], Any]:
        return lambda: parse(asking.ask(method, Filters=[{"Name": "vpc-id", "Values": [place]}]))

    return {
        "account": asking.account,
        "vpc": lambda: asking.vpc(place),
        "subnets": lambda: asking.subnets("vpc-id", [place]),
        "groups": lambda: asking.groups("vpc-id", [place]),
        "tables": of_vpc("describe_route_tables", parsing.tables),
        "acls": of_vpc("describe_network_acls", parsing.acls),
        "endpoints": of_vpc("describe_vpc_endpoints", parsing.endpoints),
        "nats": lambda: parsing.nats(asking.ask("describe_nat_gateways", Filter=[{"Name": "vpc-id", "Values": [place]}])),
        "logged": lambda: parsing.logged(asking.ask("describe_flow_logs", Filter=[{"Name": "resource-id", "Values": logs_of}])),
        "zones": lambda: parsing.zone_types(asking.ask("describe_availability_zones", AllAvailabilityZones=True)),
        "prefixes": lambda: parsing.prefix_lists(asking.ask("describe_prefix_lists")),
    }


def _types(asking: _Asking, types: Sequence[str]) -> Dict[str, Callable[[], Any]]:
    made: Dict[str, Callable[[], Any]] = {}
    for kind in types:
        made[f"zones of {kind}"] = lambda kind=kind: asking.offers(kind)  # type: ignore[misc]
        made[f"efa of {kind}"] = lambda kind=kind: asking.efa(kind)  # type: ignore[misc]
    return made


def _customer_lists(read: Dict[str, Any], groups: List[Any]) -> List[str]:
    """Prefix lists of the account itself, which rules and routes name."""
    used = {rule.peer for group in (*read["groups"], *groups) for rule in group.rules}
    used |= {route.destination for table in read["tables"] for route in table.routes}
    return sorted(name for name in used if name.startswith("pl-") and not read["prefixes"].get(name, ("", ()))[1])


def _pages(client: Any, method: str, arguments: Dict[str, Any]) -> List[Any]:
    """The entries of all pages of an answer; EC2 has one list in each."""
    found: List[Any] = []
    token: Dict[str, str] = {}
    while True:
        page = getattr(client, method)(**arguments, **token)
        if method == "describe_vpc_endpoint_services":
            found += page.get("ServiceNames") or []
        else:
            found += next((value for value in page.values() if isinstance(value, list)), [])
        if not page.get("NextToken"):
            return found
        token = {"NextToken": str(page["NextToken"])}


class _Asking:
    """Makes the requests; those that fail for want of a permission are kept."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._client = aws.client("ec2")
        self.failed: Dict[str, Unread] = {}

    def together(self, requests: Dict[str, Callable[[], Any]]) -> Dict[str, Any]:
        """The answers of several requests, by the requests' names."""
        pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="vpc-facts")
        try:
            running = {name: pool.submit(call) for name, call in requests.items()}
            return {name: future.result() for name, future in running.items()}
        finally:
            # After a failure or an interrupt nobody wants the other answers.
            pool.shutdown(wait=False, cancel_futures=True)

    def ask(self, method: str, **arguments: Any) -> List[Any]:
        """The entries of an answer; none where they may not be read."""
        operation = "".join(word.capitalize() for word in method.split("_"))
        try:
            with translated(f"read the network ({operation})", self._aws.region):
                return _pages(self._client, method, arguments)
        except CloudRefused as error:
            code = code_of(error)
            if not (is_denied(error) or code in _NOT_THERE):
                raise
            # Python sets items of a dict at once, so that threads need no lock.
            self.failed[operation] = Unread(operation, f"ec2:{operation}", message_of(error.__cause__ or error) or code)
            return []

    def account(self) -> str:
        """The account of the credentials; empty where STS does not tell, as in a network without a way to it."""
        try:
            return identity(self._aws).account
        except (CloudRefused, CloudUnavailable):
            return ""

    def subnets(self, name: str, values: Sequence[str]) -> List[Subnet]:
        return parsing.subnets(self.ask("describe_subnets", Filters=[{"Name": name, "Values": list(values)}]))

    def groups(self, name: str, values: Sequence[str]) -> List[Any]:
        return parsing.groups(self.ask("describe_security_groups", Filters=[{"Name": name, "Values": list(values)}]))

    def vpc(self, place: str) -> Optional[Vpc]:
        found = self.ask("describe_vpcs", Filters=[{"Name": "vpc-id", "Values": [place]}])
        if not found:
            return None
        support = self.attribute(place, "enableDnsSupport")
        return replace(parsing.vpc(found[0]), dns_support=support, dns_hostnames=self.attribute(place, "enableDnsHostnames"))

    def attribute(self, place: str, name: str) -> Optional[bool]:
        key = name[0].upper() + name[1:]
        try:
            with translated(f"read {name}", place):
                return bool(self._client.describe_vpc_attribute(VpcId=place, Attribute=name)[key]["Value"])
        except CloudRefused as error:
            if not is_denied(error):
                raise
            operation = "DescribeVpcAttribute"
            self.failed[operation] = Unread(operation, f"ec2:{operation}", message_of(error.__cause__ or error))
            return None

    def dhcp(self, vpc: Optional[Vpc]) -> Optional[Vpc]:
        if vpc is None or not vpc.dhcp_id or vpc.dhcp_id == "default":
            return vpc
        found = self.ask("describe_dhcp_options", Filters=[{"Name": "dhcp-options-id", "Values": [vpc.dhcp_id]}])
        if not found:
            # Those of a shared network are told to its owner only.
            return vpc
        servers, domain = parsing.dhcp(found[0])
        return replace(vpc, dns_servers=servers, domain=domain)

    def services(self, wanted: List[str]) -> Optional[FrozenSet[str]]:
        """Those of some services that the region has; one that it has not makes EC2 refuse the whole request."""
        if not wanted:
            return frozenset()
        try:
            found = self.ask("describe_vpc_endpoint_services", ServiceNames=wanted)
        except CloudRefused as error:
            if code_of(error) != "InvalidServiceName":
                raise
            if len(wanted) == 1:
                return frozenset()
            return frozenset(name for one in wanted for name in self.services([one]) or ())
        return frozenset(found) if "DescribeVpcEndpointServices" not in self.failed else None

    def prefix_cidrs(self, names: List[str]) -> Dict[str, Tuple[str, ...]]:
        found = {}
        for name in names:
            try:
                entries = self.ask("get_managed_prefix_list_entries", PrefixListId=name)
            except CloudRefused:
                # The list is gone, or another account's that is no longer shared.
                continue
            found[name] = tuple(str(entry["Cidr"]) for entry in entries)
        return found

    def offers(self, kind: str) -> Optional[FrozenSet[str]]:
        found = parsing.zones_of(self.ask("describe_instance_type_offerings", **_offers(kind)))
        return frozenset(found) if "DescribeInstanceTypeOfferings" not in self.failed else None

    def efa(self, kind: str) -> Optional[bool]:
        found = self.ask("describe_instance_types", Filters=[{"Name": "instance-type", "Values": [bare(kind)]}])
        return bool((found[0].get("NetworkInfo") or {}).get("EfaSupported")) if found else None
