"""A distribution for the SDK 2: what is accepted, what is sent for it, and what is refused with which words."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import warnings
from typing import Any, Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.compose.options import exported_names, parse_options
from hvdsm.container.config import decode
from hvdsm.container.reserved import distribution as container_distribution
from hvdsm.container.reserved import distribution_groups
from hvdsm.errors import HvdsmError, MpiError, UsageError
from hvdsm.sdk.v2 import RewrittenOptionWarning, distribution, encoded
from hvdsm.sdk.v2.distribution import checked


class Group:
    """Has of the SDK's InstanceGroup what is read of it."""

    def __init__(self, name: str) -> None:
        self.instance_group_name = name


class Variable:
    """Looks as a variable of a SageMaker pipeline does."""

    expr = "Parameters.Processes"

    def to_string(self) -> str:
        """What the SDK sends for it."""
        return "later"


ON = {"enabled": True}

# The document's own example, and the hyperparameters that its SDK made of it.
DOCUMENTED = {"mpi": {"enabled": True, "custom_mpi_options": "-verbose --NCCL_DEBUG=INFO", "processes_per_host": 8}}


def test_the_keywords_and_the_dict_are_the_same() -> None:
    by_words = distribution(processes_per_host=2, custom_mpi_options="-x NCCL_DEBUG=INFO", enabled=True)
    assert by_words == {"mpi": {"enabled": True, "processes_per_host": 2, "custom_mpi_options": "-x NCCL_DEBUG=INFO"}}
    assert distribution(by_words) == by_words
    assert distribution() == {"mpi": {"enabled": True}}
    assert distribution(enabled=False) == {"mpi": {"enabled": False}}
    assert distribution(mpi={"enabled": True, "processes_per_host": 2}) == distribution(processes_per_host=2)
    group = Group("workers")
    assert distribution(mpi=ON, instance_groups=[group]) == {"mpi": ON, "instance_groups": [group]}


def test_the_documented_distribution_becomes_the_documented_hyperparameters() -> None:
    with pytest.warns(RewrittenOptionWarning, match="--NCCL_DEBUG=INFO"):
        checked_one = distribution(DOCUMENTED)
    assert encoded(checked_one) == {
        "sagemaker_mpi_enabled": "true",
        "sagemaker_mpi_num_of_processes_per_host": "8",
        "sagemaker_mpi_custom_mpi_options": '"-verbose -x NCCL_DEBUG=INFO"',
    }


def test_a_switched_off_distribution_says_so() -> None:
    values = encoded(distribution(enabled=False))
    assert values["sagemaker_mpi_enabled"] == "false"
    assert container_distribution({key: decode(value) for key, value in values.items()}).kind == "none"
    assert encoded(distribution({})) == {}


def test_a_warning_names_the_line_of_the_caller() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        distribution(custom_mpi_options="--NCCL_DEBUG=INFO")
        distribution({"mpi": {"enabled": True, "custom_mpi_options": "--NCCL_DEBUG INFO"}})
    assert [warning.filename for warning in seen] == [__file__, __file__]


@pytest.mark.parametrize(
    ("config", "sent"),
    [
        ({"torch_distributed": ON}, {"sagemaker_torch_distributed_enabled": "true"}),
        ({"parameter_server": ON}, {"sagemaker_parameter_server_enabled": "true"}),
        ({"multi_worker_mirrored_strategy": ON}, {"sagemaker_multi_worker_mirrored_strategy_enabled": "true"}),
        ({"pytorchxla": ON}, {"sagemaker_pytorch_xla_multi_worker_enabled": "true"}),
        ({"pytorchddp": ON}, {"sagemaker_pytorch_ddp_enabled": "true"}),
        (
            {"smdistributed": {"dataparallel": {"enabled": True, "custom_mpi_options": "-x A=1"}}},
            {
                "sagemaker_distributed_dataparallel_enabled": "true",
                "sagemaker_distributed_dataparallel_custom_mpi_options": '"-x A=1"',
            },
        ),
        (
            {"smdistributed": {"modelparallel": {"enabled": True, "parameters": {"partitions": 2}}}, "torch_distributed": ON},
            {
                "mp_parameters": '{"partitions": 2}',
                "sagemaker_distributed_dataparallel_enabled": "false",
                "sagemaker_torch_distributed_enabled": "true",
            },
        ),
        ({"mpi": {"enabled": True, "processes_per_host": None, "custom_mpi_options": None}}, None),
        ({"mpi": ON, "parameter_server": {"enabled": False}}, None),
    ],
)
def test_other_strategies(config: Dict[str, Any], sent: Any) -> None:
    found = distribution(config)
    if sent is not None:
        assert encoded(found) == sent


