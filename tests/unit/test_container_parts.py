"""The parts of the container program that need no cluster."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any, Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.compose.environment import Paths
from hvdsm.container import source
from hvdsm.container.conductor import Ledger, mpirun_verdict
from hvdsm.container.config import Settings, distribution, read_config, read_settings
from hvdsm.container.facts import parse_version
from hvdsm.container.loop import Loop
from hvdsm.container.rank import child_command, merged_environment, place
from hvdsm.container.relay import MAX_LINE, LineTagger, Output
from hvdsm.container.rendezvous import Joiner, Listener
from hvdsm.container.ssh import free_port
from hvdsm.container.wire import Connection
from hvdsm.errors import ConfigError

TAG, PIECE = b"[3,algo-2] ", b"[3,algo-2]~ "


def rejoined(records: bytes) -> bytes:
    """The bytes of a rank from its records."""
    out = b""
    for record in records.split(b"\n")[:-1]:
        out += record[len(PIECE) :] if record.startswith(PIECE) else record[len(TAG) :] + b"\n"
    return out


@given(st.lists(st.binary(max_size=40), max_size=20), st.lists(st.booleans(), min_size=20, max_size=20))
def test_the_relay_keeps_every_byte_in_order(chunks: List[bytes], pauses: List[bool]) -> None:
    tagger, records = LineTagger("3,algo-2"), b""
    for index, chunk in enumerate(chunks):
        records += tagger.feed(chunk, index * 2.0)
        if pauses[index]:
            records += tagger.overdue(index * 2.0 + 1.5)
    records += tagger.finish()
    assert all(line.startswith((TAG, PIECE)) for line in records.split(b"\n")[:-1])
    sent = b"".join(chunks)
    assert rejoined(records) in (sent, sent + b"\n")


def test_long_lines_travel_whole_up_to_eight_mebibytes() -> None:
    tagger = LineTagger("3,algo-2")
    line = b"x" * MAX_LINE
    assert tagger.feed(line, 0.0) == b""
    assert tagger.feed(b"\n", 0.0) == TAG + line + b"\n"
    assert tagger.feed(line + b"y", 0.0).startswith(PIECE)
    assert tagger.feed(b" 10%\r", 0.0) == PIECE + b" 10%\r\n"


def test_output_writes_everything_before_it_closes() -> None:
    read, write = os.pipe()
    output = Output(write)
    got: List[bytes] = []
    reader = threading.Thread(target=lambda: got.append(_all(read)))
    reader.start()
    for number in range(10_000):
        output.write(b"line %d\n" % number)
    output.say("two\nlines")
    output.close()
    os.close(write)
    reader.join()
    assert got[0] == b"".join(b"line %d\n" % n for n in range(10_000)) + b"hvdsm: two\nhvdsm: lines\n"


def _all(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        return file.read()


PROGRAM = {"sagemaker_program": "a.py"}


def write_config(base: Path, hyperparameters: Dict[str, Any], resource: Any = None) -> Paths:
    config = base / "input" / "config"
    config.mkdir(parents=True, exist_ok=True)
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    (config / "inputdataconfig.json").write_text('{"train": {}, "test": {}}')
    (config / "resourceconfig.json").write_text(json.dumps(resource or {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}))
    return Paths(str(base))


def test_configuration_is_decoded(tmp_path: Path) -> None:
    raw = {
        "lr": "0.1",
        "name": '"adam"',
        "raw": "plain text",
        "sagemaker_program": '"train.py"',
        "sagemaker_mpi_enabled": "true",
        "sagemaker_mpi_num_of_processes_per_host": '"8"',
        "sagemaker_mpi_custom_mpi_options": '"-x A=1"',
        "sagemaker_hvdsm_args": '["a", "b c"]',
    }
    job = read_config(write_config(tmp_path, raw), {"TRAINING_JOB_NAME": "the-job"}).job
    assert job.hyperparameters == {"lr": 0.1, "name": "adam", "raw": "plain text"}
    assert (job.program, job.name, job.channels, job.extra_arguments) == ("train.py", "the-job", ("test", "train"), ("a", "b c"))
    assert job.distribution.processes_per_host == 8
    assert job.distribution.custom_mpi_options == "-x A=1"


@pytest.mark.parametrize(
    ("raw", "resource", "message"),
    [
        ({}, None, "no entry point is named"),
        ({"sagemaker_program": "a.py"}, {"hosts": ["x"]}, "current_host"),
        ({"sagemaker_program": "a.py"}, {"hosts": ["x"], "current_host": "y"}, "not among the hosts"),
        (
            {"sagemaker_program": "a.py", "sagemaker_mpi_enabled": "true", "sagemaker_torch_distributed_enabled": "true"},
            None,
            "only one can start the ranks",
        ),
        ({"sagemaker_program": "a.py", "sagemaker_mpi_enabled": "1", "sagemaker_mpi_num_processes": "zero"}, None, "not a count"),
        ({"sagemaker_program": "a.py", "sagemaker_hvdsm_args": "[1]"}, None, "list of strings"),
    ],
)
def test_wrong_configuration_says_what_and_where(tmp_path: Path, raw: Dict[str, Any], resource: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(write_config(tmp_path, raw, resource), {})


def test_false_is_false() -> None:
    assert distribution({"sagemaker_mpi_enabled": "False"}).kind == "none"
    assert distribution({"sagemaker_mpi_enabled": False}).kind == "none"
    assert distribution({"sagemaker_torch_distributed_enabled": "true"}).kind == "torch_distributed"


def test_settings() -> None:
    assert read_settings({}) == Settings()
    assert read_settings({"HVDSM_STOP_GRACE": "3", "HVDSM_REHEARSAL": "1"}) == Settings(rehearsal=True, stop_grace=3.0)
    with pytest.raises(ConfigError, match="HVDSM_STOP_GRACE"):
        read_settings({"HVDSM_STOP_GRACE": "soon"})


def test_source_from_directory_file_and_tarball(tmp_path: Path) -> None:
    folder = tmp_path / "my source"
    (folder / "sub").mkdir(parents=True)
    (folder / "train.py").write_text("1")
    (folder / "sub" / "a.py").write_text("2")
    with tarfile.open(tmp_path / "s.tar.gz", "w:gz") as tar:
        tar.add(folder, arcname=".")
    for submitted, names in (
        (folder, {"train.py", "sub"}),
        (folder / "train.py", {"train.py"}),
        (tmp_path / "s.tar.gz", {"train.py", "sub"}),
    ):
        paths = Paths(str(tmp_path / "ml"))
        Path(paths.code).mkdir(parents=True, exist_ok=True)
        (Path(paths.code) / "stale.py").write_text("old")
        source.fetch(paths, str(submitted))
        assert set(os.listdir(paths.code)) == names
        assert source.entry_command(paths, "train.py", ["x"]) == [sys.executable, "train.py", "x"]


@pytest.mark.parametrize("name", ["../out", "/abs", "link/x"])
def test_an_archive_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "bad.tar"
    with tarfile.open(archive, "w") as tar:
        if name == "link/x":
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
            tar.addfile(link)
        member = tarfile.TarInfo(name)
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    (tmp_path / "code").mkdir()
    with pytest.raises(ConfigError, match="leads out"):
        source.unpack(str(archive), str(tmp_path / "code"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("program", ["/abs.py", "../up.py", "a/../b.py", "-x.py", "./a.py"])
def test_an_entry_point_outside_of_the_source_is_refused(tmp_path: Path, program: str) -> None:
    with pytest.raises(ConfigError, match="not a path inside the source"):
        source.entry_command(Paths(str(tmp_path)), program, [])


def test_versions_of_mpirun() -> None:
    assert parse_version("mpirun (Open MPI) 4.1.8\n") == (4, 1, 8)
    assert parse_version("mpirun.real (OpenRTE) 4.1.4\n") == (4, 1, 4)
    assert parse_version("HYDRA build details:") is None


def test_place_and_environment_of_a_rank() -> None:
    environ = {"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4"}
    assert place(environ) == {"rank": 3, "local_rank": 1, "world_size": 4, "local_world_size": 1}
    merged = merged_environment(
        {"PATH": "/a:/b", "SM_CURRENT_HOST": "algo-2"},
        {"PATH": "/b:/mpi", "SM_CURRENT_HOST": "algo-1", "OMPI_X": "1", "MINE": "2", "OTHER": "3", "LD_LIBRARY_PATH": "/l"},
        ["MINE"],
    )
    assert merged == {"PATH": "/a:/b:/mpi", "SM_CURRENT_HOST": "algo-2", "OMPI_X": "1", "MINE": "2", "LD_LIBRARY_PATH": "/l"}
    assert child_command([sys.executable, "t.py", "a"]) == [sys.executable, "-m", "hvdsm.container.script", "t.py", "a"]
    assert child_command(["/bin/sh", "./t.sh"]) == ["/bin/sh", "./t.sh"]


def test_the_ledger_counts_ranks_and_hosts() -> None:
    ledger = Ledger("job", ["a", "b"])
    for rank, host in enumerate("ab"):
        ledger.on_started(host, {"rank": rank, "world_size": 2})
    assert ledger.all_started
    assert not ledger.all_ended
    for rank, host in enumerate("ab"):
        ledger.on_exited(host, {"rank": rank, "local_rank": 0, "exit_code": 0}, 0.0)
    assert ledger.all_succeeded
    outcome = ledger.outcome(1.0)
    assert (outcome.status, outcome.exit_code, outcome.ranks_per_host) == ("Completed", 0, {"a": 1, "b": 1})


def test_mpirun_without_ranks_is_no_success() -> None:
    assert mpirun_verdict(0, 0, "usage…", "--help")[1] == 78
    assert mpirun_verdict(1, 0, "-----\nunknown option", "--foo") == (
        "mpirun ended with exit code 1 and started no rank (custom_mpi_options: --foo): unknown option",
        78,
    )
    assert mpirun_verdict(-9, 2, "")[1] == 137
    assert mpirun_verdict(0, 2, "")[1] == 1


def rendezvous(worker_token: str, garbage: bytes = b"") -> List[str]:
    """One launcher and one worker in one loop; what happened."""
    loop, seen, port = Loop(), [], free_port(0)
    announced = {"host": "b"}

    def joined(host: str, message: Dict[str, Any], _connection: Connection) -> None:
        seen.append(f"{host} joined from {message['address']}")

    def connected(_connection: Connection) -> None:
        seen.append("connected")
        loop.later(0.05, loop.stop)

    def failed(why: str) -> None:
        seen.append(why)
        loop.stop()

    def listen() -> None:
        Listener(loop, ["b"], port, "secret", joined)
        if garbage:
            with socket.create_connection(("127.0.0.1", port)) as stranger:
                stranger.sendall(garbage)

    # The worker is there first: it must wait for the launcher.
    Joiner(loop, "127.0.0.1", port, worker_token, announced, timeout=1.0, say=seen.append, on_joined=connected, on_failed=failed)
    loop.later(0.1, listen)
    loop.run()
    return seen


def test_hosts_with_the_token_meet() -> None:
    assert rendezvous("secret") == ["b joined from 127.0.0.1", "connected"]


def test_garbage_does_no_harm() -> None:
    assert rendezvous("secret", b"GET / HTTP/1.1\r\n\r\n") == ["b joined from 127.0.0.1", "connected"]


def test_a_host_without_the_token_is_refused() -> None:
    (why,) = rendezvous("wrong")
    assert "refused this host: it does not know this job's token" in why
