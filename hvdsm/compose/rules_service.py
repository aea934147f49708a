"""What CreateTrainingJob demands of fields together, as far as only the service needs it.

"API" is the SageMaker API reference (its text is also in the service model of botocore), "guide" the developer guide,
"service" an answer of the service that users published.
"""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping, Optional, Sequence

from hvdsm.compose.problems import MISSING, Problem, shown
from hvdsm.compose.rules_run import Rule, repeated

PROFILING_INTERVALS = (100, 200, 500, 1000, 5000, 60000)
MAX_SEQUENCE = 1024
# GB: the greatest gp2 volume of Amazon EBS; the service model says the same of processing jobs and notebooks.
MAX_VOLUME = 16384
# EC2's naming: a "d" after the generation is an instance store; these have one without it ("Instance Store Volumes").
_STORES = re.compile(r"ml\.(?:[a-z]+\d+[a-z]*d[a-z]*|g[5-9]e?|p5[a-z]*|p6e?-\w+|trn\d+n?)\.\w+")
_EBS_ONLY = re.compile(r"ml\.(?:m4|m5|m6i|m[78]i(?:-flex)?|c4|c5n?|c6i|c[78]i(?:-flex)?|r5|r6i|r[78]i(?:-flex)?|t3|p2|p3)\.\w+")


def _algorithm(request: Mapping[str, Any]) -> Iterator[Problem]:
    algorithm = request.get("AlgorithmSpecification")
    if algorithm is None:
        # API: what a serverless job does without, every other needs.
        if "ServerlessJobConfig" not in request:
            yield Problem("AlgorithmSpecification", f"{MISSING}, with TrainingImage and TrainingInputMode")
        return
    image, name = algorithm.get("TrainingImage"), algorithm.get("AlgorithmName")
    # API, AlgorithmName: "mutually exclusive with the TrainingImage parameter"; one of them must be specified.
    if image and name:
        yield Problem("AlgorithmSpecification.AlgorithmName", f"must be left out beside TrainingImage, not {shown(name)}")
    elif not image and not name and "ServerlessJobConfig" not in request:
        yield Problem("AlgorithmSpecification.TrainingImage", f"{MISSING}, or AlgorithmName")
    config = algorithm.get("TrainingImageConfig") or {}
    mode, path = config.get("TrainingRepositoryAccessMode"), "AlgorithmSpecification.TrainingImageConfig"
    # Guide, "Adapt your training job to access images in a private Docker registry": reached through the job's VPC.
    if mode == "Vpc" and "VpcConfig" not in request:
        yield Problem("VpcConfig", f"{MISSING} when {path}.TrainingRepositoryAccessMode is 'Vpc'")
    # API, ImageConfig.RepositoryAuthConfig: only with Vpc.
    if "TrainingRepositoryAuthConfig" in config and mode == "Platform":
        yield Problem(f"{path}.TrainingRepositoryAuthConfig", "must be left out unless TrainingRepositoryAccessMode is 'Vpc'")


def _sources(request: Mapping[str, Any]) -> Iterator[Problem]:
    for index, channel in enumerate(request.get("InputDataConfig") or ()):
        source = channel.get("DataSource")
        if source is None:
            continue
        path = f"InputDataConfig[{index}].DataSource"
        # API, Channel.DataSource: "The location of the channel data", one of its members.
        if len(source) != 1:
            found = " and ".join(source) or "none"
            yield Problem(path, f"exactly one of S3DataSource, FileSystemDataSource and DatasetSource, not {found}")
        files = source.get("FileSystemDataSource")
        if files is None:
            continue
        # Guide, "Configure data input channel to use Amazon EFS (FSx)": the job is connected to the file system's VPC.
        if "VpcConfig" not in request:
            yield Problem("VpcConfig", f"{MISSING}, since {path} is a file system, which is reached through a VPC")
        # API, DirectoryPath: "The full path to the directory".
        directory = files.get("DirectoryPath")
        if directory is not None and not directory.startswith("/"):
            yield Problem(f"{path}.FileSystemDataSource.DirectoryPath", f"must be a full path from /, not {shown(directory)}")