def test_groups() -> None:
    workers = Group("workers")
    found = distribution(processes_per_host=2, instance_groups=[workers])
    assert found["instance_groups"] == [workers]
    values = encoded(found)
    assert distribution_groups({key: decode(value) for key, value in values.items()}) == ("workers",)
    # hvdsm's own estimator sends several, and names do.
    assert checked({"mpi": ON, "instance_groups": ["a", "b"]}, own=True)["instance_groups"] == ["a", "b"]
    assert checked({"torch_distributed": ON, "instance_groups": ["a"]}, own=True)["instance_groups"] == ["a"]
    more = checked({"torch_distributed": {"enabled": True, "processes_per_host": 2}}, own=True)
    assert encoded(more)["sagemaker_hvdsm_processes_per_host"] == "2"


def test_variables_of_a_pipeline_pass() -> None:
    variable = Variable()
    found = distribution(processes_per_host=variable, custom_mpi_options=variable)  # type: ignore[arg-type]
    assert found["mpi"]["processes_per_host"] is variable
    assert encoded(found)["sagemaker_mpi_num_of_processes_per_host"] == "later"


def test_numbers_of_other_libraries() -> None:
    import numpy

    found = distribution(processes_per_host=numpy.int64(2))
    assert json.dumps(found) == '{"mpi": {"enabled": true, "processes_per_host": 2}}'


REFUSED = [
    # what, words of the message: what is wrong, where, what to do
    ({"MPI": ON}, ["'MPI'", "did you mean mpi", "distribution:"]),
    ({"mpii": ON}, ["did you mean mpi"]),
    ({"torch_distribute": ON}, ["did you mean torch_distributed"]),
    ({3: ON}, ["there is no 3"]),
    ({"processes_per_host": 2}, ["belongs to mpi"]),
    ({"hang_timeout": 60}, ["no part of a distribution", "hyperparameters"]),
    ({"mpi": {"enabled": True, "processes_per_hosts": 2}}, ["did you mean processes_per_host", 'distribution["mpi"]']),
    ({"mpi": {"enabled": True, "custom_mpi_option": ""}}, ["did you mean custom_mpi_options"]),
    ({"mpi": {"enable": True}}, ["did you mean enabled"]),
    ({"mpi": {"enabled": True, "max_restarts": 1}}, ["hyperparameters", "max_restarts=…"]),
    ({"mpi": {"processes_per_host": 2}}, ["is missing", 'add "enabled": True']),
    ({"mpi": {}}, ["is missing"]),
    ({"mpi": True}, ["must be a dict", '{"enabled": True}']),
    ({"mpi": None}, ["must be a dict"]),
    ({"mpi": {"enabled": "true"}}, ["must be True or False, not 'true'", "True, without quotes"]),
    ({"mpi": {"enabled": "False"}}, ["False, without quotes"]),
    ({"mpi": {"enabled": 1}}, ["must be True or False, not 1"]),
    ({"mpi": {"enabled": None}}, ["must be True or False, not None"]),
    ({"mpi": {"enabled": False, "processes_per_host": 2}}, ["processes_per_host would mean nothing"]),
    ({"mpi": {"enabled": False, "custom_mpi_options": "-x A=1"}}, ["custom_mpi_options would mean nothing"]),
    *(
        ({"mpi": {"enabled": True, "processes_per_host": value}}, ["must be a whole number from 1", '["processes_per_host"]'])
        for value in (0, -1, True, 2.0, "two", "", [2], float("nan"))
    ),
    ({"mpi": {"enabled": True, "processes_per_host": "2"}}, ["try: 2"]),
    ({"mpi": ON, "torch_distributed": ON}, ["mpi and torch_distributed are enabled together", "torch_distributed alone"]),
    ({"mpi": ON, "parameter_server": ON}, ["mpi and parameter_server are enabled together"]),
    ({"mpi": ON, "multi_worker_mirrored_strategy": ON}, ["enabled together"]),
    ({"mpi": ON, "smdistributed": {"dataparallel": ON}}, ["mpi and smdistributed.dataparallel"]),
    ({"torch_distributed": {"enabled": True, "processes_per_host": 2}}, ["would drop it", "hyperparameters"]),
    ({"smdistributed": {}}, ["must be a dict"]),
    ({"smdistributed": {"datapararell": ON}}, ["did you mean dataparallel"]),
    ({"smdistributed": {"modelparallel": ON}, "mpi": ON}, ["without parameters"]),
    ({"smdistributed": {"modelparallel": {"enabled": True, "parameters": {}}}, "mpi": ON}, ["not empty"]),
    (
        {"smdistributed": {"modelparallel": {"enabled": True, "parameters": {"partitions": 2}}}},
        ["needs mpi or torch_distributed"],
    ),
    ({"mpi": ON, "instance_groups": "workers"}, ["must be a list"]),
    ({"mpi": ON, "instance_groups": Group("a")}, ["must be a list"]),
    ({"mpi": ON, "instance_groups": []}, ["names no group"]),
    ({"mpi": ON, "instance_groups": [3]}, ["must be an InstanceGroup"]),
    ({"mpi": ON, "instance_groups": [Group("a"), Group("a")]}, ["twice"]),
    ({"mpi": ON, "instance_groups": [Group("a"), Group("b")]}, ["take one group"]),
    ({"mpi": {"enabled": False}, "instance_groups": [Group("a")]}, ["no strategy is enabled"]),
    ({"torch_distributed": ON, "instance_groups": [Group("a")]}, ["drops the groups"]),
    ([("mpi", ON)], ["must be a dict"]),
    ("mpi", ["must be a dict"]),
]


