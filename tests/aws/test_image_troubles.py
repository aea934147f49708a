"""``hvdsm image`` where something is wrong: words, engines, AWS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from image_support import Engines, staged

from hvdsm.cli import main
from hvdsm.errors import BackendUnavailable
from hvdsm.images.engines import find_engine
from hvdsm.sandbox import Fault, Sandbox

OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


@pytest.fixture
def shop(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that this process's environment names, and a source with a Dockerfile."""
    for name, value in sandbox.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path)
    Path("own").mkdir()
    Path("own/Dockerfile").write_text("FROM scratch\nARG DEVICE\n")
    yield sandbox


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engines:
    """A docker that works."""
    made = Engines(tmp_path / "bin", "docker")
    monkeypatch.setenv("PATH", made.path)
    return made


def run(capfd: pytest.CaptureFixture[str], *words: str) -> Tuple[int, str, str]:
    code = main(["image", *words])
    out, err = capfd.readouterr()
    return code, out, err


def json_of(capfd: pytest.CaptureFixture[str], *words: str) -> Tuple[int, Dict[str, Any]]:
    code, out, _ = run(capfd, *words, "--json")
    return code, json.loads(out)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        # As the script's arguments stood: PATH DEVICE NAME TAG.
        (["build", "own", "cpu", "training", "1"], "'cpu': is one word too many"),
        (["push", "own", "latest"], "'latest': is one word too many"),
        (["build", "own", "--no-cache"], "after --:  -- --no-cache"),
        (["push", "own", "--quiet"], "after --:  -- --quiet"),
        (["build", "own", "--name", ""], "--name: '' is no name"),
        (["push", ""], "NAME: '' is no name"),
        (["uri", "Own:1"], "name it like own:1"),
        (["list", ""], "NAME: '' is no name"),
        (["uri", "--region", "nowhere", "--account", "123456789012"], "--region: 'nowhere' is no name"),
        (["uri", "--region", "", "--account", "123456789012"], "--region: '' is no name"),
        (["push", "own", "--account", ""], "--account: '' is no AWS account"),
        (["build", "own", "--base-region", "us east"], "--base-region us-east-1"),
    ],
)
def test_words_that_cannot_be_meant(
    shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str], words: List[str], text: str
) -> None:
    code, out, err = run(capfd, *words)
    assert (code, out) == (2, "") and text in err, err
    assert engines.calls() == [] and shop.requests == []


