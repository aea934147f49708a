"""Requests that the service would take, every field of them filled, and how to change one place of one."""

from __future__ import annotations

import copy
from typing import Any, Dict, Iterator, Tuple

ACCOUNT = "123456789012"
IMAGE = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/training:1"
PLAN = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:training-plan/plan-of-spring"

MINIMAL: Dict[str, Any] = {
    "TrainingJobName": "job-1",
    "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/service-role/Training",
    "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
}


def s3_channel(name: str, **source: Any) -> Dict[str, Any]:
    """A channel of all objects below a prefix."""
    return {
        "ChannelName": name,
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://bucket/{name}", **source}},
    }


_RULE = {
    "LocalPath": "/opt/ml/processing/output/rule/",
    "S3OutputPath": "s3://bucket/rules",
    "RuleEvaluatorImage": "503895931360.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-debugger-rules:latest",
    "InstanceType": "ml.t3.medium",
    "VolumeSizeInGB": 10,
    "RuleParameters": {"rule_to_invoke": "LossNotDecreasing"},
}
SPOT: Dict[str, Any] = {
    **MINIMAL,
    "AlgorithmSpecification": {
        **MINIMAL["AlgorithmSpecification"],
        "TrainingInputMode": "Pipe",
        "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        "EnableSageMakerMetricsTimeSeries": True,
        "ContainerEntrypoint": ["python3", "/opt/ml/input/data/hvdsm/hvdsm.pyz"],
        "ContainerArguments": ["--verbose", ""],
        "TrainingImageConfig": {
            "TrainingRepositoryAccessMode": "Vpc",
            "TrainingRepositoryAuthConfig": {
                "TrainingRepositoryCredentialsProviderArn": f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:credentials"
            },
        },
    },
    "HyperParameters": {"learning-rate": "0.1", "optimizer.name": '"adam"'},
    "Environment": {"OMP_NUM_THREADS": "1", "TEXT": "two\nlines"},
    "InputDataConfig": [
        {
            **s3_channel("train", S3DataDistributionType="ShardedByS3Key"),
            "ContentType": "application/x-recordio",
            "CompressionType": "Gzip",
            "RecordWrapperType": "RecordIO",
            "InputMode": "Pipe",
            "ShuffleConfig": {"Seed": 7},
        },
        {
            **s3_channel("labelled", AttributeNames=["source-ref", "label"]),
            "InputMode": "Pipe",
        },
        {
            "ChannelName": "files",
            "DataSource": {
                "FileSystemDataSource": {
                    "FileSystemId": "fs-0123456789abcdef0",
                    "FileSystemAccessMode": "ro",
                    "FileSystemType": "FSxLustre",
                    "DirectoryPath": "/fsx/data",
                }
            },
            "InputMode": "File",
        },
        {
            **s3_channel(
                "model",
                ModelAccessConfig={"AcceptEula": True},
                HubAccessConfig={
                    "HubContentArn": f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:hub-content/hub/ModelReference/m/1.0.0"
                },
            ),
            "InputMode": "File",
        },
    ],
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out", "KmsKeyId": "alias/key", "CompressionType": "NONE"},
    "ResourceConfig": {
        "InstanceType": "ml.p3.2xlarge",
        "InstanceCount": 2,
        "VolumeSizeInGB": 100,
        "VolumeKmsKeyId": "1234abcd-12ab-34cd-56ef-1234567890ab",
        "TrainingPlanArn": PLAN,
        "InstancePlacementConfig": {
            "EnableMultipleJobs": False,
            "PlacementSpecifications": [{"UltraServerId": "ultra-1", "InstanceCount": 2}],
        },
    },
    "VpcConfig": {"SecurityGroupIds": ["sg-0a1b2c3d"], "Subnets": ["subnet-0a1b2c3d", "subnet-1a1b2c3d"]},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200, "MaxPendingTimeInSeconds": 7200},
    "Tags": [{"Key": "Projekt für alle", "Value": "größer"}, {"Key": "empty", "Value": ""}],
    "EnableNetworkIsolation": False,
    "EnableInterContainerTrafficEncryption": True,
    "EnableManagedSpotTraining": True,
    "CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints", "LocalPath": "/opt/ml/checkpoints"},
    "DebugHookConfig": {
        "LocalPath": "/opt/ml/output/tensors/",
        "S3OutputPath": "s3://bucket/debug",
        "HookParameters": {"save_interval": "100"},
        "CollectionConfigurations": [{"CollectionName": "losses", "CollectionParameters": {"save_interval": "50"}}],
    },
    "DebugRuleConfigurations": [{**_RULE, "RuleConfigurationName": "LossNotDecreasing"}],
    "TensorBoardOutputConfig": {"LocalPath": "/opt/ml/output/tensorboard", "S3OutputPath": "s3://bucket/tensorboard"},
    "ExperimentConfig": {"ExperimentName": "e", "TrialName": "t", "TrialComponentDisplayName": "c", "RunName": "r"},
    "ProfilerConfig": {
        "S3OutputPath": "s3://bucket/profiler",
        "ProfilingIntervalInMilliseconds": 500,
        "ProfilingParameters": {"DataLoaderProfilingConfig": "{}"},
        "DisableProfiler": False,
    },
    "ProfilerRuleConfigurations": [{**_RULE, "RuleConfigurationName": "ProfilerReport"}],
    "RetryStrategy": {"MaximumRetryAttempts": 3},
    "RemoteDebugConfig": {"EnableRemoteDebug": True},
    "InfraCheckConfig": {"EnableInfraCheck": True},
    "SessionChainingConfig": {"EnableSessionTagChaining": True},
    "MlflowConfig": {
        "MlflowResourceArn": f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:mlflow-tracking-server/server",
        "MlflowExperimentName": "experiment",
        "MlflowRunName": "run",
    },
    "ModelPackageConfig": {
        "ModelPackageGroupArn": f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model-package-group/group",
        "SourceModelPackageArn": f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model-package/group/1",
    },
}
SPOT["InputDataConfig"][1]["DataSource"]["S3DataSource"]["S3DataType"] = "AugmentedManifestFile"

