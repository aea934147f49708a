"""The request of a graph job, whose source is written into a directory."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.backends.making import locate_script, make_request
from hvdsm.compose.compose_graph import PARTITION
from hvdsm.compose.mask import mask_arguments
from hvdsm.compose.request import LOCAL_INSTANCE_TYPE
from hvdsm.errors import UsageError
from hvdsm.model import MPI, NONE
from hvdsm.model.plan import JobPlan, Ranks, Step
from hvdsm.recipes.graph.jobs import SCRIPT, GraphParts, parts_of
from hvdsm.recipes.graph.parameters import parse_parameters, shown_parameters, with_network, with_parameters
from hvdsm.recipes.graph.processing import CONSTRUCT, Construction, check_construction, construction_name
from hvdsm.recipes.graph.run import PROCESSING_TYPE, TRAINING_TYPE, GraphRun
from hvdsm.recipes.graph.source import PLAN_FILE, write_source


def graph_request(
    run: GraphRun,
    directory: str,
    *,
    timestamp: str,
    in_cloud: bool = False,
    entry_point: Optional[str] = None,
    parameters: str = "",
    instance_type: Optional[str] = None,
    region: Optional[str] = None,
    output: str = "hvdsm-out",
    max_run: Optional[int] = None,
    env: Optional[Mapping[str, str]] = None,
) -> Tuple[Dict[str, Any], GraphParts]:
    """The CreateTrainingJob request of a run, and what it is made of.

    Args:
        run: the run; ``own_script`` goes with ``entry_point``.
        directory: where its source is written; it must be there until the job has been submitted.
        timestamp: ends the name of the job.
        in_cloud: whether SageMaker is to run it.
        entry_point: script of the user's own: its directory is the source.
        parameters: of ``--sm-estimator-parameters``.
        instance_type: type of the hosts.
        region: AWS region.
        output: directory for results.
        max_run: time limit in seconds.
        env: variables of the container.

    Raises:
        UsageError: an option is missing, or cannot be meant.
        ConfigError: a file is missing, or a limit of the service is exceeded.
    """
    parts = parts_of(run, timestamp)
    values = parse_parameters(parameters)
    if in_cloud:
        values, warnings = with_network(values)
        parts = replace(parts, warnings=(*parts.warnings, *warnings))
        if instance_type == LOCAL_INSTANCE_TYPE:
            raise UsageError(
                "is this machine, and no type of SageMaker's", where="--instance-type local", remedy="--backend local"
            )
    if entry_point is None:
        assert parts.plan is not None
        script = write_source(directory, run.job.action, parts.plan, parts.rest)
        folder = os.path.dirname(script)
        plan: Optional[str] = os.path.join(folder, PLAN_FILE)
    else:
        script, folder, plan = _own(entry_point)
    request = make_request(
        script,
        (),
        source_dir=folder,
        plan=plan,
        instance_count=parts.instances,
        processes_per_host=_processes(run, entry_point),
        distribution=MPI if entry_point is None else NONE,
        hyperparameters=parts.hyperparameters,
        channels=parts.channels,
        env=env or {},
        job_name=parts.job_name,
        max_run=max_run,
        output=output,
        instance_type=instance_type or (_default_type(run) if in_cloud else LOCAL_INSTANCE_TYPE),
        region=region,
    )
    request["Tags"] = [{"Key": key, "Value": value} for key, value in parts.tags.items()]
    if in_cloud:
        request["ProfilerConfig"] = {"DisableProfiler": True}
        request["OutputDataConfig"] = _output(parts, request)
    return with_parameters(request, values), parts


def entry_point_of(action: str, path: Optional[str]) -> Optional[str]:
    """The script of the user's own; None for GraphStorm's own, which its document names and which hvdsm's program stands for."""
    if path is None or os.path.isfile(os.path.expanduser(path)):
        return path
    return None if os.path.normpath(path).endswith(os.path.join("run", f"{action}_entry.py")) else path


