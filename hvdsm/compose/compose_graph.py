"""Compose files of GraphStorm jobs - training, inference, partitioning - that look to their scripts like SageMaker; pure.

Source: GraphStorm's documentation, "Run GraphStorm SageMaker with Docker Compose": options, names of network and file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from hvdsm.compose.compose_file import AWS_TARGET, CREDENTIALS, SHM_SIZE, Bind, ComposeProject, Service, training_env
from hvdsm.compose.mask import mask_arguments
from hvdsm.errors import UsageError

TRAIN, INFER, PARTITION = "train", "infer", "partition"
# The words for an action, the document's and the script's.
ACTIONS = {
    "train": TRAIN,
    "training": TRAIN,
    "infer": INFER,
    "inference": INFER,
    "partition": PARTITION,
    "partitioning": PARTITION,
}
TASKS = ("node_classification", "node_regression", "edge_classification", "edge_regression", "link_prediction", "multi_task")
# Of inference alone.
EMBEDDINGS = "compute_emb"
ALGORITHMS = ("random",)
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "CRITICAL", "FATAL")
IMAGE = "graphstorm:sm"
NETWORK, NETWORK_NAME = "gsf", "gsf-network"
CODE = "/opt/ml/code/"
# Tasks that predict nothing which could be saved.
NO_PREDICTIONS = ("link_prediction", EMBEDDINGS)


@dataclass(frozen=True)
class GraphJob:
    """A job; what is None is not said to its script.

    Attributes:
        action: ``train``, ``infer`` or ``partition``.
        instances: number of hosts.
        graph_name: name of the graph.
        graph_data: S3 address of the graph.
        image: the image.
        region: AWS region; None takes it from the environment of who runs the file.
        task_type: one of TASKS, for inference also EMBEDDINGS.
        yaml: S3 address of the configuration.
        model_artifact: S3 address of the model.
        custom_script: path of a script in the image.
        output_emb: S3 address of embeddings; inference only.
        output_prediction: S3 address of predictions; inference only.
        num_parts: number of partitions; as many as hosts by default.
        output_data: S3 address of the partitioned graph.
        algorithm: how the graph is partitioned.
        metadata: name of the file with the graph's metadata.
        skip_partitioning: whether assignments are there already.
        log_level: of the job's script.
        gpus: GPUs of each host.
        extra: words for the script, as they are.
    """

    action: str
    instances: int
    graph_name: str
    graph_data: str
    image: str = IMAGE
    region: Optional[str] = None
    task_type: Optional[str] = None
    yaml: Optional[str] = None
    model_artifact: Optional[str] = None
    custom_script: Optional[str] = None
    output_emb: Optional[str] = None
    output_prediction: Optional[str] = None
    num_parts: Optional[int] = None
    output_data: Optional[str] = None
    algorithm: str = ALGORITHMS[0]
    metadata: str = "metadata.json"
    skip_partitioning: bool = False
    log_level: Optional[str] = None
    gpus: int = 0
    extra: Tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """A job name, which the hosts find each other by."""
        letters = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in self.graph_name)
        return f"gs-{self.action}-{letters.strip('-') or 'graph'}"[:63].rstrip("-")

    @property
    def hosts(self) -> Tuple[str, ...]:
        """Names of the hosts."""
        return tuple(f"algo-{number}" for number in range(1, self.instances + 1))


def file_name(job: GraphJob) -> str:
    """``docker-compose-<task-type>-<instances>-train.yaml``; partitioning has its algorithm in place of a task.

    >>> file_name(GraphJob("infer", 3, "mag", "s3://b/g", task_type="link_prediction"))
    'docker-compose-link_prediction-3-infer.yaml'
    """
    what = job.algorithm if job.action == PARTITION else job.task_type
    return f"docker-compose-{what}-{job.instances}-{job.action}.yaml"


def check_options(job: GraphJob) -> List[str]:
    """Refuse what the job's script would; a warning for each option that it has no use for.

    Raises:
        UsageError: an option is missing, or belongs to another action.
    """
    needed: Dict[str, Optional[object]] = {}
    foreign: Dict[str, Optional[object]] = {"--num-parts": job.num_parts, "--output-data-s3": job.output_data}
    if job.action == PARTITION:
        needed = {"--output-data-s3": job.output_data}
        foreign = {"--task-type": job.task_type, "--yaml-s3": job.yaml, "--custom-script": job.custom_script}
    else:
        needed = {"--task-type": job.task_type, "--yaml-s3": job.yaml}
    if job.action == INFER:
        needed["--model-artifact-s3"] = job.model_artifact
    else:
        foreign.update({"--output-emb-s3": job.output_emb, "--output-prediction-s3": job.output_prediction})
    for option, value in needed.items():
        if value is None:
            raise UsageError("is missing", where=option, remedy=f"add {option}: a job of the kind {job.action} needs it")
    for option, value in foreign.items():
        if value is not None:
            raise UsageError(f"means nothing to a job of the kind {job.action}", where=option, remedy="leave it out")
    if job.task_type == EMBEDDINGS and job.action != INFER:
        raise UsageError("is for inference", where=f"--task-type {EMBEDDINGS}", remedy="add --inference")
    warnings = []
    if job.output_prediction is not None and job.task_type in NO_PREDICTIONS:
        warnings.append(f"--output-prediction-s3 is left out: {job.task_type} has no predictions to save")
    if job.action == PARTITION and job.num_parts not in (None, job.instances):
        warnings.append(f"{job.num_parts} partitions on {job.instances} hosts: the script wants as many hosts as partitions")
    return warnings


def check(job: GraphJob) -> List[str]:
    """The same as :func:`check_options` for a job that becomes a file.

    Raises:
        UsageError: as there; or an option would bring a secret into the file.
    """
    warnings = check_options(job)
    words = command_of(job)
    for at, (word, masked) in enumerate(zip(words, mask_arguments(words))):
        if word != masked:
            name = word.partition("=")[0] if word.startswith("-") else words[at - 1]
            raise UsageError(
                "looks like a secret, which the file would hold",
                where=f"the value of {name}" if name.startswith("-") else "an argument of the script",
                remedy="have the script read it from its environment: --pass-env NAME",
            )
    return warnings


def command_of(job: GraphJob) -> Tuple[str, ...]:
    """The words that each host runs in the image's code directory."""
    common: Dict[str, Optional[str]] = {"--graph-data-s3": job.graph_data}
    if job.action == PARTITION:
        options = {
            **common,
            "--num-parts": str(job.num_parts or job.instances),
            "--output-data-s3": job.output_data,
            "--metadata-filename": job.metadata,
            "--partition-algorithm": job.algorithm,
            "--skip-partitioning": "true" if job.skip_partitioning else "false",
        }
    else:
        options = {
            "--task-type": job.task_type,
            "--graph-name": job.graph_name,
            **common,
            "--model-artifact-s3": job.model_artifact,
            f"--{job.action}-yaml-s3": job.yaml,
            "--custom-script": job.custom_script,
        }
    if job.action == INFER:
        options["--output-emb-s3"] = job.output_emb
        options["--output-prediction-s3"] = None if job.task_type in NO_PREDICTIONS else job.output_prediction
    options["--log-level"] = job.log_level
    words = [word for option, value in options.items() if value is not None for word in (option, value)]
    return ("python3", "-u", f"{job.action}_entry.py", *words, *job.extra)


