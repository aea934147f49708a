"""Wraps one rank: ``python -m hvdsm.container.rank PROGRAM ARGUMENTS…``, started by mpirun or by the container program.

It learns its place from the MPI environment, gets this host's environment and an output pipe from the container program, runs
the program as its child, and reports how the child ended.  Without ``HVDSM_SESSION`` it only sets the rank variables, so that a
command line copied from a dry run works by hand.
"""

from __future__ import annotations

import array
import json
import os
import select
import signal
import socket
import subprocess
import sys
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.compose.arguments import unshielded
from hvdsm.compose.place import rank_environment

ACK_SECONDS = 5.0
# Variables of the MPI runtime; they come from mpirun's daemon and differ from rank to rank.
_MPI_PREFIXES = ("OMPI_", "PMIX_", "PRTE_", "OPAL_", "PMI_", "HVDSM_", "ORTE_", "IPATH_", "TORCHELASTIC_", "ROLE_", "GROUP_")
# What torchrun tells its processes besides.
_TORCHRUN = ("MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS", "TORCH_NCCL_ASYNC_ERROR_HANDLING", "NCCL_ASYNC_ERROR_HANDLING")
_JOINED = ("PATH", "LD_LIBRARY_PATH")
_PLACE = (
    ("rank", ("HVDSM_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")),
    ("local_rank", ("HVDSM_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK")),
    ("world_size", ("HVDSM_WORLD_SIZE", "OMPI_COMM_WORLD_SIZE")),
    ("local_world_size", ("HVDSM_LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE")),
)


def place(environ: Mapping[str, str]) -> Dict[str, int]:
    """Rank, local rank, world size and local world size of this process; 0, 0, 1, 1 when nobody says."""
    default = {"rank": 0, "local_rank": 0, "world_size": 1, "local_world_size": 1}
    if "TORCHELASTIC_RUN_ID" in environ:
        return {key: int(environ[key.upper()]) for key in default}
    return {key: int(next((environ[name] for name in names if name in environ), default[key])) for key, names in _PLACE}


def merged_environment(host: Mapping[str, str], mpi: Mapping[str, str], exported: Sequence[str]) -> Dict[str, str]:
    """The rank's environment: the host's, with what belongs to MPI and what the user exported by ``-x`` over it.

    Search paths that mpirun's daemon added (its own libraries) are kept after the host's.
    """
    merged = dict(host)
    told = _TORCHRUN if "TORCHELASTIC_RUN_ID" in mpi else ()
    for name, value in mpi.items():
        if name in exported or name in told or name.startswith(_MPI_PREFIXES):
            merged[name] = value
        elif name in _JOINED:
            # An empty entry would be the working directory.
            entries = [entry for entry in f"{host.get(name, '')}:{value}".split(":") if entry]
            merged[name] = ":".join(dict.fromkeys(entries))
    return merged


def is_python(program: Sequence[str]) -> bool:
    """Whether the program is a Python script or module, run by the Python that runs hvdsm."""
    return len(program) > 1 and program[0] == sys.executable and (program[1].endswith(".py") or program[1] == "-m")


def child_command(program: Sequence[str]) -> List[str]:
    """The command of the child: a Python script is run under :mod:`hvdsm.container.script`, which reports its exceptions."""
    if is_python(program):
        return [sys.executable, "-m", "hvdsm.container.script", *program[1:]]
    return list(program)


