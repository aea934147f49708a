"""The engines' commands, to the letter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

import pytest

from hvdsm.aws.registry_names import registry
from hvdsm.errors import ConfigError, UsageError
from hvdsm.images.build_plan import Order, plan_build
from hvdsm.images.commands import ENGINES, BuildWords, build_command, inspect_command, list_command, probe_command
from hvdsm.images.names import image_name, in_registry
from hvdsm.images.pushing import PushPlan
from hvdsm.version import __version__

OWN = registry("888888888888", "us-east-1")


@pytest.mark.parametrize("engine", ENGINES)
def test_commands(golden: Callable[[str, str], None], engine: str) -> None:
    image = image_name(None, None, "gpu")
    full = BuildWords(
        "/my source",
        "/my source/docker/Dockerfile",
        image_name("training", "1", "cpu"),
        (
            ("DEVICE", "cpu"),
            ("FROM_ENV", None),
            ("TEXT", "it's $HOME"),
            ("HF_TOKEN", "sesame"),
            ("INDEX", "https://u:sesame@h/s"),
        ),
        (("label", "a b"),),
        "final",
        "linux/amd64",
        ("--isolation", "chroot"),
        True,
    )
    commands = [
        build_command(engine, BuildWords("/source", "/source/Dockerfile", image)),
        build_command(engine, full),
        inspect_command(engine, image),
        list_command(engine),
        list_command(engine, every=True),
        probe_command(engine),
        *PushPlan(image, in_registry(image, OWN), OWN).commands(engine),
        *PushPlan(in_registry(image, OWN), in_registry(image, OWN), OWN, login=False, extra=("--quiet",)).commands(engine),
    ]
    golden(f"image-{engine}.txt", "".join(f"{command.shown()}\n" for command in commands))
    # The value of a secret is on no command line, shown or not.
    assert "sesame" not in "".join(command.shown() for command in commands)
    assert not any("sesame" in word for command in commands for word in command.argv)


@pytest.mark.parametrize(
    ("path", "field"),
    [("/a b/it's", "/a b/it's"), ("/a,b/f", '"/a,b/f"'), ('/a"b/f', '"/a""b/f"'), ("/a\nb/f", '"/a\nb/f"'), ("/--x", "/--x")],
)
def test_a_dockerfile_of_any_name(path: str, field: str) -> None:
    """podman and buildah read --file as a line of CSV, docker as it is."""
    found = {}
    for engine in ENGINES:
        argv = build_command(engine, BuildWords("/s", path, image_name(None, None, "gpu"))).argv
        found[engine] = argv[argv.index("--file") + 1]
    assert found == {"docker": path, "podman": field, "buildah": field}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory as hvdsm's, with two recipes."""
    for name, text in (("graph", "ARG BASE\nFROM ${BASE}\nARG SOURCE=none\nARG DEVICE\n"), ("torch", "ARG BASE\nFROM ${BASE}\n")):
        (tmp_path / "containers" / name).mkdir(parents=True)
        (tmp_path / "containers" / name / "Dockerfile").write_text(text)
    cloud = "${ACCOUNT}.dkr.ecr.${REGION}.amazonaws.com/pytorch-training:2.3.0"
    index = {
        "graph": {
            "file": "containers/graph/Dockerfile",
            "cpu": {"BASE": "hvdsm-torch:sm-cpu"},
            "gpu": {"BASE": cloud, "DGL": "2.3.0"},
        },
        "torch": {"file": "containers/torch/Dockerfile", "cpu": {"BASE": "debian:bookworm-slim"}},
    }
    (tmp_path / "containers" / "images.json").write_text(json.dumps(index))
    (tmp_path / ".dockerignore").write_text("*\n!containers")
    (tmp_path / "storm" / "python" / "graphstorm").mkdir(parents=True)
    (tmp_path / "storm" / ".dockerignore").write_text("data\n")
    return tmp_path


