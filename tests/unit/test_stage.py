"""A host's part of a plan: real processes, started, found ready, ended; and what is told of them."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import pytest
from role_loop import RoleLoop, signals_kept

from hvdsm.compose.environment import Paths
from hvdsm.compose.plan import parse_plan
from hvdsm.container.config import ContainerConfig
from hvdsm.container.loop import Loop
from hvdsm.container.planning import announced, setup_of
from hvdsm.container.readiness import Readiness, is_free, listens
from hvdsm.container.stage import Stage
from hvdsm.errors import ConfigError
from hvdsm.model import NONE, Cluster, Distribution, TrainingJob
from hvdsm.model.plan import Ready

WAITING = "import signal; print('up', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
BLOCKED = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); print('up', flush=True)\n"
LISTENING = """
import os, signal, socket
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", int(os.environ["PORT"])))
print("bound", flush=True)
signal.sigwait([signal.SIGUSR1])
server.listen()
signal.pause()
"""


def config_of(code: Path, hosts: tuple[str, ...] = ("algo-1",), kind: str = NONE) -> ContainerConfig:
    job = TrainingJob("job-1", "train.py", Distribution(kind), {}, {"sagemaker_hvdsm_plan": "plan.json"})
    return ContainerConfig(Paths(str(code), str(code)), Cluster(hosts, "algo-1"), job, {}, {}, 20, None)


class Play(RoleLoop):
    """A stage on a loop of its own, and what it has said."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.said: List[str] = []
        self.stage: Optional[Stage] = None

    def plan(self, environment: Optional[Dict[str, str]] = None, **document: Any) -> Dict[str, str]:
        """Take a plan; returns the environment of ranks."""
        plan, config = parse_plan(document), config_of(self.directory)
        told = {"algo-1": dict(announced(plan, "job-1"))}
        self.stage = Stage(self.loop, self.roles, config, plan, emit=self._event, say=self.said.append)
        setup = setup_of(plan, config, told, [1], None)
        ports = dict(zip(["ps"], told["algo-1"]["free_ports"]))
        return self.stage.set_up(setup, ports, 0, {**os.environ, **(environment or {})})

    def role(self, code: str, **more: Any) -> None:
        """Take a plan of one role in Python, and start it."""
        self.plan(roles=[{"name": "server", "command": [sys.executable, "-c", code], **more}])
        self.do("role", "server")

    def do(self, do: str, name: str) -> None:
        assert self.stage is not None
        self.stage.handle({"do": do, "name": name})

    def wait_for(self, said: str) -> Dict[str, Any]:
        """Until an event of a kind has come; the last of them."""
        self.run(lambda: any(event["say"] == said for event in self.events))
        found = [event for event in self.events if event["say"] == said]
        assert found, (self.events, self.lines)
        return found[-1]

    def pid(self) -> int:
        return self.roles.processes[-1].pid


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    with signals_kept():
        made = Play(tmp_path)
        yield made
        made.roles.close(0.1)


def test_a_step_runs_in_the_code_directory_with_the_plans_variables(play: Play) -> None:
    ranks = play.plan(
        environment={"ALL": "{host} of {host_count}", "OWN": "all"},
        prepare={"command": ["/bin/sh", "-c", "echo $ALL $OWN {world_size}; pwd"], "environment": {"OWN": "{host_index}"}},
        ranks={"environment": {"MINE": "{address:first}"}},
    )
    play.do("step", "prepare")
    assert play.wait_for("step-done") == {"say": "step-done", "name": "prepare"}
    assert play.lines.decode() == f"[prepare,algo-1] {{host}} of {{host_count}} 0 1\n[prepare,algo-1] {play.directory}\n"
    assert (ranks["MINE"], ranks["OWN"]) == ("127.0.0.1", "all")


