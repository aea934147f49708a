"""Addresses of Amazon ECR's registries, and what its repositories may be called.

Source: Amazon ECR User Guide, Private registries, and the API Reference, CreateRepository.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional, Tuple

from hvdsm.container.signed import domain_suffix
from hvdsm.errors import UsageError

# Of the Deep Learning Containers in most regions.
FRAMEWORKS = "763104351884"
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}")
_REPOSITORY = re.compile(r"(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*")
_HOST = re.compile(
    r"(?P<account>\d{12})\.dkr(?:\.ecr|-ecr)(?:-fips)?\.(?P<region>[a-z]{2,4}(?:-[a-z]+)+-\d{1,2})\."
    r"(?:amazonaws\.com(?:\.cn)?|sc2s\.sgov\.gov|c2s\.ic\.gov|on\.aws)"
)


@dataclass(frozen=True)
class Registry:
    """A private registry.

    Attributes:
        host: as it stands before the first slash of an image's name.
        account: whose it is.
        region: where it is.
    """

    host: str
    account: str
    region: str


def registry(account: str, region: str, options: Tuple[str, str] = ("--account", "--region")) -> Registry:
    """The registry of an account in a region.

    >>> registry("123456789012", "cn-north-1").host
    '123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn'

    Args:
        account: 12 digits.
        region: AWS region.
        options: what they are given by, for the message.

    Raises:
        UsageError: there can be no such account or region.
    """
    check_account(account, options[0])
    check_region(region, options[1])
    return Registry(f"{account}.dkr.ecr.{region}.{domain_suffix(region)}", account, region)


def check_account(account: str, where: str = "--account") -> str:
    """An account, if it can be one.

    Raises:
        UsageError: it cannot.
    """
    if not re.fullmatch(r"[0-9]{12}", account):
        raise UsageError(f"{account!r} is no AWS account: 12 digits", where=where, remedy="aws sts get-caller-identity")
    return account


def check_region(region: str, where: str = "--region") -> str:
    """A region, if it can be one.

    Raises:
        UsageError: it cannot.
    """
    if not _REGION.fullmatch(region):
        raise UsageError(f"{region!r} is no name of an AWS region", where=where, remedy=f"{where} us-east-1")
    return region


def registry_of(host: str) -> Optional[Registry]:
    """The registry that a host is; None for one that is none of ECR's."""
    found = _HOST.fullmatch(host)
    return Registry(host, found["account"], found["region"]) if found else None


def check_repository(name: str) -> str:
    """The name of a repository, if ECR allows it.

    Raises:
        UsageError: it does not.
    """
    if not 2 <= len(name) <= 256 or not _REPOSITORY.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name that a repository in ECR can have",
            where="the image's name",
            remedy="2 to 256 lower-case letters and digits, with single . _ - and / between them: team/training",
        )
    return name
