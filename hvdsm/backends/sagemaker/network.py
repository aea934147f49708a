"""The VPC of a request: read from a stack, checked before anything is uploaded, and brought down to one subnet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.backends.sagemaker.job import Say
from hvdsm.backends.sagemaker.plan import SageMakerOptions
from hvdsm.backends.sagemaker.zones import Choice, Place, choose, in_zone
from hvdsm.errors import CloudRefused, CloudUnavailable, ConfigError, UsageError
from hvdsm.vpc.checking.facts import Network
from hvdsm.vpc.checking.wanted import job_of
from hvdsm.vpc.templates.groups import Finding


@dataclass(frozen=True)
class Settled:
    """A request whose network is decided, the choice that was made if there was one, and what is to be said of it."""

    request: Mapping[str, Any]
    choice: Optional[Choice] = None
    notes: Tuple[str, ...] = ()


def with_stack(aws: Any, request: Mapping[str, Any], name: str) -> Dict[str, Any]:
    """The request with all subnets that a stack's outputs name, and the security groups.

    Raises:
        UsageError: the name is empty.
        ConfigError: the request has a VPC already, or the stack's outputs name none.
        CloudUnavailable: the stack cannot be asked for.
    """
    from hvdsm.aws.stacks import all_subnets, outputs, vpc_config

    if not name:
        # As from a variable that is not set: the job would run outside of every network, and nobody had said so.
        raise UsageError("names no stack", where="--vpc-stack", remedy="--vpc-stack NAME, or leave it out")
    if request.get("VpcConfig"):
        remedy = "leave out --subnet and --security-group, and the VpcConfig of --request"
        raise ConfigError("the subnets are given already", where="--vpc-stack", remedy=remedy)
    found = outputs(aws, name)
    config = vpc_config(found, name, encrypted=bool(request.get("EnableInterContainerTrafficEncryption")))
    return {**request, "VpcConfig": {**config, "Subnets": all_subnets(found, name)}}


def settle(aws: Any, request: Mapping[str, Any], options: SageMakerOptions, say: Say) -> Settled:
    """Check the network of a complete request, and choose one of its subnets where it comes from a stack or a zone is named.

    Subnets that the request names itself stay as they are unless a zone is named.  What the credentials may not read is not
    checked, which is said.

    Raises:
        UsageError: a zone is named, but no VPC.
        ConfigError: no job can run in the network; all that is wrong is told with its remedy.
    """
    if not request.get("VpcConfig"):
        if options.zone is not None:
            raise UsageError(
                "a zone is chosen among subnets", where="--zone", remedy="--vpc-stack NAME, or --subnet and --security-group"
            )
        told = ("network: not checked: the job has no VPC",) if options.vpc_check else ()
        return Settled(request, notes=told)
    names = list(request["VpcConfig"]["Subnets"])
    choosing = bool(options.vpc_stack) or options.zone is not None
    checking = bool(options.vpc_stack) if options.vpc_check is None else options.vpc_check
    if not checking and options.zone is None:
        return _chosen(request, Settled(request), [Place(name) for name in names], None) if choosing else Settled(request)
    say("reading the network")
    return _Preflight(aws, request, options, checking).settled(names, choosing=choosing)


def _chosen(request: Mapping[str, Any], settled: Settled, places: Sequence[Place], zone: Optional[str]) -> Settled:
    """With the first place that fits; the same where none does."""
    choice = choose(places, zone)
    if choice is None:
        return settled
    config = {**request["VpcConfig"], "Subnets": [choice.place.subnet]}
    return replace(settled, request={**request, "VpcConfig": config}, choice=choice, notes=(str(choice), *settled.notes))


class _Preflight:
    """Reads a network, and judges it for one job."""

    def __init__(self, aws: Any, request: Mapping[str, Any], options: SageMakerOptions, checking: bool) -> None:
        self.aws, self.request, self.options, self.checking = aws, request, options, checking
        self.job = job_of(request)
        self.notes: List[str] = []

    def settled(self, names: Sequence[str], *, choosing: bool) -> Settled:
        network = self._network(names)
        if not choosing:
            findings = self._findings(network, names)
            self._refuse([finding for finding in findings if finding.level == "error"])
            self._note(findings)
            return Settled(self.request, None, tuple(self.notes))
        found = {name: self._findings(network, [name]) for name in names}
        places = [self._place(network, name, found[name]) for name in names]
        settled = _chosen(self.request, Settled(self.request), places, self.options.zone)
        if settled.choice is None:
            meant = places if self.options.zone is None else in_zone(places, self.options.zone)
            self._refuse([finding for place in meant for finding in found[place.subnet] if finding.level == "error"])
        assert settled.choice is not None
        self._note(found[settled.choice.place.subnet])
        return replace(settled, notes=(*settled.notes, *self.notes))

    def _network(self, names: Sequence[str]) -> Optional[Network]:
        """What there is; None where nothing can be read."""
        from hvdsm.vpc.checking.gathering import gather

        try:
            found = gather(self.aws, subnets=names, security_groups=self.job.groups, instance_types=self.job.types)
        except (CloudUnavailable, CloudRefused) as error:
            # Whoever may create jobs need not be able to read networks; the service itself refuses what is wrong.
            self.notes.append(f"network: not checked: {error.what}")
            return None
        if self.checking and found.unread:
            self.notes.append(f"network: not checked: what needs {', '.join(entry.permission for entry in found.unread)}")
        return found

    def _findings(self, network: Optional[Network], names: Sequence[str]) -> Sequence[Finding]:
        """What is wrong with some subnets for this job; nothing where it was not asked for, or nothing could be read."""
        if network is None or not self.checking:
            return ()
        from hvdsm.vpc.checking.checks import NOT_CHECKED, examine

        found = examine(network, replace(self.job, subnets=tuple(names))).findings
        return [finding for finding in found if finding.rule != NOT_CHECKED]

    @staticmethod
    def _place(network: Optional[Network], name: str, findings: Sequence[Finding]) -> Place:
        subnet = network.subnet(name) if network is not None else None
        errors = [finding for finding in findings if finding.level == "error"]
        if subnet is None:
            return Place(name, wrong=tuple(told(finding) for finding in errors))
        # What names the zone needs no subnet beside it.
        wrong = tuple(finding.what if subnet.zone in finding.what else told(finding) for finding in errors)
        return Place(name, subnet.zone, subnet.zone_id, wrong)

    def _refuse(self, errors: Sequence[Finding]) -> None:
        """Raise for what keeps the job from running anywhere."""
        if not errors:
            return
        lines = [f"\n  {told(finding)}\n    {finding.remedy}" for finding in dict.fromkeys(errors)]
        where = f"stack {self.options.vpc_stack}" if self.options.vpc_stack else "VpcConfig"
        raise ConfigError(
            f"the job cannot run in this network:{''.join(lines)}",
            where=where,
            remedy="do what stands below each; hvdsm vpc check shows more; --no-vpc-check goes without",
        )

    def _note(self, findings: Sequence[Finding]) -> None:
        """Say what need not keep the job from running."""
        self.notes += [f"network: {told(finding)}; {finding.remedy}" for finding in findings if finding.level == "warning"]


def told(finding: Finding) -> str:
    """What is wrong, and with what."""
    return f"{finding.resource}: {finding.what}" if finding.resource else finding.what
