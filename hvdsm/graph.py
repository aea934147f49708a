"""GraphStorm's jobs in Python: what ``hvdsm graph`` does.

::

    from hvdsm import graph

    outcome = graph.train(
        graph_name="mag", graph_data_s3="s3://B/mag_2p", task_type="link_prediction", yaml_s3="s3://B/mag_lp.yaml",
        model_artifact_s3="s3://B/model", instance_count=2, arguments=["--fanout", "10"],
    )
"""

from __future__ import annotations

import datetime
import os
import signal
import sys
import tempfile
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from hvdsm.api import BACKENDS, DEFAULT_OUTPUT, DOCKER, LOCAL, SAGEMAKER, cloud_options, execute, launch, with_settings
from hvdsm.backends.making import change_request
from hvdsm.compose.cloud import PROGRAMS
from hvdsm.compose.compose_graph import INFER, PARTITION, TRAIN
from hvdsm.compose.request import LOCAL_INSTANCE_TYPE
from hvdsm.errors import UsageError
from hvdsm.model.outcome import STOPPED

__all__ = ["construct", "infer", "partition", "train", "upload"]

# The arguments of each function that GraphStorm's launchers have, too.
_MODEL = ("graph_name", "graph_data_s3", "task_type", "yaml_s3", "model_artifact_s3", "custom_script", "processes")
_COMMON = ("instance_count", "log_level", "task_name", "entry_point")
# Arguments of a launch on this machine.
_HOW = ("output", "hosts", "mpirun", "delay_ms", "mbit", "slow_hosts", "stop_grace")
ARGUMENTS: Mapping[str, Sequence[str]] = {
    TRAIN: (*_MODEL, *_COMMON, "model_checkpoint_to_load"),
    INFER: (
        *_MODEL, *_COMMON, "model_sub_path", "raw_node_mappings_s3", "output_emb_s3", "output_prediction_s3", "output_chunk_size",
    ),
    PARTITION: (
        *_COMMON, "graph_data_s3", "num_parts", "output_data_s3", "metadata_filename", "partition_algorithm", "skip_partitioning",
    ),
}  # fmt: skip


def train(*, arguments: Sequence[str] = (), backend: str = LOCAL, **options: Any) -> Any:
    """Train a model on a partitioned graph.

    Args:
        arguments: words for GraphStorm.
        backend: ``local``, ``docker`` or ``sagemaker``.
        options: those of ``hvdsm graph train`` with underscores (``graph_name``, ``graph_data_s3``, ``task_type``, ``yaml_s3``,
            ``model_artifact_s3``, ``instance_count``, ``sm_estimator_parameters``, …), and those of :func:`hvdsm.launch` for
            where the job runs (``image``, ``role``, ``output``, ``tags``, ``max_restarts``, …).  In SageMaker ``wait`` is false
            by default, as of ``launch``; ``async_execution=False`` waits.

    Returns:
        What :func:`hvdsm.launch` returns.

    Raises:
        UsageError: an option is missing, or cannot be meant.
        ConfigError: the graph has no metadata, or the request is wrong.
    """
    return _job(TRAIN, arguments, backend, options)


def infer(*, arguments: Sequence[str] = (), backend: str = LOCAL, **options: Any) -> Any:
    """Make embeddings and predictions of a model; the arguments are as of :func:`train`."""
    return _job(INFER, arguments, backend, options)


def partition(*, arguments: Sequence[str] = (), backend: str = LOCAL, **options: Any) -> Any:
    """Partition a graph in DGL's chunked format; the arguments are as of :func:`train`."""
    return _job(PARTITION, arguments, backend, options)


