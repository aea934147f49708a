"""What a host does when every rank has ended well: keeps the latest model, and brings results to S3."""

from __future__ import annotations

import os
import shutil
from typing import Callable

from .epochs import latest
from .state import INFER, JobState
from .transfers import Store

Say = Callable[[str], None]
_CONFIGURATIONS = (".yaml", ".yml", ".json")


def finish(state: JobState, store: Store, say: Say) -> None:
    """Copy and upload what this host has.

    Raises:
        JobError: there is no model, or S3 refuses.
    """
    if state.action == INFER:
        upload_results(state, store, say)
    else:
        keep_model(state, store, say)


def keep_model(state: JobState, store: Store, say: Say) -> None:
    """The files of the latest epoch, and the configurations beside it, in the model's directory.

    Raises:
        JobError: the first host has no model, or S3 refuses.
    """
    saved = state.places.saved
    names = sorted(os.listdir(saved)) if os.path.isdir(saved) else []
    best = latest(name for name in names if os.path.isdir(os.path.join(saved, name)))
    if best is None:
        if state.host == 0:
            say("warning: the ranks have saved no model: see GraphStorm's save_model_frequency")
        return
    shutil.copytree(os.path.join(saved, best), state.model_directory, dirs_exist_ok=True)
    for name in names:
        if name.endswith(_CONFIGURATIONS):
            shutil.copy2(os.path.join(saved, name), os.path.join(state.model_directory, name))
    say(f"the model of {best} is kept")
    if state.model_target is not None:
        store.upload(state.model_directory, f"{state.model_target.rstrip('/')}/{state.job_name}/output/model")


def upload_results(state: JobState, store: Store, say: Say) -> None:
    """Embeddings and predictions of this host; embeddings are then removed, so that nobody uploads them again.

    Raises:
        JobError: S3 refuses.
    """
    places = state.places
    for directory, option in ((places.embeddings, "output-emb-s3"), (places.predictions, "output-prediction-s3")):
        target = state.options.get(option)
        if target is None:
            continue
        if not os.path.isdir(directory):
            say(f"warning: this host has nothing for {target}")
            continue
        store.upload(directory, target)
    shutil.rmtree(places.embeddings, ignore_errors=True)
