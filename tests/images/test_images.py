"""The images of containers/, built for the CPU: what is in them, and jobs whose hosts are containers of them."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any, Dict

import pytest
from images_support import EXAMPLES, IMAGES, REPOSITORY, Engine, run_job, tag

from hvdsm.version import __version__

MODULES = {
    "pytorch": ("torch", "horovod.torch", "lightning", "jsonargparse", "tensorboard"),
    "tensorflow": ("tensorflow", "horovod.tensorflow.keras"),
    "graph": ("torch", "dgl", "graphstorm", "graphstorm.gconstruct.construct_graph", "horovod.torch"),
    "own": ("mpi4py.MPI",),
}
# A job with requirements.txt wants pip, which the smallest image leaves to those who need it: PACKAGES.
WARNINGS = {"own": {"python": "without pip"}}


def inspected(engine: Engine, name: str) -> Dict[str, Any]:
    """What the engine tells of an image."""
    found: Dict[str, Any] = json.loads(engine.output("image", "inspect", tag(name)))[0]
    return found


@pytest.mark.parametrize("name", IMAGES)
def test_labels(engine: Engine, name: str) -> None:
    labels = inspected(engine, name)["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == f"hvdsm-{name}"
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert "(cpu)" in labels["org.opencontainers.image.description"]


@pytest.mark.parametrize("name", IMAGES)
def test_train_is_hvdsm_and_the_modules_are_there(engine: Engine, name: str) -> None:
    assert engine.in_image(tag(name), "train", "--version") == f"hvdsm, version {__version__}\n"
    said = engine.in_image(tag(name), "/usr/local/lib/hvdsm/check.sh", *MODULES[name])
    assert [line.split()[1] for line in said.splitlines() if line.startswith("check.sh: ")] == list(MODULES[name])


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("user", ["root", "hvdsm"])
def test_the_doctor_has_no_complaint(engine: Engine, name: str, user: str) -> None:
    options = ["--user", user, "--shm-size", "1g"]
    found = json.loads(engine.in_image(tag(name), "hvdsm-train", "--doctor", "--json", options=options))
    assert (found["works"], found["exit_code"]) == (True, 0)
    wrong = {check["name"]: check["what"] for check in found["checks"] if check["status"] not in ("ok", "note")}
    expected = WARNINGS.get(name, {})
    assert set(wrong) == set(expected), wrong
    assert all(text in wrong[check] for check, text in expected.items())
    assert {check["status"] for check in found["checks"] if check["name"] in ("ranks", "mpi4py", "ssh", "train")} == {"ok"}


@pytest.mark.parametrize("name", IMAGES)
def test_the_health_check_is_the_doctor_s(engine: Engine, name: str) -> None:
    found = inspected(engine, name)
    # Podman has it elsewhere than docker.
    words = (found.get("Healthcheck") or found["Config"]["Healthcheck"])["Test"]
    assert words[0] == "CMD"
    said = engine.in_image(tag(name), *words[1:], options=["--user", "hvdsm"])
    assert "this image can run jobs" in said
    assert "ranks" not in {line.split()[1] for line in said.splitlines()}


@pytest.mark.parametrize("name", IMAGES)
def test_no_key_in_any_layer(engine: Engine, name: str, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    engine.output("save", "--output", str(archive), tag(name))
    found = []
    with tarfile.open(archive) as whole:
        layers = [member for member in whole if member.isfile() and not member.name.endswith(".json")]
        assert layers
        for layer in layers:
            stream = whole.extractfile(layer)
            assert stream is not None
            try:
                with tarfile.open(fileobj=stream) as files:
                    found += [entry.name for entry in files if is_key(entry.name)]
            except tarfile.ReadError:
                continue  # the image's configuration, which is no archive
    assert found == []


def is_key(path: str) -> bool:
    """Tell whether a file is a private key, or lets somebody in, by its name."""
    name = path.rsplit("/", 1)[-1]
    return bool(re.fullmatch(r"ssh_host_\w+_key(\.pub)?|id_(rsa|dsa|ecdsa|ed25519)|authorized_keys|credentials|\.netrc", name))


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("user", ["root", "hvdsm"])
def test_mpi_between_two_hosts(engine: Engine, name: str, user: str, tmp_path: Path) -> None:
    program = {"sagemaker_program": "train.py", "sagemaker_mpi_num_of_processes_per_host": 2}
    hosts = run_job(engine, tag(name), tmp_path, REPOSITORY / "examples" / "allreduce_mpi4py", user=user, **program)
    assert set(hosts.codes.values()) == {0}, hosts.everything()
    said = hosts.log("algo-1")
    for rank, host in enumerate(("algo-1", "algo-1", "algo-2", "algo-2")):
        assert f"rank {rank} of 4 on {host}" in said, hosts.everything()


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) & set(IMAGES)))
def test_horovod_between_two_hosts(engine: Engine, name: str, digits: Path, tmp_path: Path) -> None:
    hosts = run_job(
        engine,
        tag(name),
        tmp_path,
        REPOSITORY / "examples" / EXAMPLES[name],
        channels={"train": digits},
        sagemaker_program="train.py",
        sagemaker_mpi_num_of_processes_per_host=1,
        epochs=4,
        **{"check-replicas": "true"},
    )
    assert set(hosts.codes.values()) == {0}, hosts.everything()
    said = hosts.log("algo-1")
    assert "rank 1 of 2 on algo-2" in said, hosts.everything()
    accuracy = re.search(r"[Tt]est accuracy: ([\d.]+)", said)
    assert accuracy is not None, hosts.everything()
    assert float(accuracy.group(1)) > 0.8
    assert list((tmp_path / "algo-1" / "model").iterdir())


@pytest.mark.parametrize("name", IMAGES)
def test_a_failing_rank_ends_both_hosts_with_its_code(engine: Engine, name: str, tmp_path: Path) -> None:
    hosts = run_job(
        engine,
        tag(name),
        tmp_path,
        REPOSITORY / "examples" / "allreduce_mpi4py",
        sagemaker_program="train.py",
        sagemaker_mpi_num_of_processes_per_host=1,
        **{"fail-rank": 1},
    )
    assert set(hosts.codes.values()) == {1}, hosts.everything()
    assert "was asked to fail" in (tmp_path / "algo-1" / "output" / "failure").read_text()
