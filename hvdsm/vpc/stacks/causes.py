"""Why an operation of a stack failed: the first failure that is no consequence of another one, in words, and what to do.

Source: AWS CloudFormation User Guide, troubleshooting and stack status codes; Amazon EC2 API Reference, error codes; messages as
users have reported them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Pattern, Sequence, Tuple

from hvdsm.aws.cloudformation import StackEvent

# What CloudFormation says of resources that it gave up because another one had failed.
_CANCELLED = re.compile(r"(?:Resource|Operation) (?:\w+ )?cancell?ed\b.{0,12}", re.IGNORECASE | re.DOTALL)
_FOR_RESOURCES = re.compile(r"The following resource\(s\) failed to \w+: ?\[")
_HANDLER = re.compile(r'^Resource handler returned message: "(.*)"\s*(\(RequestToken: .*\))?\s*$', re.DOTALL)
# What stands behind a message for the service's own people: (Service: …), (SDK Attempt Count: 1), (RequestToken: …).
_BEHIND = re.compile(r"\s*\((?:Service: |SDK Attempt Count: |RequestToken: |Request ID: |HandlerErrorCode: )[^()]*\)")
_CODE = re.compile(r"(?:Error Code|HandlerErrorCode): (\w+)")
_ENCODED = re.compile(r"\s*Encoded authorization failure message: (\S+)")
_PREFIX = re.compile(r"^API: (\w+):(\w+) ")
# Characters of a reason that are told.
_LONGEST = 800
# Names of errors that say nothing beyond the message.
_VAGUE = frozenset({"InvalidRequest", "GeneralServiceException", "InternalFailure", "NotStabilized"})


@dataclass(frozen=True)
class _Known:
    """A cause that is known: what its reason is like, and what to do; ``{1}`` is the pattern's first group."""

    pattern: Pattern[str]
    remedy: str


def _known(pattern: str, remedy: str) -> _Known:
    return _Known(re.compile(pattern, re.IGNORECASE | re.DOTALL), remedy)


