"""The torchrun command of one host, for jobs of torch.distributed without MPI."""

from __future__ import annotations

from typing import List, Sequence


def torchrun_command(
    python: str,
    program: Sequence[str],
    *,
    hosts: int,
    node_rank: int,
    processes: int,
    master_address: str,
    master_port: int,
) -> List[str]:
    """``python -m torch.distributed.run … --no-python PROGRAM``, which starts ``processes`` ranks on this host.

    Restarts are the container program's: it starts the ranks of all hosts again, not those of one.

    Args:
        python: the interpreter that has torch.
        program: what each rank runs.
        hosts: hosts of the distribution.
        node_rank: index of this host among them.
        processes: ranks on this host.
        master_address: name of the first host.
        master_port: its port, free on that host.
    """
    return [
        python,
        "-m",
        "torch.distributed.run",
        f"--nnodes={hosts}",
        f"--node-rank={node_rank}",
        f"--nproc-per-node={processes}",
        f"--master-addr={master_address}",
        f"--master-port={master_port}",
        "--max-restarts=0",
        "--no-python",
        *program,
    ]