def _input_modes(request: Mapping[str, Any]) -> Iterator[Problem]:
    default = (request.get("AlgorithmSpecification") or {}).get("TrainingInputMode")
    for index, channel in enumerate(request.get("InputDataConfig") or ()):
        path = f"InputDataConfig[{index}]"
        # API, InputMode: without one, TrainingInputMode holds.
        mode = channel.get("InputMode") or default
        if mode is None:
            continue
        source = channel.get("DataSource") or {}
        # Guide, "Access Training Data": Pipe and FastFile are of S3 only.
        if "FileSystemDataSource" in source and mode in ("Pipe", "FastFile"):
            yield Problem(f"{path}.InputMode", f"must be 'File' for a file system, not {shown(mode)}")
        # API, CompressionType: "used only in Pipe input mode"; service: "File mode only supports NONE, got Gzip instead".
        compression = channel.get("CompressionType", "None")
        if mode in ("File", "FastFile") and compression == "Gzip":
            yield Problem(f"{path}.CompressionType", f"must be 'None' unless the input mode is 'Pipe' ({mode} here), not 'Gzip'")
        # API, RecordWrapperType: "In File mode, leave this field unset or set it to None."
        if mode == "File" and channel.get("RecordWrapperType") == "RecordIO":
            yield Problem(f"{path}.RecordWrapperType", "must be 'None' when the input mode is 'File', not 'RecordIO'")
        yield from _manifest(f"{path}.DataSource.S3DataSource", source.get("S3DataSource") or {}, mode)


def _manifest(path: str, source: Mapping[str, Any], mode: str) -> Iterator[Problem]:
    augmented = source.get("S3DataType") == "AugmentedManifestFile"
    names = source.get("AttributeNames") or ()
    # API, S3DataType: an augmented manifest "can only be used if the Channel's input mode is Pipe".
    if augmented and mode in ("File", "FastFile"):
        yield Problem(f"{path}.S3DataType", f"'AugmentedManifestFile' needs the input mode 'Pipe', not {shown(mode)}")
    # Guide, "Augmented Manifest File": AttributeNames say which attributes of it are passed; nothing else has attributes.
    if augmented and not names:
        yield Problem(f"{path}.AttributeNames", f"{MISSING} when S3DataType is 'AugmentedManifestFile'")
    if names and not augmented and "S3DataType" in source:
        kind = shown(source["S3DataType"])
        yield Problem(f"{path}.AttributeNames", f"must be left out unless S3DataType is 'AugmentedManifestFile', not {kind}")


def _output(request: Mapping[str, Any]) -> Iterator[Problem]:
    output = request.get("OutputDataConfig") or {}
    bucket = re.match(r"s3://([^/]+)", output.get("S3OutputPath") or "")
    # API, OutputDataConfig.KmsKeyId: "KMS key is not supported for Amazon S3 Express One Zone", whose buckets end so.
    if bucket and bucket[1].endswith("--x-s3") and output.get("KmsKeyId"):
        key = shown(output["KmsKeyId"])
        yield Problem("OutputDataConfig.KmsKeyId", f"must be left out for {bucket[1]}, an S3 Express One Zone bucket, not {key}")


def _resources(request: Mapping[str, Any]) -> Iterator[Problem]:
    serverless = "ServerlessJobConfig" in request
    resources = request.get("ResourceConfig")
    if resources is None:
        if not serverless:
            yield Problem("ResourceConfig", f"{MISSING}, with InstanceType and InstanceCount, or InstanceGroups")
        return
    # API: "This field is read-only and isn't accepted in CreateTrainingJob requests."
    for field in ("SelectedInstanceType", "SelectedInstanceCount"):
        if field in resources:
            yield Problem(
                f"ResourceConfig.{field}", f"must be left out: only descriptions have it, not {shown(resources[field])}"
            )
    groups, preferences = resources.get("InstanceGroups"), resources.get("InstancePreferences")
    if not groups and not serverless:
        if not preferences and not resources.get("InstanceType"):
            yield Problem("ResourceConfig.InstanceType", f"{MISSING}, or InstanceGroups, or InstancePreferences")
        if not preferences and resources.get("InstanceCount") is None:
            yield Problem("ResourceConfig.InstanceCount", f"{MISSING}, or InstanceGroups")
        yield from _count("ResourceConfig.InstanceCount", resources)
    for index, group in enumerate(groups or ()):
        yield from _count(f"ResourceConfig.InstanceGroups[{index}].InstanceCount", group)
    # API, PlacementSpecification.InstanceCount: "Minimum value of 1."
    for index, place in enumerate((resources.get("InstancePlacementConfig") or {}).get("PlacementSpecifications") or ()):
        yield from _count(f"ResourceConfig.InstancePlacementConfig.PlacementSpecifications[{index}].InstanceCount", place)
    # Guide, "Managed Warm Pools", considerations: not with heterogeneous clusters, not with spot instances.
    keep = resources.get("KeepAlivePeriodInSeconds")
    for what, there in (("InstanceGroups", groups), ("EnableManagedSpotTraining", request.get("EnableManagedSpotTraining"))):
        if keep and there:
            yield Problem("ResourceConfig.KeepAlivePeriodInSeconds", f"must be left out or 0 with {what}, not {keep:,}")