GROUPS: Dict[str, Any] = {
    **MINIMAL,
    "ResourceConfig": {
        "InstanceGroups": [
            {"InstanceGroupName": "workers", "InstanceType": "ml.p4d.24xlarge", "InstanceCount": 2},
            {"InstanceGroupName": "loaders", "InstanceType": "ml.c5.18xlarge", "InstanceCount": 1},
        ],
        "VolumeSizeInGB": 50,
    },
    "InputDataConfig": [
        s3_channel("train", InstanceGroupNames=["workers"]),
        s3_channel("raw", InstanceGroupNames=["workers", "loaders"]),
    ],
}
WARM: Dict[str, Any] = {**MINIMAL, "ResourceConfig": {**MINIMAL["ResourceConfig"], "KeepAlivePeriodInSeconds": 1800}}
PREFERENCES: Dict[str, Any] = {
    **MINIMAL,
    "ResourceConfig": {
        "VolumeSizeInGB": 50,
        "InstancePreferences": [
            {"InstanceType": "ml.p5.48xlarge", "InstanceCount": 1, "TrainingPlanArns": [PLAN]},
            {"InstanceType": "ml.p4d.24xlarge", "InstanceCount": 2},
        ],
    },
}
MARKETPLACE: Dict[str, Any] = {
    **MINIMAL,
    "AlgorithmSpecification": {"AlgorithmName": "an-algorithm", "TrainingInputMode": "File"},
}
_HUB = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:hub-content/SageMakerPublicHub"
SERVERLESS: Dict[str, Any] = {
    "TrainingJobName": "tuning",
    "RoleArn": MINIMAL["RoleArn"],
    "OutputDataConfig": MINIMAL["OutputDataConfig"],
    "InputDataConfig": [{"ChannelName": "train", "DataSource": {"DatasetSource": {"DatasetArn": f"{_HUB}/DataSet/data/1.0.0"}}}],
    "ServerlessJobConfig": {
        "BaseModelArn": f"{_HUB}/Model/base/1.0.0",
        "AcceptEula": True,
        "JobType": "Evaluation",
        "CustomizationTechnique": "SFT",
        "Peft": "LORA",
        "EvaluationType": "BenchmarkEvaluation",
        "EvaluatorArn": f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:evaluator",
        "SequenceLength": "32K",
    },
}
VALID = {
    "minimal": MINIMAL,
    "spot": SPOT,
    "groups": GROUPS,
    "warm": WARM,
    "preferences": PREFERENCES,
    "marketplace": MARKETPLACE,
    "serverless": SERVERLESS,
}

Place = Tuple[Any, ...]


def changed(request: Any, place: Place, value: Any) -> Any:
    """The request with another value at a place; ``...`` takes the field away."""
    made = copy.deepcopy(request)
    inner = made
    for part in place[:-1]:
        inner = inner.setdefault(part, {}) if isinstance(inner, dict) else inner[part]
    if value is ...:
        del inner[place[-1]]
    elif isinstance(inner, list) and place[-1] == len(inner):
        inner.append(value)
    else:
        inner[place[-1]] = value
    return made


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every place in a request, the containers as well."""
    if place:
        yield place
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, entry in entries:
        yield from places(entry, (*place, part))


def at(request: Any, place: Place) -> Any:
    """What stands at a place."""
    for part in place:
        request = request[part]
    return request
