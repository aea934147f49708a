"""What an image is checked for: each verdict from facts, Open MPI and sshd by programs that stand for them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import pytest

import hvdsm
from hvdsm.bundle import write
from hvdsm.container import doctor, mpi_health, ssh_health, vitals
from hvdsm.container.accelerators import AcceleratorFacts, accelerators, accelerators_here
from hvdsm.container.diagnosis import FAILED, NOTE, OK, UNCHECKED, WARNING, Check
from hvdsm.container.facts import probe_mpi
from hvdsm.container.inquiries import Ran, run
from hvdsm.container.vitals import GIB, MIB, MemoryFacts, PythonFacts, Space
from hvdsm.errors import MpiError
from hvdsm.model import MpiImplementation

ROOT = str(Path(hvdsm.__file__).parent.parent)
MPI = MpiImplementation("/opt/mpi/bin/mpirun", (4, 1, 8))
PYTHON = PythonFacts((3, 11, 2), "/usr/bin/python3", "x86_64")


@pytest.mark.parametrize(
    ("facts", "status", "word"),
    [
        (PYTHON, OK, "3.11.2 on x86_64"),
        (replace(PYTHON, version=(3, 7, 9)), FAILED, "3.8 or later"),
        (replace(PYTHON, other="/opt/conda/bin/python3"), WARNING, "/opt/conda/bin/python3"),
        (replace(PYTHON, pip=False), WARNING, "requirements.txt"),
    ],
)
def test_python(facts: PythonFacts, status: str, word: str) -> None:
    check = vitals.python(facts)
    assert check.status == status and word in check.what
    assert bool(check.remedy) == (status != OK)


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        (MemoryFacts(8 * GIB), OK),
        (MemoryFacts(8 * GIB, limit=512 * MIB), WARNING),
        (MemoryFacts(300 * MIB), WARNING),
        (MemoryFacts(None), UNCHECKED),
    ],
)
def test_memory(facts: MemoryFacts, status: str) -> None:
    assert vitals.memory(facts).status == status


@pytest.mark.parametrize(
    ("spaces", "status"),
    [
        ((Space("/tmp", 20 * GIB, 50 * GIB),), OK),
        ((Space("/tmp", 20 * GIB, 50 * GIB), Space("/opt/ml", 500 * MIB, 50 * GIB)), WARNING),
        ((Space("/tmp", MIB // 2, 50 * GIB),), FAILED),
        ((Space("/tmp", 30 * MIB, 50 * GIB),), WARNING),
        ((Space("/tmp", 20 * GIB, 50 * GIB, files=0),), FAILED),
        ((Space("/x", 0, 0, writable=False, wrong="is no directory"),), FAILED),
        ((Space("/tmp", 20 * GIB, 50 * GIB, writable=False),), FAILED),
        ((Space("/opt/ml", 20 * GIB, 50 * GIB, writable=False, mounted=True),), WARNING),
        ((), UNCHECKED),
    ],
)
def test_disk(spaces: Tuple[Space, ...], status: str) -> None:
    assert vitals.disk(spaces).status == status


def test_temporary_files_go_where_they_can(tmp_path: Path) -> None:
    closed, fine = Space("/full", 0, GIB), Space("/tmp", 20 * GIB, 50 * GIB)
    room = (Space("/out", 20 * GIB, 50 * GIB),)
    assert vitals.disk(room, (fine, closed)).status == OK
    passed_over = vitals.disk(room, (closed, fine))
    assert passed_over.status == WARNING and "/full" in passed_over.what and "TMPDIR" in passed_over.remedy
    assert vitals.disk(room, (closed, closed)).status == FAILED
    assert vitals.disk((), (fine,)).status == OK
    absent, *_ = vitals.temporary_here({"TMPDIR": str(tmp_path / "absent")})
    assert "is not there" in absent.closed


def test_results_that_would_go_into_a_file_or_nowhere(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("/nowhere/at/all")
    (file,) = vitals.spaces_here((str(tmp_path / "file" / "out"),))
    (link,) = vitals.spaces_here((str(tmp_path / "link" / "out"),))
    assert [vitals.disk((space,)).status for space in (file, link)] == [FAILED, FAILED]
    assert "is no directory" in file.closed and "leads nowhere" in link.closed


@pytest.mark.parametrize(
    ("space", "status", "word"),
    [
        (Space("/dev/shm", GIB, GIB), OK, "1.0 GiB"),
        (Space("/dev/shm", 64 * MIB, 64 * MIB), WARNING, "64 MiB"),
        (Space("/dev", GIB, GIB), WARNING, "there is no /dev/shm"),
        (None, WARNING, "there is no /dev/shm"),
    ],
)
def test_shared_memory(space: Optional[Space], status: str, word: str) -> None:
    check = vitals.shared_memory(space)
    assert check.status == status and word in check.what


def test_facts_of_memory_and_disk_are_read(tmp_path: Path) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text("MemTotal:       2048 kB\nMemAvailable:   1024 kB\n")
    assert vitals.memory_here(str(tmp_path)) == MemoryFacts(1 << 20, None, 2 << 20)
    (space,) = vitals.spaces_here((str(tmp_path / "not" / "yet"), str(tmp_path)))
    assert space.path == str(tmp_path) and 0 < space.free <= space.size


def test_an_interface() -> None:
    assert vitals.interface(("lo", "ens5")).facts["used"] == "ens5"
    assert vitals.interface(("lo", "ens5", "eth0")).facts["used"] == "eth0"
    assert vitals.interface(("lo",)).status == NOTE
    down = vitals.interface(("lo", "eth0"), loopback=False)
    assert (down.status, down.remedy) == (WARNING, "ip link set lo up")
    assert vitals.interface(("lo", "eth0"), loopback=vitals.loopback_here()).status == OK


GPUS = ("GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-1)", "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-2)")


@pytest.mark.parametrize(
    ("facts", "gpu", "efa", "word"),
    [
        (AcceleratorFacts(), NOTE, NOTE, "no NVIDIA GPU"),
        (AcceleratorFacts(("nvidia0", "nvidia1"), GPUS), OK, NOTE, "2 GPUs (NVIDIA A100-SXM4-40GB)"),
        (AcceleratorFacts(("nvidia0",), None, "no driver"), WARNING, NOTE, "nvidia-smi: no driver"),
        (AcceleratorFacts(("nvidia0",), GPUS[:1], torch_cuda=""), WARNING, NOTE, "build for processors"),
        (AcceleratorFacts(("nvidia0",), GPUS[:1], torch_cuda="12.1", visible="0"), OK, NOTE, "CUDA_VISIBLE_DEVICES=0"),
        (AcceleratorFacts(torch_cuda="12.1"), NOTE, NOTE, "CUDA 12.1"),
        (AcceleratorFacts(efa=("efa_0",), fi_info="provider: efa"), NOTE, OK, ""),
        (AcceleratorFacts(efa=("efa_0",)), NOTE, WARNING, ""),
        (AcceleratorFacts(("nvidia0",), GPUS[:1], efa=("efa_0",), fi_info="provider: efa"), OK, WARNING, ""),
        (AcceleratorFacts(("nvidia0",), GPUS[:1], efa=("efa_0",), fi_info="provider: efa", nccl_plugin=True), OK, OK, ""),
    ],
)
def test_accelerators(facts: AcceleratorFacts, gpu: str, efa: str, word: str) -> None:
    first, second = accelerators(facts)
    assert (first.status, second.status) == (gpu, efa)
    assert word in first.what


def test_devices_are_seen_by_name_and_by_driver(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidiactl", "null"):
        (tmp_path / "dev" / name).touch()
    adapters = tmp_path / "sys" / "class" / "infiniband"
    for name, driver in (("rdmap0s31", "efa"), ("mlx5_0", "mlx5_core")):
        (adapters / name / "device").mkdir(parents=True)
        (tmp_path / "drivers" / driver).mkdir(parents=True)
        (adapters / name / "device" / "driver").symlink_to(tmp_path / "drivers" / driver)
    asked: List[Sequence[str]] = []

    def run(argv: Sequence[str], environ: Mapping[str, str], limit: float) -> Ran:
        asked.append(argv)
        return Ran(0, "")

    facts = accelerators_here({"PATH": str(tmp_path)}, run, str(tmp_path))
    assert (facts.devices, facts.efa) == (("nvidia0",), ("rdmap0s31",))
    assert asked == []


def mpirun(directory: Path, text: str, code: int = 0) -> str:
    """A program that says what an mpirun would."""
    path = directory / "mpirun"
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("text", "status", "code", "word"),
    [
        ("mpirun (Open MPI) 4.1.8", OK, 0, "Open MPI 4.1.8"),
        ("mpirun (Open MPI) 5.0.3", OK, 0, "Open MPI 5.0.3"),
        ("mpirun (Open MPI) 3.1.6", WARNING, 0, "older than what hvdsm is made for"),
        ("HYDRA build details: Version: 4.1", FAILED, 78, "is not Open MPI but MPICH"),
        ("nothing to say", WARNING, 0, "does not tell its version"),
    ],
)
def test_the_flavour_of_mpi(tmp_path: Path, text: str, status: str, code: int, word: str) -> None:
    check, _ = mpi_health.installation(mpirun(tmp_path, text), {"PATH": "/usr/bin:/bin"})
    assert (check.status, check.code) == (status, code)
    assert word in check.what


def test_an_mpirun_that_is_broken_is_not_taken_for_another_mpi(tmp_path: Path) -> None:
    library = mpirun(tmp_path, "error while loading shared libraries: libopen-rte.so.40", 127)
    check, _ = mpi_health.installation(library, {"PATH": "/usr/bin:/bin"})
    assert (check.status, check.code) == (FAILED, 78)
    assert "does not tell its version: error while loading" in check.what and "not Open MPI" not in check.what


def test_the_open_mpi_beside_this_python_is_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = tmp_path / "bin"
    beside.mkdir()
    mpirun(beside, "mpirun (Open MPI) 4.1.8")
    monkeypatch.setattr("hvdsm.container.mpi_health._BIN", str(beside))
    other = mpirun(tmp_path, "HYDRA build details:")
    check, _ = mpi_health.installation(other, {"PATH": "/usr/bin:/bin"}, naming="--mpirun ")
    assert check.remedy == f"use the Open MPI beside this Python: --mpirun {beside}/mpirun"
    assert mpi_health.installation(f"{beside}/mpirun", {"PATH": "/usr/bin:/bin"})[0].status == OK


def test_an_mpirun_that_hangs_is_ended_with_what_it_has_started(tmp_path: Path) -> None:
    program, child = tmp_path / "mpirun", tmp_path / "child"
    program.write_text(f"#!/bin/sh\nsleep 1000 &\necho $! > {child}\nwait\n")
    program.chmod(0o755)
    with pytest.raises(MpiError, match="no answer within 1 s"):
        probe_mpi(str(program), {"PATH": "/usr/bin:/bin"}, 1)
    # An orphan that has been killed goes when whoever adopts it looks after it.
    state = Path("/proc", child.read_text().strip(), "stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] in ("Z", "X")


def test_no_mpi_is_told_with_the_line_that_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hvdsm.container.mpi_health._BIN", str(tmp_path))
    check, mpi = mpi_health.installation(None, {"PATH": str(tmp_path)}, "RUN apt-get install openmpi-bin")
    assert mpi is None
    assert (check.status, check.code, check.remedy) == (FAILED, 78, "RUN apt-get install openmpi-bin")


def told(count: int = 2, **fields: Any) -> str:
    """What ranks say: that they are there, then what mpi4py sees."""
    first = {"mpi4py": fields["mpi4py"]} if "mpi4py" in fields else {}
    said = [{"host": "algo-1", "pid": pid, **more} for more in (first, fields)[: 2 if fields else 1] for pid in range(count)]
    return "".join(f"hvdsm-doctor {json.dumps(one)}\n" for one in said)


@pytest.mark.parametrize(
    ("ran", "ranks", "mpi4py", "word"),
    [
        (Ran(0, told()), OK, NOTE, "not here"),
        (Ran(0, told(mpi4py="4.1", world=2, library="Open MPI v4.1.8, package: x")), OK, OK, "Open MPI 4.1.8"),
        (Ran(0, told(mpi4py="4.1", world=1, library="MPICH Version: 4.2")), OK, WARNING, "another MPI (MPICH Version: 4.2)"),
        (Ran(0, told(mpi4py="4.1", error="RuntimeError: cannot load MPI library")), OK, WARNING, "cannot load MPI library"),
        (Ran(0, "warning of a driver\n" + told()), OK, NOTE, ""),
        (Ran(None, told(mpi4py="4.1", world=2, library="Open MPI v4.1.8")), WARNING, OK, ""),
        (Ran(1, told(mpi4py="4.1") + "A system-required executable is missing\n"), OK, WARNING, "system-required executable"),
        (Ran(1, told()), WARNING, NOTE, ""),
        (Ran(1, "-----\nThere are not enough slots available\n-----\n"), FAILED, UNCHECKED, ""),
        (Ran(0, told(1)), FAILED, UNCHECKED, ""),
        (Ran(127, ""), FAILED, UNCHECKED, ""),
    ],
)
def test_ranks_and_mpi4py(ran: Ran, ranks: str, mpi4py: str, word: str) -> None:
    first, second = mpi_health.ranks(ran, "mpirun -np 2 hostname")
    assert (first.status == OK) or "mpirun -np 2 hostname" in first.remedy
    assert (first.name, second.name) == ("ranks", "mpi4py")
    assert (first.status, second.status) == (ranks, mpi4py)
    assert word in second.what
    if ranks == FAILED and "slots" in ran.text:
        assert "There are not enough slots available" in first.what


def test_ranks_are_started_for_both_generations_without_what_an_outer_job_has_left() -> None:
    asked: List[Tuple[Sequence[str], Mapping[str, str]]] = []

    def run(argv: Sequence[str], environ: Mapping[str, str], limit: float) -> Ran:
        asked.append((argv, environ))
        return Ran(0, "")

    environ = {"PATH": "/bin", "SLURM_JOB_ID": "1", "OMPI_COMM_WORLD_RANK": "0", "PMIX_RANK": "0", "OMPI_MCA_btl": "tcp,self"}
    for version, room in (((4, 1, 8), "--oversubscribe"), ((5, 0, 3), ":OVERSUBSCRIBE")):
        mpi_health.start_ranks(replace(MPI, version=version), environ, run)
        assert room in asked[-1][0]
        assert asked[-1][1] == {"PATH": "/bin", "OMPI_MCA_btl": "tcp,self"}


def horovod(linked: Dict[str, Optional[str]], mpi: Optional[MpiImplementation] = MPI) -> Check:
    return mpi_health.horovod(mpi_health.HorovodFacts("0.28.1", linked), mpi)


def test_horovod() -> None:
    assert mpi_health.horovod(mpi_health.HorovodFacts(), MPI).status == NOTE
    assert horovod({"torch": "/opt/mpi/lib/libmpi.so.40"}).status == OK
    assert horovod({}).status == WARNING
    assert "without MPI" in horovod({"torch": "", "tensorflow": "/opt/mpi/lib/libmpi.so.40"}).what
    assert "does not find" in horovod({"torch": "not found"}).what
    assert horovod({"torch": None}).status == UNCHECKED
    assert horovod({"torch": "/opt/mpi/lib/libmpi.so.40"}, None).status == UNCHECKED


def test_horovod_of_another_mpi(tmp_path: Path) -> None:
    linked = {"torch": "/opt/mpi-old/lib/libmpi.so.40"}
    wrapper = MpiImplementation(str(tmp_path / "bin" / "mpirun"), (4, 1, 8))
    # Whatever a wrapper leads to: nothing of it is beside it.
    assert horovod(linked, wrapper).status == UNCHECKED
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libmpi.so.40.40.7").touch()
    (tmp_path / "lib" / "libmpi.so.40").symlink_to("libmpi.so.40.40.7")
    other = horovod(linked, wrapper)
    assert other.status == WARNING and linked["torch"] in other.what


def test_horovod_is_looked_at_without_an_import(tmp_path: Path) -> None:
    package = tmp_path / "horovod"
    for name in ("torch", "tensorflow"):
        (package / name).mkdir(parents=True)
        (package / name / "mpi_lib_v2.so").touch()
    (package / "__init__.py").write_text("__version__ = '0.28.1'\nraise ImportError\n")
    lines = {
        "torch": "\tlibmpi.so.40 => /opt/x/../mpi/lib/libmpi.so.40 (0x1)\n",
        "tensorflow": "\tlibc.so.6 => /lib/libc.so.6 (0x1)\n",
    }

    def run(argv: Sequence[str], environ: Mapping[str, str], limit: float) -> Ran:
        return Ran(0, lines[Path(argv[1]).parent.name])

    facts = mpi_health.horovod_here({}, run, [str(tmp_path)])
    assert facts == mpi_health.HorovodFacts("0.28.1", {"torch": "/opt/mpi/lib/libmpi.so.40", "tensorflow": ""})


@pytest.mark.parametrize(
    ("facts", "hosts", "status", "word"),
    [
        (ssh_health.SshFacts(version="OpenSSH_9.2p1", refused=""), 2, OK, "OpenSSH_9.2p1"),
        (ssh_health.SshFacts(("sshd",)), 2, FAILED, "sshd is missing"),
        (ssh_health.SshFacts(("sshd",)), 1, UNCHECKED, "sshd is missing"),
        (ssh_health.SshFacts(account="the shell /bin/false of user x runs no command"), 2, FAILED, "/bin/false"),
        (ssh_health.SshFacts(refused="sshd does not take it: Unsupported option"), 2, FAILED, "Unsupported option"),
        (ssh_health.SshFacts(broken="symbol lookup error"), 2, FAILED, "ssh does not run: symbol lookup error"),
        (ssh_health.SshFacts(added=("sshd's own user was missing",)), 2, OK, "sshd's own user was missing"),
    ],
)
def test_ssh(facts: ssh_health.SshFacts, hosts: int, status: str, word: str) -> None:
    check = ssh_health.ssh(facts, hosts=hosts)
    assert check.status == status and word in check.what
    assert check.code == (78 if status == FAILED else 0)


@pytest.mark.parametrize(("program", "words"), [("ssh", "ssh does not run"), ("ssh-keygen", "ssh-keygen does not run")])
def test_programs_that_are_there_and_broken(tmp_path: Path, program: str, words: str) -> None:
    for name in ("ssh", "ssh-keygen", "sshd"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {'broken; exit 1' if name == program else 'OpenSSH_9.2p1'}\n")
        (tmp_path / name).chmod(0o755)
    check = ssh_health.ssh(ssh_health.ssh_here({"PATH": f"{tmp_path}:/usr/bin:/bin"}, run, account=False))
    assert (check.status, check.code) == (FAILED, 78)
    assert f"{words}: broken" in check.what and check.remedy


def test_a_user_without_a_name_does_not_make_openssh_broken(tmp_path: Path) -> None:
    for name in ("ssh", "ssh-keygen", "sshd"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'No user exists for uid 12345'; exit 255\n")
        (tmp_path / name).chmod(0o755)
    assert ssh_health.ssh(ssh_health.ssh_here({"PATH": f"{tmp_path}:/usr/bin:/bin"}, run, account=False)).status == OK


def test_accounts_are_looked_at_in_copies(tmp_path: Path) -> None:
    passwd, copies = tmp_path / "passwd", tmp_path / "copies"
    copies.mkdir()
    passwd.write_text("daemon:x:1:1::/:/bin/sh\n")

    def admitted(say: Any, path: str, shadow: str) -> str:
        with open(path, "a", encoding="utf-8") as file:
            file.write("hvdsm:x:1000:0::/tmp:/bin/sh\n")
        say(f"a line is added to {path}")
        return ""

    def look(writable: bool) -> Tuple[str, Tuple[str, ...]]:
        return ssh_health.account_here(
            str(copies), str(passwd), str(tmp_path / "shadow"), admitted=admitted, may_write=lambda _path, _mode: writable
        )

    assert look(True) == ("", (f"a line is added to {passwd}",))
    wrong, added = look(False)
    assert "cannot be written" in wrong and str(passwd) in wrong and added == ()
    assert passwd.read_text() == "daemon:x:1:1::/:/bin/sh\n"


def test_train_leads_to_hvdsm_or_to_something_else(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path)}
    assert doctor.train(environ).status == NOTE
    program = tmp_path / "train"
    program.write_text("#!/bin/sh\nexec other\n")
    program.chmod(0o755)
    assert doctor.train(environ).status == NOTE and "another program" in doctor.train(environ).what
    program.write_text("#!/usr/bin/python3\nfrom hvdsm.container.train import main\n")
    assert doctor.train(environ).status == OK


def text_of(words: List[str], environ: Dict[str, str]) -> Tuple[int, str]:
    out = io.StringIO()
    return doctor.main(words, environ, out.write), out.getvalue()


def test_an_image_without_programs_is_told_what_its_dockerfile_needs(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path), "SAGEMAKER_BASE_DIR": str(tmp_path)}
    code, text = text_of([], environ)
    assert code == 78
    assert "FAILED       open-mpi" in text and "Dockerfile" in text
    assert "Traceback" not in text
    code, text = text_of(["--json"], environ)
    found = json.loads(text)
    assert (code, found["exit_code"], found["works"], found["goal"]) == (78, 78, False, "container")
    assert {check["name"] for check in found["checks"] if check["status"] == FAILED} >= {"open-mpi"}


def test_jobs_without_mpi_need_none(tmp_path: Path) -> None:
    code, text = text_of(["--distribution", "none"], {"PATH": str(tmp_path), "SAGEMAKER_BASE_DIR": str(tmp_path)})
    assert code == 0 and "open-mpi" not in text and "this image can run jobs" in text


def test_a_quick_look_starts_no_ranks(tmp_path: Path) -> None:
    mpirun(tmp_path, "mpirun (Open MPI) 4.1.8")
    _, text = text_of(["--quick", "--json"], {"PATH": f"{tmp_path}:/usr/bin:/bin", "SAGEMAKER_BASE_DIR": str(tmp_path)})
    names = [check["name"] for check in json.loads(text)["checks"]]
    assert "open-mpi" in names and "ranks" not in names


@pytest.mark.parametrize("option", [[], ["-I", "-S"]])
def test_the_one_file_has_it_too(tmp_path: Path, option: List[str]) -> None:
    """Also with nothing but the standard library."""
    bundle = write(str(tmp_path / "hvdsm.pyz")).path
    environ = {"PATH": "/usr/bin:/bin", "SAGEMAKER_BASE_DIR": str(tmp_path)}
    argv = [sys.executable, *option, bundle, "--doctor", "--quick", "--json", "--distribution", "none"]
    done = subprocess.run(argv, env=environ, stdout=subprocess.PIPE, timeout=100)
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["works"]
    assert {"python", "train", "packages", "memory", "disk", "shm", "gpu", "efa"} <= {check["name"] for check in found["checks"]}


def test_a_locale_of_ascii_alone_shows_what_a_program_says(tmp_path: Path) -> None:
    mpirun(tmp_path, "k\u00e9\x1b[2J is missing", 127)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SAGEMAKER_BASE_DIR": str(tmp_path), "PYTHONIOENCODING": "ascii"}
    argv = [sys.executable, "-S", "-m", "hvdsm.container", "--doctor", "--quick"]
    done = subprocess.run(argv, env={**environ, "PYTHONPATH": ROOT}, cwd=tmp_path, capture_output=True, timeout=100)
    assert done.returncode == 78 and b"k\\xe9?[2J is missing" in done.stdout, done


def test_the_command_of_an_image_that_has_hvdsm_alone(tmp_path: Path) -> None:
    """As after `pip install --no-deps`: nothing of the command line is there."""
    environ = {"PATH": "/usr/bin:/bin", "SAGEMAKER_BASE_DIR": str(tmp_path), "PYTHONPATH": ROOT}
    argv = [sys.executable, "-S", "-m", "hvdsm", "doctor", "container", "--quick", "--json", "--distribution", "none"]
    done = subprocess.run(argv, env=environ, cwd=tmp_path, stdout=subprocess.PIPE, timeout=100)
    assert json.loads(done.stdout)["works"] and done.returncode == 0


def test_nothing_of_the_system_is_changed(tmp_path: Path) -> None:
    before = {path: os.stat(path).st_mtime_ns for path in ("/etc/passwd", "/etc", "/run")}
    text_of(["--quick"], {"PATH": "/usr/sbin:/usr/bin:/bin", "SAGEMAKER_BASE_DIR": str(tmp_path)})
    assert {path: os.stat(path).st_mtime_ns for path in ("/etc/passwd", "/etc")} == {
        path: before[path] for path in ("/etc/passwd", "/etc")
    }
