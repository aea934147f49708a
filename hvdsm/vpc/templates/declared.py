"""What a template declares, before any value is put in: defaults that suit, and parameters that refuse what cannot work."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Dict, Iterator, List, Mapping, Set, Tuple

from hvdsm.vpc.templates.groups import Finding

# Parameters that hvdsm gives values to: their defaults and what they may be.
_KNOWN: Mapping[str, Tuple[str, Tuple[str, ...], str]] = {
    "AvailabilityZoneCount": ("1", ("1", "2", "3"), "one zone is best for latency"),
    "InterfaceEndpoints": ("none", ("none", "core", "full"), "endpoints cost by the hour"),
    "FlowLogs": ("true", ("true", "false"), "without them nobody sees what was refused"),
}
# Days that CloudWatch Logs can keep records, up to a year.  Source: CloudWatch Logs API, PutRetentionPolicy.
_DAYS = {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365}
_TYPE = re.compile(r"String|Number|CommaDelimitedList|List<(Number|AWS::[\w:]+)>|AWS::[\w:]+(<.+>)?")
_BAD_BLOCKS = (
    "",
    "10.0.0.0",
    "10.0.0.0/8",
    "10.0.0.0/29",
    "10.0.0.0/33",
    "10.0.0.0/3",
    "10.0.0/24",
    "10.0.0.256/24",
    "10.300.0.0/16",
    "10.0.0.0/24 ",
    "0.0.0.0/0",
    "8.8.0.0/20",
    "172.32.0.0/20",
    "172.15.0.0/20",
    "192.169.0.0/20",
    "100.63.0.0/20",
    "110.0.0.0/24",
    "11.0.0.0/20",
    "10.0.0.0/24,10.0.1.0/24",
    "x10.0.0.0/24",
    "10a0.0.0/24",
)
_GOOD_BLOCKS = (
    "10.0.0.0/16",
    "10.255.254.0/24",
    "172.16.0.0/20",
    "172.31.0.0/20",
    "192.168.0.0/24",
    "100.64.0.0/20",
    "100.127.9.0/24",
)
_BAD_ZONES = (
    "us-east-1",
    "useast1a",
    "us-east-1a,us-east-1b",
    "us-east-1A",
    "US-EAST-1a",
    "us-east-1a ",
    "a",
    "1a",
    "us-1a",
    "us-east-a",
)
_GOOD_ZONES = ("", "us-east-1a", "eu-central-1b", "us-gov-west-1c", "ap-southeast-3a", "cn-north-1a")
_BAD_BUCKETS = (
    "*",
    "arn:aws:s3:::*",
    "open-data",
    "arn:aws:s3:::a*",
    "arn:aws:s3:::open-data/*",
    "arn:aws:iam::123456789012:root",
)
_GOOD_BUCKETS = ("", "arn:aws:s3:::open-data", "arn:aws-cn:s3:::open.data", "arn:aws-us-gov:s3:::o1d")


def declared(template: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with a template's parameters."""
    parameters: Mapping[str, Mapping[str, Any]] = template.get("Parameters") or {}
    for name, (default, allowed, why) in _KNOWN.items():
        about = parameters.get(name)
        if about is None:
            continue
        if str(about.get("Default")) != default:
            yield Finding("defaults", name, f"is {about.get('Default')} by default", f"make it {default}: {why}", "warning")
        if sorted(str(value) for value in about.get("AllowedValues") or ()) != sorted(allowed):
            yield Finding("allowed-values", name, "allows other values than hvdsm gives", f"allow {', '.join(allowed)}")
    for name, about in parameters.items():
        if not _TYPE.fullmatch(str(about.get("Type"))):
            yield Finding("parameter-type", name, f"has the type {about.get('Type')}", "make it String, Number or a type of AWS")
        yield from _readable(name, about)
        if "Default" not in about:
            yield Finding("defaults", name, "has no default, so that a deployment needs a value", "give it one", "note")
        elif about["Default"] == "" and re.search(r"AWS::(?!SSM)", str(about.get("Type"))):
            what = f"is of the type {about['Type']}, which takes no empty value, and is empty by default"
            yield Finding("defaults", name, what, "make it a String, or take the default away")
    uses = _uses(template)
    for name, about in parameters.items():
        if "AWS::EC2" in str(about.get("Type")) or "AWS::SSM" in str(about.get("Type")):
            continue
        if "CidrBlock" in uses.get(name, ()):
            yield from _pattern(name, about, _GOOD_BLOCKS, _BAD_BLOCKS, "blocks of private addresses")
        if "AvailabilityZone" in uses.get(name, ()):
            yield from _pattern(name, about, _GOOD_ZONES[1:], _BAD_ZONES, "names of zones")
        if name == "ReadOnlyBucketArns":
            yield from _pattern(name, about, _GOOD_BUCKETS, _BAD_BUCKETS, "ARNs of buckets")
    days = parameters.get("FlowLogRetentionDays")
    if days is not None:
        listed = list(days.get("AllowedValues") or ())
        if not listed or not {int(value) for value in listed} <= _DAYS:
            yield Finding(
                "allowed-values", "FlowLogRetentionDays", "allows times that CloudWatch Logs does not", "list its times"
            )
        if not 7 <= int(days.get("Default", 0)) <= 90:
            what = f"is {days.get('Default')} by default"
            yield Finding(
                "defaults", "FlowLogRetentionDays", what, "make it some weeks: long enough to look, not to pay", "warning"
            )


