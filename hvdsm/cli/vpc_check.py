"""``hvdsm vpc check``."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import click

from hvdsm.cli.jobs_common import errors_as_json, print_json, say, shown
from hvdsm.errors import EXIT_CONFIG, ConfigError, UsageError

# Seconds after which it is said that something goes on.
_PATIENCE = 2.0
_BY_REQUEST = (
    "instance_type",
    "instance_count",
    "encrypt_traffic",
    "network_isolation",
    "s3_prefix",
    "subnets",
    "security_groups",
)


@click.command()
@click.option("--vpc-stack", metavar="NAME", help="CloudFormation stack whose outputs name subnets and security group.")
@click.option("--vpc-id", metavar="ID", help="A VPC, whoever made it; the subnet and group that do best are found.")
@click.option("--subnet", "subnets", multiple=True, metavar="ID", help="Subnet as the job would have it.  Repeatable.")
@click.option("--security-group", "security_groups", multiple=True, metavar="ID", help="Security group.  Repeatable.")
@click.option("--request", "request_file", metavar="FILE", help="CreateTrainingJob request (JSON) with a VpcConfig.")
@click.option("--template", "template_file", metavar="FILE", help="Check a CloudFormation template, without AWS.")
@click.option("--instance-type", metavar="TYPE", help="Type of the hosts, such as ml.p4d.24xlarge.")
@click.option("--instance-count", type=click.IntRange(1), default=2, show_default=True, metavar="N", help="Hosts.")
@click.option("--encrypt-traffic/--no-encrypt-traffic", help="Traffic between hosts is encrypted.")
@click.option("--network-isolation/--no-network-isolation", help="Containers reach nothing outside.")
@click.option("--s3-prefix", metavar="URI", help="s3://BUCKET/PREFIX that the job writes to.  [default: the account's bucket]")
@click.option("--region", metavar="REGION", help="AWS region.")
@click.option("--aws-profile", metavar="NAME", help="Profile of the AWS configuration.")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check(ctx: click.Context, /, as_json: bool, strict: bool, **given: Any) -> int:
    """Check a network for distributed training, whoever made it; or a template.

    Subnets, security groups, routes, endpoints, DNS and addresses are read and judged for a job; nothing is changed.  Each
    finding has its remedy.  What the credentials may not read is said to be unchecked.

    \b
    Exit codes: 0 a job can run, 69 AWS cannot be reached, 78 it cannot (with --strict: nor where there is a warning).

    \b
    Examples:
      hvdsm vpc check --vpc-stack hvdsm-training --instance-type ml.p4d.24xlarge --instance-count 8
      hvdsm vpc check --vpc-id vpc-0123 --instance-type ml.c5.xlarge
      hvdsm vpc check --template network.yaml
    """  # noqa: D301
    _give_way(ctx, given)
    with errors_as_json(as_json):
        _refuse_empty(given)
        if given["template_file"] is not None:
            return _template(ctx, given, as_json=as_json, strict=strict)
        return _network(ctx, given, as_json=as_json, strict=strict)


def _refuse_empty(given: Dict[str, Any]) -> None:
    """A name that is empty, as of a variable of a shell that is not set, must not count as none."""
    for name in ("vpc_stack", "vpc_id", "request_file", "template_file", "subnets", "security_groups", "instance_type"):
        value = given[name]
        named = value if isinstance(value, (tuple, list)) else () if value is None else (value,)
        if any(not one.strip() for one in named):
            raise UsageError("is empty", where=_flag(name), remedy="give an id or a name, or leave it out")


def _give_way(ctx: click.Context, given: Dict[str, Any]) -> None:
    """Defaults of a configuration that name a network give way to flags that name another one."""
    by_ids = ("vpc_id", "subnets", "security_groups")
    ways = (("vpc_stack",), ("request_file",), ("template_file",), by_ids)
    sources = click.core.ParameterSource
    meant = [way for way in ways if any(ctx.get_parameter_source(name) == sources.COMMANDLINE for name in way)]
    for way in ways:
        for name in way if meant and way not in meant else ():
            if ctx.get_parameter_source(name) == sources.DEFAULT_MAP:
                given[name] = () if name in ("subnets", "security_groups") else None


def _template(ctx: click.Context, given: Dict[str, Any], *, as_json: bool, strict: bool) -> int:
    from hvdsm.vpc.checking.reporting import finding_as_json
    from hvdsm.vpc.templates.template import check_template

    for name in ("vpc_stack", "vpc_id", "subnets", "security_groups", "request_file"):
        if given[name]:
            raise UsageError("a template is checked without AWS", where=_flag(name), remedy="leave one of them out")
    for name in ("encrypt_traffic", "network_isolation", "s3_prefix"):
        if ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
            what = "says nothing of a template: it is checked for every job"
            raise UsageError(what, where=_flag(name), remedy="leave it out, or check a network by --vpc-stack or --vpc-id")
    hosts, wrong = _hosts(given["instance_type"], given["instance_count"])
    path = given["template_file"]
    try:
        with click.open_file(path, encoding="utf-8-sig") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise ConfigError(f"is no text in UTF-8: {error.reason}", where=path, remedy="save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(error.strerror or str(error), where=path, remedy="check the path") from None
    with _spoken("trying every form of the template"):
        findings = [*wrong, *check_template(text, hosts=hosts)]
    failed = _failed(findings, strict)
    if as_json:
        print_json({"ok": not failed, "template": path, "findings": [finding_as_json(finding) for finding in findings]})
    else:
        _show(findings)
        say(f"{path}: {'nothing is missing or wrong in any form that it can take' if not findings else _counted(findings)}")
    return EXIT_CONFIG if failed else 0


def _hosts(kind: Optional[str], count: int) -> Tuple[Any, List[Any]]:
    """The hosts that each subnet of a template has to hold, and what is wrong with their type."""
    from hvdsm.vpc.checking.check_subnets import types
    from hvdsm.vpc.checking.facts import Network
    from hvdsm.vpc.checking.wanted import Job, per_instance
    from hvdsm.vpc.templates.room import Hosts

    nowhere = Network("")
    return Hosts(count, per_instance(nowhere, kind)), list(types(nowhere, Job(((kind, count),))))


def _network(ctx: click.Context, given: Dict[str, Any], *, as_json: bool, strict: bool) -> int:
    from hvdsm.aws.session import connect
    from hvdsm.vpc.checking.reporting import as_json as survey_as_json
    from hvdsm.vpc.checking.reporting import summary
    from hvdsm.vpc.checking.surveying import survey

    job = _job(ctx, given)
    aws = connect(given["region"], given["aws_profile"])
    with _spoken("reading the network"):
        found = survey(aws, job, stack=given["vpc_stack"], vpc_id=given["vpc_id"])
    findings = found.report.findings
    failed = not found.report.ok or _failed(findings, strict)
    if as_json:
        print_json(survey_as_json(found, ok=not failed))
        return EXIT_CONFIG if failed else 0
    _show(findings)
    for line in summary(found):
        say(line)
    return EXIT_CONFIG if failed else 0


def _job(ctx: click.Context, given: Dict[str, Any]) -> Any:
    """What the options say of a job, or its request."""
    from hvdsm.vpc.checking.wanted import Job, job_of, places_of

    places = [name for name in ("vpc_stack", "vpc_id", "request_file") if given[name]]
    if given["vpc_stack"] and (given["subnets"] or given["security_groups"]):
        raise UsageError("the stack names them itself", where="--subnet, --security-group", remedy="leave out --vpc-stack")
    if len(places) > 1:
        raise UsageError("name one network", where=", ".join(map(_flag, places)), remedy=f"leave out {_flag(places[1])}")
    if not places and not given["subnets"] and not given["security_groups"]:
        remedy = "--vpc-stack NAME, --vpc-id ID, --subnet ID, --request FILE, or --template FILE"
        raise UsageError("nothing says what is to be checked", remedy=remedy)
    if given["request_file"]:
        from hvdsm.cli.launch import read_request

        for name in _BY_REQUEST:
            if ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
                remedy = f"change it in {given['request_file']}"
                raise UsageError("is said by the request itself", where=_flag(name), remedy=remedy)
        request = read_request(given["request_file"])
        if not request.get("VpcConfig"):
            what = "has no VpcConfig: its job runs in a network of SageMaker's own"
            raise ConfigError(what, where=given["request_file"], remedy="hvdsm vpc outputs NAME --vpc-config prints one")
        return job_of(request)
    prefix = given["s3_prefix"]
    if prefix is not None and not places_of([prefix]):
        raise UsageError(f"is {prefix!r}", where="--s3-prefix", remedy="write it as s3://BUCKET/PREFIX")
    return Job(
        ((given["instance_type"], given["instance_count"]),),
        given["encrypt_traffic"],
        given["network_isolation"],
        tuple(dict.fromkeys(given["subnets"])),
        tuple(dict.fromkeys(given["security_groups"])),
        places_of([prefix]),
    )


def _flag(name: str) -> str:
    """The option of an argument."""
    special = {
        "subnets": "--subnet",
        "security_groups": "--security-group",
        "request_file": "--request",
        "template_file": "--template",
    }
    return special.get(name, f"--{name.replace('_', '-')}")


def _failed(findings: Sequence[Any], strict: bool) -> bool:
    return any(finding.level == "error" or (strict and finding.level == "warning") for finding in findings)


def _counted(findings: Sequence[Any]) -> str:
    from hvdsm.vpc.checking.checks import LEVELS

    counts = [sum(finding.level == level for finding in findings) for level in LEVELS]
    return ", ".join(f"{count} {level}{'' if count == 1 else 's'}" for count, level in zip(counts, LEVELS))


def _show(findings: Sequence[Any]) -> None:
    from hvdsm.vpc.checking.reporting import drawn, plain

    if not findings:
        return
    if sys.stdout.isatty():
        click.echo(drawn(findings), nl=False)
    else:
        shown(plain(findings))


@contextmanager
def _spoken(text: str) -> Iterator[None]:
    """Say what goes on when it takes its time; an interrupt leaves everything as it was."""
    timer = threading.Timer(_PATIENCE, say, (f"{text} …",))
    timer.daemon = True
    timer.start()
    try:
        yield
    except KeyboardInterrupt:
        say("nothing was changed")
        raise
    finally:
        timer.cancel()
