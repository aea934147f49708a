"""Reaches Python programs that a shell entry point starts: a copy of this file is ``sitecustomize.py`` on their path.

A program that was started as a script or by ``-m`` is started again, under the file that reports exceptions and answers
requests for stacks; anything else (``-c``, an interactive interpreter, isolated modes) goes on as it is.  Standard library
only, and nothing of hvdsm: the copy serves whichever Python the shell script calls.
"""

from __future__ import annotations

import os
import sys
from typing import List, Optional

# Options of the interpreter that take the next word as their value.
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")
RUNNER = "hvdsm_script.py"


def again(words: List[str], runner: str) -> Optional[List[str]]:
    """The command line with the runner put before the program; None when there is no program to run, or it is the runner."""
    index = 1
    while index < len(words) and words[index].startswith("-") and words[index] != "-":
        word = words[index]
        if word == "-m" and index + 1 < len(words):
            return None if words[index + 1].startswith("hvdsm.") else [*words[:index], runner, *words[index:]]
        if word.startswith("--") or word in _WITH_VALUE:
            index += 2 if word in _WITH_VALUE else 1
        elif set(word[1:]) & set("cmiVh?IES"):
            # Commands, joined options, and isolated modes that would not see the runner's environment.
            return None
        else:
            index += 1
    if index >= len(words) or words[index] == "-" or not os.path.isfile(words[index]):
        return None
    return None if os.path.basename(words[index]) == RUNNER else [*words[:index], runner, *words[index:]]


def main(directory: str) -> None:
    """Start this process again under the runner, or let the next ``sitecustomize`` have its turn."""
    try:
        with open("/proc/self/cmdline", "rb") as file:
            words = [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
        changed = again(words, os.path.join(directory, RUNNER))
        if changed:
            sys.stdout.flush()
            os.execv(sys.executable, changed)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"hvdsm: this program's exceptions will not be reported: {error}\n")
    _next_sitecustomize(directory)


def _next_sitecustomize(directory: str) -> None:
    kept = list(sys.path)
    sys.path[:] = [entry for entry in kept if os.path.abspath(entry or ".") != directory]
    own = sys.modules.pop("sitecustomize", None)
    try:
        __import__("sitecustomize")
    except ImportError as error:
        if getattr(error, "name", "") != "sitecustomize":
            raise
    finally:
        if own is not None:
            # Where there is no other, the import system looks for this one once more.
            sys.modules.setdefault("sitecustomize", own)
        sys.path[:] = [*sys.path, *(entry for entry in kept if entry not in sys.path)]


def install(session: str) -> None:
    """Put a copy of this file, and of the one that runs programs, into a job's session directory."""
    import pkgutil

    directory = os.path.join(session, "hook")
    os.mkdir(directory)
    for name, module in (("sitecustomize.py", "hook.py"), (RUNNER, "script.py")):
        with open(os.path.join(directory, name), "wb") as file:
            file.write(pkgutil.get_data("hvdsm.container", module) or b"")


if __name__ == "sitecustomize" and os.environ.get("HVDSM_BELOW_SHELL"):
    main(os.path.dirname(os.path.abspath(__file__)))
