"""Outputs of a rendered template: what it hands to jobs and to other stacks."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator

from hvdsm.vpc.templates.groups import Finding
from hvdsm.vpc.templates.naming import id_of
from hvdsm.vpc.templates.rendering import Rendered

_VPC, _SUBNET, _GROUP = "AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::SecurityGroup"


def outputs(rendered: Rendered) -> Iterator[Finding]:
    """Outputs by the names that hvdsm reads, each exported under a name of its own."""
    count = len(rendered.of_type(_SUBNET))
    kinds: Dict[str, str] = {"VpcId": _VPC, "SecurityGroupId": _GROUP}
    kinds.update({f"Subnet{number}Id": _SUBNET for number in range(1, count + 1)})
    for name, kind in kinds.items():
        if not rendered.of_type(kind):
            continue
        if name not in rendered.outputs:
            yield Finding("outputs", "", f"has no output {name}", "add it: hvdsm launch --vpc-stack reads it")
        elif id_of(rendered, rendered.outputs[name].get("Value"), kind) is None:
            yield Finding("outputs", name, f"is no {kind}", "let it be the resource's id")
    for name in sorted(rendered.outputs):
        if name.startswith("Subnet") and name.endswith("Id") and name not in kinds:
            yield Finding("outputs", name, f"is one of {count} subnets", "number them from 1")
    if "TrafficEncryptedSecurityGroupId" not in rendered.outputs:
        what = "has no output TrafficEncryptedSecurityGroupId"
        yield Finding("outputs", "", what, "add the group for jobs with encrypted traffic", "warning")
    places = [
        str(rendered.outputs[name].get("Value")) for name, kind in kinds.items() if name in rendered.outputs and kind == _SUBNET
    ]
    if len(set(places)) != len(places):
        yield Finding("outputs", "", "names one subnet twice", "let each output name its own")
    yield from _exports(rendered)
    if "VpcConfig" in rendered.outputs:
        yield from _vpc_config(rendered, rendered.outputs["VpcConfig"].get("Value"))
    else:
        yield Finding("vpc-config", "", "has no output VpcConfig", "add it, as JSON for a request", "warning")


def _exports(rendered: Rendered) -> Iterator[Finding]:
    seen: Dict[str, str] = {}
    for name, entry in rendered.outputs.items():
        export = str((entry.get("Export") or {}).get("Name", ""))
        if export != f"{rendered.setting.stack}-{name}":
            what = f"is exported as {export}" if export else "is not exported"
            remedy = f"export it as STACK-{name}, so that two stacks do not meet"
            yield Finding("exports", name, what, remedy, "error" if export else "warning")
        if export and export in seen:
            yield Finding("exports", name, f"is exported as {export}, as {seen[export]} is", "give each a name of its own")
        seen[export] = name


def _vpc_config(rendered: Rendered, value: Any) -> Iterator[Finding]:
    try:
        made = json.loads(value)
        given, groups = list(made["Subnets"]), list(made["SecurityGroupIds"])
    except (TypeError, ValueError, KeyError):
        yield Finding("vpc-config", "VpcConfig", "is not JSON with Subnets and SecurityGroupIds", "write it as a request has it")
        return
    if set(made) != {"Subnets", "SecurityGroupIds"}:
        yield Finding("vpc-config", "VpcConfig", f"has {', '.join(sorted(made))}", "keep Subnets and SecurityGroupIds alone")
    first, group = _output(rendered, "Subnet1Id", _SUBNET), _output(rendered, "SecurityGroupId", _GROUP)
    if first is None or [id_of(rendered, item, _SUBNET) for item in given] != [first]:
        remedy = "one job, one subnet: EFA does not cross zones"
        yield Finding("vpc-config", "VpcConfig", "does not name exactly the first subnet", remedy)
    if group is None or [id_of(rendered, item, _GROUP) for item in groups] != [group]:
        yield Finding("vpc-config", "VpcConfig", "does not name exactly the instances' group", "name it")


def _output(rendered: Rendered, name: str, kind: str) -> Any:
    return id_of(rendered, rendered.outputs[name].get("Value"), kind) if name in rendered.outputs else None
