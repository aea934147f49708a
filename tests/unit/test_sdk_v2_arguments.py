"""Old argument names, hyperparameters, what an estimator would lose, and estimators of jobs that are there already."""

from __future__ import annotations

import json
import warnings
from typing import Any, Dict, List, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.container.config import decode
from hvdsm.container.reserved import supervision
from hvdsm.errors import ConfigError, UsageError
from hvdsm.sdk.v2 import OldNameWarning, arguments, check, dropped, encoded, hyperparameters
from hvdsm.sdk.v2.arguments import RENAMED
from hvdsm.sdk.v2.hyperparameters import encoded_values
from hvdsm.sdk.v2.restored import restored

MPI = {"mpi": {"enabled": True, "processes_per_host": 2, "custom_mpi_options": "-x A=1"}}


def test_the_estimator_of_the_old_document() -> None:
    with pytest.warns(OldNameWarning) as seen:
        found = arguments(
            entry_point="train.py",
            role="role",
            train_instance_count=2,
            train_instance_type="ml.c4.xlarge",
            train_volume_size=50,
            train_max_run=3600,
            train_max_wait=7200,
            train_use_spot_instances=True,
            train_volume_kms_key="key",
            script_mode=True,
            framework_version="1.15.2",
            py_version="py3",
            image_name="image",
            distributions={"mpi": {"enabled": True, "processes_per_host": 2}},
            base_job_name="hvd-mnist-multi-cpu",
        )
    assert found == {
        "entry_point": "train.py",
        "role": "role",
        "instance_count": 2,
        "instance_type": "ml.c4.xlarge",
        "volume_size": 50,
        "max_run": 3600,
        "max_wait": 7200,
        "use_spot_instances": True,
        "volume_kms_key": "key",
        "framework_version": "1.15.2",
        "py_version": "py3",
        "image_uri": "image",
        "distribution": {"mpi": {"enabled": True, "processes_per_host": 2}},
        "base_job_name": "hvd-mnist-multi-cpu",
    }
    said = [str(warning.message) for warning in seen]
    assert "train_instance_count is now called instance_count" in said
    assert "distributions is now called distribution" in said
    assert "script_mode is always on now" in said
    assert {warning.filename for warning in seen} == {__file__}


def test_new_names_pass_without_a_word() -> None:
    given = {"instance_count": 2, "subnets": ["subnet-1"], "distribution": MPI, "anything": object()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert arguments(**given) == given


@pytest.mark.parametrize("old", sorted(RENAMED))
def test_both_names_have_to_say_the_same(old: str) -> None:
    new = RENAMED[old]
    value: Any = MPI if new == "distribution" else "7"
    with pytest.warns(OldNameWarning, match=f"{old} is now called {new}"):
        assert arguments(**{old: value, new: value}) == {new: value}
    with pytest.raises(UsageError, match="contradict each other") as caught:
        arguments(**{old: value, new: "8"})
    assert caught.value.where == new
    assert old in str(caught.value)


def test_two_old_names_of_one_argument() -> None:
    with pytest.warns(OldNameWarning), pytest.raises(UsageError, match="image_name='a' and image='b' contradict"):
        arguments(image_name="a", image="b")
    with pytest.warns(OldNameWarning):
        assert arguments(image_name="a", image="a") == {"image_uri": "a"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"train_instance_cont": 2}, ["did you mean train_instance_count"]),
        ({"train_vpc_subnets": []}, ["no estimator has such an argument"]),
        ({"script_mode": False}, ["script mode only", "leave script_mode out"]),
        ({"training_steps": 100}, ["has it no more", "hyperparameters="]),
        ({"requirements_file": "r.txt"}, ["requirements.txt in source_dir"]),
        ({"distribution": {"mpi": {"enable": True}}}, ["did you mean enabled"]),
    ],
)
def test_what_has_no_successor(given: Dict[str, Any], words: List[str]) -> None:
    with pytest.raises(UsageError) as caught:
        arguments(**given)
    for word in words:
        assert word in str(caught.value)


def test_settings_of_the_container_program_reach_it() -> None:
    found = hyperparameters({"epochs": 3}, hang_timeout=600, max_restarts=2, timeout=3600.5)
    read = supervision({key: decode(value) for key, value in encoded_values(found).items()})
    assert (read.hang_timeout, read.max_restarts, read.timeout) == (600, 2, 3600.5)
    assert found["epochs"] == 3
    assert hyperparameters() == {}
    assert hyperparameters({"sagemaker_hvdsm_max_restarts": 1}, max_restarts=1) == {"sagemaker_hvdsm_max_restarts": 1}
    secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:token-AbCdEf"
    assert hyperparameters(secrets={"HF_TOKEN": secret}) == {"sagemaker_hvdsm_secrets": {"HF_TOKEN": secret}}
    assert hyperparameters(processes_per_host=2) == {"sagemaker_hvdsm_processes_per_host": 2}


