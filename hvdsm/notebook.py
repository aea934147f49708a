"""``%load_ext hvdsm.notebook``: from the next cell on, SageMaker is on this machine, and training jobs run on emulated hosts.

A sandbox (see ``docs/sandbox.md``) is started for the kernel and ends with it, or by ``%unload_ext hvdsm.notebook``.  Clients and
sessions of boto3 that were made before stay what they are; those made afterwards are the sandbox's.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any, Dict, List, Optional

_running: List[_Loaded] = []


class _Loaded:
    """A sandbox for this process, whose environment leads to it."""

    def __init__(self) -> None:
        from hvdsm.sandbox.companion import Companion
        from hvdsm.sandbox.serving import Serving
        from hvdsm.sandbox.site import hvdsm_redirect
        from hvdsm.sdk import local

        self.companion = Companion(Serving(), os.environ, os.environ.get("HVDSM_PYTHON", ""))
        self.pid = os.getpid()
        self._before: Dict[str, Optional[str]] = {}
        environ = self.companion.environ
        for name in sorted({*os.environ, *environ}):
            if os.environ.get(name) != environ.get(name):
                self._before[name] = os.environ.get(name)
                _set(name, environ.get(name))
        hvdsm_redirect.install()
        local.enable()
        self._session = _default_session(None)

    def end(self) -> List[str]:
        """End the sandbox and put the environment back; what has become of the jobs."""
        from hvdsm.sandbox.companion import summary
        from hvdsm.sdk import local

        for name, value in self._before.items():
            _set(name, value)
        local.disable()
        _default_session(self._session)
        return summary(self.companion.end(), self.companion.output)


def load_ipython_extension(ipython: Any) -> None:
    """Start a sandbox for this kernel, unless it runs in one already, that of ``hvdsm sandbox``.

    Raises:
        HvdsmError: the sandbox cannot start.
    """
    del ipython
    if _running:
        return
    if os.environ.get("HVDSM_SANDBOX_URL"):
        print(f"hvdsm: sandbox: this kernel is in the sandbox at {os.environ['HVDSM_SANDBOX_URL']} already")
        return
    loaded = _Loaded()
    _running.append(loaded)
    atexit.register(_at_exit)
    companion = loaded.companion
    print(f"hvdsm: sandbox: SageMaker is at {companion.url} for this kernel; results of jobs go to {companion.output}")


def unload_ipython_extension(ipython: Any) -> None:
    """End the sandbox, its jobs included, and put the kernel's environment back."""
    del ipython
    atexit.unregister(_at_exit)
    while _running:
        for line in _running.pop().end():
            print(f"hvdsm: sandbox: {line}")


def _at_exit() -> None:
    # A process that the kernel has forked ends without the sandbox.
    while _running and _running[-1].pid == os.getpid():
        _running.pop().end()


def _set(name: str, value: Optional[str]) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _default_session(session: Any) -> Any:
    """Give boto3 another default session; the one that it had, which knows the credentials of another time."""
    boto3 = sys.modules.get("boto3")
    if boto3 is None:
        return None
    before, boto3.DEFAULT_SESSION = boto3.DEFAULT_SESSION, session  # type: ignore[attr-defined]
    return before
