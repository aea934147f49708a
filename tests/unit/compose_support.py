"""What a Compose file must be for Compose, in our own words: a part of the Compose specification's schema, and its interpolation.

The schema here has only the elements that hvdsm writes, and allows no others; where Docker Compose is installed the tests ask it
as well, which has the whole schema.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

import jsonschema
import yaml

_TEXT: Dict[str, Any] = {"type": "string"}
_WORDS = {"type": "array", "items": _TEXT}


def _closed(properties: Dict[str, Any], *required: str) -> Dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False, "required": list(required)}


_DEVICE = _closed(
    {
        "driver": _TEXT,
        "count": {"anyOf": [{"type": "integer", "minimum": 1}, {"const": "all"}]},
        "device_ids": _WORDS,
        "capabilities": _WORDS,
    },
    "capabilities",
)
_SERVICE = _closed(
    {
        "image": _TEXT,
        "container_name": {"type": "string", "pattern": "^[a-zA-Z0-9][a-zA-Z0-9_.-]+$"},
        "hostname": {"type": "string", "pattern": "^[a-z0-9-]{1,63}$"},
        "networks": {"type": "object", "additionalProperties": _closed({"aliases": _WORDS})},
        "entrypoint": _WORDS,
        "command": _WORDS,
        "environment": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
        "volumes": {
            "type": "array",
            "items": _closed(
                {"type": {"const": "bind"}, "source": _TEXT, "target": _TEXT, "read_only": {"type": "boolean"}},
                "type", "source", "target",
            ),
            "uniqueItems": True,
        },
        "ports": {"type": "array", "items": {"type": "string", "pattern": "^[0-9]+$"}},
        "working_dir": _TEXT,
        "shm_size": _TEXT,
        "security_opt": _WORDS,
        "stop_grace_period": {"type": "string", "pattern": "^[0-9]+s$"},
        "deploy": _closed({"resources": _closed({"reservations": _closed({"devices": {"type": "array", "items": _DEVICE}})})}),
    },
    "image",
)  # fmt: skip
SCHEMA = _closed(
    {
        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
        "networks": {
            "type": "object",
            "additionalProperties": _closed({"name": _TEXT, "external": {"const": True}, "internal": {"const": True}}),
        },
        "services": {"type": "object", "minProperties": 1, "additionalProperties": _SERVICE},
    },
    "services",
)
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)\})")


def checked(text: str, environ: Optional[Mapping[str, str]] = None) -> Any:
    """The file as Compose understands it; fails where it is not valid.

    Args:
        text: the file.
        environ: variables of who runs it.
    """
    document = yaml.safe_load(text)
    jsonschema.validate(document, SCHEMA)
    targets = {name: [bind["target"] for bind in found.get("volumes", ())] for name, found in document["services"].items()}
    assert all(len(set(found)) == len(found) for found in targets.values()), "a mount point twice"
    return _replaced(document, environ or {})


def _replaced(value: Any, environ: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(below, environ) for name, below in value.items()}
    if isinstance(value, list):
        return [_replaced(below, environ) for below in value]
    if not isinstance(value, str):
        return value
    assert "$" not in _VARIABLE.sub("", value), f"Compose would replace something in {value!r}"
    return _VARIABLE.sub(lambda found: "$" if found[1] is None else environ[found[1]], value)


def docker_compose() -> Optional[str]:
    """Docker Compose itself, which reads a file without an engine; None where it is not installed."""
    beside = os.path.join(os.path.dirname(sys.executable), "docker-compose")
    return beside if os.access(beside, os.X_OK) else shutil.which("docker-compose")


def understood(program: str, file: Path, environ: Mapping[str, str]) -> Any:
    """What Docker Compose makes of a file, its texts as containers get them."""
    words = [program, "--file", str(file), "config", "--format", "json"]
    done = subprocess.run(words, env={"PATH": os.environ["PATH"], **environ}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # What it prints could be read again: a dollar sign is twice in it.
    return _replaced(json.loads(done.stdout), {})
