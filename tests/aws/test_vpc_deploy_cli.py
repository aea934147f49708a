"""``hvdsm vpc plan|deploy|status|outputs`` as a person and as a program use them, and the thin ways to the same."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

import pytest
from vpc_support import SMALL, Told, asked, deployed, made_by_others, order, session, stack_of, subnets, until

import hvdsm
from hvdsm.aws.cloudformation import find
from hvdsm.cli import main
from hvdsm.errors import CloudRefused, ConfigError
from hvdsm.sandbox import Fault, Sandbox, StackScript
from hvdsm.vpc import create_vpn_infra
from hvdsm.vpc.stacks.settling import StackFailed

SCRIPT = Path(hvdsm.__file__).parent.parent / "vpc" / "create_stack.py"


@pytest.fixture
def shop(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that this process's environment names, and an empty working directory with a small template."""
    for name, value in sandbox.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SMALL)
    yield sandbox


def run(capfd: pytest.CaptureFixture[str], *words: str) -> Tuple[int, str, str]:
    """A command's exit code, and what it printed."""
    code = main(["vpc", *words])
    out, err = capfd.readouterr()
    return code, out, err


def json_of(capfd: pytest.CaptureFixture[str], *words: str) -> Tuple[int, Dict[str, Any]]:
    code, out, _ = run(capfd, *words, "--json")
    return code, json.loads(out)


def test_from_plan_to_outputs(shop: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capfd, "plan", "net", "--endpoints", "core")
    assert code == 0 and "LogsEndpoint" in out and "29.20 USD" in out and "nothing was changed" in err
    assert find(session(shop), "net") is None

    code, out, err = run(capfd, "create", "net", "--zones", "2")
    assert code == 0, err
    assert "Add" in out and "Subnet2" in out and "costs: 0.00 USD a month" in out
    assert err.index("CREATE_IN_PROGRESS") < err.index("stack net is CREATE_COMPLETE")
    assert "hvdsm launch --backend sagemaker --vpc-stack net" in err

    code, out, err = run(capfd, "deploy", "net")
    assert code == 0 and "CREATE_COMPLETE: no changes" in err and "AvailabilityZoneCount=2" in err
    assert asked(shop, "ExecuteChangeSet") == 1

    aws = session(shop)
    outputs = stack_of(aws).outputs
    code, out, _ = run(capfd, "outputs", "net", "--shell")
    assert f"export SUBNET1_ID={outputs['Subnet1Id']}" in out
    zone = subnets(aws, [outputs["Subnet2Id"]])[outputs["Subnet2Id"]]["AvailabilityZone"]
    code, out, _ = run(capfd, "outputs", "net", "--vpc-config", "--zone", zone, "--encrypt-traffic")
    assert json.loads(out) == {
        "Subnets": [outputs["Subnet2Id"]], "SecurityGroupIds": [outputs["TrafficEncryptedSecurityGroupId"]],
    }  # fmt: skip
    code, out, _ = run(capfd, "outputs", "net", "--vpc-config")
    assert json.loads(out) == json.loads(outputs["VpcConfig"])
    assert run(capfd, "outputs", "net", "--vpc-config", "--zone", "us-east-1q")[0] == 78
    assert json_of(capfd, "outputs", "net") == (0, outputs)

    code, found = json_of(capfd, "status", "net")
    assert code == 0 and found["stack"]["protected"] and found["cause"] is None and found["last_operation"]["ended"]
    assert {"resource", "physical_id", "type", "status", "seconds"} <= set(found["resources"][0])
    code, out, _ = run(capfd, "status", "net")
    assert "protection  on" in out and outputs["VpcId"] in out


