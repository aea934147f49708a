"""The shape of a template: names, tags and properties that CloudFormation or EC2 refuse.

Sources: AWS CloudFormation User Guide (template anatomy, resource types), Amazon EC2 User Guide (restrictions of tags).
"""

from __future__ import annotations

import difflib
import re
from typing import Any, Dict, FrozenSet, Iterator, List, Mapping

from hvdsm.vpc.templates.groups import Finding
from hvdsm.vpc.templates.rendering import Rendered

VERSION = "2010-09-09"
_NAMED = ("Parameters", "Mappings", "Conditions", "Rules", "Resources", "Outputs")
_RULE = "CidrIp CidrIpv6 Description FromPort GroupId IpProtocol ToPort"
_SOURCES = "SourcePrefixListId SourceSecurityGroupId SourceSecurityGroupName SourceSecurityGroupOwnerId"
# What may be set on the types that the packaged template uses.
PROPERTIES: Mapping[str, FrozenSet[str]] = {
    kind: frozenset(names.split())
    for kind, names in {
        "AWS::EC2::VPC": (
            "CidrBlock EnableDnsHostnames EnableDnsSupport InstanceTenancy Ipv4IpamPoolId Ipv4NetmaskLength Tags"
            " VpcEncryptionControl"
        ),
        "AWS::EC2::Subnet": (
            "AssignIpv6AddressOnCreation AvailabilityZone AvailabilityZoneId CidrBlock EnableDns64 EnableLniAtDeviceIndex"
            " Ipv4IpamPoolId Ipv4NetmaskLength Ipv6CidrBlock Ipv6IpamPoolId Ipv6Native Ipv6NetmaskLength MapPublicIpOnLaunch"
            " OutpostArn PrivateDnsNameOptionsOnLaunch Tags VpcId"
        ),
        "AWS::EC2::RouteTable": "Tags VpcId",
        "AWS::EC2::SubnetRouteTableAssociation": "RouteTableId SubnetId",
        "AWS::EC2::SecurityGroup": "GroupDescription GroupName SecurityGroupEgress SecurityGroupIngress Tags VpcId",
        "AWS::EC2::SecurityGroupIngress": f"{_RULE} GroupName {_SOURCES}",
        "AWS::EC2::SecurityGroupEgress": f"{_RULE} DestinationPrefixListId DestinationSecurityGroupId",
        "AWS::EC2::VPCEndpoint": (
            "DnsOptions IpAddressType PolicyDocument PrivateDnsEnabled ResourceConfigurationArn RouteTableIds SecurityGroupIds"
            " ServiceName ServiceNetworkArn ServiceRegion SubnetIds Tags VpcEndpointType VpcId"
        ),
        "AWS::EC2::FlowLog": (
            "DeliverCrossAccountRole DeliverLogsPermissionArn DestinationOptions LogDestination LogDestinationType LogFormat"
            " LogGroupName MaxAggregationInterval ResourceId ResourceType TagFieldSpecifications Tags TrafficType"
        ),
        "AWS::Logs::LogGroup": (
            "BearerTokenAuthenticationEnabled DataProtectionPolicy DeletionProtectionEnabled FieldIndexPolicies KmsKeyId"
            " LogGroupClass LogGroupName ResourcePolicyDocument RetentionInDays Tags"
        ),
        "AWS::IAM::Role": (
            "AssumeRolePolicyDocument Description ManagedPolicyArns MaxSessionDuration Path PermissionsBoundary Policies RoleName"
            " Tags"
        ),
    }.items()
}


def names(template: Mapping[str, Any]) -> Iterator[Finding]:
    """A version, logical ids and properties that CloudFormation does not take; the template is as it was written."""
    version = template.get("AWSTemplateFormatVersion", VERSION)
    # YAML reads it as a date where it has no quotes.
    if str(version) != VERSION:
        yield Finding("version", "", f"has AWSTemplateFormatVersion {version}", f'write "{VERSION}", the only one there is')
    for section in _NAMED:
        for name in _mapping(template.get(section)):
            if not re.fullmatch(r"[A-Za-z0-9]{1,255}", str(name)):
                what = f"is no logical id of {section}: it has other signs than letters and digits, or is too long"
                yield Finding("logical-id", str(name), what, f"name it {re.sub('[^A-Za-z0-9]', '', str(name))[:255] or 'Name'}")
    for name, entry in _mapping(template.get("Resources")).items():
        known = PROPERTIES.get(str(_mapping(entry).get("Type")))
        for key in _mapping(_mapping(entry).get("Properties")) if known is not None else ():
            # A function may stand for all of the properties.
            if key not in known and not str(key).startswith("Fn::"):  # type: ignore[operator]
                near = difflib.get_close_matches(str(key), sorted(known or ()), 1)
                remedy = f"write {near[0]}" if near else "take it away"
                yield Finding("property", str(name), f"{key} is no property of {entry['Type']}", remedy)


def tag_keys(rendered: Rendered) -> Iterator[Finding]:
    """Keys of tags that stand twice, or that only AWS may set."""
    for name, entry in rendered.resources.items():
        found = _mapping(entry.get("Properties")).get("Tags")
        keys: List[str] = [str(tag.get("Key")) for tag in found if isinstance(tag, dict)] if isinstance(found, list) else []
        for key in dict.fromkeys(keys):
            if keys.count(key) > 1:
                yield Finding("tags", name, f"has the tag {key} {keys.count(key)} times", "give each key once")
            if key.lower().startswith("aws:"):
                yield Finding("tags", name, f"has the tag {key}: keys that begin with aws: are AWS's own", "name it otherwise")


def _mapping(value: Any) -> Dict[Any, Any]:
    return value if isinstance(value, dict) else {}
