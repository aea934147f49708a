"""Whether a job can run in a network, and how well: every check on the facts that were read.

Sources: SageMaker Developer Guide (training jobs in a VPC; encryption of traffic between instances), Amazon EC2 User Guide (EFA),
Amazon VPC User Guide (route tables, network ACLs, DNS, DHCP options), AWS PrivateLink Guide (endpoints).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from hvdsm.vpc.checking import check_dns, check_endpoints, check_groups, check_s3, check_subnets
from hvdsm.vpc.checking.facts import Network, SecurityGroup
from hvdsm.vpc.checking.wanted import Job
from hvdsm.vpc.templates.groups import Finding

LEVELS = ("error", "warning", "note")
# Without these nothing can be said of a job.
ESSENTIAL = ("DescribeSubnets", "DescribeSecurityGroups", "DescribeRouteTables", "DescribeVpcEndpoints")
NOT_CHECKED = "not-checked"


class Check(NamedTuple):
    """A check: what it looks at, the requests whose answers it needs, and what it finds."""

    title: str
    needs: Tuple[str, ...]
    findings: Callable[[Network, Job], Iterator[Finding]]


# Asked only where a rule or a route names a prefix list of the account's own.
_LISTS = "GetManagedPrefixListEntries"
_S3 = ("DescribeRouteTables", "DescribeVpcEndpoints", "DescribeSubnets")
# What is said in place of checks that are made all the same.
_INSTEAD = {
    "DescribeInstanceTypes": "EC2's word on whether a type has EFA; its name tells it instead",
    "DescribeNatGateways": "whether NAT gateways work",
}
CHECKS: Sequence[Check] = (
    Check("subnets", ("DescribeSubnets",), check_subnets.subnets),
    Check("kind of zone", ("DescribeSubnets", "DescribeAvailabilityZones"), check_subnets.zone_kinds),
    Check("one zone", ("DescribeSubnets",), check_subnets.one_zone),
    Check("instance type", (), check_subnets.types),
    Check("instance type in the zone", ("DescribeSubnets", "DescribeInstanceTypeOfferings"), check_subnets.offers),
    Check("free addresses", ("DescribeSubnets",), check_subnets.addresses),
    Check("addresses apart", ("DescribeSubnets", "DescribeVpcs"), check_subnets.overlaps),
    Check("tenancy", ("DescribeVpcs",), check_subnets.tenancy),
    Check("security groups", ("DescribeSecurityGroups",), check_groups.groups),
    Check("EFA", ("DescribeSecurityGroups",), check_groups.efa),
    Check("traffic between hosts", ("DescribeSecurityGroups", "DescribeSubnets", _LISTS), check_groups.between_hosts),
    Check("encrypted traffic", ("DescribeSecurityGroups", "DescribeSubnets", _LISTS), check_groups.encrypted),
    Check("open groups", ("DescribeSecurityGroups",), check_groups.open_to_all),
    Check("S3", _S3, check_s3.reached),
    Check("HTTPS to S3", ("DescribeSecurityGroups", *_S3, "DescribePrefixLists", _LISTS), check_s3.https),
    Check("network ACLs", ("DescribeNetworkAcls", *_S3, "DescribePrefixLists"), check_s3.acls),
    Check("routes", ("DescribeRouteTables", "DescribeSubnets"), check_s3.routes),
    Check("policy of the S3 endpoint", _S3, check_s3.policy),
    Check("DNS", ("DescribeVpcs", "DescribeVpcAttribute"), check_dns.names),
    Check("DHCP options", ("DescribeVpcs", "DescribeDhcpOptions"), check_dns.dhcp),
    Check("names of endpoints", ("DescribeVpcEndpoints", "DescribeVpcEndpointServices"), check_endpoints.services),
    Check("interface endpoints", (*_S3, "DescribeSecurityGroups", _LISTS), check_endpoints.interfaces),
    Check("flow logs", ("DescribeFlowLogs",), check_endpoints.flow_logs),
)


@dataclass(frozen=True)
class Report:
    """What an examination came to.

    Attributes:
        job: the job, with the subnets and groups that it would use.
        findings: the worst first.
        checked: titles of the checks that were made.
        unread: requests that were refused and without which nothing can be said of a job.
    """

    job: Job
    findings: Tuple[Finding, ...]
    checked: Tuple[str, ...]
    unread: Tuple[str, ...] = ()

    def of(self, level: str) -> List[Finding]:
        """The findings of a level."""
        return [finding for finding in self.findings if finding.level == level]

    @property
    def ok(self) -> bool:
        """Whether a job can run, as far as that was read."""
        return not self.of("error") and not self.unread


def check(
    network: Network,
    *,
    instance_type: Optional[str] = None,
    instance_count: int = 2,
    encrypted: bool = False,
    network_isolation: bool = False,
    subnets: Sequence[str] = (),
    security_groups: Sequence[str] = (),
    buckets: Sequence[str] = (),
) -> List[Finding]:
    """What is wrong with a network for a job of one instance type; see :func:`examine`.

    Args:
        network: from :func:`hvdsm.vpc.checking.gathering.gather`, which has to be told the instance type, too.
        instance_type: such as ``ml.p4d.24xlarge``.
        instance_count: hosts.
        encrypted: whether traffic between hosts is encrypted.
        network_isolation: whether the containers reach nothing outside.
        subnets: ids as the job would have them.
        security_groups: the same.
        buckets: buckets that the job uses; SageMaker's own one of the account by default.
    """
    job = Job(
        ((instance_type, instance_count),), encrypted, network_isolation, tuple(subnets), tuple(security_groups), tuple(buckets)
    )
    return list(examine(network, job).findings)


def examine(network: Network, job: Job) -> Report:
    """Make every check whose facts were read; of each other one say that it was not made."""
    findings: List[Finding] = []
    made: List[str] = []
    unmade: Dict[str, List[str]] = {}
    for entry in CHECKS:
        lacking = [operation for operation in entry.needs if not network.was_read(operation)]
        for operation in lacking:
            unmade.setdefault(operation, []).append(entry.title)
        if not lacking:
            made.append(entry.title)
            findings += entry.findings(network, job)
    findings += _not_checked(network, unmade)
    unread = tuple(operation for operation in ESSENTIAL if not network.was_read(operation))
    return Report(job, _ordered(findings), tuple(made), unread)


def _not_checked(network: Network, unmade: Dict[str, List[str]]) -> Iterator[Finding]:
    for entry in network.unread:
        titles = ", ".join(unmade.get(entry.operation, ())) or _INSTEAD.get(entry.operation, "what it tells")
        yield Finding(
            NOT_CHECKED,
            entry.operation,
            f"not checked: {titles}; AWS refuses {entry.operation} ({entry.reason})",
            f"allow {entry.permission} in the policy of these credentials",
            "warning",
        )


def examine_each(network: Network, job: Job) -> Report:
    """Examine a job that is given one of several subnets: the first of those that do best.

    What is wrong with the subnets that are not taken is a warning, as the job does without them.
    """
    if len(job.subnets) < 2:
        return examine(network, job)
    reports = [examine(network, replace(job, subnets=(name,))) for name in job.subnets]
    best = min(reports, key=lambda report: (len(report.of("error")), len(report.of("warning"))))
    if not best.ok:
        # What keeps the job from all of them is told once.
        seen = {finding.rule for finding in best.findings}
        more = [finding for report in reports for finding in report.of("error") if finding.rule not in seen]
        return replace(best, findings=_ordered([*best.findings, *more]))
    others = [finding for report in reports if report is not best for finding in report.findings if finding.level == "error"]
    spare = [replace(finding, level="warning", what=f"{finding.what} (the job does without it)") for finding in others]
    return replace(best, findings=_ordered([*best.findings, *spare]))


def _ordered(findings: Sequence[Finding]) -> Tuple[Finding, ...]:
    """Each finding once, the worst first."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: LEVELS.index(finding.level)))


def best_group(network: Network, job: Job) -> Optional[str]:
    """The security group of the job's network that does best for it; None where there is none."""
    place = next(
        (found.vpc_id for name in job.subnets for found in [network.subnet(name)] if found), network.vpc and network.vpc.id
    )
    candidates = [group for group in network.groups if group.vpc_id == place]

    def rank(group: SecurityGroup) -> Tuple[int, int, bool]:
        own = replace(job, groups=(group.id,))
        rules = (check_groups.efa, check_groups.between_hosts, check_groups.encrypted, check_groups.open_to_all, check_s3.https)
        found = [finding.level for rule in rules for finding in rule(network, own)]
        # The network's own group is everybody's: another one that does as well is more likely to be meant.
        return found.count("error"), found.count("warning"), group.name == "default"

    best = min(candidates, key=rank, default=None)
    return best.id if best is not None else None
