"""Whether the bucket for a job's source and results is there, in the region, and can be written; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional

from hvdsm.aws.failures import AwsUnavailable, status_of, translate, translated
from hvdsm.aws.session import partition
from hvdsm.aws.storage import split_uri
from hvdsm.container.diagnosis import Check, failed, good, note, of_error, warning
from hvdsm.doctor.cloud import Account
from hvdsm.doctor.permissions import simulate, source_of
from hvdsm.errors import EXIT_CONFIG, HvdsmError

# An object that is not there: looking for it shows what is permitted.
PROBE = "hvdsm-doctor"
_REGION = "x-amz-bucket-region"


@dataclass(frozen=True)
class BucketFacts:
    """What S3 said.

    Attributes:
        name: of the bucket.
        prefix: of the keys, without slashes around it.
        status: HTTP status of the answer to HEAD of the bucket.
        region: where it is; empty where S3 did not tell.
        object_status: HTTP status of HEAD of an object that is not there: 404 where the caller may list, 403 where not.
        writable: whether IAM's simulation allows writing; None where it was not asked.
        default: whether it is the account's default bucket, which a launch makes.
    """

    name: str
    prefix: str
    status: int
    region: str = ""
    object_status: int = 404
    writable: Optional[bool] = None
    default: bool = False


def bucket(account: Account, s3_prefix: Optional[str]) -> Check:
    """Look at the bucket."""
    caller = account.known()
    try:
        name, prefix = split_uri(s3_prefix) if s3_prefix else (f"sagemaker-{account.aws.region}-{caller.account}", "hvdsm")
        facts = look(account, name, prefix.strip("/"), default=not s3_prefix)
    except HvdsmError as error:
        return of_error("bucket", error)
    return judge_bucket(facts, account.aws.region)


def look(account: Account, name: str, prefix: str, *, default: bool) -> BucketFacts:
    """What S3 says of a bucket.

    Raises:
        HvdsmError: S3 cannot be asked.
    """
    client = account.client("s3")
    key = f"{prefix}/{PROBE}" if prefix else PROBE
    with translated("look at the bucket", f"s3://{name}"):
        try:
            answer = client.head_bucket(Bucket=name)
            status, there = 200, _region(answer)
        except Exception as error:
            status, there = status_of(error), _region(getattr(error, "response", None))
            made = translate(error, "look at the bucket", f"s3://{name}")
            if status not in (301, 400, 403, 404) or isinstance(made, AwsUnavailable):
                raise
    if status != 200 or (there and there != account.aws.region):
        return BucketFacts(name, prefix, status, there, default=default)
    with translated("look at an object", f"s3://{name}/{key}"):
        try:
            client.head_object(Bucket=name, Key=key)
            seen = 200
        except Exception as error:
            seen = status_of(error)
            if seen not in (403, 404):
                raise
    return BucketFacts(name, prefix, status, there, seen, _writable(account, name, prefix), default)


def _writable(account: Account, name: str, prefix: str) -> Optional[bool]:
    resource = f"arn:{partition(account.aws.region)}:s3:::{name}/{prefix + '/' if prefix else ''}*"
    try:
        decisions = simulate(account, source_of(account, account.known()), ("s3:PutObject",), resource)
    except HvdsmError:
        return None
    return all(one.allowed for one in decisions) if decisions else None


def judge_bucket(facts: BucketFacts, region: str) -> Check:
    """Whether a job of a region can use the bucket."""
    name, uri = "bucket", f"s3://{facts.name}" + (f"/{facts.prefix}" if facts.prefix else "")
    told: Mapping[str, Any] = {
        "uri": uri, "exists": facts.status != 404, "region": facts.region, "writable": facts.writable, "default": facts.default
    }  # fmt: skip
    if facts.status == 404 and facts.default:
        return note(
            name, f"{uri}, the account's default bucket, is not there yet: a launch makes it (s3:CreateBucket)", "", **told
        )
    if facts.status == 404:
        return failed(
            name, f"there is no bucket {facts.name}", f"aws s3 mb s3://{facts.name} --region {region}", EXIT_CONFIG, **told
        )
    if facts.region and facts.region != region:
        what = f"{uri} is in {facts.region}, the job would be in {region}"
        return failed(name, what, f"--region {facts.region}, or --s3-prefix with a bucket of {region}", EXIT_CONFIG, **told)
    if facts.status == 403:
        what = f"{uri} belongs to another account, or these credentials may not use it (s3:ListBucket)"
        return failed(name, what, "--s3-prefix s3://BUCKET/PREFIX with one of your own, or allow it", EXIT_CONFIG, **told)
    if facts.status != 200:
        what = f"{uri}: S3 answers with HTTP status {facts.status}; it may be in another region"
        return failed(name, what, f"aws s3api get-bucket-location --bucket {facts.name}", EXIT_CONFIG, **told)
    if facts.writable is False:
        what = f"{uri}: by IAM's simulation these credentials may not write there (s3:PutObject)"
        return warning(name, what, f"allow s3:PutObject on {facts.name}/*", **told)
    if facts.object_status == 403:
        what = f"{uri} is there, but its objects cannot be looked at (s3:GetObject, s3:ListBucket)"
        return warning(name, what, f"allow s3:GetObject and s3:ListBucket on {facts.name}", **told)
    write = "may be written, by IAM's simulation" if facts.writable else "whether it may be written shows when something is"
    return good(name, f"{uri}, in {facts.region or region}; {write}", **told)


def _region(answer: Any) -> str:
    if not isinstance(answer, Mapping):
        return ""
    headers = (answer.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}
    return str(answer.get("BucketRegion") or headers.get(_REGION) or "")
