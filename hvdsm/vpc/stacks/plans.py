"""What is asked of a stack, and what would become of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

from hvdsm.aws.cloudformation import Stack
from hvdsm.vpc.stacks.change import UPDATE, ChangeSet
from hvdsm.vpc.stacks.costs import Costs
from hvdsm.vpc.stacks.stack_parameters import Chosen, Wish

DEFAULT_NAME = "hvdsm-training"
TIMEOUT = 1800.0
# The property by which a resource of IAM is given a name of one's own.
_NAME_OF = {f"AWS::IAM::{kind}": f"{kind}Name" for kind in ("Role", "User", "Group", "ManagedPolicy", "InstanceProfile")}


@dataclass(frozen=True)
class Order:
    """A network that is to be made or changed.

    Attributes:
        name: of the stack.
        template: text of the template; None is the one that comes with hvdsm.
        wish: what is asked of it.
        tags: of the stack and all that it has; those of an existing stack stay beside them.
        protect: whether the stack is protected against deletion; None protects a new one, and leaves another as it is.
        recreate: whether a stack that never was whole is deleted first.
        timeout: seconds that it may take in all.
        interval: seconds between two looks.
    """

    name: str = DEFAULT_NAME
    template: Optional[str] = None
    wish: Wish = field(default_factory=Wish)
    tags: Mapping[str, str] = field(default_factory=dict)
    protect: Optional[bool] = None
    recreate: bool = False
    timeout: float = TIMEOUT
    interval: float = 2.0


@dataclass(frozen=True)
class Plan:
    """What would become of a stack.

    Attributes:
        order: what is asked for.
        before: the stack as it is; None where there is none, or an empty one.
        change_set: the change set.
        chosen: parameters.
        costs: by the month afterwards; None where the template cannot be worked out here.
        notes: what was decided, and warnings.
        deadline: when it must be through, by the clock of the process.
    """

    order: Order
    before: Optional[Stack]
    change_set: ChangeSet
    chosen: Chosen
    costs: Optional[Costs]
    notes: Tuple[str, ...] = ()
    deadline: float = 0.0

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return not self.change_set.changes and self.change_set.kind == UPDATE

    @property
    def warnings(self) -> List[str]:
        """What somebody should know before it is done."""
        found: Dict[str, List[str]] = {}
        for change in self.change_set.changes:
            if change.cuts:
                how = "may be replaced" if change.replacement == "Conditional" else "are replaced"
                found.setdefault("are removed" if change.action == "Remove" else how, []).append(change.logical_id)
        cut = "jobs that run in the network are cut off"
        order = ("are removed", "are replaced", "may be replaced")
        return [f"{', '.join(found[how])} {how}: {cut}" for how in order if how in found]

    def as_json(self) -> Dict[str, Any]:
        """For machines."""
        return {
            "name": self.order.name,
            "operation": None if self.nothing else self.change_set.kind,
            "changes": [change.as_json() for change in self.change_set.changes],
            "warnings": self.warnings + [note[len("warning: ") :] for note in self.notes if note.startswith("warning: ")],
            "notes": [note for note in self.notes if not note.startswith("warning: ")],
            "parameters": self.chosen.effective,
            "parameters_sent": sorted(self.chosen.given),
            "costs": None if self.costs is None else self.costs.as_json(),
        }


def capabilities(template: Mapping[str, Any]) -> List[str]:
    """What CloudFormation wants to be allowed explicitly for a template.

    >>> capabilities({"Resources": {"Role": {"Type": "AWS::IAM::Role", "Properties": {}}}})
    ['CAPABILITY_IAM']
    """
    found: List[str] = []
    entries = [entry for entry in template["Resources"].values() if isinstance(entry, Mapping)]
    roles = [entry for entry in entries if str(entry.get("Type", "")).startswith("AWS::IAM::")]
    if any(_NAME_OF.get(str(entry["Type"]), "none") in (entry.get("Properties") or {}) for entry in roles):
        found.append("CAPABILITY_NAMED_IAM")
    elif roles:
        found.append("CAPABILITY_IAM")
    if "Transform" in template or any(entry.get("Type") == "AWS::CloudFormation::Stack" for entry in entries):
        found.append("CAPABILITY_AUTO_EXPAND")
    return found
