"""Graph construction as a processing job of a service that answers as SageMaker does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List

import pytest
from aws_support import moto_aws, moto_server

from hvdsm import graph
from hvdsm.cli import main
from hvdsm.errors import HvdsmError
from hvdsm.recipes.graph.processing import Construction, processing_request
from hvdsm.recipes.graph.processing_run import ProcessingJob, attend, submit

ROLE = "arn:aws:iam::123456789012:role/graphs"
ASKED = Construction("s3://b/raw", "s3://b/g", "mag", "c.json", "123456789012.dkr.ecr.us-east-1.amazonaws.com/g:1", ROLE)


def test_a_processing_job_is_created_as_asked() -> None:
    said: List[str] = []
    with moto_server() as url:
        aws = moto_aws(url)
        request = processing_request(ASKED, "2026-01-31-12-00-00")
        job = submit(request, None, None, said.append, aws)
        found = aws.client("sagemaker").describe_processing_job(ProcessingJobName=job.name)
    assert job.name == "gs-gconstruct-mag-2026-01-31-12-00-00"
    assert job.arn == found["ProcessingJobArn"]
    for name in ("AppSpecification", "ProcessingInputs", "StoppingCondition", "RoleArn"):
        assert found[name] == request[name]
    assert any("/aws/sagemaker/ProcessingJobs" in line for line in said)


def test_the_command_and_python_create_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    given: Dict[str, Any] = {
        "input_graph_s3": "s3://b/raw", "output_graph_s3": "s3://b/g/", "graph_name": "mag", "graph_config_file": "c.json",
        "image_uri": ASKED.image, "role": ROLE, "region": "us-east-1", "max_run": 60, "instance_type": "ml.m5.large",
        "sm_estimator_parameters": "volume_size_in_gb=50 env={'A': 'b c'}",
    }  # fmt: skip
    words = ["--num-parts 2 --add-reverse-edges"]
    options = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    network = ["--subnet", "subnet-1", "--security-group", "sg-1", "--encrypt-traffic", "--tag", "GraphStorm=beta"]
    with moto_server() as url:
        for name, value in {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}.items():
            monkeypatch.setenv(name, value)
        command = ["graph", "construct", *options, "--task-name", "one", *words, *network, "--backend", "sagemaker"]
        assert main([*command, "--async-execution", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["job_name"] == "one"
        # The role comes of SAGEMAKER_ROLE as with launch.
        monkeypatch.setenv("SAGEMAKER_ROLE", given.pop("role"))
        job = graph.construct(
            **given, task_name="two", arguments=words, subnets=("subnet-1",), security_groups=("sg-1",), encrypt_traffic=True,
            tags={"GraphStorm": "beta"}, backend="sagemaker", async_execution=True,
        )  # fmt: skip
        service = job.aws.client("sagemaker")
        found = []
        for name in ("one", "two"):
            told = service.describe_processing_job(ProcessingJobName=name)
            tags = service.list_tags(ResourceArn=told["ProcessingJobArn"])["Tags"]
            kept = ("AppSpecification", "ProcessingInputs", "ProcessingOutputConfig", "ProcessingResources", "StoppingCondition",
                    "NetworkConfig", "Environment", "RoleArn")  # fmt: skip
            found.append({**{field: told.get(field) for field in kept}, "tags": tags})
    assert found[0] == found[1]
    assert found[0]["StoppingCondition"] == {"MaxRuntimeInSeconds": 60}
    assert found[0]["NetworkConfig"]["VpcConfig"] == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    assert {"Key": "GraphStorm", "Value": "beta"} in found[0]["tags"]


class Service:
    """Describes a job as it goes on, one step with each look."""

    region = "us-east-1"

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.stopped: List[str] = []

    def client(self, name: str) -> Service:
        assert name == "sagemaker"
        return self

    def describe_processing_job(self, **asked: str) -> Dict[str, Any]:
        del asked
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return dict(answer)

    def stop_processing_job(self, ProcessingJobName: str) -> None:
        self.stopped.append(ProcessingJobName)


def of(service: Service) -> ProcessingJob:
    return ProcessingJob(service, "job", "arn", "us-east-1")


def test_its_end_is_waited_for() -> None:
    running = {"ProcessingJobStatus": "InProgress"}
    failed = {"ProcessingJobStatus": "Failed", "FailureReason": "AlgorithmError: exit code 1"}
    said: List[str] = []
    waits: List[float] = []
    service = Service(running, running, failed)
    assert attend(of(service), said.append, wait=waits.append) == ("Failed", "AlgorithmError: exit code 1")
    assert said == ["job: InProgress", "job: Failed: AlgorithmError: exit code 1"]
    assert len(waits) == 2


def test_its_lines_are_shown() -> None:
    from hvdsm.errors import CloudRefused

    @dataclass
    class Line:
        data: bytes

    class Logs:
        def poll(self) -> List[Line]:
            return [Line(b"early")]

        def flush(self) -> List[Line]:
            return [Line(b"late")]

    class Closed:
        def poll(self) -> List[Line]:
            raise CloudRefused("logs:FilterLogEvents is not allowed")

    answers = ({"ProcessingJobStatus": "InProgress"}, {"ProcessingJobStatus": "Completed"})
    shown, said = list[str](), list[str]()
    assert attend(of(Service(*answers)), said.append, wait=lambda _: None, logs=Logs(), show=shown.append) == ("Completed", "")
    assert shown == ["early", "late"]
    assert attend(of(Service(*answers)), said.append, wait=lambda _: None, logs=Closed(), show=shown.append)[0] == "Completed"
    assert any("lines of the job are not shown any more: logs:FilterLogEvents" in line for line in said)


@pytest.mark.parametrize("stops", [True, False])
def test_an_interrupt(stops: bool) -> None:
    service, said = Service(KeyboardInterrupt()), list[str]()
    with pytest.raises(KeyboardInterrupt):
        attend(of(service), said.append, stop_on_interrupt=stops)
    assert service.stopped == (["job"] if stops else [])
    assert ("runs on" in said[0]) is not stops


def test_a_request_that_is_refused() -> None:
    from botocore.exceptions import ClientError

    class Refusing(Service):
        def create_processing_job(self, **request: Any) -> None:
            del request
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "CreateProcessingJob")

    with pytest.raises(HvdsmError, match="create the processing job"):
        submit(processing_request(ASKED, "2026"), None, None, lambda _: None, Refusing())
