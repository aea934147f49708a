"""hvdsm.sdk.v2 with the real SDK 2: what its estimators send trains on emulated hosts."""

from __future__ import annotations

import io
import json
import re
import tarfile
import textwrap
from pathlib import Path
from typing import Any, Dict, Set

import boto3
import pytest
from sdk_support import Ran, client_environment, run_command

from hvdsm.sandbox import Sandbox

pytestmark = pytest.mark.cluster
ROOT = str(Path(__file__).resolve().parents[2])
HOSTS = {"algo-1", "algo-2"}

TRAIN = """
import argparse, json, os, sys
from mpi4py import MPI

world = MPI.COMM_WORLD
host = os.environ["SM_CURRENT_HOST"]
places = world.gather((world.rank, host))
names = json.loads(os.environ["SM_HPS"])
if "fail" in names:
    raise ValueError("no such luck")
if world.rank == 0:
    seen = {
        "places": places,
        "arguments": sys.argv[1:],
        "values": names,
        "exported": os.environ.get("MY_OPTION"),
        "channels": json.loads(os.environ["SM_CHANNELS"]),
        "groups": json.loads(os.environ["SM_DISTRIBUTION_INSTANCE_GROUPS"]),
    }
    with open(os.path.join(os.environ["SM_MODEL_DIR"], "seen.json"), "w") as file:
        json.dump(seen, file)
"""
HEAD = """
import json, os, sys, warnings

import hvdsm.sdk.v2 as v2
from hvdsm.errors import HvdsmError

assert "sagemaker" not in sys.modules
NAME = sys.argv[1]
COMMON = {
    "role": "arn:aws:iam::123456789012:role/training",
    "instance_count": 2,
    "instance_type": "ml.c5.xlarge",
    "image_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1",
    "entry_point": "train.py",
}
VALUES = {"epochs": 3, "name": 'a "quoted" it\\'s', "nested": {"lr": [0.1, None], "on": True}, "number": "007"}
MPI = v2.distribution(processes_per_host=2, custom_mpi_options="-x MY_OPTION='b c'")


def tell(**found):
    print("RESULT " + json.dumps(found), flush=True)


def refused(call):
    try:
        call()
    except HvdsmError as error:
        return str(error)
    return None
"""
VALUES = {"epochs": 3, "name": 'a "quoted" it\'s', "nested": {"lr": [0.1, None], "on": True}, "number": "007"}
# What the SDK sends for the documented distribution beside the script's own values.
RESERVED = {
    "sagemaker_program": '"train.py"',
    "sagemaker_container_log_level": "20",
    "sagemaker_region": '"us-east-1"',
    "sagemaker_mpi_enabled": "true",
    "sagemaker_mpi_num_of_processes_per_host": "2",
    "sagemaker_mpi_custom_mpi_options": "\"-x MY_OPTION='b c'\"",
}


def fit(python: str, sandbox: Sandbox, directory: Path, body: str, name: str, train: str = TRAIN) -> Ran:
    """Run a user's script beside its train.py; the interpreter has hvdsm, too."""
    (directory / "train.py").write_text(train)
    script = directory / "fit.py"
    script.write_text(HEAD + textwrap.dedent(body))
    environment = client_environment(sandbox, directory, PYTHONPATH=ROOT)
    return run_command([python, str(script), name], environment, directory)


def told(ran: Ran) -> Dict[str, Any]:
    """What the script told."""
    match = re.search(r"^RESULT (.*)$", ran.output, re.MULTILINE)
    assert match, ran.output
    found: Dict[str, Any] = json.loads(match.group(1))
    return found


def seen(sandbox: Sandbox, uri: str) -> Dict[str, Any]:
    """What rank 0 wrote into the model, which is in S3."""
    bucket, _, key = uri[len("s3://") :].partition("/")
    variables = sandbox.environ()
    s3 = boto3.session.Session().client(
        "s3",
        endpoint_url=sandbox.url,
        region_name="us-east-1",
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )
    content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        file = tar.extractfile("seen.json")
        assert file is not None
        found: Dict[str, Any] = json.load(file)
    return found


def hosts_of(places: Any) -> Dict[str, Set[int]]:
    """Ranks of each host."""
    found: Dict[str, Set[int]] = {}
    for rank, host in places:
        found.setdefault(host, set()).add(rank)
    return found


