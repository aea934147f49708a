"""Requests to create, update and delete stacks: checked as the service checks them, then begun."""

from __future__ import annotations

import re
from typing import Any, Dict, Mapping, Optional

from hvdsm.sandbox.stacks.asking import template_text
from hvdsm.sandbox.stacks.planning import is_same
from hvdsm.sandbox.stacks.query import invalid
from hvdsm.sandbox.stacks.records import DELETED, REVIEW, Stack, Wanted
from hvdsm.sandbox.stacks.region import Region
from hvdsm.sandbox.stacks.templates import bad, check_capabilities, parsed, values, wanted
from hvdsm.sandbox.wire import ServiceError

Body = Mapping[str, Any]
Result = Dict[str, Any]
_NAME = r"[a-zA-Z][-a-zA-Z0-9]{0,127}"
_UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED", "IMPORT_COMPLETE")
# Stands for the ID of a stack that is not there yet.
_LATER = "arn:aws:cloudformation:::stack/not-yet"


class Requesting:
    """Operations that begin something."""

    def __init__(self, region: Region) -> None:
        self._region = region

    def wanted(self, body: Body, stack: Optional[Stack], name: str) -> Wanted:
        """The version of a stack that a request asks for.

        Raises:
            ServiceError: the request is refused.
        """
        previous = stack.wanted if stack is not None else None
        if body.get("UsePreviousTemplate"):
            if previous is None:
                raise bad("Previous template is not available.")
            text = previous.body
        else:
            text = template_text(self._region, body)
        template = parsed(text)
        parameters = values(template, body.get("Parameters") or [], previous)
        check_capabilities(template, body.get("Capabilities") or [])
        identifier = stack.id if stack is not None else _LATER
        made = wanted(text, template, parameters, self._region.setting(name), identifier, self._region.export_values())
        made.capabilities = list(body.get("Capabilities") or [])
        given = body.get("Tags")
        made.tags = {tag["Key"]: tag["Value"] for tag in given} if given is not None else dict(previous.tags if previous else {})
        return made

    def with_id(self, made: Wanted, stack_id: str) -> None:
        """Put the ID of the stack in, now that it has one."""
        made.entries = {name: _put_in(entry, stack_id) for name, entry in made.entries.items()}
        made.outputs = {name: _put_in(entry, stack_id) for name, entry in made.outputs.items()}

    def check_name(self, name: str) -> None:
        """Refuse a name that a new stack cannot have."""
        if not re.fullmatch(_NAME, name):
            raise invalid("stackName", name, "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*")

    def check_updatable(self, stack: Stack) -> None:
        """Refuse to update a stack in this state."""
        if stack.status not in _UPDATABLE:
            raise bad(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")

    def is_repeated(self, stack: Stack, operation: str, token: Optional[str], about: str = "") -> bool:
        """Whether a client asks for the same a second time, since it has had no answer.

        Raises:
            ServiceError: the token was used for something else.
        """
        if token is None:
            return False
        what = f"{operation} {about}"
        if token in stack.tokens:
            if stack.tokens[token] != what:
                raise ServiceError("TokenAlreadyExistsException", f"Token {token} already exists")
            return True
        stack.tokens[token] = what
        return False

    def create_stack(self, body: Body) -> Result:
        """CreateStack."""
        region, name = self._region, body["StackName"]
        self.check_name(name)
        there = region.find(name)
        if there is not None:
            token = body.get("ClientRequestToken")
            if token is not None and there.token == token and there.tokens.get(token) == "CreateStack ":
                return {"StackId": there.id}
            raise ServiceError("AlreadyExistsException", f"Stack [{name}] already exists")
        if "DisableRollback" in body and "OnFailure" in body:
            raise bad("You can specify either DisableRollback or OnFailure, but not both.")
        made = self.wanted(body, None, name)
        # Only now: what has been looked at so far may have taken a while the first time.
        now = region.clock()
        stack = region.new_stack(name, now)
        self.with_id(made, stack.id)
        self.is_repeated(stack, "CreateStack", body.get("ClientRequestToken"))
        stack.wanted, stack.token = made, body.get("ClientRequestToken")
        stack.on_failure = body.get("OnFailure") or ("DO_NOTHING" if body.get("DisableRollback") else "ROLLBACK")
        stack.protected = bool(body.get("EnableTerminationProtection"))
        stack.timeout, stack.role = body.get("TimeoutInMinutes"), body.get("RoleARN")
        stack.notifications = list(body.get("NotificationARNs") or [])
        region.begin(stack, region.operations.create(stack, region.script(stack), now, stack.on_failure), now)
        return {"StackId": stack.id}

    def _live(self, name: str) -> Stack:
        stack = self._region.find(name)
        if stack is None or stack.status == DELETED:
            raise bad(f"Stack [{name}] does not exist")
        return stack

    def update_stack(self, body: Body) -> Result:
        """UpdateStack."""
        region = self._region
        stack = self._live(body["StackName"])
        token = body.get("ClientRequestToken")
        if self.is_repeated(stack, "UpdateStack", token):
            return {"StackId": stack.id}
        self.check_updatable(stack)
        made = self.wanted(body, stack, stack.name)
        if is_same(stack, made):
            raise bad("No updates are to be performed.")
        stack.before, stack.wanted, stack.token = stack.wanted, made, token
        now = region.clock()
        life = region.operations.update(stack, region.script(stack), now, not body.get("DisableRollback"))
        region.begin(stack, life, now)
        return {"StackId": stack.id}

    def delete_stack(self, body: Body) -> Result:
        """DeleteStack: a stack that is not there is no error."""
        region, now = self._region, self._region.clock()
        stack = region.find(body["StackName"])
        if stack is None or stack.status in (DELETED, "DELETE_IN_PROGRESS"):
            return {}
        if stack.protected:
            raise bad(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        keep = list(body.get("RetainResources") or [])
        if keep and stack.status != "DELETE_FAILED":
            text = "When you delete a stack, specify which resources to retain only when the stack is in the DELETE_FAILED state."
            raise bad(f"Invalid operation on stack [{stack.id}]. {text}")
        if stack.busy and stack.status not in ("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"):
            raise bad(f"Stack [{stack.name}] cannot be deleted while in status {stack.status}")
        token = body.get("ClientRequestToken")
        self.is_repeated(stack, "DeleteStack", token)
        stack.token = token
        used = region.in_use(stack)
        if used:
            stack.tell(now, stack.status, used)
            return {}
        if stack.status == REVIEW:
            stack.tell(now, "DELETE_IN_PROGRESS", "User Initiated")
            stack.tell(now, DELETED)
            stack.deleted = now
            return {}
        region.begin(stack, region.operations.delete(stack, region.script(stack), now, keep), now)
        return {}

    def update_termination_protection(self, body: Body) -> Result:
        """UpdateTerminationProtection."""
        stack = self._live(body["StackName"])
        stack.protected = bool(body["EnableTerminationProtection"])
        return {"StackId": stack.id}

    def cancel_update_stack(self, body: Body) -> Result:
        """CancelUpdateStack: rolls the update back."""
        stack = self._live(body["StackName"])
        if stack.status != "UPDATE_IN_PROGRESS":
            raise bad("CancelUpdateStack cannot be called from current stack status")
        # The operation looks at this when it goes on, which is now.
        stack.cancelled = stack.due = self._region.clock()
        self._region.advance()
        return {}

    def continue_update_rollback(self, body: Body) -> Result:
        """ContinueUpdateRollback."""
        region, now = self._region, self._region.clock()
        stack = self._live(body["StackName"])
        if stack.status != "UPDATE_ROLLBACK_FAILED":
            raise bad(f"Stack:{stack.id} is in {stack.status} state and can not be continued with ContinueUpdateRollback.")
        stack.token = body.get("ClientRequestToken")
        skipped = list(body.get("ResourcesToSkip") or [])
        life = region.operations.roll_back(stack, region.script(stack), now, "User Initiated", skipped)
        region.begin(stack, life, now)
        return {}

    def set_stack_policy(self, body: Body) -> Result:
        """SetStackPolicy: is taken, and means nothing."""
        self._live(body["StackName"])
        return {}


def _put_in(value: Any, stack_id: str) -> Any:
    if isinstance(value, list):
        return [_put_in(item, stack_id) for item in value]
    if isinstance(value, dict):
        return {key: _put_in(inner, stack_id) for key, inner in value.items()}
    return value.replace(_LATER, stack_id) if isinstance(value, str) else value