def _readable(name: str, about: Mapping[str, Any]) -> Iterator[Finding]:
    """A pattern that is none; one with an escape of Java's may be one for CloudFormation, and is not tried here."""
    try:
        re.compile(str(about.get("AllowedPattern", "")))
    except re.error as error:
        own = str(error).startswith("bad escape")
        what = f"its AllowedPattern cannot be tried here: {error}" if own else f"its AllowedPattern is none: {error}"
        yield Finding("pattern", name, what, "write it without that" if own else "correct it", "warning" if own else "error")


def _pattern(name: str, about: Mapping[str, Any], good: Tuple[str, ...], bad: Tuple[str, ...], what: str) -> Iterator[Finding]:
    allowed = about.get("AllowedValues")
    if allowed:
        return
    pattern = str(about.get("AllowedPattern", ".*"))
    try:
        taken = [text for text in bad if re.fullmatch(pattern, text, re.DOTALL)]
        refused = [text for text in good if not re.fullmatch(pattern, text, re.DOTALL)]
    except re.error:
        return  # said already
    # What is taken and can be no network at all, though it looks like one, is not caught by anything before EC2.
    wrong = [text for text in taken if "AllowedPattern" in about and _is_wrong_block(text)]
    if wrong:
        told = f"takes {wrong[0]!r}, and a network has a block from /16 to /28"
        yield Finding("pattern", name, told, f"let AllowedPattern take {what} only")
    elif taken:
        yield Finding("pattern", name, f"takes {taken[0]!r}", f"let AllowedPattern take {what} only", "warning")
    if refused:
        yield Finding("pattern", name, f"refuses {refused[0]!r}", f"let AllowedPattern take all {what}", "warning")


def _is_wrong_block(text: str) -> bool:
    """Whether a text is written as a block of IPv4 addresses, and is none that a network may have."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+){3}/[0-9]+", text):
        return False
    try:
        return not 16 <= ipaddress.ip_network(text).prefixlen <= 28
    except ValueError:
        return True


def _uses(template: Mapping[str, Any]) -> Dict[str, Set[str]]:
    """The properties that parameters give a value to, by the parameters' names."""
    found: Dict[str, Set[str]] = {}
    for entry in template["Resources"].values():
        for key, value in (entry.get("Properties") or {}).items():
            for name in _refs(value):
                found.setdefault(name, set()).add(key)
    return found


def _refs(value: Any) -> List[str]:
    if isinstance(value, dict):
        own = [value["Ref"]] if isinstance(value.get("Ref"), str) else []
        return own + [name for inner in value.values() for name in _refs(inner)]
    return [name for inner in value for name in _refs(inner)] if isinstance(value, list) else []
