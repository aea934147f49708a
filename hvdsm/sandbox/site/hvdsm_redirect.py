"""Leads what the variables of the AWS SDKs cannot lead to the sandbox; inert where ``HVDSM_SANDBOX_URL`` is not set.

The SageMaker SDKs name the address of STS themselves (``get_execution_role``, ``default_bucket``, ``account_id``), which goes
before ``AWS_ENDPOINT_URL``; so do scripts that name an address of a service.  And the SDKs tell their maker of their use.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import sys
from typing import Any, Callable, Dict, Optional, Sequence, Set

VARIABLE = "HVDSM_SANDBOX_URL"
_AWS = re.compile(
    r"^https?://([^/@]+\.)?(amazonaws\.com(\.cn)?|api\.aws|api\.amazonwebservices\.com\.cn)(:\d+)?(/|$)", re.IGNORECASE
)
# Place of endpoint_url among the arguments of botocore's Session.create_client, counted after the session.
_ENDPOINT_PLACE = 5
_MARK = "_hvdsm_redirected"


def install() -> None:
    """Change the modules concerned when they are imported, those imported already at once."""
    for name, change in _CHANGES.items():
        if name in sys.modules:
            change(sys.modules[name])
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())


class Finder:
    """Finds the modules concerned by what else is on ``sys.meta_path``, and has them changed after their code has run."""

    def find_spec(self, name: str, path: Optional[Sequence[str]] = None, target: Any = None) -> Any:
        """The specification of such a module, None for any other."""
        change = _CHANGES.get(name)
        if change is None:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec = find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader.exec_module = _then(spec.loader.exec_module, change)
                return spec
        return None


def _then(execute: Callable[[Any], None], change: Callable[[Any], None]) -> Callable[[Any], None]:
    def exec_module(module: Any) -> None:
        execute(module)
        change(module)

    return exec_module


def _sessions(module: Any) -> None:
    """``botocore.session``: addresses of AWS become the sandbox's; a profile that is not there is the default one."""
    session = module.Session
    if getattr(session, _MARK, False):
        return
    create, set_variable = session.create_client, session.set_config_variable

    @functools.wraps(create)
    def create_client(self: Any, *args: Any, **kwargs: Any) -> Any:
        sandbox = os.environ.get(VARIABLE)
        if sandbox:
            if len(args) > _ENDPOINT_PLACE:
                given = address(args[_ENDPOINT_PLACE], sandbox)
                args = (*args[:_ENDPOINT_PLACE], given, *args[_ENDPOINT_PLACE + 1 :])
            else:
                kwargs["endpoint_url"] = address(kwargs.get("endpoint_url"), sandbox)
        return create(self, *args, **kwargs)

    @functools.wraps(set_variable)
    def set_config_variable(self: Any, logical_name: str, value: Any) -> Any:
        if os.environ.get(VARIABLE) and logical_name == "profile" and value and value not in self.available_profiles:
            _say_once(f"no AWS profile {value} is configured here: the sandbox's default stands for it")
            return None
        return set_variable(self, logical_name, value)

    session.create_client, session.set_config_variable = create_client, set_config_variable
    setattr(session, _MARK, True)


def address(given: Optional[str], sandbox: str) -> str:
    """The address to use instead of one that a program gave.

    >>> address("https://sts.eu-west-1.amazonaws.com", "http://127.0.0.1:5")
    'http://127.0.0.1:5'
    >>> address("http://localhost:9000", "http://127.0.0.1:5")
    'http://localhost:9000'
    """
    return sandbox if given is None or _AWS.match(given) else given


def _silence(module: Any) -> None:
    """Telemetry of the SageMaker SDKs: while there is a sandbox, nothing is sent."""
    send = getattr(module, "_requests_helper", None)
    if send is None or getattr(send, _MARK, False):
        return

    @functools.wraps(send)
    def helper(*args: Any, **kwargs: Any) -> Any:
        return None if os.environ.get(VARIABLE) else send(*args, **kwargs)

    setattr(helper, _MARK, True)
    module._requests_helper = helper


_said: Set[str] = set()


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        print(f"hvdsm: sandbox: {text}", file=sys.stderr, flush=True)


def _sibling(name: str) -> Any:
    """A module beside this one, whether or not their directory is on ``sys.path``: in a notebook it need not be."""
    if name not in sys.modules:
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".py")
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


def _hear(module: Any) -> None:
    """``sagemaker.core.resources``: what it says of jobs is seen."""
    _sibling("hvdsm_heard").change(module)


def _hurry(module: Any) -> None:
    """``sagemaker.session`` of the SDK 2: the end of a job is seen within a second."""
    if os.environ.get(VARIABLE):
        _sibling("hvdsm_hurry").change(module)


_CHANGES: Dict[str, Callable[[Any], None]] = {
    "botocore.session": _sessions,
    "sagemaker.telemetry.telemetry_logging": _silence,
    "sagemaker.core.telemetry.telemetry_logging": _silence,
    "sagemaker.core.resources": _hear,
    "sagemaker.session": _hurry,
}
