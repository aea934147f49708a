"""Frozen records shared by all layers; no I/O, standard library only, Python 3.8 and later."""

from hvdsm.model.cluster import Cluster, Host, InstanceGroup
from hvdsm.model.job import DISTRIBUTIONS, MPI, NONE, TORCH_DISTRIBUTED, Distribution, RoleProcess, Supervision, TrainingJob
from hvdsm.model.mpi import MpiImplementation
from hvdsm.model.outcome import JobOutcome, RankFailure

__all__ = [
    "DISTRIBUTIONS",
    "MPI",
    "NONE",
    "TORCH_DISTRIBUTED",
    "Cluster",
    "Distribution",
    "Host",
    "InstanceGroup",
    "JobOutcome",
    "MpiImplementation",
    "RankFailure",
    "RoleProcess",
    "Supervision",
    "TrainingJob",
]
