"""``hvdsm vpc check`` over HTTP: our network, then the same with one thing broken by EC2's own API, and networks of others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

import pytest
from sandbox_support import client, job_request

from hvdsm.aws.session import connect
from hvdsm.cli import main
from hvdsm.errors import CloudUnavailable
from hvdsm.sandbox import Fault, Sandbox
from hvdsm.vpc.checking.gathering import gather, offered
from hvdsm.vpc.templates.template import text

EFA, PLAIN = "ml.p4d.24xlarge", "ml.c5.xlarge"


class Net(NamedTuple):
    """A network that was deployed from a template."""

    stack: str
    out: Dict[str, str]
    ec2: Any
    region: str

    @property
    def table(self) -> str:
        """The route table of its first subnet."""
        found = self.ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [self.out["Subnet1Id"]]}])
        return str(found["RouteTables"][0]["RouteTableId"])

    def endpoint(self, service: str) -> Dict[str, Any]:
        """Its endpoint for a service."""
        found = self.ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [self.out["VpcId"]]}])["VpcEndpoints"]
        return next(entry for entry in found if entry["ServiceName"].endswith(f".{service}"))

    def acl(self) -> str:
        """The network ACL of its subnets."""
        found = self.ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [self.out["VpcId"]]}])
        return str(found["NetworkAcls"][0]["NetworkAclId"])


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    """One sandbox for all tests here; each makes networks of its own."""
    with Sandbox.start() as started:
        yield started


@pytest.fixture
def region(shared: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The sandbox's region, with its variables in the environment; no configuration lies around."""
    for name, value in shared.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield shared.region
    shared.faults.clear()


def deployed(sandbox: Sandbox, body: str, **parameters: str) -> Net:
    """Make a stack and wait for it."""
    cloud, name = client(sandbox, "cloudformation"), f"net-{time.monotonic_ns()}"
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    made = cloud.create_stack(StackName=name, TemplateBody=body, Capabilities=["CAPABILITY_IAM"], Parameters=given)
    cloud.get_waiter("stack_create_complete").wait(StackName=made["StackId"], WaiterConfig={"Delay": 0.1, "MaxAttempts": 300})
    (found,) = cloud.describe_stacks(StackName=name)["Stacks"]
    out = {entry["OutputKey"]: entry["OutputValue"] for entry in found["Outputs"]}
    return Net(name, out, client(sandbox, "ec2"), sandbox.region)


@pytest.fixture
def net(shared: Sandbox, region: str) -> Net:
    """Our network in one zone, with the core endpoints."""
    return deployed(shared, text(), InterfaceEndpoints="core")


