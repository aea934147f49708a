"""What the job's source is made of: the modules of ``program``, and a script that starts them."""

from __future__ import annotations

import os
import shutil

PACKAGE = "hvdsm_network"
SCRIPT = "network.py"
_TEXT = f"""\
import sys

from {PACKAGE}.main import main

sys.exit(main())
"""


def write_source(directory: str) -> str:
    """Write the source into a directory, as ``network/``; the path of its script.

    Raises:
        OSError: it cannot be written.
    """
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "program")
    directory = os.path.join(directory, "network")
    package = os.path.join(directory, PACKAGE)
    os.makedirs(package)
    for name in sorted(os.listdir(here)):
        if name.endswith(".py"):
            shutil.copyfile(os.path.join(here, name), os.path.join(package, name))
    path = os.path.join(directory, SCRIPT)
    with open(path, "w", encoding="utf-8") as file:
        file.write(_TEXT)
    return path
