"""``hvdsm compose``."""

from __future__ import annotations

import json
import os
import re
import shlex
from typing import Any, Dict, List, Mapping, Optional, Tuple

import click

from hvdsm.compose.compose_file import CREDENTIALS, SHM_SIZE, compose_text
from hvdsm.compose.compose_graph import (
    ACTIONS,
    ALGORITHMS,
    EMBEDDINGS,
    IMAGE,
    INFER,
    LOG_LEVELS,
    PARTITION,
    TASKS,
    TRAIN,
    GraphJob,
    check,
    file_name,
    graph_project,
    hyperparameters_of,
    steps,
)
from hvdsm.errors import ConfigError, HvdsmError, UsageError

_STDOUT = "-"
_JOB = "job"


class Forms(click.Command):
    """The command, whose first word ``job`` makes it one for any script."""

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        """Take the words of ``job`` as they are."""
        if args[:1] != [_JOB]:
            return super().parse_args(ctx, args)
        ctx.params = {"launched": tuple(args[1:])}
        return []

    def invoke(self, ctx: click.Context) -> Any:
        """Write the file."""
        if "launched" not in ctx.params:
            return super().invoke(ctx)
        from hvdsm.cli.app import app

        words = ["launch", "--backend", "docker", "--no-run", *ctx.params["launched"]]
        return app.main(words, prog_name="hvdsm", standalone_mode=False)


@click.command(cls=Forms, context_settings={"ignore_unknown_options": True})
@click.option("--num-instances", type=click.IntRange(1), required=True, metavar="N", help="Number of hosts.")
@click.option("--graph-name", required=True, metavar="NAME", help="Name of the graph.")
@click.option("--graph-data-s3", required=True, metavar="URI", help="The graph on S3.")
@click.option("--image", default=IMAGE, show_default=True, metavar="NAME", help="Image of the hosts.")
@click.option("--region", metavar="REGION", help="AWS region.  [default: $AWS_REGION where the file is run]")
@click.option("--task-type", type=click.Choice((*TASKS, EMBEDDINGS)), help="What is trained or inferred.")
@click.option("--yaml-s3", "--train-yaml-s3", "--infer-yaml-s3", metavar="URI", help="GraphStorm's configuration on S3.")
@click.option("--model-artifact-s3", metavar="URI", help="Where the model goes, or of inference comes from.")
@click.option("--custom-script", metavar="PATH", help="Script in the image in place of GraphStorm's own.")
@click.option("--inference", is_flag=True, help="Inference; the same as the word infer.")
@click.option("--output-emb-s3", metavar="URI", help="Inference: where embeddings go.")
@click.option("--output-prediction-s3", metavar="URI", help="Inference: where predictions go.")
@click.option("--num-parts", type=click.IntRange(1), metavar="N", help="Partition: number of parts.  [default: hosts]")
@click.option("--output-data-s3", metavar="URI", help="Partition: where the parts go.")
@click.option("--partition-algorithm", type=click.Choice(ALGORITHMS), default=ALGORITHMS[0], show_default=True, help="How.")
@click.option("--metadata-filename", default="metadata.json", show_default=True, metavar="NAME", help="Partition: metadata.")
@click.option("--skip-partitioning", is_flag=True, help="Partition: assignments are there already.")
@click.option("--log-level", type=click.Choice(LOG_LEVELS), help="Of the job's script.")
@click.option("--gpus", type=click.IntRange(0), metavar="N", help="GPUs of each host.  [default: 1 where this machine has any]")
@click.option("--shm-size", default=SHM_SIZE, show_default=True, metavar="SIZE", help="/dev/shm of each host.")
@click.option("--aws-profile", metavar="NAME", help="Mount ~/.aws and use this profile, in place of variables.")
@click.option("--pass-env", "pass_names", multiple=True, metavar="NAME", help="Variable given on to the hosts.  Repeatable.")
@click.option("--aws-access-key-id", "--aws-access-key", metavar="KEY", help="Never written; better left in $AWS_ACCESS_KEY_ID.")
@click.option("--aws-secret-access-key", metavar="KEY", help="Never written; better left in $AWS_SECRET_ACCESS_KEY.")
@click.option("--aws-session-token", metavar="TOKEN", help="Never written; better left in $AWS_SESSION_TOKEN.")
@click.option("--opt-ml/--no-opt-ml", default=True, show_default=True, help="Make and mount /opt/ml of each host.")
@click.option("--own-network", is_flag=True, help="Compose makes and removes the network, in place of you.")
@click.option("--output", metavar="FILE", help="The file; - for standard output.  [default: by the document's rule]")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[train|infer|partition] [ARGUMENTS]...")
def command(as_json: bool, words: Tuple[str, ...], **given: Any) -> int:
    """Write a Docker Compose file whose services look like the hosts of a SageMaker training job, for GraphStorm's scripts.

    All options that are not listed here go to the job's script as they are.  The file is
    docker-compose-TASK-N-train.yaml, -infer.yaml, or docker-compose-ALGORITHM-N-partition.yaml; beside it is a directory of that
    name with /opt/ml of each host.  No credential is written.  To write the file of any other script: hvdsm compose job
    [OPTIONS OF hvdsm launch] SCRIPT [ARGUMENTS]...; to have it run, too: hvdsm launch --backend docker.

    \b
    Examples:
      hvdsm compose --num-instances 3 --image graphstorm:sm-gpu --graph-name ogbn-mag --task-type link_prediction \\
        --graph-data-s3 s3://B/mag_3p --yaml-s3 s3://B/mag_lp.yaml --model-artifact-s3 s3://B/model --num-layers 1 --fanout 10
      hvdsm compose infer --num-instances 3 …
      hvdsm compose job --image my-image:1 --instance-count 2 train.py --epochs 3
      hvdsm compose partition --num-instances 2 --graph-name mag --graph-data-s3 s3://B/chunked --output-data-s3 s3://B/2p
    """  # noqa: D301
    try:
        return _write(as_json, words, given)
    except HvdsmError as error:
        if as_json:
            click.echo(json.dumps({"error": str(error), "exit_code": error.exit_code}, indent=2))
        raise


