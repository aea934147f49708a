"""Security groups of stacks, and their rules."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Tuple

from hvdsm.sandbox.stacks.records import Made
from hvdsm.sandbox.stacks.world import World, dependency, generated

Props = Mapping[str, Any]
Result = Tuple[str, Dict[str, Any]]
_EVERYTHING = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def permission(rule: Props) -> Dict[str, Any]:
    """A rule of a template as EC2 takes it."""
    protocol = str(rule["IpProtocol"])
    made: Dict[str, Any] = {"IpProtocol": protocol}
    if protocol != "-1":
        # moto wants ports of every protocol; -1 is every port.
        made.update(FromPort=int(rule.get("FromPort", -1)), ToPort=int(rule.get("ToPort", -1)))
    about = {"Description": rule["Description"]} if rule.get("Description") else {}
    group = rule.get("SourceSecurityGroupId") or rule.get("DestinationSecurityGroupId")
    prefixes = rule.get("SourcePrefixListId") or rule.get("DestinationPrefixListId")
    if group:
        made["UserIdGroupPairs"] = [{"GroupId": group, **about}]
    elif prefixes:
        made["PrefixListIds"] = [{"PrefixListId": prefixes, **about}]
    elif rule.get("CidrIpv6"):
        made["Ipv6Ranges"] = [{"CidrIpv6": rule["CidrIpv6"], **about}]
    else:
        made["IpRanges"] = [{"CidrIp": rule.get("CidrIp"), **about}]
    return made


def create_group(world: World, made: Made, props: Props) -> Result:
    """AWS::EC2::SecurityGroup."""
    stack = str(props.get("_stack", "stack"))
    name = props.get("GroupName") or generated(stack, made)
    asked = {"GroupName": name, "Description": props["GroupDescription"]}
    if props.get("VpcId"):
        asked["VpcId"] = props["VpcId"]
    identifier = world.ec2.create_security_group(**asked)["GroupId"]
    try:
        rules = _listed(props, "SecurityGroupIngress"), _listed(props, "SecurityGroupEgress")
        _authorize(world, identifier, "ingress", rules[0])
        if rules[1]:
            world.ec2.revoke_security_group_egress(GroupId=identifier, IpPermissions=[_EVERYTHING])
            _authorize(world, identifier, "egress", rules[1])
        else:
            world.open_egress.add(identifier)
    except Exception:
        # A group whose rules are refused would be left over: nobody knows its ID.
        world.ec2.delete_security_group(GroupId=identifier)
        raise
    return identifier, {"GroupId": identifier, "Id": identifier, "GroupName": name, "VpcId": props.get("VpcId", "")}


def _listed(props: Props, name: str) -> List[Props]:
    found = props.get(name) or []
    return list(found) if isinstance(found, list) else [found]


def _authorize(world: World, group: str, side: str, rules: List[Props]) -> None:
    call = getattr(world.ec2, f"authorize_security_group_{side}")
    if rules:
        call(GroupId=group, IpPermissions=[permission(rule) for rule in rules])


def _revoke(world: World, group: str, side: str, rules: List[Props]) -> None:
    if rules:
        getattr(world.ec2, f"revoke_security_group_{side}")(GroupId=group, IpPermissions=[permission(rule) for rule in rules])


def update_group(world: World, made: Made, old: Props, new: Props) -> None:
    """Rules that stand in the group itself."""
    for side, name in (("ingress", "SecurityGroupIngress"), ("egress", "SecurityGroupEgress")):
        before, after = ({_key(rule): rule for rule in _listed(props, name)} for props in (old, new))
        _revoke(world, made.physical, side, [rule for key, rule in before.items() if key not in after])
        if side == "egress" and after and made.physical in world.open_egress:
            world.open_egress.discard(made.physical)
            world.ec2.revoke_security_group_egress(GroupId=made.physical, IpPermissions=[_EVERYTHING])
        _authorize(world, made.physical, side, [rule for key, rule in after.items() if key not in before])
        if side == "egress" and before and not after:
            world.open_egress.add(made.physical)
            world.ec2.authorize_security_group_egress(GroupId=made.physical, IpPermissions=[_EVERYTHING])


def _key(rule: Props) -> str:
    return json.dumps(permission(rule), sort_keys=True)


def delete_group(world: World, made: Made) -> None:
    """Refused while network interfaces have it, or rules of other groups name it."""
    name = made.physical
    inside = world.ec2.describe_network_interfaces(Filters=[{"Name": "group-id", "Values": [name]}])["NetworkInterfaces"]
    if inside or _is_named(world, name):
        raise dependency(f"resource {name} has a dependent object")
    world.ec2.delete_security_group(GroupId=name)
    world.open_egress.discard(name)


def _is_named(world: World, name: str) -> bool:
    for group in world.ec2.describe_security_groups()["SecurityGroups"]:
        rules = group.get("IpPermissions", []) + group.get("IpPermissionsEgress", [])
        pairs = [pair for rule in rules for pair in rule.get("UserIdGroupPairs", ())]
        if group["GroupId"] != name and any(pair.get("GroupId") == name for pair in pairs):
            return True
    return False


def create_ingress(world: World, made: Made, props: Props) -> Result:
    """AWS::EC2::SecurityGroupIngress."""
    return _create_rule(world, made, props, "ingress")


def create_egress(world: World, made: Made, props: Props) -> Result:
    """AWS::EC2::SecurityGroupEgress; the group loses the rule that it had been given."""
    group = str(props.get("GroupId"))
    result = _create_rule(world, made, props, "egress")
    if group in world.open_egress:
        world.open_egress.discard(group)
        world.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[_EVERYTHING])
    return result


def _create_rule(world: World, _made: Made, props: Props, side: str) -> Result:
    call = getattr(world.ec2, f"authorize_security_group_{side}")
    answer = call(GroupId=props["GroupId"], IpPermissions=[permission(props)])
    rules = answer.get("SecurityGroupRules") or []
    name = rules[0]["SecurityGroupRuleId"] if rules else f"sgr-{_made.name.lower()}"
    return name, {"Id": name}


def update_rule(world: World, made: Made, _old: Props, new: Props) -> None:
    """Its description; the rest needs another rule."""
    side = "ingress" if made.kind.endswith("Ingress") else "egress"
    call = getattr(world.ec2, f"update_security_group_rule_descriptions_{side}")
    call(GroupId=new["GroupId"], IpPermissions=[permission(new)])


def delete_rule(world: World, made: Made) -> None:
    """The rule goes, its group stays."""
    side = "ingress" if made.kind.endswith("Ingress") else "egress"
    _revoke(world, str(made.properties["GroupId"]), side, [made.properties])
