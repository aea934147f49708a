"""Each emulated host is a machine of its own, and the real machine stays untouched."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterator

import pytest
from emulator_support import run, shell, unavailable

from hvdsm.emulator import ClusterSpec, EmulatedCluster, Mount
from hvdsm.errors import HvdsmError, UsageError

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(unavailable()), reason=unavailable())]


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmulatedCluster]:
    with EmulatedCluster.start(ClusterSpec(3)) as made:
        yield made


def test_names_and_addresses(cluster: EmulatedCluster) -> None:
    assert [host.name for host in cluster.hosts] == ["algo-1", "algo-2", "algo-3"]
    for host in cluster.hosts:
        answer = shell(cluster, host.name, "hostname; cat /etc/hostname; getent ahostsv4 algo-3 | head -1")
        assert answer.out.split()[:3] == [host.name, host.name, cluster.hosts[2].address]


def test_hosts_talk_by_name_and_only_to_each_other(cluster: EmulatedCluster) -> None:
    server = cluster.popen(
        "algo-2",
        [
            sys.executable,
            "-c",
            "import socket; s = socket.create_server(('', 5000)); print(flush=True); c, a = s.accept(); c.sendall(a[0].encode())",
        ],
        stdin=subprocess.DEVNULL,
        stdout=(pipe := os.pipe())[1],
    )
    os.close(pipe[1])
    with open(pipe[0], "rb") as ready:
        ready.readline()
        client = "import socket; print(socket.create_connection(('algo-2', 5000)).recv(99).decode())"
        assert run(cluster, "algo-3", [sys.executable, "-c", client]).out.strip() == cluster.hosts[2].address
        assert server.wait(10) == 0
    interfaces = run(cluster, "algo-1", ["ls", "/sys/class/net"]).out.split()
    assert sorted(interfaces) == ["eth0", "lo"]
    assert shell(cluster, "algo-1", "cat /proc/net/if_inet6 2>/dev/null").out == ""


def test_process_space_is_private(cluster: EmulatedCluster) -> None:
    seen = shell(cluster, "algo-1", "ls -d /proc/[0-9]* | wc -l; cat /proc/1/comm; echo $PPID").out.split()
    assert int(seen[0]) <= 4
    assert seen[1:] == ["init-algo-1", "1"]


@pytest.mark.parametrize("place", ["/tmp", "/var/tmp", "/dev/shm", "/run", "/opt/ml"])
def test_private_directories(cluster: EmulatedCluster, place: str) -> None:
    mark = f"{place}/only-on-algo-1"
    assert shell(cluster, "algo-1", 'echo x > "$1"', mark).code == 0
    assert shell(cluster, "algo-2", '[ -e "$1" ]', mark).code == 1
    assert not os.path.exists(mark)
    if os.access(place, os.W_OK):
        with tempfile.NamedTemporaryFile(prefix="hvdsm-test-mark", dir=place) as file:
            assert shell(cluster, "algo-1", '[ -e "$1" ]', file.name).code == 1


def test_launchers_may_append_to_the_environment_file(cluster: EmulatedCluster) -> None:
    machine = Path("/etc/environment")
    before = machine.read_bytes() if machine.exists() else None
    for _ in range(2):
        assert shell(cluster, "algo-1", "echo A=b >> /etc/environment").code == 0
    assert shell(cluster, "algo-1", "cat /etc/environment").out == "A=b\nA=b\n"
    assert shell(cluster, "algo-2", "cat /etc/environment").out == ""
    assert (machine.read_bytes() if machine.exists() else None) == before


@pytest.mark.parametrize("place", ["/", "/etc", "/usr", "/opt", "/srv", "/home", "~", "~/.ssh", "~/.config", "/mnt"])
def test_what_a_host_writes_stays_there(cluster: EmulatedCluster, place: str) -> None:
    script = f"mkdir -p {place} && cd {place} && echo mine > hvdsm-test-mark && cat hvdsm-test-mark && pwd -P"
    answer = shell(cluster, "algo-1", script)
    assert answer.out.split()[0] == "mine", answer
    path = answer.out.split()[1] + "/hvdsm-test-mark"
    assert shell(cluster, "algo-2", '[ -e "$1" ]', path).code == 1
    assert not os.path.exists(path)


def test_files_of_the_machine_can_be_changed_and_removed_privately(cluster: EmulatedCluster, machine_file: Path) -> None:
    script = 'cat "$1" && echo changed > "$1" && cat "$1" && rm "$1" && ls "$2"'
    directory = machine_file.parent
    assert shell(cluster, "algo-1", script, str(machine_file), str(directory)).out.split() == ["original", "changed"]
    assert run(cluster, "algo-2", ["cat", str(machine_file)]).out == "original\n"
    assert machine_file.read_text() == "original\n"


@pytest.fixture(scope="module")
def machine_file() -> Iterator[Path]:
    """A file in the home directory, where hosts see the machine's."""
    import pwd

    home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    with tempfile.TemporaryDirectory(prefix="hvdsm-test", dir=home) as directory:
        file = Path(directory, "file with spaces")
        file.write_text("original\n")
        yield file


