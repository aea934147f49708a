"""Filter patterns of CloudWatch Logs for text: all words, ``?any ?of``, ``-none``, ``"a phrase"`` and ``%a regex%``.

Source: the CloudWatch Logs user guide, "Filter pattern syntax".
"""

from __future__ import annotations

import re
from typing import Callable, List

from hvdsm.sandbox.wire import ServiceError

_TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|(\S+))')


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """What a pattern matches.

    Raises:
        ServiceError: it is one for JSON or for columns, which the sandbox does not know, or no regular expression.
    """
    text = pattern.strip()
    if not text:
        return lambda _message: True
    if text[0] in "{[":
        raise _invalid("The sandbox knows filter patterns for text only, not for JSON or columns")
    if len(text) > 2 and text[0] == text[-1] == "%":
        try:
            expression = re.compile(text[1:-1])
        except re.error as error:
            raise _invalid(f"Invalid filter pattern: {error}") from None
        return lambda message: expression.search(message) is not None
    wanted: List[str] = []
    optional: List[str] = []
    excluded: List[str] = []
    for match in _TERM.finditer(text):
        word = re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
        {"": wanted, "?": optional, "-": excluded}[match[1]].append(word)
    return lambda message: (
        all(word in message for word in wanted)
        and (not optional or bool(wanted) or any(word in message for word in optional))
        and not any(word in message for word in excluded)
    )


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)
