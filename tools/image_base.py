"""A base image made of Debian's packages, for machines that reach a Debian mirror and no registry of images."""

from __future__ import annotations

import os
import shutil
import tempfile

import environment
import image_engines
import steps
import system_packages

MADE = "hvdsm-debian:bookworm-slim"
RELEASE = "bookworm"
# As in Debian's images: apt keeps neither packages nor its index of them.
APT = 'APT::Keep-Downloaded-Packages "false";\nDir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
APT += 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };\n'
# What Debian's slim images leave out as well, and what apt downloads anew.
LEFT_OUT = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
)


def resolve(engine: str, base: str) -> str:
    """Return an image to build on: the base itself if it is here or can be pulled, else one made of Debian's packages.

    Args:
        engine: of ``image_engines.ENGINES``.
        base: the name in containers/images.json, or the one asked for.

    Raises:
        steps.StepFailed: it cannot be had, and is not Debian's, or Debian's packages cannot be had either.
    """
    if image_engines.have(engine, base):
        return base
    with steps.step(f"Pulling {base}", "about 10 s"):
        if image_engines.pull(engine, base):
            return base
        steps.say(f"    {engine} cannot pull it here")
    if base != f"debian:{RELEASE}-slim":
        raise steps.StepFailed(f"{base} is not on this machine and cannot be pulled; name another by --base")
    if not image_engines.have(engine, MADE):
        make(engine)
    steps.say(f"    building on {MADE}, made of the same packages")
    return MADE


def make(engine: str) -> None:
    """Make the base with debootstrap.

    Raises:
        steps.StepFailed: debootstrap is missing and cannot be installed, needs root, or fails.
    """
    if os.geteuid() != 0:
        raise steps.StepFailed("a base of Debian's packages is made as root only; pull one, or name another by --base")
    log = environment.log_path("image-base")
    if not system_packages.find_program("debootstrap"):
        need = system_packages.Need("debootstrap", "makes the base image, since none can be pulled")
        if not system_packages.install([need], log):
            raise steps.StepFailed("without debootstrap there is no base image; name one by --base")
    scratch = tempfile.mkdtemp(prefix="hvdsm-base-")
    try:
        root, archive = os.path.join(scratch, "root"), os.path.join(scratch, "base.tar")
        with steps.step(f"Making {MADE} of Debian's packages", "about 40 s"):
            steps.run_logged(["debootstrap", "--variant=minbase", "--include=ca-certificates", RELEASE, root], log)
            for name in LEFT_OUT:
                _empty(os.path.join(root, name))
            with open(os.path.join(root, "etc/apt/apt.conf.d/hvdsm-clean"), "w", encoding="ascii") as settings:
                settings.write(APT)
            steps.run_logged(["tar", "--directory", root, "--one-file-system", "--create", "--file", archive, "."], log)
            for command in image_engines.import_commands(engine, archive, MADE):
                steps.run_logged(command, log)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _empty(directory: str) -> None:
    """Remove what is in a directory, licences of packages apart, and keep the directory."""
    for folder, _, names in os.walk(directory, topdown=False):
        for name in names:
            if name != "copyright":
                os.unlink(os.path.join(folder, name))
        if folder != directory and not os.listdir(folder):
            os.rmdir(folder)