def test_root_on_the_host_whoever_calls(cluster: EmulatedCluster) -> None:
    import pwd

    home = pwd.getpwuid(os.geteuid()).pw_dir
    answer = shell(cluster, "algo-1", "id -un; id -u; echo $HOME; getent passwd root | cut -d: -f6; stat -c %u $HOME")
    assert answer.out.split() == ["root", "0", home, home, "0"]


def test_shell_start_files_are_hidden(cluster: EmulatedCluster) -> None:
    assert shell(cluster, "algo-1", "cat ~/.bashrc ~/.profile ~/.bash_profile") == (0, "", "")


def test_open_mpi_never_spins_and_never_pins(cluster: EmulatedCluster) -> None:
    text = shell(cluster, "algo-1", "cat ~/.openmpi/mca-params.conf ~/.prte/mca-params.conf").out
    assert text.splitlines() == [
        "mpi_yield_when_idle = 1",
        "hwloc_base_binding_policy = none",
        "hwloc_default_binding_policy = none",
    ]


def test_devices_work_and_cannot_be_made(cluster: EmulatedCluster) -> None:
    script = "echo x > /dev/null && head -c 4 /dev/urandom | wc -c && touch /dev/hvdsm-test-mark"
    answer = shell(cluster, "algo-1", script)
    assert answer.out.strip() == "4"
    assert "Read-only" in answer.err
    assert not os.path.exists("/dev/hvdsm-test-mark")


def test_the_machine_is_out_of_reach(cluster: EmulatedCluster) -> None:
    assert shell(cluster, "algo-1", "ls -d /.machine /.memory").out == ""


def test_visible_paths_and_links_under_tmp(tmp_path: Path) -> None:
    wanted = tmp_path / "a b" / "c:d,e"
    wanted.mkdir(parents=True)
    (wanted / "file").write_text("text")
    (tmp_path / "secret").write_text("hidden")
    (tmp_path / "link").symlink_to(wanted)
    spec = ClusterSpec(2, visible=(str(wanted), str(tmp_path / "link" / "file")))
    with EmulatedCluster.start(spec) as cluster:
        for host in ("algo-1", "algo-2"):
            assert run(cluster, host, ["cat", str(wanted / "file")]).out == "text"
            assert run(cluster, host, ["cat", str(tmp_path / "link" / "file")]).out == "text"
            assert run(cluster, host, ["cat", str(tmp_path / "secret")]).code == 1
            assert "Read-only" in run(cluster, host, ["touch", str(wanted / "new")]).err
            assert run(cluster, host, ["touch", "/tmp/new"]).code == 0
    assert os.listdir(wanted) == ["file"]


