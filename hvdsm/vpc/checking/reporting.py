"""Findings in words: a table for terminals, plain lines elsewhere, JSON for machines."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from hvdsm.vpc.checking.checks import LEVELS
from hvdsm.vpc.checking.facts import Network, label
from hvdsm.vpc.checking.surveying import Survey
from hvdsm.vpc.checking.wanted import per_instance
from hvdsm.vpc.templates.groups import Finding

_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


def plain(findings: Sequence[Finding]) -> List[str]:
    """Two lines for each finding: what is wrong, and what to do."""
    lines = []
    for finding in findings:
        where = f"{finding.resource}: " if finding.resource else ""
        lines.append(f"{finding.level}: {finding.rule}: {where}{finding.what}")
        lines += [f"  try: {finding.remedy}"] if finding.remedy else []
    return lines


def drawn(findings: Sequence[Finding]) -> str:
    """A table for a terminal, then the remedies, each in one line so that it can be copied."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for head in ("", "LEVEL", "RULE", "WHERE", "WHAT"):
        table.add_column(head, overflow="fold", no_wrap=head in ("", "LEVEL", "RULE"))
    for number, finding in enumerate(findings, 1):
        level = Text(finding.level, style=_COLOURS.get(finding.level, ""))
        table.add_row(str(number), level, finding.rule, Text(finding.resource), Text(finding.what))
    text = StringIO()
    console = Console(file=text, force_terminal=True, width=Console().width)
    console.print(table)
    remedies = [f"{number}. {finding.remedy}" for number, finding in enumerate(findings, 1) if finding.remedy]
    return text.getvalue() + ("\nWhat to do:\n" + "\n".join(remedies) + "\n" if remedies else "")


def summary(survey: Survey) -> List[str]:
    """What was checked, what the job would use, and how it came out."""
    network, report = survey.network, survey.report
    job = report.job
    place = label(network.vpc) if network.vpc is not None else "the network"
    counts = [f"{len(report.of(level))} {level}{'' if len(report.of(level)) == 1 else 's'}" for level in LEVELS]
    lines = [f"{place} in {network.region}: {len(report.checked)} checks, {', '.join(counts)}"]
    lines += [f"taken: {text}" for text in survey.decided]
    kinds = ", ".join(f"{count} x {kind or 'an instance type that is not named'}" for kind, count in job.instances)
    for name in job.subnets:
        subnet = network.subnet(name)
        if subnet is not None:
            each = "/".join(str(per_instance(network, kind)) for kind, _ in job.instances)
            told = f"{job.addresses(network)} addresses, {each} each; {subnet.free} of {subnet.size} are free"
            lines.append(f"a job of {kinds} would use {label(subnet)} in {subnet.zone}{_zone_id(subnet.zone_id)}: {told}")
    if job.groups:
        found = [network.group(name) for name in job.groups]
        lines.append(f"security groups: {', '.join(label(one) if one else name for one, name in zip(found, job.groups))}")
    if report.unread:
        lines.append(f"whether a job can run is not known: {', '.join(report.unread)} may not be called")
    else:
        lines.append(f"a job can run{_unchecked_dns(network)}" if report.ok else "no job can run as it is")
    return lines


def _unchecked_dns(network: Network) -> str:
    """What is to be said where nobody knows whether names are resolved: without them a job does not find S3."""
    refused = [operation for operation in ("DescribeVpcs", "DescribeVpcAttribute") if not network.was_read(operation)]
    return f" if its names are resolved: DNS was not checked, as {' and '.join(refused)} may not be called" if refused else ""


def _zone_id(name: str) -> str:
    return f" ({name})" if name else ""


def finding_as_json(finding: Finding) -> Dict[str, str]:
    """A finding as JSON."""
    return {
        "level": finding.level,
        "rule": finding.rule,
        "where": finding.resource,
        "what": finding.what,
        "remedy": finding.remedy,
    }


def as_json(survey: Survey, *, ok: bool) -> Dict[str, Any]:
    """A survey as JSON."""
    network, report = survey.network, survey.report
    job = report.job
    subnets = [found for name in job.subnets for found in [network.subnet(name)] if found is not None]
    return {
        "ok": ok,
        "region": network.region,
        "vpc": network.vpc.id if network.vpc is not None else None,
        "subnets": [
            {"id": one.id, "zone": one.zone, "zone_id": one.zone_id, "free_addresses": one.free, "addresses": one.size}
            for one in subnets
        ],
        "security_groups": list(job.groups),
        "instances": [{"type": kind, "count": count} for kind, count in job.instances],
        "addresses_needed": job.addresses(network),
        "efa": job.efa(network),
        "decided": list(survey.decided),
        "checked": list(report.checked),
        "not_checked": [{"operation": entry.operation, "permission": entry.permission} for entry in network.unread],
        "findings": [finding_as_json(finding) for finding in report.findings],
    }
