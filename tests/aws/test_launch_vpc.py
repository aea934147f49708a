"""``hvdsm launch --vpc-stack``: the network is checked, one subnet is taken, and the next zone when there is no capacity."""

from __future__ import annotations

import io
import json
import os
import signal
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import boto3
import pytest
from cloud_launching import BASE, IMAGE, ROLE, created, ended, read_until, start

import hvdsm
from hvdsm.cli import main
from hvdsm.compose.outcome_line import encode_outcome
from hvdsm.errors import ConfigError
from hvdsm.model import JobOutcome, RankFailure
from hvdsm.sandbox import Fault, Sandbox, Script
from hvdsm.vpc.templates import template

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
LINES = {"algo-1": ["hvdsm: begins", "[0,algo-1] line", encode_outcome(JobOutcome("job", "Completed", 0))]}
WELL = Script(lines=LINES)
# A template whose outputs are what its parameters say, so that a test may make the network by itself.
OUTPUTS = ("Subnet1Id", "Subnet2Id", "Subnet3Id", "SecurityGroupId", "TrafficEncryptedSecurityGroupId")
TEMPLATE = {
    "Parameters": {name: {"Type": "String"} for name in OUTPUTS},
    "Resources": {"Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "of-the-stack"}}},
    "Outputs": {name: {"Value": {"Ref": name}} for name in OUTPUTS},
}


@lru_cache(maxsize=1)
def session() -> Any:
    """One for all tests: reading the model of EC2 takes longer than most of them."""
    return boto3.session.Session()


def client(sandbox: Sandbox, service: str) -> Any:
    environ = sandbox.environ()
    return session().client(
        service,
        region_name=sandbox.region,
        endpoint_url=sandbox.url,
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
    )


@dataclass
class Made:
    """A network that a test made, and its stack ``net``."""

    ec2: Any
    vpc: str
    subnets: List[str]
    group: str
    encrypted: str
    table: str


def make(sandbox: Sandbox, blocks: Sequence[str] = ("10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24")) -> Made:
    """A network in which a job can run, in three zones, and a stack that names it."""
    ec2 = client(sandbox, "ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for block, zone in zip(blocks, ZONES)
    ]
    groups = []
    for name in ("job", "encrypted"):
        group = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        itself = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=itself)
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=itself)
        groups.append(group)
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    table = tables[0]["RouteTableId"]
    ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3", RouteTableIds=[table])
    values = dict(zip(OUTPUTS, (*subnets, *groups)))
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
    cloudformation = client(sandbox, "cloudformation")
    cloudformation.create_stack(StackName="net", TemplateBody=json.dumps(TEMPLATE), Parameters=parameters)
    cloudformation.get_waiter("stack_create_complete").wait(StackName="net", WaiterConfig={"Delay": 0.1, "MaxAttempts": 300})
    return Made(ec2, vpc, subnets, groups[0], groups[1], table)


@pytest.fixture
def network(sandbox: Sandbox) -> Made:
    return make(sandbox)


@pytest.fixture
def place(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "train.py").write_text("print()\n")
    monkeypatch.chdir(tmp_path)
    for name, value in sandbox.environ().items():
        monkeypatch.setenv(name, value)
    yield tmp_path


@dataclass
class Ended:
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


def launch(capfd: pytest.CaptureFixture[str], *words: str, base: Sequence[str] = BASE) -> Ended:
    """Run ``hvdsm launch`` in this process."""
    capfd.readouterr()
    code = main(["launch", *base, "--job-name", "job", *words, "train.py"])
    out, err = capfd.readouterr()
    return Ended(code, out, err)


def where(sandbox: Sandbox) -> List[Tuple[str, List[str]]]:
    """Names and subnets of the jobs that were asked for."""
    return [(entry["TrainingJobName"], entry["VpcConfig"]["Subnets"]) for entry in created(sandbox)]


def asked(sandbox: Sandbox) -> List[str]:
    return [operation for operation, _ in sandbox.requests]


def kept(place: Path, name: str, file: str = "job.json") -> Dict[str, Any]:
    found: Dict[str, Any] = json.loads((place / "hvdsm-out" / name / file).read_text())
    return found


