"""Imported by Python when it starts: leads the AWS SDKs to the sandbox, then runs the ``sitecustomize`` that this one hides."""

import importlib.util
import os
import sys


def _next() -> None:
    """Run the next module of this name on ``sys.path``."""
    here = os.path.dirname(os.path.abspath(__file__))
    places = [os.path.abspath(place or os.curdir) for place in sys.path]
    rest = places[places.index(here) + 1 :] if here in places else []
    for place in rest:
        path = os.path.join(place, "sitecustomize.py")
        if place == here or not os.path.isfile(path):
            continue
        spec = importlib.util.spec_from_file_location("sitecustomize", path)
        if spec is None or spec.loader is None:
            continue
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)
        return


if os.environ.get("HVDSM_SANDBOX_URL"):
    importlib.import_module("hvdsm_redirect").install()
_next()
