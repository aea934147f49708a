"""Faults that the sandbox is told to have, as clients see them."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError
from sandbox_support import client, job_request

from hvdsm.sandbox import Fault, Sandbox


def code_of(call: Any, **arguments: Any) -> Any:
    """Code and HTTP status of the error that a call gets."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    told = caught.value.response
    return told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"]


def test_a_fault_strikes_so_often_and_only_where_it_is_meant(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    sandbox.faults.add(Fault("ListTrainingJobs", times=2, after=1, error="ThrottlingException"))
    sagemaker.list_training_jobs()
    for _ in range(2):
        assert code_of(sagemaker.list_training_jobs) == ("ThrottlingException", 400)
        assert code_of(sagemaker.describe_training_job, TrainingJobName="none") == ("ValidationException", 400)
    sagemaker.list_training_jobs()
    assert not sandbox.faults.left()


def test_server_errors_and_every_operation(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(times=None, status=503))
    assert code_of(client(sandbox, "sagemaker").list_training_jobs) == ("ServiceUnavailable", 503)
    assert code_of(client(sandbox, "logs").describe_log_groups) == ("ServiceUnavailable", 503)
    assert code_of(client(sandbox, "s3").list_buckets) == ("ServiceUnavailable", 503)
    assert code_of(client(sandbox, "sts").get_caller_identity) == ("ServiceUnavailable", 503)
    sandbox.faults.clear()
    client(sandbox, "sagemaker").list_training_jobs()


def test_faults_of_other_services(sandbox: Sandbox) -> None:
    s3 = client(sandbox, "s3")
    s3.create_bucket(Bucket="bucket")
    sandbox.faults.add(Fault("PutObject", error="SlowDown"), Fault("GetCallerIdentity", error="AccessDenied"))
    assert code_of(s3.put_object, Bucket="bucket", Key="a", Body=b"") == ("SlowDown", 503)
    s3.put_object(Bucket="bucket", Key="a", Body=b"")
    assert code_of(client(sandbox, "sts").get_caller_identity) == ("AccessDenied", 403)


def test_an_answer_can_be_lost_after_the_work_was_done(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    sandbox.faults.add(Fault("CreateTrainingJob", drop_connection="before"), Fault("CreateTrainingJob", drop_connection="after"))
    with pytest.raises(ConnectionClosedError):
        sagemaker.create_training_job(**job_request("lost"))
    assert not sandbox.jobs
    with pytest.raises(ConnectionClosedError):
        sagemaker.create_training_job(**job_request("lost"))
    assert list(sandbox.jobs) == ["lost"]
    assert code_of(sagemaker.create_training_job, **job_request("lost")) == ("ResourceInUse", 400)


def test_a_retrying_client_gets_through(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("CreateTrainingJob", error="ThrottlingException"))
    client(sandbox, "sagemaker", attempts=3).create_training_job(**job_request("again"))
    assert [operation for operation, _ in sandbox.requests] == ["CreateTrainingJob"] * 2
    assert sandbox.requests[1][1] == job_request("again")


def test_expired_credentials_are_refused_and_new_ones_are_not(sandbox: Sandbox) -> None:
    old = {name: client(sandbox, name) for name in ("sagemaker", "s3", "sts")}
    sandbox.expire_credentials()
    assert code_of(old["sagemaker"].list_training_jobs) == ("ExpiredTokenException", 400)
    assert code_of(old["s3"].list_buckets) == ("ExpiredToken", 400)
    assert code_of(old["sts"].get_caller_identity)[0] == "ExpiredToken"
    client(sandbox, "sagemaker").list_training_jobs()


def test_missing_credentials_can_be_refused(sandbox: Sandbox) -> None:
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.session import Session

    nobody = Session().create_client(
        "sagemaker", region_name="us-east-1", endpoint_url=sandbox.url, config=Config(signature_version=UNSIGNED)
    )
    nobody.list_training_jobs()
    sandbox.faults.signature_required = True
    assert code_of(nobody.list_training_jobs)[0] == "MissingAuthenticationTokenException"
    client(sandbox, "sagemaker").list_training_jobs()


def test_the_network_goes_and_comes_back_at_the_same_address(sandbox: Sandbox) -> None:
    sagemaker, url = client(sandbox, "sagemaker"), sandbox.url
    sagemaker.list_training_jobs()
    sandbox.go_offline()
    for _ in range(2):
        with pytest.raises((EndpointConnectionError, ConnectionClosedError)):
            sagemaker.list_training_jobs()
    sandbox.go_online()
    assert sandbox.url == url
    sagemaker.list_training_jobs()


def test_the_network_comes_back_by_itself(sandbox: Sandbox) -> None:
    sandbox.go_offline(0.2)
    patient = client(sandbox, "sagemaker", attempts=10)
    patient.list_training_jobs()


def test_requests_can_be_waited_for(sandbox: Sandbox) -> None:
    thread = threading.Thread(target=client(sandbox, "sagemaker").list_training_jobs)
    thread.start()
    assert sandbox.wait_for_request("ListTrainingJobs")
    thread.join()
    assert not sandbox.wait_for_request("CreateTrainingJob", timeout=0.01)


def test_what_the_sandbox_does_not_have_is_said_at_once(sandbox: Sandbox) -> None:
    group = {"logGroupName": "group", "retentionInDays": 1}
    assert code_of(client(sandbox, "logs").put_retention_policy, **group) == ("UnknownOperationException", 400)
    assert code_of(client(sandbox, "pricing").get_products, ServiceCode="x") == ("UnknownOperationException", 400)