def test_variables_of_the_plan_are_over_the_containers_and_those_of_ranks_are_theirs_alone(play: Play) -> None:
    document: Dict[str, Any] = {
        "prepare": {"command": ["/bin/sh", "-c", "echo $A $B"]},
        "ranks": {"environment": {"B": "rank"}},
    }
    stage_environment = {"A": "{job_name}", "B": "plan"}
    plan = parse_plan({"environment": stage_environment, **document})
    play.stage = Stage(play.loop, play.roles, config_of(play.directory), plan, emit=play._event, say=play.said.append)
    told = {"addresses": {"algo-1": "127.0.0.1"}, "processes": {"algo-1": 1}, "world_size": 1}
    ranks = play.stage.set_up(told, {}, 0, {**os.environ, "A": "container"})
    play.do("step", "prepare")
    play.wait_for("step-done")
    assert play.lines == b"[prepare,algo-1] job-1 plan\n"
    assert (ranks["A"], ranks["B"]) == ("job-1", "rank")


def test_a_step_that_fails_is_told_with_the_end_of_its_output(play: Play) -> None:
    play.plan(prepare={"command": ["/bin/sh", "-c", "echo no such bucket >&2; exit 4"]})
    play.do("step", "prepare")
    event = play.wait_for("role-failed")
    assert (event["name"], event["noun"], event["exit_code"], event["late"]) == ("prepare", "step", 4, True)
    assert event["output_tail"] == "no such bucket\n"


def test_a_step_beyond_its_time_is_ended_and_told_once(play: Play) -> None:
    play.plan(prepare={"command": [sys.executable, "-c", WAITING], "timeout": 0.2})
    play.do("step", "prepare")
    event = play.wait_for("role-failed")
    assert (event["message"], event["exit_code"], event["timeout"]) == ("the step prepare had not ended after 0.2 s", 75, True)
    play.run(lambda: not play.roles.running)
    assert [process.returncode for process in play.roles.processes] == [-15]
    assert len(play.events) == 1


def test_a_signal_reaches_steps_and_not_roles(play: Play) -> None:
    play.plan(
        prepare={"command": [sys.executable, "-c", WAITING]},
        roles=[{"name": "server", "command": [sys.executable, "-c", WAITING]}],
    )
    play.do("role", "server")
    play.do("step", "prepare")
    play.run(lambda: play.lines.count(b"up\n") == 2)
    assert play.stage is not None
    play.stage.signal(signal.SIGTERM)
    assert play.wait_for("role-failed")["signal"] == 15
    assert play.roles.running == ("server",)


def test_a_program_that_is_not_there_is_an_error(play: Play) -> None:
    play.plan(prepare={"command": ["no-such-program"]})
    with pytest.raises(ConfigError, match="role prepare on algo-1: cannot start no-such-program"):
        play.do("step", "prepare")


def test_a_role_without_a_condition_is_ready_at_once(play: Play) -> None:
    play.role(WAITING)
    assert play.events == [{"say": "role-ready", "name": "server"}]
    assert play.said == [f"process server started: {sys.executable}"]


def test_every_process_of_a_role_has_its_number_and_all_must_be_ready(play: Play) -> None:
    code = "import signal, sys; print('number', sys.argv[1], flush=True); signal.pause()"
    play.plan(
        roles=[
            {
                "name": "server",
                "count": 3,
                "command": [sys.executable, "-c", code, "{index}/{count}"],
                "ready": {"line": r"^number \d"},
            }
        ]
    )
    play.do("role", "server")
    assert play.events == []
    assert play.wait_for("role-ready") == {"say": "role-ready", "name": "server"}
    assert sorted(play.lines.decode().splitlines()) == [f"[server-{i},algo-1] number {i}/3" for i in range(3)]


def test_a_role_is_ready_when_it_listens_and_nobody_connects_to_it(play: Play) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    play.plan(
        roles=[
            {
                "name": "server",
                "command": [sys.executable, "-c", LISTENING],
                "environment": {"PORT": str(port)},
                "ready": {"port": port},
            }
        ]
    )
    play.do("role", "server")
    play.run(lambda: b"bound" in play.lines)
    assert play.events == [] and not listens(port)
    os.kill(play.pid(), signal.SIGUSR1)
    play.wait_for("role-ready")
    assert listens(port) and not is_free(port)
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    assert [row for row in table if row.split()[1].endswith(f":{port:04X}") and row.split()[3] != "0A"] == []


