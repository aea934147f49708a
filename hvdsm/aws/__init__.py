"""AWS at arm's length: what hvdsm asks of it, and what its answers mean.

Nothing here imports botocore before something is really asked.

========================= ======================================================
:mod:`~hvdsm.aws.session`  credentials, region and clients
:mod:`~hvdsm.aws.failures` botocore's errors in hvdsm's words; trying again
:mod:`~hvdsm.aws.training` training jobs: create, describe, stop, list
:mod:`~hvdsm.aws.logs`     the log lines of a job's hosts, each exactly once
:mod:`~hvdsm.aws.storage`  objects in S3
:mod:`~hvdsm.aws.prices`   what a job costs
:mod:`~hvdsm.aws.stacks`   outputs of CloudFormation stacks
========================= ======================================================
"""
