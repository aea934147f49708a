"""The machine as the only host: what a program leaves behind ends with it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from hvdsm.backends.local.single import SingleMachine, SingleProcess

DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
os.wait()
print("ready", flush=True)
{end}
"""


def start(machine: SingleMachine, program: str, write: int) -> SingleProcess:
    return machine.popen(
        "algo-1",
        [sys.executable, "-c", program],
        env=os.environ,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=write,
        stderr=write,
    )


@pytest.mark.parametrize(
    ("end", "code"), [("sys.exit(7)", 7), ("os.kill(os.getpid(), 9)", -9), ("os.kill(os.getpid(), 15)", -15)]
)
def test_exit_code_and_daemons(end: str, code: int) -> None:
    read, write = os.pipe()
    with SingleMachine() as machine:
        process = start(machine, DAEMON.format(end=end), write)
        os.close(write)
        assert process.wait(60) == code
        assert process.poll() == code
    # Only when the daemon, which holds the pipe, is gone does the pipe end.
    assert _read_line(read) == b"ready\n"
    assert _read(read) == b""
    os.close(read)


def test_closing_ends_everything() -> None:
    read, write = os.pipe()
    machine = SingleMachine()
    start(machine, DAEMON.format(end="time.sleep(600)"), write)
    os.close(write)
    assert _read_line(read) == b"ready\n"
    machine.close()
    assert _read(read) == b""
    os.close(read)


def test_signals_reach_the_program() -> None:
    program = "import signal, sys; signal.signal(15, lambda *_: sys.exit(3)); print('ready', flush=True); signal.pause()"
    read, write = os.pipe()
    with SingleMachine() as machine:
        process = start(machine, program, write)
        os.close(write)
        assert _read_line(read) == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 3
    os.close(read)


def test_missing_program() -> None:
    read, write = os.pipe()
    with SingleMachine() as machine:
        process = machine.popen("algo-1", ["/no/such"], env={}, cwd="/", stdin=subprocess.DEVNULL, stdout=write, stderr=write)
        os.close(write)
        assert process.wait(60) == 127
    assert b"/no/such" in os.read(read, 4096)
    os.close(read)


def _read(descriptor: int) -> bytes:
    assert select.select([descriptor], [], [], 60)[0], "nothing came, and the pipe did not end"
    return os.read(descriptor, 4096)


def _read_line(descriptor: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = _read(descriptor)
        if not piece:
            break
        line += piece
    return line
