"""Runs GraphStorm's scripts: in the host's graph server, in a rank, and to give results the IDs of the raw data."""

from __future__ import annotations

import atexit
import logging
import os
import runpy
import shutil
import sys
import threading
from typing import Any, List, Tuple

from .commands import distributed, of_rank, of_server, remap_words, script_words, threads_of
from .failures import JobError
from .state import INFER, JobState, read_found, write_hosts
from .tasks import TASKS, graph_formats, script_of

_REMAP = "graphstorm.gconstruct.remap_result"


def serve(state: JobState) -> int:
    """Be the host's graph server, until all ranks have left."""
    begin_anew(state)
    return _run(state, server=True)


def begin_anew(state: JobState) -> None:
    """When ranks are started again, ports are others, and what the failed ones have saved is no result of the job."""
    write_hosts(state)
    if state.action == INFER:
        shutil.rmtree(os.path.dirname(state.places.embeddings), ignore_errors=True)
    else:
        shutil.rmtree(state.places.saved, ignore_errors=True)
        os.makedirs(state.places.saved)


def rank(state: JobState) -> int:
    """Be a rank."""
    return _run(state, server=False)


def remap(state: JobState) -> int:
    """Give embeddings and predictions of this host the node IDs of the raw data."""
    launch, words = _parsed(state)
    if not launch.do_nid_remap:
        return 0
    arguments = remap_words(state, script_words(state, read_found(state.places), words), bool(launch.preserve_input))
    # In this process: to import GraphStorm once more takes longer than the rest.
    sys.argv = [_REMAP, *arguments]
    runpy.run_module(_REMAP, run_name="__main__", alter_sys=True)
    return 0


def _parsed(state: JobState) -> Tuple[Any, List[str]]:
    """The words that are for GraphStorm's launcher, read by its own parser, and the others."""
    try:
        from graphstorm.run.launch import get_argument_parser
    except ImportError as error:
        raise JobError(f"GraphStorm cannot be imported: {error}", "the image", "pip install graphstorm dgl==1.1.3") from error
    parser = get_argument_parser()
    # An option of a script's own that begins like one of the launcher's is none of them.
    parser.allow_abbrev = False
    parsed: Tuple[Any, List[str]] = parser.parse_known_args(list(state.words))
    return parsed


def _script(state: JobState, lm_only: bool) -> str:
    own = state.options.get("custom-script")
    if own is not None:
        state.check_script()
        return own
    import graphstorm.run

    name = state.option("task-type")
    task = TASKS.get(name)
    script = script_of(task, state.action == INFER, lm_only) if task is not None else None
    if script is None:
        raise JobError(f"is nothing to {state.action}", f"task type {name}", f"one of {', '.join(TASKS)}")
    return os.path.join(os.path.dirname(os.path.abspath(graphstorm.run.__file__)), *script.split("/"))


def _run(state: JobState, *, server: bool) -> int:
    found = read_found(state.places)
    # OpenMP and DGL read some of them when they are loaded.
    threads = threads_of(state, _cores(), server=server)
    os.environ.update(of_server(state, threads) if server else of_rank(threads))
    os.environ.update(distributed(state, found, 0, "csc"))
    launch, words = _parsed(state)
    task = TASKS.get(state.options.get("task-type", ""))
    formats = launch.graph_format if task is None else graph_formats(task, launch.graph_format)
    os.environ.update(distributed(state, found, launch.num_samplers or 0, formats))
    script = _script(state, bool(launch.lm_encoder_only))
    arguments = script_words(state, found, words)
    if not server:
        arguments += ["--local-rank", str(state.local_rank)]
    level = state.options.get("log-level", "INFO")
    logging.basicConfig(level=getattr(logging, level, logging.INFO), format="%(asctime)s %(levelname)s %(message)s", force=True)
    sys.argv = [script, *arguments]
    sys.path.insert(0, os.path.dirname(script))
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        if end.code:
            _leave_at_once()
            raise
    except BaseException:
        _leave_at_once()
        raise
    leave_well()
    return 0


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def leave_well() -> None:
    """End now, after all exit handlers: to take apart what GraphStorm has imported costs every process seconds.

    Not where something else is to happen: MPI ends with the interpreter, and threads may still have to do.
    """
    busy = any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
    if busy or "mpi4py.MPI" in sys.modules:
        return
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _leave_at_once() -> None:
    """A process that failed does not wait for the others at its end, as DGL has it: they are ended by its failure."""
    from dgl.distributed import exit_client

    atexit.unregister(exit_client)
