"""From what a user names - a script, directories, options - to a CreateTrainingJob request."""

from __future__ import annotations

import datetime
import json
import os
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union

from hvdsm.compose.arguments import MAX_VALUE
from hvdsm.compose.cloud import CloudOptions, with_cloud_options
from hvdsm.compose.request import LaunchOptions, build_request, changed_request, encode, file_uri
from hvdsm.errors import ConfigError, UsageError
from hvdsm.model.plan import PLAN_KEY, JobPlan

# A path, what JSON makes of a plan, or the record.
PlanGiven = Union[str, Mapping[str, Any], JobPlan, None]
DEFAULT_OUTPUT = "hvdsm-out"


def make_request(
    script: Optional[str],
    args: Sequence[str] = (),
    *,
    channels: Mapping[str, str],
    env: Mapping[str, str],
    source_dir: Optional[str] = None,
    output: str = DEFAULT_OUTPUT,
    checkpoint: Optional[str] = None,
    plan: PlanGiven = None,
    cloud: Optional[CloudOptions] = None,
    **options: Any,
) -> Dict[str, Any]:
    """The CreateTrainingJob request of a launch; the arguments are those of :func:`hvdsm.launch`.

    Raises:
        UsageError: there is no script, or arguments contradict each other.
        ConfigError: the script does not exist, or a limit is exceeded.
    """
    if not script:
        raise UsageError("a script is needed (or a request)", remedy="hvdsm.launch('train.py', instance_count=2)")
    for word in args:
        if not isinstance(word, str):
            raise UsageError(f"args must be strings, not {word!r}", remedy="args=['--epochs', '3']")
    program, source = locate_script(script, source_dir)
    request = build_request(
        LaunchOptions(
            program=program,
            source=file_uri(source),
            arguments=tuple(args),
            channels={name: data_uri(path) for name, path in channels.items()},
            environment=env,
            output=file_uri(os.path.abspath(os.path.expanduser(output))),
            checkpoint=checkpoint_uri(checkpoint),
            plan=plan_value(plan, source),
            timestamp=datetime.datetime.now().strftime("%Y-%m-%d-%H-%M-%S-%f")[:-3],
            **options,
        )
    )
    return request if cloud is None else with_cloud_options(request, cloud)


def change_request(
    request: Mapping[str, Any],
    *,
    channels: Mapping[str, str],
    checkpoint: Optional[str] = None,
    plan: PlanGiven = None,
    cloud: Optional[CloudOptions] = None,
    **options: Any,
) -> Dict[str, Any]:
    """A request made elsewhere, changed for this launch; the arguments are those of :func:`hvdsm.launch`."""
    changed = changed_request(
        request,
        channels={name: data_uri(place) for name, place in channels.items()},
        checkpoint=checkpoint_uri(checkpoint),
        plan=plan_value(plan),
        **options,
    )
    return changed if cloud is None else with_cloud_options(changed, cloud)


def locate_script(script: str, source_dir: Optional[str]) -> Tuple[str, str]:
    """The entry point as the source has it, and the absolute path of the source.

    Raises:
        ConfigError: there is no such file, or it lies outside of the source directory.
    """
    script = os.path.expanduser(script)
    if source_dir is None:
        path = os.path.abspath(script)
        if not os.path.isfile(path):
            raise ConfigError("no such script", where=path, remedy="check the path; options stand before the script")
        return os.path.basename(path), path
    directory = os.path.abspath(os.path.expanduser(source_dir))
    if not os.path.isdir(directory):
        raise ConfigError("is no directory", where=f"source directory {directory}", remedy="check the path")
    if not os.path.isabs(script) and os.path.isfile(os.path.join(directory, script)):
        return os.path.normpath(script), directory
    inside = os.path.relpath(os.path.abspath(script), directory)
    if os.path.isfile(script) and not inside.startswith(os.pardir):
        return inside, directory
    raise ConfigError(f"has no {script}", where=f"source directory {directory}", remedy="name the script relative to it")


def plan_value(plan: PlanGiven, source: Optional[str] = None) -> Any:
    """A plan as the hyperparameter has it: the path of its file in the source, else what JSON makes of it; None stays.

    Raises:
        ConfigError: it is no plan, cannot be read, or is too long for a hyperparameter and not in the source.
    """
    if plan is None:
        return None
    from hvdsm.compose.plan import parse_plan

    if isinstance(plan, (JobPlan, Mapping)):
        found = plan.to_dict() if isinstance(plan, JobPlan) else dict(plan)
        parse_plan(found)
        where = "the job's plan"
    else:
        where = os.path.abspath(os.path.expanduser(plan))
        try:
            with open(where, encoding="utf-8-sig") as file:
                found = json.load(file)
        except OSError as error:
            raise ConfigError(error.strerror or str(error), where=where, remedy="check the path of the plan") from None
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"is no JSON: {error}", where=where, remedy="see docs/roles.md for what a plan is") from None
        parse_plan(found, where)
        inside = os.path.relpath(os.path.realpath(where), os.path.realpath(source)) if source else os.pardir
        if source and os.path.isdir(source) and not inside.startswith(os.pardir):
            return inside
    length = len(encode(PLAN_KEY, found))
    if length > MAX_VALUE:
        raise ConfigError(
            f"has {length:,} characters as JSON, and a hyperparameter may have {MAX_VALUE:,}",
            where=where,
            remedy="put its file into the source directory (--source-dir)",
        )
    return found


def data_uri(place: str) -> str:
    """A path as ``file://``; ``s3://`` and ``file://`` stay."""
    place = os.fspath(place)
    if place.startswith(("s3://", "file://")):
        return place
    return file_uri(os.path.abspath(os.path.expanduser(place)))


def checkpoint_uri(place: Optional[str]) -> Optional[str]:
    """The place of checkpoints as a URI; None stays.

    Raises:
        UsageError: it is empty.
    """
    if place is None:
        return None
    if not os.fspath(place):
        raise UsageError("names no directory", where="checkpoint", remedy="--checkpoint DIR")
    return data_uri(place)
