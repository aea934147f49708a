"""The role of a job, and what the caller may do; asked of IAM where it answers, else not checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

from hvdsm.aws.failures import AwsRefused, translated
from hvdsm.aws.session import INVENTED, partition
from hvdsm.container.diagnosis import Check, failed, good, of_error, unchecked, warning
from hvdsm.doctor.cloud import Account, Caller
from hvdsm.doctor.trust import ARN, SERVICE, trusts
from hvdsm.errors import EXIT_CONFIG, HvdsmError

# What a launch asks of SageMaker and CloudWatch.
ACTIONS = (
    "sagemaker:CreateTrainingJob", "sagemaker:AddTags", "sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob",
    "logs:DescribeLogStreams", "logs:GetLogEvents",
)  # fmt: skip
_MISSING = ("NoSuchEntity", "NoSuchEntityException")
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
_EXAMPLE = "arn:aws:iam::ACCOUNT:role/NAME"


def role(account: Account, arn: Optional[str]) -> Check:
    """Whether SageMaker can take on the job's role."""
    caller = account.known()
    name = "role"
    if not arn:
        return unchecked(name, "no role is named, and a job needs one", f"--role {_EXAMPLE}, or export SAGEMAKER_ROLE=…")
    match = ARN.fullmatch(arn)
    if match is None:
        return failed(name, f"{arn!r} is no ARN of a role", f"write it as {_EXAMPLE}", EXIT_CONFIG, arn=arn)
    place, owner, short = match.groups()
    if place != partition(account.aws.region):
        what = f"{arn} is of {place}, and {account.aws.region} is in {partition(account.aws.region)}"
        return failed(name, what, "name a role of the same partition", EXIT_CONFIG, arn=arn)
    if owner != caller.account:
        what = f"{arn} is of account {owner}, the credentials are of {caller.account}: SageMaker takes roles of one's own only"
        return failed(name, what, f"name a role of account {caller.account}, or use credentials of {owner}", EXIT_CONFIG, arn=arn)
    try:
        with translated("look at the role", arn):
            found = account.client("iam").get_role(RoleName=short)["Role"]
    except AwsRefused as error:
        if error.code in _MISSING:
            help_ = "aws iam list-roles, to see which there are; or make one: https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html"
            return failed(name, f"{arn} does not exist", help_, EXIT_CONFIG, arn=arn)
        if error.code in _DENIED:
            return unchecked(name, f"{arn}: these credentials may not look at it (iam:GetRole)", error.remedy or "", arn=arn)
        return of_error(name, error, arn=arn)
    except HvdsmError as error:
        return unchecked(name, f"{arn}: {error.what}", error.remedy or "", arn=arn)
    invented = any(tag.get("Key") == INVENTED for tag in found.get("Tags") or ())
    if str(found.get("Arn", arn)) != arn and not invented:
        return failed(name, f"{arn} does not exist; {found['Arn']} does", f"--role {found['Arn']}", EXIT_CONFIG, arn=arn)
    return judge_trust(arn, found.get("AssumeRolePolicyDocument"), caller.account)


def judge_trust(arn: str, policy: Any, account: str) -> Check:
    """Whether the role's trust policy admits SageMaker."""
    try:
        document: Dict[str, Any] = json.loads(policy) if isinstance(policy, str) else dict(policy or {})
    except ValueError:
        return unchecked("role", f"{arn}: its trust policy cannot be read", arn=arn)
    answer, why = trusts(document, account)
    if answer:
        return good("role", f"{arn}, which SageMaker may take on", arn=arn, trusted=True)
    remedy = f"let its trust policy allow sts:AssumeRole to the service {SERVICE}"
    if answer is None:
        return warning("role", f"{arn}: whether SageMaker may take it on is not sure: {why}", remedy, arn=arn, trusted=None)
    return failed("role", f"{arn}: SageMaker may not take it on: {why}", remedy, EXIT_CONFIG, arn=arn, trusted=False)


@dataclass(frozen=True)
class Decision:
    """What IAM's simulation says of an action."""

    action: str
    allowed: bool
    explicit: bool = False


def permissions(account: Account, role_arn: Optional[str]) -> Check:
    """Whether the caller may launch jobs, by IAM's simulation of its policies."""
    caller = account.known()
    name = "permissions"
    if caller.arn.endswith(":root"):
        return good(name, "the root user may do everything")
    decisions: List[Decision] = []
    asked: List[Tuple[Tuple[str, ...], str]] = [(ACTIONS, "*")]
    if role_arn and ARN.fullmatch(role_arn):
        asked.append((("iam:PassRole",), role_arn))
    try:
        source = source_of(account, caller)
        for actions, resource in asked:
            decisions += simulate(account, source, actions, resource)
    except HvdsmError as error:
        return unchecked(name, f"IAM does not simulate them: {error.what}", "nothing is needed: a launch shows what is missing")
    return judge_permissions(caller.arn, decisions)


def judge_permissions(arn: str, decisions: Sequence[Decision]) -> Check:
    """What of the simulation matters; a warning at most, since it does not know the whole request."""
    told = {one.action: one.allowed for one in decisions}
    missing = [one for one in decisions if not one.allowed]
    if not missing:
        return good("permissions", f"by IAM's simulation {', '.join(told)} are allowed", **told)
    names = ", ".join(one.action + (" (denied explicitly)" if one.explicit else "") for one in missing)
    return warning("permissions", f"by IAM's simulation {arn} lacks {names}", f"allow {names} in its policies", **told)


def source_of(account: Account, caller: Caller) -> str:
    """Whose policies are simulated: of a session those of its role, whose path only IAM knows.

    Raises:
        HvdsmError: IAM does not tell.
    """
    _, _, rest = caller.arn.partition(":assumed-role/")
    if not rest:
        return caller.arn
    short = rest.partition("/")[0]
    with translated("look at the caller's role", short):
        return str(account.client("iam").get_role(RoleName=short)["Role"]["Arn"])


def simulate(account: Account, source: str, actions: Tuple[str, ...], resource: str) -> List[Decision]:
    """What IAM says of actions on a resource.

    Raises:
        HvdsmError: it does not.
    """
    context = [{"ContextKeyName": "iam:PassedToService", "ContextKeyValues": [SERVICE], "ContextKeyType": "string"}]
    with translated("simulate policies", source):
        answer = account.client("iam").simulate_principal_policy(
            PolicySourceArn=source, ActionNames=list(actions), ResourceArns=[resource], ContextEntries=context
        )
    return [
        Decision(str(one["EvalActionName"]), one["EvalDecision"] == "allowed", one["EvalDecision"] == "explicitDeny")
        for one in answer.get("EvaluationResults") or ()
    ]