KINDS = {
    "Estimator": """
        values = v2.hyperparameters(VALUES, hang_timeout=60)
        estimator = v2.Estimator(**COMMON, distribution=MPI, hyperparameters=values)
    """,
    "PyTorch": """
        from sagemaker.pytorch import PyTorch
        estimator = PyTorch(**COMMON, distribution=MPI, hyperparameters=v2.hyperparameters(VALUES, hang_timeout=60))
    """,
    "TensorFlow": """
        from sagemaker.tensorflow import TensorFlow
        values = v2.hyperparameters(VALUES, hang_timeout=60)
        estimator = TensorFlow(**COMMON, distribution=MPI, hyperparameters=values, framework_version="2.12", py_version="py310")
    """,
}


def test_a_distribution_trains_on_two_hosts(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    """By estimators of all kinds, one after the other in one script."""
    each = """
        before = dict(vars(estimator))
        lost = [*v2.dropped(estimator), *v2.dropped(estimator, MPI)]
        v2.check(estimator)
        assert vars(estimator) == before
        estimator.fit(job_name=NAME + KIND)
        models[KIND] = [estimator.model_data, lost]
    """
    pieces = [f"KIND = {kind!r}\n" + textwrap.dedent(making) + textwrap.dedent(each) for kind, making in KINDS.items()]
    ran = fit(sdk2, shared_sandbox, tmp_path, "\n".join(["models = {}", *pieces, "tell(**models)"]), "job-")
    assert ran.code == 0, ran.output
    for kind, (model, lost) in told(ran).items():
        assert lost == []
        rank = seen(shared_sandbox, model)
        assert hosts_of(rank["places"]) == {"algo-1": {0, 1}, "algo-2": {2, 3}}
        assert rank["exported"] == "b c"
        assert {key: rank["values"][key] for key in VALUES} == VALUES
        assert rank["channels"] == []
        assert rank["arguments"][rank["arguments"].index("--number") :][:2] == ["--number", "007"]
        sent = shared_sandbox.jobs[f"job-{kind}"].request["HyperParameters"]
        own = {"sagemaker_job_name": f'"job-{kind}"', "sagemaker_hvdsm_hang_timeout": "60"}
        assert {key: sent[key] for key in (*RESERVED, *own)} == {**RESERVED, **own}
        assert {key: json.loads(sent[key]) for key in VALUES} == VALUES
        assert ("model_dir" in sent) == (kind == "TensorFlow")
    # The logs were streamed while they trained.
    assert ran.output.count("4 of 4 ranks ended") == len(KINDS)


def test_an_image_of_ones_own_needs_nothing_of_hvdsm(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    """The program is shipped once; a job without it has none; channels stay; a job that is attached to fits again."""
    body = """
    import boto3
    from sagemaker.inputs import TrainingInput

    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="mine")
    s3.put_object(Bucket="mine", Key="data/a.csv", Body=b"1,2")
    source = {**COMMON, "source_dir": ".", "distribution": MPI, "output_path": "s3://mine/out"}
    first = v2.Estimator(**source, hyperparameters=VALUES)
    first.fit({"train": "s3://mine/data", "test": TrainingInput("s3://mine/data")}, job_name=NAME + "-1", logs=False)
    second = v2.Estimator(**source, bring_hvdsm=False)
    second.set_hyperparameters(nested={"a": [1]})
    second.fit("s3://mine/data", job_name=NAME + "-2", logs=False)
    again = v2.Estimator.attach(NAME + "-1")
    again.fit(TrainingInput("s3://mine/data"), job_name=NAME + "-3", logs=False)
    tell(models=[first.model_data, second.model_data, again.model_data], lost=[*v2.dropped(again), *v2.dropped(second)])
    """
    ran = fit(sdk2, shared_sandbox, tmp_path, body, "brought")
    assert ran.code == 0, ran.output
    found = told(ran)
    assert found["lost"] == []
    first, second, third = (seen(shared_sandbox, uri) for uri in found["models"])
    # The program's channel is none of the script's.
    assert [rank["channels"] for rank in (first, second, third)] == [["test", "train"], ["training"], ["training"]]
    assert all(set(hosts_of(rank["places"])) == HOSTS for rank in (first, second, third))
    assert first["values"] == third["values"] == VALUES
    assert second["values"] == {"nested": {"a": [1]}}
    requests = [shared_sandbox.jobs[f"brought-{number}"].request for number in (1, 2, 3)]
    programs = [
        [
            channel["DataSource"]["S3DataSource"]["S3Uri"]
            for channel in request["InputDataConfig"]
            if channel["ChannelName"] == "hvdsm"
        ]
        for request in requests
    ]
    assert programs[0] == programs[2] != []
    assert re.fullmatch(r"s3://mine/hvdsm/program/[0-9a-f]{16}/", programs[0][0])
    assert programs[1] == []
    entrypoints = [request["AlgorithmSpecification"].get("ContainerEntrypoint") for request in requests]
    shipped = ["python3", "/opt/ml/input/data/hvdsm/hvdsm.pyz"]
    assert entrypoints == [shipped, None, shipped]


def test_groups_of_instances(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    """The SDK takes one group for its ranks; hvdsm's estimator takes several, and torchrun's groups too."""
    body = """
    from sagemaker.inputs import TrainingInput
    from sagemaker.instance_group import InstanceGroup

    import boto3
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="groups")
    s3.put_object(Bucket="groups", Key="data/a.csv", Body=b"1,2")
    groups = [InstanceGroup(name, "ml.c5.xlarge", 1) for name in ("data", "left", "right")]
    more = {key: value for key, value in COMMON.items() if not key.startswith("instance_")}
    mpi = {"mpi": {"enabled": True, "processes_per_host": 1}, "instance_groups": [groups[1], "right"]}
    estimator = v2.Estimator(**more, instance_groups=groups, distribution=mpi)
    estimator.fit({"train": TrainingInput("s3://groups/data", instance_groups=["left", "right"])}, job_name=NAME, logs=False)
    torch = v2.Estimator(
        **more,
        instance_groups=groups,
        distribution={"torch_distributed": {"enabled": True, "processes_per_host": 2}, "instance_groups": ["left"]},
    )
    from sagemaker.pytorch import PyTorch
    sdk = PyTorch(**more, instance_groups=groups, distribution=v2.distribution(instance_groups=[groups[1]]))
    tell(
        model=estimator.model_data,
        torch=torch.hyperparameters(),
        lost=[v2.dropped(each) for each in (estimator, torch, sdk)],
        strange=refused(lambda: v2.Estimator(**more, instance_groups=groups, distribution={**mpi, "instance_groups": ["midle"]})),
    )
    """
    ran = fit(sdk2, shared_sandbox, tmp_path, body, "groups")
    assert ran.code == 0, ran.output
    found = told(ran)
    assert found["lost"] == [[], [], []]
    assert found["torch"] == {
        "sagemaker_distribution_instance_groups": '["left"]',
        "sagemaker_torch_distributed_enabled": "true",
        "sagemaker_hvdsm_processes_per_host": "2",
    }
    assert "name one of these: data, left, right" in found["strange"]
    rank = seen(shared_sandbox, found["model"])
    assert hosts_of(rank["places"]) == {"algo-2": {0}, "algo-3": {1}}
    assert rank["groups"] == ["left", "right"]
    request = shared_sandbox.jobs["groups"].request
    sources = {channel["ChannelName"]: channel["DataSource"]["S3DataSource"] for channel in request["InputDataConfig"]}
    assert sources["hvdsm"]["InstanceGroupNames"] == ["data", "left", "right"]


def test_a_job_that_fails(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    body = """
    from sagemaker.exceptions import UnexpectedStatusException

    estimator = v2.Estimator(**COMMON, distribution=MPI, hyperparameters={"fail": True})
    try:
        estimator.fit(job_name=NAME)
    except UnexpectedStatusException as error:
        tell(said=str(error))
    """
    ran = fit(sdk2, shared_sandbox, tmp_path, body, "failing")
    assert ran.code == 0, ran.output
    assert "ValueError: no such luck" in told(ran)["said"]
    assert shared_sandbox.jobs["failing"].status == "Failed"


def test_a_job_that_may_reach_nothing(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    """Under network isolation source and program come as channels; the other fields of the request are the SDK's."""
    body = """
    estimator = v2.Estimator(
        **COMMON,
        distribution=MPI,
        enable_network_isolation=True,
        subnets=["subnet-0123456789abcdef0"],
        security_group_ids=["sg-0123456789abcdef0"],
        encrypt_inter_container_traffic=True,
        use_spot_instances=True,
        max_wait=90000,
        environment={"MY_VARIABLE": "1"},
        tags=[{"Key": "team", "Value": "a"}],
    )
    estimator.fit(job_name=NAME)
    tell(model=estimator.model_data)
    """
    ran = fit(sdk2, shared_sandbox, tmp_path, body, "isolated")
    assert ran.code == 0, ran.output
    assert hosts_of(seen(shared_sandbox, told(ran)["model"])["places"]) == {"algo-1": {0, 1}, "algo-2": {2, 3}}
    request = shared_sandbox.jobs["isolated"].request
    assert sorted(channel["ChannelName"] for channel in request["InputDataConfig"]) == ["code", "hvdsm"]
    assert request["EnableNetworkIsolation"] is request["EnableInterContainerTrafficEncryption"] is True
    assert request["VpcConfig"] == {"Subnets": ["subnet-0123456789abcdef0"], "SecurityGroupIds": ["sg-0123456789abcdef0"]}
    assert request["StoppingCondition"]["MaxWaitTimeInSeconds"] == 90000
    assert request["Environment"] == {"MY_VARIABLE": "1"}
    assert {"Key": "team", "Value": "a"} in request["Tags"]


def test_names_of_the_sdk_1(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    body = """
    from sagemaker.tensorflow import TensorFlow

    old = {
        "entry_point": "train.py",
        "role": COMMON["role"],
        "train_instance_count": 2,
        "train_instance_type": "ml.c5.xlarge",
        "train_max_run": 3600,
        "train_max_wait": 7200,
        "train_use_spot_instances": True,
        "train_volume_size": 50,
        "script_mode": True,
        "image_name": COMMON["image_uri"],
        "distributions": {"mpi": {"enabled": True, "processes_per_host": 2}},
    }
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        estimator = v2.Estimator(**old)
        same = TensorFlow(**v2.arguments(**old), framework_version="2.12", py_version="py310")
    told = {(str(entry.message), os.path.basename(entry.filename)) for entry in said if entry.category is v2.OldNameWarning}
    estimator.fit(job_name=NAME, logs=False)
    tell(model=estimator.model_data, told=sorted(told), same=v2.dropped(same), hosts=same.instance_count, spot=same.max_wait)
    """
    ran = fit(sdk2, shared_sandbox, tmp_path, body, "old-names")
    assert ran.code == 0, ran.output
    found = told(ran)
    assert ["train_instance_count is now called instance_count", "fit.py"] in found["told"]
    assert len(found["told"]) == 9
    assert (found["same"], found["hosts"], found["spot"]) == ([], 2, 7200)
    assert hosts_of(seen(shared_sandbox, found["model"])["places"]) == {"algo-1": {0, 1}, "algo-2": {2, 3}}
    request = shared_sandbox.jobs["old-names"].request
    assert request["EnableManagedSpotTraining"] is True
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}
    assert request["ResourceConfig"]["VolumeSizeInGB"] == 50


def test_what_the_estimator_refuses(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    """Everything that the SDK's own takes without a word; and afterwards a distribution is changed."""
    body = """
    own = lambda **more: refused(lambda: v2.Estimator(**{**COMMON, **more}))
    estimator = v2.Estimator(**COMMON)

    def change():
        estimator.distribution = {"mpi": {"enable": True}}

    found = {
        "typo": own(instance_cuont=2),
        "framework": own(framework_version="2.12"),
        "setting": own(hang_timeout=60),
        "old": own(train_instance_count=3),
        "key": own(distribution={"mpi": {"enabled": True, "processes_per_hosts": 2}}),
        "program": own(distribution={"parameter_server": {"enabled": True}}),
        "left": own(distribution={"parameter_server": {"enabled": True}}, bring_hvdsm=False),
        "entry": own(entry_point=None, bring_hvdsm=True),
        "both": own(container_entry_point=["/run"], bring_hvdsm=True),
        "image": own(image_uri=None),
        "value": own(hyperparameters={"model": object()}),
        "name": own(hyperparameters={"sagemaker_program": "a.py"}),
        "channel": refused(lambda: estimator.fit({"hvdsm": "s3://bucket/data"})),
        "records": refused(lambda: estimator.fit(["s3://bucket/data"])),
        "change": refused(change),
    }
    quiet = v2.Estimator(**{**COMMON, "entry_point": None})
    run = v2.Estimator(**COMMON, container_entry_point=["/run"])
    estimator.distribution = MPI
    tell(refused=found, brought=[quiet.bring_hvdsm, run.bring_hvdsm], changed=v2.dropped(estimator, MPI), none=v2.dropped(quiet))
    """
    ran = fit(sdk2, shared_sandbox, tmp_path, body, "refused")
    assert ran.code == 0, ran.output
    found = told(ran)
    words = {
        "typo": "did you mean instance_count",
        "framework": "the image settles it",
        "setting": "hyperparameters=hyperparameters({…}, hang_timeout=…)",
        "old": "instance_count=2 and train_instance_count=3 contradict",
        "key": "did you mean processes_per_host",
        "program": "hvdsm does not start ranks this way",
        "entry": "entry_point: is missing",
        "both": "bring_hvdsm=True",
        "image": "image_uri: is missing",
        "value": "JSON cannot express",
        "name": "say it by entry_point",
        "channel": "the name hvdsm is taken",
        "records": "must be a dict of channels",
        "change": "did you mean enabled",
    }
    for name, word in words.items():
        assert word in (found["refused"][name] or ""), name
    assert found["refused"]["left"] is None
    assert found["brought"] == [False, False]
    assert (found["changed"], found["none"]) == ([], [])


def test_pipelines_and_tuners(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    """Variables of a pipeline stay variables; a tuner's jobs have the distribution and the program."""
    body = """
    from sagemaker.tuner import ContinuousParameter, HyperparameterTuner
    from sagemaker.workflow.parameters import ParameterInteger
    from sagemaker.workflow.pipeline import Pipeline
    from sagemaker.workflow.pipeline_context import PipelineSession
    from sagemaker.workflow.steps import TrainingStep

    session = PipelineSession()
    count = ParameterInteger(name="Processes", default_value=2)
    estimator = v2.Estimator(**COMMON, sagemaker_session=session, distribution=v2.distribution(processes_per_host=count))
    step = TrainingStep(name="train", step_args=estimator.fit({"train": "s3://bucket/data"}))
    pipeline = Pipeline(name="p", parameters=[count], steps=[step], sagemaker_session=session)
    arguments = json.loads(pipeline.definition())["Steps"][0]["Arguments"]

    asked = []
    tuned = v2.Estimator(**COMMON, distribution=MPI)
    client = tuned.sagemaker_session.sagemaker_client
    client.meta.events.register("before-call.sagemaker.*", lambda params, **_: asked.append(json.loads(params["body"])))
    metric = [{"Name": "loss", "Regex": "loss=(.*)"}]
    tuner = HyperparameterTuner(tuned, "loss", {"lr": ContinuousParameter(0.1, 1)}, metric, max_jobs=1)
    try:
        tuner.fit(tuned.inputs({"train": "s3://bucket/data"}))
    except Exception as error:
        print("the sandbox tunes nothing:", error)
    tell(pipeline=arguments, tuned=next(body["TrainingJobDefinition"] for body in asked if "TrainingJobDefinition" in body))
    """
    ran = fit(sdk2, shared_sandbox, tmp_path, body, "pipeline")
    assert ran.code == 0, ran.output
    found = told(ran)
    values = found["pipeline"]["HyperParameters"]
    assert values["sagemaker_mpi_enabled"] == "true"
    assert "Parameters.Processes" in json.dumps(values["sagemaker_mpi_num_of_processes_per_host"])
    assert [channel["ChannelName"] for channel in found["pipeline"]["InputDataConfig"]] == ["train", "hvdsm"]
    tuned = found["tuned"]
    assert tuned["StaticHyperParameters"]["sagemaker_mpi_num_of_processes_per_host"] == "2"
    assert [channel["ChannelName"] for channel in tuned["InputDataConfig"]] == ["train", "hvdsm"]
