"""Runs a past job of the cloud again, on emulated hosts of this machine, and compares how it ends."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.backends.local import LocalOptions
from hvdsm.backends.local.layout import hosts_of
from hvdsm.backends.local.machine import look_at_machine
from hvdsm.backends.local.s3 import cache_directory
from hvdsm.backends.making import change_request
from hvdsm.backends.sagemaker import outcome_of
from hvdsm.compose.cloud import SECRETS
from hvdsm.compose.mask import mask_request
from hvdsm.compose.outcome_line import decode_outcome
from hvdsm.errors import HvdsmError
from hvdsm.jobs.base import Say
from hvdsm.jobs.cloud import CloudJob
from hvdsm.jobs.compare import Comparison, compare
from hvdsm.jobs.fetching import Fetch, Seen, fetch_all, plan_fetches
from hvdsm.jobs.request import (
    fitting_processes,
    processes_wanted,
    renamed,
    replay_name,
    request_of,
    with_instance_count,
    with_own_checkpoints,
    with_processes,
)
from hvdsm.jobs.times import Sample
from hvdsm.model import JobOutcome

# Seconds before the end of training in which the launcher's last line is looked for.
_END = 120.0


@dataclass(frozen=True)
class ReplayOptions:
    """What a replay is told.

    Attributes:
        sample: how much of each channel.
        whole: channels that are fetched whole.
        channels: a path for a channel, in place of what the job had.
        instance_count: number of hosts, at most that of the job.
        processes_per_host: ranks on each host.
        job_name: name of the replay; ``NAME-replay`` by default.
        max_run: time limit, seconds.
        checkpoint: directory of checkpoints to go on from.
        output: directory of results.
        hosts: ``auto``, ``namespaces`` or ``single``.
        mpirun: path of mpirun.
    """

    sample: Sample = field(default_factory=Sample)
    whole: Tuple[str, ...] = ()
    channels: Mapping[str, str] = field(default_factory=dict)
    instance_count: Optional[int] = None
    processes_per_host: Optional[int] = None
    job_name: Optional[str] = None
    max_run: Optional[int] = None
    checkpoint: Optional[str] = None
    output: str = "hvdsm-out"
    hosts: str = "auto"
    mpirun: Optional[str] = None


@dataclass(frozen=True)
class ReplayPlan:
    """What a replay will do.

    Attributes:
        job: the job of the cloud.
        request: what is run here, its data still in S3.
        fetches: what is fetched from there.
        notes: what is done otherwise than in the cloud.
        cloud: how the job ended there; None when it has not.
    """

    job: str
    request: Dict[str, Any]
    fetches: Tuple[Fetch, ...]
    notes: Tuple[str, ...]
    cloud: Optional[JobOutcome]

    @property
    def lines(self) -> List[str]:
        """In words."""
        hosts = hosts_of(self.request)
        said = [f"{self.job} is run again as {self.request['TrainingJobName']} on {len(hosts)} host{'s' * (len(hosts) > 1)}"]
        said += [f"fetched for it: {fetch}" for fetch in self.fetches]
        said += [f"{fetch.title}: {note}" for fetch in self.fetches for note in fetch.notes]
        return said + list(self.notes)

    def as_json(self) -> Dict[str, Any]:
        """For machines; secrets are masked."""
        fetches = [
            {
                "what": fetch.title,
                "uri": fetch.uri,
                "objects": fetch.taken.objects,
                "bytes": fetch.taken.size,
                "all_objects": fetch.taken.all_objects,
                "all_bytes": fetch.taken.all_size,
                "more": fetch.taken.more,
                "notes": list(fetch.notes),
            }
            for fetch in self.fetches
        ]
        return {"job": self.job, "request": mask_request(self.request), "fetches": fetches, "notes": list(self.notes)}


def plan_replay(job: CloudJob, options: ReplayOptions, environ: Mapping[str, str], *, seen: Seen, say: Say) -> ReplayPlan:
    """Make the request again, and find out what it needs; nothing is fetched but logs' ends and manifests.

    Args:
        job: the job of the cloud.
        options: what is wanted.
        environ: the caller's variables.
        seen: is passed the objects that are listed.
        say: is told how it goes on.

    Raises:
        UsageError: options contradict the job.
        ConfigError: the source or a channel is not there any more.
        CloudUnavailable: AWS cannot be reached.
    """
    reported, notes = _reported(job, say)
    cloud = outcome_of(job.description, reported) if job.is_ended else None
    request = request_of(job.description)
    before = len(hosts_of(request))
    if options.instance_count is not None and options.instance_count != before:
        request = with_instance_count(request, options.instance_count)
        notes.append(f"{options.instance_count} of {before} hosts: what depends on their number may go otherwise")
    request, more = _processes(request, options, cloud, environ)
    notes += more
    output = os.path.abspath(os.path.expanduser(options.output))
    name = options.job_name or replay_name(job.name, lambda name: os.path.lexists(os.path.join(output, name)))
    request = renamed(request, name)
    if options.checkpoint is None:
        request, more = with_own_checkpoints(request, os.path.join(output, f"{name}.checkpoints"))
        notes += more
    request = change_request(request, channels=options.channels, checkpoint=options.checkpoint, max_run=options.max_run)
    if SECRETS in (request.get("HyperParameters") or {}):
        notes.append("Its secrets are fetched with your own credentials.")
    fetches = plan_fetches(job.aws, request, options.sample, options.whole, seen)
    return ReplayPlan(job.name, request, tuple(fetches), tuple(notes), cloud)


def _processes(
    request: Dict[str, Any], options: ReplayOptions, cloud: Optional[JobOutcome], environ: Mapping[str, str]
) -> Tuple[Dict[str, Any], List[str]]:
    """The request with as many ranks on each host as are wanted and this machine can have, and what is to be said of it."""
    ranks = cloud.ranks_per_host if cloud is not None else {}
    wanted = processes_wanted(request, ranks)
    if options.processes_per_host is not None:
        said = f", in the cloud there were {wanted}" if wanted not in (None, options.processes_per_host) else ""
        changed = with_processes(request, options.processes_per_host)
        if changed == request and wanted is None:
            return changed, ["The request starts its ranks by a program of its own: --processes-per-host changes nothing there."]
        return changed, [f"{options.processes_per_host} ranks on each host{said}"] if said else []
    if wanted is None:
        return request, []
    machine = look_at_machine(options.mpirun, options.hosts, environ)
    count, note = fitting_processes(wanted, len(hosts_of(request)), machine.cores, len(machine.gpus))
    changed = with_processes(request, count)
    return changed, [f"{note} (to have it otherwise: --processes-per-host P)"] if note else []


def _reported(job: CloudJob, say: Say) -> Tuple[Optional[JobOutcome], List[str]]:
    """What the launcher's last line told, and what is to be said where the logs cannot be read."""
    kept = job.kept.outcome() if job.kept is not None else None
    if kept is not None or not job.is_ended:
        return kept, []
    from hvdsm.aws.logs import Follower

    ends = [
        change["EndTime"].timestamp()
        for change in job.description.get("SecondaryStatusTransitions") or ()
        if change.get("Status") == "Training" and change.get("EndTime")
    ]
    say("reading how it ended in the cloud")
    reader = Follower(job.aws, job.name, hosts=[job.launcher], since=ends[-1] - _END if ends else None)
    try:
        lines = reader.flush()
    except HvdsmError as error:
        return None, [f"The logs of the job cannot be read ({error.what}): its end is known from its description only."]
    told = (decode_outcome(line.data) for line in reversed(lines))
    return next((outcome for outcome in told if outcome is not None), None), []


