"""From what a user names to a report: which subnets and groups a job would have, and how they do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import List, Optional, Tuple

from hvdsm.aws.session import Aws
from hvdsm.vpc.checking.checks import Report, best_group, examine, examine_each
from hvdsm.vpc.checking.facts import Network, label
from hvdsm.vpc.checking.gathering import gather
from hvdsm.vpc.checking.wanted import Job


@dataclass(frozen=True)
class Survey:
    """A network, the report on it, and what was decided on the way, in words."""

    network: Network
    report: Report
    decided: Tuple[str, ...] = ()


def survey(aws: Aws, job: Job, *, stack: Optional[str] = None, vpc_id: Optional[str] = None) -> Survey:
    """Read a network and examine it for a job.

    Subnets of a stack are candidates, of which a job is given one; so are all subnets of a network where the job names none.
    Subnets that the job names are taken as they are.  Where it names no security group, the one that does best is taken.

    Args:
        aws: region and credentials.
        job: what is wanted; subnets and groups may be empty.
        stack: a stack whose outputs name both.
        vpc_id: the network; by default that of the subnets.

    Raises:
        ConfigError: there is no such stack or network, or nothing names one.
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses a request for another reason than a missing permission.
    """
    decided: List[str] = []
    candidates = stack is not None or not job.subnets
    if stack is not None:
        job = _of_stack(aws, job, stack)
    network = gather(aws, vpc_id=vpc_id, subnets=job.subnets, security_groups=job.groups, instance_types=job.types)
    if not job.subnets:
        # gather settles the network by the first group where no network is named.
        place = network.vpc.id if network.vpc is not None else vpc_id
        own = sorted((one for one in network.subnets if one.vpc_id == place), key=lambda one: (-one.free, one.zone, one.id))
        job = replace(job, subnets=tuple(subnet.id for subnet in own))
    if not job.groups:
        name = best_group(network, replace(job, subnets=job.subnets[:1]))
        job = replace(job, groups=(name,) if name else ())
        group = network.group(name) if name else None
        decided += (
            [f"security group {label(group)}: the one of {len(network.groups)} that does best"] if group is not None else []
        )
    report = examine_each(network, job) if candidates else examine(network, job)
    if candidates and len(job.subnets) > 1:
        taken = network.subnet(report.job.subnets[0])
        if taken is not None:
            decided.append(f"subnet {label(taken)} in {taken.zone}: one of {len(job.subnets)}, of which a job is given one")
    return Survey(network, report, tuple(decided))


def _of_stack(aws: Aws, job: Job, stack: str) -> Job:
    from hvdsm.aws.stacks import all_subnets, outputs, vpc_config

    found = outputs(aws, stack)
    config = vpc_config(found, stack, encrypted=job.encrypted)
    return replace(job, subnets=tuple(all_subnets(found, stack)), groups=tuple(config["SecurityGroupIds"]))