def test_a_file_of_a_run_before_does_not_make_a_role_ready(play: Play) -> None:
    (play.directory / "ready").write_text("old")
    code = "signal.sigwait([signal.SIGUSR1]); open('ready', 'w').write('anew'); signal.pause()"
    play.role(BLOCKED + code, ready={"file": "ready"})
    play.run(lambda: b"up" in play.lines)
    play.loop.later(0.2, play.loop.stop)
    play.run(lambda: False)
    assert play.events == []
    os.kill(play.pid(), signal.SIGUSR1)
    play.wait_for("role-ready")


def test_a_role_that_is_never_ready_is_told_with_what_is_missing(play: Play) -> None:
    play.role(WAITING, ready={"line": "serving"}, ready_timeout=0.3)
    event = play.wait_for("role-failed")
    assert event["message"] == "the process server was not ready within 0.3 s: no line of its output matches 'serving'"
    assert (event["exit_code"], event["timeout"]) == (75, True)


@pytest.mark.parametrize("code", ["print('up')", "sys.stdout.write('up')"])
def test_neither_a_flush_nor_the_end_of_a_line_is_needed_to_be_ready(play: Play, code: str) -> None:
    play.role(f"import signal, sys; {code}; signal.pause()", ready={"line": "^up"})
    assert play.wait_for("role-ready")["name"] == "server"


def test_the_tag_of_a_line_is_no_part_of_it(play: Play) -> None:
    play.role("import signal; print('x', flush=True); signal.pause()", ready={"line": "server"}, ready_timeout=0.5)
    assert "no line of its output matches" in play.wait_for("role-failed")["message"]


@pytest.mark.parametrize("code", [0, 3])
def test_a_role_that_ends_before_it_is_ready_fails_with_any_code(play: Play, code: int) -> None:
    play.role(f"import sys; sys.exit({code})", ready={"file": "ready"}, end="wait")
    event = play.wait_for("role-failed")
    assert event["exit_code"] == code
    assert event["when"] == f" before it was ready: there is no new file {play.directory}/ready"


def test_a_role_that_was_ready_in_its_last_moment_was_ready(play: Play) -> None:
    play.role("open('ready', 'w').write('x'); print('serving')", ready={"file": "ready"}, end="wait")
    play.run(lambda: not play.roles.running)
    assert play.events == [{"say": "role-ready", "name": "server"}]


def test_a_role_that_runs_until_it_is_told_must_not_end_by_itself(play: Play) -> None:
    play.role("print('bye')")
    event = play.wait_for("role-failed")
    assert (event["exit_code"], event["late"]) == (0, False)
    assert event["when"] == ' before the ranks had ended; one that ends by itself has "end": "wait" in the plan'


def test_a_role_that_ends_by_itself_may_do_so_with_0_only(play: Play) -> None:
    play.role("pass", end="wait")
    play.run(lambda: not play.roles.running)
    assert [event["say"] for event in play.events] == ["role-ready"]
    play.do("end-role", "server")
    assert play.events[-1] == {"say": "role-ended", "name": "server"}
    play.events.clear()
    play.role("raise SystemExit(5)", end="wait")
    event = play.wait_for("role-failed")
    assert (event["exit_code"], event["late"], event["when"]) == (5, True, " before the ranks had ended")


def test_the_end_of_a_role_is_asked_for_and_its_code_does_not_matter(play: Play) -> None:
    play.role("import signal, sys\nsignal.signal(15, lambda *_: sys.exit(3))\nprint('up', flush=True)\nsignal.pause()")
    play.run(lambda: b"up" in play.lines)
    play.do("end-role", "server")
    assert play.wait_for("role-ended") == {"say": "role-ended", "name": "server"}
    assert [event["say"] for event in play.events] == ["role-ready", "role-ended"]


