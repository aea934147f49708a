"""Deleting a network over HTTP: what is in use stays, what SageMaker leaves is waited for, and the rest goes."""

from __future__ import annotations

import contextlib
import copy
import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest
from cloud_launching import Ended, ended, read_until, start, variables
from sandbox_support import job_request
from vpc_stacks import TEMPLATE, create, operations, session

from hvdsm.aws.cloudformation import Stack, find
from hvdsm.cli import main
from hvdsm.errors import CloudRefused, ConfigError, JobTimeout
from hvdsm.sandbox import Fault, Sandbox, Script, StackScript
from hvdsm.vpc.deletion.deleting import DeletionFailed, Way, delete, seen, settled
from hvdsm.vpc.deletion.obstacles import Survey
from hvdsm.vpc.stacks.following import Followed

Run = Callable[..., Ended]
HELD = "resource sg-1 has a dependent object (Service: AmazonEC2; Status Code: 400; Error Code: DependencyViolation)"


def way(said: Optional[List[str]] = None, **more: Any) -> Way:
    """Quick, and quiet."""
    options = {"limit": 60.0, "interval": 0.05, **more}
    return Way(say=(lambda text: None) if said is None else said.append, show=lambda events: None, **options)


def survey_of(sandbox: Sandbox, stack: Stack) -> Survey:
    return seen(session(sandbox), stack, way())


def deleted(sandbox: Sandbox, stack: Stack, said: Optional[List[str]] = None, **more: Any) -> Optional[Followed]:
    """Look, then delete."""
    return delete(session(sandbox), survey_of(sandbox, stack), way(said, **more))


