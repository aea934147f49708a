"""What a template could do and does in none of its forms: conditions that never change, values that are always refused."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Set

from hvdsm.vpc.templates.groups import Finding
from hvdsm.vpc.templates.rendering import Rendered


class Coverage:
    """Takes note of each form that can be made.

    Args:
        template: the template, before values are put in.
    """

    def __init__(self, template: Mapping[str, Any]) -> None:
        self._template = template
        self._made: Set[str] = set()
        self._values: Dict[str, Set[str]] = {}
        self._forms = 0
        self._counts: Dict[str, int] = {}
        self._refused: List[Mapping[str, str]] = []

    def note_refused(self, form: Mapping[str, str]) -> None:
        """Take note of a form that the template's own rules refuse."""
        self._refused.append(form)

    def note(self, rendered: Rendered) -> None:
        """Take note of a form."""
        self._forms += 1
        for name in [*rendered.resources, *(f"output {name}" for name in rendered.outputs)]:
            self._counts[name] = self._counts.get(name, 0) + 1
        for name, value in rendered.parameters.items():
            self._values.setdefault(name, set()).add(str(value))

    def findings(self) -> Iterator[Finding]:
        """What no form had."""
        if not self._forms:
            return
        for section, prefix in (("Resources", ""), ("Outputs", "output ")):
            for name, entry in (self._template.get(section) or {}).items():
                count = self._counts.get(prefix + name, 0)
                if count == 0:
                    yield Finding("never-made", name, "is made with no value of the parameters", "correct its condition")
                elif count == self._forms and "Condition" in entry:
                    what = f"is made with every value of the parameters, whatever {entry['Condition']} says"
                    yield Finding("never-made", name, what, "correct its condition")
        for form in self._refused:
            if _is_sound(form):
                zones = [f"{name}={value}" for name, value in form.items() if name.startswith("AvailabilityZone") and value]
                given = ", ".join(zones)
                yield Finding("always-refused", "", f"the rules refuse {given}", "correct the rules")
        for name, about in (self._template.get("Parameters") or {}).items():
            for value in about.get("AllowedValues") or ():
                if name in self._values and len(self._values[name]) > 1 and str(value) not in self._values[name]:
                    yield Finding("always-refused", name, f"{value} is refused with every other value", "correct the rules")


def _is_sound(form: Mapping[str, str]) -> bool:
    """Whether rules should take the zones of a form: all named and distinct, or none, and none beyond the count."""
    count = form.get("AvailabilityZoneCount", "")
    if count not in ("1", "2", "3"):
        return False
    named = [form.get(f"AvailabilityZone{number}", "") for number in (1, 2, 3)]
    used, rest = named[: int(count)], named[int(count) :]
    return not any(rest) and (not any(used) or (all(used) and len(set(used)) == len(used)))
