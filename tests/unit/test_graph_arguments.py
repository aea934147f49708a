"""``hvdsm graph``: what is forwarded to GraphStorm, and the SDK's arguments as fields of a request."""

from __future__ import annotations

import argparse
import shlex
from typing import Any, Dict, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvdsm.cli.launch import command as launch
from hvdsm.errors import UsageError
from hvdsm.recipes.graph.forwarded import forwarded, plain_hyperparameters
from hvdsm.recipes.graph.parameters import (
    PROCESSOR,
    SAME,
    check_same,
    parse_parameters,
    shown_parameters,
    with_network,
    with_parameters,
)

# The document's own example.
DOCUMENT = "max_run=3600 volume_size=100 encrypt_inter_container_traffic=True subnets=['subnet-1234','subnet-4567']"


def again(hyperparameters: Any, rest: Any) -> List[str]:
    """The words as the hosts put them together."""
    made = [word for key, value in hyperparameters.items() for word in (f"--{key}", *shlex.split(value))]
    return [*made, *rest]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--target-etype", "query,clicks,asin", "query,search,asin"], {"target-etype": "query,clicks,asin query,search,asin"}),
        (["--feat-name ntype0:feat0 --num-epochs 2"], {"feat-name": "ntype0:feat0", "num-epochs": "2"}),
        ([" --a 1", "\n  --b 2\n  --c 3\n"], {"a": "1", "b": "2", "c": "3"}),
        (["--note", " -- 1"], {"note": "' -- 1'"}),
        (["--fanout=10"], {"fanout": "10"}),
        (["--use-mini-batch-infer"], {"use-mini-batch-infer": ""}),
        (["--lr", "-1"], {"lr": "-1"}),
        (["--note=a b", "--x", "1"], {"note": "'a b'", "x": "1"}),
        (["--expression", "a=b=c"], {"expression": "a=b=c"}),
        ([], {}),
    ],
)
def test_options_become_hyperparameters(words: List[str], wanted: Dict[str, str]) -> None:
    found = forwarded(words)
    assert (found.hyperparameters, found.rest) == (wanted, ())
    assert again(found.hyperparameters, found.rest) == list(found.words)


def test_what_a_hyperparameter_cannot_say_is_kept_as_words() -> None:
    found = forwarded(["--feat", "a", "--k", "v", "--feat", "b", "--empty", "", "--long", "x" * 3000])
    assert found.hyperparameters == {"k": "v"}
    assert found.rest == ("--feat", "a", "--feat", "b", "--empty", "", "--long", "x" * 3000)


@pytest.mark.parametrize(
    ("word", "value"), [("--x=--y", "--y"), ("--lr=-1e-3", "-1e-3"), ("--note=--a b", "--a b"), ("--t=-x", "-x")]
)
def test_a_value_that_looks_like_an_option_stays_behind_its_equals_sign(word: str, value: str) -> None:
    found = forwarded([word, "--y", "1"])
    assert (found.hyperparameters, found.rest) == ({"y": "1"}, (word,))
    # As GraphStorm reads it.
    parser = argparse.ArgumentParser()
    for name in ("--x", "--lr", "--note", "--t", "--y"):
        parser.add_argument(name)
    read = parser.parse_args(again(found.hyperparameters, found.rest))
    assert value in vars(read).values()
    assert plain_hyperparameters(found)[word[2:].partition("=")[0]] == value


def test_a_negative_number_is_a_value_like_others() -> None:
    assert forwarded(["--lr=-0.1", "--n", "-1", "-2"]).hyperparameters == {"lr": "-0.1", "n": "-1 -2"}


