"""Checks as data: what was found, whether it will do, and what helps; many looked into at a time, each with a limit.

Standard library only, for Python 3.8: an image checks itself by it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Union

from hvdsm.compose.mask import mask_text
from hvdsm.container.inquiries import end_programs
from hvdsm.errors import EXIT_CONFIG, EXIT_UNAVAILABLE, HvdsmError

OK, NOTE, WARNING, FAILED, UNCHECKED = "ok", "note", "warning", "failed", "not checked"
STATUSES = (OK, NOTE, WARNING, FAILED, UNCHECKED)
# Seconds after which it is said what is still being looked into, and seconds until it is said again.
PATIENCE, PAUSE = 2.0, 5.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked into.

    Attributes:
        name: what it is about, such as ``open-mpi``.
        status: ``ok``; ``note``: good to know; ``warning``: works, but not well or not for all; ``failed``: nothing works
            without; ``not checked``: nobody can tell.
        what: what was found, one sentence.
        remedy: the next command or change to try.
        code: exit code of a failed one: that of the command which it stands in the way of.
        facts: what was found, for programs.
        seconds: how long it took.
    """

    name: str
    status: str
    what: str
    remedy: str = ""
    code: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


Found = Union[Check, Sequence[Check]]


@dataclass(frozen=True)
class Probe:
    """Something to look into.

    Attributes:
        name: name of its check, or of what its checks have in common.
        look: gives the check, or several.
        limit: seconds after which there is no answer.
        needed: whether no answer is a failure; otherwise it is only unchecked.
        remedy: what helps where there is no answer.
    """

    name: str
    look: Callable[[], Found]
    limit: float = 30.0
    needed: bool = False
    remedy: str = ""


def good(name: str, what: str, /, **facts: Any) -> Check:
    """A check that is passed."""
    return Check(name, OK, what, facts=facts)


def note(name: str, what: str, remedy: str = "", /, **facts: Any) -> Check:
    """Good to know."""
    return Check(name, NOTE, what, remedy, facts=facts)


def warning(name: str, what: str, remedy: str, /, **facts: Any) -> Check:
    """Works, but not well, or not for every job."""
    return Check(name, WARNING, what, remedy, facts=facts)


def failed(name: str, what: str, remedy: str, code: int = EXIT_UNAVAILABLE, /, **facts: Any) -> Check:
    """Nothing works without it."""
    return Check(name, FAILED, what, remedy, code, facts)


def unchecked(name: str, what: str, remedy: str = "", /, **facts: Any) -> Check:
    """Nobody can tell."""
    return Check(name, UNCHECKED, what, remedy, facts=facts)


def of_error(name: str, error: HvdsmError, /, **facts: Any) -> Check:
    """The failed check that an error of hvdsm stands for."""
    what = f"{error.where}: {error.what}" if error.where else error.what
    code = error.exit_code if error.exit_code in (EXIT_CONFIG, EXIT_UNAVAILABLE) else EXIT_UNAVAILABLE
    return failed(name, what, error.remedy or "", code, **facts)


def examine(
    probes: Sequence[Probe],
    say: Optional[Callable[[str], None]] = None,
    *,
    patience: float = PATIENCE,
    pause: float = PAUSE,
    clock: Callable[[], float] = time.monotonic,
) -> List[Check]:
    """Look into everything at the same time; the checks come in the order of the probes.  See :func:`examine_all`."""
    groups = examine_all({"": probes}, say, patience=patience, pause=pause, clock=clock)
    return groups[""]


