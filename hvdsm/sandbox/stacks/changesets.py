"""Change sets: what an operation would do, before it is done."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional

from hvdsm.sandbox.stacks.planning import is_same, planned
from hvdsm.sandbox.stacks.query import invalid
from hvdsm.sandbox.stacks.records import DELETED, REVIEW, ChangeSet, Stack
from hvdsm.sandbox.stacks.region import Region
from hvdsm.sandbox.stacks.requesting import Requesting
from hvdsm.sandbox.stacks.templates import bad
from hvdsm.sandbox.wire import ServiceError

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
Body = Mapping[str, Any]
Result = Dict[str, Any]


class ChangeSets:
    """Operations with change sets."""

    def __init__(self, region: Region, requesting: Requesting) -> None:
        self._region = region
        self._requesting = requesting

    def create_change_set(self, body: Body) -> Result:
        """CreateChangeSet; a stack that is only reviewed comes with the first."""
        region = self._region
        name, kind = body["ChangeSetName"], body.get("ChangeSetType", "UPDATE")
        if not re.fullmatch(r"[a-zA-Z][-a-zA-Z0-9]*", name):
            raise invalid("changeSetName", name, "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*")
        stack = region.find(body["StackName"])
        if stack is not None and stack.status == DELETED:
            stack = None
        same = None if stack is None else self._repeated(stack, name, body.get("ClientToken"))
        if stack is not None and same is not None:
            return {"Id": same.id, "StackId": stack.id}
        self._check(stack, body["StackName"], name, kind)
        script = region.scripts.find(
            body["StackName"].split("/")[1] if "/" in body["StackName"] else body["StackName"], use=False
        )
        identifier = region.change_set_id(name)
        if stack is None:
            wanted = self._requesting.wanted(body, None, body["StackName"])
            now = region.clock()
            stack = region.new_stack(body["StackName"], now)
            self._requesting.with_id(wanted, stack.id)
            stack.tell(now, REVIEW, "User Initiated")
        else:
            wanted = self._requesting.wanted(body, stack, stack.name)
            now = region.clock()
        changes = planned(stack, wanted)
        made = ChangeSet(identifier, name, kind, now, now + script.script.change_set_seconds, wanted, changes)
        made.description, made.on_failure, made.token = (
            body.get("Description"),
            body.get("OnStackFailure"),
            body.get("ClientToken"),
        )
        if script.script.change_set_fails is not None:
            script.met += 1
            made.final, made.reason = "FAILED", script.script.change_set_fails
        elif kind != "CREATE" and is_same(stack, wanted):
            made.final, made.reason = "FAILED", NO_CHANGES
        stack.change_sets[identifier] = made
        made.settle(now)
        return {"Id": identifier, "StackId": stack.id}

    def _repeated(self, stack: Stack, name: str, token: Optional[str]) -> Optional[ChangeSet]:
        for one in stack.change_sets.values():
            if one.name == name and one.execution != "EXECUTE_COMPLETE":
                if token is not None and one.token == token:
                    return one
                raise ServiceError(
                    "AlreadyExistsException",
                    f"ChangeSet {name} cannot be created due to a mismatch with existing attribute Template"
                    if token
                    else f"ChangeSet {name} already exists",
                )
        return None

    def _check(self, stack: Optional[Stack], asked: str, name: str, kind: str) -> None:
        if kind == "CREATE":
            self._requesting.check_name(asked)
            if stack is not None and stack.status != REVIEW:
                raise bad(f"Stack [{asked}] already exists and cannot be created again with the changeSet [{name}].")
        elif stack is None or stack.status == REVIEW:
            raise bad(f"Stack [{asked}] does not exist")
        else:
            self._requesting.check_updatable(stack)

    def _find(self, body: Body) -> tuple[Stack, ChangeSet]:
        name = body["ChangeSetName"]
        asked = body.get("StackName")
        if asked is None and not name.startswith("arn:"):
            raise bad("StackName must be specified if ChangeSetName is not specified as an ARN.")
        stacks = list(self._region.stacks.values()) if asked is None else [self._region.find(asked)]
        if asked is not None and stacks[0] is None:
            raise bad(f"Stack [{asked}] does not exist")
        for stack in stacks:
            for one in reversed(list(stack.change_sets.values())) if stack is not None else ():
                if stack is not None and name in (one.id, one.name):
                    one.settle(self._region.clock())
                    return stack, one
        raise ServiceError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)

    def describe_change_set(self, body: Body) -> Result:
        """DescribeChangeSet."""
        stack, made = self._find(body)
        ready = made.status == "CREATE_COMPLETE"
        parameters = made.wanted.parameters if made.wanted else {}
        return {
            **_summarized(stack, made),
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            "Capabilities": made.wanted.capabilities if made.wanted else [],
            "Tags": [{"Key": key, "Value": value} for key, value in (made.wanted.tags if made.wanted else {}).items()],
            "Changes": made.changes if ready else [],
            "OnStackFailure": made.on_failure,
            "NotificationARNs": [],
        }

    def list_change_sets(self, body: Body) -> Result:
        """ListChangeSets."""
        stack = self._region.existing(body["StackName"])
        found: List[ChangeSet] = [one for one in stack.change_sets.values() if one.execution != "EXECUTE_COMPLETE"]
        for one in found:
            one.settle(self._region.clock())
        return {"Summaries": [_summarized(stack, one) for one in found]}

    def delete_change_set(self, body: Body) -> Result:
        """DeleteChangeSet; a stack that was only reviewed stays."""
        try:
            stack, made = self._find(body)
        except ServiceError as error:
            if error.code == "ChangeSetNotFound":
                return {}
            raise
        if made.execution == "EXECUTE_IN_PROGRESS" or made.status == "CREATE_PENDING":
            raise _status(made, "deleted")
        del stack.change_sets[made.id]
        return {}

    def execute_change_set(self, body: Body) -> Result:
        """ExecuteChangeSet; the other change sets of the stack are gone afterwards."""
        region, now = self._region, self._region.clock()
        stack, made = self._find(body)
        token = body.get("ClientRequestToken")
        if self._requesting.is_repeated(stack, "ExecuteChangeSet", token, made.id):
            return {}
        if made.execution != "AVAILABLE" or made.wanted is None:
            raise _status(made, "executed")
        disposition = made.on_failure or ("DO_NOTHING" if body.get("DisableRollback") else "ROLLBACK")
        fresh = stack.status == REVIEW
        if not fresh:
            self._requesting.check_updatable(stack)
        made.execution = "EXECUTE_COMPLETE"
        stack.change_sets = {made.id: made}
        stack.change_set, stack.token = made.id, token
        stack.before, stack.wanted = stack.wanted, made.wanted
        script = region.script(stack)
        if fresh:
            stack.on_failure = disposition
            region.begin(stack, region.operations.create(stack, script, now, disposition), now)
        else:
            region.begin(stack, region.operations.update(stack, script, now, disposition != "DO_NOTHING"), now)
        return {}


def _status(made: ChangeSet, what: str) -> ServiceError:
    status = made.status if made.status != "CREATE_COMPLETE" else made.execution
    text = f"ChangeSet [{made.id}] cannot be {what} in its current status of [{status}]"
    return ServiceError("InvalidChangeSetStatus", text)


def _summarized(stack: Stack, made: ChangeSet) -> Result:
    return {
        "ChangeSetName": made.name,
        "ChangeSetId": made.id,
        "StackId": stack.id,
        "StackName": stack.name,
        "Description": made.description,
        "CreationTime": made.created,
        "ExecutionStatus": made.execution,
        "Status": made.status,
        "StatusReason": None if made.status == "CREATE_PENDING" else made.reason,
    }
