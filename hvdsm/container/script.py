"""Runs a Python script as one rank: ``python -m hvdsm.container.script train.py ARGUMENTS…`` (or ``-m MODULE ARGUMENTS…``).

An uncaught exception, or an exit with another code than 0, is reported before the interpreter's exit handlers run, and the
process then ends at once: those of MPI and Horovod wait for the other ranks, which wait for this one.

Below a shell entry point (``HVDSM_BELOW_SHELL``) only the shell knows whether the end of a Python program is a failure: its
exception is kept until the shell ends.  A copy of this file runs such programs, so it imports nothing of hvdsm.
"""

from __future__ import annotations

import json
import os
import runpy
import socket
import sys
import time
import traceback
from typing import Any, Dict, NoReturn, Optional

ACK_SECONDS = 5.0
MAX_TRACEBACK = 64 << 10
# Libraries whose exit handlers wait for the other ranks.
WAITING_AT_EXIT = ("mpi4py.MPI", "horovod.common.basics", "torch.distributed")


def main() -> None:
    """Run the script named on the command line, in place of this module."""
    arguments = sys.argv[1:]
    _register_stacks()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    try:
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            sys.path[0] = os.getcwd()
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = arguments
            sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as error:
        code = _exit_code(error)
        if code:
            _leave(code, None, "" if isinstance(error.code, int) else str(error.code))
        raise
    except KeyboardInterrupt:
        _leave(130, None)
    except BaseException as error:
        traceback.print_exception(type(error), error, _own_frames(error))
        _leave(1, error)


def _register_stacks() -> None:
    """Let the container program ask for the stacks of all threads, whatever the main thread waits for."""
    session, number = os.environ.get("HVDSM_SESSION", ""), int(os.environ.get("HVDSM_STACK_SIGNAL", "0"))
    directory = os.path.join(session, "stacks")
    if number and session and os.path.isdir(directory):
        import faulthandler

        file = open(os.path.join(directory, f"{os.environ.get('HVDSM_RANK', '0')}-{os.getpid()}"), "w")  # noqa: SIM115
        faulthandler.register(number, file=file, all_threads=True)
        # Kept open for as long as the process lives.
        sys.__dict__["_hvdsm_stacks"] = file


def _exit_code(error: SystemExit) -> int:
    """The exit code as the interpreter would make it: None is 0, a number itself, anything else is printed and 1."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def _own_frames(error: BaseException) -> Any:
    """The traceback without this module's frames and those of runpy."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, runpy.__file__, "<frozen runpy>"):
        trace = trace.tb_next
    return trace


def _leave(code: int, error: Optional[BaseException], message: str = "") -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    session = os.environ.get("HVDSM_SESSION")
    if session:
        report: Dict[str, Any] = {
            "rank": int(os.environ.get("HVDSM_RANK", "0")),
            "local_rank": int(os.environ.get("HVDSM_LOCAL_RANK", "0")),
            "exit_code": code,
            "message": message[:MAX_TRACEBACK],
        }
        if error is not None:
            lines = traceback.format_exception(type(error), error, _own_frames(error))
            report["exception"] = type(error).__name__
            report["message"] = _message(error)
            report["traceback"] = "".join(lines)[-MAX_TRACEBACK:]
        if not os.environ.get("HVDSM_BELOW_SHELL"):
            _report(session, {"failure": report})
        elif error is not None:
            _report(session, {"exception": report})
    if os.environ.get("HVDSM_BELOW_SHELL") and not any(name in sys.modules for name in WAITING_AT_EXIT):
        # A helper program of a shell script keeps its exit handlers: no library of ranks waits in them.
        sys.exit(code)
    os._exit(code)


def _message(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TRACEBACK]
    except Exception as another:
        return f"(its text cannot be had: {type(another).__name__})"


def _report(session: str, message: Dict[str, Any]) -> None:
    """Tell the container program, and wait until the launcher knows: the peers notice this rank's end only after it."""
    deadline = time.monotonic() + ACK_SECONDS
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as home:
            home.settimeout(ACK_SECONDS)
            home.connect(os.path.join(session, "ranks.sock"))
            home.sendall(json.dumps(message).encode() + b"\n")
            while time.monotonic() < deadline and b"ack" not in home.recv(4096):
                pass
    except OSError:
        pass


if __name__ == "__main__":
    main()
