"""Ranks that agree by MPI."""

# ruff: noqa: UP031

import os

from mpi4py import MPI

world = MPI.COMM_WORLD
total = world.allreduce(world.rank)
print("rank %d of %d on %s, sum %d" % (world.rank, world.size, os.environ["SM_CURRENT_HOST"], total), flush=True)
if world.rank == 0:
    with open(os.path.join(os.environ["SM_MODEL_DIR"], "ranks"), "w") as file:
        file.write("%d %s" % (world.size, os.environ.get("GREETING", "")))
