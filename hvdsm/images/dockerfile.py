"""What a Dockerfile says of itself: its build arguments, and the images that it is built from.

Source: Dockerfile reference: line continuation, the escape directive, ARG before FROM, substitution of variables, COPY --from.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Dict, FrozenSet, Iterator, List, Mapping, Optional, Set, Tuple

_VARIABLE = re.compile(r"\\(?P<escaped>\$)|\$(?:\{(?P<braced>\w+)(?::?(?P<how>[-+])(?P<word>[^}]*))?\}|(?P<bare>\w+))")
# A word of its own: 1<<2 and a here-string are none.
_HEREDOC = re.compile(r"(?<!\S)\d*<<-?(?P<quote>[\"']?)(?P<word>[A-Za-z_]\w*)(?P=quote)(?!\S)")
# Of BuildKit's own, known without ARG.
_NOTHING = "scratch"


@dataclass(frozen=True)
class Stage:
    """A stage: what it begins with, what it copies from, and its name."""

    base: str
    name: str
    sources: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Dockerfile:
    """What is known of a Dockerfile.

    Attributes:
        arguments: names of all its build arguments.
        defaults: of those before the first FROM, which names of images are made of, as they are written.
        stages: in order, as they are written.
    """

    arguments: FrozenSet[str]
    defaults: Mapping[str, str]
    stages: Tuple[Stage, ...]

    def bases(self, given: Mapping[str, str], target: Optional[str] = None) -> Tuple[str, ...]:
        """The images that must be pulled for a build.

        Args:
            given: values of build arguments.
            target: the stage to build; the last by default.
        """
        values: Dict[str, str] = {}
        for name, default in self.defaults.items():
            values[name] = given[name] if name in given else substituted(default, values)
        known: Dict[str, int] = {}
        resolved: List[Tuple[str, Tuple[str, ...]]] = []
        for index, stage in enumerate(self.stages):
            base = substituted(stage.base, values)
            resolved.append((base, tuple(substituted(source, values) for source in stage.sources)))
            known[str(index)] = index
            if stage.name:
                known[stage.name.lower()] = index
        if not resolved:
            return ()
        found: List[str] = []
        seen: Set[int] = set()
        waiting = [known.get(target.lower(), len(resolved) - 1) if target else len(resolved) - 1]
        while waiting:
            index = waiting.pop()
            if index in seen:
                continue
            seen.add(index)
            base, sources = resolved[index]
            for name in (base, *sources):
                # A stage can be built from stages above it alone; the base of the same name as itself is an image.
                other = known.get(name.lower())
                if other is not None and other < index and not (name is base and name.isdecimal()):
                    waiting.append(other)
                elif name and name != _NOTHING and name not in found:
                    found.append(name)
        return tuple(found)


def read_dockerfile(text: str) -> Dockerfile:
    """Read a Dockerfile; what is no ARG, FROM or COPY is passed over."""
    arguments: Set[str] = set()
    defaults: Dict[str, str] = {}
    stages: List[Stage] = []
    for line in _lines(text):
        word, _, rest = line.partition(" ")
        instruction, rest = word.upper(), rest.strip()
        if instruction == "ARG":
            for name, value in _assignments(rest):
                arguments.add(name)
                if not stages:
                    defaults[name] = value
        elif instruction == "FROM":
            words = [part for part in rest.split() if not part.startswith("--")]
            if words:
                name = words[2] if len(words) > 2 and words[1].upper() == "AS" else ""
                stages.append(Stage(words[0], name))
        elif instruction in ("COPY", "ADD", "RUN") and stages:
            copied = re.findall(r"(?:--from=|--mount=\S*?\bfrom=)([^\s,]+)", rest)
            last = stages[-1]
            stages[-1] = Stage(last.base, last.name, (*last.sources, *copied))
    return Dockerfile(frozenset(arguments), defaults, tuple(stages))


def substituted(text: str, values: Mapping[str, str]) -> str:
    """A text with ``$NAME``, ``${NAME}``, ``${NAME:-default}`` and ``${NAME:+instead}`` replaced.

    >>> substituted("$A/${B:-b}:${C:+c}", {"A": "a"})
    'a/b:'
    """

    def value(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        has = values.get(found["braced"] or found["bare"], "")
        if found["how"] == "-":
            return has or substituted(found["word"], values)
        if found["how"] == "+":
            return substituted(found["word"], values) if has else ""
        return has

    return _VARIABLE.sub(value, text)


def _lines(text: str) -> Iterator[str]:
    """Logical lines without comments; the bodies of here-documents are left out."""
    escape = "\\"
    directive = re.match(r"(?:\s*#.*\n)*?\s*#\s*escape\s*=\s*(\S)", text, re.IGNORECASE)
    if directive:
        escape = directive[1]
    made: List[str] = []
    ends: List[str] = []
    for raw in text.splitlines():
        if ends:
            if raw.strip() == ends[0]:
                ends.pop(0)
            continue
        line = raw.strip()
        if line.startswith("#") or (made and not line):
            continue
        if line.endswith(escape):
            made.append(line[:-1].strip())
            continue
        whole = " ".join((*made, line)).strip()
        made = []
        if whole:
            ends = [found["word"] for found in _HEREDOC.finditer(whole)] if whole[:4].upper() in ("RUN ", "COPY", "ADD ") else []
            yield whole
    if made:
        yield " ".join(made)


def _assignments(rest: str) -> Iterator[Tuple[str, str]]:
    try:
        words = shlex.split(rest)
    except ValueError:
        words = rest.split()
    for word in words:
        name, _, value = word.partition("=")
        yield name, value


def prefixed_ignore(text: str, folder: str) -> str:
    r"""The patterns of a ``.dockerignore`` for when its directory has become a folder of the context.

    >>> prefixed_ignore("# data\n/data\n!data/small\n**/*.ckpt", "source")
    'source/data\n!source/data/small\nsource/**/*.ckpt\n'
    """
    lines = []
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        kept = line.startswith("!")
        lines.append(f"{'!' if kept else ''}{folder}/{line[kept:].strip().lstrip('/')}")
    return "".join(f"{line}\n" for line in lines)
