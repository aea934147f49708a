"""Docker, podman and Compose: what they say of themselves, and whether that is enough."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import pytest

from hvdsm.container.diagnosis import FAILED, OK, UNCHECKED, WARNING, Check
from hvdsm.container.inquiries import Ran, run
from hvdsm.container.vitals import GIB, Space
from hvdsm.doctor import containers
from hvdsm.doctor.engines import BUILDAH, DOCKER, PODMAN, DockerFacts, Engine, docker_here, judge, of_docker, of_podman, room

NO_DAEMON = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
RUNNING = Engine(DOCKER, "/usr/bin/docker", "27.1.1", runtimes=("runc",))
STOPPED = Engine(DOCKER, "/usr/bin/docker", error=NO_DAEMON)
POD = Engine(PODMAN, "/usr/bin/podman", "4.3.1", runtimes=("crun",))
V2, OLD, POD_COMPOSE = ("docker", "compose", "version"), ("docker-compose", "version"), ("podman-compose", "--version")


def facts(*engines: Engine, **more: Any) -> DockerFacts:
    return DockerFacts({engine.name: engine for engine in engines}, **more)


def by_name(checks: List[Check]) -> Dict[str, Check]:
    return {check.name: check for check in checks}


@pytest.mark.parametrize(
    ("found", "engine", "compose", "words"),
    [
        (facts(RUNNING, composes={V2: "2.29.1"}), OK, OK, ["docker 27.1.1", "docker compose 2.29.1"]),
        (facts(RUNNING, composes={OLD: "1.29.2"}), OK, OK, ["docker-compose 1.29.2"]),
        (facts(RUNNING, composes={POD_COMPOSE: "1.6.0"}), OK, FAILED, ["podman-compose is not for it", "docker-compose-plugin"]),
        (facts(RUNNING, POD, composes={POD_COMPOSE: "1.6.0"}), OK, OK, ["podman 4.3.1", "podman-compose 1.6.0"]),
        (facts(RUNNING), OK, FAILED, ["no Compose for docker"]),
        (facts(POD, composes={POD_COMPOSE: "1.6.0"}), OK, OK, ["podman 4.3.1", "podman-compose 1.6.0"]),
        (
            facts(STOPPED, POD, composes={POD_COMPOSE: "1.6.0", V2: "2.29.1"}),
            OK,
            OK,
            ["podman 4.3.1; docker is here, but", "podman-compose"],
        ),
        (facts(STOPPED), FAILED, UNCHECKED, ["Is the docker daemon running?", "systemctl start docker"]),
        (
            facts(Engine(DOCKER, "/d", error="permission denied while trying to connect")),
            FAILED,
            UNCHECKED,
            ["usermod -aG docker"],
        ),
        (facts(Engine(PODMAN, "/p", error="no subuid ranges")), FAILED, UNCHECKED, ["no subuid ranges", "podman info"]),
        (facts(), FAILED, UNCHECKED, ["neither docker nor podman", "install Docker"]),
    ],
)
def test_engine_and_compose(found: DockerFacts, engine: str, compose: str, words: List[str]) -> None:
    checks = judge(found)
    named = by_name(checks)
    assert (named["engine"].status, named["compose"].status) == (engine, compose)
    text = "\n".join(f"{check.what} {check.remedy}" for check in checks)
    assert [word for word in words if word not in text] == []
    assert {check.code for check in checks if check.status == FAILED} <= {69}


LISTED = Ran(0, "aaa 1.16 GB\nbbb 207MB\nccc 85.8 MB\n")


def test_a_container_is_started_of_the_smallest_image() -> None:
    asked: List[List[str]] = []

    def runs(argv: Sequence[str], environ: Mapping[str, str], limit: float) -> Ran:
        asked.append(list(argv))
        return LISTED if argv[1] == "images" else Ran(0, "")

    check = containers.start(PODMAN, "/usr/bin/podman", None, {}, runs)
    assert (check.status, asked[-1][-1]) == (OK, "ccc")
    assert {"--rm", "--pull", "never"} <= set(asked[-1])
    assert containers.start(PODMAN, "/usr/bin/podman", "mine:1", {}, runs).facts["image"] == "mine:1"


def test_a_container_that_does_not_end_is_removed() -> None:
    asked: List[List[str]] = []

    def runs(argv: Sequence[str], environ: Mapping[str, str], limit: float) -> Ran:
        asked.append(list(argv))
        return Ran(None, "no answer within 60 s") if argv[1] == "run" else Ran(0, "")

    assert containers.start(DOCKER, "/usr/bin/docker", "mine:1", {}, runs).status == FAILED
    assert asked[-1][1:3] == ["rm", "--force"] and asked[-1][-1] == asked[0][asked[0].index("--name") + 1]


@pytest.mark.parametrize(
    ("ran", "status", "word"),
    [
        (Ran(0, ""), OK, "starts containers"),
        # It came as far as looking for the program.
        (Ran(127, 'exec: "true": executable file not found in $PATH'), OK, "starts containers"),
        (Ran(126, "Error: crun: setrlimit `RLIMIT_NOFILE`: Operation not permitted"), FAILED, "default_ulimits"),
        (
            Ran(126, "Error: OCI runtime error: crun: cgroups in hybrid mode not supported"),
            FAILED,
            "umount /sys/fs/cgroup/unified",
        ),
        (Ran(126, "Error: unable to start container 1: netavark: No such file or directory (os error 2)"), FAILED, "iptables"),
        (Ran(125, "Error: something new"), FAILED, "something new"),
        (Ran(1, "exec /usr/bin/true: exec format error"), UNCHECKED, "another kind of processor"),
        (Ran(125, "Error: mine:1: image not known"), UNCHECKED, "podman pull mine:1"),
    ],
)
def test_how_a_container_ended(ran: Ran, status: str, word: str) -> None:
    check = containers.judge(PODMAN, "mine:1", ran, "podman run --rm --entrypoint true mine:1")
    assert check.status == status and word in f"{check.what} {check.remedy}"
    assert check.code == (69 if status == FAILED else 0)
    assert status in (OK,) or check.remedy


def test_without_images_no_container_is_started() -> None:
    check = containers.start(PODMAN, "/usr/bin/podman", None, {}, lambda argv, environ, limit: Ran(0, ""))
    assert check.status == UNCHECKED and "hvdsm image build" in check.remedy


def test_the_engine_that_is_wanted() -> None:
    both = {V2: "2.29.1", POD_COMPOSE: "1.6.0"}
    assert by_name(judge(facts(RUNNING, POD, composes=both, wanted=PODMAN)))["engine"].facts["used"] == PODMAN
    stopped = by_name(judge(facts(STOPPED, POD, composes=both, wanted=DOCKER)))["engine"]
    assert stopped.status == FAILED and "daemon" in stopped.what
    assert "docker is not here" in by_name(judge(facts(POD, composes=both, wanted=DOCKER)))["engine"].what


def test_images_can_be_built_without_an_engine_that_runs_them() -> None:
    named = by_name(judge(facts(Engine(BUILDAH, "/usr/bin/buildah", "1.28.2"))))
    assert (named["engine"].status, named["build"].status) == (FAILED, OK)
    assert by_name(judge(facts()))["build"].status == UNCHECKED


@pytest.mark.parametrize(
    ("engine", "cdi", "status"),
    [
        (RUNNING, False, WARNING),
        (RUNNING, True, OK),
        (Engine(DOCKER, "/d", "27", runtimes=("nvidia", "runc")), False, OK),
        (POD, True, OK),
    ],
)
def test_gpus_in_containers(engine: Engine, cdi: bool, status: str) -> None:
    assert by_name(judge(facts(engine, gpus=("0", "1"), cdi=cdi)))["gpu-runtime"].status == status
    assert "gpu-runtime" not in by_name(judge(facts(engine, cdi=cdi)))


def test_room_for_images() -> None:
    assert room(Space("/var/lib/docker", 100 * GIB, 200 * GIB)).status == OK
    assert room(Space("/var/lib/docker", 3 * GIB, 200 * GIB)).status == WARNING


PODMAN_INFO = {
    "host": {"ociRuntime": {"name": "crun"}, "security": {"rootless": True}},
    "store": {"graphRoot": "/home/me/.local/share/containers/storage"},
    "version": {"Version": "4.3.1"},
}


@pytest.mark.parametrize(
    ("text", "version", "error"),
    [
        (json.dumps({"ServerVersion": "27.1.1", "DockerRootDir": "/var/lib/docker", "Runtimes": {"runc": {}}}), "27.1.1", ""),
        ("WARNING: No swap limit support\n" + json.dumps({"ServerVersion": "27.1.1"}), "27.1.1", ""),
        (json.dumps({"ServerErrors": [NO_DAEMON], "ServerVersion": ""}), "", NO_DAEMON),
        (f"{NO_DAEMON}\n" + json.dumps({"ServerVersion": ""}), "", NO_DAEMON),
        (NO_DAEMON, "", NO_DAEMON),
        ("", "", "it says nothing"),
        (json.dumps(PODMAN_INFO), "4.3.1", ""),
    ],
)
def test_what_docker_says(text: str, version: str, error: str) -> None:
    engine = of_docker("/usr/bin/docker", text, ok=True)
    assert (engine.name, engine.version, engine.error) == (DOCKER, version, error)


def test_what_podman_says() -> None:
    engine = of_podman("/usr/bin/podman", json.dumps(PODMAN_INFO), ok=True)
    assert (engine.version, engine.rootless, engine.runtimes) == ("4.3.1", True, ("crun",))
    broken = of_podman("/usr/bin/podman", "Error: cannot set up namespace", ok=False)
    assert (broken.version, broken.error) == ("", "Error: cannot set up namespace")


def program(directory: Path, name: str, text: str, code: int = 0) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("version", ["Docker Compose version v2.29.1", "docker-compose version 2.29.1, build 1110ad01", None])
def test_programs_are_asked(tmp_path: Path, version: Optional[str]) -> None:
    program(tmp_path, "docker", json.dumps({"ServerVersion": "27.1.1"}))
    program(tmp_path, "buildah", "buildah version 1.28.2 (image-spec 1.0.2-dev)")
    program(tmp_path, "docker-compose", version or "no such thing", 0 if version else 1)
    # What this machine has is not to be found.
    (tmp_path / "cat").symlink_to(str(shutil.which("cat")))
    found = docker_here({"PATH": str(tmp_path)}, run)
    assert found.engines[DOCKER].version == "27.1.1" and found.engines[BUILDAH].version == "1.28.2"
    assert found.composes.get(OLD) == ("2.29.1" if version else None)
    assert found.chosen is not None and found.chosen.name == DOCKER