@pytest.mark.parametrize(("config", "words"), REFUSED)
def test_what_the_sdk_would_lose_is_refused(config: Any, words: List[str]) -> None:
    with pytest.raises(UsageError) as caught:
        distribution(config)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.where


def test_keywords_that_are_not_known() -> None:
    with pytest.raises(UsageError, match="did you mean processes_per_host"):
        distribution(process_per_host=2)
    with pytest.raises(UsageError, match=r"hyperparameters\(\{…\}, timeout=…\)"):
        distribution(timeout=60)
    with pytest.raises(UsageError, match="processes_per_host and a dict are given"):
        distribution({"mpi": ON}, processes_per_host=2)
    with pytest.raises(UsageError, match="processes_per_host and a dict are given"):
        distribution(mpi=ON, processes_per_host=2)
    with pytest.raises(UsageError, match="parameter_server and a dict are given"):
        distribution({"mpi": ON}, parameter_server=ON)
    with pytest.raises(UsageError, match="enabled together"):
        distribution(mpi=ON, torch_distributed=ON)


@pytest.mark.parametrize(
    ("options", "counted", "words"),
    [
        ("-x A='b", False, ["No closing quotation"]),
        ("-x", False, ["-x needs 1 value"]),
        ("--mca btl", False, ["needs 2 values"]),
        ("-np 4", True, ["-np 4 contradicts processes_per_host"]),
        ("-n 4", True, ["-n 4 contradicts"]),
        ("-npernode 2", True, ["contradicts"]),
        ("--npernode=2", True, ["contradicts"]),
        ("-N 2", True, ["contradicts"]),
        ("--hostfile hosts", False, ["names hosts"]),
        ("-H algo-1:2", True, ["names hosts"]),
        ("--host=algo-1", False, ["names hosts"]),
        ("NCCL_DEBUG=INFO", False, ["for the program", "try: -x NCCL_DEBUG=INFO"]),
        ("-x A=1 B=2", False, ["'B=2' for the program"]),
        ("--bind-to core train.py", False, ["'train.py' for the program"]),
        ("-x A=1 -- B", False, ["what follows --"]),
    ],
)
def test_options_that_mpirun_would_refuse_or_that_undo_the_rest(options: str, counted: bool, words: List[str]) -> None:
    with pytest.raises(MpiError) as caught:
        distribution(processes_per_host=2 if counted else None, custom_mpi_options=options)
    for word in (*words, 'distribution["mpi"]["custom_mpi_options"]'):
        assert word in str(caught.value)


@pytest.mark.parametrize("value", [["-x", "A=1"], 3, {"NCCL_DEBUG": "INFO"}, True])
def test_options_are_one_text(value: Any) -> None:
    with pytest.raises(MpiError, match="must be one text"):
        distribution(custom_mpi_options=value)


