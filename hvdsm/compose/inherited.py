"""What stock images bring along that a job under hvdsm must not inherit.

Source: the AWS Deep Learning Containers, which set a training module of their own and preload a library that answers
``gethostname``.
"""

from __future__ import annotations

import re
from typing import Dict, List, Mapping, Tuple

HOSTNAME_SHIM = "libchangehostname.so"
# AWS's own: sagemaker_pytorch_container.training:main and its siblings.
_STOCK_MODULE = re.compile(r"sagemaker_[a-z0-9]+_container(?:[.:]|$)")


def clean_environment(environ: Mapping[str, str]) -> Tuple[Dict[str, str], Tuple[str, ...]]:
    """The environment without the hostname shim of stock images, and a line for each thing that was left out.

    The shim breaks every program that starts before ``resourceconfig.json`` is there, and large clusters.  hvdsm takes a host's
    name from ``resourceconfig.json`` and needs no shim.  All other entries of ``LD_PRELOAD`` stay as they are.
    """
    cleaned, notes = dict(environ), []
    # The dynamic loader separates entries by colons and blanks: ld.so(8).
    entries = [entry for entry in re.split(r"[:\s]+", environ.get("LD_PRELOAD", "")) if entry]
    kept: List[str] = []
    for entry in entries:
        if entry.rsplit("/", 1)[-1] == HOSTNAME_SHIM:
            notes.append(f"LD_PRELOAD: {entry} is left out: hosts are named by resourceconfig.json")
        else:
            kept.append(entry)
    if notes and kept:
        cleaned["LD_PRELOAD"] = ":".join(kept)
    elif notes:
        del cleaned["LD_PRELOAD"]
    return cleaned, tuple(notes)


def is_stock_module(framework_module: str) -> bool:
    """Whether ``SAGEMAKER_TRAINING_MODULE`` names AWS's own function, whose work hvdsm does itself."""
    return bool(_STOCK_MODULE.match(framework_module))