def examine_all(
    groups: Mapping[str, Sequence[Probe]],
    say: Optional[Callable[[str], None]] = None,
    *,
    patience: float = PATIENCE,
    pause: float = PAUSE,
    clock: Callable[[], float] = time.monotonic,
) -> Dict[str, List[Check]]:
    """Look into everything at the same time; the checks of each group come in the order of its probes.

    A probe that raises what is no error of hvdsm is unchecked: a fault of the check says nothing of what it looks into.

    Args:
        groups: what to look into, by name.
        say: is told what is still being looked into when it takes its time.
        patience: seconds before that.
        pause: seconds until it is told again.
        clock: gives seconds.
    """
    probes = [probe for group in groups.values() for probe in group]
    changed = threading.Condition()
    results: Dict[int, List[Check]] = {}
    began = clock()

    def work(index: int, probe: Probe) -> None:
        checks = _looked(probe)
        seconds = round(clock() - began, 3)
        with changed:
            results.setdefault(index, [replace(check, seconds=seconds) for check in checks])
            changed.notify_all()

    try:
        for index, probe in enumerate(probes):
            threading.Thread(target=work, args=(index, probe), name=f"hvdsm-doctor-{probe.name}", daemon=True).start()
        speaks = began + patience
        with changed:
            while True:
                now = clock()
                for index, probe in enumerate(probes):
                    if now >= began + probe.limit:
                        results.setdefault(index, [_late(probe)])
                waiting = [probe for index, probe in enumerate(probes) if index not in results]
                if not waiting:
                    break
                if say is not None and now >= speaks:
                    say(f"looking into {', '.join(dict.fromkeys(probe.name for probe in waiting))} …")
                    speaks = now + pause
                ends = min(began + probe.limit for probe in waiting)
                changed.wait(max(0.01, min(ends, speaks if say is not None else ends) - now))
    finally:
        end_programs()
    found: Dict[str, List[Check]] = {}
    index = 0
    for name, group in groups.items():
        found[name] = [check for number in range(index, index + len(group)) for check in results[number]]
        index += len(group)
    return found


def _looked(probe: Probe) -> List[Check]:
    try:
        found = probe.look()
    except HvdsmError as error:
        return [of_error(probe.name, error)]
    except Exception as error:
        return [unchecked(probe.name, f"the check itself failed: {type(error).__name__}: {error}")]
    return [found] if isinstance(found, Check) else list(found)


def _late(probe: Probe) -> Check:
    what = f"no answer within {probe.limit:g} s"
    check = failed if probe.needed else unchecked
    return replace(check(probe.name, what, probe.remedy), seconds=probe.limit)


def exit_code(checks: Sequence[Check]) -> int:
    """0 where nothing failed; 69 where something is missing that no setting replaces, else the first failed check's code."""
    codes = [check.code for check in checks if check.status == FAILED]
    return EXIT_UNAVAILABLE if EXIT_UNAVAILABLE in codes else codes[0] if codes else 0


def lines(checks: Sequence[Check], paint: Optional[Callable[[str, str], str]] = None) -> List[str]:
    """Checks for people: status, name, what was found, and below it what helps.

    Args:
        checks: the checks.
        paint: colours a text by a status.
    """
    width = max([len(check.name) for check in checks] or [0])
    told: List[str] = []
    for check in checks:
        status = check.status.upper() if check.status == FAILED else check.status
        word = f"{status:<11}"
        told.append(f"{word if paint is None else paint(word, check.status)}  {check.name:<{width}}  {shown(check.what)}")
        if check.remedy:
            first, *others = (shown(line) for line in check.remedy.splitlines())
            told += [f"{'':<{width + 15}}try: {first}", *(f"{'':<{width + 20}}{line.strip()}" for line in others)]
    return told


def shown(text: str) -> str:
    """A text of one line, without secrets, and without characters that a terminal would obey: programs say all kinds of things.

    >>> shown("no answer of http://me:secret@proxy:3128" + chr(27) + "[2J" + chr(10))
    'no answer of http://<masked>@proxy:3128?[2J'
    """
    line = " ".join(mask_text(text).split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _masked(facts: Any) -> Any:
    if isinstance(facts, Mapping):
        return {name: _masked(value) for name, value in facts.items()}
    if isinstance(facts, (list, tuple)):
        return [_masked(value) for value in facts]
    return mask_text(facts) if isinstance(facts, str) else facts


def as_json(goal: str, checks: Sequence[Check]) -> Dict[str, Any]:
    """A goal and its checks, for programs."""
    code = exit_code(checks)
    listed = []
    for check in checks:
        one: Dict[str, Any] = {"name": check.name, "status": check.status, "what": shown(check.what)}
        one.update({"remedy": mask_text(check.remedy)} if check.remedy else {})
        one.update({"exit_code": check.code} if check.status == FAILED else {})
        listed.append({**one, "facts": _masked(check.facts), "seconds": check.seconds})
    return {"goal": goal, "works": code == 0, "exit_code": code, "checks": listed}
