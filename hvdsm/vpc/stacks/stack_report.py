"""How a stack is: its state, its resources, its last operation, and why that failed if it did."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.aws.cloudformation import Stack, StackEvent, StackResource, events, find, place_of
from hvdsm.aws.session import Aws
from hvdsm.errors import ConfigError
from hvdsm.vpc.stacks.asking import asked
from hvdsm.vpc.stacks.causes import cause_json, cause_lines, root_cause
from hvdsm.vpc.stacks.following import last_operation
from hvdsm.vpc.stacks.having import resources_or_events
from hvdsm.vpc.stacks.settling import Say
from hvdsm.vpc.stacks.tree import Resources, clock_text

HEADS = ("RESOURCE", "TYPE", "ID", "STATUS", "AGE", "TOOK")
# An operation that ended so went well.
_WENT_WELL = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE", "IMPORT_COMPLETE", "REVIEW_IN_PROGRESS")


@dataclass(frozen=True)
class Report:
    """A stack, and what became of it.

    Attributes:
        stack: the stack.
        resources: its resources.
        operation: events of the last operation, the oldest first.
        now: when it was looked at.
    """

    stack: Stack
    resources: Tuple[StackResource, ...]
    operation: Tuple[StackEvent, ...]
    now: datetime

    @property
    def cause(self) -> Optional[StackEvent]:
        """Why the last operation failed, or fails; None where it did not."""
        return None if self.stack.status in _WENT_WELL else root_cause(self.operation)

    @property
    def took(self) -> Optional[float]:
        """Seconds of the last operation, until now where it goes on."""
        if not self.operation:
            return None
        end = self.now if self.stack.busy else self.operation[-1].time
        return max(0.0, (end - self.operation[0].time).total_seconds())

    def as_json(self) -> Dict[str, Any]:
        """For machines."""
        rows = _seconds(self.operation)
        began = self.operation[0].time if self.operation else None
        return {
            "stack": stack_json(self.stack),
            "outputs": self.stack.outputs,
            "resources": [
                {
                    "resource": one.logical_id,
                    "physical_id": one.physical_id or None,
                    "type": one.kind,
                    "status": one.status,
                    "reason": one.reason or None,
                    "updated": None if one.updated is None else one.updated.isoformat(),
                    "seconds": rows.get(one.logical_id),
                }
                for one in self.resources
            ],
            "last_operation": {
                "began": None if began is None else began.isoformat(),
                "seconds": self.took,
                "ended": not self.stack.busy,
            },
            "cause": cause_json(self.cause),
        }

    def lines(self) -> List[str]:
        """For people: the cause of a failure first."""
        stack = self.stack
        found = cause_lines(self.operation) if self.cause is not None else []
        pairs = [("stack", stack.name), ("status", f"{stack.status}{f' ({stack.reason})' if stack.reason else ''}")]
        pairs.append(("protection", "on: it cannot be deleted" if stack.protected else "off"))
        if stack.created is not None:
            pairs.append(("created", _at(stack.created, self.now)))
        if stack.updated is not None:
            pairs.append(("updated", _at(stack.updated, self.now)))
        took = self.took
        if took is not None:
            kind = self.operation[0].status.split("_")[0].lower()
            pairs.append(("last", f"{kind}, {'goes on since' if stack.busy else 'took'} {clock_text(took)}"))
        pairs += [("parameter", f"{name}={value}") for name, value in sorted(stack.parameters.items())]
        pairs += [("tag", f"{name}={value}") for name, value in sorted(stack.tags.items())]
        return found + [f"{name:<10}  {value}" for name, value in pairs]

    def cells(self) -> List[List[str]]:
        """A row for each resource: name, type, id, status, age of that, and time taken in the last operation."""
        seconds = _seconds(self.operation)
        found = []
        for one in self.resources:
            age = "" if one.updated is None else clock_text((self.now - one.updated).total_seconds())
            took = seconds.get(one.logical_id)
            found.append([one.logical_id, one.kind, one.physical_id, one.status, age, "" if took is None else clock_text(took)])
        return found


def _seconds(operation: Sequence[StackEvent]) -> Dict[str, float]:
    """Seconds that each resource took in an operation."""
    found = Resources()
    for event in operation:
        found.take(event)
    return {name: round(row.seconds, 3) for name, row in found.rows.items()}


def _at(when: datetime, now: datetime) -> str:
    return f"{when.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC, {clock_text((now - when).total_seconds())} ago"


def stack_json(stack: Stack) -> Dict[str, Any]:
    """A stack for machines."""
    return {
        "name": stack.name,
        "id": stack.id,
        "status": stack.status,
        "reason": stack.reason or None,
        "protected": stack.protected,
        "created": None if stack.created is None else stack.created.isoformat(),
        "updated": None if stack.updated is None else stack.updated.isoformat(),
        "parameters": stack.parameters,
        "tags": stack.tags,
    }


def existing(aws: Aws, name: str, say: Say) -> Stack:
    """The stack of a name or id.

    Raises:
        ConfigError: there is none.
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses the request.
    """
    found: Optional[Stack] = asked(lambda: find(aws, name), "read the stack", place_of(aws, name), say)
    if found is None:
        raise ConfigError(
            "there is no such stack", where=place_of(aws, name), remedy=f"hvdsm vpc deploy {name}, or name its region: --region"
        )
    return found


def report(aws: Aws, name: str, say: Say, now: Optional[datetime] = None) -> Report:
    """How a stack is.

    Raises:
        ConfigError: there is none.
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses a request.
    """
    stack = existing(aws, name, say)
    where = place_of(aws, name)
    there = resources_or_events(aws, stack, say)
    found = asked(lambda: events(aws, stack.id), "read the stack's events", where, say)
    # Where it has changed in between, the state belongs to the events.
    again = asked(lambda: find(aws, stack.id), "read the stack", where, say) or stack
    return Report(again, tuple(there), tuple(last_operation(found)), now or datetime.now(timezone.utc))


def exports(outputs: Mapping[str, str]) -> List[str]:
    """Lines that a shell takes: the outputs as variables.

    >>> exports({"VpcId": "vpc-1", "Subnet1Id": "subnet-1"})
    ['export VPC_ID=vpc-1', 'export SUBNET1_ID=subnet-1']
    """
    found = []
    for name, value in outputs.items():
        variable = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name).upper()
        found.append(f"export {variable}={shlex.quote(value)}")
    return found
