"""Build the images of containers/ and try them: ``make images``, ``make test-images``.

The first of docker, podman and buildah that works here builds, one image after the other; what has not changed is taken from
earlier builds. What an image is built from is in containers/images.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
import time
from typing import Any, Dict, List, Sequence, Set

import environment
import image_base
import image_engines
import image_tests
import steps
import system_packages

TABLE = os.path.join(steps.REPOSITORY, "containers", "images.json")
# AWS's own account and a region of it, where the Deep Learning Containers are.
REGISTRY = {"ACCOUNT": "763104351884", "REGION": "us-east-1"}
ABOUT = {"pytorch": "about 7 min", "tensorflow": "about 8 min", "graph": "about 3 min", "own": "about 40 s"}


def table() -> Dict[str, Dict[str, Any]]:
    """Return image → its Dockerfile and the build arguments of each device."""
    with open(TABLE, encoding="utf-8") as file:
        read: Dict[str, Dict[str, Any]] = json.load(file)
    return read


def tag_of(name: str, device: str) -> str:
    """Return what an image is called: ``hvdsm-pytorch:sm-cpu``."""
    return f"hvdsm-{name}:sm-{device}"


def in_order(names: Sequence[str], device: str) -> List[str]:
    """Return the images with those before them that they are built on, each once."""
    images, tags = table(), {tag_of(name, device): name for name in table()}
    ordered: List[str] = []

    def add(name: str) -> None:
        below = tags.get(images[name][device]["BASE"])
        if below:
            add(below)
        if name not in ordered:
            ordered.append(name)

    for name in names:
        add(name)
    return ordered


def arguments_of(name: str, device: str, values: Dict[str, str]) -> Dict[str, str]:
    """Return the build arguments of an image.

    Args:
        name: of the image.
        device: ``cpu`` or ``gpu``.
        values: what stands for ``${ACCOUNT}`` and ``${REGION}``.

    Raises:
        steps.StepFailed: the table names another variable.
    """
    arguments = {"DEVICE": device, "HVDSM_VERSION": version()}
    for key, text in table()[name][device].items():
        unknown = set(re.findall(r"\$\{(\w+)\}", text)) - set(values)
        if unknown:
            raise steps.StepFailed(f"{TABLE}: {name}.{device}.{key} names {', '.join(sorted(unknown))}, which is not known")
        arguments[key] = re.sub(r"\$\{(\w+)\}", lambda match: values[match.group(1)], text)
    return arguments


def declared(file: str) -> Set[str]:
    """Return the build arguments that a Dockerfile declares."""
    with open(os.path.join(steps.REPOSITORY, file), encoding="utf-8") as lines:
        return set(re.findall(r"^ARG (\w+)", lines.read(), flags=re.MULTILINE))


def version() -> str:
    """Return hvdsm's version, which is not installed here, perhaps."""
    with open(os.path.join(steps.REPOSITORY, "hvdsm", "version.py"), encoding="utf-8") as file:
        match = re.search(r'__version__ = "(.+)"', file.read())
    if not match:
        raise steps.StepFailed("hvdsm/version.py names no version")
    return match.group(1)


def pairs(words: Sequence[str]) -> Dict[str, str]:
    """Return NAME=VALUE words as a dictionary.

    Raises:
        steps.StepFailed: one has no ``=``.
    """
    wrong = [word for word in words if "=" not in word]
    if wrong:
        raise steps.StepFailed(f"--build-arg takes NAME=VALUE, not {wrong[0]}")
    return dict(word.split("=", 1) for word in words)


def planned(asked: argparse.Namespace, names: Sequence[str]) -> List[image_engines.Build]:
    """Return the builds, in their order; nothing is fetched or made.

    Args:
        asked: the command line.
        names: images, those that others are built on first.
    """
    volumes = image_engines.volumes_of(asked.wheels, asked.certificates)
    builds = []
    for name in names:
        arguments = arguments_of(name, asked.device, {"ACCOUNT": asked.account, "REGION": asked.region})
        if asked.wheels:
            arguments["PIP_FIND_LINKS"] = image_engines.WHEELS
        if asked.base and arguments["BASE"] not in {tag_of(other, asked.device) for other in table()}:
            arguments["BASE"] = asked.base
        # An engine warns of arguments that a Dockerfile does not know.
        known = declared(table()[name]["file"])
        arguments = {key: value for key, value in arguments.items() if key in known}
        arguments.update(pairs(asked.build_arg))
        builds.append(image_engines.Build(table()[name]["file"], tag_of(name, asked.device), arguments, volumes))
    return builds


