"""Parts of executing requests made elsewhere: manifests, sources in channels, verdicts, notes, running.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Optional

import pytest

from hvdsm.backends.local.data import channel_data
from hvdsm.backends.local.layout import HostLayout, host_hyperparameters, input_data_config
from hvdsm.backends.local.manifest import manifest_entries
from hvdsm.backends.local.meter import Found, Meter
from hvdsm.backends.local.notes import request_notes
from hvdsm.backends.local.origin import source_of
from hvdsm.backends.local.placing import part_of
from hvdsm.backends.local.running import process_start, remove_running, write_running
from hvdsm.backends.local.verdict import failure_file, gist, read_in, verdict
from hvdsm.compose.cloud import SECRETS
from hvdsm.compose.request import channel_of
from hvdsm.errors import ConfigError


def manifest_channel(uri: str, **source: Any) -> Dict[str, Any]:
    channel = channel_of("train", uri)
    channel["DataSource"]["S3DataSource"].update(S3DataType="ManifestFile", **source)
    return channel


def test_manifest_names_and_addresses() -> None:
    text = json.dumps([{"prefix": "s3://b/data/part-"}, "1/a.csv", "2/b.csv"])
    assert manifest_entries(text, "x") == [("1/a.csv", "s3://b/data/part-1/a.csv"), ("2/b.csv", "s3://b/data/part-2/b.csv")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '["a"]',
        '[{"prefix": "s3://b/"}]',
        '[{"prefix": "s3://b/"}, "../a"]',
        '[{"prefix": "s3://b/"}, 3]',
        '[{"prefix": "b"}, "a"]',
    ],
)
def test_wrong_manifests(text: str) -> None:
    with pytest.raises(ConfigError, match="manifest"):
        manifest_entries(text, "channel x")


def test_manifest_under_a_directory_that_stands_for_s3(tmp_path: Path) -> None:
    bucket = tmp_path / "b"
    (bucket / "data").mkdir(parents=True)
    for name in ("1", "2", "3"):
        (bucket / "data" / name).write_text(name)
    (bucket / "m").write_text(json.dumps([{"prefix": "s3://b/data/"}, "3", "1"]))
    found = channel_data(manifest_channel("s3://b/m", S3DataDistributionType="ShardedByS3Key"), str(tmp_path))
    assert found.files == (("3", str(bucket / "data" / "3")), ("1", str(bucket / "data" / "1"))) and found.sharded
    (bucket / "m").write_text(json.dumps([{"prefix": "s3://b/data/"}, "4"]))
    with pytest.raises(ConfigError, match="does not exist"):
        channel_data(manifest_channel("s3://b/m"), str(tmp_path))
    with pytest.raises(ConfigError, match="does not exist"):
        channel_data(manifest_channel("s3://b/none"), str(tmp_path))


def test_manifest_to_download() -> None:
    found = channel_data(manifest_channel("s3://b/m"), None)
    assert (found.download, found.manifest) == ("s3://b/m", True)


def test_a_key_cannot_lead_out_of_the_directory_that_stands_for_s3(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "root").mkdir()
    for uri in ("s3://../secret", "s3://b/../../secret"):
        with pytest.raises(ConfigError, match="leads out"):
            channel_data(channel_of("c", uri), str(tmp_path / "root"))


def test_the_input_mode_of_the_job_counts_where_a_channel_names_none(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    channel = channel_of("c", f"file://{tmp_path}")
    del channel["InputMode"]
    channel.update(CompressionType="Gzip", RecordWrapperType="RecordIO", ShuffleConfig={"Seed": 3})
    assert channel_data(channel, None).pipe is None
    pipe = channel_data(channel, None, "Pipe").pipe
    assert pipe is not None and (pipe.gzip, pipe.record_io, pipe.seed) == (True, True, 3)
    assert channel_data({**channel, "InputMode": "FastFile"}, None, "Pipe").pipe is None


def test_groups_share_a_channel_among_themselves(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / name).write_text(name)
    hosts = [HostLayout("algo-1", group="data"), HostLayout("algo-2", group="train"), HostLayout("algo-3", group="train")]
    channel = channel_of("c", f"file://{tmp_path}")
    channel["DataSource"]["S3DataSource"].update(InstanceGroupNames=["train"], S3DataDistributionType="ShardedByS3Key")
    found = channel_data(channel, None)
    parts = [part_of(found, hosts, host) for host in hosts]
    assert [None if part is None else [name for name, _ in part.files] for part in parts] == [None, ["a", "c"], ["b", "d"]]
    alone = part_of(found, hosts[:1], hosts[0])
    assert alone is not None and len(alone.files) == 4
    request = {"InputDataConfig": [channel]}
    assert list(input_data_config(request, hosts[0])) == [] and list(input_data_config(request, hosts[1])) == ["c"]
    assert list(input_data_config(request)) == ["c"]


def script_request(submit: str, **channels: str) -> Dict[str, Any]:
    return {
        "HyperParameters": {"sagemaker_submit_directory": json.dumps(submit), "sagemaker_program": '"train.py"'},
        "InputDataConfig": [channel_of(name, uri) for name, uri in channels.items()],
    }


@pytest.mark.parametrize("uri", ["s3://b/code/sourcedir.tar.gz", "s3://b/code", "s3://b/code/"])
def test_source_that_a_channel_brings(tmp_path: Path, uri: str) -> None:
    (tmp_path / "b" / "code").mkdir(parents=True)
    (tmp_path / "b" / "code" / "sourcedir.tar.gz").write_text("x")
    request = script_request("/opt/ml/input/data/code/sourcedir.tar.gz", code=uri)
    _, source = source_of(request, str(tmp_path), None)
    assert source is not None and source.files == (("sourcedir.tar.gz", str(tmp_path / "b" / "code" / "sourcedir.tar.gz")),)


def test_source_in_a_channel_that_is_not_there() -> None:
    for path, said in (("/opt/ml/input/data/code/x", "does not have"), ("/opt/ml/input/data/code/../x", "leads out")):
        with pytest.raises(ConfigError, match=said):
            source_of(script_request(path), None, None)


def test_a_command_needs_no_source() -> None:
    assert source_of({}, None, ("bash",)) == ("", None)
    program, source = source_of(script_request("s3://b/x.tar.gz"), None, ("bash",))
    assert program == "" and source is not None and source.download == "s3://b/x.tar.gz"


def test_hosts_do_not_get_the_addresses_of_secrets() -> None:
    request = {"HyperParameters": {SECRETS: '{"A": "arn:…"}', "lr": "1"}}
    assert host_hyperparameters(request) == {"lr": "1"}


def host(name: str, code: Optional[int], at: float) -> Any:
    return SimpleNamespace(name=name, exit_code=code, ended_at=at)


def test_verdict() -> None:
    assert verdict("j", [host("algo-1", 0, 1), host("algo-2", 0, 2)], {}, []).status == "Completed"
    said = {"algo-2": "Traceback (most recent call last):\n  x\nValueError: odd\n"}
    failed = verdict("j", [host("algo-1", -15, 3), host("algo-2", 7, 2), host("algo-3", None, 0)], said, [])
    assert failed.failure is not None and failed.status == "Failed"
    assert (failed.exit_code, failed.failure.host, failed.failure.message) == (7, "algo-2", "ValueError: odd")
    killed = verdict("j", [host("algo-1", -9, 1)], {}, [])
    assert killed.failure is not None and (killed.exit_code, killed.failure.signal) == (137, 9)
    lost = verdict("j", [host("algo-1", -9, 1)], {}, ["algo-1"])
    assert lost.failure is not None and lost.failure.kind == "host-lost"
    assert gist(" \n") == "" and gist("\nfirst\nsecond") == "first"


def test_what_a_host_wrote_is_read_without_following_its_links(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("machine's own")
    base = tmp_path / "base"
    (base / "output").mkdir(parents=True)
    assert failure_file(str(base)) == ""
    os.symlink(secret, base / "output" / "failure")
    assert failure_file(str(base)) == ""
    os.unlink(base / "output" / "failure")
    os.mkfifo(base / "output" / "failure")
    assert failure_file(str(base)) == ""
    os.unlink(base / "output" / "failure")
    (base / "output" / "failure").write_text("ä" * 5000)
    assert failure_file(str(base)) == "ä" * 1024
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "failure").write_text("x")
    os.rename(base / "output", base / "away")
    os.symlink(tmp_path / "other", base / "output")
    assert read_in(str(base), "output", "failure", 10) == b""


def test_notes_of_what_has_no_meaning_here() -> None:
    request = {
        "AlgorithmSpecification": {"TrainingImage": "i", "ContainerEntrypoint": ["bash"]},
        "DebugHookConfig": {"S3OutputPath": "s3://b"},
        "RetryStrategy": {"MaximumRetryAttempts": 2},
        "EnableManagedSpotTraining": True,
        "InputDataConfig": [{"ChannelName": "a", "CompressionType": "Gzip"}, {"ChannelName": "b", "InputMode": "Pipe"}],
    }
    text = "\n".join(request_notes(request))
    assert "DebugHookConfig, RetryStrategy" in text and "CompressionType of a counts" in text and "--interrupt-after" in text
    assert "left out, hvdsm" not in text


def test_running_says_which_process(tmp_path: Path) -> None:
    write_running(str(tmp_path))
    said = json.loads((tmp_path / "running.json").read_text())
    assert said["pid"] == os.getpid() and said["process_start"] == process_start(os.getpid()) and said["started"] > 1e9
    remove_running(str(tmp_path))
    remove_running(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert process_start(0) is None


def test_running_is_never_written_through_a_link(tmp_path: Path) -> None:
    os.symlink(tmp_path / "victim", tmp_path / "running.json")
    with pytest.raises(OSError):
        write_running(str(tmp_path))
    assert not (tmp_path / "victim").exists()


DEFINITIONS = [{"Name": "loss", "Regex": r"loss=(\d+)"}, {"Name": "none", "Regex": "acc"}]


def test_meter_reads_a_log_that_grows(tmp_path: Path) -> None:
    log, late = tmp_path / "log", tmp_path / "late"
    log.write_bytes(b"")
    meter = Meter(DEFINITIONS, [str(log), str(late)], os.environ)
    with open(log, "ab", buffering=0) as file:
        for number in range(2000):
            file.write(b"step loss=%d" % number)
            meter.more()
            file.write(b"\n")
    late.write_bytes(b"loss=7 without an end")
    found = meter.finish()
    assert found.summary == {"loss": {"count": 2001, "last": 7.0, "min": 0.0, "max": 1999.0}}
    assert list(found.unmatched) == ["none"] and found.warnings == ()


def test_of_hosts_that_show_their_own_lines_each_is_counted_once(tmp_path: Path) -> None:
    own, other = b"[server-0,algo-2] loss=2\n[1,algo-2] loss=3\n", b"[server-0,algo-1] loss=1\n[0,algo-1]~ loss=4\n"
    logs = [tmp_path / "algo-1.log", tmp_path / "algo-2.log"]
    logs[0].write_bytes(other + own)
    logs[1].write_bytes(own + b"loss=5\n")
    meter = Meter(DEFINITIONS, [str(log) for log in logs], os.environ, own=True)
    assert meter.finish().summary == {"loss": {"count": 5, "last": 5.0, "min": 1.0, "max": 5.0}}


def test_meter_that_is_killed_says_so(tmp_path: Path) -> None:
    meter = Meter(DEFINITIONS, [str(tmp_path / "log")], os.environ)
    meter.close()
    meter.more()
    assert "no values" in meter.finish().warnings[0]


def test_metrics_of_a_job_that_was_interrupted() -> None:
    value = {"count": 1, "last": 1.0, "min": 1.0, "max": 1.0}
    both = Found({"a": value}, {"b": "b?", "c": "c?"}).then(Found({"b": value}, {"a": "a?", "c": "c?"}))
    assert (set(both.summary), dict(both.unmatched)) == ({"a", "b"}, {"c": "c?"})