def construct(
    *,
    input_graph_s3: str,
    output_graph_s3: str,
    graph_name: str,
    graph_config_file: str,
    arguments: Sequence[str] = (),
    backend: str = LOCAL,
    task_name: Optional[str] = None,
    sm_estimator_parameters: str = "",
    **options: Any,
) -> Any:
    """Make a partitioned graph of raw data, on one host.

    Args:
        input_graph_s3: S3 address of the raw data.
        output_graph_s3: S3 address of the graph.
        graph_name: name of the graph.
        graph_config_file: GConstruct's configuration, relative to the raw data.
        arguments: words for GConstruct.
        backend: ``local`` or ``sagemaker``.
        task_name: name of the job.
        sm_estimator_parameters: arguments of the SDK's Processor, in SageMaker.
        options: as of :func:`train`.

    Returns:
        the outcome here; in SageMaker the job, :class:`hvdsm.recipes.graph.processing_run.ProcessingJob`.

    Raises:
        UsageError: an option cannot be meant.
    """
    from hvdsm.recipes.graph.parameters import PROCESSOR, check_same, parse_parameters, with_parameters
    from hvdsm.recipes.graph.processing import Construction, construct_command, processing_request
    from hvdsm.recipes.graph.request import construction_request

    options = _by_launch(options, backend)
    if options.pop("instance_count", 1) != 1:
        _say("warning: instance_count becomes 1: GConstruct runs on one host")
    kind = options.pop("instance_type", None)
    given = Construction(
        input_graph_s3,
        output_graph_s3,
        graph_name,
        graph_config_file,
        task_name=task_name,
        extra=_words(arguments),
        **{name: options[name] for name in ("image", "role") if options.get(name) is not None},
        **({} if kind in (None, LOCAL_INSTANCE_TYPE) else {"instance_type": kind}),
    )
    values = parse_parameters(sm_estimator_parameters, PROCESSOR)
    check_same(values, lambda name: bool(options.get(name)))
    env, max_run = options.pop("env", None) or {}, options.pop("max_run", None)
    if backend == SAGEMAKER:
        from hvdsm.recipes.graph.processing_run import attend, check_processing, checked_request, follower_of, submit

        region, wait = options.pop("region", None), options.pop("wait", False)
        cloud_options(options)
        asked = processing_request(given, _now())
        asked = checked_request(asked, {**options, "max_run": max_run}, env, options.get("tags") or {})
        request = with_parameters(asked, values, PROCESSOR)
        check_processing(request)
        job = submit(request, region, options.get("aws_profile"), _say)
        if wait:
            attend(job, _say, stop_on_interrupt=bool(options.get("stop_on_interrupt")), logs=follower_of(job), show=print)
        return job
    if backend != LOCAL:
        raise UsageError("graphs are constructed on this machine or in SageMaker", where="backend", remedy="local or sagemaker")
    with tempfile.TemporaryDirectory(prefix="hvdsm-graph-") as folder:
        made = construction_request(
            given,
            folder,
            construct_command(given),
            timestamp=_now(),
            output=options.get("output", DEFAULT_OUTPUT),
            region=options.get("region"),
            max_run=max_run,
            env=env,
            values=values,
        )
        return _here(made, options)


def upload(
    graph: str, yaml: str, *, graph_data_s3: str, yaml_s3: str, region: Optional[str] = None, aws_profile: Optional[str] = None
) -> Dict[str, Any]:
    """Bring a partitioned graph and GraphStorm's configuration to S3.

    Args:
        graph: directory of the partitioned graph.
        yaml: the configuration's file.
        graph_data_s3: S3 address of the graph.
        yaml_s3: S3 address of the configuration, which does not lie below the graph; with a slash at its end that of its folder.
        region: AWS region.
        aws_profile: profile of the AWS configuration.

    Returns:
        the addresses, and how much was copied: ``graph_data_s3``, ``yaml_s3``, ``parts``, ``files``, ``bytes``, ``present``.

    Raises:
        UsageError: an address cannot be meant.
        ConfigError: the directory is none of a partitioned graph.
    """
    from hvdsm.recipes.graph.uploading import bring, planned

    return bring(planned(graph, yaml, graph_data_s3, yaml_s3), region, aws_profile, say=_say)


