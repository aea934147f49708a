"""Whether the account's quota has room for the hosts, as Service Quotas tells it."""

from __future__ import annotations

from typing import Any, Dict, Optional

from hvdsm.aws.failures import translated
from hvdsm.container.diagnosis import Check, failed, good, unchecked
from hvdsm.doctor.cloud import Account
from hvdsm.errors import CloudRefused, HvdsmError

# As many as Service Quotas gives at a time; SageMaker has some thousands.
_PAGE = 100


def quota(account: Account, instance_type: Optional[str], count: int) -> Check:
    """Whether so many hosts of a type may run; nothing is told of those that run already."""
    account.known()
    if not instance_type:
        return unchecked("quota", "no instance type is named", "--instance-type ml.c5.2xlarge")
    wanted = f"{instance_type} for training job usage"
    try:
        found = find(account, wanted)
    except HvdsmError as error:
        what = f"Service Quotas does not tell: {error.what}"
        return unchecked("quota", what, error.remedy or "", name=wanted)
    return judge_quota(wanted, found, count, account.aws.region)


def find(account: Account, name: str) -> Optional[float]:
    """The value of SageMaker's quota of this name; None where there is none.

    Raises:
        HvdsmError: Service Quotas does not answer.
    """
    asked: Dict[str, Any] = {"ServiceCode": "sagemaker", "MaxResults": _PAGE}
    client = account.client("service-quotas", attempts=4)
    while True:
        with translated("read the quotas"):
            page = client.list_service_quotas(**asked)
        for one in page.get("Quotas") or ():
            if str(one.get("QuotaName", "")).lower() == name.lower():
                return float(one.get("Value", 0.0))
        if not page.get("NextToken"):
            return None
        asked["NextToken"] = page["NextToken"]


def judge_quota(name: str, value: Optional[float], count: int, region: str) -> Check:
    """Whether a quota allows so many hosts."""
    if value is None:
        what = f"there is no quota {name!r} in {region}"
        return unchecked("quota", what, "check the spelling of --instance-type, and whether the region has it", name=name)
    told = {"name": name, "value": value, "wanted": count}
    what = f"{name!r} is {value:g} in {region}, {count} wanted"
    if value < count:
        help_ = "raise it: AWS console, Service Quotas, Amazon SageMaker; or fewer instances, another type or region"
        return failed("quota", what, help_, CloudRefused.exit_code, **told)
    return good("quota", what, **told)
