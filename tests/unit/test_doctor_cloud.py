"""What the cloud's answers mean: trust policies, clock, bucket, quota, permissions; and hosts of this machine."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Dict, List, Optional

import pytest

from hvdsm.container.diagnosis import FAILED, NOTE, OK, UNCHECKED, WARNING
from hvdsm.doctor.buckets import BucketFacts, judge_bucket
from hvdsm.doctor.cloud import judge_clock
from hvdsm.doctor.local import HostFacts, Reached, judge_hosts, namespaces, platform
from hvdsm.doctor.permissions import Decision, judge_permissions, judge_trust
from hvdsm.doctor.quotas import judge_quota
from hvdsm.doctor.trust import trusts
from hvdsm.emulator import Availability

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/training"
ALLOW: Dict[str, Any] = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}


def with_(**more: Any) -> Dict[str, Any]:
    return {**ALLOW, **more}


@pytest.mark.parametrize(
    ("statements", "answer", "why"),
    [
        (ALLOW, True, ""),
        ([ALLOW], True, ""),
        ([with_(Principal={"Service": ["ec2.amazonaws.com", "sagemaker.amazonaws.com"]})], True, ""),
        ([with_(Action="sts:*")], True, ""),
        ([with_(Action=["sts:TagSession", "STS:assumerole"])], True, ""),
        ([with_(Action="sts:TagSession")], False, "trusts sagemaker"),
        ([with_(Principal={"Service": "ec2.amazonaws.com"})], False, "it trusts ec2.amazonaws.com alone"),
        ([with_(Principal={"AWS": "*"})], False, "it trusts no service"),
        ([with_(Principal="*")], False, "it trusts no service"),
        ([ALLOW, with_(Effect="Deny")], False, "denies"),
        ([ALLOW, with_(Effect="Deny", Principal="*")], False, "denies"),
        ([ALLOW, with_(Effect="Deny", Condition={"Bool": {"aws:SecureTransport": "false"}})], None, "condition"),
        ([with_(Condition={"StringEquals": {"aws:SourceAccount": ACCOUNT}})], True, ""),
        ([with_(Condition={"StringEquals": {"aws:SourceAccount": "999999999999"}})], False, "another account"),
        ([with_(Condition={"ArnLike": {"aws:SourceArn": f"arn:aws:sagemaker:*:{ACCOUNT}:*"}})], True, ""),
        ([with_(Condition={"ArnLike": {"aws:SourceArn": f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:*"}})], None, "condition"),
        ([with_(Condition={"ArnLike": {"aws:SourceArn": f"arn:aws:ec2:*:{ACCOUNT}:*"}})], False, "another account"),
        ([with_(Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}})], None, "condition"),
        ([with_(Condition={"StringNotEquals": {"aws:SourceAccount": ACCOUNT}})], None, "condition"),
        ([], False, "no service"),
        (None, False, "no service"),
    ],
)
def test_trust(statements: Any, answer: Optional[bool], why: str) -> None:
    found, said = trusts({"Statement": statements}, ACCOUNT)
    assert found is answer and why in said


def test_a_role_by_its_trust() -> None:
    good = judge_trust(ROLE, {"Statement": [ALLOW]}, ACCOUNT)
    assert (good.status, good.facts["trusted"]) == (OK, True)
    assert judge_trust(ROLE, json.dumps({"Statement": [ALLOW]}), ACCOUNT).status == OK
    bad = judge_trust(ROLE, {"Statement": []}, ACCOUNT)
    assert (bad.status, bad.code) == (FAILED, 78) and "sagemaker.amazonaws.com" in bad.remedy
    assert judge_trust(ROLE, {"Statement": [with_(Condition={"Bool": {"x": "true"}})]}, ACCOUNT).status == WARNING
    assert judge_trust(ROLE, "{", ACCOUNT).status == UNCHECKED


@pytest.mark.parametrize(
    ("ahead", "status", "words"),
    [
        (None, UNCHECKED, "no answer"),
        (0.4, OK, "agrees"),
        (-30.0, OK, "30 s behind"),
        (90.0, WARNING, "90 s ahead"),
        (-301.0, FAILED, "301 s behind"),
    ],
)
def test_clock(ahead: Optional[float], status: str, words: str) -> None:
    check = judge_clock(ahead)
    assert check.status == status and words in check.what
    assert check.code == (69 if status == FAILED else 0)


FINE = BucketFacts("bucket", "prefix", 200, "eu-central-1", 404, True)


@pytest.mark.parametrize(
    ("facts", "status", "words"),
    [
        (FINE, OK, "s3://bucket/prefix, in eu-central-1; may be written"),
        (replace(FINE, writable=None), OK, "shows when"),
        (replace(FINE, writable=False), WARNING, "s3:PutObject"),
        (replace(FINE, object_status=403), WARNING, "s3:GetObject"),
        (replace(FINE, status=404), FAILED, "there is no bucket bucket"),
        (replace(FINE, status=404, default=True), NOTE, "a launch makes it"),
        (replace(FINE, status=403), FAILED, "another account"),
        (replace(FINE, status=301, region="us-west-2"), FAILED, "is in us-west-2"),
        (replace(FINE, region="us-west-2"), FAILED, "is in us-west-2"),
        (replace(FINE, status=301, region=""), FAILED, "another region"),
        (replace(FINE, region="", prefix=""), OK, "s3://bucket, in eu-central-1"),
    ],
)
def test_bucket(facts: BucketFacts, status: str, words: str) -> None:
    check = judge_bucket(facts, "eu-central-1")
    assert check.status == status and words in check.what
    assert check.code == (78 if status == FAILED else 0)


@pytest.mark.parametrize(("value", "count", "status"), [(None, 2, UNCHECKED), (2.0, 2, OK), (1.0, 2, FAILED), (0.0, 1, FAILED)])
def test_quota(value: Optional[float], count: int, status: str) -> None:
    check = judge_quota("ml.p4d.24xlarge for training job usage", value, count, "eu-central-1")
    assert (check.status, check.code) == (status, 78 if status == FAILED else 0)


def test_permissions() -> None:
    asked = [Decision("sagemaker:CreateTrainingJob", True), Decision("iam:PassRole", True)]
    assert judge_permissions("arn", asked).status == OK
    check = judge_permissions("arn:me", [asked[0], Decision("iam:PassRole", False, explicit=True)])
    assert check.status == WARNING and "arn:me lacks iam:PassRole (denied explicitly)" in check.what


def host(name: str, mpi: str = "4.1.8", **checks: Any) -> HostFacts:
    found: Dict[str, Dict[str, Any]] = {
        "open-mpi": {"name": "open-mpi", "status": OK, "facts": {"version": mpi, "mpirun": "/usr/bin/mpirun"}},
        "ssh": {"name": "ssh", "status": OK, "facts": {"version": "OpenSSH_9.2p1"}},
        "interface": {"name": "interface", "status": OK, "facts": {"used": "eth0"}},
    }
    return HostFacts(name, {**found, **checks})


SSHD = "SSH-2.0-OpenSSH_9.2p1"
REACHED = {"algo-2": Reached(SSHD, "algo-2")}


@pytest.mark.parametrize(
    ("hosts", "reached", "status", "words"),
    [
        ([host("algo-1"), host("algo-2")], REACHED, OK, "each with Open MPI 4.1.8, interface eth0"),
        ([host("algo-1"), host("algo-2", "5.0.3")], REACHED, FAILED, "the hosts differ"),
        (
            [host("algo-1"), host("algo-2")],
            {"algo-2": Reached("", "")},
            FAILED,
            "algo-1 does not reach sshd on algo-2 (no answer)",
        ),
        (
            [host("algo-1"), host("algo-2")],
            {"algo-2": Reached(SSHD, "Permission denied")},
            WARNING,
            "algo-2 (Permission denied) is refused",
        ),
        ([host("algo-1"), HostFacts("algo-2", {}, "No module named hvdsm")], REACHED, FAILED, "No module named hvdsm"),
        (
            [host("algo-1"), host("algo-2", **{"open-mpi": {"status": FAILED, "what": "mpirun is not there", "exit_code": 78}})],
            REACHED,
            FAILED,
            "algo-2: mpirun is not there",
        ),
    ],
)
def test_hosts(hosts: List[HostFacts], reached: Dict[str, Reached], status: str, words: str) -> None:
    check = judge_hosts(hosts, reached, 0.1, with_mpi=True)
    assert check.status == status and words in check.what
    assert set(check.facts) == {"algo-1", "algo-2"}


def test_hosts_need_no_mpi_that_the_machine_does_not_have() -> None:
    lacks = {"open-mpi": {"status": FAILED, "what": "mpirun is not on PATH"}}
    check = judge_hosts([host("algo-1", **lacks), host("algo-2", **lacks)], REACHED, 0.1, with_mpi=False)
    assert check.status == OK and "without Open MPI" in check.what


def test_namespaces_and_platform() -> None:
    assert namespaces(Availability(True)).status == OK
    check = namespaces(Availability(False, "seccomp forbids it", "start it with --privileged"))
    assert (check.status, check.code, check.remedy) == (FAILED, 69, "start it with --privileged")
    assert platform("linux").status == OK
    assert (platform("darwin").status, platform("darwin").code) == (FAILED, 69)
