"""What the SDK says of a job of local mode, as hvdsm's program takes it."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from hvdsm.backends.base import NOTE, OUTPUT, PHASE, WARNING, Event
from hvdsm.compose.limits import check_request
from hvdsm.errors import UsageError
from hvdsm.model import JobOutcome, RankFailure
from hvdsm.sdk import local
from hvdsm.sdk.local.run import cause, shown, variables_for

requests: Any = local._hook().sibling("hvdsm_local_request")


def test_a_container_of_the_sdk_becomes_a_request_that_can_be_checked() -> None:
    request = requests.request_of(
        "job-1",
        ("local", 2),
        "img",
        (None, None),
        {"lr": "0.1", "sagemaker_program": '"train.py"', "nested": {"a": [1, 'x"y']}},
        {"GREETING": "it's", "COUNT": 3},
        [requests.channel("train", "/data/a b#1", ContentType="text/csv", InputMode=None)],
        "/src/my code",
    )
    check_request(request)
    assert request["HyperParameters"] == {
        "lr": "0.1",
        "sagemaker_program": '"train.py"',
        "nested": '{"a": [1, "x\\"y"]}',
        "sagemaker_submit_directory": '"file:///src/my%20code"',
    }
    assert request["Environment"] == {"GREETING": "it's", "COUNT": "3"}
    assert request["ResourceConfig"] == {"InstanceType": "local", "InstanceCount": 2, "VolumeSizeInGB": 1}
    (channel,) = request["InputDataConfig"]
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == "file:///data/a%20b%231"
    assert channel["ContentType"] == "text/csv" and "InputMode" not in channel
    assert "ContainerEntrypoint" not in request["AlgorithmSpecification"]


def test_a_command_is_kept_as_it_is_and_no_channels_are_none() -> None:
    request = requests.request_of("job", ("local_gpu", 1), "img", (["bash", "-c"], ["echo 1"]), None, None, [])
    check_request(request)
    assert request["AlgorithmSpecification"]["ContainerEntrypoint"] == ["bash", "-c"]
    assert request["AlgorithmSpecification"]["ContainerArguments"] == ["echo 1"]
    assert "InputDataConfig" not in request


def test_volumes_of_docker_are_directories_by_their_place_in_the_container() -> None:
    volumes = ["/tmp/a:/opt/ml/model", "/tmp/b:c:/opt/ml/input/data/train:z"]
    assert requests.volumes_of(volumes) == {"/opt/ml/model": "/tmp/a", "/opt/ml/input/data/train": "/tmp/b:c"}


class Credentials:
    def get_frozen_credentials(self) -> SimpleNamespace:
        return SimpleNamespace(access_key="AKIA1", secret_key="s", token=None)


def test_credentials_of_the_session_win_over_a_profile_of_the_environment() -> None:
    boto = SimpleNamespace(get_credentials=lambda: Credentials())
    s3 = SimpleNamespace(meta=SimpleNamespace(client=SimpleNamespace(meta=SimpleNamespace(endpoint_url="http://127.0.0.1:1"))))
    session = SimpleNamespace(boto_session=boto, boto_region_name="eu-west-1", s3_resource=s3)
    found = requests.session_variables(session)
    assert found == {
        "AWS_ACCESS_KEY_ID": "AKIA1",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
    }
    made = requests.runner_environment({"AWS_PROFILE": "mine", "AWS_SESSION_TOKEN": "old", "X": "1"}, found, sys.executable)
    assert "AWS_PROFILE" not in made and "AWS_SESSION_TOKEN" not in made and made["X"] == "1"
    assert made["AWS_ACCESS_KEY_ID"] == "AKIA1"


def test_a_session_without_credentials_or_none_leaves_the_environment_as_it_is() -> None:
    assert requests.session_variables(None) == {}
    bare = SimpleNamespace(boto_session=SimpleNamespace(get_credentials=lambda: None), boto_region_name=None)
    assert requests.session_variables(bare) == {}
    assert requests.runner_environment({"AWS_PROFILE": "mine"}, {}, sys.executable)["AWS_PROFILE"] == "mine"


def test_the_program_runs_without_the_hook_and_finds_hvdsm() -> None:
    before = {"PYTHONPATH": os.pathsep.join([local.SITE, "/own"]), "VIRTUAL_ENV": "/venv", "PATH": "/venv/bin:/bin"}
    same = requests.runner_environment(before, {}, sys.executable)
    package = os.path.dirname(os.path.dirname(os.path.abspath(import_module("hvdsm").__file__ or "")))
    assert same["PYTHONPATH"].split(os.pathsep) == [package, "/own"]
    assert same["VIRTUAL_ENV"] == "/venv" and same["PATH"] == "/venv/bin:/bin"
    other = requests.runner_environment(before, {}, "/opt/hvdsm/bin/python")
    assert "VIRTUAL_ENV" not in other and other["PATH"] == "/opt/hvdsm/bin:/venv/bin:/bin"


def test_the_environment_names_the_hook_once_and_first() -> None:
    once = local.environment({"PYTHONPATH": "/a", "X": "1"})
    assert once["PYTHONPATH"] == f"{local.SITE}{os.pathsep}/a" and once["HVDSM_PYTHON"] == sys.executable and once["X"] == "1"
    assert local.environment(once) == once
    assert local.environment({"HVDSM_PYTHON": "/p"})["HVDSM_PYTHON"] == "/p"


def test_options_of_the_hosts_travel_in_the_environment() -> None:
    made = local.environment({}, {"delay_ms": 2.0, "hosts": "namespaces"})
    assert json.loads(made["HVDSM_LOCAL_OPTIONS"]) == {"delay_ms": 2.0, "hosts": "namespaces"}
    for name in ("output", "delay"):
        with pytest.raises(UsageError, match=name):
            local.environment({}, {name: "x"})


def test_lines_have_their_host_as_docker_compose_shows_it() -> None:
    assert shown(Event(OUTPUT, data=b"a\nb", host="algo-2"), "algo-1") == b"algo-2  | a\nalgo-2  | b\n"
    assert shown(Event(OUTPUT, data=b"a\n"), "algo-1") == b"algo-1  | a\n"
    assert shown(Event(WARNING, "slow"), "algo-1") == b"hvdsm: warning: slow\n"
    assert shown(Event(NOTE, "x"), "algo-1") == shown(Event(PHASE, "x"), "algo-1") == b"hvdsm: x\n"


def test_only_local_gpu_has_gpus() -> None:
    environ = {"CUDA_VISIBLE_DEVICES": "0,1", "HVDSM_LOCAL_OPTIONS": "{}"}
    assert variables_for("local_gpu", environ) == {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert variables_for("local", environ) == {"CUDA_VISIBLE_DEVICES": ""}


def test_the_cause_names_the_rank_or_what_was_noticed() -> None:
    failure = RankFailure("exception", "bad", 1, host="algo-2", rank=3, local_rank=1, exception="ValueError")
    assert cause(JobOutcome("j", "Failed", 1, failure=failure)).startswith("rank 3 (algo-2, local rank 1): ValueError: bad")
    assert cause(JobOutcome("j", "Stopped", 143, warnings=("stopped by SIGTERM",))) == "stopped by SIGTERM"
    assert "Stopped" in cause(JobOutcome("j", "Stopped", 143))


def test_what_is_refused_names_what_works() -> None:
    error = requests.refused("Processing")
    assert isinstance(error, RuntimeError) and "Docker" in str(error) and "estimator.fit()" in str(error)
