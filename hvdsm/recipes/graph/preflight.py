"""What is asked of S3 before a graph job is submitted."""

from __future__ import annotations

from typing import Any, Optional

from hvdsm.errors import ConfigError
from hvdsm.recipes.graph.metadata import Read, check_instances, partitions
from hvdsm.recipes.graph.run import GraphRun

_MISSING = ("404", "NoSuchKey", "NotFound")


def check_graph(run: GraphRun, region: Optional[str] = None, profile: Optional[str] = None) -> None:
    """As many hosts as the graph has partitions.

    Raises:
        UsageError: there are more, or fewer.
        ConfigError: the graph has no metadata, or S3 cannot be read.
    """
    job = run.job
    count, name = partitions(job.graph_data, job.graph_name, s3_reader(region, profile))
    check_instances(job.instances, count, name)


def s3_reader(region: Optional[str], profile: Optional[str]) -> Read:
    """Reads objects of S3."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    client: Any = None

    def read(bucket: str, key: str) -> Optional[bytes]:
        nonlocal client
        try:
            if client is None:
                client = boto3.session.Session(profile_name=profile, region_name=region).client("s3")
            return bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return None
            raise _refused(bucket, key, error) from error
        except BotoCoreError as error:
            raise _refused(bucket, key, error) from error

    return read


def _refused(bucket: str, key: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"cannot be read: {error}",
        where=f"s3://{bucket}/{key}",
        remedy="check credentials, region and AWS_ENDPOINT_URL; or add --no-check-graph",
    )