def test_a_plan_of_a_recipe(place: Path, golden: Callable[[str, str], None]) -> None:
    plan = plan_build(Order(str(place / "storm"), "gpu", tag="v1"), {}, str(place))
    lines = "\n".join(plan.lines("docker")).replace(str(place), "PLACE").replace(f"version={__version__}", "version=VERSION")
    golden("image-build-recipe.txt", lines + "\n")
    assert plan.texts == {".dockerignore": "*\n!containers\n!source\nsource/data\n"}
    elsewhere = Order(str(place / "storm"), "gpu", base_region="eu-west-1", base_account="763104351885", login=False)
    plan = plan_build(elsewhere, {}, str(place))
    assert plan.bases == ("763104351885.dkr.ecr.eu-west-1.amazonaws.com/pytorch-training:2.3.0",) and plan.logins == ()
    plan = plan_build(Order(None, "cpu", recipe="graph"), {}, str(place))
    assert str(plan.words.image) == "graphstorm:sm-cpu" and plan.logins == () and plan.bases == ("hvdsm-torch:sm-cpu",)
    assert not any(name == "SOURCE" for name, _ in plan.words.arguments)
    assert str(plan_build(Order(None, "cpu", recipe="torch"), {}, str(place)).words.image) == "hvdsm-torch:sm-cpu"


def test_arguments_that_are_given_win(place: Path) -> None:
    order = Order(str(place / "storm"), "gpu", arguments=(("BASE", "mine:1"), ("DEVICE", None), ("TYPO", "1")))
    plan = plan_build(order, {"DEVICE": "cpu"}, str(place))
    assert dict(plan.words.arguments) == {"BASE": "mine:1", "DGL": "2.3.0", "DEVICE": None, "SOURCE": "source", "TYPO": "1"}
    assert plan.bases == ("mine:1",) and "no ARG TYPO" in plan.warnings[0]


def test_a_dockerfile_of_ones_own(place: Path) -> None:
    own = place / "My Project"
    own.mkdir()
    (own / "Dockerfile").write_text("FROM a:1\n")
    (own / "docker").mkdir()
    (own / "docker" / "Dockerfile").write_text("FROM b:1\nARG SOURCE\n")
    plan = plan_build(Order(str(own), "gpu"), {}, str(place))
    assert (str(plan.words.image), plan.words.context, plan.copies) == ("my-project:sm-gpu", str(own), ())
    assert "no ARG DEVICE" in plan.warnings[0]
    plan = plan_build(Order(str(own), "cpu", name="tutorial", file="docker/Dockerfile", context=str(place)), {}, str(place))
    assert (plan.words.dockerfile, plan.words.context) == (str(own / "docker" / "Dockerfile"), str(place))
    assert plan.bases == ("b:1",) and ("SOURCE", ".") in plan.words.arguments


def test_a_dockerfile_that_begins_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("\ufeffFROM 763104351884.dkr.ecr.us-west-2.amazonaws.com/mxnet:1\r\n")
    plan = plan_build(Order(str(tmp_path), "gpu"), {})
    assert [registry.host for registry in plan.logins] == ["763104351884.dkr.ecr.us-west-2.amazonaws.com"]


def test_what_cannot_be_planned(place: Path) -> None:
    storm = str(place / "storm")
    for order, text in (
        (Order(storm, "gpu", recipe="none"), "one of graph, torch"),
        (Order(None, "gpu", recipe="torch"), "--device cpu"),
        (Order(storm, "cpu", recipe="torch"), "takes no source"),
        (Order(storm, "cpu", recipe="graph", file="Dockerfile"), "give one of them"),
        (Order(storm, "cpu", recipe="graph", context="."), "leave out --context"),
        (Order(storm, "cpu", context="."), "no Dockerfile"),
        (Order(str(place / ".dockerignore"), "cpu"), "is no directory"),
        (Order(None, "cpu"), "source is missing"),
        # The directory above GraphStorm's source, a home directory: all of it would be staged.
        (Order(str(place), "gpu"), "no Dockerfile, and no python/graphstorm"),
        (Order(storm, "gpu", base_region="us east"), "--base-region: 'us east' is no name"),
        (Order(storm, "gpu", base_account="12"), "--base-account: '12' is no AWS account"),
    ):
        with pytest.raises((UsageError, ConfigError), match=text):
            plan_build(order, {}, str(place))
    assert "is it GraphStorm's source" in plan_build(Order(str(place), "gpu", recipe="graph"), {}, str(place)).warnings[0]
    (place / "containers" / "images.json").write_text("{")
    with pytest.raises(ConfigError, match="no index of recipes"):
        plan_build(Order(storm, "gpu"), {}, str(place))
