"""Processes beside the ranks: real ones, heard and ended."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Iterator

import pytest
from role_loop import RoleLoop, signals_kept

from hvdsm.errors import ConfigError
from hvdsm.model import RoleProcess

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
while True:
    time.sleep(1000)
"""
OBEDIENT = """
import signal, sys, time
def end(*_):
    print("saved", flush=True)
    sys.exit(3)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
while True:
    time.sleep(1000)
"""


class Stage(RoleLoop):
    """Roles that are started by hand."""

    def start(self, name: str, *command: str, **variables: str) -> None:
        self.roles.start(RoleProcess(name, command, variables), dict(os.environ), str(self.directory))

    def python(self, name: str, code: str, **variables: str) -> None:
        self.start(name, sys.executable, "-c", code, **variables)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with signals_kept():
        made = Stage(tmp_path)
        yield made
        made.roles.close(0.1)


def test_lines_are_tagged_and_the_environment_is_the_ranks_with_its_own(stage: Stage) -> None:
    stage.python("server-0", "import os; print(os.environ['DMLC_ROLE'], 'PATH' in os.environ, os.getcwd())", DMLC_ROLE="server")
    stage.run(lambda: not stage.roles.running)
    assert stage.lines.decode() == f"[server-0,algo-1] server True {stage.directory}\n"
    assert stage.events == []


def test_a_role_that_fails_is_told_with_the_end_of_its_output(stage: Stage) -> None:
    stage.python("scheduler", "import sys; print('no port', file=sys.stderr); sys.exit(7)")
    stage.run(lambda: bool(stage.events))
    (event,) = stage.events
    assert (event["say"], event["name"], event["exit_code"], event["signal"]) == ("role-failed", "scheduler", 7, None)
    assert event["output_tail"] == "no port\n"


def test_a_role_that_a_signal_kills_is_told(stage: Stage) -> None:
    stage.python("server", "import os; os.kill(os.getpid(), 9)")
    stage.run(lambda: bool(stage.events))
    assert (stage.events[0]["exit_code"], stage.events[0]["signal"]) == (137, 9)


def test_end_asks_first_and_kills_what_stays(stage: Stage) -> None:
    stage.python("good", OBEDIENT)
    stage.python("bad", STUBBORN)
    stage.run(lambda: stage.lines.count(b"up\n") == 2)
    assert stage.roles.running == ("good", "bad")
    stage.roles.end(0.2)
    stage.run(lambda: not stage.roles.running)
    assert b"[good,algo-1] saved\n" in stage.lines
    assert [process.returncode for process in stage.roles.processes] == [3, -9]
    assert stage.events == []


def test_close_works_without_the_loop_and_takes_the_last_lines(stage: Stage) -> None:
    stage.python("good", OBEDIENT)
    stage.python("bad", STUBBORN)
    stage.run(lambda: stage.lines.count(b"up\n") == 2)
    good, bad = stage.roles.processes
    stage.roles.close(0.3)
    assert stage.lines.endswith(b"[good,algo-1] saved\n")
    assert (good.returncode, bad.returncode, stage.events) == (3, -9, [])
    stage.python("good", "print('again')")
    stage.run(lambda: not stage.roles.running)
    assert stage.lines.endswith(b"[good,algo-1] again\n")


def test_close_does_not_wait_for_a_role_that_writes_without_end(stage: Stage) -> None:
    stage.python("loud", "import sys\nwhile True: sys.stdout.write('x' * 8191 + '\\n')")
    stage.run(lambda: bool(stage.lines))
    (loud,) = stage.roles.processes
    stage.roles.close(5)
    assert loud.returncode == -15


def test_each_role_has_a_session_of_its_own_which_ends_whole(stage: Stage) -> None:
    stage.start("tree", "/bin/sh", "-c", "sleep 1000 & echo $!; wait")
    stage.run(lambda: b"\n" in stage.lines)
    (tree,) = stage.roles.processes
    assert os.getsid(tree.pid) == tree.pid != os.getsid(0)
    child = int(stage.lines.split()[1])
    stage.roles.close(5)
    # A process that has just been killed still runs until its turn comes.
    for _ in range(600):
        if not os.path.exists(f"/proc/{child}") or " Z " in Path(f"/proc/{child}/stat").read_text():
            return
        threading.Event().wait(0.1)
    raise AssertionError("the child of the role goes on")


def test_paused_roles_wait(stage: Stage) -> None:
    stage.roles.pause(True)
    stage.python("server", "print('held', flush=True)")
    stage.loop.later(0.3, stage.loop.stop)
    stage.run(lambda: False)
    assert stage.lines in (b"", b"[server,algo-1] held\n")
    stage.roles.pause(False)
    stage.run(lambda: bool(stage.lines))
    assert stage.lines == b"[server,algo-1] held\n"


def test_a_program_that_is_not_there_is_an_error_with_a_remedy(stage: Stage) -> None:
    with pytest.raises(ConfigError, match=r"role server on algo-1: cannot start no-such-program: No such file") as caught:
        stage.start("server", "no-such-program")
    assert caught.value.remedy
    assert stage.roles.running == ()