def test_private_copies_under_tmp(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("original")
    with EmulatedCluster.start(ClusterSpec(2, private_copies=(str(tmp_path),))) as cluster:
        script = 'cd "$1" && echo changed > file && touch new && cat file'
        assert shell(cluster, "algo-1", script, str(tmp_path)).out == "changed\n"
        assert shell(cluster, "algo-2", 'cd "$1" && ls && cat file', str(tmp_path)).out == "file\noriginal"
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "original"


def test_the_interpreter_and_the_path_work_wherever_they_lie(tmp_path: Path) -> None:
    programs = tmp_path / "bin with spaces"
    programs.mkdir()
    (programs / "hvdsm-test-tool").write_text("#!/bin/sh\necho tool\n")
    (programs / "hvdsm-test-tool").chmod(0o755)
    script = (
        "import sys, subprocess\n"
        "from hvdsm.emulator import ClusterSpec, EmulatedCluster\n"
        "with EmulatedCluster.start(ClusterSpec(1)) as c:\n"
        "    code = c.popen('algo-1', ['hvdsm-test-tool']).wait()\n"
        "    code += c.popen('algo-1', [sys.executable, '-c', 'import venv_module; print(venv_module.NAME)']).wait()\n"
        "sys.exit(code)\n"
    )
    venv = tmp_path / "v env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(venv)], check=True)
    (next(venv.glob("lib/python3*/site-packages")) / "venv_module.py").write_text("NAME = 'from the venv'\n")
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    done = subprocess.run(
        [str(venv / "bin" / "python"), "-c", script], env=environment, capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "tool\nfrom the venv\n"), done.stderr


WITH_MOUNTS = """
import sys
from hvdsm.emulator import ClusterSpec, EmulatedCluster

script = "cat /srv/inner/file /usr/local/share/file && touch /srv/new ~/new /etc/new && echo written && cat /etc/hostname"
with EmulatedCluster.start(ClusterSpec(2)) as cluster:
    sys.exit(cluster.popen("algo-2", ["sh", "-c", script]).wait())
"""


@pytest.mark.parametrize("overlays", ["possible", "impossible"])
def test_what_is_mounted_inside_directories_is_seen(overlays: str) -> None:
    """Overlayfs refuses such directories to ordinary users, and all directories when it is stacked too high."""
    prepare = [
        "mount -t tmpfs none /srv && mkdir /srv/inner && mount -t tmpfs none /srv/inner && echo one > /srv/inner/file",
        "mount -t tmpfs none /usr/local/share && echo two > /usr/local/share/file",
    ]
    if overlays == "impossible":
        prepare += [
            "for d in etc srv; do mkdir -p /dev/shm/$d/l /dev/shm/$d/u /dev/shm/$d/w; done",
            "for d in etc srv; do for i in 1 2; do mkdir /dev/shm/$d/u/$i /dev/shm/$d/w/$i; mount -t overlay -o "
            "lowerdir=/$d,upperdir=/dev/shm/$d/u/$i,workdir=/dev/shm/$d/w/$i none /$d || :; done; done",
        ]
        prepare[:0] = ["mount -t tmpfs none /dev/shm"]
        prepare.append("mount -t tmpfs none /srv/inner && echo one > /srv/inner/file")
    namespaces = ["-m"] if os.geteuid() == 0 else ["-Urm"]
    run_it = 'exec "$1" -c "$2"'
    done = subprocess.run(
        [
            "unshare",
            *namespaces,
            "sh",
            "-c",
            "\n".join([f"{line} || exit 33" for line in prepare] + [run_it]),
            "sh",
            sys.executable,
            WITH_MOUNTS,
        ],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done
    assert done.stdout.split() == ["one", "two", "written", "algo-2"]
    assert not os.path.exists("/etc/new")


def test_mounts(tmp_path: Path) -> None:
    shared, data = tmp_path / "shared out", tmp_path / "data"
    for directory in (shared, data):
        directory.mkdir()
    (data / "file").write_text("text")
    spec = ClusterSpec(
        2,
        mounts=(
            Mount(str(shared), "/opt/ml/output", writable=True),
            Mount(str(data), "/opt/ml/input/data/train"),
            Mount(str(data / "file"), "/etc/only one", host="algo-2"),
        ),
    )
    with EmulatedCluster.start(spec) as cluster:
        for host in ("algo-1", "algo-2"):
            assert shell(cluster, host, "cat /opt/ml/input/data/train/file; hostname > /opt/ml/output/$(hostname)").out == "text"
            assert "Read-only" in shell(cluster, host, "touch /opt/ml/input/data/train/x").err
            assert shell(cluster, host, "touch /opt/ml/private").code == 0
        assert run(cluster, "algo-2", ["cat", "/etc/only one"]).out == "text"
        assert run(cluster, "algo-1", ["cat", "/etc/only one"]).code == 1
    assert sorted(path.name for path in shared.iterdir()) == ["algo-1", "algo-2"]
    assert (shared / "algo-2").read_text() == "algo-2\n"
    assert not (data / "x").exists()


def test_a_mount_that_has_no_place_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spec = ClusterSpec(1, mounts=(Mount(str(tmp_path), f"{tmp_path}/file/below"),), visible=(str(tmp_path),))
    with pytest.raises(HvdsmError, match="cannot make"):
        EmulatedCluster.start(spec)


@pytest.mark.parametrize(
    "spec",
    [
        ClusterSpec(0),
        ClusterSpec(100000),
        ClusterSpec(1, mounts=(Mount("/nonexistent-hvdsm", "/x"),)),
        ClusterSpec(1, mounts=(Mount("relative", "/x"),)),
        ClusterSpec(1, mounts=(Mount("/etc", "/x", host="algo-2"),)),
        ClusterSpec(1, visible=("/nonexistent-hvdsm",)),
        ClusterSpec(1, delay_ms=-1),
    ],
)
def test_what_cannot_be_meant_is_refused(spec: ClusterSpec) -> None:
    with pytest.raises(UsageError):
        EmulatedCluster.start(spec)


def test_sixteen_hosts() -> None:
    with EmulatedCluster.start(ClusterSpec(16)) as cluster:
        running = [
            cluster.popen(host.name, ["sh", "-c", "exit ${HOSTNAME##algo-}"], env={"HOSTNAME": host.name})
            for host in cluster.hosts
        ]
        assert [process.wait(30) for process in running] == list(range(1, 17))
