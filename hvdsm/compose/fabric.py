"""The variables that Elastic Fabric Adapter (EFA) needs, by rule.

Sources: the SageMaker Training Toolkit's mpirun command, and the guides of the OFI NCCL plug-in.  Instance families are
recognised by generation, so that new ones (p5en, p6) need no new table.
"""

from __future__ import annotations

import re
from typing import List, Tuple

_TYPE = re.compile(r"^(?:ml\.)?(?P<family>[a-z]+)(?P<generation>\d+)(?P<suffix>[a-z0-9-]*)\.(?P<size>[a-z0-9-]+)$")


def has_efa(instance_type: str, device: bool = False) -> bool:
    """Whether NCCL goes over EFA: a device is there, or it is a training type that has one.

    Args:
        instance_type: ``ml.p5.48xlarge`` as in ``resourceconfig.json``.
        device: whether the host has an EFA device.
    """
    if device or has_rdma(instance_type):
        return True
    match = _TYPE.match(instance_type)
    if match is None:
        return False
    family, generation, size = match["family"], int(match["generation"]), match["size"]
    if family == "p":
        return match["suffix"] == "dn"
    if family == "g":
        return size == "48xlarge" if generation >= 5 else generation == 4 and size in ("8xlarge", "12xlarge", "16xlarge")
    return False


def has_rdma(instance_type: str) -> bool:
    """Whether the instance type's EFA has RDMA: P4 and later, Trainium of full size."""
    match = _TYPE.match(instance_type)
    if match is None:
        return False
    if match["family"] == "p":
        return int(match["generation"]) >= 4
    return match["family"] == "trn" and (int(match["generation"]) >= 2 or match["size"] == "32xlarge")


def efa_variables(instance_type: str, device: bool = False) -> List[Tuple[str, str]]:
    """Names and values for the ranks' environment; empty without EFA."""
    if not has_efa(instance_type, device):
        return []
    variables = [("FI_PROVIDER", "efa"), ("NCCL_PROTO", "simple")]
    if has_rdma(instance_type):
        variables.append(("FI_EFA_USE_DEVICE_RDMA", "1"))
    return variables
