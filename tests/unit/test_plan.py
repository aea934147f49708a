"""A job's plan: read, checked, written again, and its placeholders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import pytest

from hvdsm.compose.placeholders import FIRST_PORT, PORTS, Values, assign_ports, candidates, expand
from hvdsm.compose.plan import digest, parse_plan, ports_of, variables, words
from hvdsm.container.planning import read_plan
from hvdsm.errors import ConfigError
from hvdsm.model.plan import JobPlan, Ready

FULL: Dict[str, Any] = {
    "environment": {"DMLC_PS_ROOT_URI": "{address:first}", "DMLC_PS_ROOT_PORT": "{port:scheduler}", "DMLC_NUM_WORKER": 4},
    "prepare": [
        {"command": ["/bin/sh", "fetch.sh", "{host_index}"], "timeout": 600},
        {"name": "check", "command": ["{python}", "check.py"], "hosts": "first", "environment": {"A": "b"}},
    ],
    "roles": [
        {"name": "scheduler", "command": ["{python}", "ps.py"], "hosts": "first", "ready": {"port": "{port:scheduler}"}},
        {
            "name": "server",
            "command": ["{python}", "ps.py", "{index}/{count}", "{port:server+index}"],
            "count": 2,
            "environment": {"DMLC_ROLE": "server"},
            "after": "scheduler",
            "ready": {"line": "^serving"},
            "ready_timeout": 5,
            "end": "wait",
            "end_timeout": 7.5,
            "overdue": "failure",
        },
    ],
    "ranks": {"module": "package.train", "arguments": ["--ps", "{addresses}"], "environment": {"DMLC_ROLE": "worker"}},
    "finish": {"command": ["/bin/sh", "upload.sh"]},
}
VALUES = Values(
    "algo-2",
    1,
    ("algo-1", "algo-2"),
    addresses={"algo-1": "10.0.0.1", "algo-2": "10.0.0.2"},
    processes={"algo-1": 2, "algo-2": 3},
    world_size=5,
    ports={"ps": 20007, "server+0": 20008, "server+1": 20009},
    job_name="job-1",
    code="/opt/ml/code",
    python="/usr/bin/python3",
    restart=2,
    index=1,
    count=2,
)


def problems_of(document: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_plan(document)
    return str(caught.value)


def test_a_plan_is_read_whole_and_written_as_it_was() -> None:
    plan = parse_plan(FULL)
    assert [step.name for step in plan.prepare] == ["prepare-1", "check"]
    assert [step.name for step in plan.finish] == ["finish"]
    assert plan.environment["DMLC_NUM_WORKER"] == "4"
    scheduler, server = plan.roles
    assert (scheduler.hosts, scheduler.count, scheduler.end, scheduler.ready) == (
        "first", 1, "terminate", Ready(port="{port:scheduler}"),
    )  # fmt: skip
    assert (server.after, server.ready_timeout, server.end, server.end_timeout, server.overdue) == (
        ("scheduler",), 5, "wait", 7.5, "failure",
    )  # fmt: skip
    assert [server.process(index) for index in range(2)] == ["server-0", "server-1"]
    assert plan.ranks.module == "package.train"
    written = json.loads(json.dumps(plan.to_dict()))
    assert parse_plan(written) == plan
    assert digest(parse_plan(written)) == digest(plan) != digest(parse_plan({}))


def test_what_is_as_by_default_is_not_written() -> None:
    assert parse_plan({}).to_dict() == JobPlan().to_dict() == {}
    role = {"name": "server", "command": ["a"]}
    assert parse_plan({"roles": [role]}).to_dict() == {"roles": [role]}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], "must be an object, not []"),
        ({"role": []}, "has no field 'role'; did you mean roles?"),
        ({"roles": {}}, "roles: must be a list, not {}"),
        ({"roles": [{"name": "s"}]}, "roles[0]: command is missing"),
        ({"roles": [{"name": "9s", "command": ["a"]}]}, "roles[0].name: must be a letter, then letters"),
        ({"roles": [{"name": "s", "command": []}]}, "roles[0].command: names no program"),
        ({"roles": [{"name": "s", "command": "a b"}]}, "roles[0].command: must be a list, not 'a b'"),
        ({"roles": [{"name": "s", "command": ["a", 1]}]}, "roles[0].command[1]: must be a string, not 1"),
        ({"roles": [{"name": "s", "command": ["a\0"]}]}, "roles[0].command[0]: has a null byte"),
        ({"roles": [{"name": "s", "command": ["a"], "hosts": "all"}]}, "roles[0].hosts: must be each or first, not 'all'"),
        ({"roles": [{"name": "s", "command": ["a"], "count": 0}]}, "roles[0].count: must be a whole number from 1 to 64, not 0"),
        ({"roles": [{"name": "s", "command": ["a"], "count": True}]}, "roles[0].count: must be a whole number"),
        ({"roles": [{"name": "s", "command": ["a"], "end": "kill"}]}, "roles[0].end: must be terminate or wait, not 'kill'"),
        ({"roles": [{"name": "s", "command": ["a"], "ready_timeout": 0}]}, "roles[0].ready_timeout: must be a number of seconds"),
        ({"roles": [{"name": "s", "command": ["a"], "ready": {"port": 1, "line": "x"}}]}, "one of file, port and line"),
        ({"roles": [{"name": "s", "command": ["a"], "ready": {"line": "("}}]}, "roles[0].ready.line: is no regular expression"),
        ({"roles": [{"name": "s", "command": ["a"], "ready": {"port": "http"}}]}, "roles[0].ready.port: must be a TCP port"),
        ({"roles": [{"name": "s", "command": ["a"], "ready": {"port": 70000}}]}, "roles[0].ready.port: must be a TCP port"),
        ({"roles": [{"name": "s", "command": ["a"], "ready": {"port": "9" * 5000}}]}, "roles[0].ready.port: must be a TCP port"),
        ({"roles": [{"name": "s", "command": ["a"], "ready": {"port": "\u00b2"}}]}, "roles[0].ready.port: must be a TCP port"),
        ({"roles": [{"name": "s", "command": ["a"], "ready": {"port": "{host}"}}]}, "roles[0].ready.port: must be a TCP port"),
        ({"roles": [{"name": "s", "command": ["a"], "ready": {"port": "{{index}}"}}]}, "roles[0].ready.port: must be a TCP port"),
        ({"roles": [{"name": "s", "command": ["a"], "ready": {"port": "{prot:a}"}}]}, "did you mean port?"),
        ({"roles": [{"name": "s", "command": ["a"], "ready": {"file": "a\0"}}]}, "roles[0].ready.file: must be a string, not"),
        ({"environment": {"A B": "1"}}, "environment: 'A B' is no name of a variable"),
        ({"environment": {"A": None}}, "environment.A: must be a string, not None"),
        ({"ranks": {"module": "a b"}}, "ranks.module: must be the name of a Python module, not 'a b'"),
        ({"prepare": {"command": ["a"], "timeout": "10"}}, "prepare.timeout: must be a number of seconds above 0, not '10'"),
        ({"prepare": {"command": ["a"], "timeout": 10**400}}, "a century is the most"),
        ({"roles": [{"name": "s", "command": ["a"], "after": "t"}]}, "role s: after names no role: t"),
        ({"roles": [{"name": "s", "command": ["a"], "after": "s"}]}, "these wait for each other, so that none can start: s"),
        ({"roles": [{"name": "s", "command": ["a"]}] * 2}, "s is the name of more than one step or role"),
        ({"prepare": {"command": ["a"]}, "roles": [{"name": "prepare", "command": ["a"]}]}, "prepare is the name of more"),
        ({"roles": [{"name": "s", "command": ["{prot:x}"]}]}, "role s: there is no placeholder {prot:x}; did you mean port?"),
        ({"roles": [{"name": "s", "command": ["{port}"]}]}, "role s: {port} must be {port:NAME}"),
        ({"roles": [{"name": "s", "command": ["{host:algo-1}"]}]}, "role s: {host} takes no value, as {host:algo-1} has one"),
        ({"prepare": {"command": ["{index}"]}}, "step prepare: {index} has no meaning here"),
        ({"prepare": {"command": ["{port:s+index}"]}}, "step prepare: {port:s+index} has no meaning here"),
        ({"ranks": {"arguments": ["{host}"]}}, "ranks.arguments: {host} has no meaning here"),
        ({"ranks": {"arguments": ["{address}"]}}, "ranks.arguments: {address} has no meaning here"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(document: Any, told: str) -> None:
    assert told in problems_of(document)


def test_all_that_is_wrong_is_named_at_once() -> None:
    text = problems_of({"roles": [{"name": "s", "command": [], "count": 0}], "finish": 3})
    assert text.startswith("the job's plan: 3 problems\n")
    assert "roles[0].command" in text and "roles[0].count" in text and "finish" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{host} {host_index} {host_count} {hosts} {first}", "algo-2 1 2 algo-1,algo-2 algo-1"),
        ("{address} {address:first} {address:algo-1} {addresses}", "10.0.0.2 10.0.0.1 10.0.0.1 10.0.0.1,10.0.0.2"),
        ("{world_size} {processes} {index} {count} {restart}", "5 3 1 2 2"),
        ("{port:ps} {port:server+0} {port:server+index}", "20007 20008 20009"),
        ("{job_name} {code} {python}", "job-1 /opt/ml/code /usr/bin/python3"),
        ("{{host}} {{port:ps}}", "{host} {port:ps}"),
        ('{"a": {"b": 1}} ${HOME} $2 {} { host }', '{"a": {"b": 1}} ${HOME} $2 {} { host }'),
    ],
)
def test_placeholders(text: str, expected: str) -> None:
    assert expand(text, VALUES) == expected


def test_a_host_that_is_not_of_the_job_is_named_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"\{address:algo-9\} names no host of the job: algo-1, algo-2"):
        expand("{address:algo-9}", VALUES)


def test_variables_and_words() -> None:
    assert variables({"A": "{host}", "B": "b"}, VALUES) == {"A": "algo-2", "B": "b"}
    assert words(["x", "--p={port:ps}"], VALUES) == ("x", "--p=20007")


def test_the_ports_of_a_plan_are_named_once_and_for_each_process() -> None:
    assert ports_of(parse_plan(FULL)) == ["scheduler", "server+0", "server+1"]
    assert ports_of(parse_plan({})) == []


def test_candidates_are_the_same_for_one_job_and_others_for_another() -> None:
    mine = candidates("job-1", 3)
    assert mine == candidates("job-1", 3) != candidates("job-2", 3)
    assert len(mine) == len(set(mine)) == 28
    assert all(FIRST_PORT <= port < FIRST_PORT + PORTS for port in mine)
    assert candidates("job-1", 0) == []


def test_ports_are_free_on_every_host_and_others_after_a_restart() -> None:
    free = {"algo-1": [1, 2, 3, 4, 5], "algo-2": [2, 4, 5, 3]}
    assert assign_ports(["a", "b"], free) == {"a": 2, "b": 3}
    assert assign_ports(["a", "b"], free, restart=1) == {"a": 4, "b": 5}
    assert assign_ports(["a", "b"], free, restart=2) == {"a": 2, "b": 3}
    assert assign_ports([], {}) == {}
    with pytest.raises(ConfigError, match=r"names 2 ports, and .* only 1 are free on every host"):
        assign_ports(["a", "b"], {"algo-1": [1, 2], "algo-2": [2, 3]})


def test_a_plan_is_the_hyperparameter_or_a_file_of_the_source(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "plan.json").write_text(json.dumps(FULL))
    assert read_plan("sub/plan.json", str(tmp_path)) == read_plan(FULL, str(tmp_path)) == parse_plan(FULL)
    # An SDK that encodes strings as JSON sends the name in quotes.
    assert read_plan('"sub/plan.json"', str(tmp_path)) == parse_plan(FULL)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("none.json", "sagemaker_hvdsm_plan: none.json: is not in the source"),
        ("../out.json", "sagemaker_hvdsm_plan: ../out.json: leads out of the source"),
        ("bad.json", "sagemaker_hvdsm_plan: bad.json: cannot be read: Expecting"),
        ("list.json", "sagemaker_hvdsm_plan: list.json: 1 problem\n  must be an object"),
        ([1], "hyperparameter sagemaker_hvdsm_plan: 1 problem\n  must be an object, not [1]"),
    ],
)
def test_a_plan_that_cannot_be_read_is_named(tmp_path: Path, value: Any, told: str) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ConfigError) as caught:
        read_plan(value, str(tmp_path))
    assert told in str(caught.value)
