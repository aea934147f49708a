"""What of SageMaker is in a network: jobs that run, warm pools, endpoints, notebooks, Studio domains and clusters.

Source: Amazon SageMaker API Reference: List and Describe operations, and their VpcConfig.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from hvdsm.vpc.deletion.looking import Looking
from hvdsm.vpc.deletion.obstacles import Obstacle, Own

# Things of one kind that are looked at, at most: each costs a request.
_MOST = 300
_RUNNING = ({"StatusEquals": "InProgress"}, {"StatusEquals": "Stopping"})


@dataclass(frozen=True)
class _Kind:
    """A kind of thing that can be in a network.

    Attributes:
        kind: what it is called.
        lister: method that lists it.
        key: where the answer has the list.
        name: where an entry has its name, and how the describing method calls it.
        asked: the arguments of each listing.
        describer: method that describes one.
        paths: where the description has an object with ``Subnets`` and ``SecurityGroupIds``; empty for the description itself.
        remedy: how one is ended; ``{name}`` is its name.
        state: where an entry has its state.
    """

    kind: str
    lister: str
    key: str
    name: str
    asked: Tuple[Mapping[str, Any], ...]
    describer: str
    paths: Tuple[str, ...]
    remedy: str
    state: str


_KINDS = (
    _Kind(
        "training job", "list_training_jobs", "TrainingJobSummaries", "TrainingJobName", _RUNNING, "describe_training_job",
        ("VpcConfig",), "hvdsm jobs stop {name} --wait", "TrainingJobStatus",
    ),
    _Kind(
        "warm pool of training job", "list_training_jobs", "TrainingJobSummaries", "TrainingJobName",
        ({"WarmPoolStatusEquals": "Available"}, {"WarmPoolStatusEquals": "InUse"}), "describe_training_job", ("VpcConfig",),
        "aws sagemaker update-training-job --training-job-name {name} --resource-config KeepAlivePeriodInSeconds=0",
        "WarmPoolStatus.Status",
    ),
    _Kind(
        "processing job", "list_processing_jobs", "ProcessingJobSummaries", "ProcessingJobName", _RUNNING,
        "describe_processing_job", ("NetworkConfig.VpcConfig",),
        "aws sagemaker stop-processing-job --processing-job-name {name}", "ProcessingJobStatus",
    ),
    _Kind(
        "notebook instance", "list_notebook_instances", "NotebookInstances", "NotebookInstanceName", ({},),
        "describe_notebook_instance", ("",),
        "aws sagemaker stop-notebook-instance --notebook-instance-name {name}, then delete-notebook-instance",
        "NotebookInstanceStatus",
    ),
    _Kind(
        "Studio domain", "list_domains", "Domains", "DomainId", ({},), "describe_domain", ("", "DefaultUserSettings"),
        "aws sagemaker delete-domain --domain-id {name}, its apps and user profiles first", "Status",
    ),
    _Kind(
        "cluster", "list_clusters", "ClusterSummaries", "ClusterName", ({},), "describe_cluster", ("VpcConfig",),
        "aws sagemaker delete-cluster --cluster-name {name}", "ClusterStatus",
    ),
)  # fmt: skip


def tenants(looking: Looking, own: Own) -> List[Obstacle]:
    """What of SageMaker is in a network, each once; none where nothing can be in it."""
    if not own.any:
        return []
    found: List[Obstacle] = []
    for kind in _KINDS:
        found += _of_kind(looking, own, kind)
    found += _served(looking, own)
    running = {entry.id for entry in found if entry.kind == "training job"}
    # A pool that a running job uses ends with the job.
    return [entry for entry in found if not (entry.kind.startswith("warm pool") and entry.id in running)]


def _of_kind(looking: Looking, own: Own, kind: _Kind) -> List[Obstacle]:
    plural = f"{kind.kind}s" if not kind.kind.startswith("warm pool") else "warm pools"
    entries: Dict[str, Dict[str, Any]] = {}
    for asked in kind.asked:
        for entry in looking.all("sagemaker", kind.lister, kind.key, plural, **asked):
            # What stands in for SageMaker may not know the filter.
            if not asked or _at(entry, kind.state) in asked.values():
                entries.setdefault(str(entry[kind.name]), entry)
    found = []
    for name, entry in list(entries.items())[:_MOST]:
        described = looking.one("sagemaker", kind.describer, plural, **{kind.name: name})
        if own.has(*_places(described, kind.paths)):
            state = str(_at(entry, kind.state) or "")
            found.append(
                Obstacle(kind.kind, name, f"is in the network{f' ({state})' if state else ''}", kind.remedy.format(name=name))
            )
    if len(entries) > _MOST:
        looking.unread.append(f"only {_MOST} of {len(entries)} {plural} were looked at")
    return found


def _at(value: Any, path: str) -> Any:
    for part in path.split(".") if path else ():
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _places(described: Mapping[str, Any], paths: Sequence[str]) -> Tuple[List[str], List[str]]:
    """The subnets and security groups in a description, as each kind of thing calls them."""
    subnets: List[str] = []
    groups: List[str] = []
    for path in paths:
        config = _at(described, path) or {}
        for name in ("Subnets", "SubnetIds", "SubnetId"):
            subnets += _listed(config.get(name))
        for name in ("SecurityGroupIds", "SecurityGroups"):
            groups += _listed(config.get(name))
    return subnets, groups


def _listed(value: Any) -> List[str]:
    if isinstance(value, str):
        return [value] if value else []
    return [str(entry) for entry in value or ()]


def _served(looking: Looking, own: Own) -> List[Obstacle]:
    """Endpoints and transform jobs: their models say where they are."""
    found = []
    models: Dict[str, bool] = {}

    def inside(model: str, what: str) -> bool:
        if model and model not in models:
            models[model] = own.has(*_places(looking.one("sagemaker", "describe_model", what, ModelName=model), ("VpcConfig",)))
        return models.get(model, False)

    for entry in looking.all("sagemaker", "list_endpoints", "Endpoints", "endpoints")[:_MOST]:
        name = str(entry["EndpointName"])
        described = looking.one("sagemaker", "describe_endpoint", "endpoints", EndpointName=name)
        config: Mapping[str, Any] = {}
        if described.get("EndpointConfigName"):
            asked = str(described["EndpointConfigName"])
            config = looking.one("sagemaker", "describe_endpoint_config", "endpoints", EndpointConfigName=asked)
        variants = [*(config.get("ProductionVariants") or ()), *(config.get("ShadowProductionVariants") or ())]
        names = [str(variant.get("ModelName") or "") for variant in variants]
        if own.has(*_places(config, ("VpcConfig",))) or any(inside(model, "endpoints") for model in names):
            state = str(entry.get("EndpointStatus") or "")
            remedy = f"aws sagemaker delete-endpoint --endpoint-name {name}"
            found.append(Obstacle("endpoint", name, f"has a model in the network ({state})", remedy))
    for asked_status in _RUNNING:
        for entry in looking.all("sagemaker", "list_transform_jobs", "TransformJobSummaries", "transform jobs", **asked_status)[
            :_MOST
        ]:
            name = str(entry["TransformJobName"])
            described = looking.one("sagemaker", "describe_transform_job", "transform jobs", TransformJobName=name)
            if inside(str(described.get("ModelName") or ""), "transform jobs"):
                remedy = f"aws sagemaker stop-transform-job --transform-job-name {name}"
                found.append(Obstacle("transform job", name, "has a model in the network", remedy))
    return found
