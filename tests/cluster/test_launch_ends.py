"""How jobs end: failing ranks, signals, limits, interrupts, odd output; the exit code is the rank's, and nothing stays behind."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from launching import Launched, command, environment, finished, launch, python_of

from hvdsm.emulator import probe

AVAILABLE = probe()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not AVAILABLE.ok, reason=f"no emulated hosts: {AVAILABLE.reason}"),
]
TWO = ("--instance-count", "2", "--processes-per-host", "1")
ON_RANK_1 = (
    "import os, signal, sys, time\nfrom mpi4py import MPI\nif MPI.COMM_WORLD.rank == 1:\n    {end}\nMPI.COMM_WORLD.barrier()\n"
)


def ended(tmp_path: Path, program: str, *words: str) -> Launched:
    script = tmp_path / "t.py"
    script.write_text(program)
    return launch(tmp_path / "out", *TWO, *words, str(script))


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("sys.exit(7)", 7, "exit code 7"),
        ("raise ValueError('bad batch')", 1, "ValueError: bad batch"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "SIGKILL"),
        ("os._exit(3)", 3, "exit code 3"),
    ],
)
def test_a_failing_rank_ends_the_job(tmp_path: Path, end: str, code: int, said: str) -> None:
    done = ended(tmp_path, ON_RANK_1.format(end=end))
    assert done.code == code == done.outcome["exit_code"], done.output.decode()
    failure = done.outcome["failure"]
    assert (failure["rank"], failure["host"], done.outcome["status"]) == (1, "algo-2", "Failed")
    assert done.failure.startswith("rank 1 (algo-2, local rank 0): ") and said in done.failure[:1024]
    assert not (done.results / "model").exists() and not (done.results / ".hosts").exists()
    assert any("rank 1 (algo-2" in line for line in done.lines)


def test_odd_output_is_whole(tmp_path: Path) -> None:
    done = ended(
        tmp_path,
        "import os, sys\nos.write(1, b'x' * (1 << 20) + b'end\\n')\nos.write(2, b'\\xff\\xfe bad\\n')\nprint('   indented')\n"
        "sys.stdout.write('no newline')\n",
    )
    assert done.code == 0, done.output[-2000:]
    long = [line for line in done.output.split(b"\n") if line.endswith(b"xend")]
    assert len(long) == 2 and all(line.count(b"x") >= 1 << 20 for line in long)
    for rank in (0, 1):
        assert b"[%d,algo-%d] \xff\xfe bad\n" % (rank, rank + 1) in done.output
        assert "   indented" in done.said_by(rank)
    assert done.output.count(b"no newline") == 2


def test_daemons_keep_nobody_waiting(tmp_path: Path) -> None:
    mark = f"hvdsm-test-{uuid.uuid4().hex}"
    done = ended(
        tmp_path, f"import subprocess\nsubprocess.Popen(['sh', '-c', 'exec -a {mark} sleep 600'], start_new_session=True)\n"
    )
    assert done.code == 0
    assert mark not in subprocess.run(["ps", "axww"], stdout=subprocess.PIPE, text=True, check=True).stdout


def test_time_limit(tmp_path: Path) -> None:
    done = ended(
        tmp_path,
        "import os, signal, sys, time\n"
        "signal.signal(15, lambda *_: (os.write(1, b'saving' + os.linesep.encode()), sys.exit(0)))\ntime.sleep(600)\n",
        "--max-run", "3",
    )  # fmt: skip
    assert (done.code, done.outcome["status"], done.outcome["failure"]["kind"]) == (75, "Stopped", "timeout")
    assert "MaxRuntimeInSeconds" in done.failure
    assert [done.said_by(rank) for rank in (0, 1)] == [["saving"], ["saving"]]


@pytest.mark.parametrize("options", ["--help", "--no-such-option", "-x A='b"])
def test_options_that_start_no_ranks(tmp_path: Path, options: str) -> None:
    script = tmp_path / "t.py"
    script.write_text("print('ran')\n")
    done = launch(tmp_path / "out", *TWO, "--mpi-options", options, str(script))
    assert done.code != 0 and b"] ran" not in done.output
    assert "error" in done.outcome or done.outcome["failure"]["message"]


def test_missing_mpirun(tmp_path: Path) -> None:
    done = ended(tmp_path, "print('ran')\n", "--mpirun", "/no/such/mpirun")
    assert done.code == 78 and "mpirun" in done.failure


@pytest.mark.parametrize("hosts", ["namespaces", "single"])
@pytest.mark.parametrize("times", [1, 2])
def test_interrupt(tmp_path: Path, hosts: str, times: int) -> None:
    script = tmp_path / "t.py"
    script.write_text(
        "import os, signal, sys, time\n"
        + ("signal.signal(15, lambda *_: (os.write(1, b'saving' + os.linesep.encode()), sys.exit(0)))\n" if times == 1 else
           "signal.signal(15, lambda *_: os.write(1, b'deaf' + os.linesep.encode()))\n")
        + "print('ready', flush=True)\nwhile True:\n    time.sleep(600)\n"
    )  # fmt: skip
    process = subprocess.Popen(
        command([*TWO, "--hosts", hosts, str(script)], tmp_path / "out"),
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    assert process.stderr is not None and process.stdout is not None
    seen = b""
    sent = 0
    while data := process.stderr.read(65536):
        seen += data
        ready, deaf = seen.count(b"] ready\n") == 2, seen.count(b"] deaf\n") == 2
        if (sent == 0 and ready) or (sent == 1 and times == 2 and deaf):
            sent += 1
            process.send_signal(signal.SIGINT)
    done = finished(process.wait(60), process.stdout.read(), seen, tmp_path / "out")
    process.stdout.close()
    process.stderr.close()
    assert (done.code, done.outcome["status"]) == (130, "Stopped"), seen.decode()
    assert (b"] saving\n" in seen) == (times == 1) and b"stopping" in seen
    assert not (done.results / ".hosts").exists()


@pytest.mark.parametrize("hosts", ["namespaces", "single"])
def test_a_killed_command_leaves_no_process(tmp_path: Path, hosts: str) -> None:
    mark = f"hvdsm-test-{uuid.uuid4().hex}"
    script = tmp_path / "t.py"
    script.write_text("import time\nprint('ready', flush=True)\ntime.sleep(600)\n")
    words = command([*TWO, "--hosts", hosts, str(script), mark], tmp_path / hosts)
    process = subprocess.Popen(words, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0)
    assert process.stderr is not None
    seen = b""
    while seen.count(b"] ready\n") < 2:
        data = process.stderr.read(65536)
        assert data, seen.decode()
        seen += data
    process.kill()
    process.wait()
    process.stderr.close()
    gone_within(mark)


def gone_within(mark: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        listed = subprocess.run(["ps", "axww", "-o", "args"], stdout=subprocess.PIPE, text=True, check=True).stdout
        left = [line for line in listed.splitlines() if mark in line]
        if not left:
            return
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


@pytest.mark.skipif(os.geteuid() != 0, reason="these tests already run as an ordinary user")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_as_an_ordinary_user() -> None:
    folder = Path(subprocess.run(["mktemp", "-d"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip())
    try:
        (folder / "t.py").write_text(
            "import os; print('uid', os.getuid()); open(os.environ['SM_MODEL_DIR'] + '/m', 'w').write('x')\n"
        )
        for path in (folder, folder / "t.py"):
            os.chown(path, 65534, 65534)
        user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        python = python_of(user)
        if python is None:
            pytest.skip(f"an ordinary user can run neither {sys.executable} nor the system's Python of that version")
        done = launch(
            folder / "out",
            "--hosts",
            "namespaces",
            "--mpirun",
            str(Path(sys.executable).parent / "mpirun"),
            *TWO,
            str(folder / "t.py"),
            env={"HOME": str(folder)},
            python=[*user, *python],
        )
        assert done.code == 0, done.output.decode() + str(done.outcome)
        assert (done.results / "model" / "m").stat().st_uid == 65534
    finally:
        shutil.rmtree(folder)


def test_a_full_disk_is_said_and_nothing_stays(tmp_path: Path) -> None:
    (tmp_path / "t.py").write_text("print('never')\n")
    full = tmp_path / "full"
    full.mkdir()
    words = shlex.join([sys.executable, "-m", "hvdsm", "launch", "--output", str(full), "--instance-count", "2", "t.py"])
    # One page, which the file takes that fills it.
    inner = (
        f"mount -t tmpfs -o size=4k none {full} && head -c 4096 /dev/zero >{full}/all; {words}; code=$?; ls {full}; exit $code"
    )
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", inner], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.splitlines()[1:]) == (69, ["all"]), done.stderr
    assert "No space left on device" in done.stderr and "--output" in done.stderr and "Traceback" not in done.stderr