def _count(path: str, entry: Mapping[str, Any]) -> Iterator[Problem]:
    """The model allows 0 for the sake of jobs that need no instances."""
    count = entry.get("InstanceCount")
    if count == 0:
        yield Problem(path, "at least 1, not 0")


def _volume(request: Mapping[str, Any]) -> Iterator[Problem]:
    resources = request.get("ResourceConfig") or {}
    size, key, kind = (resources.get(field) for field in ("VolumeSizeInGB", "VolumeKmsKeyId", "InstanceType"))
    kinds = [kind] if kind else [group.get("InstanceType") for group in resources.get("InstanceGroups") or ()]
    stores = [str(kind) for kind in kinds if kind and _STORES.fullmatch(kind)]
    plain = [str(kind) for kind in kinds if kind and _EBS_ONLY.fullmatch(kind)]
    path = "ResourceConfig.VolumeSizeInGB"
    if "ServerlessJobConfig" in request:
        # API, VolumeSizeInGB: "SageMaker automatically selects the volume size … You cannot customize this setting."
        if size is not None:
            yield Problem(path, f"must be left out of a serverless job, not {size:,}")
    elif plain and size is None:
        # API, VolumeSizeInGB: for an instance with EBS storage only "you must define the size".
        yield Problem(path, f"{MISSING} for {plain[0]}, an instance without storage of its own")
    elif plain and size is not None and not 1 <= size <= MAX_VOLUME:
        yield Problem(path, f"1 to {MAX_VOLUME:,} for {plain[0]}, not {size:,}")
    # API, VolumeKmsKeyId: "You can't request a VolumeKmsKeyId when using an instance type with local storage."
    if key and stores and len(stores) == len(kinds):
        text = f"must be left out for {stores[0]}, whose local storage has a key of its own, not {shown(key)}"
        yield Problem("ResourceConfig.VolumeKmsKeyId", text)


def _preferences(request: Mapping[str, Any]) -> Iterator[Problem]:
    """API, ResourceConfig.InstancePreferences and InstancePreference."""
    resources = request.get("ResourceConfig") or {}
    preferences = resources.get("InstancePreferences")
    if not preferences:
        return
    path = "ResourceConfig.InstancePreferences"
    for field in ("InstanceType", "InstanceGroups", "InstancePlacementConfig"):
        if resources.get(field):
            yield Problem(path, f"must be left out beside ResourceConfig.{field}; they exclude each other")
    if request.get("EnableManagedSpotTraining"):
        yield Problem(path, "must be left out beside EnableManagedSpotTraining; they exclude each other")
    for index, kind in repeated(preferences, "InstanceType"):
        yield Problem(f"{path}[{index}].InstanceType", f"each type once, not again {shown(kind)}")
    with_count = [entry for entry in preferences if entry.get("InstanceCount") is not None]
    everywhere = resources.get("InstanceCount")
    if with_count and everywhere is not None:
        yield Problem("ResourceConfig.InstanceCount", f"must be left out when the preferences give counts, not {everywhere:,}")
    elif with_count and len(with_count) < len(preferences):
        text = f"InstanceCount of each preference, or of none, not of {len(with_count)} of {len(preferences)}"
        yield Problem(path, text)
    elif not with_count and everywhere is None:
        yield Problem("ResourceConfig.InstanceCount", f"{MISSING}, or the InstanceCount of each preference")
    for index, entry in enumerate(preferences):
        yield from _count(f"{path}[{index}].InstanceCount", entry)
        if entry.get("TrainingPlanArns") and resources.get("TrainingPlanArn"):
            yield Problem(f"{path}[{index}].TrainingPlanArns", "must be left out beside ResourceConfig.TrainingPlanArn")


def _spot(request: Mapping[str, Any]) -> Iterator[Problem]:
    wait = (request.get("StoppingCondition") or {}).get("MaxWaitTimeInSeconds")
    spot = request.get("EnableManagedSpotTraining")
    # Service: "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true".
    if wait is not None and not spot:
        text = f"must be left out unless EnableManagedSpotTraining is true, not {wait:,}"
        yield Problem("StoppingCondition.MaxWaitTimeInSeconds", text)
    # Guide, "Managed Spot Training": set EnableManagedSpotTraining and specify the MaxWaitTimeInSeconds.
    if spot and wait is None:
        yield Problem("StoppingCondition.MaxWaitTimeInSeconds", f"{MISSING} when EnableManagedSpotTraining is true")