def test_a_count_of_ones_own_stands_where_the_distribution_names_none() -> None:
    assert distribution(custom_mpi_options="-np 3 --map-by slot")["mpi"]["custom_mpi_options"] == "-np 3 --map-by slot"


WORDS = st.text("abzAB09_=/:.'\" \\$#-", min_size=1, max_size=8).filter(lambda text: not text.startswith("-"))
NAMES = st.from_regex(r"[A-Z][A-Z0-9]{0,4}_[A-Z0-9_]{1,5}", fullmatch=True)
OPTION = st.one_of(
    st.tuples(st.just("-x"), st.builds("{}={}".format, NAMES, WORDS)),
    st.tuples(st.just("-x"), NAMES),
    st.builds(lambda name, value: (f"--{name}={value}",), NAMES, WORDS),
    st.builds(lambda name, value: (f"-{name}", value), NAMES, WORDS),
    st.tuples(st.just("--mca"), st.just("btl_tcp_if_include"), WORDS),
    st.tuples(st.just("--bind-to"), WORDS),
    st.builds(lambda value: (f"--map-by={value}",), WORDS),
    st.just(("-verbose",)),
    st.just(("--tag-output",)),
    st.just(("--bind-to-none",)),
)


@given(st.lists(OPTION, max_size=5))
def test_options_stay_what_they_are_however_they_are_written(parts: List[Any]) -> None:
    text = shlex.join(word for part in parts for word in part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = distribution(custom_mpi_options=text)["mpi"].get("custom_mpi_options", "")
        again = distribution(custom_mpi_options=found)["mpi"].get("custom_mpi_options", "")
    assert found == again
    assert [option.words for option in parse_options(found)] == [option.words for option in parse_options(text)]
    exported = exported_names(parse_options(found))
    # Nothing is left that only hvdsm reads.
    assert not any(word.lstrip("-").partition("=")[0] in exported and word.startswith("-") for word in shlex.split(found))


@given(st.integers(1, 4096), st.text(min_size=1, max_size=20).filter(lambda text: "\x00" not in text))
def test_the_container_reads_what_was_asked_for(count: int, value: str) -> None:
    options = f"-x NAME={shlex.quote(value)}"
    values = encoded(distribution(processes_per_host=count, custom_mpi_options=options))
    read = container_distribution({key: decode(text) for key, text in values.items()})
    assert (read.kind, read.processes_per_host, read.custom_mpi_options) == ("mpi", count, options)


KEYS = ("mpi", "torch_distributed", "smdistributed", "parameter_server", "instance_groups")


@given(st.sampled_from(KEYS), st.data())
def test_no_misspelt_key_passes(key: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(key) - 1))
    letter = data.draw(st.sampled_from("abcxyz_-"))
    misspelt = key[:place] + letter + key[place + 1 :]
    if misspelt in (*KEYS, "pytorchddp", "pytorchxla"):
        return
    with pytest.raises(UsageError, match="there is no"):
        distribution({misspelt: ON})


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3))
SHAPES = st.dictionaries(
    st.sampled_from(KEYS) | st.text(max_size=8),
    JSON
    | st.dictionaries(
        st.sampled_from(("enabled", "processes_per_host", "custom_mpi_options", "dataparallel")) | st.text(max_size=8),
        JSON | st.dictionaries(st.just("enabled"), JSON),
        max_size=4,
    ),
    max_size=3,
)


@given(SHAPES)
def test_whatever_is_given_is_checked_or_refused_with_words(config: Any) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = distribution(config)
    except HvdsmError as error:
        assert error.where and error.what
        return
    assert distribution(found) == found
    for value in encoded(found).values():
        json.loads(value)


def test_all_but_the_estimator_works_without_the_sdk() -> None:
    program = (
        "import sys; sys.modules['sagemaker'] = None\n"
        "from hvdsm.sdk.v2 import *\n"
        "assert distribution(processes_per_host=2) and hyperparameters({'a': 1}) and arguments(image_name='a')\n"
        "import hvdsm.sdk.v2\n"
        "assert 'Estimator' in dir(hvdsm.sdk.v2)\n"
        "hvdsm.sdk.v2.Estimator\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert "SageMaker Python SDK 2 is not installed here" in done.stderr
    assert "pip install 'sagemaker<3'" in done.stderr
