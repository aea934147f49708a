"""``hvdsm image``: images for jobs, built and pushed; each command's module is imported when it is called."""

from __future__ import annotations

import click

from hvdsm.cli.lazy import group_of

# Name of the command, the module that has it, its name there, and its line in the list.
_COMMANDS = {
    "build": ("hvdsm.cli.image_build", "build", "Build an image, from a recipe of hvdsm's or a Dockerfile of one's own."),
    "push": ("hvdsm.cli.image_push", "push", "Push an image to Amazon ECR; the repository is made if it is missing."),
    "uri": ("hvdsm.cli.image_list", "uri", "Print the address that an image has in Amazon ECR."),
    "list": ("hvdsm.cli.image_list", "list_images", "List the images that hvdsm built here, and those in Amazon ECR."),
}


@click.group(cls=group_of("image", _COMMANDS), context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Build images for jobs by docker, podman or buildah, and push them to Amazon ECR.

    \b
    Examples:
      hvdsm image build ~/graphstorm --device cpu
      hvdsm image build --recipe pytorch --device gpu --name training --tag 1
      hvdsm image build . --file docker/Dockerfile --name training
      hvdsm image push training --tag 1
      hvdsm launch --backend sagemaker --image $(hvdsm image uri training --tag 1) … train.py
    """  # noqa: D301