@pytest.fixture
def command(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``hvdsm vpc delete WORDS…`` in this process."""
    for name, value in sandbox.environ().items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> Ended:
        capsys.readouterr()
        code = main(["vpc", "delete", *words])
        printed = capsys.readouterr()
        return Ended(code, printed.out + printed.err)

    return run


def printed(done: Ended) -> Any:
    """The JSON that a command printed, among what it said."""
    return json.JSONDecoder().raw_decode(done.text[done.text.index("{") :])[0]


def output(stack: Stack, name: str) -> str:
    return stack.outputs[name]


def place_job(sandbox: Sandbox, name: str, stack: Optional[Stack], script: Script) -> None:
    """Create a job, in a stack's network if one is given."""
    sandbox.script(name, script)
    place: Dict[str, Any] = {}
    if stack is not None:
        config = {"Subnets": [output(stack, "Subnet1Id")], "SecurityGroupIds": [output(stack, "SecurityGroupId")]}
        place = {"VpcConfig": config}
    session(sandbox).client("sagemaker").create_training_job(**job_request(name, **place))


def vpcs(sandbox: Sandbox) -> List[str]:
    """The networks that there are, but for the default one."""
    found = session(sandbox).client("ec2").describe_vpcs()["Vpcs"]
    return [entry["VpcId"] for entry in found if not entry["IsDefault"]]


def test_the_network_goes_and_a_second_time_there_is_nothing(sandbox: Sandbox, command: Run) -> None:
    create(sandbox)
    assert len(vpcs(sandbox)) == 1
    done = command("net", "--yes")
    assert done.code == 0, done.text
    assert "DELETE_COMPLETE     Subnet1" in done.text and "net is gone" in done.text
    assert vpcs(sandbox) == []
    done = command("net", "--yes", "--json")
    assert done.code == 0 and "nothing to delete" in done.text
    assert printed(done) == {
        "stack": "net", "region": "us-east-1", "deleted": False, "state": None,
    }  # fmt: skip


def test_nobody_is_there_to_be_asked(sandbox: Sandbox, command: Run) -> None:
    create(sandbox)
    done = command("net")
    assert done.code == 2 and "--yes" in done.text
    assert "DeleteStack" not in operations(sandbox) and sandbox.stacks.status("net") == "CREATE_COMPLETE"


def test_a_dry_run_shows_all_and_changes_nothing(sandbox: Sandbox, command: Run) -> None:
    stack = create(sandbox, EnableTerminationProtection=True)
    place_job(sandbox, "busy", stack, Script.held())
    sandbox.stacks.leave_interfaces("net", count=2)
    done = command("net", "--dry-run")
    assert done.code == 0, done.text
    for words in ("Subnet1  AWS::EC2::Subnet", "needs --unprotect", "training job busy", "hvdsm jobs stop busy", "left behind"):
        assert words in done.text
    done = command("net", "--dry-run", "--json")
    told = printed(done)
    assert [entry["id"] for entry in told["in_the_way"]] == ["busy"]
    assert [entry["goes_by_itself"] for entry in told["left_behind"]] == [True, True]
    assert {entry["name"] for entry in told["resources"]} == {"Vpc", "Subnet1", "Group"} and told["protected"] is True
    asked = operations(sandbox)
    assert not {"DeleteStack", "UpdateTerminationProtection", "DeleteNetworkInterface"} & set(asked)


def test_protection_is_explained_and_taken_off_on_request(sandbox: Sandbox) -> None:
    stack = create(sandbox, EnableTerminationProtection=True)
    with pytest.raises(ConfigError, match="termination protection is on") as caught:
        deleted(sandbox, stack)
    assert "--unprotect" in str(caught.value) and "DeleteStack" not in operations(sandbox)
    said: List[str] = []
    done = deleted(sandbox, stack, said, unprotect=True)
    assert done is not None and done.ok and "net: termination protection is off now" in said


def test_protection_is_put_back_where_the_deletion_is_refused(sandbox: Sandbox) -> None:
    stack = create(sandbox, EnableTerminationProtection=True)
    sandbox.faults.add(Fault("DeleteStack", error="AccessDenied", service="cloudformation"))
    said: List[str] = []
    with pytest.raises(CloudRefused, match="cannot delete the stack"):
        deleted(sandbox, stack, said, unprotect=True)
    assert said[-1].endswith("termination protection is on again")
    found = find(session(sandbox), "net")
    assert found is not None and found.protected and found.status == "CREATE_COMPLETE"


def test_a_running_job_is_never_harmed(sandbox: Sandbox) -> None:
    stack = create(sandbox)
    place_job(sandbox, "inside", stack, Script.held())
    place_job(sandbox, "outside", None, Script.held())
    place_job(sandbox, "over", stack, Script())
    sandbox.wait("over")
    with pytest.raises(CloudRefused) as caught:
        deleted(sandbox, stack)
    text = str(caught.value)
    assert "training job inside" in text and "hvdsm jobs stop inside" in text and "nothing has been deleted" in text
    assert "outside" not in text and "over" not in text
    assert "DeleteStack" not in operations(sandbox)
    session(sandbox).client("sagemaker").stop_training_job(TrainingJobName="inside")
    sandbox.wait("inside")
    done = deleted(sandbox, stack)
    assert done is not None and done.ok


def test_what_a_job_has_left_is_waited_for(sandbox: Sandbox) -> None:
    stack = create(sandbox)
    sandbox.stacks.leave_interfaces("net", seconds=1.0, count=2, job="done")
    said: List[str] = []
    done = deleted(sandbox, stack, said)
    assert done is not None and done.ok
    assert said[0].startswith("2 network interfaces of SageMaker are left") and "20 to 90 minutes" in said[0]
    assert any(line.startswith("nothing is left of them") for line in said)
    asked = operations(sandbox)
    assert "DeleteNetworkInterface" not in asked and asked.count("DeleteStack") == 1


def test_what_does_not_go_ends_the_wait(sandbox: Sandbox) -> None:
    stack = create(sandbox, EnableTerminationProtection=True)
    left = sandbox.stacks.leave_interfaces("net", in_use=True)
    with pytest.raises(JobTimeout) as caught:
        deleted(sandbox, stack, limit=0.5, unprotect=True)
    assert left[0] in str(caught.value) and "nothing has been deleted" in str(caught.value)
    with pytest.raises(JobTimeout, match="nothing has been deleted"):
        deleted(sandbox, stack, wait_for_end=False, unprotect=True)
    asked = operations(sandbox)
    assert not {"DeleteStack", "DeleteNetworkInterface", "UpdateTerminationProtection"} & set(asked)


def test_a_job_that_begins_during_the_wait_stops_the_deletion(sandbox: Sandbox) -> None:
    stack = create(sandbox)
    sandbox.stacks.leave_interfaces("net", seconds=1.0)
    found = survey_of(sandbox, stack)
    place_job(sandbox, "late", stack, Script.held())
    with pytest.raises(CloudRefused, match="training job late"):
        delete(session(sandbox), found, way())
    assert "DeleteStack" not in operations(sandbox)


def test_interfaces_that_were_not_seen_make_it_fail_once(sandbox: Sandbox) -> None:
    stack = create(sandbox)
    found = survey_of(sandbox, stack)
    sandbox.stacks.leave_interfaces("net", seconds=2.0)
    said: List[str] = []
    done = delete(session(sandbox), found, way(said))
    assert done is not None and done.ok and vpcs(sandbox) == []
    assert any("it is deleted once more" in line for line in said)
    assert operations(sandbox).count("DeleteStack") == 2


def test_a_deletion_that_fails_once_is_begun_again(sandbox: Sandbox) -> None:
    sandbox.stacks.script(StackScript(fail_delete={"Group": (HELD, 1)}))
    done = deleted(sandbox, create(sandbox))
    assert done is not None and done.ok and operations(sandbox).count("DeleteStack") == 2


def test_throttling_is_waited_for_wherever_it_comes(sandbox: Sandbox) -> None:
    stack = create(sandbox)
    for name in ("ListStackResources", "ListExports", "DescribeStackEvents", "DeleteStack", "DescribeStacks"):
        sandbox.faults.add(Fault(name, error="Throttling", service="cloudformation"))
    sandbox.faults.add(Fault("DescribeNetworkInterfaces", error="RequestLimitExceeded", status=503))
    sandbox.faults.add(Fault("ListTrainingJobs", error="ThrottlingException"))
    found = settled(session(sandbox), stack.id, way())
    assert found is not None
    done = deleted(sandbox, found)
    assert done is not None and done.ok and not sandbox.faults.left()


@pytest.mark.parametrize(("reason", "tries"), [(HELD, 2), ("You are not authorized to perform: ec2:DeleteSecurityGroup", 1)])
def test_a_deletion_that_fails_says_why_and_what_is_left(sandbox: Sandbox, reason: str, tries: int) -> None:
    sandbox.stacks.script(StackScript(fail_delete={"Group": reason}))
    with pytest.raises(DeletionFailed) as caught:
        deleted(sandbox, create(sandbox))
    text = str(caught.value)
    assert caught.value.ended is not None and caught.value.ended.cause is not None
    assert "DELETE_FAILED" in text and "root cause: Group (AWS::EC2::SecurityGroup)" in text and "still there: " in text
    assert operations(sandbox).count("DeleteStack") == tries


def _foreign(sandbox: Sandbox, stack: Stack) -> Dict[str, str]:
    """Things in the network that are not the stack's: kind and id."""
    ec2 = session(sandbox).client("ec2")
    vpc, group = output(stack, "VpcId"), output(stack, "SecurityGroupId")
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.9.0/24")["Subnet"]["SubnetId"]
    other = ec2.create_security_group(GroupName="other", Description="o", VpcId=vpc)["GroupId"]
    far = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    referring = ec2.create_security_group(GroupName="refers", Description="r", VpcId=far)["GroupId"]
    rule = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    ec2.authorize_security_group_ingress(GroupId=referring, IpPermissions=[rule])
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    endpoint = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-east-1.dynamodb", VpcEndpointType="Gateway")
    peering = ec2.create_vpc_peering_connection(VpcId=far, PeerVpcId=vpc)["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    interface = ec2.create_network_interface(SubnetId=output(stack, "Subnet1Id"), Description="mine")["NetworkInterface"]
    return {
        subnet: "subnet",
        other: "security group",
        referring: "security group",
        gateway: "internet gateway",
        endpoint["VpcEndpoint"]["VpcEndpointId"]: "VPC endpoint",
        peering: "peering connection",
        interface["NetworkInterfaceId"]: "network interface",
    }


def test_what_others_have_made_is_named_before_anything_is_deleted(sandbox: Sandbox) -> None:
    stack = create(sandbox)
    wanted = _foreign(sandbox, stack)
    found = survey_of(sandbox, stack)
    assert {entry.id: entry.kind for entry in found.obstacles} == wanted
    with pytest.raises(CloudRefused) as caught:
        delete(session(sandbox), found, way())
    assert all(name in str(caught.value) for name in wanted)
    assert "DeleteStack" not in operations(sandbox)


def test_stacks_that_import_its_outputs_are_named(sandbox: Sandbox) -> None:
    stack = create(sandbox)
    group = {"GroupDescription": "g", "VpcId": {"Fn::ImportValue": "net-VpcId"}}
    user = {"Resources": {"Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": group}}}
    create(sandbox, "user", template=user)
    found = survey_of(sandbox, stack)
    assert ("stack", "user", "imports net-VpcId") in [(entry.kind, entry.id, entry.what) for entry in found.obstacles]


def test_what_may_not_be_looked_at_is_said(sandbox: Sandbox, command: Run) -> None:
    create(sandbox)
    for name in ("DescribeNetworkInterfaces", "ListTrainingJobs"):
        sandbox.faults.add(Fault(name, error="AccessDeniedException", times=None))
    done = command("net", "--yes")
    assert done.code == 0 and "net is gone" in done.text
    assert "warning: network interfaces cannot be looked at: ec2:DescribeNetworkInterfaces is not allowed" in done.text
    assert "sagemaker:ListTrainingJobs is not allowed" in done.text


def test_a_deletion_that_is_under_way_is_waited_for(sandbox: Sandbox) -> None:
    sandbox.stacks.script(StackScript(seconds=0.2))
    stack = create(sandbox)
    said: List[str] = []
    whole = settled(session(sandbox), stack.id, way(said))
    assert whole is not None and whole.status == "CREATE_COMPLETE"
    session(sandbox).client("cloudformation").delete_stack(StackName="net")
    begun = settled(session(sandbox), stack.id, way(said, wait_for_end=False))
    assert begun is not None and begun.status == "DELETE_IN_PROGRESS"
    assert settled(session(sandbox), stack.id, way(said)) is None
    assert "waiting for its end" in said[-1]


def test_another_kind_of_stack_is_left_alone(sandbox: Sandbox) -> None:
    logs = {"Resources": {"Log": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "precious"}}}}
    stack = create(sandbox, template=logs)
    with pytest.raises(ConfigError, match="is no network: it has AWS::Logs::LogGroup"):
        deleted(sandbox, stack)
    assert "DeleteStack" not in operations(sandbox)


