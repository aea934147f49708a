"""Run the tests of the images: ``make test-images``."""

from __future__ import annotations

import os
import time
from typing import List, Sequence

import environment
import image_engines
import steps
import system_packages

TESTS = "tests/images"
# What makes networks and containers of a Compose file for podman; docker's Compose comes with `make setup`.
PODMAN_COMPOSE = "1.6.0"
# One's own image has no framework, so no Horovod: for the tests it is built once more on an image that has both, as in practice.
OWN, BELOW = "own", "pytorch"
OWN_TAG = "hvdsm-own:sm-cpu-horovod"
OWN_PACKAGES = "openssh-client openssh-server"


def with_below(names: Sequence[str]) -> List[str]:
    """Return the images that are needed to test some: one's own is also tried on another one."""
    return [*names, BELOW] if OWN in names and BELOW not in names else list(names)


def own_with_horovod(builds: Sequence[image_engines.Build]) -> List[image_engines.Build]:
    """Return the further build of one's own image, where it is among the builds.

    Args:
        builds: those that were asked for, and the one below.
    """
    own = next((build for build in builds if build.tag.startswith(f"hvdsm-{OWN}:")), None)
    below = next((build.tag for build in builds if build.tag.startswith(f"hvdsm-{BELOW}:")), None)
    if own is None or below is None:
        return []
    arguments = {**own.arguments, "BASE": below, "PACKAGES": OWN_PACKAGES}
    return [image_engines.Build(own.file, OWN_TAG, arguments, own.volumes)]


def runner(asked: str) -> str:
    """Return the engine that builds and runs containers; podman is installed where there is none.

    Args:
        asked: the engine that was asked for, or an empty string.

    Raises:
        steps.StepFailed: there is none, and it cannot be installed; or buildah was asked for, which runs none.
    """
    if asked == "buildah":
        raise steps.StepFailed("buildah runs no containers: test with --engine podman or docker")
    if asked == "docker" or image_engines.found(asked) == "docker":
        return image_engines.find("docker")
    needs = system_packages.missing_for_images(as_root=os.geteuid() == 0)
    if not system_packages.find_program("buildah"):
        needs.append(system_packages.Need("buildah", "hvdsm image is tried with it, too"))
    if not system_packages.install(needs, environment.log_path("image-engine")) and not image_engines.works("podman"):
        raise steps.StepFailed(f"the tests run containers, by podman or docker; on Debian: {image_engines.INSTALL}")
    return image_engines.find("podman")


def install_compose(engine: str) -> None:
    """Install podman-compose into .venv, where it is needed and not there."""
    if engine != "podman" or environment.installed_version("podman-compose") == PODMAN_COMPOSE:
        return
    with steps.step("Installing podman-compose into .venv", "about 3 s"):
        environment.pip_install("podman-compose", [f"podman-compose=={PODMAN_COMPOSE}"])


def run(engine: str, names: Sequence[str], further: Sequence[str]) -> int:
    """Run the tests of some images; further arguments go to pytest."""
    start = time.monotonic()
    steps.say(f"==> {TESTS}: what is in the images, and jobs of two hosts that are containers of them: about 10 min")
    code = steps.run_shown(
        [environment.PYTHON, "-m", "pytest", "--durations=5", *further, TESTS],
        env={**environment.environment_for_pip(), "HVDSM_IMAGE_ENGINE": engine, "HVDSM_IMAGES": " ".join(names)},
    )
    steps.say(f"{'all tests passed' if code == 0 else 'tests failed'} after {time.monotonic() - start:.0f} s")
    return code
