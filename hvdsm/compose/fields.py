"""The fields of a CreateTrainingJob request and their types.

Source: the SageMaker API reference, "CreateTrainingJob" and the types it names.  A request comes from a file that anybody
may have written: nothing here raises, whatever it holds.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

from hvdsm.compose.problems import Path, Problem, path_text, shown, told

STRING = "a string"
INTEGER = "a whole number"
BOOLEAN = "true or false"
STRINGS = {"*": STRING}
_RULE = {
    "RuleConfigurationName": STRING,
    "LocalPath": STRING,
    "S3OutputPath": STRING,
    "RuleEvaluatorImage": STRING,
    "InstanceType": STRING,
    "VolumeSizeInGB": INTEGER,
    "RuleParameters": STRINGS,
}
_S3_SOURCE = {
    "S3DataType": STRING,
    "S3Uri": STRING,
    "S3DataDistributionType": STRING,
    "AttributeNames": [STRING],
    "InstanceGroupNames": [STRING],
    "ModelAccessConfig": {"AcceptEula": BOOLEAN},
    "HubAccessConfig": {"HubContentArn": STRING},
}
_FILE_SYSTEM = {"FileSystemId": STRING, "FileSystemAccessMode": STRING, "FileSystemType": STRING, "DirectoryPath": STRING}
_CHANNEL = {
    "ChannelName": STRING,
    "DataSource": {
        "S3DataSource": _S3_SOURCE,
        "FileSystemDataSource": _FILE_SYSTEM,
        "DatasetSource": {"DatasetArn": STRING},
    },
    "ContentType": STRING,
    "CompressionType": STRING,
    "RecordWrapperType": STRING,
    "InputMode": STRING,
    "ShuffleConfig": {"Seed": INTEGER},
}
_ALGORITHM = {
    "TrainingImage": STRING,
    "AlgorithmName": STRING,
    "TrainingInputMode": STRING,
    "MetricDefinitions": [{"Name": STRING, "Regex": STRING}],
    "EnableSageMakerMetricsTimeSeries": BOOLEAN,
    "ContainerEntrypoint": [STRING],
    "ContainerArguments": [STRING],
    "TrainingImageConfig": {
        "TrainingRepositoryAccessMode": STRING,
        "TrainingRepositoryAuthConfig": {"TrainingRepositoryCredentialsProviderArn": STRING},
    },
}
_RESOURCES = {
    "InstanceType": STRING,
    "InstanceCount": INTEGER,
    "VolumeSizeInGB": INTEGER,
    "VolumeKmsKeyId": STRING,
    "KeepAlivePeriodInSeconds": INTEGER,
    "InstanceGroups": [{"InstanceType": STRING, "InstanceCount": INTEGER, "InstanceGroupName": STRING}],
    "TrainingPlanArn": STRING,
    "InstancePlacementConfig": {
        "EnableMultipleJobs": BOOLEAN,
        "PlacementSpecifications": [{"UltraServerId": STRING, "InstanceCount": INTEGER}],
    },
    "InstancePreferences": [{"InstanceType": STRING, "InstanceCount": INTEGER, "TrainingPlanArns": [STRING]}],
    "SelectedInstanceType": STRING,
    "SelectedInstanceCount": INTEGER,
}
# The types of all fields, from the API reference: a name above, [element], {"*": value} for a map, {field: type} else.
FIELDS: Mapping[str, Any] = {
    "TrainingJobName": STRING,
    "HyperParameters": STRINGS,
    "AlgorithmSpecification": _ALGORITHM,
    "RoleArn": STRING,
    "InputDataConfig": [_CHANNEL],
    "OutputDataConfig": {"KmsKeyId": STRING, "S3OutputPath": STRING, "CompressionType": STRING},
    "ResourceConfig": _RESOURCES,
    "VpcConfig": {"SecurityGroupIds": [STRING], "Subnets": [STRING]},
    "StoppingCondition": {
        "MaxRuntimeInSeconds": INTEGER,
        "MaxWaitTimeInSeconds": INTEGER,
        "MaxPendingTimeInSeconds": INTEGER,
    },
    "Tags": [{"Key": STRING, "Value": STRING}],
    "EnableNetworkIsolation": BOOLEAN,
    "EnableInterContainerTrafficEncryption": BOOLEAN,
    "EnableManagedSpotTraining": BOOLEAN,
    "CheckpointConfig": {"S3Uri": STRING, "LocalPath": STRING},
    "DebugHookConfig": {
        "LocalPath": STRING,
        "S3OutputPath": STRING,
        "HookParameters": STRINGS,
        "CollectionConfigurations": [{"CollectionName": STRING, "CollectionParameters": STRINGS}],
    },
    "DebugRuleConfigurations": [_RULE],
    "TensorBoardOutputConfig": {"LocalPath": STRING, "S3OutputPath": STRING},
    "ExperimentConfig": {
        "ExperimentName": STRING,
        "TrialName": STRING,
        "TrialComponentDisplayName": STRING,
        "RunName": STRING,
    },
    "ProfilerConfig": {
        "S3OutputPath": STRING,
        "ProfilingIntervalInMilliseconds": INTEGER,
        "ProfilingParameters": STRINGS,
        "DisableProfiler": BOOLEAN,
    },
    "ProfilerRuleConfigurations": [_RULE],
    "Environment": STRINGS,
    "RetryStrategy": {"MaximumRetryAttempts": INTEGER},
    "RemoteDebugConfig": {"EnableRemoteDebug": BOOLEAN},
    "InfraCheckConfig": {"EnableInfraCheck": BOOLEAN},
    "SessionChainingConfig": {"EnableSessionTagChaining": BOOLEAN},
    "ServerlessJobConfig": {
        "BaseModelArn": STRING,
        "AcceptEula": BOOLEAN,
        "JobType": STRING,
        "CustomizationTechnique": STRING,
        "Peft": STRING,
        "EvaluationType": STRING,
        "EvaluatorArn": STRING,
        "SequenceLength": STRING,
    },
    "MlflowConfig": {"MlflowResourceArn": STRING, "MlflowExperimentName": STRING, "MlflowRunName": STRING},
    "ModelPackageConfig": {"ModelPackageGroupArn": STRING, "SourceModelPackageArn": STRING},
}


def well_typed(request: Any, *, null_is_absent: bool = True) -> Tuple[Dict[str, Any], List[Problem]]:
    """The known fields of a request that have the type they should, and a problem for each that has not.

    An element of a list that is no object, but should be one, is replaced by an empty one, so that indices stay.

    Args:
        request: anything.
        null_is_absent: whether a field with null counts as one that is not there, as in JSON.
    """
    problems: List[Problem] = []

    def clean(value: Any, kind: Any, path: Path) -> Any:
        wrong = type_problem(value, kind)
        if wrong:
            problems.append(Problem(path_text(path) or "request", f"{wrong}, not {told(request, path, value, typed=True)}"))
            return None
        if isinstance(kind, list):
            entries = [clean(entry, kind[0], (*path, index)) for index, entry in enumerate(value)]
            return [({} if isinstance(kind[0], dict) else "") if entry is None else entry for entry in entries]
        if not isinstance(kind, Mapping):
            return value
        found = {}
        for name in value:
            if not isinstance(name, str):
                problems.append(Problem(path_text(path) or "request", f"the name of a field must be a string, not {shown(name)}"))
                continue
            inner = kind.get("*") or kind.get(name)
            if inner is None or (value[name] is None and "*" not in kind and null_is_absent):
                continue
            entry = clean(value[name], inner, (*path, name))
            if entry is not None:
                found[name] = entry
        return found

    return clean(request, FIELDS, ()) or {}, problems


def type_problem(value: Any, kind: Any) -> Optional[str]:
    """``must be …`` when a value has not the type; for an object or list only the outermost is looked at."""
    if kind == STRING:
        return None if isinstance(value, str) else f"must be {STRING}"
    if kind == INTEGER:
        return None if isinstance(value, int) and not isinstance(value, bool) else f"must be {INTEGER}"
    if kind == BOOLEAN:
        return None if isinstance(value, bool) else f"must be {BOOLEAN}"
    if isinstance(kind, list):
        return None if isinstance(value, (list, tuple)) else "must be a list"
    if isinstance(value, Mapping):
        return None
    return "must be a map of strings" if "*" in kind else "must be an object with fields"
