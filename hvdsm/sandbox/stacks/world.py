"""The account around the stacks: EC2, IAM and CloudWatch Logs of the same sandbox, asked in this process."""

from __future__ import annotations

import random
import string
import uuid
from typing import Any, Callable, Dict, Mapping, Set, Tuple

from hvdsm.sandbox.logs import LogService
from hvdsm.sandbox.objects import Handle, own_client
from hvdsm.sandbox.stacks.records import Made


class Refused(Exception):
    """A service refuses what a resource needs; the text is the resource's status reason."""


class World:
    """What resources are made in.

    Args:
        handle: answers requests of all other services.
        logs: CloudWatch Logs of the region.
        region: AWS region.
        account: 12 digits.
    """

    def __init__(self, handle: Handle, logs: LogService, region: str, account: str) -> None:
        self._handle = handle
        self.logs = logs
        self.region = region
        self.account = account
        self._clients: Dict[str, Any] = {}
        self._zones: Tuple[str, ...] = ()
        # Groups that have the rule for everything to everywhere, as long as nobody gives them another.
        self.open_egress: Set[str] = set()

    def client(self, service: str) -> Any:
        """A client of a service that speaks to it past the network and its faults."""
        if service not in self._clients:
            self._clients[service] = own_client(service, self._handle, self.region)
        return self._clients[service]

    @property
    def ec2(self) -> Any:
        """EC2."""
        return self.client("ec2")

    @property
    def backend(self) -> Any:
        """EC2's own records, for what its interface cannot set."""
        from moto.ec2.models import ec2_backends

        return ec2_backends[self.account][self.region]

    def zones(self) -> Tuple[str, ...]:
        """Availability Zones."""
        if not self._zones:
            found = self.ec2.describe_availability_zones()["AvailabilityZones"]
            self._zones = tuple(sorted(entry["ZoneName"] for entry in found))
        return self._zones

    def tag(self, identifier: str, tags: Mapping[str, str]) -> None:
        """Give an object of EC2 these tags and no others; names that belong to AWS are allowed."""
        backend = self.backend
        others = [name for name in backend.tags.get(identifier, {}) if name not in tags]
        if others:
            backend.delete_tags([identifier], dict.fromkeys(others))
        backend.create_tags([identifier], dict(tags))


def carried_out(what: Callable[[], Any]) -> Any:
    """The result of calls of AWS.

    Raises:
        Refused: one was refused.
    """
    from botocore.exceptions import ClientError, ParamValidationError

    try:
        return what()
    except ClientError as error:
        about = error.response["Error"]
        service = {"ec2": "AmazonEC2", "iam": "AmazonIdentityManagement"}.get(_service_of(error), _service_of(error))
        raise refused(about.get("Message", ""), about.get("Code", ""), service, _status_of(error)) from None
    except ParamValidationError as error:
        raise Refused(f"Properties validation failed for resource with message: {error}") from None


def _service_of(error: Any) -> str:
    name = str(error.operation_name)
    return "iam" if "Role" in name and "Disassociate" not in name else "ec2"


def _status_of(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))


def refused(message: str, code: str, service: str = "AmazonEC2", status: int = 400) -> Refused:
    """A refusal in CloudFormation's words."""
    details = f"Service: {service}; Status Code: {status}; Error Code: {code}; Request ID: {uuid.uuid4()}; Proxy: null"
    return Refused(f"{message} ({details})")


def dependency(message: str) -> Refused:
    """The refusal to delete what something else needs."""
    return refused(message, "DependencyViolation")


def generated(stack: str, made: Made, most: int = 255) -> str:
    """A name for a resource that has none of its own."""
    letters = string.ascii_uppercase + string.digits
    tail = "".join(random.choices(letters, k=12))  # noqa: S311  # a name, not a secret
    return f"{stack}-{made.name}"[: most - 13] + f"-{tail}"


def tags_of(properties: Mapping[str, Any]) -> Dict[str, str]:
    """Tags as EC2 has them in templates."""
    found = properties.get("Tags") or []
    return {str(tag["Key"]): str(tag["Value"]) for tag in found} if isinstance(found, list) else dict(found)


def is_true(value: Any) -> bool:
    """A boolean of a template."""
    return str(value).lower() == "true"