def hyperparameters_of(job: GraphJob) -> Dict[str, str]:
    """What ``hyperparameters.json`` says of the job: the options that its script gets."""
    words = command_of(job)[3 : len(command_of(job)) - len(job.extra)]
    return {words[at][2:]: words[at + 1] for at in range(0, len(words), 2)}


def graph_project(
    job: GraphJob,
    *,
    path: Optional[str] = None,
    directory: Optional[str] = None,
    profile: Optional[str] = None,
    aws_directory: Optional[str] = None,
    pass_names: Tuple[str, ...] = (),
    own_network: bool = False,
    shm_size: str = SHM_SIZE,
    unlabelled: bool = False,
) -> ComposeProject:
    """The project of a job.

    Args:
        job: the job.
        path: of the file, quoted for a shell; its name by the document's rule by default.
        directory: where ``/opt/ml`` of each host is, in ``algo-N/``, relative to the file; None mounts nothing.
        profile: profile of the AWS configuration, in place of variables.
        aws_directory: directory of that configuration on the machine.
        pass_names: further variables that the hosts get from the environment of who runs the file.
        own_network: whether Compose makes and removes the network; by default it is there before.
        shm_size: size of ``/dev/shm`` of each host.
        unlabelled: whether SELinux is to let the containers at what is mounted.
    """
    services = tuple(
        Service(
            name=host,
            image=job.image,
            container_name=host,
            command=command_of(job),
            environment=_variables(job, rank, host, profile, pass_names),
            binds=_binds(host, directory, aws_directory if profile is not None else None),
            gpus=job.gpus,
            working_dir=CODE,
            ports=(22,),
            unlabelled=unlabelled,
        )
        for rank, host in enumerate(job.hosts)
    )
    return ComposeProject(
        None,
        services,
        network=NETWORK,
        network_name=NETWORK_NAME,
        external=not own_network,
        shm_size=shm_size,
        comments=(
            f"{job.name}: {job.instances} hosts that look like those of a SageMaker training job, written by hvdsm.",
            *steps(path or file_name(job), own_network),
            "Credentials are not in this file: variables without a value take it from the environment.",
        ),
    )


def steps(path: str, own_network: bool) -> Tuple[str, ...]:
    """The commands that run a file, one in each line."""
    first = () if own_network else (f"docker network create {NETWORK_NAME}",)
    return (*first, f"docker compose -f {path} up", f"docker compose -f {path} down")


def _variables(
    job: GraphJob, rank: int, host: str, profile: Optional[str], pass_names: Tuple[str, ...]
) -> Dict[str, Optional[str]]:
    found: Dict[str, Optional[str]] = {
        "SM_TRAINING_ENV": training_env(job.hosts, host, job.name),
        "TRAINING_JOB_NAME": job.name,
        "WORLD_SIZE": str(job.instances),
        "RANK": str(rank),
        "MASTER_ADDR": job.hosts[0],
        "AWS_REGION": job.region,
        "SM_NUM_GPUS": str(job.gpus),
        "SM_CHANNEL_TRAIN": "/opt/ml/",
    }
    if profile is None:
        found.update(dict.fromkeys(CREDENTIALS))
    else:
        found["AWS_PROFILE"] = profile
        found["AWS_CONFIG_FILE"] = f"{AWS_TARGET}/config"
        found["AWS_SHARED_CREDENTIALS_FILE"] = f"{AWS_TARGET}/credentials"
    return {**found, **dict.fromkeys(pass_names)}


def _binds(host: str, directory: Optional[str], aws_directory: Optional[str]) -> Tuple[Bind, ...]:
    parts = () if directory is None else ("input", "model", "output", "checkpoints")
    found = [Bind(f"./{directory}/{host}/{part}", f"/opt/ml/{part}", read_only=False) for part in parts]
    if aws_directory is not None:
        found.append(Bind(aws_directory, AWS_TARGET))
    return tuple(found)
