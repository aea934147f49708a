"""Requests and answers of CloudFormation on the wire: the query protocol, led by botocore's own description of the service.

Source: the Smithy specification of the awsQuery protocol.
"""

from __future__ import annotations

import functools
import uuid
from datetime import datetime, timezone
from typing import Any, Dict, List, Mapping
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from hvdsm.sandbox.wire import Answer, Request, ServiceError

_NAMESPACE = "http://cloudformation.amazonaws.com/doc/2010-05-15/"


@functools.lru_cache(maxsize=1)
def _service() -> Any:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("cloudformation", "service-2"))


def asked(request: Request) -> Dict[str, Any]:
    """The parameters of a request, as a client of boto3 has given them.

    Raises:
        ServiceError: the service has no such operation, or a required parameter is missing.
    """
    fields = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    operation = fields.get("Action") or request.operation
    if operation not in _service().operation_names:
        raise ServiceError("InvalidAction", f"Could not find operation {operation} for version 2010-05-15")
    shape = _service().operation_model(operation).input_shape
    if shape is None:
        return {}
    found: Dict[str, Any] = _read(shape, fields, "")
    for name in shape.required_members:
        if name not in found:
            where = name[0].lower() + name[1:]
            raise invalid(where, "null", "Member must not be null")
    return found


def invalid(where: str, value: str, what: str) -> ServiceError:
    """The error of a parameter that breaks its constraint."""
    shown = "null" if value == "null" else f"'{value}'"
    text = f"1 validation error detected: Value {shown} at '{where}' failed to satisfy constraint: {what}"
    return ServiceError("ValidationError", text)


def _read(shape: Any, fields: Mapping[str, str], prefix: str) -> Any:
    kind = shape.type_name
    if kind == "structure":
        found = {}
        for name, member in shape.members.items():
            key = prefix + (member.serialization.get("name") or name)
            if _has(fields, key):
                found[name] = _read(member, fields, key if member.type_name not in ("structure",) else key + ".")
        return found
    if kind == "list":
        if fields.get(prefix) == "":
            return []
        stem = f"{prefix}.{shape.member.serialization.get('name') or 'member'}."
        numbers = sorted({int(key[len(stem) :].split(".")[0]) for key in fields if key.startswith(stem)})
        inner = "." if shape.member.type_name == "structure" else ""
        return [_read(shape.member, fields, f"{stem}{number}{inner}") for number in numbers]
    if kind == "map":
        stem = f"{prefix}.entry."
        numbers = sorted({int(key[len(stem) :].split(".")[0]) for key in fields if key.startswith(stem)})
        return {fields[f"{stem}{number}.key"]: fields[f"{stem}{number}.value"] for number in numbers}
    text = fields[prefix]
    if kind == "boolean":
        return text.lower() == "true"
    return int(text) if kind in ("integer", "long") else text


def _has(fields: Mapping[str, str], key: str) -> bool:
    return key in fields or any(name.startswith(f"{key}.") for name in fields)


def answer(operation: str, result: Mapping[str, Any]) -> Answer:
    """The answer of an operation; what the operation's description does not name is left out."""
    shape = _service().operation_model(operation).output_shape
    inner = ""
    if shape is not None:
        name = shape.serialization.get("resultWrapper", f"{operation}Result")
        inner = f"<{name}>{_written(shape, result)}</{name}>"
    identifier = str(uuid.uuid4())
    tail = f"<ResponseMetadata><RequestId>{identifier}</RequestId></ResponseMetadata>"
    text = f'<{operation}Response xmlns="{_NAMESPACE}">{inner}{tail}</{operation}Response>'
    return Answer(200, [("Content-Type", "text/xml"), ("x-amzn-RequestId", identifier)], text.encode())


def _written(shape: Any, value: Any) -> str:
    kind = shape.type_name
    if kind == "structure":
        parts: List[str] = []
        for name, member in shape.members.items():
            if value.get(name) is not None:
                tag = member.serialization.get("name") or name
                parts.append(f"<{tag}>{_written(member, value[name])}</{tag}>")
        return "".join(parts)
    if kind == "list":
        return "".join(f"<member>{_written(shape.member, item)}</member>" for item in value)
    if kind == "map":
        return "".join(f"<entry><key>{escape(k)}</key><value>{escape(v)}</value></entry>" for k, v in value.items())
    if kind == "timestamp":
        moment = value if isinstance(value, datetime) else datetime.fromtimestamp(value, timezone.utc)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    if kind == "boolean":
        return "true" if value else "false"
    return escape(str(value))