def test_a_role_that_stays_is_killed_with_a_warning(play: Play) -> None:
    play.role(STUBBORN, end_timeout=0.3)
    play.run(lambda: b"up" in play.lines)
    play.do("end-role", "server")
    assert play.wait_for("role-ended")["warning"] == "server had not ended 0.3 s after SIGTERM"
    assert play.roles.processes[0].returncode == -9


def test_a_role_that_ends_by_itself_is_waited_for_and_then_told(play: Play) -> None:
    play.role(WAITING, end="wait", end_timeout=0.3)
    play.run(lambda: b"up" in play.lines)
    play.do("end-role", "server")
    assert play.wait_for("role-ended")["warning"] == "server had not ended 0.3 s after the end of the ranks"
    assert play.roles.processes[0].returncode == -15
    assert [event["say"] for event in play.events] == ["role-ready", "role-ended"]


def test_a_role_whose_end_is_overdue_fails_the_job_where_the_plan_says_so(play: Play) -> None:
    play.role(WAITING, end="wait", end_timeout=0.3, overdue="failure")
    play.run(lambda: b"up" in play.lines)
    play.do("end-role", "server")
    event = play.wait_for("role-failed")
    assert event["message"] == "server had not ended 0.3 s after the end of the ranks"
    assert (event["late"], event["timeout"], event["exit_code"], event["output_tail"]) == (True, True, 75, "up\n")


def test_a_role_that_fails_while_it_is_waited_for_fails_the_job(play: Play) -> None:
    play.role(BLOCKED + "signal.sigwait([signal.SIGUSR1]); raise SystemExit(9)", end="wait")
    play.run(lambda: b"up" in play.lines)
    play.do("end-role", "server")
    os.kill(play.pid(), signal.SIGUSR1)
    event = play.wait_for("role-failed")
    assert (event["when"], event["late"], event["exit_code"]) == (" after the ranks had ended", True, 9)


def test_after_a_reset_nothing_is_told_and_the_roles_start_again(play: Play) -> None:
    play.role(WAITING, ready={"line": "never"}, ready_timeout=0.3)
    play.run(lambda: b"up" in play.lines)
    assert play.stage is not None
    play.stage.reset()
    play.roles.close(5)
    play.loop.later(0.5, play.loop.stop)
    play.run(lambda: False)
    assert play.events == []
    play.do("role", "server")
    assert "not ready" in play.wait_for("role-failed")["message"]


def test_lines_of_a_paused_role_make_it_ready_when_they_go_on(play: Play) -> None:
    play.roles.pause(True)
    play.role(WAITING, ready={"line": "up"})
    play.loop.later(0.2, play.loop.stop)
    play.run(lambda: False)
    assert play.events == []
    play.roles.pause(False)
    play.wait_for("role-ready")


def test_without_a_table_of_the_kernel_a_connection_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hvdsm.container.readiness._table", lambda _path: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listens(port)
    assert not listens(port)


def test_a_readiness_that_is_cancelled_is_over(tmp_path: Path) -> None:
    loop, done = Loop(), threading.Event()
    readiness = Readiness(loop, Ready(file="x"), str(tmp_path), done.set)
    readiness.begin()
    readiness.cancel()
    (tmp_path / "x").write_text("")
    readiness.check()
    assert not done.is_set() and readiness.over


def test_what_hosts_are_told_of_each_other(tmp_path: Path) -> None:
    plan = parse_plan({"roles": [{"name": "s", "command": ["{port:ps}"]}]})
    config = config_of(tmp_path, ("algo-1", "algo-2"), "mpi")
    first = dict(announced(plan, "job-1"))
    assert len(first["free_ports"]) > 1
    told = setup_of(plan, config, {"algo-1": first, "algo-2": {**first, "address": "10.0.0.2"}}, [2, 3], "10.0.0.1")
    assert told == {
        "addresses": {"algo-1": "10.0.0.1", "algo-2": "10.0.0.2"},
        "processes": {"algo-1": 2, "algo-2": 3},
        "world_size": 5,
    }
    with pytest.raises(ConfigError, match="algo-2: the plan is not the one of algo-1"):
        setup_of(plan, config, {"algo-1": first, "algo-2": {**first, "plan": "other"}}, [1, 1], None)