def prepared(engine: str, build: image_engines.Build, made: Sequence[str], indexes: Sequence[str]) -> image_engines.Build:
    """Return a build with a base that is there, and with the index for CPU builds of torch where it takes one."""
    arguments = dict(build.arguments)
    if arguments["BASE"] not in made:
        for name in [name for name in ("BASE", "BUILD_BASE") if name in arguments]:
            arguments[name] = image_base.resolve(engine, arguments[name])
    if indexes and arguments["DEVICE"] == "cpu" and "TORCH_INDEX" in declared(build.file):
        arguments.setdefault("TORCH_INDEX", indexes[0])
    return image_engines.Build(build.file, build.tag, arguments, build.volumes)


def make(asked: argparse.Namespace) -> int:
    """Build what was asked for and say how large it came out."""
    engine = image_engines.find(asked.engine)
    builds = planned(asked, in_order(asked.images, asked.device))
    builds += image_tests.own_with_horovod(builds) if asked.test else []
    if asked.dry_run:
        for build in builds:
            steps.say(shlex.join(image_engines.build_command(engine, build)))
        return 0
    indexes = environment.torch_indexes() if any("TORCH_INDEX" in declared(build.file) for build in builds) else []
    done: Dict[str, float] = {}
    for build in builds:
        name = build.tag.split(":")[0].replace("hvdsm-", "", 1)
        ready = prepared(engine, build, list(done), indexes)
        start = time.monotonic()
        with steps.step(f"Building {build.tag} with {engine}", ABOUT.get(name, "")):
            log = environment.log_path("image-" + re.sub(r"\W+", "-", build.tag))
            steps.say(f"    log: {log}")
            command = image_engines.build_command(engine, ready)
            steps.run_logged(command, log, env=image_engines.build_environment(os.environ))
        done[build.tag] = time.monotonic() - start
    for tag, seconds in done.items():
        steps.say(f"{tag}: {image_engines.size(engine, tag)}, {seconds:.0f} s")
    return 0


def prepare_engine(asked: str) -> None:
    """Install podman where no engine works and none was asked for; what is left to do without rights is said."""
    if not asked and not image_engines.found():
        needs = system_packages.missing_for_images(as_root=os.geteuid() == 0)
        system_packages.install(needs, environment.log_path("image-engine"))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(description="Build the images of containers/, all of them or those named.")
    made.add_argument("images", nargs="*", metavar="IMAGE", help=f"of {', '.join(sorted(table()))}; all when none is named")
    made.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="what it is built for (%(default)s)")
    made.add_argument("--engine", choices=image_engines.ENGINES, default="", help="the first that works here when not given")
    made.add_argument(
        "--base", default="", metavar="IMAGE", help="the image to build on, in place of that of containers/images.json"
    )
    made.add_argument("--account", default=REGISTRY["ACCOUNT"], help="of the Deep Learning Containers' registry (%(default)s)")
    made.add_argument("--region", default=REGISTRY["REGION"], help="of that registry (%(default)s)")
    made.add_argument(
        "--build-arg", action="append", default=[], metavar="NAME=VALUE", help="as of docker build; may be repeated"
    )
    made.add_argument(
        "--wheels",
        metavar="DIR",
        help="wheels that pip may take in the build (podman, buildah); a directory of PIP_FIND_LINKS when not given",
    )
    made.add_argument(
        "--certificates",
        metavar="FILE",
        help="what apt and pip trust in the build (podman, buildah); the file of PIP_CERT or SSL_CERT_FILE when not given",
    )
    made.add_argument("--dry-run", action="store_true", help="print the commands and do nothing")
    made.add_argument("--test", action="store_true", help="then run the images; needs `make setup`")
    return made


def main(argv: List[str]) -> int:
    """Build, and test if asked for."""
    asked, further = parser().parse_known_args(argv)
    unknown = sorted(set(asked.images) - set(table()))
    if unknown or (further and not asked.test):
        raise steps.StepFailed(f"{(unknown or further)[0]} is no image; there are {', '.join(sorted(table()))}")
    if asked.test and asked.device == "gpu":
        raise steps.StepFailed("--test runs the images for the CPU")
    asked.images = asked.images or sorted(table())
    if asked.test:
        asked.images = image_tests.with_below(asked.images)
    if asked.test and not asked.dry_run:
        asked.engine = image_tests.runner(asked.engine)
        image_tests.install_compose(asked.engine)
    elif not asked.dry_run:
        prepare_engine(asked.engine)
    docker = image_engines.find(asked.engine) == "docker"
    if asked.wheels is None:
        asked.wheels = "" if docker else image_engines.default_wheels(os.environ)
    if asked.certificates is None:
        asked.certificates = "" if docker else image_engines.default_certificates(os.environ)
    code = make(asked)
    if code or asked.dry_run or not asked.test:
        return code
    return image_tests.run(asked.engine, in_order(asked.images, asked.device), further)


if __name__ == "__main__":
    os.chdir(steps.REPOSITORY)
    sys.exit(steps.main_guard(main, sys.argv[1:]))
