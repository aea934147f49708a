"""Real engines: an image of two lines built, listed, and pushed to a registry on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from registry_server import registry_server

from hvdsm.aws.registry_names import Registry
from hvdsm.cli import main
from hvdsm.errors import BackendUnavailable
from hvdsm.images.build_plan import Order, plan_build
from hvdsm.images.building import build
from hvdsm.images.commands import ENGINES, Command, inspect_command, login_command, push_command, tag_command
from hvdsm.images.engines import find_engine
from hvdsm.images.names import ImageName
from hvdsm.images.running import EngineFailed, check, run

PASSWORD = "a-password-of-12-hours"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An engine that is there, with images and logins of its own."""
    name = str(request.param)
    storage = tmp_path / "storage.conf"
    storage.write_text(f'[storage]\ndriver = "vfs"\nrunroot = "{tmp_path}/run"\ngraphroot = "{tmp_path}/graph"\n')
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(storage))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    (tmp_path / "auth.json").write_text("{}")
    (tmp_path / "docker").mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    try:
        find_engine(name, os.environ)
    except BackendUnavailable as error:
        pytest.skip(f"{name}: {error.what}")
    monkeypatch.chdir(tmp_path)
    Path("two lines").mkdir()
    Path("two lines/Dockerfile").write_text("FROM scratch\nCOPY hello /hello\n")
    Path("two lines/hello").write_text("hello\n")
    yield name
    if name == "docker":
        subprocess.run([name, "image", "rm", "--force", "hvdsm-test:1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def json_of(capfd: pytest.CaptureFixture[str], *words: str) -> Dict[str, Any]:
    code = main(["image", *words, "--json"])
    out, err = capfd.readouterr()
    assert code == 0, out + err
    found: Dict[str, Any] = json.loads(out)
    return found


def on_loopback(command: Command) -> Command:
    """A command that speaks plain HTTP; of buildah the file with insecure registries does not change that."""
    if command.argv[0] != "buildah":
        return command
    return replace(command, argv=(*command.argv[:2], "--tls-verify=false", *command.argv[2:]))


def works(command: Command, **more: Any) -> List[str]:
    return list(check(run(command, os.environ, **more), command, "do it", "look").lines)


def test_built_listed_and_pushed(
    engine: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = json_of(capfd, "build", "two lines", "--engine", engine, "--name", "hvdsm-test", "--tag", "1")
    assert built["image"] == "hvdsm-test:1" and len(built["id"]) == 64
    (listed,) = json_of(capfd, "list", "hvdsm-test", "--engine", engine)["images"]
    assert built["id"].startswith(listed["id"]) and listed["image"].endswith("hvdsm-test:1")
    missing = inspect_command(engine, ImageName("hvdsm-test", "none"))
    assert run(missing, os.environ).code != 0

    with registry_server("AWS", PASSWORD) as server:
        (tmp_path / "registries.conf").write_text(f'[[registry]]\nlocation = "{server.host}"\ninsecure = true\n')
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registries.conf"))
        image, there = ImageName("hvdsm-test", "1"), ImageName("team/test", "1", server.host)
        login = on_loopback(login_command(engine, Registry(server.host, "", "")))
        with pytest.raises(EngineFailed) as refused:
            works(login, password="wrong")
        assert "<masked>" not in str(refused.value) and server.refused[-1] == "/v2/"
        works(login, password=PASSWORD)
        works(tag_command(engine, image, there))
        works(on_loopback(push_command(engine, there)))
        kind, manifest = server.manifests["team/test", "1"]
        # SageMaker takes no other.
        assert kind == MANIFEST and len(json.loads(manifest)["layers"]) == 1
        config = json.loads(server.blobs[json.loads(manifest)["config"]["digest"]])
        assert config["config"]["Labels"]["hvdsm.device"] == "gpu"


def test_pushed_as_in_the_cloud(engine: str, tmp_path: Path) -> None:
    """By the whole command, over TLS, to a registry with ECR's name and password; in namespaces of its own."""
    if engine == "docker":
        pytest.skip("docker: its engine is in other namespaces")
    unshare = ["unshare", "--mount", "--net"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("unshare: namespaces cannot be had without root")
    here = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parent.parent), str(here)])}
    argv = [*unshare, sys.executable, str(here / "push_as_in_the_cloud.py"), engine, str(tmp_path)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [result["code"] for result in found["results"]] == [0, 0, 0], found["results"]
    assert found["manifests"] == {"team/test/1": MANIFEST}
    first, second = (result["out"] for result in found["results"][1:])
    assert first["uri"] == "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/test:1"
    assert (first["repository_created"], second["repository_created"]) == (True, False)
    assert found["asked"].count("GetAuthorizationToken") == 2 and "auth-token" not in json.dumps(found["results"])


def test_a_build_argument_reaches_the_build_from_the_environment(
    engine: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["FROM scratch", "ARG HF_TOKEN", "ARG PLAIN", "ARG OF_IT", "LABEL of=$HF_TOKEN-$PLAIN-$OF_IT", "COPY hello /"]
    Path("two lines/Dockerfile").write_text("\n".join(lines))
    words = ["--build-arg", "HF_TOKEN=sesame", "--build-arg", "PLAIN=x y", "--build-arg", "OF_IT"]
    monkeypatch.setenv("OF_IT", "own")
    json_of(capfd, "build", "two lines", "--engine", engine, "--name", "hvdsm-test", "--tag", "1", *words)
    kind = ["image", "inspect"] if engine != "buildah" else ["inspect", "--type", "image"]
    shown = subprocess.run([engine, *kind, "hvdsm-test:1"], stdout=subprocess.PIPE, check=True).stdout.decode()
    assert "sesame-x y-own" in shown


def test_a_staged_build(engine: str, tmp_path: Path) -> None:
    (tmp_path / "containers" / "graph").mkdir(parents=True)
    (tmp_path / "containers" / "graph" / "Dockerfile").write_text(
        "FROM scratch\nARG SOURCE=none\nARG DEVICE\nCOPY ${SOURCE} /s\n"
    )
    index = {"graph": {"file": "containers/graph/Dockerfile", "cpu": {}}}
    (tmp_path / "containers" / "images.json").write_text(json.dumps(index))
    (tmp_path / ".dockerignore").write_text("*\n!containers\n")
    source = tmp_path / "two lines"
    (source / "python" / "graphstorm").mkdir(parents=True)
    (source / "data").mkdir()
    (source / "data" / "large").write_text("kept out")
    (source / ".dockerignore").write_text("data\nDockerfile\n")
    order = Order(str(source), "cpu", name="hvdsm-test", tag="1", recipe="graph")
    plan = plan_build(order, os.environ, str(tmp_path))
    build(plan, engine, lambda region: None, os.environ, say=str)
    (tmp_path / "saved").mkdir()
    kind = ["save", "--output"] if engine != "buildah" else ["push", "-q"]
    target = [f"{tmp_path}/saved.tar", "hvdsm-test:1"]
    words = [*kind, *target] if engine != "buildah" else [*kind, "hvdsm-test:1", f"docker-archive:{tmp_path}/saved.tar"]
    subprocess.run([engine, *words], check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(tmp_path / "saved.tar") as saved:
        layers = json.load(saved.extractfile("manifest.json"))[0]["Layers"]  # type: ignore[arg-type]
        names: List[str] = []
        for layer in layers:
            with tarfile.open(fileobj=saved.extractfile(layer)) as files:
                names += files.getnames()
    assert "s/hello" in names and "s/python/graphstorm" in names
    assert not any("data" in name or "Dockerfile" in name for name in names)


def test_a_build_that_fails(engine: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path("two lines/Dockerfile").write_text("FROM scratch\nCOPY absent /\n")
    code = main(["image", "build", "two lines", "--engine", engine, "--json"])
    found = json.loads(capfd.readouterr().out)
    assert code == 1 and "absent" in found["error"] and found["engine_exit_code"] != 0
    lists = {
        "docker": [],
        "podman": ["podman", "ps", "--all", "--external", "--quiet"],
        "buildah": ["buildah", "containers", "-q"],
    }
    if lists[engine]:
        assert subprocess.run(lists[engine], stdout=subprocess.PIPE, check=True).stdout == b""


def test_a_dockerfile_of_an_odd_name(engine: str, capfd: pytest.CaptureFixture[str]) -> None:
    odd = Path("a, \"b\" 'c'\nd --e")
    odd.mkdir()
    (odd / "Docker,file").write_text("FROM scratch\nCOPY hello /hello\n")
    (odd / "hello").write_text("hello\n")
    words = ["--file", "Docker,file", "--engine", engine, "--name", "hvdsm-test", "--tag", "1"]
    assert len(json_of(capfd, "build", str(odd), *words)["id"]) == 64
