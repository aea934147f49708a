"""What botocore's errors mean, in hvdsm's words: what is wrong, and the next command."""

from __future__ import annotations

import re
from typing import Any, Mapping, NamedTuple, Optional, Tuple

THROTTLED = frozenset(
    (
        "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
        "TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceededException", "SlowDown",
        "PriorRequestNotComplete", "EC2ThrottledException", "429",
    )
)  # fmt: skip
BROKEN = frozenset(
    (
        "InternalFailure", "InternalError", "InternalServerError", "InternalServerException", "ServiceUnavailable",
        "ServiceUnavailableException", "RequestTimeout", "RequestTimeoutException", "ServiceFailure", "OperationAborted",
        "500", "502", "503", "504",
    )
)  # fmt: skip
_EXPIRED = frozenset(("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired", "ExpiredTokenId"))
_UNKNOWN_KEYS = frozenset(
    (
        "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "AuthFailure", "SignatureDoesNotMatch",
        "InvalidSignatureException", "IncompleteSignature", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
        "InvalidToken", "NotAuthorized",
    )
)  # fmt: skip
_SKEWED = frozenset(("RequestTimeTooSkewed", "RequestInTheFuture"))
_DENIED = frozenset(("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "Forbidden", "AllAccessDisabled"))
_QUOTA = frozenset(("ResourceLimitExceeded", "ServiceQuotaExceededException"))
_CAPACITY = frozenset(("CapacityError", "InsufficientCapacity", "InsufficientInstanceCapacity", "CapacityNotAvailable"))
MISSING = frozenset(
    ("ResourceNotFound", "ResourceNotFoundException", "NoSuchBucket", "NoSuchKey", "NotFound", "404", "ParameterNotFound")
)
# Characters of a message that are told.
_LONGEST = 800
# What is missing, by code or operation.
_KINDS = {"NoSuchBucket": "bucket", "NoSuchKey": "object", "HeadObject": "object", "HeadBucket": "bucket"}
# Operations of S3 whose permission has another name.
_S3_ACTIONS = {
    "HeadObject": "GetObject", "HeadBucket": "ListBucket", "ListObjectsV2": "ListBucket", "ListObjects": "ListBucket",
    "CreateMultipartUpload": "PutObject", "UploadPart": "PutObject", "CompleteMultipartUpload": "PutObject",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock", "PutBucketEncryption": "PutEncryptionConfiguration",
}  # fmt: skip


class Reason(NamedTuple):
    """What is told of an error."""

    what: str
    remedy: str
    available: bool = True
    passing: bool = False
    where: Optional[str] = None


def code_of(error: BaseException) -> str:
    """AWS's name of an error, botocore's or translated; empty when it has none."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        return str((response.get("Error") or {}).get("Code") or status_of(error) or "")
    return str(getattr(error, "code", ""))


def status_of(error: BaseException) -> int:
    """The HTTP status of AWS's answer; 0 when there is none."""
    response = getattr(error, "response", None)
    if not isinstance(response, Mapping):
        return 0
    return int((response.get("ResponseMetadata") or {}).get("HTTPStatusCode") or 0)


def message_of(error: BaseException) -> str:
    """AWS's own words for an error."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        text = str((response.get("Error") or {}).get("Message") or "").strip()
        if text.startswith("<"):
            # A page for people, of a proxy or a load balancer: its title says enough.
            title = re.search(r"<title>([^<]*)", text, re.IGNORECASE)
            text = title[1] if title else re.sub(r"<[^>]*>", " ", text)
        return " ".join(text.split())[:_LONGEST]
    return str(error)


def is_throttling(error: BaseException) -> bool:
    """Whether AWS asks for fewer requests."""
    return (code_of(error) in THROTTLED and not _is_stack_quota(error)) or status_of(error) == 429


def _is_stack_quota(error: BaseException) -> bool:
    """Whether CloudFormation has no room for another stack; other services mean throttling by the same code."""
    making = getattr(error, "operation_name", "") in ("CreateChangeSet", "CreateStack", "UpdateStack")
    return making and code_of(error) in ("LimitExceededException", "LimitExceeded")


def is_denied(error: BaseException) -> bool:
    """Whether a permission is missing."""
    return code_of(error) in _DENIED


def is_capacity(error: BaseException) -> bool:
    """Whether AWS has no instances for this now."""
    return code_of(error) in _CAPACITY


def answered(error: Any) -> Reason:
    """What AWS's answer means."""
    code, message = code_of(error), message_of(error)
    operation = str(getattr(error, "operation_name", "") or "")
    told = f"{code}: {message}" if message and message != code else code
    if code in _EXPIRED or "security token included in the request is expired" in message:
        return Reason(f"the AWS credentials have expired ({told})", "aws sso login, or get new credentials, and run it again")
    if code in _SKEWED or re.search(r"[Ss]ignature (?:expired|not yet current)", message):
        return Reason(f"this machine's clock is wrong ({told})", "set the clock (timedatectl set-ntp true), and run it again")
    if code in _UNKNOWN_KEYS:
        return Reason(f"AWS does not accept the credentials ({told})", "aws sts get-caller-identity, to see which ones are used")
    if code == "OptInRequired":
        return Reason(
            f"the region, or the service in it, is not enabled for this account ({told})",
            "enable it in the account's settings, or name another --region",
            available=False,
        )
    if code in _DENIED:
        return _denied(message, told, operation)
    if code in _QUOTA or (code == "LimitExceeded" and "service limit" in message):
        return _quota(message, told)
    if _is_stack_quota(error):
        return Reason(
            f"a quota of CloudFormation is used up ({told})",
            "delete stacks that nobody needs (aws cloudformation list-stacks), or raise the quota 'Stack count': AWS console, "
            "Service Quotas, AWS CloudFormation",
            available=False,
        )
    if code == "InsufficientCapabilitiesException":
        return Reason(f"the template makes roles ({told})", "hvdsm vpc deploy allows it where it must", available=False)
    if code in _CAPACITY:
        return Reason(
            f"AWS has no capacity for this now ({told})", "try later, another --instance-type, or subnets in other zones"
        )
    if is_throttling(error):
        return Reason(f"AWS asks for fewer requests ({told})", "run it again in a minute", passing=True)
    if code in BROKEN or status_of(error) >= 500:
        return Reason(
            f"AWS has a fault of its own (HTTP {status_of(error)}, {told})",
            "run it again; https://health.aws.amazon.com shows known faults",
            passing=True,
        )
    if code in ("PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"):
        return Reason(f"the bucket is in another region ({told})", "name that region: --region", available=False)
    if code == "InvalidObjectState":
        return Reason(f"the object is archived ({told})", "aws s3api restore-object, and wait for it", available=False)
    if code in MISSING:
        kind = _KINDS.get(code) or _KINDS.get(operation) or "thing"
        return Reason(f"there is no such {kind} ({told})", "check the name, the region and the account", available=False)
    if code in ("ValidationException", "ValidationError", "InvalidParameterException", "InvalidRequest", "InvalidArgument"):
        return Reason(f"AWS refuses a value: {message or code}", "correct the value that it names", available=False)
    return Reason(f"AWS refuses it: {told}", "correct what it names", available=False)


def _denied(message: str, told: str, operation: str) -> Reason:
    """A permission is missing: which one, of whom, and on what."""
    named = re.search(r"not authorized to perform:? ([\w-]+:\w+)", message)
    action = named[1] if named else _action(operation)
    user = re.search(r"User:? (arn:\S+)", message)
    resource = re.search(r"on (?:the )?resource:? (arn:[^\s\"']+)", message)
    who = user[1] if user else "these credentials' user or role"
    what = f"{who} lacks the permission {action}" if action else f"{who} may not do this"
    if "explicit deny" in message:
        what = f"a policy denies {action or 'this'} to {who} explicitly"
    remedy = f"allow {action or 'it'}{' on ' + resource[1] if resource else ''} in its IAM policies"
    if action == "iam:PassRole":
        remedy += ", or name a --role that it may pass"
    return Reason(f"{what} ({told})", remedy, available=False)


def _action(operation: str) -> str:
    """The IAM action of an operation whose error does not name it; only S3's answers are so short."""
    if not operation:
        return ""
    s3 = operation in _S3_ACTIONS or operation.endswith(("Object", "Bucket", "Objects"))
    return f"s3:{_S3_ACTIONS.get(operation, operation)}" if s3 else operation


def _quota(message: str, told: str) -> Reason:
    """A quota is exceeded: which one, and where it is raised."""
    named = re.search(r"(?:service )?limit '([^']+)'", message)
    if named is None:
        return Reason(
            f"a quota of the account is used up ({told})",
            "raise it in the AWS console under Service Quotas, Amazon SageMaker, or wait for running jobs to end",
            available=False,
        )
    numbers = re.search(r"is ([\d.,]+) (\w+), with current utilization of ([\d.,]+)[^.]*? request delta of ([\d.,]+)", message)
    counts = f" is {numbers[1]} {numbers[2]}: {numbers[3]} in use, {numbers[4]} more asked for" if numbers else " is used up"
    return Reason(
        f"the quota '{named[1]}'{counts}",
        "raise it: AWS console, Service Quotas, Amazon SageMaker; or ask for fewer instances, or wait for running jobs to end",
        available=False,
    )


def _of_page(text: str) -> str:
    """What botocore says of an answer that it cannot read, without the page that it quotes but for its title."""
    title = re.search(r"<title>(.*?)(?:<|\\n|$)", text, re.IGNORECASE)
    said = title[1] if title and title[1].strip() else text.partition("Further retries may succeed")[0]
    return " ".join(said.split()).rstrip(".")[:200]


def unanswered(error: Any) -> Reason:
    """What kept AWS from being asked, or its answer from coming."""
    from botocore import exceptions as known

    name = type(error).__name__
    words = getattr(error, "kwargs", {})
    if name == "ResponseParserError":
        return Reason(
            f"what was answered is no answer of AWS: {_of_page(str(error))}",
            "something else answers in its place: check HTTPS_PROXY and AWS_ENDPOINT_URL; a fault of AWS itself passes",
            passing=True,
        )
    address = str(words.get("endpoint_url") or words.get("proxy_url") or "") or None
    if isinstance(error, known.NoCredentialsError):
        return Reason(
            "no AWS credentials are found",
            "aws configure, or aws sso login --profile NAME and --aws-profile NAME, or export AWS_ACCESS_KEY_ID=… "
            "AWS_SECRET_ACCESS_KEY=…",
        )
    if isinstance(error, known.PartialCredentialsError):
        return Reason(f"the AWS credentials are not complete: {error}", "aws configure, or set what is missing")
    if isinstance(error, (known.SSOError, known.TokenRetrievalError, known.NoAuthTokenError, *_logins(known))):
        return Reason(f"the AWS sign-in has ended ({error})", "aws sso login (with --profile NAME if one is used)")
    if isinstance(error, (known.CredentialRetrievalError, known.MetadataRetrievalError)):
        return Reason(f"the AWS credentials cannot be fetched: {error}", "aws sts get-caller-identity, to see the same by itself")
    if isinstance(error, known.SSLError):
        reason = _inner(error)
        if "CERTIFICATE_VERIFY_FAILED" not in reason:
            return Reason(f"no TLS connection can be made: {reason}", "check AWS_ENDPOINT_URL and HTTPS_PROXY", where=address)
        return Reason(
            f"the server's certificate is not trusted: {reason}",
            "behind a proxy that opens TLS, set AWS_CA_BUNDLE to the file of its certificates; else check this machine's clock",
            where=address,
        )
    if isinstance(error, known.ProxyConnectionError):
        return Reason(
            f"the proxy cannot be reached: {_inner(error)}",
            "check HTTPS_PROXY and HTTP_PROXY; NO_PROXY names what needs none",
            passing=True,
            where=address,
        )
    if isinstance(error, (known.ConnectionError, known.HTTPClientError)):
        return _network(error, address)
    if isinstance(error, (known.NoRegionError, known.InvalidRegionError, known.UnknownEndpointError, known.UnknownRegionError)):
        return Reason(f"AWS has no such region: {error}", "--region us-east-1, or export AWS_REGION=us-east-1", available=False)
    if isinstance(error, known.ParamValidationError):
        report = "; ".join(str(words.get("report") or error).splitlines())
        return Reason(f"the request is wrong: {report}", "correct the fields that it names", available=False)
    if isinstance(error, (known.IncompleteReadError, known.ChecksumError, known.FlexibleChecksumError)):
        return Reason(f"the data came damaged or not whole: {error}", "run it again", passing=True)
    return Reason(f"{name}: {error}", "correct the AWS configuration (aws configure list)", available=False)


def _logins(known: Any) -> Tuple[Any, ...]:
    """Errors that older botocore does not have."""
    return tuple(getattr(known, name) for name in ("LoginError",) if hasattr(known, name))


def _network(error: Any, address: Optional[str]) -> Reason:
    reason = _inner(error)
    if "resolve" in reason or "Name or service not known" in reason or "getaddrinfo" in reason:
        remedy = "check the network, the spelling of the region, and AWS_ENDPOINT_URL if it is set"
    else:
        remedy = (
            "check the network; in a VPC without internet, the interface endpoint of this service; AWS_ENDPOINT_URL if it is set"
        )
    return Reason(f"AWS cannot be reached: {reason}", remedy, passing=True, where=address)


def _inner(error: Any) -> str:
    """The last reason in a chain of connection errors, without objects' addresses."""
    text = str(getattr(error, "kwargs", {}).get("error") or error)
    text = re.sub(r"<[\w.]+ object at 0x[0-9a-f]+>:?\s*", "", text)
    found = re.search(r"Caused by \w+\((.*)\)\s*$", text, re.DOTALL)
    return (found[1] if found else text).strip("'\" ")
