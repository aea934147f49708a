"""From a request to its answer: faults first, then the service, and an error in the form that the service gives it."""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, Optional

from hvdsm.errors import HvdsmError
from hvdsm.sandbox.faults import AFTER, Faults
from hvdsm.sandbox.recorder import Recorder
from hvdsm.sandbox.streams import CLIENT
from hvdsm.sandbox.wire import Answer, Request, ServiceError, error_answer

CarryOut = Callable[[Request, Optional[Dict[str, Any]]], Answer]


class Answering:
    """Answers the requests of a server.

    Args:
        faults: what goes wrong.
        recorder: notes what has been asked for.
        ended: set when the sandbox ends; delays end with it.
        carry_out: gets a request, and its content where that is JSON of a service of the sandbox's own.
    """

    def __init__(self, faults: Faults, recorder: Recorder, ended: threading.Event, carry_out: CarryOut) -> None:
        self._faults = faults
        self._recorder = recorder
        self._ended = ended
        self._carry_out = carry_out

    def __call__(self, request: Request) -> Optional[Answer]:
        """The answer, None to hang up without one."""
        own = request.service in ("sagemaker", "logs") and request.is_json
        try:
            body = request.json() if own else None
        except ServiceError as error:
            return error_answer(error, request)
        self._recorder.note(request.operation, body)
        CLIENT.set(request.headers.get("user-agent", ""))
        fault = self._faults.take(request)
        if fault is not None and fault.delay:
            self._ended.wait(fault.delay)
        if fault is not None and fault.drop_connection and fault.drop_connection != AFTER:
            return None
        try:
            self._faults.check_credentials(request)
            injected = None if fault is None else fault.as_error()
            if injected is not None:
                raise injected
            answer = self._carry_out(request, body)
        except ServiceError as error:
            answer = error_answer(error, request)
        except HvdsmError as error:
            answer = error_answer(ServiceError("NotImplemented", str(error), 501), request)
        except Exception as error:
            # A mistake of the sandbox or of moto: the client is told, and does not wait for an answer.
            answer = error_answer(ServiceError("InternalFailure", f"{type(error).__name__}: {error}", 500), request)
        return None if fault is not None and fault.drop_connection == AFTER else answer
