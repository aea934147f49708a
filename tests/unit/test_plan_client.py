"""A plan as users give it: a file, a dictionary or the record; in the request, and in a dry run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import pytest

from hvdsm.backends.making import change_request, make_request, plan_value
from hvdsm.compose.mask import mask_request
from hvdsm.compose.plan import parse_plan, summary
from hvdsm.errors import ConfigError

PLAN: Dict[str, Any] = {"roles": [{"name": "server", "command": ["python", "serve.py", "{port:ps}"]}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "src"
    (source / "plans").mkdir(parents=True)
    (source / "train.py").write_text("")
    (source / "plans" / "mine.json").write_text(json.dumps(PLAN))
    (tmp_path / "other.json").write_text(json.dumps(PLAN))
    return tmp_path


def request_with(folder: Path, plan: Any, source_dir: bool = True) -> Dict[str, Any]:
    source = str(folder / "src")
    script = "train.py" if source_dir else f"{source}/train.py"
    return make_request(script, channels={}, env={}, source_dir=source if source_dir else None, plan=plan)


def test_a_file_of_the_source_is_named_by_its_path_there(folder: Path) -> None:
    made = request_with(folder, str(folder / "src" / "plans" / "mine.json"))
    assert json.loads(made["HyperParameters"]["sagemaker_hvdsm_plan"]) == "plans/mine.json"


@pytest.mark.parametrize("source_dir", [True, False])
def test_any_other_plan_is_in_the_request(folder: Path, source_dir: bool) -> None:
    for plan in (str(folder / "other.json"), PLAN, parse_plan(PLAN)):
        made = request_with(folder, plan, source_dir)
        assert json.loads(made["HyperParameters"]["sagemaker_hvdsm_plan"]) == PLAN


def test_a_script_alone_does_not_bring_the_file_beside_it(folder: Path) -> None:
    made = request_with(folder, str(folder / "src" / "plans" / "mine.json"), source_dir=False)
    assert json.loads(made["HyperParameters"]["sagemaker_hvdsm_plan"]) == PLAN


def test_a_job_without_a_plan_has_no_word_of_it(folder: Path) -> None:
    assert "sagemaker_hvdsm_plan" not in request_with(folder, None)["HyperParameters"]


def test_a_request_made_elsewhere_gets_a_plan(folder: Path) -> None:
    changed = change_request(request_with(folder, None), channels={}, plan=str(folder / "src" / "plans" / "mine.json"))
    assert json.loads(changed["HyperParameters"]["sagemaker_hvdsm_plan"]) == PLAN


def test_a_plan_is_read_before_anything_starts(folder: Path) -> None:
    (folder / "bad.json").write_text("[")
    (folder / "wrong.json").write_text('{"role": []}')
    for name, told in (
        ("none.json", "No such file"),
        ("bad.json", "is no JSON"),
        ("wrong.json", "has no field 'role'; did you mean roles?"),
    ):
        with pytest.raises(ConfigError, match=told.replace("?", r"\?")) as caught:
            plan_value(str(folder / name))
        assert str(folder / name) in str(caught.value)
    with pytest.raises(ConfigError, match="has no field 'role'"):
        plan_value({"role": []})


def test_a_plan_too_long_for_a_hyperparameter_belongs_into_the_source(folder: Path) -> None:
    long = {"environment": {"A": "x" * 2500}}
    (folder / "src" / "long.json").write_text(json.dumps(long))
    assert plan_value(str(folder / "src" / "long.json"), str(folder / "src")) == "long.json"
    with pytest.raises(ConfigError, match=r"has 2,\d+ characters as JSON, and a hyperparameter may have 2,500") as caught:
        plan_value(long)
    assert "--source-dir" in str(caught.value.remedy)


def test_the_name_is_the_options(folder: Path) -> None:
    with pytest.raises(ConfigError, match="reserved"):
        source = str(folder / "src")
        values = {"sagemaker_hvdsm_plan": "b.json"}
        make_request("train.py", channels={}, env={}, source_dir=source, plan=PLAN, hyperparameters=values)


def test_what_looks_like_a_secret_is_masked_in_a_plan(folder: Path) -> None:
    step = {"command": ["fetch", "--password", "hunter2hunter2", "--to", "x"], "environment": {"API_TOKEN": "abc123def456"}}
    masked = mask_request(request_with(folder, {**PLAN, "prepare": step}))
    shown = json.loads(masked["HyperParameters"]["sagemaker_hvdsm_plan"])
    assert shown == {
        **PLAN,
        "prepare": {"command": ["fetch", "--password", "<masked>", "--to", "x"], "environment": {"API_TOKEN": "<masked>"}},
    }
    by_path = request_with(folder, str(folder / "src" / "plans" / "mine.json"))
    assert mask_request(by_path)["HyperParameters"] == by_path["HyperParameters"]


def test_a_plan_in_lines() -> None:
    plan = parse_plan(
        {
            "prepare": {"command": ["sh", "-c", "echo {host}\ndate"]},
            "roles": [
                {"name": "scheduler", "command": ["{python}", "serve.py"], "hosts": "first"},
                {"name": "server", "command": ["serve"], "count": 2, "after": "scheduler"},
            ],
            "ranks": {"module": "package.train"},
            "finish": {"command": ["upload"], "hosts": "first"},
        }
    )
    assert summary(plan) == [
        r"before the ranks on each host: prepare: sh -c 'echo {host}\ndate'",
        "beside the ranks on the first host: a process scheduler: {python} serve.py",
        "beside the ranks on each host: 2 processes server, after scheduler: serve",
        "ranks run the module package.train",
        "after the ranks on the first host: finish: upload",
    ]
