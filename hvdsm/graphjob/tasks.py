"""GraphStorm's scripts by task, as its modules ``graphstorm.run.gs_*`` choose them; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional


@dataclass(frozen=True)
class Task:
    """A task's module, and below ``graphstorm.run`` its scripts for training and inference; those of a language model alone.

    ``coo`` says whether it samples edges, so that graphs are kept in that format, too.
    """

    module: str
    train: Optional[str]
    infer: str
    lm_train: Optional[str] = None
    lm_infer: Optional[str] = None
    coo: bool = False


_NODES = ("gsgnn_np/gsgnn_np.py", "gsgnn_np/np_infer_gnn.py")
_EDGES = ("gsgnn_ep/gsgnn_ep.py", "gsgnn_ep/ep_infer_gnn.py", "gsgnn_ep/gsgnn_lm_ep.py", "gsgnn_ep/ep_infer_lm.py")
_LINKS = ("gsgnn_lp/gsgnn_lp.py", "gsgnn_lp/lp_infer_gnn.py", "gsgnn_lp/gsgnn_lm_lp.py", "gsgnn_lp/lp_infer_lm.py")
TASKS: Mapping[str, Task] = {
    "node_classification": Task("gs_node_classification", *_NODES),
    "node_regression": Task("gs_node_regression", *_NODES),
    "edge_classification": Task("gs_edge_classification", *_EDGES),
    "edge_regression": Task("gs_edge_regression", *_EDGES),
    "link_prediction": Task("gs_link_prediction", *_LINKS, coo=True),
    "multi_task": Task("gs_multi_task_learning", "gsgnn_mt/gsgnn_mt.py", "gsgnn_mt/mt_infer_gnn.py", coo=True),
    "compute_emb": Task("gs_gen_node_embedding", None, "gsgnn_emb/gsgnn_node_emb.py"),
}


def script_of(task: Task, inference: bool, lm_only: bool) -> Optional[str]:
    """The script of a task, relative to ``graphstorm.run``.

    >>> script_of(TASKS["link_prediction"], True, False)
    'gsgnn_lp/lp_infer_gnn.py'
    """
    if inference:
        return (task.lm_infer if lm_only else None) or task.infer
    return (task.lm_train if lm_only else None) or task.train


def graph_formats(task: Task, asked: str) -> str:
    """The formats that servers keep their part in.

    >>> graph_formats(TASKS["link_prediction"], "csc")
    'csc,coo'
    """
    return f"{asked},coo" if task.coo and "coo" not in asked else asked