def checked(capsys: pytest.CaptureFixture[str], *words: str) -> Tuple[int, Dict[str, Any]]:
    """Exit code and JSON of a check."""
    capsys.readouterr()
    code = main(["vpc", "check", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def rules(found: Dict[str, Any]) -> List[str]:
    return [f"{finding['level']} {finding['rule']}" for finding in found["findings"]]


def revoke(net: Net, group: str, outward: bool) -> None:
    """Take all rules of a direction away."""
    found = net.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
    ids = [entry["SecurityGroupRuleId"] for entry in found if entry["IsEgress"] is outward and entry["IpProtocol"] != "tcp"]
    call = net.ec2.revoke_security_group_egress if outward else net.ec2.revoke_security_group_ingress
    call(GroupId=group, SecurityGroupRuleIds=ids)


def fill(net: Net) -> None:
    """Take addresses of the subnet until fewer are left than the job takes."""
    for _ in range(10):
        net.ec2.create_network_interface(SubnetId=net.out["Subnet1Id"])


def refuse(net: Net, outward: bool, **more: Any) -> None:
    net.ec2.create_network_acl_entry(
        NetworkAclId=net.acl(),
        RuleNumber=50,
        Egress=outward,
        RuleAction="deny",
        CidrBlock="0.0.0.0/0",
        **{"Protocol": "6", **more},
    )


def set_policy(net: Net, **statement: Any) -> None:
    document = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*", **statement}]}
    endpoint = net.endpoint("s3")["VpcEndpointId"]
    net.ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument=json.dumps(document))


def to_other_table(net: Net) -> None:
    """Take the subnet out of its table, so that the main one serves it."""
    found = net.ec2.describe_route_tables(RouteTableIds=[net.table])["RouteTables"][0]["Associations"]
    for entry in found:
        net.ec2.disassociate_route_table(AssociationId=entry["RouteTableAssociationId"])


def own_names(net: Net) -> None:
    options = [{"Key": "domain-name-servers", "Values": ["10.0.0.9"]}]
    made = net.ec2.create_dhcp_options(DhcpConfigurations=options)["DhcpOptions"]["DhcpOptionsId"]
    net.ec2.associate_dhcp_options(DhcpOptionsId=made, VpcId=net.out["VpcId"])


def dns(net: Net, **changes: Any) -> None:
    for name, value in changes.items():
        net.ec2.modify_vpc_attribute(VpcId=net.out["VpcId"], **{name: {"Value": value}})


BREAKING: List[Tuple[str, Callable[[Net], Any], List[str], str]] = [
    (
        "self ingress",
        lambda net: revoke(net, net.out["SecurityGroupId"], False),
        ["error self-ingress"],
        "aws ec2 authorize-security-group-ingress --region us-east-1 --group-id {SecurityGroupId} --ip-permissions",
    ),
    (
        "self egress",
        lambda net: revoke(net, net.out["SecurityGroupId"], True),
        ["error self-egress"],
        "aws ec2 authorize-security-group-egress --region us-east-1 --group-id {SecurityGroupId} --ip-permissions",
    ),
    (
        "route table of the endpoint",
        lambda net: net.ec2.modify_vpc_endpoint(
            VpcEndpointId=net.endpoint("s3")["VpcEndpointId"], RemoveRouteTableIds=[net.table]
        ),
        ["error s3-way"],
        "--add-route-table-ids rtb-",
    ),
    (
        "endpoint",
        lambda net: net.ec2.delete_vpc_endpoints(VpcEndpointIds=[net.endpoint("s3")["VpcEndpointId"]]),
        ["error s3-way"],
        "--vpc-id {VpcId} --service-name com.amazonaws.us-east-1.s3 --route-table-ids rtb-",
    ),
    ("main table", to_other_table, ["error s3-way"], "--add-route-table-ids rtb-"),
    ("full", fill, ["error addresses"], "Values={Subnet1Id}"),
    ("acl out", lambda net: refuse(net, True, PortRange={"From": 443, "To": 443}), ["error acl"], "--egress --rule-number 49"),
    (
        "acl in",
        lambda net: refuse(net, False, PortRange={"From": 1024, "To": 65535}),
        ["error acl"],
        "--ingress --rule-number 49",
    ),
    (
        "policy",
        lambda net: set_policy(net, Resource="arn:aws:s3:::other/*"),
        ["error s3-policy"],
        "modify-vpc-endpoint",
    ),
    (
        "dns",
        lambda net: dns(net, EnableDnsSupport=False),
        ["error dns-support"],
        "modify-vpc-attribute --region us-east-1 --vpc-id {VpcId} --enable-dns-support",
    ),
    ("hostnames", lambda net: dns(net, EnableDnsHostnames=False), ["error dns-hostnames"], "--enable-dns-hostnames"),
    ("name servers", own_names, ["error dhcp", "warning dns-servers", "warning dns-servers"], "create-dhcp-options"),
    (
        "name of an endpoint",
        lambda net: net.ec2.create_vpc_endpoint(
            VpcId=net.out["VpcId"],
            ServiceName="com.amazonaws.us-east-1.log",
            VpcEndpointType="Interface",
            SubnetIds=[net.out["Subnet1Id"]],
            SecurityGroupIds=[net.endpoint("logs")["Groups"][0]["GroupId"]],
            PrivateDnsEnabled=True,
        ),
        ["warning endpoint-name"],
        "make one for com.amazonaws.us-east-1.logs; aws ec2 delete-vpc-endpoints --region us-east-1 --vpc-endpoint-ids vpce-",
    ),
    (
        "door of an endpoint",
        lambda net: net.ec2.revoke_security_group_ingress(
            GroupId=net.endpoint("logs")["Groups"][0]["GroupId"],
            IpPermissions=[{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}],
        ),
        ["warning endpoint-group"] * 4,
        "--ip-permissions 'IpProtocol=tcp,FromPort=443,ToPort=443,UserIdGroupPairs=[{{GroupId={SecurityGroupId}}}]'",
    ),
    (
        "flow logs",
        lambda net: net.ec2.delete_flow_logs(
            FlowLogIds=[entry["FlowLogId"] for entry in net.ec2.describe_flow_logs()["FlowLogs"]]
        ),
        ["note flow-logs"],
        "create-flow-logs",
    ),
]


@pytest.mark.parametrize(("change", "said", "remedy"), [entry[1:] for entry in BREAKING], ids=[entry[0] for entry in BREAKING])
def test_what_is_broken_in_our_network_is_named(
    net: Net, capsys: pytest.CaptureFixture[str], change: Callable[[Net], Any], said: List[str], remedy: str
) -> None:
    change(net)
    code, found = checked(capsys, "--vpc-stack", net.stack, "--instance-type", EFA, "--instance-count", "48")
    assert rules(found) == said
    assert remedy.format(**net.out) in found["findings"][0]["remedy"]
    assert code == (78 if said[0].startswith("error") else 0)
    assert found["ok"] is (code == 0)


def test_our_network_has_nothing_wrong(net: Net, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = checked(capsys, "--vpc-stack", net.stack, "--instance-type", EFA, "--instance-count", "48")
    assert (code, found["ok"], found["findings"]) == (0, True, [])
    assert len(found["checked"]) > 15
    assert (found["addresses_needed"], found["efa"], found["security_groups"]) == (240, True, [net.out["SecurityGroupId"]])
    assert found["subnets"][0]["id"] == net.out["Subnet1Id"] and found["not_checked"] == []
    code, found = checked(capsys, "--vpc-stack", net.stack, "--instance-type", PLAIN, "--encrypt-traffic")
    assert (code, found["findings"]) == (0, [])
    assert found["security_groups"] == [net.out["TrafficEncryptedSecurityGroupId"]]
    code, found = checked(capsys, "--vpc-stack", net.stack, "--instance-type", EFA, "--instance-count", "51")
    assert (code, rules(found)) == (78, ["error addresses"])
    assert "can never hold the job: 51 instances take 255 addresses (5 each), and it has 251" in found["findings"][0]["what"]


IN, OUT = (f'IpProtocol: "-1"\n      {end}SecurityGroupId: !Ref SecurityGroup\n' for end in ("Source", "Destination"))
MUTANTS: List[Tuple[str, str, str, List[str]]] = [
    ("no egress to itself", OUT, 'IpProtocol: "-1"\n      CidrIp: 0.0.0.0/0\n', ["error self-egress"]),
    ("tcp only", IN, IN.replace('"-1"', "tcp\n      FromPort: 0\n      ToPort: 65535"), ["error self-ingress"]),
    ("another's group", IN, IN.replace("!Ref ", "!Ref TrafficEncrypted"), ["error self-ingress"]),
    ("no table", "RouteTableIds: [!Ref RouteTable]", "RouteTableIds: []", ["error s3-way"]),
    ("dns", "EnableDnsSupport: true", "EnableDnsSupport: false", ["error dns-support"]),
    ("hostnames", "EnableDnsHostnames: true", "EnableDnsHostnames: false", ["warning dns-hostnames"]),
]


@pytest.mark.parametrize(("old", "new", "said"), [entry[1:] for entry in MUTANTS], ids=[entry[0] for entry in MUTANTS])
def test_a_network_of_a_changed_template(
    shared: Sandbox, region: str, capsys: pytest.CaptureFixture[str], old: str, new: str, said: List[str]
) -> None:
    changed = text().replace(old, new, 1)
    assert changed != text()
    net = deployed(shared, changed, FlowLogs="false")
    code, found = checked(capsys, "--vpc-stack", net.stack, "--instance-type", EFA)
    assert rules(found) == [*said, "note flow-logs"]
    assert code == (78 if said[0].startswith("error") else 0)


def test_one_of_two_zones_is_chosen(shared: Sandbox, region: str, capsys: pytest.CaptureFixture[str]) -> None:
    net = deployed(shared, text(), AvailabilityZoneCount="2")
    words = ("--vpc-stack", net.stack, "--instance-type", EFA)
    code, found = checked(capsys, *words)
    assert (code, [entry["id"] for entry in found["subnets"]]) == (0, [net.out["Subnet1Id"]])
    for _ in range(2):
        net.ec2.create_network_interface(SubnetId=net.out["Subnet1Id"])
    code, found = checked(capsys, *words, "--instance-count", "50")
    assert (code, [entry["id"] for entry in found["subnets"]]) == (0, [net.out["Subnet2Id"]])
    assert rules(found) == ["warning addresses"]
    assert checked(capsys, *words, "--instance-count", "50", "--strict")[0] == 78
    both = ("--subnet", net.out["Subnet1Id"], "--subnet", net.out["Subnet2Id"], "--security-group", net.out["SecurityGroupId"])
    assert checked(capsys, *both, "--instance-type", EFA)[1]["findings"][0]["rule"] == "one-zone"


class Others(NamedTuple):
    """A network that somebody made by hand: public, for TCP only, with no way to S3."""

    vpc: str
    subnet: str
    group: str
    table: str


@pytest.fixture
def others(shared: Sandbox, region: str) -> Others:
    """Such a network."""
    ec2 = client(shared, "ec2")
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.8.0.0/24", AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    ec2.create_route(RouteTableId=tables[0]["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    group = ec2.create_security_group(GroupName="jobs", Description="jobs", VpcId=vpc)["GroupId"]
    pairs = [{"GroupId": group}]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "UserIdGroupPairs": pairs}]
    )
    return Others(vpc, subnet, group, tables[0]["RouteTableId"])


