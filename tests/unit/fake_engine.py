"""A container engine that runs the commands of a Compose file as processes of this machine; for tests.

``/opt/ml`` of a container is what its variable SAGEMAKER_BASE_DIR names.  Every call is noted in ``calls.jsonl``.  The variable
FAKE_ENGINE names its directory; a file ``fail-VERB`` there has that verb fail with what the file says, and one ``slow-VERB`` has
it take a minute.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, List

STATE = Path(os.environ.get("FAKE_ENGINE", "."))


def main(words: List[str]) -> int:
    with (STATE / "calls.jsonl").open("a") as file:
        file.write(json.dumps(words) + "\n")
    if words[0] == "compose" and words[1] != "version":
        return compose(words[1:])
    verb = words[0]
    if (STATE / f"fail-{verb}").exists():
        print((STATE / f"fail-{verb}").read_text(), file=sys.stderr)
        return 1
    if "version" in words[:2]:
        print("28.0.0")
        return 0
    if verb == "ps":
        for place in sorted(STATE.glob("*-algo-*.json")):
            print(place.stem)
    if verb == "start":
        return start(words[-1])
    if verb == "container":
        return inspect(words[3], words[4:])
    if verb == "rm":
        for place in (place for name in words[2:] for place in STATE.glob(f"{name}.*")):
            place.unlink()
    if verb == "kill":
        for name in words[3:]:
            os.killpg(int((STATE / f"{name}.pid").read_text()), signal.Signals[words[2]])
    return 0


def compose(words: List[str]) -> int:
    verb, file = words[4], Path(words[words.index("--file") + 1])
    if (STATE / f"fail-{verb}").exists():
        print((STATE / f"fail-{verb}").read_text())
        return 18
    if (STATE / f"slow-{verb}").exists():
        print("pulling", flush=True)
        threading.Event().wait(60)
    # Most calls do without.
    from compose_support import checked

    services = checked(file.read_text(encoding="utf-8"), os.environ)["services"]
    for found in services.values():
        place = STATE / f"{found['container_name']}.json"
        if verb == "up":
            place.write_text(json.dumps(described(found)))
        elif place.exists():
            place.unlink()
    return 0


def described(service: Dict[str, Any]) -> Dict[str, Any]:
    variables = {k: os.environ.get(k) if v is None else v for k, v in service.get("environment", {}).items()}
    base = next(bind["source"] for bind in service["volumes"] if bind["target"] == "/opt/ml/input")
    return {
        "argv": [*service.get("entrypoint", []), *service.get("command", [])],
        "environment": {k: v for k, v in variables.items() if v is not None},
        "base": os.path.dirname(base),
    }


def start(name: str) -> int:
    found = json.loads((STATE / f"{name}.json").read_text())
    variables = {"PATH": os.environ["PATH"], **found["environment"], "SAGEMAKER_BASE_DIR": found["base"]}
    place = STATE / f"{name}.pid"

    def note() -> None:
        # Before it says anything: a test may kill it then.
        place.write_text(str(os.getpid()))

    try:
        process = subprocess.Popen(found["argv"], env=variables, cwd=found["base"], start_new_session=True, preexec_fn=note)
    except FileNotFoundError:
        place.unlink()
        print(f"Error: {found['argv'][0]} not found in $PATH", file=sys.stderr)
        return 127
    code = process.wait()
    code = 128 - code if code < 0 else code
    (STATE / f"{name}.exit").write_text(str(code))
    return code


def inspect(form: str, names: List[str]) -> int:
    missing = [name for name in names if not (STATE / f"{name}.json").exists()]
    for name in names:
        code = STATE / f"{name}.exit"
        exit_code = code.read_text() if code.exists() else 0
        if name not in missing:
            print(f"/{name} {status(name)}" if "Name" in form else f"{status(name)} {exit_code}")
    return 1 if missing else 0


def status(name: str) -> str:
    if (STATE / f"{name}.exit").exists():
        return "exited"
    return "running" if (STATE / f"{name}.pid").exists() else "created"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
