"""Stacks of CloudFormation, read: their state, events and resources.

Source: AWS CloudFormation API Reference, DescribeStacks, DescribeStackEvents and ListStackResources; what a status means: AWS
CloudFormation User Guide, stack status codes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Dict, List, Mapping, Optional

from hvdsm.aws.failures import code_of, message_of, translated
from hvdsm.aws.session import Aws, console

# A stack that has nothing but a change set.
REVIEW = "REVIEW_IN_PROGRESS"
# What the service wants the name to be like; an id is longer.
NAME_PATTERN = r"[A-Za-z][A-Za-z0-9-]{0,127}"


@dataclass(frozen=True)
class Stack:
    """A stack as it is at one moment.

    Attributes:
        id: its ARN, which names it even when it has been deleted.
        name: its name.
        status: such as ``CREATE_COMPLETE``.
        reason: why it has that status; often empty.
        outputs: value of each output.
        parameters: value of each parameter; ``****`` where the template hides it.
        tags: its tags.
        protected: whether it is protected against deletion.
        created: when it was made.
        updated: when it was last updated; None where it never was.
        deleted: when its deletion was asked for.
        capabilities: what the last operation was allowed, such as ``CAPABILITY_IAM``.
    """

    id: str
    name: str
    status: str
    reason: str = ""
    outputs: Dict[str, str] = field(default_factory=dict)
    parameters: Dict[str, str] = field(default_factory=dict)
    tags: Dict[str, str] = field(default_factory=dict)
    protected: bool = False
    created: Optional[datetime] = None
    updated: Optional[datetime] = None
    deleted: Optional[datetime] = None
    capabilities: List[str] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        """Whether an operation of it is under way."""
        return self.status.endswith("_IN_PROGRESS") and self.status != REVIEW

    @property
    def empty(self) -> bool:
        """Whether it has never been more than a change set."""
        return self.status == REVIEW

    @property
    def usable(self) -> bool:
        """Whether its resources are there: created or updated, or back to what they were before an update that failed."""
        return self.status in _USABLE


_USABLE = frozenset(
    {
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_COMPLETE",
    }
)


@dataclass(frozen=True)
class StackEvent:
    """Something that happened to a stack, or to one of its resources.

    Attributes:
        id: its own, by which it is known again.
        time: when.
        logical_id: name of the resource in the template; of the stack's own events its name.
        physical_id: the resource's name in AWS; may be empty.
        kind: type of the resource, ``AWS::CloudFormation::Stack`` for the stack's own events.
        status: such as ``CREATE_FAILED``.
        reason: why; often empty.
        token: token of the request that the operation began with; may be empty.
    """

    id: str
    time: datetime
    logical_id: str
    physical_id: str = ""
    kind: str = ""
    status: str = ""
    reason: str = ""
    token: str = ""

    @property
    def of_stack(self) -> bool:
        """Whether it is about the stack itself, not about a resource or a stack within it."""
        return self.kind == "AWS::CloudFormation::Stack" and self.physical_id.rpartition("/")[0].endswith(f"/{self.logical_id}")


@dataclass(frozen=True)
class StackResource:
    """A resource of a stack as it is at one moment.

    Attributes:
        logical_id: its name in the template.
        physical_id: its name in AWS; empty where it was not made.
        kind: its type.
        status: such as ``CREATE_COMPLETE``.
        reason: why; often empty.
        updated: when its status changed last.
    """

    logical_id: str
    physical_id: str
    kind: str
    status: str
    reason: str = ""
    updated: Optional[datetime] = None


def place_of(aws: Aws, stack: str) -> str:
    """How messages name a stack.

    >>> place_of(Aws("us-east-1"), "arn:aws:cloudformation:us-east-1:123456789012:stack/net/4711")
    'stack net in us-east-1'
    """
    return f"stack {name_of(stack)} in {aws.region}"


def name_of(stack: str) -> str:
    """The name of a stack from its name or id."""
    return stack.split("/")[1] if stack.startswith("arn:") and "/" in stack else stack


def link(aws: Aws, stack: str) -> str:
    """Address of the console's page that shows a stack's events."""
    return f"{console(aws.region)}/cloudformation/home?region={aws.region}#/stacks/events?stackId={stack}"


def find(aws: Aws, name_or_id: str) -> Optional[Stack]:
    """A stack, or None where there is none of that name; one that was deleted is found by its id for 90 days.

    Raises:
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses the request.
    """
    with translated("read the stack", place_of(aws, name_or_id)):
        try:
            found = aws.client("cloudformation").describe_stacks(StackName=name_or_id).get("Stacks") or []
        except Exception as error:
            if is_missing(error):
                return None
            raise
    return stack_of(found[0]) if found else None


def is_missing(error: BaseException) -> bool:
    """Whether an error of botocore says that there is no such stack."""
    return code_of(error) == "ValidationError" and "does not exist" in message_of(error)


def stack_of(described: Mapping[str, Any]) -> Stack:
    """A stack from DescribeStacks' description of it."""
    return Stack(
        id=str(described.get("StackId") or ""),
        name=str(described.get("StackName") or ""),
        status=str(described.get("StackStatus") or ""),
        reason=str(described.get("StackStatusReason") or ""),
        outputs=_pairs(described.get("Outputs"), "OutputKey", "OutputValue"),
        parameters=_pairs(described.get("Parameters"), "ParameterKey", "ParameterValue"),
        tags=_pairs(described.get("Tags"), "Key", "Value"),
        protected=bool(described.get("EnableTerminationProtection")),
        created=described.get("CreationTime"),
        updated=described.get("LastUpdatedTime"),
        deleted=described.get("DeletionTime"),
        capabilities=[str(name) for name in described.get("Capabilities") or ()],
    )


