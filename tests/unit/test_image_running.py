"""Commands run, and directories staged: with real programs and files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest

from hvdsm.errors import BackendUnavailable, ConfigError
from hvdsm.images.commands import Command
from hvdsm.images.running import TAIL, Done, EngineFailed, check, run
from hvdsm.images.staging import Copy, staging


def shell(text: str, **more: Any) -> Done:
    return run(Command(("sh", "-c", text), {"OF_COMMAND": "1"}), {"PATH": os.environ["PATH"], "OF_CALLER": "2"}, **more)


def test_lines_are_shown_as_they_come_and_the_last_are_kept() -> None:
    shown: List[str] = []
    done = shell(f"echo $OF_COMMAND$OF_CALLER; for i in $(seq {TAIL}); do echo $i; done; echo end >&2; exit 3", show=shown.append)
    assert shown == ["12", *(str(number) for number in range(1, TAIL + 1)), "end"]
    assert (done.code, done.lines) == (3, tuple(shown[-TAIL:]))


def test_what_a_program_reads_is_apart_from_errors_and_whole() -> None:
    done = shell("seq 100; echo wrong >&2", apart=True)
    assert (len(done.lines), done.errors, done.text[:5]) == (100, ("wrong",), "1\n2\n3")


def test_a_password_goes_in_and_never_comes_out() -> None:
    done = shell('read word; test "$word" = sesame && echo is it $word?; cat', password="sesame")
    assert (done.code, done.text) == (0, "is it <masked>?")
    # A program that does not read it ends all the same.
    assert shell("exit 5", password="x" * 1_000_000).code == 5
    # Without one there is nothing to read.
    assert shell("cat").text == ""


def test_failures_say_what_and_the_last_lines() -> None:
    command = Command(("sh", "-c", "x"))
    with pytest.raises(EngineFailed) as caught:
        check(shell("echo; echo one; echo two >&2; exit 9"), command, "do it", "look")
    assert (caught.value.exit_code, caught.value.code, caught.value.output) == (1, 9, ("one", "two"))
    assert "cannot do it: sh ended with exit code 9:\n    one\n    two" in str(caught.value) and "try: look" in str(caught.value)
    with pytest.raises(EngineFailed, match="sh was ended by SIGKILL"):
        check(shell("kill -9 $$"), command, "do it", "look")
    with pytest.raises(BackendUnavailable, match="No such file"):
        run(Command(("no-such-engine",)), {"PATH": "/nowhere"})


def test_what_breaks_off_ends_the_command() -> None:
    def broken(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    pids: List[int] = []
    with pytest.raises(KeyboardInterrupt):
        shell("echo $$; exec sleep 600", show=broken)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_what_breaks_off_ends_what_the_command_has_started() -> None:
    """A step of a build is a child of the engine, which leaves it behind."""

    def broken(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    pids: List[int] = []
    with pytest.raises(KeyboardInterrupt):
        shell("sleep 600 >/dev/null 2>&1 & echo $!; wait", show=broken)
    assert _ends(pids[0])


def test_a_command_that_hangs_is_killed_when_its_time_is_up() -> None:
    # The child has the output, too: it alone would keep the reader waiting.
    done = shell("sleep 600 & echo $!; wait", limit=0.5)
    assert done.late and done.code == -signal.SIGKILL and _ends(int(done.lines[0]))
    assert not shell("exit 3", limit=60).late


def _ends(pid: int) -> bool:
    """Whether a process that nobody waits for is gone, or dead and not yet buried."""
    while True:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                state = file.read().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        if state == "S" and not _signalled(pid):
            return False


def _signalled(pid: int) -> bool:
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return any(int(line.split()[1], 16) for line in file if line.startswith(("SigPnd", "ShdPnd")))


def test_secret_build_arguments_are_masked_in_lines() -> None:
    script = "echo of $HF_TOKEN; echo $INDEX $API_KEY >&2; echo $PLAIN"
    environ = {"PATH": os.environ["PATH"], "API_KEY": "sesame-3", "PLAIN": "plain"}
    given = {"HF_TOKEN": "sesame-1", "INDEX": "https://u:sesame-2@h/s"}
    words = ["--build-arg", "API_KEY", "--build-arg", "PLAIN", "--build-arg", "HF_TOKEN"]
    command = Command(("sh", "-c", script, *words), given)
    for done in (run(command, environ), run(command, environ, apart=True)):
        said = "\n".join((*done.lines, *done.errors))
        assert "sesame" not in said and said.count("<masked>") == 3 and "plain" in said


def test_a_place_without_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match=r"TMPDIR: no temporary file can be made: No such file(.|\n)*set TMPDIR"):
        shell("true")
    with pytest.raises(ConfigError, match="no staging directory can be made"), staging((), {}, print):
        pass
    with pytest.raises(ConfigError, match="cannot be written: Is a directory"), staging((), {"": "x"}, print, str(tmp_path)):
        pass
    assert os.listdir(tmp_path) == []


def test_a_staging_directory_within_the_source(tmp_path: Path) -> None:
    """TMPDIR can be below the source: a copy of the copy would have no end."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "tmp" / "other").write_text("")
    with staging((Copy(str(tmp_path), "source"),), {}, print, str(tmp_path / "tmp")) as root:
        assert sorted(str(path.relative_to(root)) for path in Path(root).rglob("*")) == [
            "source", "source/file", "source/tmp", "source/tmp/other",
        ]  # fmt: skip
    assert os.listdir(tmp_path / "tmp") == ["other"]


