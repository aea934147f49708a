"""``graph.py WHAT`` on a host of a graph job: ``prepare``, ``server``, ``rank``, ``remap`` or ``finish``."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Optional, Sequence

from .commands import partition_words
from .failures import JobError
from .state import CONSTRUCT, PARTITION, JobState, read_state
from .transfers import Store


def main(words: Sequence[str]) -> int:
    """Do what a word says; the exit code."""
    what = words[0] if words else "rank"
    # GraphStorm is made of torch: its language models need not look for TensorFlow.
    os.environ.setdefault("USE_TF", "0")
    # OGB, which it imports, would ask PyPI for its latest version in a thread that can lock up the imports of this one.
    sys.modules.setdefault("outdated", None)  # type: ignore[arg-type]
    try:
        code = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        return _done(what, read_state(os.environ, code))
    except JobError as error:
        print(f"graph: error: {error}", file=sys.stderr, flush=True)
        return error.exit_code


def _done(what: str, state: JobState) -> int:
    if what in ("prepare", "finish"):
        # A step that is stopped tidies up: it leaves no half of a result in S3.
        signal.signal(signal.SIGTERM, _stopped)
    if state.action == PARTITION:
        return _partition(state)
    if state.action == CONSTRUCT:
        from .constructing import construct

        return construct(what, state, Store(_say), _say)
    if what in ("server", "rank", "remap"):
        from . import running

        return {"server": running.serve, "rank": running.rank, "remap": running.remap}[what](state)
    from .finishing import finish
    from .preparing import prepare

    store = Store(_say)
    if what == "prepare":
        prepare(state, store, _say)
    elif what == "finish":
        finish(state, store, _say)
    else:
        raise JobError("is nothing that a graph job does", repr(what), "prepare, server, rank, remap or finish")
    return 0


def _partition(state: JobState) -> int:
    """Partition with all ranks; this part of hvdsm has to be in the image."""
    try:
        program = import_module("hvdsm.graphjob.partition")
    except ImportError as error:
        raise JobError(
            f"the partition program cannot be imported: {error}",
            "the image",
            "take one with hvdsm, DGL and mpi4py: hvdsm image build",
        ) from error
    return int(program.main(partition_words(state)))


def _stopped(number: int, frame: Optional[FrameType]) -> None:
    del frame
    # Once: what tidies up is not to be stopped in turn.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + number)


def _say(text: str) -> None:
    print(f"graph: {text}", flush=True)