@pytest.mark.parametrize(
    ("values", "settings", "words"),
    [
        ({"sagemaker_hvdsm_hang_timeot": 1}, {}, ["did you mean sagemaker_hvdsm_hang_timeout"]),
        ({"sagemaker_program": "a.py"}, {}, ["say it by entry_point"]),
        ({"sagemaker_mpi_enabled": True}, {}, ["say it by distribution"]),
        ({3: 1}, {}, ["must be a text"]),
        ({"": 1}, {}, ["must be a text"]),
        ({}, {"hang_timeout": 0}, ["hang timeout"]),
        ({}, {"timeout": "60"}, ["timeout", "seconds above 0"]),
        ({}, {"max_restarts": 1.5}, ["max restarts"]),
        ({}, {"processes_per_host": True}, ["processes_per_host"]),
        ({"sagemaker_hvdsm_max_restarts": 1}, {"max_restarts": 2}, ["given twice"]),
    ],
)
def test_hyperparameters_that_cannot_be_meant(values: Dict[Any, Any], settings: Dict[str, Any], words: List[str]) -> None:
    with pytest.raises(UsageError) as caught:
        hyperparameters(values, **settings)
    for word in words:
        assert word in str(caught.value)


def test_what_json_cannot_express() -> None:
    with pytest.raises(ConfigError, match="JSON cannot express"):
        hyperparameters({"model": object()})
    with pytest.raises(ConfigError, match="no ARN"):
        hyperparameters(secrets={"TOKEN": "hunter2"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_any_value_arrives(value: Any) -> None:
    assert decode(encoded_values({"value": value})["value"]) == value


class Sent:
    """An estimator that sends what it is told, and keeps its distribution or not."""

    def __init__(self, sent: Dict[str, Any], distribution: Optional[Dict[str, Any]] = None) -> None:
        self.sent = sent
        if distribution is not None:
            self.distribution = distribution
        self.model_dir: Any = None

    def hyperparameters(self) -> Dict[str, Any]:
        """As the SDK's TensorFlow does, this decides on the model directory when it is asked."""
        self.model_dir = self.model_dir if self.model_dir is False else "decided"
        return self.sent


def test_nothing_is_said_of_an_estimator_that_sends_all() -> None:
    estimator = Sent({**encoded(MPI), "epochs": "3"}, MPI)
    assert dropped(estimator) == ()
    assert dropped(estimator, MPI) == ()
    check(estimator)
    assert estimator.model_dir is None
    # Switched on by hyperparameters, or known to have none.
    assert dropped(Sent(encoded(MPI))) == ()
    assert dropped(Sent({}), {}) == ()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({}, "sagemaker_mpi_enabled=true: Sent does not send it"),
        ({"sagemaker_mpi_enabled": "false"}, "sagemaker_mpi_enabled=true: Sent sends false"),
        ({"sagemaker_mpi_enabled": "true"}, 'sagemaker_mpi_custom_mpi_options="-x A=1": Sent does not send it'),
        ({**encoded(MPI), "sagemaker_mpi_num_of_processes_per_host": "4"}, "sends 4"),
    ],
)
def test_what_is_lost_is_said(sent: Dict[str, Any], words: str) -> None:
    estimator = Sent(sent, MPI)
    assert any(words in line for line in dropped(estimator))
    with pytest.raises(UsageError) as caught:
        check(estimator)
    assert words in str(caught.value)
    assert "hvdsm.sdk.v2.Estimator" in str(caught.value)


def test_an_estimator_that_keeps_no_distribution() -> None:
    assert "drops one that it is given" in dropped(Sent({}))[0]
    assert any("does not send it" in line for line in dropped(Sent({}), MPI))
    assert "did you mean enabled" in dropped(Sent({}, {"mpi": {"enable": True}}))[0]


def test_values_that_are_sent_as_python_writes_them() -> None:
    found = dropped(Sent({"nested": {"lr": 0.1}, "on": True, "n": 3, "text": "a"}), {})
    assert len(found) == 2
    assert "\"{'lr': 0.1}\"" in found[0]
    assert "'True'" in found[1]


def test_an_estimator_of_a_job() -> None:
    values = {
        **encoded({**MPI, "instance_groups": ["workers"]}),
        **encoded_values({"epochs": 3, "name": 'a "b"', "sagemaker_hvdsm_hang_timeout": 60}),
        "sagemaker_program": '"train.py"',
        "sagemaker_submit_directory": '"s3://bucket/job/source/sourcedir.tar.gz"',
        "sagemaker_container_log_level": "20",
        "sagemaker_job_name": '"job"',
        "sagemaker_region": '"us-east-1"',
        "plain": "not JSON",
    }
    entrypoint = ["python3", "/opt/ml/input/data/hvdsm/hvdsm.pyz"]
    found = restored({"role": "r", "hyperparameters": values, "container_entry_point": entrypoint})
    assert found == {
        "role": "r",
        "entry_point": "train.py",
        "source_dir": "s3://bucket/job/source/sourcedir.tar.gz",
        "container_log_level": 20,
        "distribution": {**MPI, "instance_groups": ["workers"]},
        "bring_hvdsm": True,
        "hyperparameters": {"epochs": 3, "name": 'a "b"', "sagemaker_hvdsm_hang_timeout": 60, "plain": "not JSON"},
    }
    torch = {"torch_distributed": {"enabled": True, "processes_per_host": 2}}
    again = restored({"hyperparameters": encoded(torch), "container_entry_point": ["/run"]})
    assert again["distribution"] == torch
    assert (again["bring_hvdsm"], again["container_entry_point"]) == (False, ["/run"])
    assert restored({})["hyperparameters"] == {}
    assert json.loads(json.dumps(found)) == found
