"""Makes ``hvdsm.pyz``: the container program as one file, for images that have never heard of hvdsm.

It is a zip archive that Python runs (PEP 441), of standard-library code for Python 3.8 and later.  The same sources give the same
bytes: names are sorted, times fixed, and nothing is compressed, since the bytes would then follow the version of zlib.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from dataclasses import dataclass
from typing import Dict

import hvdsm
from hvdsm.errors import UsageError

PACKAGES = ("compose", "container", "model")
MODULES = ("__init__", "errors", "framework", "training", "version")
SHEBANG = b"#!/usr/bin/env python3\n"
# The earliest time that a zip archive can hold.
EPOCH = (1980, 1, 1, 0, 0, 0)
MAIN = '''"""Runs this host's part of a training job: `python3 hvdsm.pyz`."""

import sys

if sys.version_info < (3, 8):
    # Understood by every Python since 2.7: the rest of the program is not.
    import io
    import json
    import os

    base = os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml"
    message = (
        "the image lacks Python 3.8 or later, which hvdsm runs on (this is %s, %s)\\n"
        "  try: take a base image with a newer Python: the line FROM of its Dockerfile (for example FROM python:3.11-slim);\\n"
        "    or, where the image has a newer one beside it, name that in ContainerEntrypoint (for example python3.8)"
    ) % (sys.version.split()[0], sys.executable)
    sys.stdout.write("hvdsm: error: %s\\n" % message)
    first = False
    try:
        if not os.path.isdir(base + "/output"):
            os.makedirs(base + "/output")
        with io.open(base + "/output/failure", "w", encoding="utf-8") as file:
            file.write(u"" + message + u"\\nClientError: ExitCode 78\\n")
        with io.open(base + "/input/config/resourceconfig.json", encoding="utf-8") as file:
            resource = json.load(file)
        first = resource["hosts"][0] == resource["current_host"]
    except Exception as error:
        sys.stdout.write("hvdsm: warning: %s\\n" % error)
    asked = os.environ.get("HVDSM_OUTCOME_LINE") or ("0" if os.environ.get("HVDSM_REHEARSAL", "0") != "0" else "1")
    if first and asked != "0":
        failure = {"kind": "launch", "message": message, "exit_code": 78}
        name = os.environ.get("TRAINING_JOB_NAME", "training-job")
        outcome = {"job_name": name, "status": "Failed", "exit_code": 78, "failure": failure}
        sys.stdout.write("hvdsm: outcome %s\\n" % json.dumps(outcome))
    sys.stdout.flush()
    sys.exit(78)

if __name__ == "__main__":
    from hvdsm.container.train import main

    sys.exit(main())
'''


@dataclass(frozen=True)
class Bundle:
    """A bundle that was written: its absolute path, its size in bytes and its SHA-256 in hexadecimal."""

    path: str
    size: int
    sha256: str


def sources() -> Dict[str, bytes]:
    """The files of the bundle by their names in it."""
    root = os.path.dirname(os.path.abspath(hvdsm.__file__))
    names = [f"{module}.py" for module in MODULES]
    for package in PACKAGES:
        names += [f"{package}/{name}" for name in os.listdir(os.path.join(root, package)) if name.endswith(".py")]
    found = {"__main__.py": MAIN.encode()}
    for name in names:
        with open(os.path.join(root, name), "rb") as file:
            found[f"hvdsm/{name}"] = file.read()
    return found


def build() -> bytes:
    """The bundle's bytes; the same for the same sources."""
    archive = io.BytesIO()
    archive.write(SHEBANG)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for name, content in sorted(sources().items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            file.writestr(entry, content)
    return archive.getvalue()


def write(path: str) -> Bundle:
    """Write the bundle as an executable file; one that is there is replaced in one step.

    Raises:
        UsageError: the file cannot be written.
    """
    path, content = os.path.abspath(path), build()
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".hvdsm-", dir=os.path.dirname(path))
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
            os.chmod(temporary, 0o755)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=path, remedy="name another file by -o") from None
    return Bundle(path, len(content), hashlib.sha256(content).hexdigest())