_HOLDS = (
    "import os, signal, sys\nfrom hvdsm.images.staging import Copy, staging\n"
    "with staging((Copy(sys.argv[1], 'file'),), {}, print, sys.argv[2]) as root:\n"
    "    print(root, flush=True)\n    signal.pause()\n"
)


def test_what_a_killed_build_has_left_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "staged"
    place.mkdir()
    (place / "hvdsm-image-link").symlink_to(tmp_path)
    argv = [sys.executable, "-c", _HOLDS, str(tmp_path / "file"), str(place)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = process.stdout.readline().strip()
        os.utime(left, (0, 0))
        said: List[str] = []
        # A build that runs keeps its own, however old.
        with staging((), {}, said.append, str(place)):
            assert os.listdir(left) == ["file"] and said == []
        process.kill()
    with staging((), {}, said.append, str(place)):
        assert not os.path.exists(left) and left in said[0]
    assert os.listdir(place) == ["hvdsm-image-link"] and (tmp_path / "file").exists()


def test_a_signal_while_it_is_removed_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = []

    def removed(path: str, **more: Any) -> None:
        monkeypatch.undo()
        before.append(path)
        raise SystemExit(143)

    monkeypatch.setattr("shutil.rmtree", removed)
    with pytest.raises(SystemExit), staging((), {"text": ""}, print, str(tmp_path)) as root:
        pass
    assert before == [root] and os.listdir(tmp_path) == []


def test_a_staging_directory_is_made_and_removed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep" / "__pycache__").mkdir(parents=True)
    (source / "deep" / "__pycache__" / "x.pyc").write_text("")
    (source / "deep" / "run.sh").write_text("#!/bin/sh\n")
    (source / "deep" / "run.sh").chmod(0o755)
    (source / "deep" / "read-only").mkdir()
    (source / "deep" / "read-only").chmod(0o555)
    (source / "loop").symlink_to(".")
    (source / "file").write_text("1")
    os.mkfifo(source / "pipe")
    copies = (Copy(str(source), "source"), Copy(str(source / "file"), "a/b/file"))
    with staging(copies, {"text": "2"}, print, str(tmp_path)) as root:
        found = sorted(str(path.relative_to(root)) for path in Path(root).rglob("*") if "loop/" not in str(path))
        assert found == [
            "a", "a/b", "a/b/file", "source", "source/deep", "source/deep/read-only", "source/deep/run.sh", "source/file",
            "source/loop", "text",
        ]  # fmt: skip
        assert os.access(f"{root}/source/deep/run.sh", os.X_OK) and os.path.islink(f"{root}/source/loop")
        assert os.stat(root).st_mode & 0o077 == 0
    assert not os.path.exists(root)


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    copies = (Copy(str(tmp_path / "file"), "file"), Copy(str(tmp_path / "absent"), "absent"))
    (tmp_path / "staged").mkdir()
    with pytest.raises(ConfigError, match="absent: cannot be copied"), staging(copies, {}, print, str(tmp_path / "staged")):
        pass
    with pytest.raises(ZeroDivisionError), staging(copies[:1], {}, print, str(tmp_path / "staged")):
        raise ZeroDivisionError
    assert os.listdir(tmp_path / "staged") == []


def test_an_ignored_signal_stays_ignored() -> None:
    """As under nohup."""
    program = (
        "import os, signal\n"
        "from hvdsm.images.running import ended_in_order\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with ended_in_order():\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    finally:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        print('in order', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, b"in order\n")
