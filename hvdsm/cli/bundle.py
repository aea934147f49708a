"""``hvdsm bundle``."""

from __future__ import annotations

import click

from hvdsm.bundle import write


@click.command()
@click.option(
    "-o", "--output", default="hvdsm.pyz", show_default=True, metavar="FILE", help="Where the file goes; replaced if it is there."
)
def command(output: str) -> int:
    """Make the container program as one file, for an image that does not have hvdsm.

    The file needs Python 3.8 or later and nothing else.  Give it to a training job as an input channel and start it by
    ContainerEntrypoint: ["python3", "/opt/ml/input/data/CHANNEL/hvdsm.pyz"].  The same version makes the same bytes.

    \b
    Example:
      hvdsm bundle -o hvdsm.pyz
    """  # noqa: D301
    bundle = write(output)
    click.echo(f"{bundle.path}: {bundle.size} bytes, sha256 {bundle.sha256}")
    return 0
