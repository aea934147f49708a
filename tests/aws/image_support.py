"""Engines that are programs of the test: they write down what they are given, and do what a script says."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, List

_PROGRAM = """#!%s -ES
import json, os, signal, sys
here = os.path.dirname(os.path.abspath(sys.argv[0]))
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
said = sys.stdin.read() if "--password-stdin" in words else ""
files = []
if words[0] == "build":
    for folder, _, names in os.walk(words[-1]):
        files += [os.path.relpath(os.path.join(folder, each), words[-1]) for each in names]
with open(os.path.join(here, "calls.jsonl"), "a") as file:
    call = {"argv": [name, *words], "stdin": said, "files": sorted(files), "environ": dict(os.environ)}
    file.write(json.dumps(call) + "\\n")
script = json.load(open(os.path.join(here, "script.json")))
keys = [name + " " + words[0], words[0], name]
does = next((script[key] for key in keys if key in script), {})
versions = {"version": "27.0.1", "info": "4.3.1", "--version": "buildah version 1.28.2"}
print(does.get("out", versions.get(words[0], "sha256:" + 64 * "a")), flush=True)
print(does.get("err", ""), file=sys.stderr, end="")
if does.get("waits"):
    sys.stdout.flush()
    open(os.path.join(here, "waiting"), "w").close()
    signal.pause()
sys.exit(does.get("code", 0))
"""


class Engines:
    """Fake engines on a PATH of their own.

    ``script`` has, by ``"docker build"``, ``"build"`` or ``"docker"``: ``out``, ``err``, ``code``, ``waits``.
    """

    def __init__(self, directory: Path, *names: str, **script: Any) -> None:
        self.directory = directory
        directory.mkdir()
        self.script: Dict[str, Any] = {}
        self.does()
        for name in names:
            program = directory / name
            program.write_text(_PROGRAM % sys.executable)
            program.chmod(0o755)

    def does(self, **script: Any) -> None:
        """Change the script; names have _ for a space."""
        self.script.update({name.replace("_", " "): value for name, value in script.items()})
        (self.directory / "script.json").write_text(json.dumps(self.script))

    @property
    def path(self) -> str:
        """A PATH with these engines and no others."""
        return str(self.directory)

    def calls(self, *subcommands: str) -> List[Dict[str, Any]]:
        """What was called, probes left out unless they are asked for."""
        file = self.directory / "calls.jsonl"
        found = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        wanted = subcommands or ("build", "login", "tag", "push")
        return [call for call in found if call["argv"][1] in wanted]

    def argvs(self, *subcommands: str) -> List[List[str]]:
        """The words of what was called."""
        return [call["argv"] for call in self.calls(*subcommands)]


def staged(temporary: Path) -> List[str]:
    """Staging directories that are there."""
    return [name for name in os.listdir(temporary) if name.startswith("hvdsm-image-")]