def _job(action: str, arguments: Sequence[str], backend: str, options: Dict[str, Any]) -> Any:
    from hvdsm.recipes.graph.local_s3 import of_containers
    from hvdsm.recipes.graph.parameters import check_same, parse_parameters
    from hvdsm.recipes.graph.preflight import check_graph
    from hvdsm.recipes.graph.request import entry_point_of, graph_request
    from hvdsm.recipes.graph.run import run_of

    options = _by_launch(options, backend)
    given = {name: options.pop(name) for name in ARGUMENTS[action] if name in options}
    parameters, check = options.pop("sm_estimator_parameters", ""), options.pop("check_graph", True)
    check_same(parse_parameters(parameters), lambda name: bool(options.get(name)))
    made = {name: options.pop(name, None) for name in ("instance_type", "max_run", "env")}
    entry_point = given.pop("entry_point", None)
    given["entry_point"] = entry_point_of(action, entry_point)
    if given["entry_point"] != entry_point:
        _say(f"warning: there is no {entry_point} here: hvdsm's own program does what GraphStorm's of this name does")
    run = run_of(action, given, _words(arguments), uploads=backend != SAGEMAKER)
    if backend == DOCKER:
        made["env"] = {**(made["env"] or {}), **of_containers(os.environ, made["env"] or {})}
    with tempfile.TemporaryDirectory(prefix="hvdsm-graph-") as folder:
        request, parts = graph_request(
            run,
            folder,
            timestamp=_now(),
            in_cloud=backend == SAGEMAKER,
            entry_point=given["entry_point"],
            parameters=parameters,
            region=options.get("region"),
            output=options.get("output", DEFAULT_OUTPUT),
            **made,
        )
        for warning in parts.warnings:
            _say(f"warning: {warning}")
        if check and action != PARTITION:
            check_graph(run, options.get("region"), options.get("aws_profile"))
        if backend == LOCAL:
            return _here(request, options)
        if action == PARTITION and backend == SAGEMAKER:
            # What partitions is in the image's hvdsm, and not in the program that is shipped.
            options.setdefault("container_program", PROGRAMS[1])
        return launch(request=request, backend=backend, **options)  # type: ignore[call-overload]


def _words(arguments: Sequence[str]) -> Tuple[str, ...]:
    """The words for GraphStorm, which are those of a command line."""
    wrong = "one string" if isinstance(arguments, str) else next((repr(w) for w in arguments if not isinstance(w, str)), None)
    if wrong is not None:
        raise UsageError(f"must be a list of strings, not {wrong}", where="arguments", remedy='arguments=["--fanout", "10"]')
    return tuple(arguments)


def _by_launch(options: Mapping[str, Any], backend: str) -> Dict[str, Any]:
    """Options by the names that ``launch`` has for them."""
    if backend not in BACKENDS:
        raise UsageError(f"must be one of {', '.join(BACKENDS)}, not {backend!r}", where="backend")
    found = dict(options)
    for name in ("image_url", "image_uri"):
        if name in found:
            found["image"] = found.pop(name)
    if backend == SAGEMAKER and not found.get("role") and os.environ.get("SAGEMAKER_ROLE"):
        found["role"] = os.environ["SAGEMAKER_ROLE"]
    if "async_execution" in found:
        detached = bool(found.pop("async_execution"))
        if detached and backend != SAGEMAKER:
            raise UsageError("a job on this machine ends with the call", where="async_execution", remedy='backend="sagemaker"')
        found["wait"] = not detached
    return found


def _here(request: Mapping[str, Any], options: Dict[str, Any]) -> Any:
    from hvdsm.backends.display import Display
    from hvdsm.backends.local import LocalOptions
    from hvdsm.recipes.graph.local_s3 import reach_of

    how = {name: options.pop(name) for name in _HOW if name in options}
    stream, settings = options.pop("stream", None), options.pop("settings", ())
    changes = {name: options.pop(name, None) for name in ("max_restarts", "hang_timeout")}
    for name in ("region", "wait"):
        options.pop(name, None)
    fields, _ = cloud_options(options)
    changed = change_request(
        request, channels={}, environment=None, hyperparameters={}, job_name=None, max_run=None, cloud=fields, **changes
    )
    reach = reach_of(how.get("hosts", "auto"), os.environ, options.get("aws_profile"))
    local = LocalOptions(**how, gateway=reach.gateway, variables=reach.variables)
    outcome = execute(with_settings(changed, settings), local, Display(stream or sys.stdout))
    if outcome.exit_code == 128 + signal.SIGINT and outcome.status == STOPPED:
        raise KeyboardInterrupt
    return outcome


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d-%H-%M-%S-%f")[:-3]


def _say(text: str) -> None:
    print(f"hvdsm: {text}", file=sys.stderr, flush=True)
