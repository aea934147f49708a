"""Adapters for the SageMaker Python SDK.

* :mod:`hvdsm.sdk.v2` for ``sagemaker`` 2.x: a checked ``distribution`` dict, and estimators for images of one's own.
* :mod:`hvdsm.sdk.v3` for ``sagemaker`` 3.x: a ``DistributedConfig`` whose MPI works on several hosts.
* :mod:`hvdsm.sdk.local`: ``instance_type="local"`` of both, on emulated hosts instead of Docker.

Nothing here is imported by the rest of hvdsm, except by the sandbox; each part imports the SDK only when it needs it.
"""
