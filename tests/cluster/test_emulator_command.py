"""``run_command``, behind ``hvdsm cluster``: streams, exit codes and a real terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from emulator_support import unavailable

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(unavailable()), reason=unavailable())]

CALL = """
import signal, sys
from hvdsm.emulator import ClusterSpec, run_command
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
sys.exit(run_command(ClusterSpec(2), sys.argv[1:]))
"""


def environment() -> Dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PS1": "prompt "}


def call(*argv: str, text: str = "", cwd: Optional[Path] = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CALL, *argv]
    return subprocess.run(command, input=text, capture_output=True, text=True, env=environment(), cwd=cwd, timeout=60)


def test_streams_and_exit_code() -> None:
    done = call("sh", "-c", "hostname; cat; echo problem >&2; exit 7", text="input")
    assert (done.returncode, done.stdout, done.stderr) == (7, "algo-1\ninput", "problem\n")


def test_a_signal_is_128_and_more() -> None:
    assert call("sh", "-c", "kill -TERM $$").returncode == 128 + signal.SIGTERM


def test_what_cannot_be_executed() -> None:
    done = call("hvdsm-no-such-program")
    assert done.returncode == 127
    assert "hvdsm-no-such-program" in done.stderr
    assert call("/etc/hosts").returncode == 126


def test_the_current_directory_is_seen_and_kept(tmp_path: Path) -> None:
    directory = tmp_path / "a b"
    directory.mkdir()
    (directory / "file").write_text("text")
    done = call("sh", "-c", "cat file; touch new; ls", cwd=directory)
    assert done.stdout == "textfile\nnew\n"
    assert os.listdir(directory) == ["file"]


def test_the_callers_environment_without_what_is_personal() -> None:
    os.environ["HVDSM_TEST_VALUE"] = "a b"
    os.environ["TMPDIR"] = "/somewhere/else"
    try:
        done = call("sh", "-c", "echo $HVDSM_TEST_VALUE $TMPDIR.")
    finally:
        del os.environ["HVDSM_TEST_VALUE"], os.environ["TMPDIR"]
    assert done.stdout == "a b .\n"


class Terminal:
    """A caller at a terminal."""

    def __init__(self, *argv: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-c", CALL, *argv], environment())
        self.seen = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, text: str) -> str:
        """Read until ``text`` has come; what came up to it."""
        while text not in self.seen:
            try:
                data = os.read(self.fd, 1 << 16)
            except OSError:
                data = b""
            assert data, f"{text!r} did not come: {self.seen!r}"
            self.seen += data.decode()
        before, _, self.seen = self.seen.partition(text)
        return before

    def write(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def end(self) -> int:
        """The exit code."""
        try:
            while os.read(self.fd, 1 << 16):
                pass
        except OSError:
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_terminal_of_its_own() -> None:
    program = """if True:
        import os, signal, sys
        def resized(*_): os.write(1, b'%d %d resized\\n' % tuple(os.get_terminal_size()))
        def interrupted(*_): os.write(1, b'interrupted\\n'); os._exit(9)
        signal.signal(signal.SIGWINCH, resized)
        signal.signal(signal.SIGINT, interrupted)
        print(os.ttyname(0), flush=True)
        print('got', input(), 'go', flush=True)
        while True: signal.pause()
    """
    terminal = Terminal(sys.executable, "-c", program)
    assert "/dev/pts/" in terminal.until("\n")
    terminal.write("hello\r")
    terminal.until("got hello go\r\n")
    terminal.resize(33, 44)
    terminal.until("44 33 resized")
    terminal.write("\x03")
    terminal.until("interrupted")
    assert terminal.end() == 9


def test_a_shell_without_command() -> None:
    terminal = Terminal()
    terminal.write("hostname; echo job $((40 + 2))\r")
    terminal.until("algo-1\r\n")
    terminal.until("job 42\r\n")
    terminal.write("sh -c 'echo st$((1))arted; exec sleep 1000'\r")
    terminal.until("st1arted\r\n")
    terminal.write("\x03")
    terminal.write("echo $((40 + 3)); exit 5\r")
    terminal.until("43\r\n")
    assert terminal.end() == 5


def test_a_shell_fed_from_a_pipe_ends_with_it() -> None:
    done = call(text="echo $((40 + 2)) $(hostname)\nexit 6\n")
    assert "42 algo-1" in done.stdout
    assert done.returncode == 6
    assert call(text="").returncode == 0


def test_interrupt_without_a_terminal_goes_to_the_command() -> None:
    program = """if True:
        import os, signal
        def interrupted(*_): os.write(1, b'interrupted\\n'); os._exit(9)
        signal.signal(signal.SIGINT, interrupted)
        os.write(1, b'ready\\n')
        while True: signal.pause()
    """
    options: Dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "env": environment()}
    argv: List[str] = [sys.executable, "-c", CALL, sys.executable, "-c", program]
    with subprocess.Popen(argv, **options) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"interrupted\n"
        assert process.wait(60) == 9
