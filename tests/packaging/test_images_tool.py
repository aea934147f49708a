"""What ``make images`` would run."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import image_base
import image_engines
import image_tests
import images
import pytest
import steps
import system_packages
from packaging_support import REPOSITORY


def dry_run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the tool with ``--dry-run``."""
    env = {key: value for key, value in os.environ.items() if key not in ("PIP_FIND_LINKS", "PIP_CERT", "SSL_CERT_FILE")}
    command = [sys.executable, "tools/images.py", "--dry-run", *words]
    return subprocess.run(command, cwd=REPOSITORY, env={**env, **environ}, capture_output=True, text=True, check=False)


@pytest.fixture
def engines(tmp_path: Path) -> str:
    """A PATH with engines that only answer; docker has no daemon."""
    for name, code in (("docker", 1), ("podman", 0), ("buildah", 0)):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho 4.3\nexit {code}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return f"{tmp_path}:{os.defpath}"


def commands(done: subprocess.CompletedProcess[str]) -> List[List[str]]:
    """The printed commands, as words."""
    assert done.returncode == 0, done.stdout + done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


def arguments(command: List[str]) -> Dict[str, str]:
    """The build arguments of a command."""
    return dict(word.split("=", 1) for before, word in zip(command, command[1:]) if before == "--build-arg")


def test_docker_without_a_daemon_is_passed_over(engines: str) -> None:
    assert {command[0] for command in commands(dry_run(PATH=engines))} == {"podman"}


def test_an_engine_that_does_not_work_is_refused(engines: str) -> None:
    done = dry_run("--engine", "docker", PATH=engines)
    assert done.returncode == 1
    assert "docker does not work here" in done.stdout


def test_without_any_engine_it_says_what_to_install(tmp_path: Path) -> None:
    done = dry_run(PATH=str(tmp_path))
    assert done.returncode == 1
    assert image_engines.INSTALL in done.stdout


@pytest.mark.parametrize(("asked", "said"), [("buildah", "buildah runs no containers"), ("docker", "docker does not work here")])
def test_an_engine_that_runs_no_containers_cannot_test(
    engines: str, asked: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", engines)
    with pytest.raises(steps.StepFailed, match=said):
        image_tests.runner(asked)


def test_what_podman_takes_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(system_packages, "SBIN", "/nonexistent")
    monkeypatch.setattr(system_packages, "HELPERS", (str(tmp_path),))
    monkeypatch.setenv("PATH", "/nonexistent")
    missing = {need.package for need in system_packages.missing_for_images(as_root=False)}
    assert missing == set(image_engines.INSTALL.split()[2:])
    for name in ("podman", "crun", "netavark", "aardvark-dns", "iptables", "fuse-overlayfs", "newuidmap"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert system_packages.missing_for_images(as_root=False) == []


def test_what_a_signature_takes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_packages, "SBIN", "/nonexistent")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert [need.package for need in system_packages.missing_for_check()] == ["gpg", "gpgv"]


def test_ones_own_image_is_tested_on_one_with_horovod_too(engines: str) -> None:
    listed = commands(dry_run("--test", "own", PATH=engines))
    assert [command[command.index("--tag") + 1] for command in listed] == [
        "hvdsm-own:sm-cpu",
        "hvdsm-pytorch:sm-cpu",
        image_tests.OWN_TAG,
    ]
    assert listed[0][listed[0].index("--file") :][:2] == listed[2][listed[2].index("--file") :][:2]
    given = arguments(listed[2])
    assert (given["BASE"], given["PACKAGES"]) == ("hvdsm-pytorch:sm-cpu", "openssh-client openssh-server")
    tensorflow = commands(dry_run("--test", "tensorflow", PATH=engines))
    assert len(tensorflow) == 1


def test_the_image_below_is_built_first(engines: str) -> None:
    tags = [command[command.index("--tag") + 1] for command in commands(dry_run("graph", PATH=engines))]
    assert tags == ["hvdsm-pytorch:sm-cpu", "hvdsm-graph:sm-cpu"]


def test_for_gpu_a_deep_learning_container_of_the_region_is_the_base(engines: str) -> None:
    (command,) = commands(dry_run("--device", "gpu", "--region", "eu-west-1", "--account", "123456789012", "graph", PATH=engines))
    given = arguments(command)
    assert given["BASE"].startswith("123456789012.dkr.ecr.eu-west-1.amazonaws.com/pytorch-training:2.3.0-gpu-")
    assert (given["DEVICE"], given["DGL_VERSION"]) == ("gpu", "2.3.0")


def test_a_base_and_arguments_of_ones_own(engines: str) -> None:
    words = ["--base", "my base:1", "--build-arg", "DGL_VERSION=1.1.2", "--build-arg", "EFA_VERSION=a=b", "graph"]
    pytorch, graph = (arguments(command) for command in commands(dry_run(*words, PATH=engines)))
    assert pytorch["BASE"] == "my base:1"
    assert graph["BASE"] == "hvdsm-pytorch:sm-cpu"
    assert (graph["DGL_VERSION"], graph["EFA_VERSION"]) == ("1.1.2", "a=b")


def test_wheels_and_certificates_of_pip_are_mounted(engines: str, tmp_path: Path) -> None:
    wheels, certificates = tmp_path / "my wheels", tmp_path / "ca.crt"
    wheels.mkdir()
    certificates.write_text("")
    environ = {"PIP_FIND_LINKS": str(tmp_path), "PIP_CERT": str(certificates), "PATH": engines}
    (command,) = commands(dry_run("pytorch", **environ))
    assert f"{tmp_path}:/mnt:ro" in command
    assert f"{certificates}:{image_engines.CERTIFICATES}:ro" in command
    assert arguments(command)["PIP_FIND_LINKS"] == "/mnt"
    (command,) = commands(dry_run("--wheels", str(wheels), "pytorch", **environ))
    assert f"{wheels}:/mnt:ro" in command


def test_only_declared_arguments_are_given(engines: str, tmp_path: Path) -> None:
    for command in commands(dry_run(PIP_FIND_LINKS=str(tmp_path), PATH=engines)):
        assert set(arguments(command)) <= images.declared(command[command.index("--file") + 1])


@pytest.mark.parametrize("words", [("nothing",), ("--build-arg", "DEVICE", "own"), ("own", "--no-such-option")])
def test_a_wrong_command_line_is_refused(engines: str, words: List[str]) -> None:
    done = dry_run(*words, PATH=engines)
    assert done.returncode == 1
    assert done.stdout.startswith("error: ")


def test_docker_mounts_nothing() -> None:
    build = image_engines.Build("Dockerfile", "a:1", {}, (("/a", "/b"),))
    with pytest.raises(steps.StepFailed, match="/a"):
        image_engines.build_command("docker", build)
    assert "--isolation" not in image_engines.build_command("docker", image_engines.Build("Dockerfile", "a:1", {}))


def test_a_base_is_imported_by_each_engine() -> None:
    for engine in image_engines.ENGINES:
        listed = image_engines.import_commands(engine, "/a.tar", image_base.MADE)
        assert all(command[0] == engine for command in listed)
        assert image_base.MADE in listed[-1]


def test_a_base_that_is_not_debian_is_not_made(engines: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in image_engines.ENGINES:
        program = tmp_path / name
        program.write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setenv("PATH", engines)
    with pytest.raises(steps.StepFailed, match="cannot be pulled"):
        image_base.resolve("podman", "nvidia/cuda:1")
