"""``hvdsm vpc status`` and ``hvdsm vpc outputs``."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional

import click

from hvdsm.cli.vpc_common import print_json, print_lines, print_table, say, stack_flags, told_as_json
from hvdsm.errors import ConfigError, UsageError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@stack_flags
def status(name: str, region: Optional[str], aws_profile: Optional[str], as_json: bool) -> int:
    """Show the stack NAME: state, parameters, resources, its last operation, and why that failed if it did."""
    with told_as_json(as_json):
        from hvdsm.aws.session import connect
        from hvdsm.vpc.stacks.stack_report import HEADS, report

        found = report(connect(region, aws_profile), name, say)
    if as_json:
        print_json(found.as_json())
        return 0
    print_lines(found.lines())
    if found.resources:
        print_table(HEADS, found.cells(), colour=3)
    if found.stack.outputs:
        say(f"hvdsm vpc outputs {found.stack.name} prints its {len(found.stack.outputs)} outputs")
    return 0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@stack_flags
@click.option("--vpc-config", is_flag=True, help="Print the VpcConfig of a request for a job, as JSON: one subnet.")
@click.option("--zone", metavar="ZONE", help="With --vpc-config: take the subnet in this zone (name or id).")
@click.option("--encrypt-traffic", is_flag=True, help="With --vpc-config: take the group for encrypted traffic.")
@click.option("--shell", is_flag=True, help="Print lines for a shell: export VPC_ID=vpc-…")
def outputs(
    name: str,
    region: Optional[str],
    aws_profile: Optional[str],
    as_json: bool,
    vpc_config: bool,
    zone: Optional[str],
    encrypt_traffic: bool,
    shell: bool,
) -> int:
    """Print the outputs of the stack NAME, or a job's VpcConfig made of them.

    \b
    Examples:
      hvdsm vpc outputs --vpc-config --zone us-east-1b
      eval "$(hvdsm vpc outputs --shell)"
    """  # noqa: D301
    with told_as_json(as_json):
        from hvdsm.aws import stacks
        from hvdsm.aws.session import connect
        from hvdsm.vpc.stacks.stack_report import exports

        if (zone or encrypt_traffic) and not vpc_config:
            raise UsageError("means something with --vpc-config only", where="--zone" if zone else "--encrypt-traffic")
        if shell and (vpc_config or as_json):
            raise UsageError("prints lines for a shell, not JSON", where="--shell", remedy="leave the other one out")
        aws = connect(region, aws_profile)
        found = stacks.outputs(aws, name)
        config = _config(aws, found, name, zone, encrypt_traffic) if vpc_config else None
    if config is not None:
        click.echo(json.dumps(config))
    elif as_json:
        print_json(found)
    elif shell:
        print_lines(exports(found))
    else:
        print_table(("OUTPUT", "VALUE"), [[key, value] for key, value in sorted(found.items())])
    return 0


def _config(aws: Any, found: Dict[str, str], name: str, zone: Optional[str], encrypted: bool) -> Dict[str, List[str]]:
    """The VpcConfig with one subnet: the first, or that of a zone."""
    from hvdsm.aws import stacks
    from hvdsm.aws.failures import translated

    config = stacks.vpc_config(found, name, encrypted=encrypted)
    if zone is None:
        return {**config, "Subnets": config["Subnets"][:1]}
    ids = stacks.all_subnets(found, name)
    with translated("read the zones of the subnets", f"stack {name} in {aws.region}"):
        described = aws.client("ec2").describe_subnets(SubnetIds=ids)["Subnets"]
    zones = {
        entry["SubnetId"]: (str(entry["AvailabilityZone"]), str(entry.get("AvailabilityZoneId") or "")) for entry in described
    }
    for subnet in ids:
        if zone in zones.get(subnet, ()):
            return {**config, "Subnets": [subnet]}
    has = ", ".join(sorted(f"{first} ({second})" if second else first for first, second in zones.values()))
    raise ConfigError(
        f"has no subnet in {zone}; its zones: {has}",
        where=f"stack {name}",
        remedy=f"hvdsm vpc deploy {name} --zones N makes more",
    )
