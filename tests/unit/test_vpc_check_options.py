"""Options of ``hvdsm vpc check``: none is passed over in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Tuple

import click
import pytest

from hvdsm.cli import main
from hvdsm.cli.vpc_check import _job, check
from hvdsm.vpc.templates.template import text

# Subnets of 27 addresses: ml.p4d.24xlarge takes 5 of each, ml.c5.xlarge 2.
SMALL = "10.0.0.0/27"


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A template with a small first subnet, in a directory without a configuration."""
    monkeypatch.chdir(tmp_path)
    changed = text().replace("Default: 10.0.0.0/24", f"Default: {SMALL}")
    (tmp_path / "small.yaml").write_text(changed)
    return "small.yaml"


def found(capsys: pytest.CaptureFixture[str], *words: str) -> Tuple[int, List[Dict[str, Any]]]:
    capsys.readouterr()
    code = main(["vpc", "check", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)["findings"]


@pytest.mark.parametrize(("kind", "most"), [("ml.p4d.24xlarge", 5), ("ml.c5.xlarge", 13)])
def test_a_template_has_to_hold_the_job(template: str, capsys: pytest.CaptureFixture[str], kind: str, most: int) -> None:
    words = ("--template", template, "--instance-type", kind, "--instance-count")
    assert found(capsys, *words, str(most)) == (0, [])
    code, findings = found(capsys, *words, str(most + 1))
    assert (code, {(one["rule"], one["where"]) for one in findings}) == (78, {("addresses", "Subnet1")})


@pytest.mark.parametrize("kind", ["local", "c5.xlarge"])
def test_a_type_that_sagemaker_has_not(template: str, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    code, findings = found(capsys, "--template", template, "--instance-type", kind)
    assert (code, [(one["rule"], one["where"]) for one in findings]) == (78, [("instance-type", kind)])


@pytest.mark.parametrize(
    "words",
    [
        ["--encrypt-traffic"],
        ["--no-encrypt-traffic"],
        ["--network-isolation"],
        ["--s3-prefix", "s3://bucket"],
        ["--request", "job.json"],
    ],
    ids=" ".join,
)
def test_what_says_nothing_of_a_template_is_refused(template: str, capsys: pytest.CaptureFixture[str], words: List[str]) -> None:
    assert main(["vpc", "check", "--template", template, *words]) == 2
    said = capsys.readouterr().err
    assert words[0].replace("--no-", "--") in said and "Traceback" not in said


def test_a_configuration_may_say_it(template: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "hvdsm.toml").write_text('[vpc.check]\nencrypt-traffic = true\nrequest = "job.json"\ns3-prefix = "s3://b"\n')
    assert found(capsys, "--template", template) == (0, [])


@pytest.mark.parametrize("option", ["--subnet", "--security-group", "--vpc-id", "--vpc-stack", "--request", "--instance-type"])
def test_an_empty_name_is_refused(template: str, capsys: pytest.CaptureFixture[str], option: str) -> None:
    for place in (("--subnet", "subnet-1"), ("--template", template)):
        assert main(["vpc", "check", *place, option, ""]) == 2
        assert f"{option}: is empty" in capsys.readouterr().err


def test_what_is_named_twice_counts_once() -> None:
    names = ["--subnet", "a", "--subnet", "a", "--subnet", "b", "--security-group", "g", "--security-group", "g"]
    context: click.Context = check.make_context("check", names)
    given = {name: value for name, value in context.params.items() if name not in ("as_json", "strict")}
    job = _job(context, given)
    assert (job.subnets, job.groups) == (("a", "b"), ("g",))
