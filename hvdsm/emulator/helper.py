"""The command line of the helper processes (:mod:`hvdsm.emulator.init`, :mod:`hvdsm.emulator.probing`)."""

from __future__ import annotations

import os
import sys
from typing import List

# hvdsm is found where this process found it: in a directory (also by an editable install) or inside a zip file.
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); import importlib; importlib.import_module(sys.argv.pop(1)).main()"


def command(module: str, *arguments: str) -> List[str]:
    """An isolated Python without site packages: a new process, since this one may have threads and must not fork."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return [sys.executable or "python3", "-I", "-S", "-c", _START, package, f"hvdsm.emulator.{module}", *arguments]
