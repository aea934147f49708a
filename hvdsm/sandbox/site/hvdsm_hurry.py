"""Lets the SageMaker SDK 2 see the end of a job when it comes: jobs of a sandbox take seconds.

The SDK asks every 30 seconds whether a job has ended, and every 10 for its lines.  Here it asks every second.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any, Dict

SECONDS = 1
_ASKS = 30
# Functions of sagemaker.session and of its class Session, and the seconds between two questions of each.
_FUNCTIONS: Dict[str, int] = {"_logs_for_job": 10}
_METHODS: Dict[str, int] = {"logs_for_job": 10, "wait_for_job": 5}


def change(module: Any) -> None:
    """Have ``sagemaker.session`` ask often; what is not as it is known stays as it is."""
    for name, poll in _FUNCTIONS.items():
        _hasten(getattr(module, name, None), poll)
    session = getattr(module, "Session", None)
    for name, poll in _METHODS.items():
        _hasten(getattr(session, name, None), poll)


def _hasten(function: Any, poll: int) -> None:
    function = getattr(function, "__wrapped__", function)
    if not isinstance(function, FunctionType):
        return
    function.__defaults__ = tuple(SECONDS if _is(value, poll) else value for value in function.__defaults__ or ()) or None
    code = function.__code__
    function.__code__ = code.replace(co_consts=tuple(SECONDS if _is(value, _ASKS) else value for value in code.co_consts))


def _is(value: Any, number: int) -> bool:
    return type(value) is int and value == number
