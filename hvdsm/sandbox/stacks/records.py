"""Stacks, their resources, events and change sets, as the sandbox keeps them."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any, Dict, Generator, List, Mapping, Optional

STACK = "AWS::CloudFormation::Stack"
REVIEW = "REVIEW_IN_PROGRESS"
DELETED = "DELETE_COMPLETE"


@dataclass
class Made:
    """A resource that is there.

    Attributes:
        name: logical ID.
        kind: type, such as ``AWS::EC2::VPC``.
        physical: physical ID; empty until it has one.
        entry: as rendered, with references: what two versions of a template are compared by.
        properties: with the IDs of other resources in their places.
        attributes: what ``Fn::GetAtt`` gives.
        needs: resources that it was made after.
        status: of the last operation with it.
        reason: why.
        updated: seconds since the epoch.
    """

    name: str
    kind: str
    physical: str = ""
    entry: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    attributes: Dict[str, Any] = field(default_factory=dict)
    needs: List[str] = field(default_factory=list)
    status: str = ""
    reason: Optional[str] = None
    updated: float = 0.0

    @property
    def retained(self) -> bool:
        """Whether it stays when it is deleted from its stack."""
        return self.entry.get("DeletionPolicy") in ("Retain", "RetainExceptOnCreate")


@dataclass
class Wanted:
    """A version of a stack: what it is made from.

    Attributes:
        body: text of the template.
        template: the template.
        parameters: as given, or the defaults.
        entries: the resources as rendered.
        outputs: the outputs as rendered.
        capabilities: what was acknowledged.
        tags: of the stack.
        imports: names of exports of other stacks that it uses.
        description: of the template.
    """

    body: str
    template: Mapping[str, Any]
    parameters: Mapping[str, str]
    entries: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Mapping[str, Any]]
    capabilities: List[str] = field(default_factory=list)
    tags: Dict[str, str] = field(default_factory=dict)
    imports: List[str] = field(default_factory=list)
    description: Optional[str] = None


@dataclass
class ChangeSet:
    """A change set; ``due`` is when it has been made."""

    id: str
    name: str
    kind: str
    created: float
    due: float
    wanted: Optional[Wanted]
    changes: List[Dict[str, Any]]
    status: str = "CREATE_PENDING"
    execution: str = "UNAVAILABLE"
    reason: Optional[str] = None
    description: Optional[str] = None
    on_failure: Optional[str] = None
    token: Optional[str] = None
    final: str = "CREATE_COMPLETE"
    tags: Dict[str, str] = field(default_factory=dict)

    def settle(self, now: float) -> None:
        """Let it be made, when its time has come."""
        if self.status == "CREATE_PENDING" and now >= self.due:
            self.status = self.final
            self.execution = "AVAILABLE" if self.final == "CREATE_COMPLETE" else "UNAVAILABLE"


@dataclass
class Stack:
    """A stack; its operation in progress is a generator that yields when it wants to be resumed, in seconds since the epoch."""

    id: str
    name: str
    created: float
    status: str = ""
    reason: Optional[str] = None
    updated: Optional[float] = None
    deleted: Optional[float] = None
    wanted: Optional[Wanted] = None
    before: Optional[Wanted] = None
    resources: Dict[str, Made] = field(default_factory=dict)
    gone: Dict[str, Made] = field(default_factory=dict)
    outputs: List[Dict[str, str]] = field(default_factory=list)
    events: List[Dict[str, Any]] = field(default_factory=list)
    change_sets: Dict[str, ChangeSet] = field(default_factory=dict)
    change_set: Optional[str] = None
    protected: bool = False
    on_failure: str = "ROLLBACK"
    role: Optional[str] = None
    timeout: Optional[int] = None
    notifications: List[str] = field(default_factory=list)
    tokens: Dict[str, str] = field(default_factory=dict)
    token: Optional[str] = None
    operation: Optional[Generator[float, None, None]] = None
    due: float = 0.0
    cancelled: Optional[float] = None
    # Of an update: what there was before, what is new, and what is to be deleted at its end.
    undo: Dict[str, Made] = field(default_factory=dict)
    fresh: List[str] = field(default_factory=list)
    leftover: List[Made] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        """Whether something is done with it."""
        return self.status.endswith("_IN_PROGRESS") and self.status != REVIEW

    def tell(self, now: float, status: str, reason: Optional[str] = None) -> None:
        """Change the stack's own status, with an event."""
        self.status, self.reason = status, reason
        self._event(now, self.name, self.id, STACK, status, reason, None, str(uuid.uuid4()))

    def report(self, now: float, made: Made, status: str, reason: Optional[str] = None, physical: Optional[str] = None) -> None:
        """Change the status of a resource, with an event."""
        made.status, made.reason, made.updated = status, reason, now
        shown = made.physical if physical is None else physical
        identifier = f"{made.name}-{status}-{uuid.uuid4()}"
        self._event(now, made.name, shown, made.kind, status, reason, made.properties or None, identifier)

    def _event(
        self,
        now: float,
        logical: str,
        physical: str,
        kind: str,
        status: str,
        reason: Optional[str],
        properties: Any,
        identifier: str,
    ) -> None:
        # Events of one instant keep their order: a client sorts by time.
        last = self.events[-1]["Timestamp"] if self.events else 0.0
        event = {
            "StackId": self.id,
            "EventId": identifier,
            "StackName": self.name,
            "LogicalResourceId": logical,
            "PhysicalResourceId": physical,
            "ResourceType": kind,
            "Timestamp": max(now, last + 0.001),
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
            "ResourceProperties": None if properties is None else json.dumps(properties),
            "ClientRequestToken": self.token,
        }
        self.events.append(event)
