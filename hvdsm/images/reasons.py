"""What the engines' own words mean, and the next command."""

from __future__ import annotations

import re
from typing import Sequence, Tuple

# ECR's own words for a missing permission, which tell more than the engine's.
_PERMISSION = re.compile(
    r"not authorized to perform:? (?P<action>ecr:\w+)(?: on (?:the )?resource:? (?P<resource>arn:[\w:/.*-]+))?"
)
# A pattern in the last lines of an engine, what to do; the first that matches counts.
_KNOWN: Tuple[Tuple[str, str], ...] = (
    (
        r"[Cc]annot connect to the Docker daemon",
        "start it (sudo systemctl start docker, or Docker Desktop), check DOCKER_HOST, or --engine podman",
    ),
    (
        r"error during connect|request returned .* for API route|unable to resolve docker endpoint|engine is silent",
        "check DOCKER_HOST, CONTAINER_HOST and docker context ls, restart the engine, or name another one: --engine",
    ),
    (r"permission denied.*docker\.sock|docker\.sock.*permission denied", "sudo usermod -aG docker $USER, and log in again"),
    (r"buildx component is missing", "install Docker's buildx (docker-buildx-plugin or docker-buildx), or --engine podman"),
    (r"no space left on device", "free some space: docker system prune, or podman system prune"),
    (r"not implemented|credential.helper|error storing credentials", "a credential helper keeps the logins: give --no-login"),
    (r"x509|certificate signed by unknown authority", "let the engine trust the certificate of the proxy that opens TLS"),
    (r"no basic auth credentials|token has expired", "leave out --no-login: the same command logs in; check the clock"),
    (r"tag is immutable|repository is immutable|cannot be overwritten", "give another --tag"),
    (
        r"pull access denied|40[13] (?:Forbidden|Unauthorized)|unauthorized: |(?<![Pp]ermission )denied: ",
        "let these credentials pull the base image (ecr:BatchGetImage, ecr:GetDownloadUrlForLayer), or push (ecr:PutImage and "
        "what goes with it: docs/images.md)",
    ),
    (r"toomanyrequests|429 Too Many", "wait a minute and run it again; a base image of Docker Hub: docker login"),
    (
        r"repository .* does not exist|name unknown",
        "have it made: without --no-create, by credentials that allow ecr:DescribeRepositories and ecr:CreateRepository",
    ),
    (
        r"container registry localhost|docker://localhost/",
        "this engine, or this user, has no such image: hvdsm image list --all; build it first, or name another base",
    ),
    (
        r"insufficient UIDs or GIDs|no subuid ranges",
        "give this user ids (sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER; podman system migrate), "
        "or run it as root",
    ),
    (r"no such host|lookup .* on |failure in name resolution|i/o timeout|handshake timeout", "check the network, and the region"),
    (
        r"manifest unknown|manifest for .* not found|not found: manifest|failed to solve: \S+: not found",
        "check the name and tag of the base image",
    ),
    (r"short-name .* did not resolve", "name the base image with its registry, as in docker.io/library/debian:bookworm-slim"),
    (
        r"^(?:Killed|signal: killed)|exit (?:code|status):? 137",
        "it was killed, mostly for want of memory: give the engine more, or compile with fewer jobs",
    ),
    (r"newuidmap|user namespace|unshare: Operation not permitted", "run it as root, or after --: --isolation chroot"),
)  # fmt: skip


def remedy_of(lines: Sequence[str], otherwise: str) -> str:
    """What to do about a failure.

    Args:
        lines: last lines of the engine.
        otherwise: what to do where nothing in them is known.
    """
    text = "\n".join(lines)
    missing = _PERMISSION.search(text)
    if missing:
        where = f" on {missing['resource']}" if missing["resource"] else ""
        return f"allow {missing['action']}{where} in these credentials' IAM policies"
    return next((remedy for pattern, remedy in _KNOWN if re.search(pattern, text, re.MULTILINE)), otherwise)
