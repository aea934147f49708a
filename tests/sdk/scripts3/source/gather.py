"""Adds the ranks up by MPI."""

import json
import os

from mpi4py import MPI

world = MPI.COMM_WORLD
total = world.allreduce(world.rank + 1)
places = world.gather(os.uname().nodename)
if world.rank == 0:
    with open("/opt/ml/model/told.json", "w") as file:
        json.dump({"places": places, "total": total, "given": os.environ.get("GIVEN")}, file)
