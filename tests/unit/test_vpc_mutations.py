"""Every mutant of the template is noticed by the policy, or by cfn-lint, or is listed here as harmless with the reason.

All of them take minutes; `make test-template` tries all, and a share of them is tried with the unit tests.
"""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

import pytest
from vpc_mutants import mutants

from hvdsm.vpc.templates.reading import load
from hvdsm.vpc.templates.template import every_finding, text

ALL = bool(os.environ.get("HVDSM_ALL_MUTANTS"))
# Of how many mutants one is tried, where not all are.
SHARE = 16
TEMPLATE = load(text())

# What a change does not harm, by the mutant's name: the reason.
HARMLESS: Dict[str, str] = {
    r"^(?!delete).*Description|^delete (?!.*GroupDescription).*Description": "texts for people",
    r"^(?!delete).*(/Sid|/PolicyName)|^delete .*/Sid": "names of statements and policies, which nothing refers to",
    r"FlowLogGroup/Properties/Tags|Resources/\w+/Metadata|Tags/0/Value": "what linters are told, and the text of a name",
    r"^add an ACL for TCP only$": "ACLs say nothing about traffic within a subnet, which EFA's is",
    r"^reverse (?!.*(Fn::(If|Select|Split|Sub|Join)$))": "neither operands nor actions, subnets or choices have an order",
    r"^repeat an item of .*(Statement|Action|Policies|AllowedValues|Assertions|Fn::Or|Fn::And|/Resource)$": "says the same twice",
    r"^repeat an item of .*(SecurityGroupIds|RouteTableIds)$": "the same id twice, which EC2 takes for one",
    r"^delete Parameters/FlowLogRetentionDays/AllowedValues/": "one choice less",
    r"^(delete|rename to \w+x) .*/(EnableDnsSupport|MapPublicIpOnLaunch|LogDestinationType|VpcEndpointType)$": "is the default",
    r"^(delete|rename to \w+x) .*/(DeletionPolicy|UpdateReplacePolicy)$": "is the default",
    r"^shorten .*/AllowedPattern$": "a pattern is held against the whole value, with or without the sign for its end",
    r"^make \* .*/Statement/0/Resource": "the condition limits it to the buckets of the account all the same",
    r"^make (1|6|tcp) .*/EndpointSecurityGroup/.*/SecurityGroupEgress/0/IpProtocol": "still nothing but the instance itself",
    r"^rename to (StringLike|s3:ResourceAccount) ": "means the same for an account's number",
    r"^misspell Conditions/HasReadOnlyBuckets/.*Fn::Join/0$": "what is between the names, where only emptiness is asked for",
    r"^rename to \w+x Resources/[A-Za-z0-9]+$": "a name that nothing refers to",
    r"^(ask NamesZone|refer to AvailabilityZone\d at (Conditions/NamesZone|Rules/))": "zones are all named, or none: any tells",
    r"^repeat an item of .*Fn::Split/1/Fn::Sub$": "a third word, which is not looked at",
}


# Reasons with a mutant that the policy says nothing about: those that this process has met.
SHOWN: Set[str] = set()


def harmless(name: str) -> Optional[str]:
    return next((pattern for pattern in HARMLESS if re.search(pattern, name)), None)


def chosen(part: int, parts: int) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """A share of the mutants: the same at each run."""
    for number, (name, mutant) in enumerate(mutants(TEMPLATE)):
        if number % parts == part:
            yield name, mutant()


def looked_over(part: int, parts: int) -> List[Tuple[str, Optional[str]]]:
    """Of a share, the mutants that nothing notices, each with the reason why it is harmless, if there is one.

    Those that the policy says nothing about cost most, since every form is tried: of those with the same reason one is enough,
    which shows that the reason is not idle.
    """
    left: List[Tuple[str, Optional[str]]] = []
    for name, mutant in chosen(part, parts):
        reason = harmless(name)
        if reason in SHOWN or next(every_finding(mutant), None) is not None:
            continue
        if reason is not None:
            SHOWN.add(reason)
        if reason is not None or not lint(mutant):
            left.append((name, reason))
    return left


def lint(mutant: Dict[str, Any]) -> List[str]:
    """What cfn-lint says."""
    api = pytest.importorskip("cfnlint.api")
    config = pytest.importorskip("cfnlint.config")
    rules = {"E3012": {"strict": True}}
    made = config.ManualArgs(regions=["us-east-1"], include_checks=["I"], configure_rules=rules)
    return [f"{match.rule.id} {match.message}" for match in api.lint(json.dumps(mutant), config=made)]


# All of them take a minute and a half on two idle cores.
@pytest.mark.timeout(1200)
def test_each_mutant_is_noticed_or_harmless() -> None:
    if not ALL:
        found = [(name, mutant) for name, mutant in chosen(3, SHARE) if harmless(name) is None]
        left = [name for name, mutant in found if next(every_finding(mutant), None) is None and not lint(mutant)]
        assert left == []
        return
    with ProcessPoolExecutor() as pool:
        looked = [entry for part in pool.map(looked_over, range(64), [64] * 64) for entry in part]
    assert [name for name, reason in looked if reason is None] == []
    # None of the reasons is idle.
    used = {reason for _, reason in looked}
    assert [pattern for pattern in HARMLESS if pattern not in used] == []


def test_cfn_lint_is_asked_for_what_it_is_asked_for() -> None:
    assert lint(TEMPLATE) == []
    wrong = json.loads(json.dumps(TEMPLATE))
    wrong["Resources"]["Vpc"]["Properties"]["EnableDnsSupport"] = "true"
    assert any(line.startswith("E3012") for line in lint(wrong))
