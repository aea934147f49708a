"""Whether jobs can be sent to SageMaker: region, credentials, clock, and the service itself; nothing is created or written."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Callable, List, Mapping, Optional, Union

from hvdsm.aws.failures import AwsRefused, translated
from hvdsm.aws.session import Aws, connect, partition
from hvdsm.container.diagnosis import Check, Probe, failed, good, of_error, unchecked, warning
from hvdsm.errors import CloudUnavailable, ConfigError, HvdsmError

# Seconds that this machine's clock may differ from AWS's: signatures are refused after five minutes.  Source: AWS Signature
# Version 4, and S3's RequestTimeTooSkewed (fifteen).
SKEW, LOST = 60.0, 300.0
# A check shall not take as long as a job's request may.
_IMPATIENT = {"attempts": 2, "connect_timeout": 5.0, "read_timeout": 10.0}


@dataclass(frozen=True)
class Wanted:
    """The job that is meant, as far as it is known.

    Attributes:
        region: AWS region.
        profile: of the AWS configuration.
        role: ARN of its role.
        s3_prefix: ``s3://bucket/prefix`` for what it writes; None is the account's default bucket.
        instance_type: of its hosts.
        instance_count: their number.
    """

    region: Optional[str] = None
    profile: Optional[str] = None
    role: Optional[str] = None
    s3_prefix: Optional[str] = None
    instance_type: Optional[str] = None
    instance_count: int = 1


@dataclass(frozen=True)
class Caller:
    """Whose credentials these are; seconds by which this machine's clock is ahead of AWS's, None where AWS did not tell."""

    account: str
    arn: str
    ahead: Optional[float] = None


class NotAsked(Exception):
    """There is nobody to ask: the credentials do not work, which is a check of its own."""


class Account:
    """The account as all checks see it: who asks is found out once.

    Args:
        aws: region and credentials.
        clock: gives seconds since 1970.
    """

    def __init__(self, aws: Aws, clock: Callable[[], float] = time.time) -> None:
        self.aws = aws
        self._clock = clock
        self._lock = threading.Lock()
        self._found: Union[Caller, HvdsmError, None] = None
        self.ahead: Optional[float] = None

    def client(self, service: str, **more: Any) -> Any:
        """A client that does not wait long."""
        return self.aws.client(service, **{**_IMPATIENT, **more})

    def caller(self) -> Caller:
        """Who asks.

        Raises:
            HvdsmError: AWS cannot be reached, or does not accept the credentials.
        """
        with self._lock:
            if self._found is None:
                try:
                    self._found = self._ask()
                except HvdsmError as error:
                    self._found = error
        if isinstance(self._found, HvdsmError):
            raise self._found
        return self._found

    def known(self) -> Caller:
        """The same for checks that need it.

        Raises:
            NotAsked: it is not known.
        """
        try:
            return self.caller()
        except HvdsmError:
            raise NotAsked from None

    def _ask(self) -> Caller:
        with translated("learn whose credentials these are"):
            try:
                answer = self.client("sts").get_caller_identity()
            except Exception as error:
                self.ahead = self._ahead(getattr(error, "response", None))
                raise
        self.ahead = self._ahead(answer)
        return Caller(str(answer["Account"]), str(answer["Arn"]), self.ahead)

    def _ahead(self, answer: Any) -> Optional[float]:
        try:
            told = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
            return self._clock() - parsedate_to_datetime(told).timestamp()
        except (TypeError, KeyError, ValueError, IndexError):
            return None


Judge = Callable[[Account], Union[Check, List[Check]]]


def asking(name: str, account: Account, judge: Judge, *, limit: float = 30.0) -> Probe:
    """A probe that needs credentials; without them it is not checked."""

    def look() -> Union[Check, List[Check]]:
        try:
            return judge(account)
        except NotAsked:
            return unchecked(name, "AWS cannot be asked: see credentials")

    return Probe(name, look, limit)


def cloud_probes(environ: Mapping[str, str], wanted: Wanted) -> List[Probe]:
    """What is looked into.

    Args:
        environ: the caller's environment.
        wanted: the job that is meant.
    """
    from hvdsm.doctor import buckets, permissions, quotas

    try:
        aws = connect(wanted.region, wanted.profile, environ)
    except ConfigError as error:
        wrong = of_error("credentials" if "profile" in error.what else "region", error)
        return [Probe(wrong.name, lambda: wrong)]
    account = Account(aws)
    return [
        Probe("region", lambda: region(aws), needed=False),
        Probe("credentials", lambda: credentials(account), 45.0, needed=True, remedy="aws sts get-caller-identity"),
        Probe("clock", lambda: clock(account), 45.0),
        asking("service", account, service),
        asking("role", account, lambda known: permissions.role(known, wanted.role), limit=45.0),
        asking("permissions", account, lambda known: permissions.permissions(known, wanted.role), limit=45.0),
        asking("bucket", account, lambda known: buckets.bucket(known, wanted.s3_prefix), limit=45.0),
        asking("quota", account, lambda known: quotas.quota(known, wanted.instance_type, wanted.instance_count), limit=90.0),
    ]


def region(aws: Aws) -> Check:
    """Whether SageMaker is known to be in the region."""
    told = {"region": aws.region, "endpoint": aws.endpoint}
    where = f"{aws.region}, at {aws.endpoint}" if aws.endpoint else aws.region
    try:
        known = regions(partition(aws.region))
    except Exception:
        # The AWS configuration cannot be read, of which the credentials tell.
        return good("region", where, **told)
    if aws.region in known or aws.endpoint:
        return good("region", where, **told)
    close = [name for name in known if name[:2] == aws.region[:2]] or known
    what = f"{where}: this version of botocore knows no SageMaker there"
    return warning("region", what, f"--region with one of {', '.join(close)}; or pip install --upgrade boto3", **told)


def regions(name: str) -> List[str]:
    """The regions of a partition that have SageMaker, as botocore knows them."""
    import botocore.session

    return sorted(botocore.session.Session().get_available_regions("sagemaker", partition_name=name))


def credentials(account: Account) -> Check:
    """Whether AWS accepts them, and whose they are."""
    try:
        caller = account.caller()
    except HvdsmError as error:
        return of_error("credentials", error)
    what = f"account {caller.account}, {caller.arn}"
    if caller.arn.endswith(":root"):
        help_ = "use an IAM role or user for this: AWS advises against keys of the root user"
        return warning(
            "credentials", f"{what}: the root user, who may do everything", help_, account=caller.account, arn=caller.arn
        )
    return good("credentials", what, account=caller.account, arn=caller.arn)


def clock(account: Account) -> Check:
    """Whether this machine's clock agrees with AWS's."""
    try:
        account.caller()
    except HvdsmError:
        # A refusal has its date, too.
        pass
    return judge_clock(account.ahead)


def judge_clock(ahead: Optional[float]) -> Check:
    """Whether a clock will do that is so many seconds ahead; None is unknown."""
    if ahead is None:
        return unchecked("clock", "no answer of AWS told the time")
    seconds = round(ahead, 1)
    way = "ahead of" if ahead > 0 else "behind"
    what = f"{abs(seconds):.0f} s {way} AWS's" if abs(ahead) >= 2 else "agrees with AWS's"
    if abs(ahead) >= LOST:
        return failed(
            "clock", f"{what}: requests are refused", "sudo timedatectl set-ntp true", CloudUnavailable.exit_code, ahead=seconds
        )
    if abs(ahead) >= SKEW:
        return warning("clock", f"{what}; from 300 s on requests are refused", "sudo timedatectl set-ntp true", ahead=seconds)
    return good("clock", what, ahead=seconds)


def service(account: Account) -> Check:
    """Whether SageMaker answers in this region."""
    account.known()
    try:
        with translated("list training jobs"):
            answer = account.client("sagemaker").list_training_jobs(MaxResults=1)
    except AwsRefused as error:
        if error.code in ("AccessDeniedException", "AccessDenied"):
            return warning("service", f"SageMaker answers, but {error.what}", error.remedy or "")
        return of_error("service", error)
    except HvdsmError as error:
        return of_error("service", error)
    count = len(answer.get("TrainingJobSummaries") or ())
    return good("service", "SageMaker answers" + ("" if count else "; no training job was there yet"))