_QUOTAS = "AWS console, Service Quotas, Amazon Virtual Private Cloud"
# The first one that fits is taken.
_CAUSES: Tuple[_Known, ...] = (
    _known(
        r"VpcLimitExceeded|maximum number of VPCs",
        f"delete a VPC that nobody needs (aws ec2 describe-vpcs), or raise the quota 'VPCs per Region': {_QUOTAS}",
    ),
    _known(
        r"VpcEndpointLimitExceeded|InterfaceEndpoint\w*Limit|maximum number of (?:interface )?(?:VPC )?endpoints",
        f"ask for fewer endpoints (--endpoints core or none), or raise the quota 'Interface VPC endpoints per VPC': {_QUOTAS}",
    ),
    _known(
        r"(?:SecurityGroupLimitExceeded|RulesPerSecurityGroupLimitExceeded|maximum number of (?:rules per )?security group)",
        f"delete groups or rules that nobody needs, or raise the quota for security groups: {_QUOTAS}",
    ),
    _known(
        r"(?:Subnet|RouteTable|FlowLogs?)LimitExceeded|maximum number of (?:subnets|route tables|flow logs)",
        f"delete what nobody needs, or raise the quota that it names: {_QUOTAS}",
    ),
    _known(
        r"(?:Unable|not able) to assume (?:the )?(?:given )?(?:IAM )?role|role\b.{0,120}(?:cannot|can't|could not) be assumed"
        r"|LogDestinationPermissionIssue|(?:insufficient|lacks?) permissions?.{0,60}role|role.{0,80}insufficient permission",
        "check the role's trust policy and permissions; a role that has just been made may need a minute: run it again",
    ),
    _known(
        r"not authorized to perform:? ([\w-]+:\w+)(?:.{0,40}on (?:the )?resource:? (arn:[^\s\"']+))?",
        "allow {1} in the IAM policies of who runs this, or of the stack's service role",
    ),
    _known(
        r"API: ([\w-]+:\w+) |not authorized to perform this operation \(([\w-]+:\w+)\)",
        "allow {1} in the IAM policies of who runs this, or of the stack's service role",
    ),
    _known(
        r"UnauthorizedOperation|AccessDenied|Access ?denied|not authorized",
        "allow what it names in the IAM policies of who runs this (aws sts get-caller-identity), or of the stack's service role",
    ),
    _known(
        r"security token included in the request is (?:expired|invalid)|ExpiredToken", "get new credentials, and run it again"
    ),
    _known(
        r"InvalidSubnet\.Conflict|CIDR '?([\d./]+)'? conflicts with another subnet|overlap",
        "give the subnets blocks that do not overlap: --subnet-cidr, once for each zone",
    ),
    _known(
        r"InvalidSubnet\.Range|InvalidVpc\.Range|CIDR '?([\d./]+)'? is invalid|InvalidSubnetRange|not within the (?:CIDR|range)",
        "choose blocks of subnets within that of the VPC (--cidr, --subnet-cidr), each from /16 to /28",
    ),
    _known(
        r"Fn::Select\s+cannot select nonexistent value at index (\d+)",
        "the region has too few zones for this account: ask for fewer (--zones), or for others by name (--zone)",
    ),
    _known(
        r"does not support the availability zone of the subnet|not available in (?:this|the) availability zone",
        "this endpoint's service is not in that zone: name other zones (--zone), or ask for fewer endpoints (--endpoints)",
    ),
    _known(
        r"(?:for parameter availabilityZone|Availability ?Zone\b).{0,80}(?:is invalid|is not|does not exist|unavailable)|"
        r"Subnets can currently only be created in",
        "name zones that this account has: aws ec2 describe-availability-zones, then --zone NAME",
    ),
    _known(
        r"(?:Vpc )?Endpoint Service '?(?:com|cn|aws)\.[\w.-]+'? does not exist|InvalidServiceName",
        "the region has no such service, or the name is misspelt: aws ec2 describe-vpc-endpoint-services",
    ),
    _known(
        r"private-dns-enabled cannot be set because there is already a conflicting DNS domain",
        "the VPC has another endpoint for this service already: delete it, or do without this one",
    ),
    _known(
        r"(?:enableDnsSupport|enableDnsHostnames|private DNS requires)",
        "private names need DNS support and DNS host names in the VPC: set EnableDnsSupport and EnableDnsHostnames to true",
    ),
    _known(
        r"Export (?:with name )?(\S+) .{0,40}(?:already exported|in use by)|cannot be deleted as it is in use",
        "another stack has, or imports, this export: aws cloudformation list-imports --export-name {1}; delete that stack first",
    ),
    _known(
        r"already exists|AlreadyExists|\.Duplicate\b|EntityAlreadyExists",
        "something of this name is there already: delete it, or choose another name for the stack",
    ),
    _known(
        r"DependencyViolation|has a dependent object|has dependenc(?:y|ies) and cannot be deleted|is currently in use|in use by",
        "something else still uses it: hvdsm vpc delete NAME --dry-run names it; run the deletion again when it has gone",
    ),
    _known(
        r"log ?group.{0,80}limit|Logs.{0,200}(?:LimitExceeded|Resource limit exceeded)|Resource limit exceeded.{0,200}Logs",
        "delete log groups that nobody needs, or do without flow logs (--no-flow-logs)",
    ),
    _known(
        r"Rate exceeded|Throttling|RequestLimitExceeded|TooManyRequests",
        "AWS asks for fewer requests: run it again in some minutes",
    ),
    _known(r"CAPABILITY_(?:NAMED_)?IAM", "allow the template to make roles: --capabilities CAPABILITY_IAM"),
    _known(
        r"LimitExceeded|ServiceLimitExceeded|maximum number of|quota|limit (?:is|was|has been) (?:exceeded|reached)",
        "a quota is used up: delete what nobody needs, or raise it: AWS console, Service Quotas",
    ),
    _known(
        r"Properties validation failed|Encountered unsupported property|Value .{0,80} is invalid", "correct the template there"
    ),
    _known(
        r"NotStabilized|timed? ?out|Exceeded attempts to wait|did not stabilize",
        "it took longer than CloudFormation waits: run it again; https://health.aws.amazon.com shows known faults",
    ),
    _known(
        r"Internal ?(?:Failure|Error)|ServiceInternalError|ServiceUnavailable",
        "AWS has a fault of its own: run it again; https://health.aws.amazon.com shows known faults",
    ),
)


def is_failure(event: StackEvent) -> bool:
    """Whether an event says that something failed by itself, not because another thing did."""
    if not event.status.endswith("_FAILED"):
        return False
    reason = event.reason.strip()
    return not (_CANCELLED.fullmatch(reason) or (event.of_stack and _FOR_RESOURCES.match(reason)))


def root_cause(events: Sequence[StackEvent]) -> Optional[StackEvent]:
    """The earliest failure of an operation that is no consequence of another one.

    Resources that were cancelled because another one had failed are passed over, as is the stack's own list of what failed.
    Where nothing else says why, it is the stack's own event with a reason of its own, such as a roll-back that a person asked
    for.  None where nothing went wrong.

    Args:
        events: the events of the operation, in any order; those of the same time in theirs.
    """
    ordered = sorted(events, key=lambda event: event.time)
    found = next((event for event in ordered if is_failure(event) and not event.of_stack), None)
    if found is not None:
        return found
    own = [event for event in ordered if event.of_stack and ("_FAILED" in event.status or "ROLLBACK_IN_PROGRESS" in event.status)]
    telling = [event for event in own if event.reason and not _FOR_RESOURCES.match(event.reason)]
    listing = [event for event in ordered if event.status.endswith("_FAILED")]
    return next(iter([*telling, *own, *listing]), None)


def failures(events: Sequence[StackEvent]) -> List[StackEvent]:
    """All resources that failed by themselves, the root cause first; each once."""
    found: Dict[str, StackEvent] = {}
    for event in sorted(events, key=lambda event: event.time):
        if is_failure(event) and not event.of_stack:
            found.setdefault(event.logical_id, event)
    return list(found.values())


def readable(reason: str) -> str:
    """A reason without what is only for the service's own people: the message, then AWS's name of the error.

    >>> readable('Resource handler returned message: "No room. (Service: Ec2, Status Code: 400, Request ID: 1)" '
    ...          '(RequestToken: 2, HandlerErrorCode: ServiceLimitExceeded)')
    'No room. (ServiceLimitExceeded)'
    """
    codes = [code for code in _CODE.findall(reason) if code not in _VAGUE]
    handled = _HANDLER.match(reason.strip())
    text = handled[1] if handled else reason
    text = _BEHIND.sub("", _ENCODED.sub("", text))
    action = _PREFIX.match(text)
    if action:
        text = text[action.end() :].rstrip(". ") + ("" if action[2] in text[action.end() :] else f" ({action[1]}:{action[2]})")
    text = " ".join(text.split())
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}…"
    code = next((code for code in codes if code not in text), None)
    return f"{text} ({code})" if code and text else text or code or ""


def remedy(reason: str) -> Optional[str]:
    """What to do about a reason; None where it is no known one."""
    # The cleaned text lacks what some patterns look for, and the raw one has a code in any case.
    for known in _CAUSES:
        found = known.pattern.search(reason)
        if found:
            groups = [group for group in found.groups() if group]
            text = known.remedy
            for number, group in enumerate(groups, 1):
                text = text.replace(f"{{{number}}}", group)
            encoded = _ENCODED.search(reason)
            text = text.replace("{1}", "NAME")
            return f"{text}; aws sts decode-authorization-message shows the rest" if encoded else text
    return None


def line(event: StackEvent) -> str:
    """A failure in one line: the resource, its type, its state and why."""
    what = f"{event.logical_id} ({event.kind})" if event.kind and not event.of_stack else f"stack {event.logical_id}"
    why = readable(event.reason)
    return f"{what} {event.status}: {why}" if why else f"{what} {event.status}; AWS gives no reason"


def cause_lines(events: Sequence[StackEvent]) -> List[str]:
    """Why an operation failed, for people: the root cause first, its remedy, and what else failed by itself."""
    cause = root_cause(events)
    if cause is None:
        return []
    found = [f"root cause: {line(cause)}"]
    advice = remedy(cause.reason)
    if advice:
        found.append(f"  try: {advice}")
    others = [event for event in failures(events) if event.logical_id != cause.logical_id]
    return [*found, *(f"also failed: {line(event)}" for event in others)]


def cause_json(event: Optional[StackEvent]) -> Optional[Dict[str, Any]]:
    """A root cause for machines."""
    if event is None:
        return None
    return {
        "resource": event.logical_id,
        "type": event.kind,
        "status": event.status,
        "reason": readable(event.reason),
        "raw_reason": event.reason,
        "remedy": remedy(event.reason),
        "time": event.time.isoformat(),
    }