def test_a_directory_without_a_dockerfile(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    """It may be a home directory: nothing of it is copied."""
    code, _, err = run(capfd, "build", ".")
    assert code == 78 and "no Dockerfile, and no python/graphstorm" in err and "--file" in err
    assert engines.calls() == [] and staged(Path("temporary")) == []


def test_a_dry_run_for_machines_shows_no_secret(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    extra = ["--", "--build-arg", "HF_TOKEN=sesame", "--build-arg", "INDEX=https://u:sesame@h/s"]
    code, out, err = run(capfd, "build", "own", "--dry-run", "--json", *extra)
    assert code == 0 and "sesame" not in out + err
    assert "HF_TOKEN=<masked>" in json.loads(out)["commands"][-1]


def test_what_a_build_says_of_a_secret_is_masked(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    engines.does(build={"err": "it is sesame\n", "code": 1})
    code, out, err = run(capfd, "build", "own", "--build-arg", "HF_TOKEN=sesame", "--json")
    assert code == 1 and json.loads(out)["output"][-1] == "it is <masked>" and "sesame" not in out + err


def test_an_engine_that_hangs_is_passed_over(tmp_path: Path) -> None:
    made = Engines(tmp_path / "bin", "docker", "podman")
    made.does(docker={"waits": True})
    found = find_engine(None, {"PATH": made.path}, limit=3.0)
    assert (found.name, found.passed_over) == ("podman", ("docker does not answer (nothing within 3 s)",))
    with pytest.raises(BackendUnavailable, match=r"nothing within 3 s(.|\n)*check DOCKER_HOST"):
        find_engine("docker", {"PATH": made.path}, limit=3.0)


def test_a_version_is_not_taken_from_warnings(tmp_path: Path) -> None:
    made = Engines(tmp_path / "bin", "podman")
    made.does(info={"out": "4.3.1", "err": "warning: overlay 0.9 is old\n"})
    program = Path(made.path) / "podman"
    # Warnings come first.
    program.write_text(
        program.read_text().replace("print(does", 'print(does.get("err", ""), file=sys.stderr, flush=True)\nprint(does')
    )
    assert find_engine(None, {"PATH": made.path}).version == "4.3.1"


def test_an_engine_that_is_no_program_is_passed_over(tmp_path: Path) -> None:
    made = Engines(tmp_path / "bin", "podman")
    (tmp_path / "bin" / "docker").write_bytes(b"\x00 of another system")
    (tmp_path / "bin" / "docker").chmod(0o755)
    found = find_engine(None, {"PATH": made.path})
    assert found.name == "podman" and "docker cannot be started: Exec format error" in found.passed_over


@pytest.mark.parametrize(
    "fault",
    [
        Fault("DescribeImages", times=None, error="ThrottlingException", message="Rate exceeded", status=400),
        Fault("DescribeImages", times=None, drop_connection=True),
        Fault("DescribeImages", times=None, error="ServerException", message="x", status=500),
    ],
)
def test_what_is_pushed_is_pushed(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str], fault: Fault) -> None:
    """That ECR cannot be asked afterwards is no failure."""
    shop.faults.add(fault)
    code, out, err = run(capfd, "push", "own", "--json")
    assert code == 0 and json.loads(out)["uri"] == f"{OWN}/own:sm-gpu" and json.loads(out)["digest"] is None
    assert "warning: it is pushed; what ECR has now cannot be seen: cannot look for the image" in err


def test_throttled_before_the_push(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    shop.faults.add(Fault("DescribeRepositories", times=None, error="ThrottlingException", message="Rate exceeded", status=400))
    code, found = json_of(capfd, "push", "own")
    assert (code, found["exit_code"]) == (69, 69) and "run it again in a minute" in found["error"] and engines.calls() == []


def test_no_images(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    engines.does(image={"out": ""})
    assert run(capfd, "list", "other") == (
        0, "", "hvdsm: there are no images called other; --all lists those that hvdsm did not build, --remote those in ECR\n",
    )  # fmt: skip
    assert run(capfd, "list", "--all")[2] == "hvdsm: there are no images\n"


def test_a_secret_stays_in_the_history(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capfd, "build", "own", "--build-arg", "INDEX=https://u:sesame@h/s", "--dry-run")
    assert code == 0 and "--build-arg INDEX: the value stays readable in the image's history" in err and "sesame" not in err


def test_a_registry_without_room(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    shop.faults.add(Fault("CreateRepository", times=None, error="LimitExceededException", message="10000 at most", status=400))
    code, _, err = run(capfd, "push", "own")
    assert code == 78 and "no room for another (10000 at most)" in err and "Service Quotas" in err and engines.calls() == []


def test_an_answer_without_the_repository(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    """As moto gives it of another account's registry."""
    assert run(capfd, "push", "own")[0] == 0
    code, found = json_of(capfd, "push", "own", "--account", "999999999999")
    assert code == 78 and "999999999999.dkr.ecr.us-east-1.amazonaws.com/own: cannot create the repository" in found["error"]


def test_an_image_that_is_here_by_its_plain_name(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    program = Path(engines.path) / "docker"
    # It has training:1, and nothing in a registry.
    only = 'if words[:2] == ["image", "inspect"] and ".amazonaws.com" in words[-1]:\n    sys.exit(1)\n'
    text = program.read_text()
    program.write_text(text.replace("versions =", f"{only}versions ="))
    code, _, err = run(capfd, "push", f"{OWN}/training:1")
    assert code == 78
    assert "it has training:1: hvdsm image push training:1 --account 123456789012 --region us-east-1" in err
    assert run(capfd, "push", "training:1")[0] == 0
