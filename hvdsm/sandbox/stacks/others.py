"""Log groups, roles and flow logs of stacks; any other type as moto makes it, or as a name only."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Tuple

from hvdsm.sandbox.stacks.records import Made
from hvdsm.sandbox.stacks.world import World, generated, refused, tags_of
from hvdsm.sandbox.wire import ServiceError

Props = Mapping[str, Any]
Result = Tuple[str, Dict[str, Any]]


def create_log_group(world: World, made: Made, props: Props) -> Result:
    """AWS::Logs::LogGroup."""
    name = props.get("LogGroupName") or generated(str(props.get("_stack", "stack")), made)
    try:
        world.logs.handle("CreateLogGroup", {"logGroupName": name, "tags": tags_of(props)})
    except ServiceError as error:
        raise refused(f"{name} already exists", "AlreadyExistsException", "CloudWatchLogs", error.status) from None
    _retain(world, name, props)
    # EC2 looks there whether the group of a flow log exists.
    logs = _moto_logs(world)
    if not logs.describe_log_groups(log_group_name_prefix=name)[0]:
        logs.create_log_group(name, {})
    return name, {"Arn": f"arn:aws:logs:{world.region}:{world.account}:log-group:{name}:*"}


def _moto_logs(world: World) -> Any:
    from moto.logs.models import logs_backends

    return logs_backends[world.account][world.region]


def _retain(world: World, name: str, props: Props) -> None:
    days = props.get("RetentionInDays")
    with world.logs.store.lock:
        world.logs.store.group(name).retention = None if days is None else int(days)


def update_log_group(world: World, made: Made, _old: Props, new: Props) -> None:
    """How long it keeps its events."""
    _retain(world, made.physical, new)


def delete_log_group(world: World, made: Made) -> None:
    """A group that is gone already is no error."""
    try:
        world.logs.handle("DeleteLogGroup", {"logGroupName": made.physical})
    except ServiceError as error:
        if error.code != "ResourceNotFoundException":
            raise
    logs = _moto_logs(world)
    if logs.describe_log_groups(log_group_name_prefix=made.physical)[0]:
        logs.delete_log_group(made.physical)


def create_role(world: World, made: Made, props: Props) -> Result:
    """AWS::IAM::Role."""
    iam = world.client("iam")
    name = props.get("RoleName") or generated(str(props.get("_stack", "stack")), made, 64)
    asked: Dict[str, Any] = {"RoleName": name, "AssumeRolePolicyDocument": _document(props["AssumeRolePolicyDocument"])}
    asked["Path"] = props.get("Path", "/")
    for key in ("Description", "MaxSessionDuration", "PermissionsBoundary"):
        if key in props:
            asked[key] = props[key]
    asked["Tags"] = [{"Key": key, "Value": value} for key, value in tags_of(props).items()]
    role = iam.create_role(**asked)["Role"]
    _policies(world, name, {}, props)
    return name, {"Arn": role["Arn"], "RoleId": role["RoleId"]}


def _document(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _policies(world: World, role: str, old: Props, new: Props) -> None:
    iam = world.client("iam")
    after = {entry["PolicyName"]: entry["PolicyDocument"] for entry in new.get("Policies") or []}
    for entry in old.get("Policies") or []:
        if entry["PolicyName"] not in after:
            iam.delete_role_policy(RoleName=role, PolicyName=entry["PolicyName"])
    for name, document in after.items():
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=_document(document))
    before, now = list(old.get("ManagedPolicyArns") or []), list(new.get("ManagedPolicyArns") or [])
    for arn in before:
        if arn not in now:
            iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    for arn in now:
        if arn not in before:
            iam.attach_role_policy(RoleName=role, PolicyArn=arn)


def update_role(world: World, made: Made, old: Props, new: Props) -> None:
    """Who may take it, and what it may do."""
    document = _document(new["AssumeRolePolicyDocument"])
    world.client("iam").update_assume_role_policy(RoleName=made.physical, PolicyDocument=document)
    _policies(world, made.physical, old, new)


def delete_role(world: World, made: Made) -> None:
    """With its policies."""
    iam = world.client("iam")
    try:
        names: List[str] = iam.list_role_policies(RoleName=made.physical)["PolicyNames"]
    except iam.exceptions.NoSuchEntityException:
        return
    for name in names:
        iam.delete_role_policy(RoleName=made.physical, PolicyName=name)
    for policy in iam.list_attached_role_policies(RoleName=made.physical)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=made.physical, PolicyArn=policy["PolicyArn"])
    iam.delete_role(RoleName=made.physical)


def create_flow_log(world: World, _made: Made, props: Props) -> Result:
    """AWS::EC2::FlowLog."""
    asked = {"ResourceIds": [props["ResourceId"]], "ResourceType": props["ResourceType"]}
    for key in ("TrafficType", "LogDestinationType", "LogDestination", "LogGroupName", "DeliverLogsPermissionArn", "LogFormat"):
        if key in props:
            asked[key] = props[key]
    if "MaxAggregationInterval" in props:
        asked["MaxAggregationInterval"] = int(props["MaxAggregationInterval"])
    answer = world.ec2.create_flow_logs(**asked)
    for failed in answer.get("Unsuccessful") or []:
        raise refused(failed["Error"]["Message"], failed["Error"]["Code"])
    name = answer["FlowLogIds"][0]
    return name, {"Id": name}


def delete_flow_log(world: World, made: Made) -> None:
    """What it has written stays."""
    world.ec2.delete_flow_logs(FlowLogIds=[made.physical])


def create_any(world: World, made: Made, props: Props) -> Result:
    """Any other type: by moto, where it can; else it is only a name."""
    model = _model(made.kind)
    if model is None:
        return generated(str(props.get("_stack", "stack")), made), {}
    asked: Dict[str, Any] = {
        "Type": made.kind,
        "Properties": {key: value for key, value in props.items() if not key.startswith("_")},
    }
    name = generated(str(props.get("_stack", "stack")), made, 63)
    if made.kind == "AWS::S3::Bucket":
        name = asked["Properties"].get("BucketName") or name.lower()
    try:
        found = model.create_from_cloudformation_json(
            name, asked, world.account, world.region, LogicalId=made.name, StackId="", ResourceType=made.kind
        )
    except NotImplementedError:
        return name, {}
    except Exception as error:
        raise refused(str(error), type(error).__name__, made.kind.split("::")[1]) from None
    made.attributes["_object"] = found
    return str(found.physical_resource_id or name), {}


def _model(kind: str) -> Any:
    from moto.cloudformation.parsing import get_model_map

    models: Dict[str, Any] = dict(get_model_map())
    return models.get(kind)


def any_attribute(made: Made, name: str) -> Any:
    """What ``Fn::GetAtt`` gives of any other type."""
    found = made.attributes.get("_object")
    if found is not None:
        try:
            return found.get_cfn_attribute(name)
        except Exception:
            # moto does not know this attribute: it is made up, as for types that it does not know.
            return f"{made.physical}-{name}"
    return f"arn:aws:{made.kind.split('::')[1].lower()}:::{made.physical}" if name == "Arn" else f"{made.physical}-{name}"


def delete_any(world: World, made: Made) -> None:
    """Any other type."""
    model = _model(made.kind)
    if model is None or made.attributes.get("_object") is None:
        return
    asked = {"Type": made.kind, "Properties": dict(made.properties)}
    try:
        model.delete_from_cloudformation_json(made.physical, asked, world.account, world.region)
    except NotImplementedError:
        return
    except Exception as error:
        raise refused(str(error), type(error).__name__, made.kind.split("::")[1]) from None