STACK = ("--vpc-stack", "net")


def test_one_subnet_is_taken(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    sandbox.script("job", WELL)
    done = launch(capfd, *STACK)
    assert done.code == 0, done.text
    one, two, three = network.subnets
    assert where(sandbox) == [("job", [one])]
    assert created(sandbox)[0]["VpcConfig"]["SecurityGroupIds"] == [network.group]
    assert f"the job runs in {one} in us-east-1a; " in done.text
    assert f"next in {two} in us-east-1b, {three} in us-east-1c" in done.text
    attempt = {"job_name": "job", "subnet": one, "zone": "us-east-1a"}
    assert kept(place, "job")["attempts"] == [attempt] and kept(place, "job")["zone"] == "us-east-1a"
    assert kept(place, "job", "request.json")["VpcConfig"]["Subnets"] == [one]


@pytest.mark.parametrize("zone", ["us-east-1b", "id"])
def test_a_zone_that_is_named(sandbox: Sandbox, network: Made, place: Path, capfd: Any, zone: str) -> None:
    two = network.subnets[1]
    if zone == "id":
        zone = network.ec2.describe_subnets(SubnetIds=[two])["Subnets"][0]["AvailabilityZoneId"]
    sandbox.script("job", Script.capacity())
    done = launch(capfd, *STACK, "--zone", zone)
    # Nothing but that zone is tried.
    assert done.code == 69 and "no capacity in us-east-1b (job)" in done.text, done.text
    assert where(sandbox) == [("job", [two])]
    assert f"{two} in us-east-1b, as --zone says" in done.text


def test_a_zone_that_the_network_has_not(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    done = launch(capfd, *STACK, "--zone", "us-east-1f")
    assert done.code == 78 and "us-east-1a (" in done.text and "--zone us-east-1a" in done.text, done.text
    assert created(sandbox) == [] and "PutObject" not in asked(sandbox)
    done = launch(capfd, "--zone", "us-east-1a")
    assert done.code == 2 and "--vpc-stack" in done.text, done.text


def test_a_zone_without_the_instance_type(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    # As AWS has it: this type is in the second and the third of the zones.
    base = [word if word != "ml.c5.xlarge" else "ml.p4de.24xlarge" for word in BASE]
    done = launch(capfd, *STACK, "--dry-run", base=base)
    assert done.code == 0, done.text
    assert f"the job runs in {network.subnets[1]} in us-east-1b, since us-east-1a does not offer ml.p4de.24xlarge" in done.text


def test_a_subnet_without_room(sandbox: Sandbox, place: Path, capfd: Any) -> None:
    made = make(sandbox, ("10.0.0.0/28", "10.0.1.0/24", "10.0.2.0/28"))
    sandbox.script("job", Script.capacity())
    done = launch(capfd, *STACK, "--instance-count", "8")
    # Neither at first nor later a subnet that the job does not fit into.
    assert where(sandbox) == [("job", [made.subnets[1]])] and done.code == 69, done.text
    assert "8 instances take 16 addresses" in done.text and "since" in done.text


def test_what_is_wrong_is_told_before_anything_is_uploaded(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    network.ec2.revoke_security_group_ingress(
        GroupId=network.group, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": network.group}]}]
    )
    network.ec2.modify_vpc_attribute(VpcId=network.vpc, EnableDnsSupport={"Value": False})
    done = launch(capfd, *STACK, "--instance-count", "2")
    assert done.code == 78, done.text
    assert "stack net: the job cannot run in this network" in done.text
    # Each is told once, however many subnets it concerns, and with a command that helps.
    assert done.text.count("authorize-security-group-ingress") == 1 and network.group in done.text
    assert done.text.count("--enable-dns-support") == 1
    assert created(sandbox) == [] and "PutObject" not in asked(sandbox) and not (place / "hvdsm-out").exists()
    sandbox.script("job", WELL)
    done = launch(capfd, *STACK, "--no-vpc-check")
    assert done.code == 0 and where(sandbox) == [("job", [network.subnets[0]])], done.text


def test_what_is_not_right_but_works_is_a_note(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    network.ec2.authorize_security_group_ingress(
        GroupId=network.group, CidrIp="0.0.0.0/0", IpProtocol="tcp", FromPort=22, ToPort=22
    )
    done = launch(capfd, *STACK, "--dry-run")
    assert done.code == 0 and "network: " in done.text and "0.0.0.0/0" in done.text, done.text


@pytest.mark.parametrize("denied", ["DescribeRouteTables", "*"])
def test_what_may_not_be_read_is_not_checked(sandbox: Sandbox, network: Made, place: Path, capfd: Any, denied: str) -> None:
    fault = Fault(denied, service="ec2", times=None, error="UnauthorizedOperation", status=403, message="You are not authorized")
    sandbox.faults.add(fault)
    sandbox.script("job", WELL)
    done = launch(capfd, *STACK)
    assert done.code == 0, done.text
    notes = [line for line in done.text.splitlines() if "not checked" in line]
    assert len(notes) == 1 and ("ec2:DescribeRouteTables" if denied != "*" else "ec2:DescribeSubnets") in notes[0], done.text
    assert where(sandbox) == [("job", [network.subnets[0]])]


def test_a_network_of_ones_own(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    one, two, _ = network.subnets
    own = ("--subnet", one, "--subnet", two, "--security-group", network.group)
    done = launch(capfd, *own, "--dry-run", "--json")
    assert json.loads(done.out)["request"]["VpcConfig"]["Subnets"] == [one, two]
    assert "DescribeSubnets" not in asked(sandbox)
    done = launch(capfd, *own, "--zone", "us-east-1b", "--dry-run", "--json")
    assert json.loads(done.out)["request"]["VpcConfig"]["Subnets"] == [two]
    network.ec2.modify_vpc_attribute(VpcId=network.vpc, EnableDnsSupport={"Value": False})
    done = launch(capfd, *own, "--vpc-check", "--dry-run")
    assert done.code == 78 and "--enable-dns-support" in done.text, done.text


def test_encrypted_traffic_takes_its_own_group(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    done = launch(capfd, *STACK, "--encrypt-traffic", "--instance-count", "2", "--dry-run", "--json")
    assert json.loads(done.out)["request"]["VpcConfig"] == {
        "SecurityGroupIds": [network.encrypted],
        "Subnets": [network.subnets[0]],
    }


def test_no_capacity_and_then_some(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    sandbox.script("job", Script.capacity())
    sandbox.script("job-2", Script.capacity())
    sandbox.script("job-3", WELL)
    done = launch(capfd, *STACK, "--hp", "lr=0.1")
    assert done.code == 0 and "[0,algo-1] line" in done.text, done.text
    assert where(sandbox) == [(name, [subnet]) for name, subnet in zip(("job", "job-2", "job-3"), network.subnets)]
    one, two, three = created(sandbox)
    # Nothing is uploaded twice, and the container is told its own name.
    assert one["InputDataConfig"] == three["InputDataConfig"]
    assert one["HyperParameters"]["sagemaker_submit_directory"] == three["HyperParameters"]["sagemaker_submit_directory"]
    assert two["HyperParameters"]["sagemaker_job_name"] == '"job-2"'
    assert asked(sandbox).count("CreateTrainingJob") == 3 and asked(sandbox).count("PutObject") == 2
    assert f"job: there is no capacity in us-east-1a; job-2 is the same job in {network.subnets[1]} in us-east-1b" in done.text
    assert [entry["job_name"] for entry in kept(place, "job-3")["attempts"]] == ["job", "job-2", "job-3"]
    assert kept(place, "job-3")["zone"] == "us-east-1c"
    outcome = kept(place, "job-3", "outcome.json")
    assert outcome["status"] == "Completed"
    assert outcome["warnings"] == ["there was no capacity in us-east-1a (job), us-east-1b (job-2)"]
    assert kept(place, "job", "outcome.json")["exit_code"] == 69
    assert done.text.count("there was no capacity") == 0 and done.text.count("exit code 69") == 0


def test_no_capacity_anywhere(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    for name in ("job", "job-2", "job-3"):
        sandbox.script(name, Script.capacity())
    done = launch(capfd, *STACK, "--json")
    assert done.code == 69, done.text
    outcome = json.loads(done.out)
    said = "no capacity in us-east-1a (job), us-east-1b (job-2), us-east-1c (job-3): CapacityError"
    assert outcome["job_name"] == "job-3" and outcome["failure"]["message"].startswith(said)
    assert kept(place, "job-3", "outcome.json")["failure"]["message"].startswith(said)


@pytest.mark.parametrize("wait", ["--wait", "--no-wait"])
def test_a_job_that_is_refused_for_lack_of_capacity(sandbox: Sandbox, network: Made, place: Path, capfd: Any, wait: str) -> None:
    refusal = Fault("CreateTrainingJob", times=1, error="CapacityError", message="Unable to provision", status=400)
    sandbox.faults.add(refusal)
    sandbox.script("job", WELL)
    done = launch(capfd, *STACK, wait)
    # No job was made, so that the name is free still.
    assert done.code == 0 and where(sandbox) == [("job", [network.subnets[0]]), ("job", [network.subnets[1]])], done.text
    assert kept(place, "job")["zone"] == "us-east-1b" and len(kept(place, "job")["attempts"]) == 2
    assert ("no other zone is tried" in done.text) == (wait == "--no-wait")


def test_all_zones_refuse(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    sandbox.faults.add(Fault("CreateTrainingJob", times=None, error="InsufficientCapacity", message="none", status=503))
    done = launch(capfd, *STACK)
    assert done.code == 69 and "tried: us-east-1a (job), us-east-1b (job), us-east-1c (job)" in done.text, done.text
    assert "no job was created; uploaded until then" in done.text and not (place / "hvdsm-out").exists()


def test_the_second_zone_fails_and_the_third_refuses(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    sandbox.script("job", Script.capacity())
    sandbox.script("job-2", Script.capacity())
    sandbox.faults.add(Fault("CreateTrainingJob", after=2, times=1, error="CapacityError", message="none"))
    done = launch(capfd, *STACK)
    assert done.code == 69, done.text
    message = kept(place, "job-2", "outcome.json")["failure"]["message"]
    assert "us-east-1a (job), us-east-1b (job-2), us-east-1c (job-3)" in message and message.split(": ")[0] in done.text


def test_another_failure_is_no_reason_to_go_on(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    end = encode_outcome(JobOutcome("job", "Failed", 3, failure=RankFailure("exit", "no capacity left on the disk", 3)))
    reason = "AlgorithmError: no capacity left on the disk, exit code: 3"
    sandbox.script("job", Script.failing(reason, {"algo-1": ["hvdsm: begins", end]}))
    done = launch(capfd, *STACK)
    assert done.code == 3 and len(created(sandbox)) == 1, done.text


def test_the_next_job_is_refused_for_another_reason(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    sandbox.script("job", Script.capacity())
    sandbox.faults.add(Fault("CreateTrainingJob", after=1, times=None, error="ResourceLimitExceeded"))
    done = launch(capfd, *STACK)
    assert done.code == 78 and "ml.p4d.24xlarge for training job usage" in done.text, done.text
    assert "job has ended for lack of capacity, and no other job was created" in done.text


def test_names_that_were_used(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    assert launch(capfd, "--no-wait").code == 0
    assert main(["launch", *BASE, "--job-name", "job-2", "--no-wait", "--output", "other", "train.py"]) == 0
    (place / "hvdsm-out" / "new-2").mkdir(parents=True)
    sandbox.script("new", Script.capacity())
    sandbox.script("new-4", WELL)
    assert main(["launch", *BASE, "--job-name", "new-3", "--no-wait", "--output", "other", "train.py"]) == 0
    code = main(["launch", *BASE, "--job-name", "new", *STACK, "train.py"])
    assert code == 0 and list(sandbox.jobs)[-1] == "new-4", capfd.readouterr().out


def test_from_python(sandbox: Sandbox, network: Made, place: Path) -> None:
    sandbox.script("job", Script.capacity())
    sandbox.script("job-2", WELL)
    stream = io.StringIO()
    common: Dict[str, Any] = {"backend": "sagemaker", "image": IMAGE, "role": ROLE, "instance_type": "ml.c5.xlarge"}
    job = hvdsm.launch("train.py", job_name="job", vpc_stack="net", stream=stream, interval=0.1, **common)
    assert job.name == "job"
    outcome = job.wait(stream)
    assert outcome.ok and outcome.job_name == "job-2" and job.name == "job-2" and job.arn.endswith("/job-2")
    assert job.status == "Completed" and job.wait(stream) == outcome
    with pytest.raises(ConfigError, match="no subnet is there"):
        hvdsm.launch("train.py", job_name="third", vpc_stack="net", zone="us-east-1f", **common)


def test_an_interrupt_while_the_second_job_runs(sandbox: Sandbox, network: Made, place: Path) -> None:
    sandbox.script("job", Script.capacity())
    sandbox.script("job-2", Script.held(lines={"algo-1": ["hvdsm: begins", "[0,algo-1] trains"]}))
    process = start(sandbox, place, "launch", *BASE, *STACK, "--job-name", "job", "train.py")
    read_until(process, "[0,algo-1] trains")
    os.kill(process.pid, signal.SIGINT)
    done = ended(process)
    assert done.code == 130 and "job-2 goes on without this command" in done.text, done.text
    assert "hvdsm jobs stop job-2" in done.text and sandbox.jobs["job-2"].status == "InProgress"


def test_an_interrupt_while_the_second_job_is_created(sandbox: Sandbox, network: Made, place: Path) -> None:
    sandbox.script("job", Script.capacity())
    sandbox.script("job-2", Script.held())
    sandbox.faults.add(Fault("CreateTrainingJob", after=1, delay=1.5))
    process = start(sandbox, place, "launch", *BASE, *STACK, "--job-name", "job", "train.py")
    read_until(process, "creating the job job-2")
    os.kill(process.pid, signal.SIGINT)
    done = ended(process)
    assert done.code == 130 and "job-2 goes on without this command" in done.text, done.text
    assert sandbox.jobs["job-2"].status == "InProgress" and kept(place, "job-2")["zone"] == "us-east-1b"


def test_a_dry_run_shows_the_choice(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    done = launch(capfd, *STACK, "--dry-run", "--json")
    shown = json.loads(done.out)
    assert shown["request"]["VpcConfig"]["Subnets"] == [network.subnets[0]]
    places = [{"subnet": subnet, "zone": zone} for subnet, zone in zip(network.subnets, ZONES)]
    assert (shown["subnet"], shown["further_subnets"]) == (places[0], places[1:])
    assert created(sandbox) == []


def test_the_stack_of_our_own_template(sandbox: Sandbox, place: Path, capfd: Any) -> None:
    cloudformation = client(sandbox, "cloudformation")
    cloudformation.create_stack(
        StackName="ours",
        TemplateBody=template.text(),
        Parameters=[{"ParameterKey": "AvailabilityZoneCount", "ParameterValue": "2"}],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName="ours", WaiterConfig={"Delay": 0.1, "MaxAttempts": 300})
    stack = cloudformation.describe_stacks(StackName="ours")["Stacks"][0]
    found = {entry["OutputKey"]: entry["OutputValue"] for entry in stack["Outputs"]}
    sandbox.script("job", Script.capacity())
    sandbox.script("job-2", WELL)
    base = [word if word != "ml.c5.xlarge" else "ml.p4d.24xlarge" for word in BASE]
    done = launch(capfd, "--vpc-stack", "ours", "--instance-count", "4", base=base)
    assert done.code == 0 and "network: " not in done.text, done.text
    assert where(sandbox) == [("job", [found["Subnet1Id"]]), ("job-2", [found["Subnet2Id"]])]
    assert {tuple(entry["VpcConfig"]["SecurityGroupIds"]) for entry in created(sandbox)} == {(found["SecurityGroupId"],)}
    done = launch(capfd, "--vpc-stack", "ours", "--instance-count", "200", "--output", "other", base=base)
    assert done.code == 78 and "200 instances take 1000 addresses (5 each)" in done.text, done.text


def test_a_stack_without_a_name(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    # As of "$STACK" that is not set: not a job outside of every network.
    done = launch(capfd, "--vpc-stack", "", "--dry-run")
    assert done.code == 2 and "--vpc-stack: names no stack" in done.text, done.text


def test_a_stack_beside_a_request_with_a_network(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    shown = json.loads(launch(capfd, *STACK, "--dry-run", "--json").out)["request"]
    (place / "job.json").write_text(json.dumps(shown))
    code = main(["launch", "--backend", "sagemaker", "--request", "job.json", *STACK, "--job-name", "again", "--dry-run"])
    assert code == 78 and "VpcConfig of --request" in capfd.readouterr().err


def test_a_check_without_a_network_is_said_to_be_none(sandbox: Sandbox, place: Path, capfd: Any) -> None:
    done = launch(capfd, "--vpc-check", "--dry-run")
    assert done.code == 0 and "not checked: the job has no VPC" in done.text, done.text


def test_the_remedy_for_a_zone_that_was_named(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    base = [word if word != "ml.c5.xlarge" else "ml.p4de.24xlarge" for word in BASE]
    done = launch(capfd, *STACK, "--zone", "us-east-1a", "--dry-run", base=base)
    # --subnet does not go together with --vpc-stack.
    assert done.code == 78 and "with --vpc-stack --zone us-east-1b" in done.text, done.text


def test_the_first_job_tells_of_the_next(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    sandbox.script("job", Script.capacity())
    sandbox.script("job-2", WELL)
    assert launch(capfd, *STACK).code == 0
    assert kept(place, "job", "outcome.json")["warnings"] == ["the job went on as job-2 in us-east-1b"]
    assert main(["jobs", "status", "job"]) == 0 and "went on as job-2 in us-east-1b" in capfd.readouterr().out


def test_no_waiting_tells_the_zone(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    sandbox.faults.add(Fault("CreateTrainingJob", times=2, error="CapacityError", message="none"))
    done = launch(capfd, *STACK, "--no-wait", "--json")
    shown = json.loads(done.out)
    assert (shown["subnet"], shown["zone"]) == (network.subnets[2], "us-east-1c")
    # There is none left.
    assert "no other zone is tried" not in done.text


@pytest.mark.parametrize("second", [False, True])
def test_an_interrupt_while_the_job_is_refused(sandbox: Sandbox, network: Made, place: Path, second: bool) -> None:
    if second:
        sandbox.script("job", Script.capacity())
    sandbox.faults.add(Fault("CreateTrainingJob", after=int(second), delay=1.5, error="CapacityError", message="none"))
    process = start(sandbox, place, "launch", *BASE, *STACK, "--job-name", "job", "train.py")
    read_until(process, "creating the job job-2" if second else "creating the job job")
    assert sandbox.wait_for_request("CreateTrainingJob", 1 + second)
    os.kill(process.pid, signal.SIGINT)
    done = ended(process)
    assert done.code == 130 and "interrupted, so that no other zone is tried" in done.text, done.text
    assert "may have been created" not in done.text and ("no other job" if second else "no job") + " was created" in done.text
    assert len(created(sandbox)) == 1 + second


def test_the_remedy_for_encrypted_traffic_works(sandbox: Sandbox, network: Made, place: Path, capfd: Any) -> None:
    itself = {"UserIdGroupPairs": [{"GroupId": network.encrypted}]}
    everything = [{"IpProtocol": "-1", **itself}]
    network.ec2.revoke_security_group_ingress(GroupId=network.encrypted, IpPermissions=everything)
    udp = {"IpProtocol": "udp", "FromPort": 500, "ToPort": 500, **itself}
    network.ec2.authorize_security_group_ingress(GroupId=network.encrypted, IpPermissions=[udp])
    words = (*STACK, "--encrypt-traffic", "--instance-count", "2", "--dry-run")
    done = launch(capfd, *words)
    assert done.code == 78 and f"--group-id {network.encrypted}" in done.text, done.text
    assert "'IpProtocol=50,FromPort=-1,ToPort=-1,UserIdGroupPairs" in done.text
    esp = {"IpProtocol": "50", "FromPort": -1, "ToPort": -1, **itself}
    network.ec2.authorize_security_group_ingress(GroupId=network.encrypted, IpPermissions=[esp])
    done = launch(capfd, *words)
    assert done.code == 0, done.text
