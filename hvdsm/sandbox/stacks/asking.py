"""What CloudFormation tells of stacks, their events, resources, templates and exports."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from hvdsm.sandbox.stacks.records import DELETED, Made, Stack
from hvdsm.sandbox.stacks.region import Region
from hvdsm.sandbox.stacks.templates import bad, parsed, summary

PAGE = 100
Body = Mapping[str, Any]
Result = Dict[str, Any]


class Asking:
    """Operations that change nothing."""

    def __init__(self, region: Region) -> None:
        self._region = region

    def describe_stacks(self, body: Body) -> Result:
        """DescribeStacks."""
        if body.get("StackName"):
            return {"Stacks": [_described(self._region.existing(body["StackName"]))]}
        live = [stack for stack in self._region.stacks.values() if stack.status != DELETED]
        page, token = _page(list(reversed(live)), body)
        return {"Stacks": [_described(stack) for stack in page], "NextToken": token}

    def list_stacks(self, body: Body) -> Result:
        """ListStacks: deleted ones, too."""
        wanted = body.get("StackStatusFilter")
        found = [s for s in reversed(list(self._region.stacks.values())) if not wanted or s.status in wanted]
        page, token = _page(found, body)
        return {"StackSummaries": [_summarized(stack) for stack in page], "NextToken": token}

    def describe_stack_events(self, body: Body) -> Result:
        """DescribeStackEvents: the newest first, 100 at once."""
        name = body["StackName"]
        stack = self._region.find(name)
        if stack is None:
            raise bad(f"Stack [{name}] does not exist")
        # A token counts from the oldest, so that events that come meanwhile move no page.
        token = body.get("NextToken")
        end = len(stack.events) if token is None else _number(token)
        begin = max(0, end - PAGE)
        page = list(reversed(stack.events[begin:end]))
        return {"StackEvents": page, "NextToken": str(begin) if begin else None}

    def describe_stack_resources(self, body: Body) -> Result:
        """DescribeStackResources: by stack, or by the ID of one of its resources."""
        if body.get("StackName"):
            stack = self._region.existing(body["StackName"])
        else:
            physical = body.get("PhysicalResourceId", "")
            owners = [s for s in self._region.stacks.values() if any(m.physical == physical for m in s.resources.values())]
            if not owners:
                raise bad(f"Stack for {physical} does not exist")
            stack = owners[0]
        found = [made for made in _resources(stack) if body.get("LogicalResourceId") in (None, made.name)]
        return {"StackResources": [_resource(stack, made, "Timestamp") for made in found[:PAGE]]}

    def list_stack_resources(self, body: Body) -> Result:
        """ListStackResources."""
        stack = self._region.existing(body["StackName"])
        page, token = _page(_resources(stack), body)
        return {"StackResourceSummaries": [_resource(stack, made, "LastUpdatedTimestamp") for made in page], "NextToken": token}

    def describe_stack_resource(self, body: Body) -> Result:
        """DescribeStackResource."""
        stack = self._region.existing(body["StackName"])
        for made in _resources(stack):
            if made.name == body["LogicalResourceId"]:
                metadata = json.dumps(made.entry.get("Metadata") or {})
                return {"StackResourceDetail": {**_resource(stack, made, "LastUpdatedTimestamp"), "Metadata": metadata}}
        raise bad(f"Resource {body['LogicalResourceId']} does not exist for stack {stack.name}")

    def get_template(self, body: Body) -> Result:
        """GetTemplate; of a change set where one is named."""
        stack = self._region.existing(body.get("StackName") or "")
        named = body.get("ChangeSetName")
        if named:
            found = [one for one in stack.change_sets.values() if named in (one.id, one.name)]
            text = found[0].wanted.body if found and found[0].wanted else ""
        else:
            text = stack.wanted.body if stack.wanted else ""
        return {"TemplateBody": text, "StagesAvailable": ["Original", "Processed"]}

    def get_template_summary(self, body: Body) -> Result:
        """GetTemplateSummary."""
        return summary(parsed(self._text(body)))

    def validate_template(self, body: Body) -> Result:
        """ValidateTemplate."""
        found = summary(parsed(self._text(body)))
        about = [
            {"ParameterKey": one["ParameterKey"], "DefaultValue": one["DefaultValue"], "NoEcho": one["NoEcho"], **_told(one)}
            for one in found["Parameters"]
        ]
        return {**found, "Parameters": about}

    def _text(self, body: Body) -> str:
        if body.get("StackName"):
            return str(self.get_template(body)["TemplateBody"])
        return template_text(self._region, body)

    def list_exports(self, body: Body) -> Result:
        """ListExports."""
        values = self._region.export_values()
        found = [{"ExportingStackId": s.id, "Name": n, "Value": values[n]} for n, s in sorted(self._region.exports().items())]
        page, token = _page(found, body)
        return {"Exports": page, "NextToken": token}

    def list_imports(self, body: Body) -> Result:
        """ListImports."""
        users = self._region.importers(body["ExportName"])
        if not users:
            raise bad(f"Export '{body['ExportName']}' is not imported by any stack.")
        return {"Imports": users}

    def describe_account_limits(self, _body: Body) -> Result:
        """DescribeAccountLimits."""
        named = {"StackLimit": 2000, "StackOutputsLimit": 200, "ConcurrentResourcesLimit": 2500}
        return {"AccountLimits": [{"Name": name, "Value": value} for name, value in named.items()]}


def template_text(region: Region, body: Body) -> str:
    """The template that a request gives, as text or as an address in S3.

    Raises:
        ServiceError: it gives none, or there is nothing at the address.
    """
    if body.get("TemplateBody"):
        return str(body["TemplateBody"])
    if not body.get("TemplateURL"):
        raise bad("Either Template URL or Template Body must be specified.")
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(body["TemplateURL"])
    bucket, _, key = unquote(parts.path.lstrip("/")).partition("/")
    host = (parts.hostname or "").split(".s3")
    if len(host) > 1 and not (parts.hostname or "").startswith("s3"):
        bucket, key = host[0], unquote(parts.path.lstrip("/"))
    try:
        text: bytes = region.world.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except Exception:
        raise bad("S3 error: The specified key does not exist.") from None
    return text.decode("utf-8", "replace")


def _told(parameter: Body) -> Dict[str, Any]:
    return {"Description": parameter["Description"]} if parameter.get("Description") else {}


def _number(token: str) -> int:
    if not token.isdigit():
        raise bad("The provided token is invalid")
    return int(token)


def _page(found: Sequence[Any], body: Body) -> Tuple[List[Any], Any]:
    begin = _number(body["NextToken"]) if body.get("NextToken") else 0
    end = begin + PAGE
    return list(found[begin:end]), str(end) if end < len(found) else None


def _described(stack: Stack) -> Result:
    wanted = stack.wanted
    shown: Result = {
        "StackId": stack.id,
        "StackName": stack.name,
        "ChangeSetId": stack.change_set,
        "Description": wanted.description if wanted else None,
        "Parameters": _parameters(stack),
        "CreationTime": stack.created,
        "DeletionTime": stack.deleted,
        "LastUpdatedTime": stack.updated,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "DisableRollback": stack.on_failure == "DO_NOTHING",
        "NotificationARNs": stack.notifications,
        "TimeoutInMinutes": stack.timeout,
        "Capabilities": wanted.capabilities if wanted else [],
        "Outputs": stack.outputs or None,
        "RoleARN": stack.role,
        "Tags": [{"Key": key, "Value": value} for key, value in (wanted.tags if wanted else {}).items()],
        "EnableTerminationProtection": stack.protected,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
        "RollbackConfiguration": {},
    }
    return shown


def _parameters(stack: Stack) -> List[Result]:
    if stack.wanted is None:
        return []
    declared = stack.wanted.template.get("Parameters") or {}
    hidden = {name for name, about in declared.items() if str(about.get("NoEcho", "false")).lower() == "true"}
    values = stack.wanted.parameters.items()
    return [{"ParameterKey": name, "ParameterValue": "****" if name in hidden else value} for name, value in values]


def _summarized(stack: Stack) -> Result:
    shown = _described(stack)
    shown["TemplateDescription"] = shown.pop("Description")
    return shown


def _resources(stack: Stack) -> List[Made]:
    """Resources of a stack; of one that goes or has gone, those that are gone, too."""
    gone = {} if stack.status.startswith(("CREATE", "UPDATE", "REVIEW")) else stack.gone
    return sorted({**gone, **stack.resources}.values(), key=lambda made: made.name)


def _resource(stack: Stack, made: Made, time: str) -> Result:
    return {
        "StackName": stack.name,
        "StackId": stack.id,
        "LogicalResourceId": made.name,
        "PhysicalResourceId": made.physical or None,
        "ResourceType": made.kind,
        time: made.updated,
        "ResourceStatus": made.status,
        "ResourceStatusReason": made.reason,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }
