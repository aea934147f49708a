"""Rules for Dockerfiles and the scripts they run, in the spirit of hadolint, whose numbers are named where it has the rule.

A rule is a name and a function from a parsed file to the lines that break it; nothing here knows of a particular image.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from shell_rules import commands, shell_problems

LABELS = ("title", "description", "version", "licenses", "base.name")
SECRET = re.compile(r"(SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|PRIVATE|ACCESS_KEY)", re.IGNORECASE)
# What the engines, the shell and the base images set.
GIVEN = {"PATH", "LIBRARY_PATH"}


class Instruction(NamedTuple):
    """An instruction: the number of its first line, its word, its flags (``--from=build``) and the rest."""

    line: int
    word: str
    flags: Dict[str, str]
    value: str


@dataclass(frozen=True)
class Stage:
    """What is between one FROM and the next.

    Attributes:
        line: of its FROM.
        base: the image or stage it begins with, arguments replaced by their defaults.
        name: after AS, or empty.
        instructions: what follows.
    """

    line: int
    base: str
    name: str
    instructions: Tuple[Instruction, ...] = ()

    def runs(self) -> Iterator[Instruction]:
        """The RUN instructions."""
        return (instruction for instruction in self.instructions if instruction.word == "RUN")


@dataclass(frozen=True)
class Dockerfile:
    """A parsed Dockerfile.

    Attributes:
        arguments: global ARGs and their defaults (None where there is none).
        stages: in order; the last is the image.
    """

    arguments: Dict[str, Optional[str]]
    stages: Tuple[Stage, ...]

    @property
    def final(self) -> Stage:
        """The stage that becomes the image."""
        return self.stages[-1]

    def all(self) -> Iterator[Instruction]:
        """The instructions of all stages."""
        return (instruction for stage in self.stages for instruction in stage.instructions)


def instructions(text: str) -> Iterator[Instruction]:
    """Take a Dockerfile apart: comments out, continued lines joined."""
    begun, number = "", 0
    for count, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or (not line.strip() and not begun):
            continue
        number = number if begun else count
        if line.endswith("\\"):
            begun += line[:-1] + " "
            continue
        whole, begun = begun + line, ""
        word, _, rest = whole.strip().partition(" ")
        flags = {}
        while rest.startswith("--"):
            flag, _, rest = rest.partition(" ")
            key, _, value = flag[2:].partition("=")
            flags[key] = value
            rest = rest.lstrip()
        yield Instruction(number, word.upper(), flags, " ".join(rest.split()))


def parse(text: str) -> Dockerfile:
    """Parse a Dockerfile.

    Raises:
        AssertionError: it has no stage, or something other than ARG before the first.
    """
    arguments: Dict[str, Optional[str]] = {}
    stages: List[Stage] = []
    for instruction in instructions(text):
        if instruction.word == "FROM":
            base, _, name = re.sub(r"\s+as\s+", " AS ", instruction.value, flags=re.IGNORECASE).partition(" AS ")
            stages.append(Stage(instruction.line, filled(base, arguments), name))
        elif stages:
            stages[-1] = replace(stages[-1], instructions=(*stages[-1].instructions, instruction))
        else:
            assert instruction.word == "ARG", f"line {instruction.line}: {instruction.word} before FROM"
            key, given, value = instruction.value.partition("=")
            arguments[key] = filled(value, arguments) if given else None
    assert stages, "no FROM"
    return Dockerfile(arguments, tuple(stages))


def filled(text: str, arguments: Dict[str, Optional[str]]) -> str:
    """Put the defaults of arguments in."""
    return re.sub(r"\$\{(\w+)\}", lambda match: arguments.get(match.group(1)) or "", text)


def is_pinned(image: str) -> bool:
    """Tell whether an image has a digest, or a tag other than latest."""
    name = image.rsplit("/", 1)[-1]
    return "@sha256:" in image or (":" in name and not name.endswith((":latest", ":")))


Broken = Iterator[Tuple[int, str]]
"""Lines that break a rule, and what is wrong there."""


def unpinned_base(file: Dockerfile) -> Broken:
    """DL3006, DL3007: a base has a tag, and not latest."""
    names = {stage.name for stage in file.stages if stage.name}
    for stage in file.stages:
        if stage.base not in names and stage.base != "scratch" and not is_pinned(stage.base):
            yield stage.line, f"FROM {stage.base or 'nothing by default'}"


def named_twice(file: Dockerfile) -> Broken:
    """DL3024: stages have names of their own."""
    seen: Set[str] = set()
    for stage in file.stages:
        if stage.name and stage.name in seen:
            yield stage.line, stage.name
        seen.add(stage.name)


def single_stage(file: Dockerfile) -> Broken:
    """What builds is not in what runs."""
    if len(file.stages) < 2:
        yield file.final.line, "one stage only"


def unknown_stage(file: Dockerfile) -> Broken:
    """DL3022: COPY --from names a stage that came before."""
    before: Set[str] = set()
    for stage in file.stages:
        for instruction in stage.instructions:
            source = instruction.flags.get("from")
            if source is not None and source not in before:
                yield instruction.line, f"--from={source}"
        before.add(stage.name)


def forbidden_word(file: Dockerfile) -> Broken:
    """DL3020, DL4000 and others: ADD fetches and unpacks, MAINTAINER is a label now, the rest has no place here."""
    for instruction in file.all():
        if instruction.word in ("ADD", "MAINTAINER", "ONBUILD", "EXPOSE", "VOLUME", "SHELL"):
            yield instruction.line, instruction.word


def relative_workdir(file: Dockerfile) -> Broken:
    """DL3000: WORKDIR is absolute."""
    for instruction in file.all():
        if instruction.word == "WORKDIR" and not instruction.value.startswith("/"):
            yield instruction.line, instruction.value


def changed_directory(file: Dockerfile) -> Broken:
    """DL3003: WORKDIR in place of cd."""
    for instruction in file.all():
        if instruction.word == "RUN" and any(command.startswith("cd ") for command in commands(instruction.value)):
            yield instruction.line, instruction.value


def shell_form(file: Dockerfile) -> Broken:
    """DL3025: CMD and ENTRYPOINT are lists of words, so that signals reach the program."""
    for instruction in file.all():
        if instruction.word in ("CMD", "ENTRYPOINT"):
            try:
                json.loads(instruction.value)
            except ValueError:
                yield instruction.line, instruction.value


def no_user(file: Dockerfile) -> Broken:
    """DL3002: whom it runs as is said last, and can be chosen: not root for good."""
    users = [instruction for instruction in file.final.instructions if instruction.word == "USER"]
    if not users:
        yield file.final.line, "no USER"
    elif users[-1].value in ("root", "0"):
        yield users[-1].line, "USER root"


def pipe_in_run(file: Dockerfile) -> Broken:
    """DL4006: a pipe hides failures from sh; it belongs into a script with pipefail."""
    for instruction in file.all():
        if instruction.word == "RUN" and re.search(r"(?<!\|)\|(?!\|)", instruction.value):
            yield instruction.line, instruction.value


def undeclared(file: Dockerfile) -> Broken:
    """An argument is known only in the stage that declares it; elsewhere it is silently empty."""
    for stage in file.stages:
        known = set(GIVEN)
        for instruction in stage.instructions:
            used = set(re.findall(r"\$\{(\w+)", instruction.value))
            if instruction.word == "RUN":
                used |= set(re.findall(r"\$(\w+)", instruction.value))
            if used - known:
                yield instruction.line, ", ".join(sorted(used - known))
            if instruction.word == "ARG":
                known.add(instruction.value.partition("=")[0])
            if instruction.word == "ENV":
                known |= set(re.findall(r"(?:^| )(\w+)=", instruction.value))


def unused(file: Dockerfile) -> Broken:
    """An argument that a stage declares is used there, or by a script that it is in the environment of (capital letters)."""
    for stage in file.stages:
        text = " ".join(instruction.value for instruction in stage.instructions if instruction.word != "ARG")
        for instruction in stage.instructions:
            name = instruction.value.partition("=")[0]
            if instruction.word == "ARG" and f"${{{name}" not in text and name not in ENVIRONMENT:
                yield instruction.line, name


# Arguments that pip and the scripts of containers/ read from their environment.
ENVIRONMENT = {"PIP_FIND_LINKS", "KEEP_HEADERS", "CUDA_ARCHS"}


def secret_argument(file: Dockerfile) -> Broken:
    """Values of ARG and ENV can be read from an image by everyone."""
    for instruction in file.all():
        if instruction.word in ("ARG", "ENV") and SECRET.search(instruction.value.partition("=")[0]):
            yield instruction.line, instruction.value


def whole_context(file: Dockerfile) -> Broken:
    """The sources are for the stage that builds; the image has what is made of them."""
    for instruction in file.final.instructions:
        if instruction.word == "COPY" and "from" not in instruction.flags and {".", "./"} & set(instruction.value.split()[:-1]):
            yield instruction.line, f"COPY {instruction.value}"


def missing_label(file: Dockerfile) -> Broken:
    """OCI annotations that tell what an image is."""
    text = " ".join(instruction.value for instruction in file.final.instructions if instruction.word == "LABEL")
    for label in LABELS:
        if f'org.opencontainers.image.{label}="' not in text:
            yield file.final.line, label


def unchecked(file: Dockerfile) -> Broken:
    """The image is looked at where it is built: train, sshd, mpirun, its modules."""
    if not any("check.sh " in instruction.value for instruction in file.final.runs()):
        yield file.final.line, "no check.sh"


def no_health(file: Dockerfile) -> Broken:
    """What the image can do is asked the same way while it runs, and no shell stands between."""
    checks = [instruction for instruction in file.final.instructions if instruction.word == "HEALTHCHECK"]
    if not any(re.fullmatch(r'CMD \["hvdsm-train", "--doctor", "--quick"\]', check.value) for check in checks):
        yield file.final.line, "no HEALTHCHECK by hvdsm-train --doctor --quick"


Rule = Callable[[Dockerfile], Broken]
RULES: Sequence[Rule] = (
    unpinned_base,
    named_twice,
    single_stage,
    unknown_stage,
    forbidden_word,
    relative_workdir,
    changed_directory,
    shell_form,
    no_user,
    pipe_in_run,
    undeclared,
    unused,
    secret_argument,
    whole_context,
    missing_label,
    unchecked,
    no_health,
)


def problems(text: str) -> List[str]:
    """What is wrong with a Dockerfile: ``LINE RULE: what``; rules of shell are applied to each RUN by itself."""
    file = parse(text)
    found = [f"{line} {rule.__name__}: {what}" for rule in RULES for line, what in rule(file)]
    for instruction in file.all():
        if instruction.word == "RUN":
            found += [f"{instruction.line} {problem}" for problem in shell_problems(instruction.value)]
    return found