def test_a_network_of_others(shared: Sandbox, others: Others, capsys: pytest.CaptureFixture[str]) -> None:
    ec2 = client(shared, "ec2")
    code, found = checked(capsys, "--vpc-id", others.vpc, "--instance-type", EFA)
    assert (code, found["security_groups"], found["subnets"][0]["id"]) == (78, [others.group], others.subnet)
    assert rules(found) == [
        "error self-ingress", "error self-egress", "error s3-way", "warning dns-hostnames", "note flow-logs"
    ]  # fmt: skip
    assert "internet gateway" in found["findings"][2]["what"]
    # What TCP needs is there; with S3's endpoint a job can run.
    code, found = checked(capsys, "--vpc-id", others.vpc, "--instance-type", PLAIN)
    assert (code, rules(found)) == (78, ["error s3-way", "warning dns-hostnames", "note flow-logs"])
    ec2.create_vpc_endpoint(
        VpcId=others.vpc, ServiceName="com.amazonaws.us-east-1.s3", VpcEndpointType="Gateway", RouteTableIds=[others.table]
    )
    assert checked(capsys, "--security-group", others.group, "--instance-type", PLAIN)[0] == 0


def test_a_nat_gateway_is_a_way_that_costs(shared: Sandbox, others: Others, capsys: pytest.CaptureFixture[str]) -> None:
    ec2 = client(shared, "ec2")
    private = ec2.create_subnet(VpcId=others.vpc, CidrBlock="10.8.1.0/24", AvailabilityZone="us-east-1b")["Subnet"]["SubnetId"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=others.subnet, AllocationId=address)["NatGateway"]["NatGatewayId"]
    table = ec2.create_route_table(VpcId=others.vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat)
    ec2.associate_route_table(RouteTableId=table, SubnetId=private)
    words = ("--subnet", private, "--security-group", others.group, "--instance-type", PLAIN)
    code, found = checked(capsys, *words)
    assert (code, rules(found)[0]) == (0, "warning s3-way")
    assert "another zone (us-east-1a): slower, and each GB costs" in found["findings"][0]["what"]
    ec2.delete_route(RouteTableId=others.table, DestinationCidrBlock="0.0.0.0/0")
    code, found = checked(capsys, *words)
    assert (code, rules(found)[0]) == (78, "error s3-way")


