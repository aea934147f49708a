"""Compile and import the container program with this interpreter, the oldest that training images bring.

Only the standard library is there: an import of anything else fails, as it would in such an image::

    python3.8 tools/check_oldest.py hvdsm/container hvdsm/compose hvdsm/model hvdsm/errors.py
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Iterator, List

# Partitioning alone needs packages, which images for graphs have; it compiles nevertheless.
WITH_PACKAGES = "hvdsm.graphjob.partition"
REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def modules(path: str) -> Iterator[str]:
    """Yield the dotted names of the modules in a file or package, given relative to the repository."""
    if path.endswith(".py"):
        yield path[:-3].replace("/", ".")
        return
    for directory, _, names in os.walk(os.path.join(REPOSITORY, path)):
        package = os.path.relpath(directory, REPOSITORY).replace(os.sep, ".")
        for name in sorted(names):
            # Importing a __main__ runs the program.
            if name.endswith(".py") and name != "__main__.py":
                yield package if name == "__init__.py" else f"{package}.{name[:-3]}"


def compile_all() -> int:
    """Compile every file of hvdsm, the client's too: an installation compiles all of them; return how many."""
    count = 0
    for directory, _, names in os.walk(os.path.join(REPOSITORY, "hvdsm")):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(directory, name)
                with open(path, "rb") as source:
                    compile(source.read(), path, "exec")
                count += 1
    return count


def main(paths: List[str]) -> int:
    """Compile and import; any failure ends in its own traceback."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, REPOSITORY)
    compiled = compile_all()
    names = [name for path in paths for name in modules(path) if not name.startswith(WITH_PACKAGES)]
    imported = [importlib.import_module(name) for name in names]
    print(f"    Python {sys.version.split()[0]}: {compiled} files compile, {len(imported)} modules import")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
