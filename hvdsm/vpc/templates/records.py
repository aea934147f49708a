"""Flow logs of a rendered template, the role that writes them, and what a deletion of the stack would leave behind.

Source of the rules: Amazon VPC User Guide, publish flow logs to CloudWatch Logs; CloudWatch Logs API, PutRetentionPolicy.
"""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from hvdsm.vpc.templates.functions import references
from hvdsm.vpc.templates.groups import Finding
from hvdsm.vpc.templates.iam import Request, allows, like, statements
from hvdsm.vpc.templates.naming import attribute_of, id_of, is_on, words
from hvdsm.vpc.templates.rendering import Rendered

_LOG, _GROUP, _ROLE, _VPC = "AWS::EC2::FlowLog", "AWS::Logs::LogGroup", "AWS::IAM::Role", "AWS::EC2::VPC"
_SERVICE = "vpc-flow-logs.amazonaws.com"
# What the service does with the role.
_WRITES = ("logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams")
_FOREIGN = (
    "logs:DeleteLogGroup",
    "logs:PutRetentionPolicy",
    "s3:GetObject",
    "iam:PassRole",
    "sts:AssumeRole",
    "ec2:RunInstances",
)


def flow_logs(rendered: Rendered) -> Iterator[Finding]:
    """A record of traffic, where it is asked for, that is kept for a time and whose role can do nothing else."""
    asked = rendered.parameters.get("FlowLogs")
    logs = rendered.of_type(_LOG)
    if asked is not None and not is_on(asked):
        for name in [*logs, *rendered.of_type(_GROUP), *rendered.of_type(_ROLE)]:
            yield Finding("flow-logs", name, "is made though FlowLogs is false", "let it depend on the parameter")
        return
    if not logs and rendered.of_type(_VPC):
        remedy = "add AWS::EC2::FlowLog for the network"
        yield Finding("flow-logs", "", "has no flow logs", remedy, "warning" if asked is None else "error")
    for name, entry in logs.items():
        yield from _flow_log(rendered, name, entry)
    for name, entry in rendered.of_type(_GROUP).items():
        days = rendered.parameters.get("FlowLogRetentionDays")
        if not entry.get("RetentionInDays"):
            yield Finding("flow-logs", name, "keeps its records for ever", "set RetentionInDays")
        elif days is not None and str(entry["RetentionInDays"]) != str(days):
            yield Finding(
                "flow-logs", name, f"keeps its records {entry['RetentionInDays']} days, not FlowLogRetentionDays", "set it"
            )
        if isinstance(entry.get("LogGroupName"), str) and rendered.setting.stack not in entry["LogGroupName"]:
            what = "has a name of its own, which a second stack would have too"
            yield Finding("log-group-name", name, what, "leave LogGroupName out")
        if entry.get("LogGroupClass", "STANDARD") != "STANDARD":
            yield Finding("flow-logs", name, f"is of the class {entry['LogGroupClass']}", "leave LogGroupClass out", "warning")
    for name, entry in rendered.of_type(_ROLE).items():
        yield from _role(rendered, name, entry)


