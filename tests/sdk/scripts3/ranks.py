"""Ways to start ranks, those of the SDK itself."""

import logging

import kit
from sagemaker.train.distributed import MPI, Torchrun

logging.basicConfig(level=logging.INFO)
two = {"process_count_per_node": 2}
found = kit.train_all(
    {
        "torchrun 1x2": kit.trainer("r-torch1", "average.py", distributed=Torchrun(**two)),
        "mpi 1x2": kit.trainer("r-mpi1", "gather.py", distributed=MPI(**two)),
        "hosts": kit.trainer("r-hosts", hosts=2),
    }
)
# Together they would compete for the cores.
found.update(kit.train_all({"torchrun 2x2": kit.trainer("r-torch2", "average.py", hosts=2, distributed=Torchrun(**two))}))
options = ["-x", "GIVEN"]
mpi = kit.trainer(
    "r-mpi2", "gather.py", 2, distributed=MPI(**two, mpi_additional_options=options), environment={"GIVEN": "to all"}
)
found.update(kit.train_all({"mpi 2x2": mpi}))
kit.result(found)
