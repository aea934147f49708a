"""What stands in the way of deleting a network, and whose it is."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import pytest

from hvdsm.aws.cloudformation import StackResource
from hvdsm.vpc.deletion.obstacles import Own, in_the_way, interfaces_of, own_of, owner_of
from hvdsm.vpc.deletion.tenants import tenants

OWN = Own(frozenset({"vpc-1"}), frozenset({"subnet-1"}), frozenset({"sg-1"}), frozenset({"vpc-1", "vpce-1", "i-own", "eni-own"}))
ID = "0a1b2c3d-1111-2222-3333-444455556666"


@pytest.mark.parametrize(
    ("described", "requester", "owner"),
    [
        ("[DO NOT DELETE] ENI managed by SageMaker for Training Job (x)", "1", "SageMaker"),
        ("", "AROAX:SageMaker", "SageMaker"),
        ("[Do not delete] Network Interface created to access resources in your VPC for SageMaker Notebook Instance nb", "1",
         "SageMaker notebook instance nb"),
        ("[DO NOT DELETE] ENI managed by SageMaker for Studio Domain(d-abc) - 12", "1", "SageMaker Studio domain d-abc"),
        (f"AWS Lambda VPC ENI-resize-{ID}", "", "Lambda function resize"),
        ("EFS mount target for fs-1 (fsmt-2)", "", "EFS file system fs-1"),
        ("Interface for NAT Gateway nat-1", "", "NAT gateway nat-1"),
        ("ELB app/front/123", "amazon-elb", "load balancer front"),
        ("RDSNetworkInterface", "amazon-rds", "RDS database"),
        ("VPC Endpoint Interface vpce-9", "", "VPC endpoint vpce-9"),
        ("something", "amazon-redshift", "service amazon-redshift"),
        ("something", "1234", "not known (asked for by 1234)"),
        ("", "", "not known"),
    ],
)  # fmt: skip
def test_owners(described: str, requester: str, owner: str) -> None:
    assert owner_of(described, requester)[0] == owner


def entry(name: str, described: str = "", status: str = "in-use", **more: Any) -> Dict[str, Any]:
    groups = [{"GroupId": "sg-1"}]
    return {
        "NetworkInterfaceId": name,
        "SubnetId": "subnet-1",
        "Description": described,
        "Status": status,
        "Groups": groups,
        **more,
    }


def test_the_stacks_own_interfaces_are_none() -> None:
    mine = [entry("eni-own"), entry("eni-1", "VPC Endpoint Interface vpce-1"), entry("eni-2", Attachment={"InstanceId": "i-own"})]
    assert interfaces_of(mine, OWN) == []


def test_only_what_its_service_removes_is_waited_for() -> None:
    found = interfaces_of(
        [
            entry("eni-1", "ENI managed by SageMaker for Training Job"),
            entry("eni-1", "ENI managed by SageMaker for Training Job"),
            entry("eni-2", "ENI managed by SageMaker for Studio Domain(d-1)"),
            entry("eni-3", "ENI managed by SageMaker for Studio Domain(d-1)", "available"),
            entry("eni-4", f"AWS Lambda VPC ENI-f-{ID}"),
            entry("eni-5", f"AWS Lambda VPC ENI-f-{ID}", "available", RequesterManaged=True),
            entry("eni-6", "mine", "available"),
            entry("eni-7", "", Attachment={"InstanceId": "i-1"}),
        ],
        OWN,
    )
    assert [(one.id, one.passing) for one in found] == [
        ("eni-1", True), ("eni-2", False), ("eni-3", True), ("eni-4", False), ("eni-5", True), ("eni-6", False), ("eni-7", False),
    ]  # fmt: skip
    remedies = {one.id: in_the_way(one).remedy for one in found if not one.passing}
    assert remedies["eni-6"] == "aws ec2 delete-network-interface --network-interface-id eni-6"
    assert "i-1" in remedies["eni-7"] and "lambda" in remedies["eni-4"] and "delete-domain" in remedies["eni-2"]


def test_own_of_resources() -> None:
    kinds = {"vpc-1": "VPC", "subnet-1": "Subnet", "sg-1": "SecurityGroup", "": "Subnet", "rtb-1": "RouteTable"}
    own = own_of([StackResource(f"R{name}", name, f"AWS::EC2::{kind}", "CREATE_COMPLETE") for name, kind in kinds.items()])
    assert (own.vpcs, own.subnets, own.groups) == (frozenset({"vpc-1"}), frozenset({"subnet-1"}), frozenset({"sg-1"}))
    assert own.all == frozenset({"vpc-1", "subnet-1", "sg-1", "rtb-1"}) and own.any and not Own().any
    assert own.has(["subnet-1"], []) and own.has([], ["sg-1"]) and not own.has(["subnet-2"], ["sg-2"])


INSIDE = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-9"]}
OUTSIDE = {"Subnets": ["subnet-9"], "SecurityGroupIds": ["sg-9"]}


class Answers:
    """SageMaker as a dictionary: listings by method, with the filter they were asked for, and descriptions by name."""

    def __init__(self, lists: Dict[Tuple[str, str], List[Dict[str, Any]]], descriptions: Dict[str, Dict[str, Any]]) -> None:
        self.lists = lists
        self.descriptions = descriptions
        self.unread: List[str] = []

    def all(self, service: str, method: str, key: str, what: str, **asked: str) -> List[Dict[str, Any]]:
        return self.lists.get((method, next(iter(asked.values()), "")), [])

    def one(self, service: str, method: str, what: str, **asked: str) -> Dict[str, Any]:
        return self.descriptions.get(next(iter(asked.values())), {})


def test_everything_of_sagemaker_in_the_network_is_found() -> None:
    def job(name: str, status: str) -> Dict[str, Any]:
        return {"TrainingJobName": name, "TrainingJobStatus": status, "WarmPoolStatus": {"Status": "Available"}}

    answers: Any = Answers(
        {
            ("list_training_jobs", "InProgress"): [job("runs", "InProgress"), job("away", "InProgress")],
            # Something that does not know the filter answers with what has ended as well.
            ("list_training_jobs", "Stopping"): [job("stops", "Stopping"), job("ended", "Completed")],
            ("list_training_jobs", "Available"): [job("pool", "Completed")],
            ("list_processing_jobs", "InProgress"): [{"ProcessingJobName": "pre", "ProcessingJobStatus": "InProgress"}],
            ("list_notebook_instances", ""): [{"NotebookInstanceName": "nb", "NotebookInstanceStatus": "InService"}],
            ("list_domains", ""): [{"DomainId": "d-1", "Status": "InService"}],
            ("list_clusters", ""): [{"ClusterName": "hyper", "ClusterStatus": "InService"}],
            ("list_endpoints", ""): [{"EndpointName": "serves", "EndpointStatus": "InService"}, {"EndpointName": "far"}],
            ("list_transform_jobs", "InProgress"): [{"TransformJobName": "batch"}],
        },
        {
            **{name: {"VpcConfig": INSIDE} for name in ("runs", "stops", "ended", "pool", "hyper", "model")},
            "away": {"VpcConfig": OUTSIDE},
            "pre": {"NetworkConfig": {"VpcConfig": INSIDE}},
            "nb": {"SubnetId": "subnet-1", "SecurityGroups": []},
            "d-1": {"SubnetIds": ["subnet-9"], "DefaultUserSettings": {"SecurityGroups": ["sg-1"]}},
            "serves": {"EndpointConfigName": "config"},
            "config": {"ProductionVariants": [{"ModelName": "model"}]},
            "far": {"EndpointConfigName": "other"},
            "other": {"ProductionVariants": [{"ModelName": "none"}]},
            "batch": {"ModelName": "model"},
        },
    )
    found = {(one.kind, one.id): one.remedy for one in tenants(answers, OWN)}
    assert set(found) == {
        ("training job", "runs"), ("training job", "stops"), ("warm pool of training job", "pool"), ("processing job", "pre"),
        ("notebook instance", "nb"), ("Studio domain", "d-1"), ("cluster", "hyper"), ("endpoint", "serves"),
        ("transform job", "batch"),
    }  # fmt: skip
    assert found["training job", "runs"] == "hvdsm jobs stop runs --wait"
    assert "KeepAlivePeriodInSeconds=0" in found["warm pool of training job", "pool"]
    assert tenants(answers, Own()) == []


def test_what_was_left_out_is_said() -> None:
    many = [{"NotebookInstanceName": f"n{number}"} for number in range(400)]
    answers: Any = Answers({("list_notebook_instances", ""): many}, {})
    assert tenants(answers, OWN) == []
    assert answers.unread == ["only 300 of 400 notebook instances were looked at"]
