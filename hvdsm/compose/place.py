"""The rank variables of a process; apart, since every rank's wrapper imports it and little else."""

from __future__ import annotations

from typing import Dict


def rank_environment(rank: int, local_rank: int, world_size: int, local_world_size: int, node_rank: int) -> Dict[str, str]:
    """The variables by which torch.distributed and Lightning find their place, as torchrun would set them."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(local_rank),
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(local_world_size),
        "NODE_RANK": str(node_rank),
        "GROUP_RANK": str(node_rank),
    }
