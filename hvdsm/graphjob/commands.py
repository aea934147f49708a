"""The words that GraphStorm's scripts are started with, and the variables of DistDGL; pure."""

from __future__ import annotations

import argparse
from typing import Dict, List, Mapping, Optional, Sequence

from .state import INFER, TRAIN, JobState


def script_words(state: JobState, found: Mapping[str, str], words: Sequence[str]) -> List[str]:
    """Arguments of the script.

    Args:
        state: the host's view of the job.
        found: what the download has found.
        words: those of the user that are not the launcher's.
    """
    made = ["--cf", found["yaml"]]
    if state.action == TRAIN:
        made += ["--save-model-path", state.places.saved]
    if "model" in found:
        made += ["--restore-model-path", found["model"]]
    if state.action == INFER:
        made += ["--save-embed-path", state.places.embeddings]
        if "output-prediction-s3" in state.options:
            made += ["--save-prediction-path", state.places.predictions]
    # The paths stand last, as GraphStorm's launcher has them.
    return [*made, *words, "--ip-config", state.places.ip_list, "--part-config", found["config"]]


def remap_words(state: JobState, words: Sequence[str], preserve: bool, chunk: Optional[int] = None) -> List[str]:
    """Arguments of ``graphstorm.gconstruct.remap_result`` on a host."""
    size = str(chunk or state.options.get("output-chunk-size") or 100000)
    return [
        *words,
        "--rank", str(state.host),
        "--world-size", str(state.hosts),
        "--with-shared-fs", "False",
        "--num-processes", str(state.processes),
        "--output-chunk-size", size,
        "--preserve-input", str(preserve),
    ]  # fmt: skip


def partition_words(state: JobState) -> List[str]:
    """Arguments of the program that partitions."""
    named = ("graph-data-s3", "output-data-s3", "num-parts", "metadata-filename", "partition-algorithm", "skip-partitioning")
    found = [word for name in (*named, "log-level") if name in state.options for word in (f"--{name}", state.options[name])]
    return [*found, *state.words]


def distributed(state: JobState, found: Mapping[str, str], samplers: int, formats: str) -> Dict[str, str]:
    """DistDGL's variables that servers and ranks have in common."""
    return {
        "DGL_NUM_SAMPLER": str(samplers),
        "DGL_NUM_CLIENT": str(state.world * (1 + samplers)),
        "DGL_CONF_PATH": found["config"],
        "DGL_IP_CONFIG": state.places.ip_list,
        "DGL_NUM_SERVER": "1",
        "DGL_GRAPH_FORMAT": formats,
    }


def threads_of(state: JobState, cores: int, *, server: bool) -> int:
    """Threads of a process for OpenMP: what the words say, else as GraphStorm's launcher divides the cores.

    The words are read here and not by GraphStorm: OpenMP looks at its variable when torch is loaded, which GraphStorm does.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--num-omp-threads", type=int)
    parser.add_argument("--num-server-threads", type=int)
    told, _ = parser.parse_known_args(list(state.words))
    if server:
        return int(told.num_server_threads or max(1, cores // 4))
    set_already = state.environ.get("OMP_NUM_THREADS", "")
    if told.num_omp_threads is None and set_already.isdigit():
        return int(set_already)
    return int(told.num_omp_threads or max(1, cores // (2 * state.processes)))


def of_server(state: JobState, threads: int) -> Dict[str, str]:
    """Those of the host's server."""
    return {"DGL_ROLE": "server", "DGL_SERVER_ID": str(state.host), "OMP_NUM_THREADS": str(threads)}


def of_rank(threads: Optional[int]) -> Dict[str, str]:
    """Those of a rank; ``threads`` None leaves the number as it is."""
    found = {"DGL_ROLE": "client", "DGL_DIST_MODE": "distributed", "DGL_GROUP_ID": "0"}
    return found if threads is None else {**found, "OMP_NUM_THREADS": str(threads)}