Execute = Callable[[Mapping[str, Any], LocalOptions], JobOutcome]


def run_replay(
    job: CloudJob,
    plan: ReplayPlan,
    options: ReplayOptions,
    environ: Mapping[str, str],
    execute: Execute,
    *,
    begin: Callable[[int, int], None],
    progress: Callable[[int], None],
    say: Say,
    check: Optional[Callable[[Mapping[str, Any], LocalOptions], Any]] = None,
) -> Tuple[JobOutcome, Comparison]:
    """Fetch what a plan names, and run it.

    Args:
        job: the job of the cloud.
        plan: what is run.
        options: what is wanted.
        environ: the caller's variables.
        execute: runs a request on hosts of this machine, and shows it.
        begin: is told of files and bytes to fetch.
        progress: is told of bytes.
        say: is told how it goes on.
        check: finds out what is wrong with a request before anything is fetched.

    Returns:
        how it ended here, and whether that is how it ended in the cloud.

    Raises:
        ConfigError: something cannot be fetched, or the request cannot be run here.
        BackendUnavailable: there are no emulated hosts, or AWS cannot be reached.
    """
    output = os.path.abspath(os.path.expanduser(options.output))
    os.makedirs(output, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{plan.request['TrainingJobName']}-s3-", dir=output) as root:
        local = LocalOptions(output=options.output, hosts=options.hosts, s3_root=root, mpirun=options.mpirun)
        if check is not None:
            check(plan.request, replace(local, s3_root=None))
        fetch_all(job.aws, plan.fetches, root, cache_directory(environ), begin=begin, progress=progress, say=say)
        outcome = execute(plan.request, local)
    return outcome, compare(plan.cloud, outcome)


def verdict_lines(job: str, comparison: Comparison) -> Sequence[str]:
    """The comparison in words."""
    said = {
        "same": f"reproduced: it ended as {job} did",
        "different": f"not reproduced: it ended otherwise than {job}",
        "unknown": f"nothing to compare with: {job} goes on",
    }
    return (said[comparison.verdict], *comparison.lines)
