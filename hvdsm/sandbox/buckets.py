"""Buckets that a script names: whoever writes to one has it in the cloud, so that the sandbox can make it when it is needed.

Off by default: then a bucket that is not there is an error, as it is in the service.
"""

from __future__ import annotations

import threading
from typing import Callable, Optional, Set
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from hvdsm.sandbox.objects import OWN_KEY, Handle
from hvdsm.sandbox.wire import Answer, Request

_MISSING = b"<Code>NoSuchBucket</Code>"
_WRITES = frozenset(("PutObject", "CreateMultipartUpload"))
# What an SDK asks of a bucket before it puts something into it.  The sandbox itself asks so whether a channel's data is there.
_LOOK = "ListObjectsV2"


class Buckets:
    """Hands requests of S3 on.

    Args:
        handle: answers them.

    Attributes:
        say: is told of each bucket that is made; None, and none is made.
    """

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._lock = threading.Lock()
        self._made: Set[str] = set()
        self.say: Optional[Callable[[str], None]] = None

    def handle(self, request: Request) -> Answer:
        """Carry a request out, a second time if its bucket had to be made."""
        answer = self._handle(request)
        needs = request.operation in _WRITES or (request.operation == _LOOK and request.access_key != OWN_KEY)
        if self.say is None or answer.status != 404 or not needs or _MISSING not in answer.body:
            return answer
        bucket = urlsplit(request.target).path.lstrip("/").partition("/")[0]
        if not self._make(bucket, request):
            return answer
        return self._handle(request)

    def _make(self, bucket: str, request: Request) -> bool:
        with self._lock:
            if bucket in self._made:
                return True
            region, body = request.region or "us-east-1", b""
            if region != "us-east-1":
                inner = f"<LocationConstraint>{escape(region)}</LocationConstraint>"
                body = f"<CreateBucketConfiguration>{inner}</CreateBucketConfiguration>".encode()
            kept = [(name, value) for name, value in request.raw_headers if name.lower() in ("host", "authorization")]
            headers = {name.lower(): value for name, value in kept}
            made = self._handle(Request("PUT", f"/{bucket}", headers, body, kept))
            if made.status != 200:
                return False
            self._made.add(bucket)
        if self.say is not None:
            self.say(f"bucket {bucket} was not there and has been made: in the cloud it must exist")
        return True
