"""What an endpoint's policy lets through: yes, no, or not to be told."""

from __future__ import annotations

from typing import Any, Mapping

import pytest

from hvdsm.vpc.checking.permits import MAYBE, NO, YES, Asked, verdict

ME = "123456789012"
ASKED = Asked("s3:GetObject", "arn:aws:s3:::mine/key", ME, ME, "vpc-1", "vpce-1", "us-east-1")
ALLOW = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, YES),
        ({"Action": "S3:getobject"}, YES),
        ({"Action": ["s3:List*", "s3:Get?bject"]}, YES),
        ({"Action": "s3:Put*"}, NO),
        ({"Resource": "arn:aws:s3:::mine/*"}, YES),
        ({"Resource": "arn:aws:s3:::MINE/*"}, NO),
        ({"Resource": "arn:aws:s3:::[m]ine/*"}, NO),
        ({"Principal": {"AWS": "*"}}, YES),
        ({"Principal": {"AWS": ME}}, YES),
        ({"Principal": {"AWS": [f"arn:aws:iam::{ME}:root"]}}, YES),
        ({"Principal": {"AWS": f"arn:aws:iam::{ME}:role/other"}}, MAYBE),
        ({"Principal": {"AWS": "arn:aws:iam::999999999999:root"}}, NO),
        ({"Principal": {"Service": "ec2.amazonaws.com"}}, NO),
        ({"Condition": {"StringEquals": {"aws:ResourceAccount": ME}}}, YES),
        ({"Condition": {"StringEquals": {"s3:ResourceAccount": ["999999999999"]}}}, NO),
        ({"Condition": {"StringNotEquals": {"aws:ResourceAccount": ME}}}, NO),
        ({"Condition": {"StringLike": {"aws:PrincipalAccount": "1234*"}}}, YES),
        ({"Condition": {"StringEqualsIfExists": {"aws:SourceVpc": "vpc-1"}}}, YES),
        ({"Condition": {"ForAnyValue:StringEquals": {"aws:sourceVpce": ["vpce-2"]}}}, NO),
        ({"Condition": {"Bool": {"aws:SecureTransport": True}}}, YES),
        ({"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}, MAYBE),
        ({"Condition": {"IpAddress": {"aws:VpcSourceIp": "10.0.0.0/8"}}}, MAYBE),
        ({"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1", "aws:ResourceAccount": "9"}}}, NO),
    ],
)
def test_one_statement(changes: Mapping[str, Any], answer: str) -> None:
    assert verdict({"Statement": {**ALLOW, **changes}}, ASKED) == answer


@pytest.mark.parametrize(
    ("deny", "answer"),
    [
        ({"Principal": "*", "Action": "s3:*", "Resource": "*"}, NO),
        ({"Principal": "*", "Action": "s3:Delete*", "Resource": "*"}, YES),
        ({"Principal": "*", "NotAction": "s3:Get*", "Resource": "*"}, YES),
        ({"Principal": "*", "NotAction": "s3:Put*", "Resource": "*"}, NO),
        ({"Principal": "*", "Action": "*", "NotResource": "arn:aws:s3:::mine/*"}, YES),
        ({"NotPrincipal": {"AWS": ME}, "Action": "*", "Resource": "*"}, MAYBE),
        ({"Principal": "*", "Action": "*", "Resource": "*", "Condition": {"Null": {"aws:TokenIssueTime": "true"}}}, MAYBE),
        ({"Principal": "*", "Action": "*", "Resource": "*", "Condition": {"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}}, YES),
    ],
)
def test_what_is_denied_is_not_allowed(deny: Mapping[str, Any], answer: str) -> None:
    assert verdict({"Statement": [ALLOW, {"Effect": "Deny", **deny}]}, ASKED) == answer


@pytest.mark.parametrize(("document", "answer"), [(None, YES), ({}, NO), ({"Statement": []}, NO), ({"Statement": ["?"]}, NO)])
def test_no_statement(document: Any, answer: str) -> None:
    assert verdict(document, ASKED) == answer


def test_an_owner_that_is_not_known() -> None:
    statement = {**ALLOW, "Condition": {"StringEquals": {"aws:ResourceAccount": ME}}}
    assert verdict({"Statement": [statement]}, Asked("s3:GetObject", "arn:aws:s3:::theirs/key")) == MAYBE
