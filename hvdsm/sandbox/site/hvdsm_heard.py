"""Shows what the SageMaker SDK 3 says of jobs, their logs first of all, where the program has not set up logging.

The SDK 3 gives the lines of ``ModelTrainer.train()`` to the logger of ``sagemaker.core.resources``, at level INFO: without a
handler nobody would see them.  A program's own settings of logging, of handlers and of levels, are followed.
"""

from __future__ import annotations

import logging
import sys
from typing import Any


def change(module: Any) -> None:
    """Have the logger of ``sagemaker.core.resources`` heard."""
    logger = getattr(module, "logger", None)
    if isinstance(logger, logging.Logger) and not any(isinstance(handler, _Unheard) for handler in logger.handlers):
        logger.addHandler(_Unheard(logger))
        logger.addFilter(lambda record: _is_due(logger, record))
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


def _heard(logger: logging.Logger) -> bool:
    """Whether the program has given the logger, or one above it, a handler."""
    at: Any = logger
    while at is not None:
        if any(not isinstance(handler, (_Unheard, logging.NullHandler)) for handler in at.handlers):
            return True
        at = at.parent if at.propagate else None
    return False


def _is_due(logger: logging.Logger, record: logging.LogRecord) -> bool:
    """Whether a record goes on: where the program has a handler, its level decides."""
    above = logger.parent
    return above is None or not _heard(logger) or record.levelno >= above.getEffectiveLevel()


class _Unheard(logging.Handler):
    """Prints what no other handler does: warnings to standard error, all else to standard output, as it is at that time."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        if _heard(self._logger):
            return
        try:
            stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
            # In one piece: rich, which stands before the stream while the SDK waits, recurses in a notebook over a line begun.
            stream.write(self.format(record) + "\n")
            stream.flush()
        except Exception:
            self.handleError(record)
