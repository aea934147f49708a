"""YAML by the core schema of YAML 1.2 (section 10.3), whose scalars are those of JSON; PyYAML itself follows YAML 1.1.

By 1.1 ``on`` is a boolean, ``12:30`` a number, ``2026-01-31`` a date, and ``1e-3`` a text.
"""

from __future__ import annotations

import re
from typing import Any, Dict

import yaml

from hvdsm.settings.hyperparameters import WrongText


class _Loader(yaml.SafeLoader):
    """Safe, strict about names, with scalars of its own."""

    yaml_implicit_resolvers: Dict[str, Any] = {}  # noqa: RUF012 - so does the class that it is from

    def compose_mapping_node(self, anchor: Any) -> Any:
        """A mapping as it is written; a name that is there twice is an error."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for name, _ in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise WrongText("a name is no text", name.start_mark.line + 1, remedy="write names in quotes")
            # What `<<` brings may be replaced by a name of the mapping itself.
            if name.tag != "tag:yaml.org,2002:merge" and (name.tag, name.value) in seen:
                raise WrongText(f"{name.value} is given twice", name.start_mark.line + 1, remedy="leave one of them out")
            seen.add((name.tag, name.value))
        return node


for _kind, _pattern, _first in (
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    # A number with leading zeros is more often an identifier: it stays a text, as in JSON.
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+.")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), _first)


def load(text: str) -> Any:
    """The value of a YAML document.

    Raises:
        WrongText: it is no YAML, more than one document, or has a name twice.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise WrongText(f"is no YAML: {error.problem or error.context}", None if mark is None else mark.line + 1) from None
    except yaml.YAMLError as error:
        raise WrongText(f"is no YAML: {error}") from None
    except ValueError as error:
        if isinstance(error, WrongText):
            raise
        raise WrongText(f"has a value that cannot be read ({error})") from None
