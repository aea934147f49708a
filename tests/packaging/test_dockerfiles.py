"""The Dockerfiles of containers/, what they are built with, and the rules that they keep."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Dict, List, Sequence, Set

import dockerfile_rules
import environment
import images
import pytest
import shell_rules
from packaging_support import REPOSITORY

CONTAINERS = REPOSITORY / "containers"
DOCKERFILES = sorted(CONTAINERS.glob("*/Dockerfile"))
SCRIPTS = sorted(CONTAINERS.glob("*/*.sh"))
DEVICES = ("cpu", "gpu")

GOOD = """
ARG BASE=debian:bookworm-slim
FROM ${BASE} AS build
ARG VERSION=1
RUN pip install --no-cache-dir "a==${VERSION}"
FROM ${BASE}
ARG BASE
LABEL org.opencontainers.image.title="t" org.opencontainers.image.description="d" org.opencontainers.image.version="1" \\
      org.opencontainers.image.licenses="l" org.opencontainers.image.base.name="${BASE}"
COPY --from=build /a /a
RUN apt-get update && apt-get install -y --no-install-recommends openssh-server \\
 && rm -rf /var/lib/apt/lists/* && rm -f /etc/ssh/ssh_host_*_key
RUN check.sh a
WORKDIR /opt
ARG RUN_AS=root
USER ${RUN_AS}
HEALTHCHECK --interval=5m CMD ["hvdsm-train", "--doctor", "--quick"]
CMD ["train"]
"""

# What is put in place of what, and the rule that must see it.
SPOILT = [
    ("debian:bookworm-slim", "debian", "unpinned_base"),
    ("debian:bookworm-slim", "debian:latest", "unpinned_base"),
    ("ARG BASE=debian:bookworm-slim", "ARG BASE", "unpinned_base"),
    ("FROM ${BASE}\n", "FROM ${BASE} AS build\n", "named_twice"),
    ("COPY --from=build", "COPY --from=builder", "unknown_stage"),
    ("COPY --from=build /a /a", "ADD https://example.com/a /a", "forbidden_word"),
    ("WORKDIR /opt", "MAINTAINER me", "forbidden_word"),
    ("WORKDIR /opt", "WORKDIR opt", "relative_workdir"),
    ("RUN check.sh a", "RUN cd /a && check.sh a", "changed_directory"),
    ('CMD ["train"]', "CMD train", "shell_form"),
    ("USER ${RUN_AS}", "USER root", "no_user"),
    ("ARG RUN_AS=root\nUSER ${RUN_AS}\n", "", "no_user"),
    ("RUN check.sh a", "RUN check.sh a | tee log", "pipe_in_run"),
    ("ARG VERSION=1\n", "", "undeclared"),
    ("ARG BASE\nLABEL", "LABEL", "undeclared"),
    ("ARG RUN_AS=root", "ARG RUN_AS=root\nARG OTHER=1", "unused"),
    ("ARG RUN_AS=root", "ARG API_TOKEN=1\nARG RUN_AS=root", "secret_argument"),
    ("WORKDIR /opt", "COPY . /opt", "whole_context"),
    ("image.licenses", "image.licence", "missing_label"),
    ("RUN check.sh a\n", "", "unchecked"),
    ("HEALTHCHECK --interval=5m", "LABEL a=b", "no_health"),
    ('CMD ["hvdsm-train", "--doctor", "--quick"]', "CMD hvdsm-train --doctor --quick", "no_health"),
    ('CMD ["hvdsm-train", "--doctor", "--quick"]', "NONE", "no_health"),
    ("apt-get install -y", "apt install -y", "apt_for_people"),
    ("install -y", "install", "apt_asks"),
    ("--no-install-recommends ", "", "apt_recommends"),
    ("rm -rf /var/lib/apt/lists/* && ", "", "apt_lists_stay"),
    ("apt-get update && ", "", "apt_without_update"),
    ("apt-get update && ", "apt-get update && apt-get upgrade -y && ", "apt_upgrade"),
    (" && rm -f /etc/ssh/ssh_host_*_key", "", "host_keys_stay"),
    ("--no-cache-dir ", "", "pip_cache"),
    ('"a==${VERSION}"', "a", "pip_unpinned"),
    ('"a==${VERSION}"', "--requirement a.txt", "pip_unpinned"),
    ("RUN check.sh a", "RUN sudo check.sh a", "sudo"),
    ("RUN check.sh a", "RUN curl --fail -O https://example.com/a && check.sh a", "download"),
    ("RUN check.sh a", "RUN curl -O https://example.com/a && sha256sum --check sums && check.sh a", "download"),
    ("RUN check.sh a", "RUN chmod -R 777 /opt && check.sh a", "wide_open"),
    ("RUN check.sh a", "RUN ssh-keygen -A && check.sh a", "password"),
]


def test_a_good_file_has_no_problem() -> None:
    assert dockerfile_rules.problems(GOOD) == []


@pytest.mark.parametrize(("what", "instead", "rule"), SPOILT, ids=[f"{rule}-{n}" for n, (_, _, rule) in enumerate(SPOILT)])
def test_a_rule_sees_what_breaks_it(what: str, instead: str, rule: str) -> None:
    assert what in GOOD
    assert rule in {problem.split(":")[0].split()[-1] for problem in dockerfile_rules.problems(GOOD.replace(what, instead))}


def test_each_rule_has_a_sample_that_breaks_it() -> None:
    rules = {rule.__name__ for rule in (*dockerfile_rules.RULES, *shell_rules.RULES)}
    # One stage alone is not made by replacing a few words.
    assert rules - {rule for _, _, rule in SPOILT} == {"single_stage"}
    assert "single_stage" in dockerfile_rules.problems("FROM a:1")[0]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_a_dockerfile_keeps_the_rules(path: Path) -> None:
    assert dockerfile_rules.problems(path.read_text()) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_keeps_the_rules(path: Path) -> None:
    assert shell_rules.script_problems(path.read_text()) == []
    assert os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", str(path)], capture_output=True, check=False).stderr == b""


def test_the_table_has_every_dockerfile() -> None:
    assert {entry["file"] for entry in images.table().values()} == {str(path.relative_to(REPOSITORY)) for path in DOCKERFILES}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", sorted(images.table()))
def test_a_build_has_pinned_bases_and_arguments_that_are_declared(name: str, device: str) -> None:
    entry = images.table()[name]
    declared = images.declared(entry["file"])
    assert set(entry[device]) <= declared
    assert {"BASE", "DEVICE", "HVDSM_VERSION", "RUN_AS"} <= declared
    arguments = images.arguments_of(name, device, images.REGISTRY)
    for key in {"BASE", "BUILD_BASE"} & set(arguments):
        assert dockerfile_rules.is_pinned(arguments[key])
        assert "$" not in arguments[key]


def defaults(path: Path, name: str) -> Set[str]:
    """The defaults of an argument in a Dockerfile."""
    return set(re.findall(rf"^ARG {name}=(.*)$", path.read_text(), flags=re.MULTILINE))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_versions_are_those_of_the_project(path: Path) -> None:
    assert defaults(path, "HVDSM_VERSION") == {images.version()}
    assert defaults(path, "HOROVOD_VERSION") <= {environment.pins()["horovod"]}
    assert defaults(path, "DEVICE") == {"cpu"}


def test_stages_and_images_install_the_same_efa() -> None:
    assert len(set().union(*(defaults(path, "EFA_VERSION") for path in DOCKERFILES))) == 1


def pinned(path: Path) -> Dict[str, str]:
    """Package → version of a file of constraints."""
    lines = [line for line in path.read_text().splitlines() if "==" in line and not line.startswith("#")]
    return {name.lower().replace("_", "-"): value for name, value in (line.split("==") for line in lines)}


def required(path: Path) -> List[str]:
    """Packages of a requirements file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [re.split(r"[\[<>=!; ]", line)[0].lower().replace("_", "-") for line in lines]


@pytest.mark.parametrize("name", ["pytorch", "tensorflow"])
def test_what_pip_installs_is_pinned_to_the_versions_of_the_project(name: str) -> None:
    constraints = pinned(CONTAINERS / name / "constraints.txt")
    for path in (CONTAINERS / name).glob("requirements*.txt"):
        assert set(required(path)) <= set(constraints), path
    ours = environment.pins()
    assert {package: constraints[package] for package in set(ours) & set(constraints)} == {
        package: version for package, version in ours.items() if package in constraints
    }


def test_graph_pins_agree_with_the_image_below() -> None:
    below, above = pinned(CONTAINERS / "pytorch" / "constraints.txt"), pinned(CONTAINERS / "graph" / "constraints-cpu.txt")
    assert {name: (below[name], above[name]) for name in set(below) & set(above) if below[name] != above[name]} == {}


@pytest.mark.parametrize(
    ("device", "wheels", "links", "code"),
    [("gpu", "", "", 1), ("gpu", "https://wheels.example.com/repo.html", "", 0), ("gpu", "", "/wheels", 0), ("cpu", "", "", 0)],
)
def test_graphstorm_for_gpu_asks_first_where_dgl_is(device: str, wheels: str, links: str, code: int) -> None:
    # The package index has no DGL for CUDA, and DGL 2 imports a part of torchdata that 0.10 has no more.
    (step,) = (
        instruction.value
        for instruction in dockerfile_rules.parse((CONTAINERS / "graph" / "Dockerfile").read_text()).all()
        if instruction.word == "RUN" and "DGL_WHEELS=URL" in instruction.value
    )
    given = {"DEVICE": device, "DGL_WHEELS": wheels, "PIP_FIND_LINKS": links, "DGL_VERSION": "2.3.0"}
    done = subprocess.run(["bash", "-euc", step], env={**os.environ, **given}, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert (given["DGL_VERSION"] in done.stderr) == bool(code)
    assert "torchdata<0.10" in (CONTAINERS / "graph" / "constraints-gpu.txt").read_text().splitlines()


@pytest.mark.parametrize("source", [("train_entry.py", "infer_entry.py", "partition_entry.py"), ()])
def test_graphstorms_entry_scripts_stand_where_compose_files_run_them(tmp_path: Path, source: Sequence[str]) -> None:
    (step,) = (
        instruction.value
        for instruction in dockerfile_rules.parse((CONTAINERS / "graph" / "Dockerfile").read_text()).all()
        if instruction.word == "RUN" and "_entry.py" in instruction.value
    )
    code, copied = tmp_path / "code", tmp_path / "graph storm"
    code.mkdir()
    copied.mkdir()
    for name in (*source, "utils.py", "realtime/node_prediction_entry.py") if source else ():
        path = copied / "sagemaker" / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    there = step.replace("/usr/local/lib/graphstorm", '"$1"', 1).replace("/opt/ml/code", '"$2"')
    subprocess.run(["bash", "-euc", there, "-", str(copied), str(code)], check=True)
    assert sorted(path.name for path in code.iterdir()) == sorted(source)


def test_horovod_is_built_in_one_place() -> None:
    building = [path for path in (*DOCKERFILES, *SCRIPTS) if "HOROVOD_WITH_MPI" in path.read_text()]
    assert building == [CONTAINERS / "horovod" / "build.sh"]
    calling = [path.parent.name for path in DOCKERFILES if "/build/horovod/build.sh" in path.read_text()]
    assert calling == ["pytorch", "tensorflow"]


def test_no_registry_is_named(repository_files: List[str]) -> None:
    hosts = re.compile(r"(?:docker|quay|ghcr|nvcr|gcr)\.io|public\.ecr|\d{12}\.dkr\.ecr\.[\w-]+\.amazonaws")
    for name in repository_files:
        if name.startswith(("containers/", "tools/image")) and not name.endswith(".md"):
            assert hosts.search((REPOSITORY / name).read_text()) is None, name


def test_the_context_holds_what_the_dockerfiles_copy_and_no_more() -> None:
    lines = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert all((REPOSITORY / path).exists() for path in allowed)
    copied = {
        dockerfile_rules.filled(source, {"SOURCE": "containers/graph/source"}).split("/")[0]
        for path in DOCKERFILES
        for instruction in dockerfile_rules.parse(path.read_text()).all()
        if instruction.word == "COPY" and "from" not in instruction.flags
        for source in instruction.value.split()[:-1]
    }
    assert copied == {path.split("/")[0] for path in allowed if not path.startswith("**")}
    assert not {".git", ".venv", "tests", "docs", "examples"} & allowed


def test_the_table_is_what_the_readme_says() -> None:
    text = (CONTAINERS / "README.md").read_text()
    for name, entry in images.table().items():
        assert f"| `{name}` |" in text
        for arguments in (entry["cpu"], entry["gpu"]):
            assert all(f"`{key}`" in text for key in arguments), name
    assert json.loads((CONTAINERS / "images.json").read_text()) == images.table()