def _flow_log(rendered: Rendered, name: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    if rendered.of_type(_VPC) and (entry.get("ResourceType") != "VPC" or id_of(rendered, entry.get("ResourceId"), _VPC) is None):
        yield Finding("flow-logs", name, "does not record the whole network", "set ResourceType to VPC, ResourceId to its id")
    traffic = entry.get("TrafficType")
    if traffic not in ("REJECT", "ALL"):
        yield Finding("flow-logs", name, f"does not record refused traffic but {traffic}", "set TrafficType to REJECT")
    elif traffic == "ALL":
        what = "records all traffic, which costs by the GB and says no more about what was refused"
        yield Finding("flow-logs", name, what, "set TrafficType to REJECT", "warning")
    if str(entry.get("MaxAggregationInterval", 600)) != "60":
        yield Finding("flow-logs", name, "writes every 10 minutes only", "set MaxAggregationInterval to 60", "warning")
    kind = entry.get("LogDestinationType", "cloud-watch-logs")
    if kind in ("s3", "kinesis-data-firehose") and ("LogDestination" not in entry or "LogGroupName" in entry):
        yield Finding("flow-logs", name, f"writes to {kind}, and names a log group or no place there", "name its LogDestination")
    elif kind not in ("cloud-watch-logs", "s3", "kinesis-data-firehose"):
        yield Finding("flow-logs", name, f"writes to {kind}", "set LogDestinationType to cloud-watch-logs")
    if kind == "cloud-watch-logs":
        group, role = entry.get("LogGroupName"), entry.get("DeliverLogsPermissionArn")
        if rendered.of_type(_GROUP) and _log_group(rendered, group, entry.get("LogDestination")) is None:
            yield Finding("flow-logs", name, "writes to no log group of the template", "let LogGroupName be the group")
        if not str(role).startswith("arn:") and attribute_of(rendered, role, _ROLE, "Arn") is None:
            yield Finding("flow-logs", name, "has no role to write with", "let DeliverLogsPermissionArn be the role's Arn")


def _log_group(rendered: Rendered, name: Any, arn: Any) -> Any:
    return id_of(rendered, name, _GROUP) or attribute_of(rendered, arn, _GROUP, "Arn")


def _role(rendered: Rendered, name: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    account = rendered.setting.account
    if not rendered.of_type(_LOG):
        return
    trust = entry.get("AssumeRolePolicyDocument") or {}
    found = statements(trust)
    if not any(_trusts(one) and one.get("Effect") == "Allow" and "sts:AssumeRole" in words(one.get("Action")) for one in found):
        yield Finding("role-trust", name, "cannot be taken on by flow logs", f"trust {_SERVICE} with sts:AssumeRole")
    for one in found:
        if one.get("Effect") != "Allow" or not _trusts(one) or words(one.get("Action")) != ["sts:AssumeRole"]:
            yield Finding("role-trust", name, "trusts others than flow logs", f"trust {_SERVICE} alone, with sts:AssumeRole")
        equal = (one.get("Condition") or {}).get("StringEquals") or {}
        if {key.lower(): words(value) for key, value in equal.items()}.get("aws:sourceaccount") != [account]:
            what = "can be used for flow logs of other accounts"
            yield Finding("role-trust", name, what, "add the condition aws:SourceAccount", "warning")
        if set(one.get("Condition") or {}) - {"StringEquals"} or len(equal) > 1:
            yield Finding("role-trust", name, "has further conditions", "keep aws:SourceAccount alone", "warning")
    if trust.get("Version") != "2012-10-17":
        yield Finding("role-trust", name, f"has the version {trust.get('Version')}", "set Version to 2012-10-17")
    yield from _rights(rendered, name, entry)


def _trusts(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal")
    return isinstance(principal, dict) and set(principal) == {"Service"} and words(principal["Service"]) == [_SERVICE]


def _rights(rendered: Rendered, name: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    documents = [policy.get("PolicyDocument") for policy in entry.get("Policies") or ()]
    for kind in ("AWS::IAM::Policy", "AWS::IAM::RolePolicy", "AWS::IAM::ManagedPolicy"):
        for properties in rendered.of_type(kind).values():
            if name in references([properties.get("Roles"), properties.get("RoleName")]):
                documents.append(properties.get("PolicyDocument"))
    if "ManagedPolicyArns" in entry:
        yield Finding("least-privilege", name, "has managed policies", "write out what it may do")
    groups = list(rendered.of_type(_GROUP))
    for action in _WRITES if documents else ():
        # The Arn of a log group ends in ":*", and stands for its streams; here it stands as a reference.
        if not any(_may_write(rendered, document, action) for document in documents):
            yield Finding("flow-logs", name, f"may not {action}", f"allow it for the log group {groups[0] if groups else ''}")
    if not documents and "ManagedPolicyArns" not in entry:
        yield Finding("flow-logs", name, "may do nothing", f"allow {', '.join(_WRITES)} for the log group")
    for document in documents:
        for statement in statements(document):
            actions, resources = words(statement.get("Action")), statement.get("Resource")
            wide = any("*" in word for word in actions) or "NotAction" in statement
            wide = wide or any(_is_any_group(rendered, text) for text in words(resources))
            if wide or any(allows(document, Request(action, "arn:aws:any", ""), doubtful=True) for action in _FOREIGN):
                yield Finding("least-privilege", name, "may do more than write flow logs", "name actions and the log group")
            elif not set(actions) <= {*_WRITES, "logs:CreateLogGroup", "logs:DescribeLogGroups"}:
                yield Finding("least-privilege", name, f"may {', '.join(actions)}", f"allow {', '.join(_WRITES)} only")
        if not isinstance(document, dict) or document.get("Version") != "2012-10-17":
            yield Finding("flow-logs", name, "has a policy without the version 2012-10-17", "set Version")


def _may_write(rendered: Rendered, document: Any, action: str) -> bool:
    found = statements(document)
    if any(one.get("Effect") != "Allow" or one.get("Condition") for one in found):
        return False
    for one in found:
        resources = one.get("Resource")
        listed = resources if isinstance(resources, list) else [resources]
        if action in words(one.get("Action")) and any(
            attribute_of(rendered, value, _GROUP, "Arn") or (isinstance(value, str) and _is_stream(rendered, value))
            for value in listed
        ):
            return True
    return False


def _stream(rendered: Rendered, name: str, written: str = "") -> str:
    """The ARN of a stream of a log group of the template; a group without a name of its own is given one of the stack's."""
    where = rendered.setting
    given = rendered.of_type(_GROUP).get(name, {}).get("LogGroupName")
    group = written or (given if isinstance(given, str) else f"{where.stack}-{name}-A1B2C3D4E5F6")
    return f"arn:{where.partition}:logs:{where.region}:{where.account}:log-group:{group}:log-stream:eni-0"


def _is_stream(rendered: Rendered, pattern: str) -> bool:
    """Whether a text takes the streams of a log group of the template, or of any where the template has none."""
    groups = list(rendered.of_type(_GROUP))
    if not groups:
        return "log" in pattern or pattern == "*"
    for name in groups:
        text = pattern.replace(f"${{{name}.Arn}}", f"{_stream(rendered, name).partition(':log-stream:')[0]}:*")
        stream = _stream(rendered, name, f"${{{name}}}") if f"${{{name}}}" in text else _stream(rendered, name)
        # As it may be written for the group alone.
        if any(like(form, stream) for form in (text, f"{text}:*")):
            return True
    return False


def _is_any_group(rendered: Rendered, pattern: str) -> bool:
    return like(pattern, _stream(rendered, "", "/somebodys/group"))


def retained(rendered: Rendered) -> Iterator[Finding]:
    """Nothing stays behind when the stack is deleted, and nothing has a name that a second stack would have too."""
    for name, entry in rendered.resources.items():
        for key in ("DeletionPolicy", "UpdateReplacePolicy"):
            if entry.get(key, "Delete") != "Delete":
                what = f"would stay behind, by {key} {entry[key]}: its network could not be deleted, or costs went on"
                yield Finding("retained", name, what, f"take {key} away")
        for key in ("RoleName", "GroupName"):
            given = (entry.get("Properties") or {}).get(key)
            if isinstance(given, str) and rendered.setting.stack not in given:
                yield Finding("fixed-name", name, f"has the {key} {given}, which a second stack would have too", "leave it out")