def _pairs(entries: Any, key: str, value: str) -> Dict[str, str]:
    return {str(entry[key]): str(entry.get(value) or "") for entry in entries or ()}


def events(aws: Aws, stack_id: str, *, after: Optional[str] = None) -> List[StackEvent]:
    """The events of a stack, the oldest first.

    Args:
        aws: session.
        stack_id: its id; of one that was deleted a name finds nothing.
        after: id of an event that is known already: only later ones are read.

    Raises:
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses the request, also where there is no such stack.
    """
    client = aws.client("cloudformation")
    asked: Dict[str, Any] = {"StackName": stack_id}
    found: Dict[str, StackEvent] = {}
    with translated("read the stack's events", place_of(aws, stack_id)):
        while True:
            page = client.describe_stack_events(**asked)
            for entry in page.get("StackEvents") or ():
                if str(entry["EventId"]) == after:
                    return list(reversed(found.values()))
                # An event that comes while pages are read moves others to the next page: they are there twice.
                found.setdefault(str(entry["EventId"]), _event(entry))
            if not page.get("NextToken"):
                return list(reversed(found.values()))
            asked["NextToken"] = page["NextToken"]


def last_event(aws: Aws, stack_id: str) -> Optional[str]:
    """The id of the newest event of a stack; None where it has none.

    Raises:
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses the request, also where there is no such stack.
    """
    with translated("read the stack's events", place_of(aws, stack_id)):
        found = aws.client("cloudformation").describe_stack_events(StackName=stack_id).get("StackEvents")
    return str(found[0]["EventId"]) if found else None


def _event(entry: Mapping[str, Any]) -> StackEvent:
    return StackEvent(
        id=str(entry["EventId"]),
        time=entry["Timestamp"],
        logical_id=str(entry.get("LogicalResourceId") or ""),
        physical_id=str(entry.get("PhysicalResourceId") or ""),
        kind=str(entry.get("ResourceType") or ""),
        status=str(entry.get("ResourceStatus") or ""),
        reason=str(entry.get("ResourceStatusReason") or ""),
        token=str(entry.get("ClientRequestToken") or ""),
    )


def resources(aws: Aws, stack_id: str) -> List[StackResource]:
    """The resources of a stack in the service's order; those that were deleted are in it for a stack that was deleted.

    Raises:
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses the request, also where there is no such stack.
    """
    client = aws.client("cloudformation")
    asked: Dict[str, Any] = {"StackName": stack_id}
    found: List[StackResource] = []
    with translated("list the stack's resources", place_of(aws, stack_id)):
        while True:
            page = client.list_stack_resources(**asked)
            for entry in page.get("StackResourceSummaries") or ():
                if not entry.get("LogicalResourceId"):
                    # Stand-ins for AWS list what a condition leaves out as well, without a name.
                    continue
                found.append(
                    StackResource(
                        logical_id=str(entry["LogicalResourceId"]),
                        physical_id=str(entry.get("PhysicalResourceId") or ""),
                        kind=str(entry.get("ResourceType") or ""),
                        status=str(entry.get("ResourceStatus") or ""),
                        reason=str(entry.get("ResourceStatusReason") or ""),
                        updated=entry.get("LastUpdatedTimestamp"),
                    )
                )
            if not page.get("NextToken"):
                return found
            asked["NextToken"] = page["NextToken"]
