"""Which of some saved models is the latest; pure."""

from __future__ import annotations

import re
from typing import Iterable, Optional, Tuple

_NAME = re.compile(r"epoch-(\d+)(?:-iter-(\d+))?")


def epoch_of(name: str) -> Optional[Tuple[int, int]]:
    """Epoch and iteration of ``epoch-N`` or ``epoch-N-iter-M``; None of another name.

    >>> epoch_of("epoch-3-iter-999"), epoch_of("epoch-3"), epoch_of("epoch-x")
    ((3, 999), (3, 0), None)
    """
    match = _NAME.fullmatch(name)
    return None if match is None else (int(match[1]), int(match[2] or 0))


def latest(names: Iterable[str]) -> Optional[str]:
    """The latest by number; None where there is none.

    >>> latest(["epoch-9", "epoch-10", "epoch-10-iter-5", "config.yaml"])
    'epoch-10-iter-5'
    """
    known = [(epoch, name) for name in names for epoch in [epoch_of(name)] if epoch is not None]
    return max(known)[1] if known else None