def test_a_stack_whose_creation_failed_is_deleted(sandbox: Sandbox) -> None:
    sandbox.stacks.script(StackScript(fail={"Subnet1": "no"}, times=1))
    stack = create(sandbox)
    assert sandbox.stacks.status("net") == "ROLLBACK_COMPLETE"
    done = deleted(sandbox, stack)
    assert done is not None and done.ok and find(session(sandbox), "net") is None


def test_its_endpoints_and_their_interfaces_are_its_own(sandbox: Sandbox) -> None:
    template = copy.deepcopy(TEMPLATE)
    template["Resources"]["Logs"] = {
        "Type": "AWS::EC2::VPCEndpoint",
        "Properties": {
            "VpcEndpointType": "Interface",
            "VpcId": {"Ref": "Vpc"},
            "ServiceName": "com.amazonaws.us-east-1.logs",
            "SubnetIds": [{"Ref": "Subnet1"}],
            "SecurityGroupIds": [{"Ref": "Group"}],
        },
    }
    stack = create(sandbox, template=template)
    found = survey_of(sandbox, stack)
    assert (found.obstacles, found.leftovers) == ((), ())
    done = deleted(sandbox, stack)
    assert done is not None and done.ok


def test_an_interrupt_leaves_the_deletion_going_on(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.stacks.script(StackScript(seconds_of={"Subnet1": 1.0}))
    create(sandbox)
    process = start(sandbox, tmp_path, "vpc", "delete", "net", "--yes")
    text = read_until(process, "DELETE_IN_PROGRESS  Subnet1")
    process.send_signal(2)
    done = ended(process)
    assert done.code == 130, text + done.text
    assert "goes on without this command: hvdsm vpc status net" in done.text


def at_a_terminal(sandbox: Sandbox, answer: bytes, *words: str) -> Ended:
    """Run ``hvdsm vpc delete WORDS…`` at a terminal, and answer its question."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 130, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "hvdsm", "vpc", "delete", *words],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**variables(sandbox), "TERM": "xterm"}, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    seen_here = b""
    asked = False
    with contextlib.suppress(OSError):
        # Reading fails when nobody has the other end any more.
        while data := os.read(ours, 65536):
            seen_here += data
            if not asked and b"[y/N]" in seen_here:
                asked = True
                os.write(ours, answer)
    os.close(ours)
    return Ended(process.wait(60), seen_here.decode())


def test_a_person_is_asked(sandbox: Sandbox) -> None:
    create(sandbox, EnableTerminationProtection=True)
    done = at_a_terminal(sandbox, b"n\n", "net")
    assert done.code == 1 and "nothing has been deleted" in done.text
    assert sandbox.stacks.status("net") == "CREATE_COMPLETE" and "DeleteStack" not in operations(sandbox)
    done = at_a_terminal(sandbox, b"y\n", "net")
    assert done.code == 0 and "termination protection taken off first?" in done.text
    assert "├── " in done.text and "net is gone" in done.text


def test_without_waiting(sandbox: Sandbox, command: Run) -> None:
    create(sandbox, EnableTerminationProtection=True)
    done = command("net", "--yes", "--json")
    told = printed(done)
    assert done.code == 78 == told["exit_code"] and "--unprotect" in told["error"] and told["deleted"] is False
    done = command("net", "--yes", "--unprotect", "--no-wait")
    assert done.code == 0 and "the deletion of net has begun" in done.text
    assert sandbox.stacks.status("net") in (None, "DELETE_IN_PROGRESS", "DELETE_COMPLETE")
