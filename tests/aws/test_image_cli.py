"""``hvdsm image`` with engines that write down what they are told, and an ECR that answers over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from image_support import Engines, staged
from sandbox_support import client

from hvdsm.aws.session import connect
from hvdsm.cli import main
from hvdsm.images.build_plan import Order, plan_build
from hvdsm.images.building import build
from hvdsm.sandbox import Fault, Sandbox

OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
FRAMEWORKS = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture
def shop(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that this process's environment names, and a working directory with two sources."""
    for name, value in sandbox.environ().items():
        monkeypatch.setenv(name, value)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)
    Path("own").mkdir()
    Path("own/Dockerfile").write_text(f"ARG BASE={FRAMEWORKS}/pytorch-training:2.3.0\nFROM ${{BASE}}\nARG DEVICE\nARG HF_TOKEN\n")
    yield sandbox


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engines:
    """A docker that works."""
    made = Engines(tmp_path / "bin", "docker")
    monkeypatch.setenv("PATH", made.path)
    return made


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """A directory as hvdsm's, with two recipes, the second built from the first."""
    place = tmp_path / "place"
    (place / "containers" / "graph").mkdir(parents=True)
    (place / "hvdsm").mkdir()
    (place / "hvdsm" / "part.py").write_text("")
    (place / "setup.cfg").write_text("")
    (place / "containers" / "pytorch").mkdir()
    (place / "containers" / "pytorch" / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nARG DEVICE\n")
    (place / "containers" / "graph" / "Dockerfile").write_text(
        "ARG BASE\nFROM ${BASE}\nARG DEVICE\nARG SOURCE=none\nCOPY ${SOURCE} /s\n"
    )
    index = {
        "pytorch": {"file": "containers/pytorch/Dockerfile", "cpu": {"BASE": "debian:bookworm-slim"}},
        "graph": {
            "file": "containers/graph/Dockerfile",
            "cpu": {"BASE": "hvdsm-pytorch:sm-cpu"},
            "gpu": {"BASE": "${ACCOUNT}.dkr.ecr.${REGION}.amazonaws.com/pytorch-training:2.3.0"},
        },
    }
    (place / "containers" / "images.json").write_text(json.dumps(index))
    source = tmp_path / "graph storm"
    (source / "python" / "graphstorm").mkdir(parents=True)
    (source / "python" / "graphstorm" / "a.py").write_text("")
    (source / ".git").mkdir()
    (source / ".git" / "config").write_text("")
    (source / ".dockerignore").write_text("data\n")
    (source / "link").symlink_to("nowhere")
    return place


def run(capfd: pytest.CaptureFixture[str], *words: str) -> Tuple[int, str, str]:
    """A command's exit code, and what it printed."""
    code = main(["image", *words])
    out, err = capfd.readouterr()
    return code, out, err


def json_of(capfd: pytest.CaptureFixture[str], *words: str) -> Tuple[int, Dict[str, Any]]:
    code, out, _ = run(capfd, *words, "--json")
    return code, json.loads(out)


def requests(sandbox: Sandbox, *operations: str) -> List[str]:
    return [name for name, _ in sandbox.requests if name in operations]


def test_a_build_logs_in_to_the_registry_of_its_base(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capfd, "build", "own", "--name", "training", "--tag", "1", "--", "--no-cache")
    assert code == 0, err
    assert out == f"training:1 {64 * 'a'}\n"
    login, built = engines.calls()
    assert login["argv"] == ["docker", "login", "--username", "AWS", "--password-stdin", FRAMEWORKS]
    # What moto's token says after AWS: and nothing else, no end of line either.
    assert login["stdin"] == "123456789012-auth-token"
    assert built["argv"][:2] == ["docker", "build"] and built["argv"][-2:] == ["--no-cache", str(Path("own").absolute())]
    assert built["argv"][built["argv"].index("--tag") + 1] == "training:1"
    assert "DEVICE=gpu" in built["argv"] and built["files"] == ["Dockerfile"]
    assert built["environ"]["DOCKER_BUILDKIT"] == "1"
    assert "auth-token" not in out + err + json.dumps([call["argv"] for call in engines.calls()])


def test_a_secret_of_a_build_is_on_no_command_line(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capfd, "build", "own", "--no-login", "--build-arg", "HF_TOKEN=sesame")
    assert code == 0 and "sesame" not in out + err and "HF_TOKEN=<masked>" in err.replace("'", "")
    (built,) = engines.calls()
    assert built["argv"][built["argv"].index("HF_TOKEN") - 1] == "--build-arg"
    assert not any("sesame" in word for word in built["argv"])
    assert built["environ"]["HF_TOKEN"] == "sesame"
    assert "--secret id=HF_TOKEN,env=HF_TOKEN" in err


def test_what_is_wrong_is_refused_before_any_login(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    for words, code, text in (
        (["build"], 2, "source is missing"),
        (["build", "own", "--device", "tpu"], 2, "tpu"),
        (["build", "none"], 78, "no such directory"),
        (["build", "own", "--name", "Training"], 2, "training"),
        (["build", "own", "--name", "a:1", "--tag", "2"], 2, "give one of them"),
        (["build", "own", "--file", "none"], 78, "no such Dockerfile"),
        (["build", "own", "--build-arg", "NOT_EXPORTED"], 2, "NOT_EXPORTED"),
        (["build", "own", "--login-to", "docker.io"], 2, "docker.io"),
        (["push", "docker.io/library/x:1"], 2, "no registry in ECR"),
        (["push", f"{OWN}/x:1", "--region", "eu-west-1"], 2, "leave out --region"),
        (["push", f"xy@sha256:{64 * '0'}"], 2, "pushed by a tag"),
        (["push", "x__y"], 2, "no name that a repository in ECR can have"),
    ):
        found, _, err = run(capfd, *words)
        assert (found, text in err) == (code, True), (words, err)
    assert engines.calls() == [] and requests(shop, "GetAuthorizationToken", "CreateRepository") == []


def test_a_failed_build_tells_the_engines_last_words(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    engines.does(build={"err": "step 1\nERROR: no space left on device\n", "code": 17})
    code, found = json_of(capfd, "build", "own", "--no-login")
    assert (code, found["exit_code"], found["engine_exit_code"]) == (1, 1, 17)
    assert found["output"][-1] == "ERROR: no space left on device" and "system prune" in found["error"]


def test_staging_is_there_for_the_build_alone(
    shop: Sandbox, engines: Engines, recipes: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told: List[str] = []
    for code in (0, 1):
        engines.does(build={"code": code})
        plan = plan_build(Order("graph storm", "gpu"), os.environ, str(recipes))
        assert str(plan.words.image) == "graphstorm:sm-gpu" and plan.warnings == ()
        try:
            build(plan, "docker", lambda region: connect(region), os.environ, say=told.append)
        except Exception as error:
            assert code == 1 and "docker ended with exit code 1" in str(error)
        else:
            assert code == 0
        assert staged(Path("temporary")) == []
    login, first, _, second = engines.calls()
    assert login["argv"][-1] == FRAMEWORKS
    assert first["files"] == second["files"] == [
        ".dockerignore", "containers/graph/Dockerfile", "containers/images.json", "containers/pytorch/Dockerfile",
        "hvdsm/part.py", "setup.cfg", "source/.dockerignore", "source/link", "source/python/graphstorm/a.py",
    ]  # fmt: skip
    context = first["argv"][-1]
    assert first["argv"][first["argv"].index("--file") + 1] == f"{context}/containers/graph/Dockerfile"
    assert "SOURCE=source" in first["argv"] and context != second["argv"][-1]


def test_a_recipe_wants_the_image_that_it_is_built_from(shop: Sandbox, engines: Engines, recipes: Path) -> None:
    plan = plan_build(Order("graph storm", "cpu"), os.environ, str(recipes))
    engines.does(image={"code": 1, "err": "Error: no such image"})
    with pytest.raises(Exception, match="hvdsm image build --recipe pytorch --device cpu"):
        build(plan, "docker", lambda region: connect(region), os.environ, say=str)
    assert engines.calls() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_leave_nothing_behind(shop: Sandbox, engines: Engines, recipes: Path, number: int) -> None:
    engines.does(build={"waits": True})
    program = (
        "import sys; from hvdsm.images import recipes; place = sys.argv.pop(1); recipes.root = lambda: place; "
        "from hvdsm.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(recipes), "image", "build", "graph storm", "--no-login"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if (engines.directory / "waiting").exists() or b"aaaa" in line or b"sha256" in line:
            break
    assert len(staged(Path("temporary"))) == 1
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == 128 + number, err
    assert staged(Path("temporary")) == [] and b"staged is removed" in err


def test_no_engine(shop: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    code, _, err = run(capfd, "build", "own")
    assert code == 69 and "none of docker, podman and buildah is on PATH" in err and "apt-get install podman" in err
    assert run(capfd, "push", "own")[0] == run(capfd, "list")[0] == 69
    assert run(capfd, "build", "own", "--engine", "buildah")[2].count("buildah is not on PATH") == 1
    code, out, err = run(capfd, "build", "own", "--dry-run")
    assert code == 0 and "docker build" in out and "the commands are those of docker" in err
    assert requests(shop, "GetAuthorizationToken") == []
    # What is in ECR can be listed without one.
    assert run(capfd, "list", "--remote")[0] == 0


def test_an_engine_that_does_not_answer_is_passed_over(
    shop: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    made = Engines(tmp_path / "three", "docker", "podman", "buildah")
    made.does(docker={"code": 1, "out": "", "err": "Cannot connect to the Docker daemon at unix:///x. Is it running?\n"})
    monkeypatch.setenv("PATH", made.path)
    code, _, err = run(capfd, "build", "own", "--no-login")
    assert code == 0 and "docker does not answer (Cannot connect to the Docker daemon" in err and "podman does it" in err
    assert made.argvs("build")[0][:4] == ["podman", "build", "--format", "docker"]
    code, _, err = run(capfd, "build", "own", "--engine", "docker")
    assert code == 69 and "systemctl start docker" in err
    made.does(podman={"code": 125})
    assert run(capfd, "build", "own", "--no-login")[0] == 0 and made.argvs("build")[1][0] == "buildah"


def test_a_push_makes_the_repository_and_says_where_the_image_is(
    shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capfd, "push", "team/training", "--tag", "1")
    assert code == 0, err
    assert out == f"{OWN}/team/training:1\n" and "made the repository" in err
    assert engines.argvs() == [
        ["docker", "login", "--username", "AWS", "--password-stdin", OWN],
        ["docker", "tag", "team/training:1", f"{OWN}/team/training:1"],
        ["docker", "push", f"{OWN}/team/training:1"],
    ]
    assert engines.calls("login")[0]["stdin"] == "123456789012-auth-token"
    (made,) = client(shop, "ecr").describe_repositories(repositoryNames=["team/training"])["repositories"]
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}

    code, found = json_of(capfd, "push", f"{OWN}/team/training:1")
    assert (code, found["repository_created"], found["uri"]) == (0, False, f"{OWN}/team/training:1")
    # Its name here is that in ECR already.
    assert [argv[1] for argv in engines.argvs()[3:]] == ["login", "push"]
    assert requests(shop, "CreateRepository") == ["CreateRepository"]


def test_what_ecr_has_afterwards_is_told(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    ecr = client(shop, "ecr")
    for name, kind in (("good", MANIFEST), ("index", "application/vnd.oci.image.index.v1+json")):
        ecr.create_repository(repositoryName=name)
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": {"size": 7, "digest": "sha256:0"}, "layers": []}
        ecr.put_image(repositoryName=name, imageTag="1", imageManifest=json.dumps(manifest), imageManifestMediaType=kind)
    code, found = json_of(capfd, "push", "good:1")
    assert code == 0 and found["digest"].startswith("sha256:") and found["for_sagemaker"] is True
    code, _, err = run(capfd, "push", "index:1")
    assert code == 0 and "SageMaker may refuse" in err and "--provenance=false" in err

    engines.does(image={"out": ""})
    code, found = json_of(capfd, "list", "--remote", "good")
    assert [row["image"] for row in found["images"] if row["where"] == "ecr"] == [f"{OWN}/good:1"]
    code, out, _ = run(capfd, "uri", "good", "--tag", "1", "--check")
    assert (code, out) == (0, f"{OWN}/good:1\n")
    code, _, err = run(capfd, "uri", "good", "--tag", "2", "--check")
    assert code == 78 and "no such image" in err


DENIED = (
    "User: arn:aws:iam::123456789012:user/x is not authorized to perform: ecr:{0} on resource: "
    "arn:aws:ecr:us-east-1:123456789012:repository/own because no identity-based policy allows the ecr:{0} action"
)


def test_a_missing_permission_is_named(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    def denied(operation: str) -> Fault:
        return Fault(operation, error="AccessDeniedException", message=DENIED.format(operation), times=None)

    shop.faults.add(denied("CreateRepository"))
    code, _, err = run(capfd, "push", "own")
    assert code == 78 and "lack the permission ecr:CreateRepository" in err
    assert "allow ecr:CreateRepository on arn:aws:ecr:us-east-1:123456789012:repository/own" in err
    assert "aws ecr create-repository --repository-name own --region us-east-1" in err
    assert engines.argvs() == []

    shop.faults.clear()
    shop.faults.add(denied("DescribeRepositories"), denied("DescribeImages"))
    code, _, err = run(capfd, "push", "own")
    assert code == 0 and "cannot be seen without ecr:DescribeRepositories" in err and engines.argvs()[-1][1] == "push"

    shop.faults.clear()
    shop.faults.add(denied("GetAuthorizationToken"))
    code, _, err = run(capfd, "push", "own", "--no-create")
    assert code == 78 and "no such repository" in err
    code, _, err = run(capfd, "build", "own")
    assert code == 78 and "ecr:GetAuthorizationToken" in err and engines.argvs("build") == []


def test_a_push_that_ecr_refuses(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    engines.does(push={"code": 1, "err": "denied: User is not authorized to perform: ecr:PutImage\n"})
    code, _, err = run(capfd, "push", "own")
    assert code == 1 and "cannot push" in err and "ecr:PutImage" in err.split("try:")[1]
    engines.does(login={"code": 1, "err": "Error saving credentials: not implemented 123456789012-auth-token\n"})
    code, out, err = run(capfd, "push", "own")
    assert code == 1 and "--no-login" in err and "auth-token" not in out + err
    engines.does(image={"code": 1, "err": "no such image\n"})
    code, _, err = run(capfd, "push", "own")
    assert code == 78 and "docker has no such image" in err


def test_a_tag_that_may_not_be_moved(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    ecr = client(shop, "ecr")
    ecr.create_repository(repositoryName="fixed", imageTagMutability="IMMUTABLE")
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": {"size": 7, "digest": "sha256:0"}, "layers": []}
    ecr.put_image(repositoryName="fixed", imageTag="1", imageManifest=json.dumps(manifest))
    code, _, err = run(capfd, "push", "fixed:1")
    assert code == 78 and "another --tag" in err and engines.argvs() == []
    assert run(capfd, "push", "fixed:2")[0] == 0


def test_uri(shop: Sandbox, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(capfd, "uri")[1] == f"{OWN}/graphstorm:sm-gpu\n"
    assert run(capfd, "uri", "localhost/a/b", "--device", "cpu")[1] == f"{OWN}/a/b:sm-cpu\n"
    assert requests(shop, "GetCallerIdentity") == ["GetCallerIdentity"] * 2
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    code, out, _ = run(capfd, "uri", "--account", "888888888888", "--region", "cn-north-1", "--tag", "v1")
    assert (code, out) == (0, "888888888888.dkr.ecr.cn-north-1.amazonaws.com.cn/graphstorm:v1\n")
    assert run(capfd, "uri", f"{OWN}/xy:1")[1] == f"{OWN}/xy:1\n"
    code, _, err = run(capfd, "uri")
    assert code == 78 and "no AWS region" in err
    code, _, err = run(capfd, "uri", "--region", "us-east-1")
    assert code == 69 and "no AWS credentials" in err
    assert run(capfd, "uri", "--region", "us-east-1", "--account", "12")[0] == 2


def test_dry_runs(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, "build", "own", "--dry-run")
    assert code == 0 and out.splitlines() == [
        f"# base image: {FRAMEWORKS}/pytorch-training:2.3.0",
        f"aws ecr get-login-password --region us-east-1 | docker login --username AWS --password-stdin {FRAMEWORKS}",
        f"DOCKER_BUILDKIT=1 BUILDX_NO_DEFAULT_ATTESTATIONS=1 docker build --file {Path('own').absolute()}/Dockerfile "
        f"--tag own:sm-gpu --build-arg DEVICE=gpu --label hvdsm.device=gpu "
        f"--label hvdsm.version={_version()} {Path('own').absolute()}",
    ]
    code, found = json_of(capfd, "push", "own", "--dry-run")
    assert code == 0 and [argv[1] for argv in found["commands"]] == ["login", "tag", "push"]
    assert engines.argvs() == [] and requests(shop, "GetAuthorizationToken", "CreateRepository", "DescribeRepositories") == []


def _version() -> str:
    from hvdsm.version import __version__

    return __version__


def test_images_of_this_machine(
    shop: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = [
        {"Repository": "training", "Tag": "1", "ID": "abc", "Size": "1.5GB", "CreatedAt": "today"},
        {"Repository": f"{OWN}/training", "Tag": "1", "ID": "abc", "Size": "1.5GB", "CreatedAt": "today"},
        {"Repository": "<none>", "Tag": "<none>", "ID": "abd", "Size": "1B", "CreatedAt": "today"},
    ]
    made = Engines(tmp_path / "list", "docker")
    made.does(image={"out": "\n".join(json.dumps(line) for line in lines), "err": "WARNING: beside it\n"})
    monkeypatch.setenv("PATH", made.path)
    code, out, _ = run(capfd, "list")
    assert code == 0 and out.splitlines()[0].split() == ["WHERE", "IMAGE", "ID", "SIZE", "CREATED"] and "1.5 GB" in out
    assert "--filter" in made.argvs("image")[0]
    code, found = json_of(capfd, "list", "training:1", "--all")
    assert [row["image"] for row in found["images"]] == ["training:1", f"{OWN}/training:1"]
    assert "--filter" not in made.argvs("image")[1]
    assert json_of(capfd, "list", "other")[1] == {"images": []}
    made.does(image={"out": "{", "code": 0})
    assert run(capfd, "list")[0] == 78


def test_defaults_of_the_configuration(shop: Sandbox, engines: Engines, capfd: pytest.CaptureFixture[str]) -> None:
    Path("hvdsm.toml").write_text('[image]\ndevice = "cpu"\n[image.push]\naccount = "888888888888"\n')
    assert json_of(capfd, "build", "own", "--dry-run")[1]["image"] == "own:sm-cpu"
    assert json_of(capfd, "push", "own", "--dry-run")[1]["uri"] == "888888888888.dkr.ecr.us-east-1.amazonaws.com/own:sm-cpu"
