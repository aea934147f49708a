"""``hvdsm sandbox``: what is decided before anything is started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict

import pytest

from hvdsm.cli import main
from hvdsm.errors import UsageError
from hvdsm.sandbox import Sandbox
from hvdsm.sandbox.companion import summary
from hvdsm.sandbox.environment import past_proxies, without_foreign
from hvdsm.sandbox.foreground import find_program
from hvdsm.sandbox.profiles import own_profiles, region_of
from hvdsm.sandbox.site.hvdsm_redirect import address


@pytest.fixture
def person(tmp_path: Path) -> Dict[str, str]:
    """The environment of somebody who uses AWS."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        "[default]\nregion = eu-central-1\n[profile prod]\nregion = eu-west-1\nrole_arn = arn:aws:iam::1:role/r\n"
        "source_profile = default\n[profile two words]\n[sso-session s]\nsso_region = us-west-2\n[services local]\n"
    )
    (tmp_path / ".aws" / "credentials").write_text("[keys]\naws_access_key_id = AKIAOWN\naws_secret_access_key = own-secret\n")
    return {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("no-such-program", "command not found\n  try: check its name and PATH"),
        ("./absent", "command not found\n  try: check its path"),
        ("fit.py", "fit.py is not an executable program\n  try: hvdsm sandbox -- python fit.py"),
    ],
)
def test_a_command_that_cannot_be_run(
    name: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fit.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert main(["sandbox", "--", name]) == 2
    assert what in capsys.readouterr().err


def test_a_slow_host_that_cannot_be_meant_is_refused_before_the_command_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sandbox", "--slow-host", "nonsense", "--", "true"]) == 2
    assert "--slow-host: 'nonsense' does not say how slow" in capsys.readouterr().err


def test_nothing_of_the_persons_credentials_is_in_the_environment(person: Dict[str, str]) -> None:
    theirs = {
        **person,
        "AWS_ACCESS_KEY_ID": "AKIAOWN",
        "AWS_SECRET_ACCESS_KEY": "own-secret",
        "AWS_SESSION_TOKEN": "own-token",
        "AWS_SECURITY_TOKEN": "own-token",
        "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "own-token",
    }
    with Sandbox.start() as sandbox:
        given = sandbox.script_environment(theirs)
        texts = [*given.values(), *(Path(given[name]).read_text() for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"))]
        assert not [text for text in texts if "own-" in text or "AKIAOWN" in text or "arn:aws:iam::1:" in text]
        assert json.loads(Path(given["SAGEMAKER_ADMIN_CONFIG_OVERRIDE"]).read_text())["SageMaker"]["PythonSDK"]["Modules"] == {
            "TelemetryOptOut": True
        }


def test_profiles_and_regions(person: Dict[str, str]) -> None:
    assert own_profiles(person) == {"default": "eu-central-1", "prod": "eu-west-1", "two words": None, "keys": None}
    assert region_of(person) == "eu-central-1"
    assert region_of({**person, "AWS_PROFILE": "prod"}) == "eu-west-1"
    assert region_of({**person, "AWS_PROFILE": "keys"}) == "us-east-1"
    assert region_of({**person, "AWS_REGION": "us-west-2"}) == "us-west-2"
    assert own_profiles({"HOME": "/nonexistent"}) == {}
    Path(person["HOME"], ".aws", "config").write_text("no section = 1\n")
    assert own_profiles(person) == {"keys": None}


def test_proxies_are_gone_past() -> None:
    assert past_proxies({})["no_proxy"] == "127.0.0.1,localhost"
    assert past_proxies({"NO_PROXY": "a.b, localhost"})["NO_PROXY"] == "a.b,localhost,127.0.0.1"
    assert past_proxies({"NO_PROXY": "x", "no_proxy": "*"}) == {"NO_PROXY": "*", "no_proxy": "*"}


def test_addresses() -> None:
    here = "http://127.0.0.1:5"
    led = (
        None,
        "https://sts.eu-west-1.amazonaws.com",
        "https://b.s3.amazonaws.com:443/k",
        "https://s3.cn-north-1.amazonaws.com.cn",
    )
    assert {address(given, here) for given in (*led, "https://sts.eu-west-1.api.aws/")} == {here}
    for given in ("http://localhost:9000", "https://minio.example.com/amazonaws.com", "https://amazonaws.com.example.com"):
        assert address(given, here) == given
    assert without_foreign({"AWS_ENDPOINT_URL_S3": "x", "AWS_MAX_ATTEMPTS": "2"}) == {"AWS_MAX_ATTEMPTS": "2"}


def test_programs_are_looked_for_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)
    assert find_program("tool", {"PATH": str(tmp_path)}) == str(tmp_path / "tool")
    with pytest.raises(UsageError):
        find_program("tool", {"PATH": "/nonexistent"})


def test_a_summary() -> None:
    done = {
        "name": "a",
        "status": "Completed",
        "secondary": "Completed",
        "reason": None,
        "seconds": 1.0,
        "results": "/o/a",
        "model": "s3://b/m",
    }
    failed = {**done, "name": "b", "status": "Failed", "reason": "AlgorithmError: x\ny", "model": None}
    assert summary([], "/o") == []
    assert summary([failed], "/o") == [
        "1 training job, results in /o",
        "  b Failed after 1.0 s",
        "    reason: AlgorithmError: x",
        "    results: /o/a",
    ]
    assert summary([done, failed], "/o")[-1].startswith("S3 has ended with the sandbox")
    assert summary([done], "/o", shelf="s3")[-1] == "    model: s3://b/m"


RUNS = """
import os, sys
from hvdsm.sandbox.foreground import run
ended = run(["sh", "-c", sys.argv[1]], os.environ)
print(ended.code, sorted(ended.signals), ended.promptly)
"""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("trap 'exit 0' INT; kill -INT $PPID; while :; do sleep 0.05; done", "0 [2] True"),
        ("trap 'exit 3' TERM; kill -TERM $PPID; while :; do sleep 0.05; done", "3 [15] True"),
        ("exit 4", "4 [] False"),
        ("kill -KILL $$", "137 [] False"),
    ],
)
def test_an_end_that_a_signal_has_brought_about(script: str, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", RUNS, script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == said
