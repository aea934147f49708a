"""Whether an engine that answers starts containers, too: one is started of an image that is here, and removed."""

from __future__ import annotations

import os
import re
import shlex
from typing import List, Mapping, Optional, Tuple

from hvdsm.container.diagnosis import Check, failed, good, unchecked
from hvdsm.container.inquiries import Ran, Run

# Seconds that a container may take to come and go.
SECONDS = 60.0
_UNITS = {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_LIMITS = (
    """printf '[containers]\\ndefault_ulimits=["nofile=%s:%s","nproc=32768:32768"]\\n' $(ulimit -Hn) $(ulimit -Hn) """
    '> limits.conf; export CONTAINERS_CONF="$PWD/limits.conf"'
)
# What engines say on machines that are containers themselves, and what helps.
_KNOWN: Tuple[Tuple[str, str], ...] = (
    (r"setrlimit", _LIMITS),
    (r"cgroups in hybrid mode", "umount /sys/fs/cgroup/unified (as root; unshare -m sh first, to do it for one shell alone)"),
    (r"netavark: No such file", "apt-get install iptables: podman's netavark calls it"),
    (r"netavark|CNI|cni|iptables|nft", "see what the engine's network lacks: {alone}"),
    (
        r"newuidmap|subuid|subgid",
        'sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "$USER"; podman system migrate',
    ),
    (r"no space left", "make room: docker system prune, or podman system prune"),
)


def start(name: str, path: str, image: Optional[str], environ: Mapping[str, str], runs: Run) -> Check:
    """Start a container and look how it ends.

    Args:
        name: of the engine.
        path: its program.
        image: what to start it of; None is the smallest that is here.
        environ: environment.
        runs: runs a program.
    """
    chosen = image or smallest(
        runs([path, "images", "--filter", "dangling=false", "--format", "{{.ID}} {{.Size}}"], environ, 20.0)
    )
    if not chosen:
        return unchecked(
            "container", "there is no image here to start one of", "hvdsm image build own, or " + f"{name} pull IMAGE"
        )
    called = f"hvdsm-doctor-{os.getpid()}"
    # The health check of an image would want systemd of podman; the network is the default one, as made for any container.
    words = ["run", "--rm", "--pull", "never", "--no-healthcheck", "--name", called, "--entrypoint", "true", chosen]
    ran = runs([path, *words], environ, SECONDS)
    if ran.code is None:
        runs([path, "rm", "--force", called], environ, 20.0)
    alone = shlex.join([name, *words[:2], *words[7:]])
    return judge(name, chosen, ran, alone)


def smallest(listed: Ran) -> str:
    """The smallest image of a list of lines ``ID SIZE``; empty where there is none."""
    found: List[Tuple[float, str]] = []
    for line in listed.text.splitlines() if listed.ok else ():
        match = re.fullmatch(r"(\S+) ([\d.]+) ?([kKMGT]?B)", line.strip())
        if match:
            found.append((float(match.group(2)) * _UNITS[match.group(3).upper()], match.group(1)))
    return min(found)[1] if found else ""


def judge(name: str, image: str, ran: Ran, alone: str) -> Check:
    """What it means how the container ended.

    Args:
        name: of the engine.
        image: what it was started of.
        ran: how the command ended.
        alone: a command that shows the same.
    """
    told = {"image": image, "code": ran.code}
    said = [line.strip() for line in ran.text.splitlines() if line.strip() and "level=" not in line[:60]]
    why = re.sub(r"^Error: ", "", said[-1])[:300] if said else ran.last
    # An image without such a program has come as far as that.
    if ran.ok or ran.code == 127:
        return good("container", f"{name} starts containers, here one of {image}", **told)
    if re.search(r"exec format error", ran.text, re.IGNORECASE):
        return unchecked(
            "container", f"{image} is for another kind of processor", f"--image NAME, of one for this: {alone}", **told
        )
    if re.search(r"no such image|image not known|unable to find image|No such object", ran.text, re.IGNORECASE):
        return unchecked("container", f"{image} is not here", f"{name} pull {image}", **told)
    help_ = next((words for known, words in _KNOWN if re.search(known, ran.text)), "see it alone: {alone}")
    return failed("container", f"{name} answers, but starts no container: {why}", help_.replace("{alone}", alone), **told)
