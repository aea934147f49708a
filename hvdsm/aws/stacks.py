"""Outputs of CloudFormation stacks: the VPC that a job runs in."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence

from hvdsm.aws.failures import code_of, message_of, translated
from hvdsm.aws.session import Aws
from hvdsm.errors import ConfigError

# States of a stack whose outputs are those of resources that are there.
_WHOLE = re.compile(r"(?:CREATE|UPDATE|IMPORT|UPDATE_ROLLBACK|IMPORT_ROLLBACK)_COMPLETE(?:_CLEANUP_IN_PROGRESS)?")
_SUBNET = re.compile(r"(?:Private)?Subnet(?:Id)?(\d*)(?:Id)?", re.IGNORECASE)
_SUBNETS = ("Subnets", "SubnetIds", "PrivateSubnets", "PrivateSubnetIds")
_GROUPS = ("SecurityGroupIds", "SecurityGroups", "SecurityGroupId", "SecurityGroup")
ENCRYPTED_GROUP = "TrafficEncryptedSecurityGroupId"


def outputs(aws: Aws, stack: str) -> Dict[str, str]:
    """The outputs of a stack by name.

    Raises:
        ConfigError: there is no such stack, or it is not complete.
        CloudUnavailable: AWS cannot be used.
    """
    with translated("read the stack", f"stack {stack} in {aws.region}"):
        try:
            found = aws.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        except Exception as error:
            if code_of(error) == "ValidationError" and "does not exist" in message_of(error):
                raise ConfigError(
                    f"there is no stack of this name in {aws.region}",
                    where=f"stack {stack}",
                    remedy=f"hvdsm vpc deploy {stack} makes one; aws cloudformation list-stacks; or name its region: --region",
                ) from error
            raise
    if not found:
        raise ConfigError(f"there is no stack of this name in {aws.region}", where=f"stack {stack}", remedy="check the name")
    status = str(found[0].get("StackStatus") or "")
    if status and not _WHOLE.fullmatch(status):
        raise ConfigError(
            f"its state is {status}: its resources need not be there",
            where=f"stack {stack} in {aws.region}",
            remedy=_remedy(stack, status, aws.region),
        )
    return {str(entry["OutputKey"]): str(entry["OutputValue"]) for entry in found[0].get("Outputs") or ()}


def _remedy(stack: str, status: str, region: str) -> str:
    """What to do about a stack in such a state, whoever made it."""
    more = f"hvdsm vpc status {stack} --region {region}"
    if status.startswith("DELETE_"):
        return f"name another stack, or make it anew once it is gone; what is with it: {more}"
    if status.endswith("_IN_PROGRESS"):
        return f"wait until it is complete, and run it again; how far it is: {more}"
    return f"it stays so until it is put right or made anew; why it is so: {more}"


def vpc_config(found: Mapping[str, str], stack: str, *, encrypted: bool = False) -> Dict[str, List[str]]:
    """A request's VpcConfig from a stack's outputs.

    An output ``VpcConfig`` (JSON) is taken as it is.  Else subnets come from outputs like ``Subnet1Id`` and ``Subnet2Id``, or a
    list ``SubnetIds``, and security groups from ``SecurityGroupId`` or a list ``SecurityGroupIds``.

    Args:
        found: the outputs.
        stack: the stack's name, for messages.
        encrypted: whether traffic between hosts is encrypted; then an output ``TrafficEncryptedSecurityGroupId`` is the group,
            which lets the encrypted protocols through.

    Raises:
        ConfigError: the outputs name no subnet or no security group.
    """
    config = _whole_config(found, stack)
    if config is not None and not (encrypted and found.get(ENCRYPTED_GROUP)):
        return config
    subnets = config["Subnets"] if config is not None else _subnets(found)
    groups = _groups(found, encrypted) if config is None else [found[ENCRYPTED_GROUP]]
    for what, names, values in (("subnet", ("Subnet1Id", *_SUBNETS), subnets), ("security group", _GROUPS, groups)):
        if not values:
            near = _near(names, found)
            raise ConfigError(
                f"has no output that names a {what}; its outputs: {', '.join(sorted(found)) or 'none'}",
                where=f"stack {stack}",
                remedy=f"give it an output {names[0]}{f' (it has {near})' if near else ''}, or use --subnet and --security-group",
            )
    return {"SecurityGroupIds": groups, "Subnets": subnets}


def all_subnets(found: Mapping[str, str], stack: str) -> List[str]:
    """Every subnet that a stack's outputs name, one for each zone: those of an output ``VpcConfig`` first.

    Raises:
        ConfigError: the output ``VpcConfig`` is none.
    """
    config = _whole_config(found, stack)
    return list(dict.fromkeys([*(config["Subnets"] if config is not None else ()), *_subnets(found)]))


def _whole_config(found: Mapping[str, str], stack: str) -> Optional[Dict[str, List[str]]]:
    if "VpcConfig" not in found:
        return None
    try:
        value: Any = json.loads(found["VpcConfig"])
    except ValueError:
        value = None
    wanted = ("SecurityGroupIds", "Subnets")
    if not isinstance(value, dict) or set(value) != set(wanted) or not all(_is_names(value[name]) for name in wanted):
        raise ConfigError(
            f"is no VpcConfig: {found['VpcConfig']}",
            where=f"stack {stack}, output VpcConfig",
            remedy='make it {"SecurityGroupIds": ["sg-…"], "Subnets": ["subnet-…"]}',
        )
    return {name: list(value[name]) for name in wanted}


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) and name for name in value)


def _subnets(found: Mapping[str, str]) -> List[str]:
    for name in _SUBNETS:
        if found.get(name):
            return _listed(found[name])
    numbered = [(int(parts[1] or 0), name) for name in found for parts in [_SUBNET.fullmatch(name)] if parts and found[name]]
    return [found[name] for _, name in sorted(numbered)]


def _groups(found: Mapping[str, str], encrypted: bool) -> List[str]:
    if encrypted and found.get(ENCRYPTED_GROUP):
        return [found[ENCRYPTED_GROUP]]
    for name in _GROUPS:
        if found.get(name):
            return _listed(found[name])
    return []


def _listed(text: str) -> List[str]:
    """Names from a list in JSON, or with commas between them."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text.split(",")
    names = value if isinstance(value, list) else [value]
    return [str(name).strip() for name in names if str(name).strip()]


def _near(names: Sequence[str], found: Mapping[str, str]) -> Optional[str]:
    for name in names:
        near: List[str] = difflib.get_close_matches(name, list(found), 1, 0.75)
        if near:
            return near[0]
    return None