def test_json_of_everything(shop: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    code, found = json_of(capfd, "plan", "net", "--template", "small.yaml", "--tag", "team=a")
    assert (code, found["operation"], found["stack"], found["outputs"]) == (0, "CREATE", None, {})
    assert {change["resource"] for change in found["changes"]} == {"Vpc", "Group"}
    assert found["costs"]["per_month"] == 0 and found["warnings"]
    code, found = json_of(capfd, "deploy", "net", "--template", "small.yaml", "--tag", "team=a", "--no-protect")
    assert (code, found["changed"], found["ended"], found["stack"]["protected"]) == (0, True, True, False)
    assert set(found["outputs"]) == {"VpcId", "SecurityGroupId"} and found["stack"]["tags"] == {"team": "a"}
    code, found = json_of(capfd, "deploy", "net", "--template", "small.yaml")
    assert (code, found["operation"], found["changed"], found["changes"]) == (0, None, False, [])


def test_a_stack_that_fails(shop: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    shop.stacks.script(StackScript(fail={"Group": "The maximum number of security groups has been reached."}))
    code, out, err = run(capfd, "deploy", "net", "--template", "small.yaml")
    assert code == 78
    first = next(line for line in err.splitlines() if "error" in line)
    assert "Group (AWS::EC2::SecurityGroup) CREATE_FAILED: The maximum number of security groups has been reached." in first
    code, out, _ = run(capfd, "status", "net")
    assert code == 0 and out.splitlines()[0].startswith("root cause: Group (AWS::EC2::SecurityGroup)")
    code, found = json_of(capfd, "status", "net")
    assert found["cause"]["resource"] == "Group" and found["stack"]["status"] == "ROLLBACK_COMPLETE"
    code, found = json_of(capfd, "deploy", "net", "--template", "small.yaml")
    assert code == found["exit_code"] == 78 and found["cause"]["resource"] == "Group" and "--recreate" in found["error"]
    assert run(capfd, "outputs", "net")[0] == 78
    assert run(capfd, "status", "other")[0] == 78


REFUSED = [
    (["--zones", "4"], 2, "4"),
    (["--timeout", "0"], 2, "timeout"),
    (["--zones", "1", "--zone", "us-east-1a", "--zone", "us-east-1b"], 2, "2 zones are named for --zones 1"),
    (["--zone", "us-east-1a", "--zone", "us-east-1a"], 78, "us-east-1a is named twice"),
    (["--cidr", "10.0.0.1/16"], 78, "write 10.0.0.0/16"),
    (["--parameter", "Nothing=1"], 78, "no parameter Nothing"),
    (["--parameter", "Nothing"], 2, "no NAME=VALUE"),
    (["--flow-log-days", "8"], 78, "FlowLogRetentionDays"),
    (["--timeout", "nan"], 2, "no number of seconds"),
    (["--template", "none.yaml"], 78, "No such file"),
    (["--template", "small.yaml", "--zones", "2"], 78, "the template has no parameter AvailabilityZoneCount"),
]


def test_options_that_cannot_be_meant(shop: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    for words, code, said in REFUSED:
        found, _, err = run(capfd, "deploy", "net", *words)
        assert found == code and said in err, err
    assert asked(shop, "CreateChangeSet") == 0


def test_a_name_that_is_none(shop: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(capfd, "deploy", "my_net")[0] == 2
    assert shop.requests == []


def test_defaults_of_the_configuration(shop: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    Path("hvdsm.toml").write_text('[vpc.deploy]\nzones = 2\nprotect = false\ntags = {team = "a"}\nflow_log_days = 30\n')
    for word in ("create", "deploy"):
        code, found = json_of(capfd, word, word)
        assert code == 0 and found["parameters"]["AvailabilityZoneCount"] == "2", found
        assert (found["stack"]["protected"], found["stack"]["tags"]) == (False, {"team": "a"})
    Path("hvdsm.toml").write_text("[vpc.deploy]\nzoness = 2\n")
    assert run(capfd, "deploy", "net")[0] == 78
    Path("hvdsm.toml").write_text("[vpc.plan]\nendpoints = 'core'\n")
    assert main(["config", "check"]) == 0


def test_a_person_is_asked(shop: Sandbox) -> None:
    for answer, code, there in (("n", 1, False), ("y", 0, True)):
        shell = [sys.executable, "-m", "hvdsm.cli", "vpc", "deploy", "net", "--template", "small.yaml"]
        outer, inner = pty.openpty()
        process = subprocess.Popen(shell, stdin=inner, stdout=inner, stderr=inner, env=dict(os.environ), close_fds=True)
        os.close(inner)
        seen = b""
        while b"Do this?" not in seen:
            seen += os.read(outer, 4096)
        assert b"Vpc" in seen
        os.write(outer, f"{answer}\n".encode())

        def drain(fd: int = outer) -> None:
            try:
                while os.read(fd, 4096):
                    pass
            except OSError:
                pass

        reader = threading.Thread(target=drain)
        reader.start()
        assert process.wait(60) == code
        reader.join(10)
        os.close(outer)
        assert (find(session(shop), "net") is not None) is there


def test_an_interrupt_says_what_goes_on(shop: Sandbox) -> None:
    shop.stacks.script(StackScript(seconds=3.0))
    words = [sys.executable, "-m", "hvdsm.cli", "vpc", "deploy", "net", "--template", "small.yaml"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "CREATE_IN_PROGRESS" in line:
            break
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    assert process.wait(30) == 130
    process.stderr.close()
    assert "the creation of stack net goes on without this command; hvdsm vpc status net shows it, hvdsm vpc delete net" in said
    assert stack_of(session(shop)).status == "CREATE_IN_PROGRESS"


def test_a_network_by_one_call(shop: Sandbox) -> None:
    aws, told = session(shop), Told()
    shown, groups = create_vpn_infra(aws=aws, say=told.say, interval=0.02)
    outputs = stack_of(aws, "hvdvpcstack").outputs
    assert (shown, groups) == ([outputs["Subnet1Id"], outputs["Subnet2Id"]], [outputs["SecurityGroupId"]])
    assert [entry["CidrBlock"] for entry in subnets(aws, shown).values()] == ["10.0.0.0/24", "10.0.1.0/24"]
    told = Told()
    assert create_vpn_infra(aws=aws, say=told.say) == (shown, groups)
    assert told.lines == ["stack hvdvpcstack is there already (CREATE_COMPLETE): it is used as it is"]
    deployed(aws, order("hvdvpcstack", flow_log_days=30))
    assert stack_of(aws, "hvdvpcstack").status == "UPDATE_COMPLETE"
    assert create_vpn_infra(aws=aws, say=told.say) == (shown, groups)


def test_a_network_by_one_call_that_others_make(shop: Sandbox) -> None:
    aws, told = session(shop), Told()
    template = SMALL.replace("  VpcId: {", "  Subnet1Id: {")
    assert find(aws, "hvdvpcstack") is None
    shop.stacks.script(StackScript(seconds=1.0, times=1))
    made_by_others(aws, "hvdvpcstack", template)
    assert len(create_vpn_infra(aws=aws, say=told.say, interval=0.02)[0]) == 1
    assert "waiting for it to end" in told.text
    aws.client("cloudformation").delete_stack(StackName="hvdvpcstack")
    assert find(aws, "hvdvpcstack") is None
    shop.stacks.script(StackScript(fail={"Group": "no such thing"}, times=1))
    made_by_others(aws, "hvdvpcstack", template)
    until(aws, "hvdvpcstack", "ROLLBACK_COMPLETE")
    with pytest.raises(StackFailed, match="no such thing"):
        create_vpn_infra(aws=aws, say=told.say, template=template)
    assert create_vpn_infra(aws=aws, say=told.say, template=template, recreate=True, interval=0.02)[1]
    with pytest.raises(ConfigError, match="has no output Subnet1Id"):
        create_vpn_infra("other", aws=aws, say=told.say, template=SMALL, interval=0.02)


def test_other_errors_of_the_client_are_raised(shop: Sandbox) -> None:
    shop.faults.add(Fault(operation="CreateChangeSet", error="AccessDenied", status=403, times=None))
    with pytest.raises(CloudRefused, match="lacks the permission CreateChangeSet"):
        create_vpn_infra(aws=session(shop), say=Told().say)


def test_the_script(shop: Sandbox) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--zones", "1"], capture_output=True, text=True)
    outputs = stack_of(session(shop), "hvdvpcstack").outputs
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Subnets: ['{outputs['Subnet1Id']}']\nSecurity Groups: ['{outputs['SecurityGroupId']}']\n"
    shop.stacks.script(StackScript(fail={"Vpc": "no room"}))
    done = subprocess.run([sys.executable, str(SCRIPT), "other"], capture_output=True, text=True)
    assert done.returncode == 78 and "Vpc (AWS::EC2::VPC) CREATE_FAILED: no room" in done.stderr and done.stdout == ""