def _write(as_json: bool, words: Tuple[str, ...], given: Mapping[str, Any]) -> int:
    from hvdsm.backends.docker.engine import selinux_enforces

    notes = _credentials(given)
    _check_names(given["pass_names"])
    job = _job(words, given)
    notes += check(job)
    if job.region is None:
        notes.append("no AWS region is known, which the scripts need: --region NAME, or export AWS_REGION before `up`")
    profile = given["aws_profile"]
    aws_directory = os.path.expanduser("~/.aws")
    if profile is not None and not os.path.isdir(aws_directory):
        raise ConfigError(
            f"there is no AWS configuration with the profile {profile}", where=aws_directory, remedy="aws configure"
        )
    output = given["output"] or file_name(job)
    directory = _beside(output) if given["opt_ml"] and output != _STDOUT else None
    project = graph_project(
        job,
        path=shlex.quote(output),
        directory=directory,
        profile=profile,
        aws_directory=aws_directory,
        pass_names=given["pass_names"],
        own_network=given["own_network"],
        shm_size=given["shm_size"],
        unlabelled=selinux_enforces(),
    )
    text = compose_text(project)
    if output == _STDOUT:
        for note in notes:
            click.echo(f"hvdsm: warning: {note}", err=True)
        click.echo(text, nl=False)
        return 0
    made = None
    try:
        if directory is not None:
            made = os.path.join(os.path.dirname(output), directory)
            _lay_out(job, made)
        with open(output, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        where = error.filename or output
        raise ConfigError(f"cannot be written: {error.strerror}", where=where, remedy="name another file by --output") from None
    commands = steps(shlex.quote(output), given["own_network"])
    if as_json:
        answer = {"file": output, "directory": made, "hosts": list(job.hosts), "commands": list(commands), "warnings": notes}
        click.echo(json.dumps(answer, indent=2))
        return 0
    for note in notes:
        click.echo(f"hvdsm: warning: {note}", err=True)
    click.echo(f"{output}: {job.instances} host{'s' if job.instances > 1 else ''}; to run it:")
    for line in commands:
        click.echo(f"  {line}")
    return 0


def _credentials(given: Mapping[str, Any]) -> list[str]:
    """Check the three values that must never be written; a warning when they were given."""
    values = [given[name.lower()] for name in CREDENTIALS]
    if not any(values):
        return []
    if not all(values):
        missing = ", ".join(f"--{n.lower().replace('_', '-')}" for n, value in zip(CREDENTIALS, values) if not value)
        raise UsageError(f"without {missing}", where="credentials", remedy="give all three; or none, and export the variables")
    names = " ".join(CREDENTIALS)
    return [
        f"credentials are not written, and others see them on a command line: export {names} before `docker compose up`, or use "
        "--aws-profile NAME"
    ]


def _check_names(names: Tuple[str, ...]) -> None:
    """Refuse what is no variable's name; a value after it would be in the file, and is not shown."""
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][\w.-]*", name, re.ASCII):
            alone = name.partition("=")[0]
            remedy = f"export {alone}=VALUE before `docker compose up`, and --pass-env {alone}" if alone else "--pass-env NAME"
            raise UsageError("must be the name of a variable alone", where=f"--pass-env {alone}".rstrip(), remedy=remedy)


