"""The directory that the SDK copies into a job: the driver, and hvdsm's container program as one file."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading

from hvdsm import bundle
from hvdsm.sdk.v3 import driver

_lock = threading.Lock()
_directory = ""


def driver_directory() -> str:
    """The directory; made when it is first asked for, and removed when the process that made it ends."""
    global _directory
    with _lock:
        if not os.path.isfile(os.path.join(_directory, driver.BUNDLE)):
            _directory = _made()
        return _directory


def _made() -> str:
    directory = tempfile.mkdtemp(prefix="hvdsm-driver-")
    # A process that is forked off uses the directory, but does not remove it.
    atexit.register(_remove, directory, os.getpid())
    for name in driver.KINDS:
        shutil.copyfile(driver.__file__, os.path.join(directory, name))
    bundle.write(os.path.join(directory, driver.BUNDLE))
    return directory


def _remove(directory: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(directory, ignore_errors=True)
