"""For ``sagemaker`` 3.x: ``MPI`` and ``Torchrun`` for ``ModelTrainer(distributed=…)``, by which hvdsm starts the ranks.

Unlike the SDK's own ``MPI`` this one has ranks on all hosts.  The image needs Python 3.8 or later with pip, Open MPI and sshd;
hvdsm itself goes along with the job.
"""

try:
    import sagemaker.train.distributed  # noqa: F401
except ImportError as error:
    raise ImportError(f"hvdsm.sdk.v3 needs the SageMaker SDK 3: pip install 'sagemaker>=3' ({error})") from error

from hvdsm.sdk.v3.distributed import MPI, Torchrun

__all__ = ["MPI", "Torchrun"]
