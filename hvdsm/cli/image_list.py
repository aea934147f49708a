"""``hvdsm image uri`` and ``hvdsm image list``."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

import click

from hvdsm.cli.image_common import connecting, image_flags, print_json, say, shown_engine, told
from hvdsm.cli.vpc_common import print_table


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name", metavar="[NAME[:TAG]]", required=False)
@image_flags("tag", "device", "region", "account", "aws_profile")
@click.option("--check", is_flag=True, help="Ask ECR whether it is there; exit code 78 if not.")
@image_flags("json")
def uri(
    name: Optional[str],
    tag: Optional[str],
    device: str,
    region: Optional[str],
    account: Optional[str],
    aws_profile: Optional[str],
    check: bool,
    as_json: bool,
) -> int:
    """Print the address of the image NAME, graphstorm by default, in Amazon ECR: what a job's --image wants.

    Exit codes: 0; 2 usage; 69 no account is known, or AWS cannot be had; 78 no region is known, or the image is not there.

    \b
    Examples:
      hvdsm image uri training --tag 1
      hvdsm image uri graphstorm --device cpu --account 888888888888 --region us-east-1
    """  # noqa: D301
    with told(as_json):
        from hvdsm.errors import ConfigError
        from hvdsm.images.names import image_name
        from hvdsm.images.pushing import where_to

        session = connecting(aws_profile)
        target, registry = where_to(image_name(name, tag, device, where="NAME"), region, account, session)
        found: Dict[str, Any] = {
            "uri": str(target),
            "account": registry.account,
            "region": registry.region,
            "repository": target.repository,
            "tag": target.tag or None,
        }
        if check:
            from hvdsm.aws.registry import find_image

            remote = find_image(session(registry.region), registry, target.repository, target.tag or target.digest)
            if remote is None:
                raise ConfigError("there is no such image", where=str(target), remedy=f"hvdsm image push {target}")
            found.update(digest=remote.digest, bytes=remote.size, for_sagemaker=remote.for_sagemaker)
    if as_json:
        print_json(found)
    else:
        click.echo(found["uri"])
    return 0


@click.command(name="list", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name", metavar="[NAME[:TAG]]", required=False)
@click.option("--all", "every", is_flag=True, help="Images of this machine that hvdsm did not build, too.")
@click.option("--remote", is_flag=True, help="Those in Amazon ECR, too: of NAME, or of every repository.")
@image_flags("engine", "region", "account", "aws_profile", "json")
def list_images(
    name: Optional[str],
    every: bool,
    remote: bool,
    engine: Optional[str],
    region: Optional[str],
    account: Optional[str],
    aws_profile: Optional[str],
    as_json: bool,
) -> int:
    """List the images that hvdsm built on this machine, and with --remote those in Amazon ECR.

    \b
    Examples:
      hvdsm image list
      hvdsm image list graphstorm --remote
    """  # noqa: D301
    with told(as_json):
        from hvdsm.images.names import parse_name

        wanted = parse_name(name, "NAME") if name is not None else None
        rows = _local(wanted, every, engine, remote)
        if remote:
            rows += _remote(wanted, region, account, connecting(aws_profile))
    if as_json:
        print_json({"images": rows})
        return 0
    from hvdsm.images.listing import told_bytes

    if not rows:
        named = f" called {name}" if name else ""
        others = "" if every or remote else "; --all lists those that hvdsm did not build, --remote those in ECR"
        say(f"there are no images{named}{others}")
        return 0
    cells = [[row["where"], row["image"], row["id"][:19], told_bytes(row["bytes"]), row["created"]] for row in rows]
    print_table(("WHERE", "IMAGE", "ID", "SIZE", "CREATED"), cells)
    return 0


def _local(wanted: Any, every: bool, engine: Optional[str], remote: bool) -> List[Dict[str, Any]]:
    from hvdsm.errors import BackendUnavailable
    from hvdsm.images.commands import list_command
    from hvdsm.images.listing import chosen, read_list
    from hvdsm.images.running import check, run

    try:
        name = shown_engine(engine, False)
    except BackendUnavailable as error:
        if not remote or engine:
            raise
        say(f"no images of this machine: {error.what}")
        return []
    command = list_command(name, every=every)
    done = check(run(command, os.environ, apart=True), command, "list images", f"{name} images")
    return [image.as_json() for image in chosen(read_list(name, done.text), wanted)]


def _remote(wanted: Any, region: Optional[str], account: Optional[str], session: Any) -> List[Dict[str, Any]]:
    from hvdsm.aws import registry as ecr
    from hvdsm.aws.registry_names import registry
    from hvdsm.images.pushing import where_to

    if wanted is not None:
        target, place = where_to(wanted, region, account, session)
        aws = session(place.region)
        found = [(f"{place.host}/{target.repository}", target.repository)]
    else:
        aws = session(region)
        place = registry(ecr.owner(aws, account), aws.region)
        found = [(entry.uri, entry.name) for entry in ecr.repositories(aws, place)]
    rows: List[Dict[str, Any]] = []
    for address, name in found:
        for image in ecr.images(aws, place, name):
            if wanted is not None and wanted.tag and wanted.tag not in image.tags:
                continue
            for tag in image.tags or ("",):
                rows.append(
                    {
                        "where": "ecr",
                        "image": f"{address}:{tag}" if tag else f"{address}@{image.digest}",
                        "id": image.digest,
                        "bytes": image.size,
                        "created": image.pushed.isoformat() if image.pushed else "",
                    }
                )
    return rows
