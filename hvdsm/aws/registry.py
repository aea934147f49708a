"""Amazon ECR: a registry's password, repositories and images.

Source: Amazon ECR API Reference, GetAuthorizationToken, DescribeRepositories, CreateRepository, DescribeImages.
"""

from __future__ import annotations

import base64
import shlex
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, List, Mapping, Optional, Tuple

from hvdsm.aws.failures import AwsRefused, code_of, is_denied, message_of, translated
from hvdsm.aws.registry_names import Registry
from hvdsm.aws.session import Aws, identity, partition
from hvdsm.errors import CloudRefused

# Manifests that SageMaker takes; an index, such as buildx makes for attestations, it refuses.
# Source: "Unsupported manifest media type …" of CreateModel and CreateTrainingJob.
_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Login:
    """User and password of a registry; the password is good for 12 hours, and is shown nowhere."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Repository:
    """A repository.

    Attributes:
        name: its name.
        uri: its address, without a tag.
        arn: its ARN.
        scan_on_push: whether its own setting has images scanned; the registry's may, too.
        immutable: whether a tag stays where it is.
    """

    name: str
    uri: str
    arn: str
    scan_on_push: bool = False
    immutable: bool = False


@dataclass(frozen=True)
class RemoteImage:
    """An image in a repository: its digest, tags, size in bytes, time and kind of manifest."""

    digest: str
    tags: Tuple[str, ...] = ()
    size: int = 0
    pushed: Optional[datetime] = None
    manifest: str = ""

    @property
    def for_sagemaker(self) -> bool:
        """Whether SageMaker takes this kind of manifest; one that is not told counts as taken."""
        return self.manifest in ("", _DOCKER_MANIFEST)


def owner(aws: Aws, account: Optional[str]) -> str:
    """The account of a registry: the one that is given, else that of the credentials.

    Raises:
        CloudUnavailable: there are no valid credentials, or STS cannot be reached.
    """
    return account or identity(aws).account


def login(aws: Aws, registry: Registry) -> Login:
    """User and password of a registry.

    Raises:
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses it.
    """
    with translated("get a password of the registry", registry.host):
        answer = aws.client("ecr", region=registry.region).get_authorization_token()
    for entry in answer.get("authorizationData") or ():
        try:
            user, colon, password = base64.b64decode(entry.get("authorizationToken") or "").decode().partition(":")
        except ValueError:
            continue
        if colon and password:
            return Login(user, password)
    raise CloudRefused("ECR's answer has no password", where=registry.host, remedy="check AWS_ENDPOINT_URL")


def find_repository(aws: Aws, registry: Registry, name: str) -> Optional[Repository]:
    """A repository; None where there is none.

    Raises:
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses it.
    """
    with translated("look for the repository", _place(registry, name)):
        try:
            answer = aws.client("ecr", region=registry.region).describe_repositories(
                registryId=registry.account, repositoryNames=[name]
            )
        except Exception as error:
            if code_of(error) == "RepositoryNotFoundException":
                return None
            raise
    found = answer.get("repositories")
    return _repository(found[0]) if found else None


def create_repository(
    aws: Aws,
    registry: Registry,
    name: str,
    *,
    scan_on_push: bool = True,
) -> Repository:
    """Make a repository; one that somebody else has made meanwhile is as good.

    Raises:
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses it; of a permission the message names ``ecr:CreateRepository``.
    """
    with translated("create the repository", _place(registry, name)):
        try:
            answer = aws.client("ecr", region=registry.region).create_repository(
                registryId=registry.account, repositoryName=name, imageScanningConfiguration={"scanOnPush": scan_on_push}
            )
        except Exception as error:
            if code_of(error) == "RepositoryAlreadyExistsException":
                found = find_repository(aws, registry, name)
                if found is not None:
                    return found
            if code_of(error) == "LimitExceededException":
                raise _no_more(registry, name, error) from error
            if is_denied(error):
                raise _denied(registry, name, scan_on_push, error) from error
            raise
    return _repository(answer["repository"])


def _denied(registry: Registry, name: str, scan_on_push: bool, error: Exception) -> AwsRefused:
    arn = f"arn:{partition(registry.region)}:ecr:{registry.region}:{registry.account}:repository/{name}"
    command = ["aws", "ecr", "create-repository", "--repository-name", name, "--region", registry.region]
    if scan_on_push:
        command += ["--image-scanning-configuration", "scanOnPush=true"]
    made = AwsRefused(
        f"cannot create the repository: these credentials lack the permission ecr:CreateRepository "
        f"({code_of(error)}: {message_of(error)})",
        where=_place(registry, name),
        remedy=f"allow ecr:CreateRepository on {arn}, or let somebody who may make it: {shlex.join(command)}",
    )
    made.code = code_of(error)
    return made


def _no_more(registry: Registry, name: str, error: Exception) -> AwsRefused:
    """Elsewhere the same code asks for fewer requests."""
    made = AwsRefused(
        f"cannot create the repository: the registry has no room for another ({message_of(error)})",
        where=_place(registry, name),
        remedy="delete repositories that nobody needs, or raise the quota: AWS console, Service Quotas, Amazon ECR",
    )
    made.code = code_of(error)
    return made


def find_image(aws: Aws, registry: Registry, name: str, tag: str) -> Optional[RemoteImage]:
    """An image by its tag, or by its digest; None where there is none, or no such repository.

    Raises:
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses it.
    """
    asked = {"imageDigest": tag} if tag.startswith("sha256:") else {"imageTag": tag}
    with translated("look for the image", f"{_place(registry, name)}, {tag}"):
        try:
            answer = aws.client("ecr", region=registry.region).describe_images(
                registryId=registry.account, repositoryName=name, imageIds=[asked]
            )
        except Exception as error:
            if code_of(error) in ("ImageNotFoundException", "RepositoryNotFoundException"):
                return None
            raise
    found = answer.get("imageDetails")
    return _image(found[0]) if found else None


def images(aws: Aws, registry: Registry, name: str) -> List[RemoteImage]:
    """The images of a repository, the newest first; none where there is no such repository.

    Raises:
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses it.
    """
    client = aws.client("ecr", region=registry.region)
    found: List[RemoteImage] = []
    with translated("list the images", _place(registry, name)):
        try:
            for page in client.get_paginator("describe_images").paginate(registryId=registry.account, repositoryName=name):
                found += [_image(entry) for entry in page["imageDetails"]]
        except Exception as error:
            if code_of(error) != "RepositoryNotFoundException":
                raise
    return sorted(found, key=lambda image: image.pushed.timestamp() if image.pushed else 0.0, reverse=True)


def repositories(aws: Aws, registry: Registry) -> List[Repository]:
    """All repositories of a registry, by name.

    Raises:
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses it.
    """
    client = aws.client("ecr", region=registry.region)
    with translated("list the repositories", registry.host):
        pages = client.get_paginator("describe_repositories").paginate(registryId=registry.account)
        found = [_repository(entry) for page in pages for entry in page["repositories"]]
    return sorted(found, key=lambda repository: repository.name)


def _place(registry: Registry, name: str) -> str:
    return f"{registry.host}/{name}"


def _repository(entry: Mapping[str, Any]) -> Repository:
    return Repository(
        name=str(entry["repositoryName"]),
        uri=str(entry.get("repositoryUri") or ""),
        arn=str(entry.get("repositoryArn") or ""),
        scan_on_push=bool((entry.get("imageScanningConfiguration") or {}).get("scanOnPush")),
        immutable=str(entry.get("imageTagMutability") or "").startswith("IMMUTABLE"),
    )


def _image(entry: Mapping[str, Any]) -> RemoteImage:
    return RemoteImage(
        digest=str(entry.get("imageDigest") or ""),
        tags=tuple(str(tag) for tag in entry.get("imageTags") or ()),
        size=int(entry.get("imageSizeInBytes") or 0),
        pushed=entry.get("imagePushedAt"),
        manifest=str(entry.get("imageManifestMediaType") or ""),
    )