def _vpc(request: Mapping[str, Any]) -> Iterator[Problem]:
    """API, VpcConfig: security group IDs "in the form sg-xxxxxxxx"; EC2 names subnets likewise."""
    for field, start in (("SecurityGroupIds", "sg-"), ("Subnets", "subnet-")):
        for index, name in enumerate((request.get("VpcConfig") or {}).get(field) or ()):
            if name and not name.startswith(start):
                yield Problem(f"VpcConfig.{field}[{index}]", f"must begin with {start}, not {shown(name)}")


def _tags(request: Mapping[str, Any]) -> Iterator[Problem]:
    tags = request.get("Tags") or ()
    # API, Tag.Key: "Tag keys must be unique per resource."
    for index, key in repeated(tags, "Key"):
        yield Problem(f"Tags[{index}].Key", f"each key once, not again {shown(key)}")
    # "Tagging your AWS resources": the prefix aws: is reserved for AWS.
    for index, tag in enumerate(tags):
        key = tag.get("Key") or ""
        if key.lower().startswith("aws:"):
            yield Problem(f"Tags[{index}].Key", f"must not begin with aws:, which is reserved for AWS, not {shown(key)}")


def _debugger(request: Mapping[str, Any]) -> Iterator[Problem]:
    seen: Optional[str]
    names = []
    # API, RuleConfigurationName: "must be unique relative to other rule configuration names".
    for field in ("DebugRuleConfigurations", "ProfilerRuleConfigurations"):
        for index, rule in enumerate(request.get(field) or ()):
            seen = rule.get("RuleConfigurationName")
            if seen in names:
                yield Problem(f"{field}[{index}].RuleConfigurationName", f"each name once, not again {shown(seen)}")
            names.append(seen)
    hook = request.get("DebugHookConfig") or {}
    # API, CollectionName: must be unique.
    for index, name in repeated(hook.get("CollectionConfigurations") or (), "CollectionName"):
        text = f"each name once, not again {shown(name)}"
        yield Problem(f"DebugHookConfig.CollectionConfigurations[{index}].CollectionName", text)
    profiler = request.get("ProfilerConfig") or {}
    interval = profiler.get("ProfilingIntervalInMilliseconds")
    # API, ProfilingIntervalInMilliseconds: the available values.
    if interval is not None and interval not in PROFILING_INTERVALS:
        values = ", ".join(f"{value:,}" for value in PROFILING_INTERVALS)
        yield Problem("ProfilerConfig.ProfilingIntervalInMilliseconds", f"must be one of {values}, not {interval:,}")
    # SageMaker Python SDK 2: "ProfilerRules cannot be set when disable_profiler is True".
    if profiler.get("DisableProfiler") and request.get("ProfilerRuleConfigurations"):
        yield Problem("ProfilerRuleConfigurations", "must be left out when ProfilerConfig.DisableProfiler is true")


def _checkpoints(request: Mapping[str, Any]) -> Iterator[Problem]:
    # API, CheckpointConfig.LocalPath: a local directory; what it would be relative to is not defined.
    path = (request.get("CheckpointConfig") or {}).get("LocalPath")
    if path is not None and not path.startswith("/"):
        yield Problem("CheckpointConfig.LocalPath", f"must be an absolute path, not {shown(path)}")


def _serverless(request: Mapping[str, Any]) -> Iterator[Problem]:
    config = request.get("ServerlessJobConfig") or {}
    # API, EvaluationType: "Required when serverless job type is Evaluation."
    if config.get("JobType") == "Evaluation" and "EvaluationType" not in config:
        yield Problem("ServerlessJobConfig.EvaluationType", f"{MISSING} when JobType is 'Evaluation'")
    # API, SequenceLength: "an integer value from 1K to 1024K".
    length = config.get("SequenceLength") or ""
    if re.fullmatch(r"[0-9]{1,49}K", length) and not 1 <= int(length[:-1]) <= MAX_SEQUENCE:
        yield Problem("ServerlessJobConfig.SequenceLength", f"1K to {MAX_SEQUENCE}K, not {shown(length)}")


SERVICE_RULES: Sequence[Rule] = (
    _algorithm,
    _sources,
    _input_modes,
    _output,
    _resources,
    _volume,
    _preferences,
    _spot,
    _vpc,
    _tags,
    _debugger,
    _checkpoints,
    _serverless,
)
