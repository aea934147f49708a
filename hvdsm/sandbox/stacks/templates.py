"""Templates as CloudFormation takes them: parameters, rules, capabilities, imports; refused with the service's own words.

Source: the AWS CloudFormation User Guide (template anatomy) and messages of the service.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set

from hvdsm.errors import ConfigError
from hvdsm.sandbox.stacks.records import Wanted
from hvdsm.sandbox.wire import ServiceError
from hvdsm.vpc.templates.reading import MOST_BYTES, load
from hvdsm.vpc.templates.rendering import Setting, render

# What the renderer does not know is given to it under this name, and put in afterwards.
_IMPORT = "ImportValue"
# Types whose making gives somebody permissions, and the property that names them.
_PERMISSIONS = {
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Policy": "",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::AccessKey": "",
    "AWS::IAM::UserToGroupAddition": "",
}


def bad(message: str) -> ServiceError:
    """A ValidationError."""
    return ServiceError("ValidationError", message)


def parsed(body: str) -> Dict[str, Any]:
    """A template from its text.

    Raises:
        ServiceError: it is too large, or is none.
    """
    if len(body.encode()) > MOST_BYTES:
        text = f"1 validation error detected: Value '{body[:40]}...' at 'templateBody' failed to satisfy constraint: "
        raise bad(f"{text}Member must have length less than or equal to {MOST_BYTES}")
    try:
        template = load(body)
    except ConfigError as error:
        raise bad(f"Template format error: {_format_error(error)}") from None
    for name, entry in template["Resources"].items():
        if not isinstance(entry, dict) or "Type" not in entry:
            raise bad(f"Template format error: [/Resources/{name}] Every Resources object must contain a Type member.")
        if not re.fullmatch(r"[A-Za-z0-9]+", str(name)):
            raise bad(f"Template format error: Resource name {name} is non alphanumeric.")
    if not template["Resources"]:
        raise bad("Template format error: At least one Resources member must be defined.")
    unknown = sorted(set(template) - _SECTIONS)
    if unknown:
        raise bad(f"Template format error: Invalid template property or properties [{', '.join(map(str, unknown))}]")
    _check_names(template)
    return template


_SECTIONS = {
    "AWSTemplateFormatVersion",
    "Description",
    "Metadata",
    "Parameters",
    "Rules",
    "Mappings",
    "Conditions",
    "Transform",
    "Resources",
    "Outputs",
    "Hooks",
}


def _format_error(error: ConfigError) -> str:
    text = error.what
    if "has no Resources" in text:
        return "At least one Resources member must be defined."
    where = re.search(r"line (\d+), column (\d+)", text)
    return f"YAML not well-formed. (line {where[1]}, column {where[2]})" if where else "unsupported structure."


def _check_names(template: Mapping[str, Any]) -> None:
    """References to what the template does not have, in whatever condition."""
    known = set(template["Resources"]) | set(template.get("Parameters") or {})
    unknown: List[str] = []

    def look(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                look(item)
        elif isinstance(value, dict):
            for key, inner in value.items():
                if key == "Ref" and len(value) == 1 and isinstance(inner, str) and not inner.startswith("AWS::"):
                    unknown.extend([] if inner in known else [inner])
                look(inner)

    look(template["Resources"])
    if unknown:
        names = ", ".join(sorted(set(unknown)))
        raise bad(f"Template format error: Unresolved resource dependencies [{names}] in the Resources block of the template")


def capabilities(template: Mapping[str, Any]) -> Optional[str]:
    """What has to be acknowledged, None if nothing."""
    found = [entry for entry in template["Resources"].values() if entry["Type"] in _PERMISSIONS]
    if not found:
        return None
    named = any(_PERMISSIONS[entry["Type"]] in (entry.get("Properties") or {}) for entry in found)
    return "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"


def check_capabilities(template: Mapping[str, Any], given: Sequence[str]) -> None:
    """Refuse a template whose permissions nobody has acknowledged.

    Raises:
        ServiceError: InsufficientCapabilitiesException.
    """
    needed = capabilities(template)
    if needed and needed not in given and not (needed == "CAPABILITY_IAM" and "CAPABILITY_NAMED_IAM" in given):
        raise ServiceError("InsufficientCapabilitiesException", f"Requires capabilities : [{needed}]")


def values(template: Mapping[str, Any], given: Sequence[Mapping[str, Any]], previous: Optional[Wanted]) -> Dict[str, str]:
    """The value of each parameter.

    Args:
        template: the template.
        given: as in a request.
        previous: the version that the stack has.

    Raises:
        ServiceError: one is missing, unknown, or refused by its own rules.
    """
    declared = template.get("Parameters") or {}
    found = {name: str(about["Default"]) for name, about in declared.items() if "Default" in about}
    for entry in given:
        name = entry.get("ParameterKey", "")
        if entry.get("UsePreviousValue"):
            if previous is None or name not in previous.parameters:
                raise bad(
                    f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true for a parameter key not in "
                    "the previous template"
                )
            found[name] = previous.parameters[name]
        else:
            found[name] = entry.get("ParameterValue", "")
    unknown = [name for name in found if name not in declared]
    if unknown:
        raise bad(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    missing = [name for name in declared if name not in found]
    if missing:
        raise bad(f"Parameters: [{', '.join(missing)}] must have values")
    for name, about in declared.items():
        _check_value(name, found[name], about)
    return found


def _check_value(name: str, value: str, about: Mapping[str, Any]) -> None:
    why = about.get("ConstraintDescription")

    def refused(otherwise: str) -> ServiceError:
        return bad(f"Parameter {name} failed to satisfy constraint: {why}" if why else otherwise)

    allowed, pattern = about.get("AllowedValues"), about.get("AllowedPattern")
    # Each value of a list has to do.
    items = [item.strip() for item in value.split(",")] if "List" in str(about.get("Type")) else [value]
    if allowed is not None and not {*items} <= {str(item) for item in allowed}:
        raise refused(f"Parameter '{name}' must be one of AllowedValues")
    if pattern is not None and not all(re.fullmatch(str(pattern), item) for item in items):
        raise refused(f"Parameter '{name}' must match pattern {pattern}")
    if not int(about.get("MinLength", 0)) <= len(value) <= int(about.get("MaxLength", 4096)):
        raise refused(f"Parameter '{name}' must contain at least {about.get('MinLength', 0)} characters")
    if about.get("Type") == "Number":
        try:
            number = float(value)
        except ValueError:
            raise refused(f"Parameter '{name}' must be a number") from None
        if number < float(about.get("MinValue", "-inf")):
            raise refused(f"Parameter '{name}' must be a number not less than {about['MinValue']}")
        if number > float(about.get("MaxValue", "inf")):
            raise refused(f"Parameter '{name}' must be a number not greater than {about['MaxValue']}")


def wanted(
    body: str,
    template: Mapping[str, Any],
    parameters: Mapping[str, str],
    setting: Setting,
    stack_id: str,
    exports: Mapping[str, str],
) -> Wanted:
    """A version of a stack from its template.

    Raises:
        ServiceError: the template does not hold with these parameters, or uses an export that is not there.
    """
    prepared = _prepared(template, stack_id)
    try:
        rendered = render(prepared, parameters, setting)
    except ConfigError as error:
        if ": rule " in str(error.where):
            raise bad(f"Template validation error: Rule {str(error.where).rpartition('rule ')[2]} failed: {error.what}") from None
        raise bad(f"Template error: {error.what} ({error.where})") from None
    used: Set[str] = set()

    def put_in(value: Any) -> Any:
        if isinstance(value, list):
            return [put_in(item) for item in value]
        if isinstance(value, dict):
            if list(value) == [_IMPORT]:
                name = str(value[_IMPORT])
                if name not in exports:
                    raise bad(f"No export named {name} found.")
                used.add(name)
                return exports[name]
            return {key: put_in(inner) for key, inner in value.items()}
        return value

    entries, outputs = put_in(rendered.resources), put_in(rendered.outputs)
    description = template.get("Description")
    return Wanted(body, template, dict(parameters), entries, outputs, imports=sorted(used), description=description)


def _prepared(value: Any, stack_id: str) -> Any:
    if isinstance(value, list):
        return [_prepared(item, stack_id) for item in value]
    if isinstance(value, dict):
        if value == {"Ref": "AWS::StackId"}:
            return stack_id
        if value == {"Ref": "AWS::NotificationARNs"}:
            return []
        return {_IMPORT if key == "Fn::ImportValue" else key: _prepared(inner, stack_id) for key, inner in value.items()}
    return value.replace("${AWS::StackId}", stack_id) if isinstance(value, str) else value


def summary(template: Mapping[str, Any]) -> Dict[str, Any]:
    """What GetTemplateSummary and ValidateTemplate say of a template."""
    needed = capabilities(template)
    named = [entry["Type"] for entry in template["Resources"].values() if entry["Type"] in _PERMISSIONS]
    listed = []
    for name, about in (template.get("Parameters") or {}).items():
        entry: Dict[str, Any] = {"ParameterKey": name, "ParameterType": about.get("Type", "String")}
        entry["NoEcho"] = str(about.get("NoEcho", "false")).lower() == "true"
        entry["Description"] = about.get("Description")
        entry["DefaultValue"] = None if "Default" not in about else str(about["Default"])
        if "AllowedValues" in about:
            entry["ParameterConstraints"] = {"AllowedValues": [str(item) for item in about["AllowedValues"]]}
        listed.append(entry)
    return {
        "Parameters": listed,
        "Description": template.get("Description"),
        "Capabilities": [needed] if needed else [],
        "CapabilitiesReason": f"The following resource(s) require capabilities: [{', '.join(sorted(set(named)))}]"
        if needed
        else None,
        "ResourceTypes": sorted({entry["Type"] for entry in template["Resources"].values()}),
        "Version": str(template.get("AWSTemplateFormatVersion", "2010-09-09")),
        "Metadata": None,
        "DeclaredTransforms": [],
    }
