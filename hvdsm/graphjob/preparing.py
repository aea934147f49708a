"""What a host does before anything else runs: downloads its share of the graph, and the model."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from typing import Callable, List, Mapping, Optional

from .epochs import epoch_of, latest
from .failures import JobError
from .share import RAW_IDS, raw_mappings, share_of
from .state import INFER, JobState, write_found, write_hosts
from .transfers import Store

Say = Callable[[str], None]
MODEL_FILE = "model.bin"


def prepare(state: JobState, store: Store, say: Say) -> None:
    """Download the share, and say where the hosts are.

    Raises:
        JobError: something is missing or not whole, or the graph has another number of partitions.
    """
    places = state.places
    # What takes no time first: a graph is not downloaded for a job that cannot run.
    yaml = state.yaml
    check_yaml(yaml)
    state.check_script()
    for left in (places.graphs, places.models, places.checkpoint, os.path.dirname(places.embeddings)):
        shutil.rmtree(left, ignore_errors=True)
    os.makedirs(places.saved)
    name, address = state.option("graph-name"), state.option("graph-data-s3").rstrip("/")
    sizes = store.listing(address)
    directory = places.graph(name)
    edges = state.action == INFER and state.options.get("task-type", "").startswith("edge_")
    share = share_of(sizes, name, state.host, state.hosts, address, edges=edges)
    for warning in share.warnings:
        say(f"warning: {warning}")
    # The description first: a graph for another number of hosts is not downloaded.
    store.download(address, [(share.config, share.config)], sizes, directory)
    config = os.path.join(directory, share.config)
    _check_parts(config, state.hosts, f"{address}/{share.config}")
    model = _model(state, store, say)
    store.download(address, [pair for pair in share.files if pair[0] != share.config], sizes, directory)
    _raw_ids(state, store, directory, say)
    found = {"config": config, "yaml": yaml}
    if model is not None:
        os.makedirs(model.directory, exist_ok=True)
        store.download(model.address, [(name, name) for name in model.sizes], model.sizes, model.directory)
        found["model"] = model.directory
    write_hosts(state)
    write_found(places, found)


def check_yaml(path: str) -> None:
    """Refuse what GraphStorm cannot read, in whose servers and ranks it would be many errors at once.

    Raises:
        JobError: it is no configuration of GraphStorm.
    """
    try:
        import yaml
    except ImportError:
        return
    where, remedy = f"the configuration {os.path.basename(path)}", "correct it, and upload it to --yaml-s3"
    try:
        with open(path, encoding="utf-8") as file:
            document = yaml.safe_load(file)
    except (yaml.YAMLError, ValueError) as error:
        # In one line, as other hosts show the last ones.
        raise JobError(f"is no YAML: {' '.join(str(error).split())}", where, remedy) from None
    if not isinstance(document, dict) or not isinstance(document.get("gsf"), dict):
        raise JobError("has no section gsf", where, remedy)


def _check_parts(path: str, hosts: int, where: str) -> None:
    try:
        with open(path, encoding="utf-8") as file:
            parts = json.load(file)["num_parts"]
    except (ValueError, KeyError, TypeError):
        raise JobError("is no description of a partitioned graph", where, "construct or partition the graph anew") from None
    if parts != hosts:
        raise JobError(f"has {parts} partitions, and the job {hosts} hosts", where, f"--instance-count {parts}")


def _raw_ids(state: JobState, store: Store, directory: str, say: Say) -> None:
    address = state.options.get("raw-node-mappings-s3")
    given = address is not None
    address = (address or f"{state.option('graph-data-s3').rstrip('/')}/{RAW_IDS}").rstrip("/")
    sizes = store.listing(address)
    pairs = raw_mappings(sizes)
    if pairs:
        store.download(address, pairs, sizes, directory)
    elif given:
        raise JobError("has no mappings of node IDs", address, "check --raw-node-mappings-s3, or leave it out")
    else:
        say(f"warning: {address} has no mappings of node IDs: those of the raw data are not known")


@dataclass(frozen=True)
class Model:
    """A saved model in S3, and where it goes."""

    address: str
    sizes: Mapping[str, int]
    directory: str


def _model(state: JobState, store: Store, say: Say) -> Optional[Model]:
    """The model that the job begins with, of several epochs below its address the latest; None of a job without."""
    if state.action == INFER:
        address, directory = state.option("model-artifact-s3").rstrip("/"), state.places.models
    elif "model-checkpoint-to-load" in state.options:
        address, directory = state.options["model-checkpoint-to-load"].rstrip("/"), state.places.checkpoint
    else:
        return None
    sizes = store.listing(address)
    if MODEL_FILE in sizes:
        return Model(address, sizes, directory)
    below = sorted(key.rpartition("/")[0] for key in sizes if key.endswith(f"/{MODEL_FILE}"))
    chosen = _only(below)
    if chosen is None:
        raise JobError(
            f"has no {MODEL_FILE}" + (f"; there are {', '.join(below[:3])}" if below else ""),
            address,
            "name the directory of a saved model, such as s3://models/epoch-0-iter-999",
        )
    say(f"of the models below {address} it is {chosen}")
    inner = {key[len(chosen) + 1 :]: size for key, size in sizes.items() if key.startswith(f"{chosen}/")}
    return Model(f"{address}/{chosen}", inner, directory)


def _only(paths: List[str]) -> Optional[str]:
    """The only model, or of the epochs of one training the latest; None where it could be another."""
    if len(paths) == 1:
        return paths[0]
    epochs = {path.rpartition("/")[2]: path for path in paths}
    best = latest(epochs)
    one_training = len({path.rpartition("/")[0] for path in paths}) == 1 and all(epoch_of(name) for name in epochs)
    return epochs[best] if best is not None and one_training else None