class Home:
    """The connection to the container program of this host."""

    def __init__(self, session: str, hello: Mapping[str, Any]) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(os.path.join(session, "ranks.sock"))
        self._buffer = b""
        self.send({"hello": hello})

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message; a container program that is gone is no error here."""
        try:
            self.sock.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass

    def answer(self) -> Tuple[Dict[str, Any], int]:
        """The first message, and the descriptor that came with it."""
        descriptor = -1
        while b"\n" not in self._buffer:
            data, ancillary, _, _ = self.sock.recvmsg(1 << 18, socket.CMSG_SPACE(array.array("i").itemsize))
            if not data:
                raise ConnectionError("the container program of this host has ended")
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    descriptor = array.array("i", payload)[0]
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        message: Dict[str, Any] = json.loads(line)
        return message, descriptor

    def messages(self) -> Optional[List[Dict[str, Any]]]:
        """What came in, without waiting when the socket is readable; None when the other side has ended."""
        try:
            data = self.sock.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            return None
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        return [json.loads(line) for line in lines]


def run(program: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the program as this rank; returns its exit code, 128+N when signal N ended it."""
    where = place(environ)
    session = environ.get("HVDSM_SESSION")
    if not session:
        rank = rank_environment(**where, node_rank=0)
        os.execvpe(program[0], list(program), {**environ, **rank})  # noqa: S606
    home = Home(session, {**where, "pid": os.getpid()})
    answer, output = home.answer()
    environment = merged_environment(answer["environment"], environ, answer["exported"])
    if "HVDSM_PLAIN" not in environ:
        environment.update(rank_environment(**where, node_rank=int(environment.get("HVDSM_NODE_RANK", "0"))))
    environment.update({f"HVDSM_{key.upper()}": str(value) for key, value in where.items()})
    hook = os.path.join(session, "hook")
    if not is_python(program) and os.path.isdir(hook):
        environment["HVDSM_BELOW_SHELL"] = "1"
        environment["PYTHONPATH"] = ":".join(filter(None, [hook, environment.get("PYTHONPATH", "")]))
    try:
        child = subprocess.Popen(
            child_command(program),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=answer["directory"],
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        os.write(output, f"{program[0]}: {error.strerror}\n".encode())
        code = 127 if isinstance(error, FileNotFoundError) else 126
        home.send({"exited": {**where, "exit_code": code, "message": f"{program[0]}: {error.strerror}"}})
        _await_ack(home)
        return code
    os.close(output)
    home.send({"child": child.pid})
    return _supervise(child, home, where)


def _supervise(child: subprocess.Popen[bytes], home: Home, where: Mapping[str, int]) -> int:
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, _noted)
    watched = [read, home.sock.fileno()]
    while child.poll() is None:
        ready = select.select(watched, [], [])[0]
        if read in ready:
            for received in os.read(read, 256):
                if received != signal.SIGCHLD:
                    _pass_on(child, received)
        if home.sock.fileno() in ready:
            messages = home.messages()
            if messages is None:
                # Without its host's program the rank has no job left to take part in.
                watched = [read]
                _pass_on(child, signal.SIGKILL)
            for message in messages or ():
                if "signal" in message:
                    _pass_on(child, int(message["signal"]))
    code = child.returncode
    report: Dict[str, Any] = {**where, "exit_code": code if code >= 0 else 128 - code}
    if code < 0:
        report["signal"] = -code
    home.send({"exited": report})
    if code:
        _await_ack(home)
    return int(report["exit_code"])


def _await_ack(home: Home) -> None:
    """The end of this process makes mpirun end the others: it must come after the launcher knows the cause."""
    home.sock.settimeout(ACK_SECONDS)
    while True:
        messages = home.messages()
        if messages is None or any("ack" in message for message in messages):
            return


def _pass_on(child: subprocess.Popen[bytes], number: int) -> None:
    if child.poll() is not None:
        return
    try:
        if number == signal.SIGKILL:
            os.killpg(child.pid, number)
        else:
            child.send_signal(number)
    except (ProcessLookupError, PermissionError):
        pass


def _noted(_number: int, _frame: Any) -> None:
    """The wake-up descriptor carries the signal to the loop."""


def main() -> int:
    """The console entry."""
    program = [unshielded(word) for word in sys.argv[1:]]
    if program[:1] == ["--"]:
        program = program[1:]
    if not program:
        sys.stderr.write("usage: python -m hvdsm.container.rank PROGRAM [ARGUMENTS…]\n")
        return 2
    return run(program, os.environ)


if __name__ == "__main__":
    sys.exit(main())
