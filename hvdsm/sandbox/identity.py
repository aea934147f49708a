"""Who a client of the sandbox is, and what its roles may do: STS and IAM as far as the SageMaker SDKs ask them.

A client is what a SageMaker notebook is: a session of an execution role.  A role that a script names exists, since the account of
the sandbox is nobody's: it is made when it is first asked for.  Source: the AWS STS and IAM API references.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Callable, Dict, List, Optional
from urllib.parse import parse_qs, urlencode
from xml.sax.saxutils import escape

from hvdsm.aws.session import INVENTED
from hvdsm.sandbox.wire import Answer, Request

EXECUTION_ROLE = "AmazonSageMaker-ExecutionRole"
_SERVICE_PATH, _PREFIX = "/service-role/", "AmazonSageMaker-ExecutionRole"
# What moto says of access keys that it has not given itself.
_NOBODY = b":user/moto</Arn>"
_NOT_FOUND = 404
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": ["sagemaker.amazonaws.com", "bedrock.amazonaws.com"]},
            "Action": "sts:AssumeRole",
        }
    ],
}

Handle = Callable[[Request], Answer]


class Identity:
    """Answers some requests of STS and IAM.

    Args:
        handle: answers all others.
        account: the account's number.
    """

    def __init__(self, handle: Handle, account: str) -> None:
        self._handle = handle
        self._account = account

    def handle(self, request: Request) -> Optional[Answer]:
        """The answer, None where the request is none of these."""
        if (request.service, request.operation) == ("sts", "GetCallerIdentity"):
            return self._caller(request)
        if (request.service, request.operation) == ("iam", "GetRole"):
            return self._role(request)
        if (request.service, request.operation) == ("iam", "SimulatePrincipalPolicy"):
            return _allowed(request)
        return None

    def _caller(self, request: Request) -> Answer:
        answer = self._handle(request)
        if _NOBODY not in answer.body:
            return answer
        arn = f"arn:aws:sts::{self._account}:assumed-role/{EXECUTION_ROLE}/SageMaker"
        result = f"<Arn>{arn}</Arn><UserId>AROASANDBOX0000000000:SageMaker</UserId><Account>{self._account}</Account>"
        return _answer("GetCallerIdentity", result, "https://sts.amazonaws.com/doc/2011-06-15/")

    def _role(self, request: Request) -> Answer:
        answer = self._handle(request)
        name = _values(request).get("RoleName", [""])[0]
        if answer.status != _NOT_FOUND or not name:
            return answer
        made = {
            "Action": "CreateRole",
            "Version": "2010-05-08",
            "RoleName": name,
            "Path": _SERVICE_PATH if name.startswith(_PREFIX) else "/",
            "AssumeRolePolicyDocument": json.dumps(_TRUST),
            # GetRole has the name alone: whatever path its ARN is written with is right.
            "Tags.member.1.Key": INVENTED,
            "Tags.member.1.Value": "any path",
        }
        # Another request may have made it meanwhile: the answer to the second question counts.
        self._handle(replace(request, body=urlencode(made).encode()))
        return self._handle(request)


def _allowed(request: Request) -> Answer:
    """SimulatePrincipalPolicy: the sandbox asks nobody for permissions."""
    actions = [texts[0] for name, texts in sorted(_values(request).items()) if name.startswith("ActionNames.member.")]
    results = "".join(
        f"<member><EvalActionName>{escape(action)}</EvalActionName><EvalResourceName>*</EvalResourceName>"
        "<EvalDecision>allowed</EvalDecision></member>"
        for action in actions
    )
    result = f"<IsTruncated>false</IsTruncated><EvaluationResults>{results}</EvaluationResults>"
    return _answer("SimulatePrincipalPolicy", result, "https://iam.amazonaws.com/doc/2010-05-08/")


def _values(request: Request) -> Dict[str, List[str]]:
    return parse_qs(request.body.decode("utf-8", "replace"))


def _answer(operation: str, result: str, namespace: str) -> Answer:
    inner = f"<{operation}Result>{result}</{operation}Result><ResponseMetadata><RequestId>sandbox</RequestId></ResponseMetadata>"
    text = f'<{operation}Response xmlns="{namespace}">{inner}</{operation}Response>'
    return Answer(200, [("Content-Type", "text/xml")], text.encode())
