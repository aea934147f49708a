"""A construction on a host of this machine, as the processing job has it: input, GConstruct, output."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Callable

from .failures import JobError
from .state import JobState
from .transfers import Store

MODULE = "graphstorm.gconstruct.construct_graph"
Say = Callable[[str], None]
# The names that the service has for a processing job's directories, below /opt/ml/processing.
INPUT, OUTPUT = "input", "output"


def construct(what: str, state: JobState, store: Store, say: Say) -> int:
    """Do a step of it; the exit code.

    Raises:
        JobError: there is no raw data, S3 refuses, or nothing has been made.
    """
    base = os.path.join(state.places.base, "processing")
    source, target = os.path.join(base, INPUT), os.path.join(base, OUTPUT)
    if what == "prepare":
        shutil.rmtree(base, ignore_errors=True)
        os.makedirs(target)
        address = state.option("graph-data-s3").rstrip("/")
        sizes = store.listing(address)
        if not sizes:
            raise JobError("has no objects", address, "check --input-graph-s3")
        store.download(address, [(name, name) for name in sizes], sizes, source)
        return 0
    if what == "rank":
        words = [word if word != "/opt/ml/processing/output" else target for word in state.words]
        code = subprocess.run([sys.executable, "-u", "-m", MODULE, *words], cwd=source, check=False).returncode
        # As a shell says it: 128+N for signal N, such as the kernel's own where memory is short.
        return code if code >= 0 else 128 - code
    if not os.listdir(target):
        raise JobError("is empty: GConstruct has made nothing", target, "look at its lines above")
    count = store.upload(target, state.option("output-data-s3"))
    say(f"the graph is in {state.option('output-data-s3')}: {count} files")
    return 0