def _job(words: Tuple[str, ...], given: Mapping[str, Any]) -> GraphJob:
    named = ACTIONS.get(words[0]) if words else None
    action = named or (INFER if given["inference"] else TRAIN)
    if given["inference"] and action != INFER:
        raise UsageError(f"contradicts the word {words[0]}", where="--inference", remedy="leave one of them out")
    names = {
        "instances": "num_instances", "graph_name": "graph_name", "graph_data": "graph_data_s3", "image": "image",
        "region": "region", "task_type": "task_type", "yaml": "yaml_s3", "model_artifact": "model_artifact_s3",
        "custom_script": "custom_script", "output_emb": "output_emb_s3", "output_prediction": "output_prediction_s3",
        "num_parts": "num_parts", "output_data": "output_data_s3", "algorithm": "partition_algorithm",
        "metadata": "metadata_filename", "skip_partitioning": "skip_partitioning", "log_level": "log_level",
    }  # fmt: skip
    fields: Dict[str, Any] = {field: given[name] for field, name in names.items()}
    return GraphJob(action, gpus=_gpus(action, given["gpus"]), extra=words[1:] if named else words, **fields)


def _gpus(action: str, asked: Optional[int]) -> int:
    if asked is not None or action == PARTITION:
        return asked or 0
    from hvdsm.emulator.gpus import machine_gpus

    return 1 if machine_gpus(os.environ) else 0


def _beside(output: str) -> str:
    """Name of the directory that goes with a file: the file's without its suffix."""
    name = os.path.basename(output)
    stem = os.path.splitext(name)[0]
    return stem if stem != name else f"{name}-opt-ml"


def _lay_out(job: GraphJob, directory: str) -> None:
    """``/opt/ml`` of each host, by the local back end's rules; models and outputs of an earlier run stay."""
    from hvdsm.backends.local.layout import hosts_of, input_data_config, resource_config
    from hvdsm.backends.local.stage import write_json

    request = {"ResourceConfig": {"InstanceCount": job.instances}}
    hosts = hosts_of(request)
    for host in hosts:
        base = os.path.join(directory, host.name)
        for name in ("input/config", "input/data", "model", "output/data", "checkpoints"):
            os.makedirs(os.path.join(base, name), exist_ok=True)
        config = os.path.join(base, "input", "config")
        write_json(os.path.join(config, "hyperparameters.json"), hyperparameters_of(job))
        write_json(os.path.join(config, "resourceconfig.json"), resource_config(hosts, host))
        write_json(os.path.join(config, "inputdataconfig.json"), input_data_config(request))
