"""Python imports this when it starts, if this directory is on PYTHONPATH: the SDK's local mode then runs on emulated hosts.

It keeps to what old Pythons can read, which may inherit PYTHONPATH; the hook itself needs 3.8.
"""

import os
import sys


def _enable() -> None:
    from importlib import import_module

    try:
        import_module("hvdsm_local_hook").enable()
    except Exception as error:
        sys.stderr.write(f"hvdsm: local mode of the SageMaker SDK is not switched on: {error!r}\n")


def _next() -> None:
    """Run the sitecustomize that this one hides: only what comes later on sys.path, for an earlier one may do the same."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    here = os.path.realpath(os.path.dirname(__file__))
    places = [os.path.realpath(path or os.curdir) for path in sys.path]
    later = [path for path in sys.path[places.index(here) + 1 :] if os.path.realpath(path) != here] if here in places else []
    spec = PathFinder.find_spec("sitecustomize", later)
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


if sys.hexversion >= 0x03080000:
    _enable()
_next()