def _own(entry_point: str) -> Tuple[str, str, Optional[str]]:
    path = os.path.abspath(os.path.expanduser(entry_point))
    if not os.path.isfile(path):
        raise UsageError(
            f"there is no {path}",
            where="--entry-point",
            remedy="leave it out: hvdsm has its own program for the hosts; or name a script of this machine",
        )
    locate_script(path, os.path.dirname(path))
    return os.path.basename(path), os.path.dirname(path), None


def _processes(run: GraphRun, entry_point: Optional[str]) -> Optional[int]:
    if entry_point is not None:
        return None
    return 1 if run.job.action == PARTITION else run.processes


def _default_type(run: GraphRun) -> str:
    return PROCESSING_TYPE if run.job.action == PARTITION else TRAINING_TYPE


def _output(parts: GraphParts, request: Mapping[str, Any]) -> Dict[str, Any]:
    """The model goes where it is asked for, and as files: an inference job reads one of its directories."""
    if parts.model_output is None:
        return dict(request.get("OutputDataConfig") or {})
    return {"S3OutputPath": parts.model_output, "CompressionType": "NONE"}


def construction_request(
    asked: Construction,
    directory: str,
    command: Sequence[str],
    *,
    timestamp: str,
    output: str,
    region: Optional[str] = None,
    max_run: Optional[int] = None,
    env: Optional[Mapping[str, str]] = None,
    values: Optional[Mapping[str, Any]] = None,
) -> Dict[str, Any]:
    """The request by which a host of this machine does what the processing job does.

    Args:
        asked: the construction.
        directory: where its source is written.
        command: GConstruct's command.
        timestamp: ends the name of the job.
        output: directory for results.
        region: AWS region.
        max_run: time limit in seconds.
        env: variables of the container.
        values: arguments of the SDK's Processor; the time limit and the variables mean something here.

    Raises:
        UsageError: something cannot be meant.
    """
    check_construction(asked)
    values = values or {}

    def words(what: str) -> Tuple[str, ...]:
        return ("{python}", "-u", SCRIPT, what)

    plan = JobPlan(
        prepare=(Step("download", words("prepare")),),
        ranks=Ranks(arguments=("rank",)),
        finish=(Step("upload", words("finish")),),
    )
    script = write_source(directory, CONSTRUCT, plan, command[3:])
    folder = os.path.dirname(script)
    return make_request(
        script,
        (),
        source_dir=folder,
        plan=os.path.join(folder, PLAN_FILE),
        processes_per_host=1,
        hyperparameters={
            "graph-data-s3": asked.input_graph,
            "output-data-s3": asked.output_graph,
            "graph-name": asked.graph_name,
        },
        channels={},
        env={**(env or {}), **values.get("env", {})},
        job_name=construction_name(asked, timestamp),
        max_run=values.get("max_runtime_in_seconds", max_run),
        output=output,
        region=region,
    )


def told(run: GraphRun, parts: GraphParts, parameters: str) -> List[str]:
    """What a launch is made of, in lines for people."""
    lines = [f"Launch parameters: {_pairs(run, parts)}"]
    return [*lines, *told_words(parts.forwarded.words, parse_parameters(parameters))]


def told_words(words: Sequence[str], values: Mapping[str, Any]) -> List[str]:
    """What is forwarded, and the SDK's parameters, in lines for people: as they are written in a shell, without secrets."""
    return [
        f"Parameters forwarded to GraphStorm: {shlex.join(mask_arguments(words)) or '(none)'}",
        f"SageMaker parameters: {shown_parameters(values) or '(none)'}",
    ]


def _pairs(run: GraphRun, parts: GraphParts) -> str:
    names = [name for name in parts.hyperparameters if name not in parts.forwarded.hyperparameters]
    found = {"job": parts.job_name, "action": run.job.action, "instance-count": str(parts.instances)}
    return ", ".join(f"{k}={v}" for k, v in {**found, **{n: parts.hyperparameters[n] for n in names}}.items())
