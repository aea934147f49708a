"""A job's plan read from JSON and checked, and what follows from it; no I/O."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from hvdsm.compose.placeholders import OF_HOST, OF_PROCESS, SHARED, WITH_VALUE, Values, expand, places, port_names, problem
from hvdsm.compose.problems import shown, suggestion
from hvdsm.errors import ConfigError
from hvdsm.model.plan import EACH, ENDS, HOSTS, OVERDUE, TERMINATE, WARNING, JobPlan, Ranks, Ready, Role, Step

_NAME = re.compile(r"[A-Za-z][\w.-]{0,62}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_BARE = re.compile(r"[\w@%+=:,./{}-]+")
# Digits and placeholders, none of which stands for a text.
_PORT = re.compile(r"(?:[0-9]|\{(?!host\}|hosts|first|address|job_name|code|python)[a-z_]+(?::[^{}]*)?\})+")
# A century: what clocks and the kernel's timers take.
MAX_COUNT, MAX_SECONDS = 64, 3.2e9
Complain = Callable[[str, str], None]


def parse_plan(document: Any, where: str = "the job's plan") -> JobPlan:
    """The plan of a JSON document.

    Args:
        document: what ``json.loads`` made of it.
        where: what messages call it.

    Raises:
        ConfigError: it is none; the message names everything that is wrong.
    """
    problems: List[str] = []

    def complain(path: str, text: str) -> None:
        problems.append(f"{path}: {text}" if path else text)

    plan = _Reader(complain).plan(document)
    if not problems:
        for path, text in _relations(plan):
            complain(path, text)
    if problems:
        raise ConfigError("\n  ".join([f"{len(problems)} problem{'s' if len(problems) > 1 else ''}", *problems]), where=where)
    return plan


class _Reader:
    """Reads what a document has; what is wrong goes to ``complain`` and is read as its default."""

    def __init__(self, complain: Complain) -> None:
        self._complain = complain

    def plan(self, document: Any) -> JobPlan:
        values = self._object("", document, ("environment", "prepare", "roles", "ranks", "finish"))
        return JobPlan(
            environment=self._variables("environment", values.get("environment")),
            prepare=self._steps("prepare", values.get("prepare")),
            roles=tuple(self._role(f"roles[{i}]", entry) for i, entry in enumerate(self._list("roles", values.get("roles")))),
            ranks=self._ranks("ranks", values.get("ranks")),
            finish=self._steps("finish", values.get("finish")),
        )

    def _steps(self, path: str, value: Any) -> Tuple[Step, ...]:
        """One object, or a list of them, named after their place."""
        if isinstance(value, Mapping):
            return (self._step(path, value, path),)
        entries = self._list(path, value)
        names = [path if len(entries) == 1 else f"{path}-{i + 1}" for i in range(len(entries))]
        return tuple(self._step(f"{path}[{i}]", entry, names[i]) for i, entry in enumerate(entries))

    def _step(self, path: str, value: Any, name: str) -> Step:
        values = self._object(path, value, ("name", "command", "hosts", "environment", "timeout"), needed=("command",))
        return Step(
            name=self._name(f"{path}.name", values.get("name", name)),
            command=self._command(f"{path}.command", values.get("command")),
            hosts=self._choice(f"{path}.hosts", values.get("hosts", EACH), HOSTS),
            environment=self._variables(f"{path}.environment", values.get("environment")),
            timeout=self._seconds(f"{path}.timeout", values.get("timeout")),
        )

    def _role(self, path: str, value: Any) -> Role:
        known = (
            "name", "command", "hosts", "count", "environment", "after", "ready", "ready_timeout", "end", "end_timeout", "overdue"
        )  # fmt: skip
        values = self._object(path, value, known, needed=("name", "command"))
        usual = Role("role", ())
        after = values.get("after")
        return Role(
            name=self._name(f"{path}.name", values.get("name", "role")),
            command=self._command(f"{path}.command", values.get("command")),
            hosts=self._choice(f"{path}.hosts", values.get("hosts", EACH), HOSTS),
            count=self._count(f"{path}.count", values.get("count", 1)),
            environment=self._variables(f"{path}.environment", values.get("environment")),
            after=self._words(f"{path}.after", [after] if isinstance(after, str) else after),
            ready=self._ready(f"{path}.ready", values.get("ready")),
            ready_timeout=self._seconds(f"{path}.ready_timeout", values.get("ready_timeout")) or usual.ready_timeout,
            end=self._choice(f"{path}.end", values.get("end", TERMINATE), ENDS),
            end_timeout=self._seconds(f"{path}.end_timeout", values.get("end_timeout")) or usual.end_timeout,
            overdue=self._choice(f"{path}.overdue", values.get("overdue", WARNING), OVERDUE),
        )

    def _ready(self, path: str, value: Any) -> Ready:
        values = self._object(path, value, ("file", "port", "line"))
        if len(values) > 1:
            self._complain(path, f"one of file, port and line, not {' and '.join(values)}")
        line = self._text(f"{path}.line", values.get("line"))
        try:
            re.compile(line or "")
        except re.error as error:
            self._complain(f"{path}.line", f"is no regular expression: {error}")
        port = values.get("port")
        if isinstance(port, int) and not isinstance(port, bool):
            port = str(port)
        port = self._text(f"{path}.port", port)
        if port is not None and not (_PORT.fullmatch(port) and (places(port) or 0 < int(port[:6]) < 65536)):
            self._complain(f"{path}.port", f"must be a TCP port or {{port:NAME}}, not {shown(port)}")
        return Ready(self._text(f"{path}.file", values.get("file")), port, line)

    def _ranks(self, path: str, value: Any) -> Ranks:
        values = self._object(path, value, ("module", "arguments", "environment"))
        module = self._text(f"{path}.module", values.get("module"))
        if module is not None and not _MODULE.fullmatch(module):
            self._complain(f"{path}.module", f"must be the name of a Python module, not {shown(module)}")
        arguments = values.get("arguments")
        return Ranks(
            module,
            None if arguments is None else self._words(f"{path}.arguments", arguments),
            self._variables(f"{path}.environment", values.get("environment")),
        )

    def _object(self, path: str, value: Any, known: Sequence[str], needed: Sequence[str] = ()) -> Mapping[str, Any]:
        if value is None and not needed and path:
            return {}
        if not isinstance(value, Mapping):
            self._complain(path, f"must be an object, not {shown(value)}")
            return {}
        for name in value:
            if name not in known:
                self._complain(path, f"has no field {shown(name)}{suggestion(str(name), known)}")
        for name in needed:
            if name not in value:
                self._complain(path, f"{name} is missing")
        return {name: entry for name, entry in value.items() if name in known}

    def _list(self, path: str, value: Any) -> List[Any]:
        if value is None:
            return []
        if not isinstance(value, (list, tuple)):
            self._complain(path, f"must be a list, not {shown(value)}")
            return []
        return list(value)

    def _words(self, path: str, value: Any) -> Tuple[str, ...]:
        words = self._list(path, value)
        for index, word in enumerate(words):
            if not isinstance(word, str):
                self._complain(f"{path}[{index}]", f"must be a string, not {shown(word)}")
            elif "\0" in word:
                self._complain(f"{path}[{index}]", "has a null byte, which no program can be given")
        return tuple(word for word in words if isinstance(word, str))

    def _command(self, path: str, value: Any) -> Tuple[str, ...]:
        words = self._words(path, value)
        if value is not None and not (words and words[0]):
            self._complain(path, "names no program")
        return words

    def _variables(self, path: str, value: Any) -> Dict[str, str]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self._complain(path, f"must be an object, not {shown(value)}")
            return {}
        found: Dict[str, str] = {}
        for name, entry in value.items():
            if isinstance(entry, (int, float)) and not isinstance(entry, bool):
                entry = str(entry)
            if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
                self._complain(path, f"{shown(name)} is no name of a variable")
            elif not isinstance(entry, str) or "\0" in entry:
                self._complain(f"{path}.{name}", f"must be a string, not {shown(entry)}")
            else:
                found[name] = entry
        return found

    def _name(self, path: str, value: Any) -> str:
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            self._complain(path, f"must be a letter, then letters, digits, dots and dashes, not {shown(value)}")
            return "role"
        return value

    def _text(self, path: str, value: Any) -> Optional[str]:
        if value is not None and (not isinstance(value, str) or not value or "\0" in value):
            self._complain(path, f"must be a string, not {shown(value)}")
            return None
        return value

    def _choice(self, path: str, value: Any, choices: Sequence[str]) -> str:
        if value not in choices:
            self._complain(path, f"must be {' or '.join(choices)}, not {shown(value)}")
            return choices[0]
        return str(value)

    def _count(self, path: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_COUNT:
            self._complain(path, f"must be a whole number from 1 to {MAX_COUNT}, not {shown(value)}")
            return 1
        return value

    def _seconds(self, path: str, value: Any) -> Optional[float]:
        if value is None:
            return None
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= MAX_SECONDS:
            self._complain(path, f"must be a number of seconds above 0, not {shown(value)}; a century is the most")
            return None
        return value


def _relations(plan: JobPlan) -> Iterator[Tuple[str, str]]:
    """What is wrong between the parts of a plan whose parts are well."""
    names = [step.name for step in plan.steps] + [role.process(i) for role in plan.roles for i in range(role.count)]
    roles = [role.name for role in plan.roles]
    for name in sorted({name for name in (*names, *roles) if names.count(name) > 1 or roles.count(name) > 1}):
        yield "", f"{name} is the name of more than one step or role"
    for role in plan.roles:
        for other in role.after:
            if other not in roles:
                yield f"role {role.name}", f"after names no role: {other}{suggestion(other, roles)}"
    left = list(plan.roles)
    ready: Set[str] = set()
    while left:
        able = [role for role in left if all(other in ready or other not in roles for other in role.after)]
        if not able:
            yield "", f"these wait for each other, so that none can start: {', '.join(role.name for role in left)}"
            break
        ready |= {role.name for role in able}
        left = [role for role in left if role not in able]
    for where, texts, allowed in _texts(plan):
        for text in texts:
            for place in places(text):
                told = problem(place, allowed=allowed)
                if told:
                    yield where, told


_EVERYWHERE = (*SHARED, *WITH_VALUE)
_HOST = (*_EVERYWHERE, *OF_HOST)
_PROCESS = (*_HOST, *OF_PROCESS)


def _texts(plan: JobPlan) -> Iterator[Tuple[str, List[str], Tuple[str, ...]]]:
    """Every text that may have placeholders: where it stands, and which ones it may have."""
    yield "environment", list(plan.environment.values()), _HOST
    for step in plan.steps:
        yield f"step {step.name}", [*step.command, *step.environment.values()], _HOST
    for role in plan.roles:
        ready = [text for text in (role.ready.file, role.ready.port) if text is not None]
        yield f"role {role.name}", [*role.command, *role.environment.values(), *ready], _PROCESS
    yield "ranks.environment", list(plan.ranks.environment.values()), _HOST
    # One command line starts the ranks of all hosts.
    yield "ranks.arguments", list(plan.ranks.arguments or ()), _EVERYWHERE


def ports_of(plan: JobPlan) -> List[str]:
    """Names of the ports that a plan asks for."""
    counts = {f"role {role.name}": role.count for role in plan.roles}
    return port_names((text, counts.get(where, 1)) for where, texts, _ in _texts(plan) for text in texts)


def digest(plan: JobPlan) -> str:
    """Tells two plans apart."""
    return hashlib.sha256(json.dumps(plan.to_dict(), sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()


def variables(environment: Mapping[str, str], values: Values) -> Dict[str, str]:
    """Variables with their placeholders replaced."""
    return {name: expand(value, values) for name, value in environment.items()}


def words(command: Sequence[str], values: Values) -> Tuple[str, ...]:
    """The words of a command with their placeholders replaced."""
    return tuple(expand(word, values) for word in command)


def summary(plan: JobPlan) -> List[str]:
    """A plan in lines for people, in the order of what happens."""
    lines = [_step_line(step, "before the ranks") for step in plan.prepare]
    for role in plan.roles:
        where = "each host" if role.hosts == EACH else "the first host"
        count = f"{role.count} processes" if role.count > 1 else "a process"
        after = f", after {', '.join(role.after)}" if role.after else ""
        lines.append(f"beside the ranks on {where}: {count} {role.name}{after}: {_shown(role.command)}")
    if plan.ranks.module is not None:
        lines.append(f"ranks run the module {plan.ranks.module}")
    return lines + [_step_line(step, "after the ranks") for step in plan.finish]


def _step_line(step: Step, when: str) -> str:
    where = "each host" if step.hosts == EACH else "the first host"
    return f"{when} on {where}: {step.name}: {_shown(step.command)}"


def _shown(command: Sequence[str]) -> str:
    """A command as in a shell, but placeholders without quotes, and its words on one line."""
    return " ".join(word if _BARE.fullmatch(word) else shlex.quote(word) for word in command).replace("\n", "\\n")
