"""``hvdsm graph``: command lines of GraphStorm's document, without AWS."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest

from hvdsm import graph
from hvdsm.cli import main
from hvdsm.cli.graph_common import _OF_TORCH
from hvdsm.errors import UsageError
from hvdsm.recipes.graph.local_s3 import of_containers, reach_of

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/graphstorm:sm-gpu"
ROLE = "arn:aws:iam::123456789012:role/service-role/graphs"
CLOUD = ("--backend", "sagemaker", "--image-url", IMAGE, "--region", "us-east-1", "--role", ROLE, "--dry-run", "--json")
TRAIN = (
    "train", "--instance-count", "3", "--graph-data-s3", "s3://b/mag_3p", "--yaml-s3", "s3://b/c/mag.yaml",
    "--model-artifact-s3", "s3://b/model/", "--graph-name", "ogbn-mag", "--task-type", "link_prediction",
)  # fmt: skip
CONSTRUCT = (
    "construct", "--input-graph-s3", "s3://b/raw", "--output-graph-s3", "s3://b/g", "--graph-name", "mag",
    "--graph-config-file", "c.json",
)  # fmt: skip
# The end of the document's example.
FORWARDED = ("--num-layers", "1", "--fanout", "10", "--hidden-size", "128", "--backend", "gloo", "--batch-size", "128")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "SAGEMAKER_ROLE", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> Tuple[Dict[str, Any], str]:
    assert main(["graph", *words]) == 0
    captured = capsys.readouterr()
    found: Dict[str, Any] = json.loads(captured.out)
    return found, captured.err


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> Tuple[int, str]:
    code = main(["graph", *words])
    return code, capsys.readouterr().err


def values(found: Dict[str, Any]) -> Dict[str, Any]:
    return {key: json.loads(value) for key, value in found["request"]["HyperParameters"].items() if "plan" not in key}


def test_the_documents_training(capsys: pytest.CaptureFixture[str]) -> None:
    found, said = shown(capsys, *TRAIN, *CLOUD, *FORWARDED, "--sm-estimator-parameters", "max_run=3600 volume_size=100")
    told = values(found)
    assert {name: told[name] for name in ("fanout", "backend", "num-layers", "graph-name", "train-yaml-s3", "log-level")} == {
        "fanout": "10", "backend": "gloo", "num-layers": "1", "graph-name": "ogbn-mag", "train-yaml-s3": "s3://b/c/mag.yaml",
        "log-level": "INFO",
    }  # fmt: skip
    request = found["request"]
    assert request["ResourceConfig"] == {"InstanceCount": 3, "InstanceType": "ml.g4dn.12xlarge", "VolumeSizeInGB": 100}
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600}
    assert request["OutputDataConfig"] == {"S3OutputPath": "s3://b/model/", "CompressionType": "NONE"}
    assert request["TrainingJobName"].startswith("gs-train-ogbn-mag-")
    assert "Parameters forwarded to GraphStorm: --backend gloo --num-layers 1" in said
    assert "SageMaker parameters: max_run=3600 volume_size=100" in said


@pytest.mark.parametrize("name", _OF_TORCH)
def test_graphstorms_backend_is_not_hvdsms(capsys: pytest.CaptureFixture[str], name: str) -> None:
    found, _ = shown(capsys, *TRAIN, f"--backend={name}", *CLOUD)
    assert values(found)["backend"] == name


def test_every_word_arrives(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--target-etype", "a,b,c", "d,e,f", "--feat=1", "--feat=2", "--lr", "-0.1", "--", "--instance-count", "7")
    found, said = shown(capsys, *TRAIN, *CLOUD, *words)
    told = values(found)
    assert (told["target-etype"], told["lr"], told["instance-count"]) == ("a,b,c d,e,f", "-0.1", "7")
    assert "--feat 1 --feat 2" in said
    assert found["request"]["ResourceConfig"]["InstanceCount"] == 3


def test_defaults_of_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    Path("hvdsm.toml").write_text('[graph]\nregion = "us-west-2"\nmax_wait = 9000\n[graph.train]\nlog_level = "DEBUG"\n')
    words = [word.replace("us-east-1", "us-west-2") for word in CLOUD if word not in ("--region", "us-east-1")]
    found, _ = shown(capsys, *TRAIN, *words)
    assert (found["region"], values(found)["log-level"]) == ("us-west-2", "DEBUG")
    assert "MaxWaitTimeInSeconds" not in found["request"]["StoppingCondition"]


def test_a_job_here(capsys: pytest.CaptureFixture[str]) -> None:
    (Path.cwd() / "mag.yaml").write_text("x")
    words = [word if word != "s3://b/c/mag.yaml" else "mag.yaml" for word in TRAIN]
    found, _ = shown(
        capsys, *words, "--instance-type", "local", "--task-name", "first", "--num-trainers", "2", "--dry-run", "--json"
    )
    assert found["job_name"] == "first"
    assert found["request"]["HyperParameters"]["sagemaker_mpi_num_of_processes_per_host"] == "2"
    assert any("beside the ranks on each host: a process server" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((*TRAIN, "--async-execution", "--dry-run"), 2, "--async-execution: a job on this machine ends with the command"),
        ((*TRAIN, "stray", "--dry-run"), 2, "'stray' belongs to no option"),
        ((*TRAIN, "--task-name", "a_b", "--dry-run"), 2, "which is no name of a job"),
        ((*TRAIN, "--entry-point", "run/mine.py", "--dry-run"), 2, "leave it out: hvdsm has its own program"),
        ((*TRAIN, "--sm-estimator-parameters", "max_run", "--dry-run"), 2, "must be NAME=VALUE"),
        ((*TRAIN[:-1], "walking", "--dry-run"), 2, "link_prediction"),
        (TRAIN, 2, "hosts on this machine reach nothing outside of it"),
        (("infer", *TRAIN[1:], "--model-artifact-s3", "epoch-1", "--dry-run"), 2, "must be an address of S3"),
    ],
)
def test_command_lines_that_cannot_be_meant(
    capsys: pytest.CaptureFixture[str], words: Tuple[str, ...], code: int, message: str
) -> None:
    found, said = refused(capsys, *words)
    assert (found, message in said) == (code, True), said


def test_the_documents_command_as_it_stands_there(capsys: pytest.CaptureFixture[str]) -> None:
    entry = ("--entry-point", "run/train_entry.py")
    found, said = shown(capsys, *TRAIN, *entry, *CLOUD, *FORWARDED)
    assert values(found)["fanout"] == "10"
    assert "warning: there is no run/train_entry.py here: hvdsm's own program does what GraphStorm's" in said
    Path("run").mkdir()
    Path("run", "train_entry.py").write_text("")
    found, said = shown(capsys, *TRAIN, *entry, *CLOUD, *FORWARDED)
    assert json.loads(found["request"]["HyperParameters"]["sagemaker_program"]) == "train_entry.py"
    assert "warning" not in said


@pytest.mark.parametrize(
    "words",
    [
        ("--sm-estimator-parameters", "max_run=1", "--max-run", "2"),
        ("--sm-estimator-parameters", "volume_size=1", "--volume-size", "2"),
        ("--sm-estimator-parameters", "use_spot_instances=True", "--spot"),
        ("--sm-estimator-parameters", "subnets=['a'] security_group_ids=['b']", "--subnet", "c"),
    ],
)
def test_what_is_said_twice_is_refused(capsys: pytest.CaptureFixture[str], words: Tuple[str, ...]) -> None:
    code, said = refused(capsys, *TRAIN, *CLOUD, *words)
    assert (code, "says it, too" in said) == (2, True), said


def test_the_configuration_gives_way_to_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    Path("hvdsm.toml").write_text("[graph]\nmax_run = 1\nvolume_size = 2\nspot = true\n")
    found, _ = shown(capsys, *TRAIN, *CLOUD, "--sm-estimator-parameters", "max_run=3 volume_size=4 use_spot_instances=False")
    request = found["request"]
    assert (request["StoppingCondition"], request["ResourceConfig"]["VolumeSizeInGB"]) == ({"MaxRuntimeInSeconds": 3}, 4)
    assert request["EnableManagedSpotTraining"] is False


def test_the_parameters_of_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    words = "max_run=3600 volume_size=100 encrypt_inter_container_traffic=True subnets=['subnet-1234','subnet-4567']"
    found, said = shown(capsys, *TRAIN, *CLOUD, "--sm-estimator-parameters", words)
    request = found["request"]
    assert request["EnableInterContainerTrafficEncryption"] is True and "VpcConfig" not in request
    assert "subnets without security_group_ids is left out: THE JOB IS NOT IN YOUR VPC" in said


def test_local_is_no_type_of_sagemakers(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = refused(capsys, *TRAIN, *CLOUD, "--instance-type", "local")
    assert (code, "--instance-type local: is this machine" in said) == (2, True), said
    Path("hvdsm.toml").write_text('backend = "sagemaker"\n[graph]\nbackend = "sagemaker"\n')
    Path("mag.yaml").write_text("x")
    words = [word if word != "s3://b/c/mag.yaml" else "mag.yaml" for word in TRAIN]
    found, _ = shown(capsys, *words, "--instance-type", "local", "--dry-run", "--json")
    assert found["request"]["ResourceConfig"]["InstanceType"] == "local"


def test_what_is_shown_can_be_copied_and_has_no_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    parameters = "environment={'HF_TOKEN': 'abc'}"
    words = ("--note", "a b", "--hf-token", "abc", "--empty=", "--sm-estimator-parameters", parameters)
    _, said = shown(capsys, *TRAIN, *CLOUD, *words)
    assert "--note 'a b' --hf-token '<masked>' --empty ''" in said
    assert "abc" not in said
    code = main(["graph", *CONSTRUCT, *CLOUD, "--api-token", "abc", "--env", "HF_TOKEN=abc"])
    captured = capsys.readouterr()
    assert (code, "abc" in captured.out + captured.err) == (0, False), captured


@pytest.mark.parametrize("option", ["--output-emb-s3", "--num-parts", "--metadata-filename", "--raw-node-mappings-s3"])
def test_options_of_other_jobs_are_not_swallowed(capsys: pytest.CaptureFixture[str], option: str) -> None:
    code, said = refused(capsys, *TRAIN, *CLOUD, option, "s3://b/x")
    assert (code, f"{option}: means nothing to a job of this kind" in said) == (2, True), said


def test_tags(capsys: pytest.CaptureFixture[str]) -> None:
    tags = ("--tag", "GraphStorm=beta", "--tag", "team=a")
    for words, task in ((TRAIN, "Training"), (CONSTRUCT, "Processing")):
        request = shown(capsys, *words, *CLOUD, *tags)[0]["request"]
        assert sorted((tag["Key"], tag["Value"]) for tag in request["Tags"]) == [
            ("GraphStorm", "beta"), ("GraphStorm_Task", task), ("team", "a"),
        ]  # fmt: skip


def test_names_that_are_made_differ(capsys: pytest.CaptureFixture[str]) -> None:
    name = shown(capsys, *TRAIN, *CLOUD)[0]["request"]["TrainingJobName"]
    # Two jobs of one second have two names.
    assert re.fullmatch(r"gs-train-ogbn-mag-\d{4}(-\d\d){5}-\d{3}", name)


@pytest.mark.parametrize(
    ("words", "wanted"), [((), "false"), (("--skip-partitioning",), "true"), (("--skip-partitioning", "false"), "false")]
)
def test_skip_partitioning(capsys: pytest.CaptureFixture[str], words: Tuple[str, ...], wanted: str) -> None:
    given = ("--graph-data-s3", "s3://b/chunked", "--num-parts", "2", "--output-data-s3", "s3://b/parts", *words)
    assert values(shown(capsys, "partition", *given, *CLOUD)[0])["skip-partitioning"] == wanted


def test_skip_partitioning_in_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    Path("hvdsm.toml").write_text("[graph.partition]\nskip_partitioning = true\n")
    given = ("partition", "--graph-data-s3", "s3://b/chunked", "--num-parts", "2", "--output-data-s3", "s3://b/parts", *CLOUD)
    assert values(shown(capsys, *given)[0])["skip-partitioning"] == "true"
    assert values(shown(capsys, *given, "--skip-partitioning", "false")[0])["skip-partitioning"] == "false"


def test_inference_and_partitioning(capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = shown(capsys, "infer", *TRAIN[1:], *CLOUD, "--output-emb-s3", "s3://b/emb", *FORWARDED)
    told = values(found)
    assert (told["output-emb-s3"], told["output-chunk-size"]) == ("s3://b/emb", "100000")
    assert "raw-node-mappings-s3" not in told
    assert found["request"]["TrainingJobName"].startswith("gs-infer-ogbn-mag-")
    words = ("--graph-data-s3", "s3://b/chunked", "--num-parts", "2", "--output-graph-s3", "s3://b/parts")
    found, said = shown(capsys, "partition", *words, *CLOUD)
    assert values(found)["metadata-filename"] == "updated_row_counts_metadata.json"
    assert found["request"]["ResourceConfig"]["InstanceCount"] == 2
    # It is the image's own hvdsm that partitions.
    assert "ContainerEntrypoint" not in found["request"]["AlgorithmSpecification"]
    assert "warning: --instance-count 1 becomes 2" in said


def test_construction_in_the_cloud(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "construct", "--input-graph-s3", "s3://b/raw", "--output-graph-s3", "s3://b/g", "--graph-name", "mag",
        "--graph-config-file", "c.json", *CLOUD, "--sm-estimator-parameters", "volume_size_in_gb=50", "--num-parts", "2",
        "--subnet", "subnet-1", "--security-group", "sg-1", "--tag", "team=a",
    )  # fmt: skip
    request = shown(capsys, *words)[0]["request"]
    assert request["ProcessingResources"]["ClusterConfig"] == {
        "InstanceCount": 1, "InstanceType": "ml.m5.12xlarge", "VolumeSizeInGB": 50,
    }  # fmt: skip
    assert request["NetworkConfig"]["VpcConfig"] == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    assert request["AppSpecification"]["ContainerArguments"][-2:] == ["--num-parts", "2"]
    code, said = refused(capsys, *words, "--spot")
    assert (code, "--spot: is for training jobs" in said) == (2, True)
    code, said = refused(capsys, *[word.replace("volume_size_in_gb", "volume_size") for word in words])
    assert (code, "there it is volume_size_in_gb" in said) == (2, True)


def test_words_for_gconstruct(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--num-parts 2 --add-reverse-edges", "--instance-count", "2", "--num-processes=4")
    found, said = shown(capsys, *CONSTRUCT, *CLOUD, *words)
    application = found["request"]["AppSpecification"]
    assert application["ContainerArguments"][-5:] == ["--num-parts", "2", "--add-reverse-edges", "--num-processes", "4"]
    assert "warning: --instance-count 2 becomes 1" in said
    for wrong, message in (
        (("stray",), "belongs to no option"),
        (("--task-name", "a_b"), "which is no name of a job"),
        (("--conf-file=x",), "--conf-file: is set by hvdsm itself"),
        (("--note", "x" * 300), "ContainerArguments[10]"),
        (("--sm-estimator-parameters", "network_config=1"), "use --subnet"),
        (("--max-run", "5", "--sm-estimator-parameters", "max_runtime_in_seconds=6"), "--max-run says it, too"),
    ):
        _, said = refused(capsys, *CONSTRUCT, *CLOUD, *wrong)
        assert message in said


def test_a_construction_here_has_the_parameters_that_mean_something_here(capsys: pytest.CaptureFixture[str]) -> None:
    parameters = "env={'KIND':'a b'} max_runtime_in_seconds=77 volume_size_in_gb=50"
    found, _ = shown(capsys, *CONSTRUCT, "--dry-run", "--json", "--env", "OTHER=1", "--sm-estimator-parameters", parameters)
    request = found["request"]
    assert request["StoppingCondition"]["MaxRuntimeInSeconds"] == 77
    assert {name: request["Environment"][name] for name in ("KIND", "OTHER")} == {"KIND": "a b", "OTHER": "1"}


def test_how_hosts_here_reach_s3() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}
    reach = reach_of("auto", {**keys, "AWS_ENDPOINT_URL": "http://localhost:5000"})
    assert reach.gateway is not None
    assert (reach.gateway.port, reach.gateway.variables["AWS_ENDPOINT_URL"]) == (5000, "http://127.0.0.1:5000")
    assert reach_of("single", {**keys, "AWS_ENDPOINT_URL": "http://127.0.0.1:5000"}).gateway is None
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL is https://elsewhere"):
        reach_of("auto", {**keys, "AWS_ENDPOINT_URL": "https://elsewhere"})


def test_how_containers_reach_s3() -> None:
    there = {"AWS_ENDPOINT_URL": "http://10.0.0.7:5000"}
    assert of_containers(there, {}) == there
    assert of_containers({}, {}) == {}
    assert of_containers({"AWS_ENDPOINT_URL": "http://localhost:5000"}, there) == {}
    with pytest.raises(UsageError, match="containers do not reach AWS_ENDPOINT_URL=http://localhost:5000"):
        of_containers({"AWS_ENDPOINT_URL": "http://localhost:5000"}, {})


def test_python_refuses_what_it_does_not_know() -> None:
    words = {"graph_name": "m", "graph_data_s3": "s3://b/g", "task_type": "link_prediction", "yaml_s3": "s3://b/y.yaml"}
    with pytest.raises(UsageError, match="launch has no argument colour"):
        graph.train(**words, check_graph=False, colour="red")
    with pytest.raises(UsageError, match="--task-type"):
        graph.train(**{**words, "task_type": "x"}, check_graph=False)
    with pytest.raises(UsageError, match="must be one of local"):
        graph.train(**words, backend="mars")
    with pytest.raises(UsageError, match="async_execution: a job on this machine ends with the call"):
        graph.train(**words, async_execution=True)
    for arguments in (["--fanout", 10], "--fanout 10"):
        with pytest.raises(UsageError, match="arguments: must be a list of strings, not"):
            graph.train(**words, arguments=arguments)  # type: ignore[arg-type]
    for count in (0, "two", True):
        with pytest.raises(UsageError, match="--instance-count: must be a whole number from 1, not"):
            graph.train(**words, instance_count=count)
    with pytest.raises(UsageError, match="--max-run says it, too"):
        graph.train(**words, max_run=1, sm_estimator_parameters="max_run=2")
    with pytest.raises(UsageError, match="launch has no argument colour"):
        graph.construct(
            input_graph_s3="s3://b/raw", output_graph_s3="s3://b/g", graph_name="m", graph_config_file="c.json", colour="red",
            backend="sagemaker", image_uri=IMAGE, role=ROLE,
        )  # fmt: skip
