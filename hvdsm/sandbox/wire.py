"""What the services speak: AWS JSON 1.1 requests and answers, and errors in the form that each protocol gives them.

Source: the Smithy specification of the awsJson1_1, awsQuery and restXml protocols; S3's and EC2's own forms of errors.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

JSON_TYPE = "application/x-amz-json-1.1"
_SCOPE = re.compile(r"Credential=(?P<key>[^/,\s]+)/\d{8}/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)/aws4_request")


class ServiceError(Exception):
    """An error that a service answers with.

    Args:
        code: such as ``ValidationException``.
        message: what a person reads.
        status: HTTP status; 400 as the JSON services use for a caller's faults.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


@dataclass
class Request:
    """An HTTP request, and what it asks of which service.

    Attributes:
        method: GET, PUT, ….
        target: path with the query, as sent.
        headers: names in lower case.
        body: all bytes of the content.
        service: signing name of the service, such as ``sagemaker``, ``logs`` or ``s3``.
        operation: such as ``CreateTrainingJob`` or ``PutObject``; the method where it cannot be told.
        region: region that the request is signed for.
        access_key: access key ID of the signature, None for an unsigned request.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    raw_headers: List[Tuple[str, str]] = field(default_factory=list)
    service: str = ""
    operation: str = ""
    region: Optional[str] = None
    access_key: Optional[str] = None

    def __post_init__(self) -> None:
        scope = _SCOPE.search(self.headers.get("authorization", ""))
        if scope is None:
            scope = _SCOPE.search(self._presigned())
        if scope is not None:
            self.access_key, self.region, self.service = scope["key"], scope["region"], scope["service"]
        named = self.headers.get("x-amz-target", "")
        if named:
            prefix, _, self.operation = named.rpartition(".")
            self.service = {"SageMaker": "sagemaker", "Logs_20140328": "logs"}.get(prefix, self.service or prefix.lower())
        elif self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded") and len(self.body) < 1 << 20:
            self.operation = parse_qs(self.body.decode("utf-8", "replace")).get("Action", [""])[0]
        if not self.operation:
            self.operation = s3_operation(self.method, self.target) if self.service in ("", "s3") else self.method

    def _presigned(self) -> str:
        named = parse_qs(urlsplit(self.target).query).get("X-Amz-Credential")
        return f"Credential={named[0]}" if named else ""

    @property
    def is_json(self) -> bool:
        """Whether its service speaks AWS JSON."""
        return "x-amz-target" in self.headers

    def json(self) -> Dict[str, Any]:
        """The content of an AWS JSON request.

        Raises:
            ServiceError: it is none.
        """
        try:
            value = json.loads(self.body or b"{}")
        except ValueError:
            raise ServiceError("SerializationException", "The request is not valid JSON") from None
        if not isinstance(value, dict):
            raise ServiceError("SerializationException", "Start of structure or map found where not expected.")
        return value


@dataclass
class Answer:
    """An HTTP answer."""

    status: int = 200
    headers: List[Tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


def json_answer(value: Optional[Mapping[str, Any]]) -> Answer:
    """The answer of an operation; an operation without output answers with no content, as the services do."""
    body = b"" if value is None else json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return Answer(200, [("Content-Type", JSON_TYPE), ("x-amzn-RequestId", str(uuid.uuid4()))], body)


def error_answer(error: ServiceError, request: Request) -> Answer:
    """An error as the service of a request writes it."""
    identifier = str(uuid.uuid4())
    if request.is_json or request.service in ("sagemaker", "logs"):
        body = json.dumps({"__type": error.code, "message": error.message}).encode()
        headers = [("Content-Type", JSON_TYPE), ("x-amzn-RequestId", identifier)]
        return Answer(error.status, headers, body)
    code, message = escape(error.code), escape(error.message)
    if request.service in ("", "s3"):
        text = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{identifier}</RequestId></Error>"
    else:
        kind = "Sender" if error.status < 500 else "Receiver"
        inner = f"<Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        text = f"<ErrorResponse>{inner}<RequestId>{identifier}</RequestId></ErrorResponse>"
    headers = [("Content-Type", "application/xml"), ("x-amz-request-id", identifier)]
    return Answer(error.status, headers, ('<?xml version="1.0" encoding="UTF-8"?>\n' + text).encode())


_BUCKET = {"GET": "ListObjects", "PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket", "POST": "DeleteObjects"}
_OBJECT = {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}


def s3_operation(method: str, target: str) -> str:
    """The operation of S3 that a path-style request means, for those that clients use daily.

    >>> [s3_operation("GET", "/bucket?list-type=2"), s3_operation("PUT", "/bucket/a/b"), s3_operation("POST", "/b/k?uploads")]
    ['ListObjectsV2', 'PutObject', 'CreateMultipartUpload']
    """
    parts = urlsplit(target)
    bucket, _, key = parts.path.lstrip("/").partition("/")
    query = parse_qs(parts.query, keep_blank_values=True)
    if not bucket:
        return "ListBuckets" if method == "GET" else method
    if not key:
        return "ListObjectsV2" if "list-type" in query else _BUCKET.get(method, method)
    if "uploads" in query and method == "POST":
        return "CreateMultipartUpload"
    if "uploadId" in query:
        named = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload", "GET": "ListParts"}
        return named.get(method, method)
    return _OBJECT.get(method, method)
