"""Keeps the values of secrets out of what is told of failures."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Mapping, Tuple

from hvdsm.compose.secrets import forms, without, without_pieces
from hvdsm.container.relay import TAIL

# Variables of the container program that hold secrets already: a rehearsal's hosts reach no service.
GIVEN = "HVDSM_SECRET_NAMES"
_TEXTS = ("message", "exception", "traceback", "output_tail", "tail", "evidence")


def given_secrets(environ: Mapping[str, str]) -> Dict[str, str]:
    """The secrets that the environment itself brings, by the names in ``HVDSM_SECRET_NAMES`` (separated by commas)."""
    names = [name.strip() for name in environ.get(GIVEN, "").split(",")]
    return {name: environ[name] for name in names if name in environ}


class Curtain:
    """Keeps values out of what is told of failures; the lines of ranks are the script's own and stay as they are."""

    def __init__(self) -> None:
        self._forms: Tuple[str, ...] = ()

    def hide(self, values: Iterable[str]) -> None:
        """These must not show."""
        self._forms = forms(values)

    def event(self, message: Dict[str, Any]) -> Dict[str, Any]:
        """A message for the conductor, with the values in its texts masked."""
        if not self._forms:
            return message
        told = dict(message)
        for field in _TEXTS:
            text = told.get(field)
            if isinstance(text, str) and text:
                long = field in ("output_tail", "tail")
                told[field] = without_pieces(text, self._forms, TAIL) if long else without(text, self._forms)
        return told