def test_a_name_that_the_service_does_not_take_is_kept_as_words() -> None:
    assert forwarded(["--größe", "1"]).rest == ("--größe", "1")


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[a-z]([a-z-]{0,8}[a-z])?", fullmatch=True),
            st.lists(st.text(max_size=9).filter(lambda text: not text.lstrip().startswith("--")), max_size=3),
        ),
        max_size=6,
    )
)
def test_no_word_is_lost(options: List[Any]) -> None:
    words = [word for name, values in options for word in (f"--{name}", *values)]
    found = forwarded(words)
    assert list(found.words) == words
    made = again(found.hyperparameters, found.rest)
    assert sorted(made) == sorted(words)
    for name, values in options:
        pieces = [f"--{name}", *values]
        assert any(made[at : at + len(pieces)] == pieces for at in range(len(made)))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["10", "--fanout"], "belongs to no option"),
        (["--cf", "x.yaml"], "--cf: is set by hvdsm itself"),
        (["--=3"], "is set by hvdsm itself"),
        (["--note 'a"], "cannot be split"),
    ],
)
def test_words_that_cannot_be_meant(words: List[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        forwarded(words, ["cf"])


def test_what_belongs_to_other_jobs_is_refused() -> None:
    with pytest.raises(UsageError, match="--output-emb-s3: means nothing to a job of this kind"):
        forwarded(["--output-emb-s3=s3://b/e"], (), ["output-emb-s3"])


def test_a_script_of_ones_own_gets_plain_values() -> None:
    assert plain_hyperparameters(forwarded(["--a", "x y", "z", "--flag"])) == {"a": "x y z", "flag": ""}
    with pytest.raises(UsageError, match="given twice"):
        plain_hyperparameters(forwarded(["--a", "1", "--a", "2"]))


def test_the_documents_parameters() -> None:
    assert parse_parameters(DOCUMENT) == {
        "max_run": 3600,
        "volume_size": 100,
        "encrypt_inter_container_traffic": True,
        "subnets": ["subnet-1234", "subnet-4567"],
    }
    assert parse_parameters("max_runtime_in_seconds=3600 volume_size_in_gb=100", PROCESSOR) == {
        "max_runtime_in_seconds": 3600,
        "volume_size_in_gb": 100,
    }


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", {}),
        ("   ", {}),
        ("max_run=1   volume_size=2 ", {"max_run": 1, "volume_size": 2}),
        ("volume_kms_key='alias/a b=c'", {"volume_kms_key": "alias/a b=c"}),
        ('output_kms_key="it\'s"', {"output_kms_key": "it's"}),
        ("volume_kms_key=alias/key=1", {"volume_kms_key": "alias/key=1"}),
        ("subnets=['subnet-1', 'subnet-2'] max_run=5", {"subnets": ["subnet-1", "subnet-2"], "max_run": 5}),
        ("subnets=('subnet-1',)", {"subnets": ["subnet-1"]}),
        ("environment={'A': 'b=c d', 'E': ''}", {"environment": {"A": "b=c d", "E": ""}}),
        ("tags=[{'Key': 'team', 'Value': 'a b'}]", {"tags": [{"Key": "team", "Value": "a b"}]}),
        ("use_spot_instances=False", {"use_spot_instances": False}),
        ("volume_kms_key=None max_run=5", {"max_run": 5}),
        (
            "metric_definitions=[{'Name': 'loss', 'Regex': 'loss=([0-9.]+) \\\\w'}]",
            {"metric_definitions": [{"Name": "loss", "Regex": "loss=([0-9.]+) \\w"}]},
        ),
        ("max_run=3600\n  volume_size=10\tinput_mode=File", {"max_run": 3600, "volume_size": 10, "input_mode": "File"}),
        ("enable_remote_debug=True", {"enable_remote_debug": True}),
    ],
)
def test_values(text: str, wanted: Dict[str, Any]) -> None:
    assert parse_parameters(text) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_run", "must be NAME=VALUE"),
        ("max_run 3600", "must be NAME=VALUE"),
        ("max_run=", "has no value"),
        ("max_run=ten", "must be a whole number"),
        ("max_run=True", "must be a whole number"),
        ("max_run=1 max_run=2", "given twice"),
        ("subnets=['a'", "has no closing \\]"),
        ("subnets=subnet-1", "must be a list of texts"),
        ("subnets=[]", "must be a list of texts"),
        ("encrypt_inter_container_traffic=true", "must be True or False"),
        ("volume_siz=1", "did you mean volume_size"),
        ("volume_size_in_gb=1", "there it is volume_size"),
        ("instance_count=3", "use --instance-count"),
        ("disable_profiler=False", "leave it out"),
        ("volume_kms_key=[1,", "has no closing"),
        ("volume_kms_key=(x)", "is no Python literal"),
        ("colour=None", "is no argument of the Estimator"),
        ("role=None", "use --role"),
        ("code_location='s3://b'", "use --s3-prefix"),
        ("max_run=1 max_runtime_in_seconds=1", "there it is max_run"),
        ("max_run=5,volume_size=3", "must be a whole number"),
        ("max_run = 5", "must be NAME=VALUE"),
    ],
)
def test_wrong_parameters(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_parameters(text)


def test_a_processing_job_has_names_of_its_own() -> None:
    with pytest.raises(UsageError, match="there it is volume_size_in_gb"):
        parse_parameters("volume_size=100", PROCESSOR)


def test_parameters_change_the_fields_that_they_are() -> None:
    request = {
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
        "Environment": {"A": "1"},
        "Tags": [{"Key": "GraphStorm", "Value": "oss"}, {"Key": "team", "Value": "old"}],
    }
    values = parse_parameters(DOCUMENT + " environment={'B': '2'} tags={'team': 'new'} max_wait=7200")
    made = with_parameters(request, values)
    assert made["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}
    assert made["VpcConfig"] == {"Subnets": ["subnet-1234", "subnet-4567"]}
    assert made["ResourceConfig"] == {"VolumeSizeInGB": 100}
    assert made["EnableInterContainerTrafficEncryption"] is True
    assert made["Environment"] == {"A": "1", "B": "2"}
    assert made["Tags"] == [{"Key": "GraphStorm", "Value": "oss"}, {"Key": "team", "Value": "new"}]
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}


def test_what_an_option_says_too_is_refused() -> None:
    check_same({"max_run": 5, "subnets": ["s"]}, lambda name: name == "volume_size")
    with pytest.raises(UsageError, match="subnets: --vpc-stack says it, too"):
        check_same({"subnets": ["s"]}, lambda name: name == "vpc_stack")
    with pytest.raises(UsageError, match="security_group_ids: --security-group says it, too"):
        check_same({"security_group_ids": ["s"]}, lambda name: name == "security_groups")


def test_every_parameter_that_an_option_says_is_known() -> None:
    options = {parameter.name for parameter in launch.params}
    assert {argument for names in SAME.values() for argument in names} <= options


@pytest.mark.parametrize("words", ["subnets=['s']", "security_group_ids=['g']"])
def test_half_a_network_is_left_out_aloud(words: str) -> None:
    values, warnings = with_network(parse_parameters(f"max_run=5 {words}"))
    assert values == {"max_run": 5}
    assert len(warnings) == 1 and "THE JOB IS NOT IN YOUR VPC" in warnings[0]


def test_a_whole_network_stays() -> None:
    values = parse_parameters("subnets=['s'] security_group_ids=['g']")
    assert with_network(values) == (values, ())


def test_secrets_are_not_shown() -> None:
    values = parse_parameters("environment={'API_TOKEN': 'abc', 'A': '1'} max_run=5")
    assert shown_parameters(values) == "environment={'API_TOKEN': '<masked>', 'A': '1'} max_run=5"
