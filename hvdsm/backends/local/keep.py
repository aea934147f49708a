"""What is kept of a job: its model, output and checkpoints, moved out of the directories of its hosts."""

from __future__ import annotations

import os
import shutil
from typing import List, Mapping, Tuple

from hvdsm.backends.local.plan import LocalPlan
from hvdsm.backends.local.stage import Stage, remove_tree
from hvdsm.compose.failure import failure_text
from hvdsm.model import JobOutcome
from hvdsm.model.outcome import COMPLETED, STOPPED


def keeps_model(outcome: JobOutcome) -> bool:
    """Whether the model is kept: that of a completed job, and what a stopped one has left; nothing half-made of a failed one.

    The service does so when a job is stopped or its time limit ends it (StopTrainingJob, MaxRuntimeInSeconds).
    """
    return outcome.status in (COMPLETED, STOPPED)


def keep_files(plan: LocalPlan, stage: Stage, outcome: JobOutcome, said: Mapping[str, str]) -> List[str]:
    """Move what is kept out of the hosts' directories and remove these.

    ``model/`` has what all hosts wrote, as the service brings it together; see :func:`keeps_model`.  ``output/`` is the
    launcher's ``/opt/ml/output``; what another host wrote into its ``output/data`` is in ``output/algo-N/``.  ``checkpoints/``
    likewise, when there are any.

    Args:
        plan: the plan.
        stage: the staged directories.
        outcome: how the job ended.
        said: what each host has written into ``output/failure``, where that counts for itself.

    Returns:
        warnings about files of several hosts that have the same name.
    """
    clashes: List[str] = []
    output = os.path.join(plan.job_dir, "output")
    # The launcher's directories are moved as they are, so they come first.
    for name in sorted(plan.hosts, key=lambda name: name != plan.launcher):
        base = stage.bases[name]
        if name == plan.launcher:
            if keeps_model(outcome):
                _move(os.path.join(base, "model"), os.path.join(plan.job_dir, "model"), always=True)
            _move(os.path.join(base, "output"), output, always=True)
            _drop_empty(output, ("intermediate", "data"))
            _move(os.path.join(base, "checkpoints"), os.path.join(plan.job_dir, "checkpoints"))
        else:
            if keeps_model(outcome):
                clashes += _merge(os.path.join(base, "model"), os.path.join(plan.job_dir, "model"), name)
            if not os.path.islink(os.path.join(base, "output")):
                _move(os.path.join(base, "output", "data"), os.path.join(output, name))
            _move(os.path.join(base, "checkpoints"), os.path.join(plan.job_dir, "checkpoints", name))
    success, failure = os.path.join(output, "success"), os.path.join(output, "failure")
    if not outcome.ok:
        if os.path.lexists(success):
            os.unlink(success)
        if not os.path.lexists(failure) and outcome.failure is not None:
            with open(failure, "w", encoding="utf-8", errors="replace") as file:
                file.write(said.get(outcome.failure.host or "") or failure_text(outcome.failure))
    remove_tree(stage.work)
    return clashes


def _merge(source: str, target: str, host: str) -> List[str]:
    """Move what one host's directory has into that of all; what is there already stays."""
    if not os.path.isdir(source) or os.path.islink(source):
        return []
    clashes = []
    for folder, names, files in os.walk(source):
        relative = os.path.relpath(folder, source)
        links = [name for name in names if os.path.islink(os.path.join(folder, name))]
        for name in (*files, *links):
            place = os.path.normpath(os.path.join(target, relative, name))
            if os.path.lexists(place) or not _makes(os.path.dirname(place), target):
                clashes.append(os.path.normpath(os.path.join(relative, name)))
                continue
            os.rename(os.path.join(folder, name), place)
    if not clashes:
        return []
    shown = ", ".join(sorted(clashes)[:5]) + (f" and {len(clashes) - 5} more" if len(clashes) > 5 else "")
    return [f"model/ of {host}: {shown}: left out, an earlier host has written the same; on SageMaker they would clash"]


def _makes(directory: str, root: str) -> bool:
    """Make a directory below ``root``, whatever a host may have put there; False where something is in its way."""
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError:
        return False
    return os.path.realpath(directory) == os.path.normpath(os.path.join(os.path.realpath(root), os.path.relpath(directory, root)))


def _move(source: str, target: str, always: bool = False) -> None:
    # A link leads to the directory that keeps the checkpoints: they stay there.
    there = os.path.isdir(source) and not os.path.islink(source)
    if there and (always or os.listdir(source)):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.move(source, target)
    elif always:
        os.makedirs(target, exist_ok=True)


def _drop_empty(directory: str, names: Tuple[str, ...]) -> None:
    for name in names:
        path = os.path.join(directory, name)
        if os.path.isdir(path) and not os.path.islink(path) and not os.listdir(path):
            os.rmdir(path)
