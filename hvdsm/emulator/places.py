"""Which paths of the machine a host must see although they lie where hosts have something of their own."""

from __future__ import annotations

import os
import sys
from typing import Dict, Iterable, List, Mapping, NamedTuple, Sequence, Set, Tuple

# Private in every host: nothing of the machine shows through.
HIDDEN = ("/tmp", "/var/tmp", "/run", "/dev/shm", "/opt/ml")
_LIST_VARIABLES = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
_MAX_LINKS = 40  # symbolic links in one path, as in the kernel


class Trail(NamedTuple):
    """How a path leads to a file: the symbolic links that are passed, each with its text, and the real path."""

    links: Tuple[Tuple[str, str], ...]
    real: str


def follow(path: str) -> Trail:
    """Resolve a path one component at a time.

    Raises:
        OSError: too many symbolic links.
    """
    links: List[Tuple[str, str]] = []
    done = "/"
    todo = [part for part in path.split("/") if part][::-1]
    while todo:
        part = todo.pop()
        if part == ".":
            continue
        if part == "..":
            done = os.path.dirname(done)
            continue
        step = os.path.join(done, part)
        if not os.path.islink(step):
            done = step
            continue
        if len(links) >= _MAX_LINKS:
            raise OSError(f"too many symbolic links in {path}")
        text = os.readlink(step)
        links.append((step, text))
        if text.startswith("/"):
            done = "/"
        todo.extend([piece for piece in text.split("/") if piece][::-1])
    return Trail(tuple(links), done)


def is_hidden(path: str, hidden: Sequence[str] = HIDDEN) -> bool:
    """Whether ``path`` is one of the private directories or inside one."""
    return any(path == place or path.startswith(place + "/") for place in hidden)


def own_paths(environ: Mapping[str, str]) -> List[str]:
    """The paths that this Python and the programs on PATH need."""
    paths = [sys.executable or "", sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *sys.path]
    paths.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    for name in _LIST_VARIABLES:
        paths.extend(environ.get(name, "").split(os.pathsep))
    return [path for path in dict.fromkeys(paths) if os.path.isabs(path) and os.path.exists(path)]


class Places(NamedTuple):
    """What is to be placed: symbolic links (path, text), read-only paths, and directories seen as private copies."""

    links: Tuple[Tuple[str, str], ...]
    readonly: Tuple[str, ...]
    private: Tuple[str, ...]


def hidden_places(own: Sequence[str], visible: Iterable[str], private: Sequence[str]) -> Places:
    """What has to be placed so that the given paths work, where the machine's directory does not show by itself.

    A private directory as a whole (``/tmp``) is shown only where it is declared, and then as a private copy.

    Args:
        own: paths that the interpreter needs, seen read-only.
        visible: paths declared visible, seen read-only.
        private: directories that hosts may write in, for themselves.
    """
    links: Dict[str, str] = {}
    wanted: Dict[str, str] = {}
    # Directories of the interpreter that hosts may write in, as a program does that installs packages: all of each is theirs.
    given = {os.path.realpath(path) for path in private} & {os.path.realpath(path) for path in own}

    def want(path: str, mode: str, *, declared: bool) -> None:
        trail = follow(path)
        links.update((link, text) for link, text in trail.links if is_hidden(link))
        if trail.real in HIDDEN:
            if declared:
                wanted[trail.real] = "private"
        elif is_hidden(trail.real):
            wanted.setdefault(trail.real, mode)

    for path in private:
        want(path, "private", declared=True)
    for path in visible:
        want(path, "readonly", declared=True)
    for path in own:
        want(path, "readonly", declared=False)
    kept: Set[str] = set()
    for path in sorted(wanted, key=lambda path: path.count("/")):
        above = max((other for other in kept if path.startswith(other + "/")), key=len, default=None)
        # A private copy has to be added inside a read-only place; inside a private copy a read-only place stays protected.
        if above is None or (wanted[path] != wanted[above] and above not in given):
            kept.add(path)
    ordered = sorted(kept, key=lambda path: (path.count("/"), path))
    return Places(
        tuple(links.items()),
        tuple(path for path in ordered if wanted[path] == "readonly"),
        tuple(path for path in ordered if wanted[path] == "private"),
    )
