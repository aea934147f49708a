"""Hands this host's part of a job over to hvdsm, which lies beside it in ``hvdsm.pyz``; ``sm_train.sh`` runs it on every host.

It goes into the job as ``hvdsm_mpi_driver.py`` or ``hvdsm_torchrun_driver.py``, and its name says how ranks are started.  It uses
the standard library only.
"""

import os
import runpy
import sys

BUNDLE = "hvdsm.pyz"
KINDS = {"hvdsm_mpi_driver.py": "mpi", "hvdsm_torchrun_driver.py": "torch_distributed"}


def main() -> int:
    """Run this host's part of the job; returns its exit code."""
    directory, name = os.path.split(os.path.abspath(__file__))
    bundle = os.path.join(directory, BUNDLE)
    if sys.version_info < (3, 8):  # noqa: UP036 - any image's Python runs this, not only those that run hvdsm
        # It says what it needs, also where the job's failure is looked for, and exits.
        runpy.run_path(bundle, run_name="__main__")
    # In the place of this directory, whose other modules are the SDK's.
    sys.path[0] = bundle
    from hvdsm.container.model_trainer import main as take_over

    return take_over(os.path.dirname(directory), KINDS[name])


if __name__ == "__main__":
    sys.exit(main())
