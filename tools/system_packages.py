"""Debian and Ubuntu packages that the emulated hosts and the Horovod build need, and their installation.

What is missing is found by looking for the thing itself (a program, a header), not for a package's name: then an interpreter or
sshd from elsewhere counts too, and nothing is installed twice. Run as a program, with root's rights, it installs the packages
named on its command line::

    sudo python3 tools/system_packages.py openssh-server g++
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

import steps

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
POLICY = "/usr/sbin/policy-rc.d"
# Where podman looks for its own programs.
HELPERS = ("/usr/lib/podman", "/usr/libexec/podman", "/usr/local/lib/podman", "/usr/local/libexec/podman")


class Need(NamedTuple):
    """A package that is missing on this machine, and what it is needed for."""

    package: str
    reason: str


def find_program(name: str) -> Optional[str]:
    """Return the path of a program, also one in the system directories that an ordinary user's PATH leaves out."""
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":" + SBIN)


def missing_for_rehearsal(python: str) -> List[Need]:
    """Return what is missing for emulated hosts and a virtual environment.

    Args:
        python: the interpreter that the virtual environment will be made with.
    """
    needs = []
    if not find_program("sshd"):
        needs.append(Need("openssh-server", "every emulated host runs a real sshd (no service is started on this machine)"))
    if not find_program("ssh") or not find_program("ssh-keygen"):
        needs.append(Need("openssh-client", "mpirun reaches the hosts by ssh, with keys made for each job"))
    if steps.output_of([python, "-c", "import ensurepip, venv"]) is None:
        needs.append(Need(f"python{version_of(python)}-venv", "Python packages go into .venv, not into the system"))
    return needs


def missing_for_build(python: str) -> List[Need]:
    """Return what is missing to compile Horovod; CMake is not among it, since pip can bring that."""
    needs = []
    if not find_program("g++"):
        needs.append(Need("g++", "Horovod is published as source only and is compiled here, once"))
    if not find_program("make"):
        needs.append(Need("make", "drives the compilation of Horovod"))
    header = "import os, sysconfig; assert os.path.exists(os.path.join(sysconfig.get_paths()['include'], 'Python.h'))"
    if steps.output_of([python, "-c", header]) is None:
        needs.append(Need(f"python{version_of(python)}-dev", "Python's C headers, for the same compilation"))
    return needs


def missing_for_images(*, as_root: bool) -> List[Need]:
    """Return what podman takes on Debian 12 and later to build images and to run containers that find each other by name.

    Args:
        as_root: whether root will run it; others need more.
    """
    needs = [] if find_program("podman") else [Need("podman", "builds images and runs containers, without a daemon")]
    if not any(find_program(name) for name in ("crun", "runc")):
        needs.append(Need("crun", "starts podman's containers"))
    if not any(os.path.exists(f"{place}/netavark") for place in HELPERS):
        needs.append(Need("netavark", "the network of a job's containers"))
    if not any(os.path.exists(f"{place}/aardvark-dns") for place in HELPERS):
        needs.append(Need("aardvark-dns", "hosts find each other by name"))
    if not find_program("iptables"):
        # Debian's netavark calls it and does not depend on it.
        needs.append(Need("iptables", "what netavark makes a network's rules by"))
    if not as_root and not find_program("fuse-overlayfs"):
        needs.append(Need("fuse-overlayfs", "layers of images, for those who are not root"))
    if not as_root and not find_program("newuidmap"):
        needs.append(Need("uidmap", "users of containers, for those who are not root"))
    return needs


def missing_for_check() -> List[Need]:
    """Return what a test of the images' scripts calls: without it, that test is skipped and says so."""
    return [
        Need(name, "a test has a signature made and compared, as an image does")
        for name in ("gpg", "gpgv")
        if not find_program(name)
    ]


def version_of(python: str) -> str:
    """Return an interpreter's version as ``"3.11"``, or an empty string when it does not run."""
    return steps.output_of([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]) or ""


def install(needs: Sequence[Need], log_path: str) -> bool:
    """Install packages with apt-get, as root or through sudo, saying which and why.

    Args:
        needs: the packages; nothing is done, and no rights are asked for, when there are none.
        log_path: the file for apt-get's output.

    Returns:
        Whether all of them are installed now; False, after saying what to ask an administrator for, when the rights are lacking.

    Raises:
        steps.StepFailed: apt-get failed.
    """
    if not needs:
        return True
    packages = [need.package for need in needs]
    if find_program("apt-get") is None:
        say_by_hand(needs, "this is not Debian or Ubuntu, so the names may differ")
        return False
    prefix = _root_prefix()
    if prefix is None:
        say_by_hand(needs, f"ask an administrator for: apt-get install {' '.join(packages)}")
        return False
    with steps.step(f"Installing system packages: {' '.join(packages)}", "about 10 s for each"):
        for need in needs:
            steps.say(f"    {need.package}: {need.reason}")
        steps.run_logged([*prefix, sys.executable, os.path.abspath(__file__), *packages], log_path)
    return True


def say_by_hand(needs: Sequence[Need], what: str) -> None:
    """Say what is missing and what a person can do about it."""
    steps.say("    missing on this machine:")
    for need in needs:
        steps.say(f"      {need.package}: {need.reason}")
    steps.say(f"    neither root nor sudo is at hand, or there is no apt-get; {what}")


def _root_prefix() -> Optional[List[str]]:
    """Return the words that give a command root's rights, or None; may ask for a password, but only on a terminal."""
    if os.geteuid() == 0:
        return []
    sudo = find_program("sudo")
    if sudo is None:
        return None
    if steps.output_of([sudo, "-n", "true"]) is not None:
        return [sudo, "-n"]
    if sys.stdin.isatty():
        steps.say("    sudo is needed for system packages and may ask for your password")
        if subprocess.run([sudo, "-v"], check=False).returncode == 0:
            return [sudo, "-n"]
    return None


@contextlib.contextmanager
def _services_stay_off() -> Iterator[None]:
    """Keep package scripts from starting services, by Debian's policy-rc.d (exit code 101 means: not now).

    The file forbids only while this process lives, so that it does no harm should it ever be left behind.
    """
    if os.path.exists(POLICY) or not os.path.isdir(os.path.dirname(POLICY)):
        yield
        return
    forbid = f"[ -d /proc/{os.getpid()} ] && exit 101"
    text = f"#!/bin/sh\n# written while packages are installed; without effect afterwards\n{forbid}\nexit 0\n"
    with open(POLICY, "w", encoding="ascii") as policy:
        policy.write(text)
    os.chmod(POLICY, 0o755)
    try:
        yield
    finally:
        os.unlink(POLICY)


def install_as_root(packages: Sequence[str]) -> int:
    """Install packages with apt-get; a system sshd that comes with them is neither started nor enabled."""
    environment: Dict[str, str] = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    apt = ["apt-get", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
    had_sshd = find_program("sshd") is not None
    with _services_stay_off():
        # An update that fails (one dead mirror among several) need not keep the packages from being found.
        subprocess.run([*apt, "update"], env=environment, check=False)
        code = subprocess.run([*apt, "--no-install-recommends", "install", *packages], env=environment, check=False).returncode
    if code == 0 and not had_sshd and find_program("systemctl"):
        # The rehearsal needs the program only: leave the machine without a new listening service after its next start too.
        for unit in ("ssh.service", "ssh.socket"):
            subprocess.run(["systemctl", "--quiet", "disable", unit], env=environment, check=False)
    return code


if __name__ == "__main__":
    steps.stream_ends_on_sigterm()
    sys.exit(install_as_root(sys.argv[1:]))
