"""Programs on emulated hosts behave as with ``subprocess.Popen``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import Iterator, List

import pytest
from emulator_support import run, shell, unavailable

from hvdsm.emulator import ClusterSpec, EmulatedCluster
from hvdsm.errors import HostLost, UsageError

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(unavailable()), reason=unavailable())]


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmulatedCluster]:
    with EmulatedCluster.start(ClusterSpec(2)) as made:
        yield made


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9), ("kill -TERM $$", -15)])
def test_exit_codes(cluster: EmulatedCluster, script: str, code: int) -> None:
    assert shell(cluster, "algo-2", script).code == code


def test_standard_streams(cluster: EmulatedCluster) -> None:
    data = bytes(range(256)) * 5000
    program = "import sys; d = sys.stdin.buffer.read(); sys.stdout.write(str(len(d))); sys.stderr.write('problem')"
    assert run(cluster, "algo-1", [sys.executable, "-c", program], stdin=data) == (0, str(len(data)), "problem")


def test_a_pipe_ends_with_the_program(cluster: EmulatedCluster) -> None:
    read, write = os.pipe()
    process = cluster.popen("algo-1", ["echo", "through the pipe"], stdout=write, stderr=subprocess.STDOUT)
    os.close(write)
    with open(read) as file:
        assert file.read() == "through the pipe\n"
    assert process.wait(10) == 0


def test_arguments_environment_and_directory_arrive_untouched(cluster: EmulatedCluster) -> None:
    words = ["a b", "", "$HOME", "'\"\\", "\udcff", "ü", "x" * 100_000]
    program = "import sys, os; print(ascii([sys.argv[1:], os.environ['V'], os.getcwd()]))"
    value = "v" * 100_000 + "\n\udcfe"
    answer = run(cluster, "algo-1", [sys.executable, "-c", program, *words], env={"V": value}, cwd="/usr")
    assert answer.out.strip() == ascii([words, value, "/usr"])


def test_a_large_environment(cluster: EmulatedCluster) -> None:
    environment = {f"HVDSM_{number}": "x" * 10_000 for number in range(60)}
    assert shell(cluster, "algo-1", "env | grep -c ^HVDSM_", env=environment).out == "60\n"


def test_the_base_environment(cluster: EmulatedCluster) -> None:
    os.environ["HVDSM_TEST_NOT_PASSED"] = "1"
    lines = run(cluster, "algo-1", ["env"]).out.splitlines()
    names = {line.split("=")[0] for line in lines}
    assert {"PATH", "HOME", "USER", "LANG"} <= names
    assert "HVDSM_TEST_NOT_PASSED" not in names


def test_what_cannot_be_executed(cluster: EmulatedCluster) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        cluster.popen("algo-1", ["hvdsm-no-such-program"])
    assert missing.value.filename == "hvdsm-no-such-program"
    with pytest.raises(PermissionError):
        cluster.popen("algo-1", ["/etc/hosts"])
    with pytest.raises(FileNotFoundError) as nowhere:
        cluster.popen("algo-1", ["true"], cwd="/no/such/directory")
    assert nowhere.value.filename == "/no/such/directory"
    with pytest.raises(UsageError, match="no such host"):
        cluster.popen("algo-3", ["true"])
    with pytest.raises(UsageError):
        cluster.popen("algo-1", [])


def test_signals_go_to_the_process_alone(cluster: EmulatedCluster) -> None:
    read, write = os.pipe()
    script = "trap 'exit 5' TERM; sleep 1000 & echo $!; while :; do wait; done"
    process = cluster.popen("algo-1", ["sh", "-c", script], stdout=write, stdin=subprocess.DEVNULL)
    os.close(write)
    with open(read) as file:
        child = file.readline().strip()
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.terminate()
        assert process.wait(10) == 5
    assert shell(cluster, "algo-1", 'kill -0 "$1" && kill -9 "$1"', child).code == 0
    process.kill()  # has ended: nothing happens


def test_a_signal_to_the_group(cluster: EmulatedCluster) -> None:
    program = """if True:
        import os, signal, sys
        child = os.fork()
        signal.signal(signal.SIGINT, lambda *_: os._exit(6 if child == 0 else os.waitstatus_to_exitcode(os.wait()[1])))
        sys.stdout.write('x'); sys.stdout.flush()
        while True: signal.pause()
    """
    read, write = os.pipe()
    process = cluster.popen("algo-1", [sys.executable, "-c", program], stdout=write)
    os.close(write)
    with open(read) as file:
        assert file.read(2) == "xx"  # both wait
        process.send_signal_to_group(signal.SIGINT)
        assert process.wait(30) == 6


def test_programs_do_not_inherit_ignored_signals(cluster: EmulatedCluster) -> None:
    ignored = shell(cluster, "algo-1", "grep -e SigIgn -e SigBlk /proc/self/status").out.split()
    # Signals 32 and 33 are the C library's own: no program can change what it inherits of them.
    assert {int(value, 16) & ~(0b11 << 31) for value in ignored[1::2]} == {0}


def test_orphans_are_reaped(cluster: EmulatedCluster) -> None:
    assert shell(cluster, "algo-2", "for i in 1 2 3; do (sh -c 'exit 0' &) ; done").code == 0
    script = (
        "import glob\nwhile any(open(f).read().rsplit(')', 1)[1].split()[0] == 'Z' for f in glob.glob('/proc/[0-9]*/stat')): pass"
    )
    process = cluster.popen("algo-2", [sys.executable, "-c", script])
    assert process.wait(30) == 0


def test_many_threads(cluster: EmulatedCluster) -> None:
    codes: List[int] = []

    def work(number: int) -> None:
        host = f"algo-{number % 2 + 1}"
        codes.extend(shell(cluster, host, 'exit "$1"', str(number)).code for _ in range(5))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == sorted(list(range(8)) * 5)


def test_a_closed_cluster() -> None:
    cluster = EmulatedCluster.start(ClusterSpec(1))
    process = cluster.popen("algo-1", ["sleep", "1000"])
    cluster.close()
    cluster.close()
    assert process.returncode == -9
    with pytest.raises(HostLost):
        cluster.popen("algo-1", ["true"])


def test_no_descriptor_leaks() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with EmulatedCluster.start(ClusterSpec(2)) as cluster:
            assert shell(cluster, "algo-2", "ls /proc/self/fd").out.split() == ["0", "1", "2", "3"]
            with pytest.raises(FileNotFoundError):
                cluster.popen("algo-1", ["hvdsm-no-such-program"])
    assert len(os.listdir("/proc/self/fd")) == before
