"""All other services: moto's WSGI application, in this process, imported when the first request needs it."""

from __future__ import annotations

import io
import sys
import threading
from typing import Any, Dict, List, Tuple
from urllib.parse import unquote, urlsplit

from hvdsm.errors import BackendUnavailable
from hvdsm.sandbox.wire import Answer, Request, ServiceError

_lock = threading.Lock()
_application: List[Any] = []
_users = 0


class OtherServices:
    """S3, EC2, STS, IAM, ECR, Secrets Manager and so on.

    moto keeps the state of a process: sandboxes that live at the same time share it; when the last one ends it is forgotten.
    """

    def __init__(self, address: Tuple[str, int]) -> None:
        self._address = address
        self._used = False
        self._known: Dict[str, bool] = {}

    def handle(self, request: Request) -> Answer:
        """Carry a request out.

        Raises:
            BackendUnavailable: moto is not installed.
            ServiceError: moto has no such service.
        """
        application = self._start()
        environ = _environ(request, self._address)
        if not self._is_known(application, request, environ):
            raise ServiceError("UnknownOperationException", f"The sandbox has no service {request.service}")
        caught: Dict[str, Any] = {}

        def start_response(status: str, headers: List[Tuple[str, str]], _error: Any = None) -> Any:
            caught["status"], caught["headers"] = int(status.split(" ", 1)[0]), headers
            return None

        try:
            parts = application(environ, start_response)
        except NotImplementedError as error:
            message = f"The sandbox has no {request.service}:{request.operation} ({error})"
            raise ServiceError("UnknownOperationException", message) from None
        try:
            body = b"".join(parts)
        finally:
            if hasattr(parts, "close"):
                parts.close()
        return Answer(caught["status"], list(caught["headers"]), body)

    def _is_known(self, application: Any, request: Request, environ: Dict[str, Any]) -> bool:
        """Whether moto has the service; it would print something, and fail, where it has not."""
        if not request.service or request.service == "s3":
            return True
        if request.service not in self._known:
            host = application.infer_service_region_host(environ, environ["PATH_INFO"])
            address = f"http://{host}"
            known = host is None or "." not in host or any(p.match(address) for _, p in application.backend_url_patterns)
            self._known[request.service] = known
        return self._known[request.service]

    def warm_up(self) -> None:
        """Import moto before the first request needs it."""
        self._start()

    def _start(self) -> Any:
        global _users
        with _lock:
            if not _application:
                _application.append(_load())
            if not self._used:
                self._used = True
                _users += 1
            return _application[0]

    def close(self) -> None:
        """Forget everything, unless another sandbox of this process has the same state."""
        global _users
        with _lock:
            if not self._used:
                return
            self._used = False
            _users -= 1
            if _users == 0:
                from moto.core.base_backend import BackendDict
                from moto.core.model_instances import reset_model_data

                BackendDict.reset()
                reset_model_data()


def _load() -> Any:
    try:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    except ImportError as error:
        raise BackendUnavailable(
            f"S3 and the other services of the sandbox need moto ({error})",
            where="hvdsm sandbox",
            remedy="pip install 'moto[s3,server]'",
        ) from None
    return DomainDispatcherApplication(create_backend_app)


def _environ(request: Request, address: Tuple[str, int]) -> Dict[str, Any]:
    """The WSGI environment of a request.  Source: PEP 3333; RAW_URI and REQUEST_URI as werkzeug has them."""
    parts = urlsplit(request.target)
    path = parts.path if request.target.startswith("/") else "/" + parts.path.lstrip("/")
    environ: Dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path, "latin-1"),
        "QUERY_STRING": parts.query,
        "REQUEST_URI": request.target,
        "RAW_URI": request.target,
        "SERVER_NAME": address[0],
        "SERVER_PORT": str(address[1]),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": address[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "CONTENT_LENGTH": str(len(request.body)),
    }
    # moto keeps the underscores of S3's metadata by this; WSGI has no place for them.
    kept = environ["moto.preserved_header_names"] = {}
    for name, value in request.raw_headers:
        lower = name.lower()
        if lower in ("content-length", "transfer-encoding"):
            continue
        key = "CONTENT_TYPE" if lower == "content-type" else "HTTP_" + lower.upper().replace("-", "_")
        if "_" in name and lower.startswith("x-amz-meta-"):
            kept[key] = name
        environ[key] = f"{environ[key]},{value}" if key in environ and lower != "content-type" else value
    return environ