def test_a_request(shared: Sandbox, others: Others, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "request.json"
    config = {"Subnets": [others.subnet], "SecurityGroupIds": [others.group]}
    resources = {"InstanceType": EFA, "InstanceCount": 60, "VolumeSizeInGB": 10}
    place.write_text(json.dumps(job_request(VpcConfig=config, ResourceConfig=resources)))
    code, found = checked(capsys, "--request", str(place))
    assert code == 78
    assert {"error addresses", "error self-egress", "error s3-way"} <= set(rules(found))
    assert found["instances"] == [{"type": EFA, "count": 60}]
    assert main(["vpc", "check", "--request", str(place), "--instance-count", "2"]) == 2
    place.write_text(json.dumps(job_request()))
    code, found = checked(capsys, "--request", str(place))
    assert code == 78 and "has no VpcConfig" in found["error"]


@pytest.mark.parametrize(
    ("operation", "known"), [("DescribeFlowLogs", True), ("DescribeVpcAttribute", True), ("DescribeRouteTables", False)]
)
def test_what_may_not_be_read_is_said(
    shared: Sandbox, others: Others, capsys: pytest.CaptureFixture[str], operation: str, known: bool
) -> None:
    shared.faults.add(
        Fault(operation, times=None, service="ec2", error="UnauthorizedOperation", message="You are not authorized")
    )
    words = ("--subnet", others.subnet, "--security-group", others.group, "--instance-type", PLAIN)
    code, found = checked(capsys, *words)
    (entry,) = [finding for finding in found["findings"] if finding["rule"] == "not-checked"]
    assert entry["level"] == "warning" and "not authorized" in entry["what"] and f"ec2:{operation}" in entry["remedy"]
    assert found["not_checked"] == [{"operation": operation, "permission": f"ec2:{operation}"}]
    assert code == 78
    if not known:
        assert not any(rule.startswith("error") for rule in rules(found))
        main(["vpc", "check", *words])
        assert "whether a job can run is not known: DescribeRouteTables may not be called" in capsys.readouterr().err


def test_all_may_be_forbidden(shared: Sandbox, others: Others, capsys: pytest.CaptureFixture[str]) -> None:
    shared.faults.add(Fault("*", times=None, service="ec2", error="UnauthorizedOperation"))
    code, found = checked(capsys, "--subnet", others.subnet, "--security-group", others.group)
    assert code == 78 and set(rules(found)) == {"warning not-checked"}


@pytest.mark.parametrize("fault", [{"error": "RequestLimitExceeded", "status": 503}, {"drop_connection": True}, {"error": "InternalError", "status": 500}])  # noqa: E501  # fmt: skip
def test_what_passes_is_waited_for(
    shared: Sandbox, others: Others, capsys: pytest.CaptureFixture[str], fault: Dict[str, Any]
) -> None:
    shared.faults.add(Fault("DescribeRouteTables", times=1, service="ec2", **fault))
    code, found = checked(capsys, "--vpc-id", others.vpc, "--instance-type", PLAIN)
    assert code == 78 and found["not_checked"] == []


def test_what_does_not_pass_is_no_finding(shared: Sandbox, others: Others, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    shared.faults.add(Fault("DescribeSubnets", times=None, service="ec2", error="InternalError", status=500))
    with pytest.raises(CloudUnavailable, match="DescribeSubnets"):
        gather(connect(), subnets=[others.subnet])
    assert main(["vpc", "check", "--subnet", others.subnet]) == 69


def test_zones_that_offer_a_type(shared: Sandbox, region: str) -> None:
    found = offered(connect(), PLAIN)
    assert "us-east-1a" in found and all(zone.startswith("us-east-1") for zone in found)
    assert offered(connect(), "ml.nothing.large") == frozenset()


def test_a_zone_without_the_type(shared: Sandbox, others: Others, capsys: pytest.CaptureFixture[str]) -> None:
    ec2 = client(shared, "ec2")
    zones = {zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]}
    (lacking, *_) = sorted(zones - offered(connect(), EFA))
    subnet = ec2.create_subnet(VpcId=others.vpc, CidrBlock="10.8.9.0/24", AvailabilityZone=lacking)["Subnet"]["SubnetId"]
    found = checked(capsys, "--subnet", subnet, "--security-group", others.group, "--instance-type", EFA)[1]
    (entry,) = [finding for finding in found["findings"] if finding["rule"] == "zone-offers"]
    assert f"{lacking} does not offer {EFA}" in entry["what"] and f"--subnet {others.subnet}" in entry["remedy"]


def test_what_is_not_there(region: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = checked(capsys, "--subnet", "subnet-0", "--security-group", "sg-0")
    assert (code, rules(found)[:2]) == (78, ["error subnets", "error security-groups"])
    code, found = checked(capsys, "--vpc-id", "vpc-0")
    assert code == 78 and "there is no VPC of this id" in found["error"]
    code, found = checked(capsys, "--vpc-stack", "nothing")
    assert code == 78 and "nothing" in found["error"]


@pytest.mark.parametrize("words", [("--vpc-id", "{vpc}"), ("--subnet", "{subnet}"), ("--template", "{template}")])
def test_a_configured_stack_gives_way(others: Others, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: Any) -> None:
    (tmp_path / "hvdsm.toml").write_text('[vpc.check]\nvpc-stack = "configured"\ninstance-type = "ml.c5.xlarge"\n')
    (tmp_path / "own.yaml").write_text(text())
    code, found = checked(capsys)
    assert code == 78 and "configured" in found["error"]
    given = [word.format(template=tmp_path / "own.yaml", **others._asdict()) for word in words]
    code, found = checked(capsys, *given)
    assert "error" not in found
    assert found.get("instances", [{"type": PLAIN}])[0]["type"] == PLAIN


def test_a_template(region: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "own.yaml"
    place.write_text(text())
    assert checked(capsys, "--template", str(place)) == (0, {"ok": True, "template": str(place), "findings": []})
    place.write_text(text().replace(OUT, OUT.replace('"-1"', '"6"')))
    code, found = checked(capsys, "--template", str(place))
    assert code == 78
    assert any(finding["rule"] == "self-egress" and finding["remedy"] for finding in found["findings"])
    assert main(["vpc", "check", "--template", str(place), "--vpc-id", "vpc-1"]) == 2
    place.write_text("Resources")
    assert main(["vpc", "check", "--template", str(place)]) == 78
    assert main(["vpc", "check", "--template", str(tmp_path / "none.yaml")]) == 78
    assert main(["vpc", "check"]) == 2


def test_lines_for_people(others: Others, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vpc", "check", "--vpc-id", others.vpc, "--instance-type", EFA]) == 78
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith(f"error: self-ingress: {others.group} (jobs): has no rule for all traffic from itself")
    assert lines[1].startswith("  try: aws ec2 authorize-security-group-ingress --region us-east-1")
    assert f"{others.vpc} in us-east-1: 23 checks, 3 errors, 1 warning, 1 note" in err
    assert f"a job of 2 x {EFA} would use {others.subnet} in us-east-1a" in err
    assert "no job can run as it is" in err
