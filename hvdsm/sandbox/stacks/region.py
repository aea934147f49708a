"""The stacks of a region, and the clock that drives them.

Nothing runs by itself: whoever asks for a stack, or for what EC2 has, first lets everything happen that is due.  So a stack's
history is the same however often it is looked at, and no thread is left over at the end.
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional

from hvdsm.sandbox.stacks.endpoints import forget
from hvdsm.sandbox.stacks.operations import Life, Operations
from hvdsm.sandbox.stacks.records import DELETED, Stack
from hvdsm.sandbox.stacks.scripts import Entry, Scripts
from hvdsm.sandbox.stacks.templates import bad
from hvdsm.sandbox.stacks.world import World
from hvdsm.vpc.templates.rendering import Setting

_ARN = "arn:aws:cloudformation:{}:{}:{}/{}/{}"


@dataclass
class Leaving:
    """A network interface that goes at a time."""

    due: float
    interface: str


class Region:
    """The stacks of a region.

    Args:
        world: where their resources are.
        scripts: what becomes of them.
        clock: seconds since the epoch.
    """

    def __init__(self, world: World, scripts: Scripts, clock: Callable[[], float] = time.time) -> None:
        self.world = world
        self.scripts = scripts
        self.clock = clock
        self.lock = threading.RLock()
        self.stacks: Dict[str, Stack] = {}
        self.leaving: List[Leaving] = []
        self.operations = Operations(world, self.check_exports)

    def advance(self) -> float:
        """Let everything happen that is due; the time up to which it has happened."""
        with self.lock:
            now = self.clock()
            while True:
                busy = [stack for stack in self.stacks.values() if stack.operation is not None and stack.due <= now]
                gone = [one for one in self.leaving if one.due <= now]
                first = min(busy, key=lambda it: it.due) if busy else None
                early = min(gone, key=lambda it: it.due) if gone else None
                if early is not None and (first is None or early.due <= first.due):
                    self.leaving.remove(early)
                    forget(self.world.backend, early.interface)
                elif first is not None:
                    self._resume(first)
                else:
                    return now

    def begin(self, stack: Stack, life: Life, now: float) -> None:
        """Begin an operation; it goes on whenever the time advances."""
        stack.operation, stack.due = life, now
        self._resume(stack)

    def _resume(self, stack: Stack) -> None:
        assert stack.operation is not None
        try:
            stack.due = next(stack.operation)
        except StopIteration:
            stack.operation = None
        except Exception as error:
            # A mistake of the sandbox must not leave a stack that never ends.
            stack.operation = None
            failed = stack.status.replace("_IN_PROGRESS", "").replace("_COMPLETE_CLEANUP", "") + "_FAILED"
            stack.tell(stack.due, failed, f"Internal failure: {type(error).__name__}: {error}")

    def new_stack(self, name: str, now: float) -> Stack:
        """A stack of a name."""
        identifier = _ARN.format(self.world.region, self.world.account, "stack", name, uuid.uuid4())
        stack = Stack(identifier, name, now)
        self.stacks[identifier] = stack
        return stack

    def change_set_id(self, name: str) -> str:
        """An ID for a change set."""
        return _ARN.format(self.world.region, self.world.account, "changeSet", name, uuid.uuid4())

    def find(self, name: str) -> Optional[Stack]:
        """The stack of an ID, deleted or not, or the live one of a name."""
        if name in self.stacks:
            return self.stacks[name]
        live = [stack for stack in self.stacks.values() if stack.name == name and stack.status != DELETED]
        return live[-1] if live else None

    def existing(self, name: str) -> Stack:
        """The same.

        Raises:
            ServiceError: there is none.
        """
        found = self.find(name)
        if found is None:
            raise bad(f"Stack with id {name} does not exist")
        return found

    def script(self, stack: Stack) -> Entry:
        """What becomes of an operation."""
        return self.scripts.find(stack.name)

    def setting(self, name: str) -> Setting:
        """What templates are rendered for."""
        return Setting(self.world.region, self.world.account, "aws", name, self.world.zones())

    def exports(self, *, but: Optional[Stack] = None) -> Dict[str, Stack]:
        """Names of exports, and whose they are."""
        found = {}
        for stack in self.stacks.values():
            if stack is not but and stack.status != DELETED:
                found.update({entry["ExportName"]: stack for entry in stack.outputs if "ExportName" in entry})
        return found

    def export_values(self) -> Dict[str, str]:
        """Values of exports."""
        found = {}
        for stack in self.stacks.values():
            found.update({entry["ExportName"]: entry["OutputValue"] for entry in stack.outputs if "ExportName" in entry})
        return found

    def importers(self, export: str) -> List[str]:
        """Names of the stacks that use an export."""
        live = [stack for stack in self.stacks.values() if stack.status != DELETED and stack.wanted is not None]
        return sorted(stack.name for stack in live if stack.wanted is not None and export in stack.wanted.imports)

    def check_exports(self, stack: Stack, outputs: List[Dict[str, str]]) -> Optional[str]:
        """Why a stack cannot have these outputs, None if it can."""
        others = self.exports(but=stack)
        made = {entry["ExportName"]: entry["OutputValue"] for entry in outputs if "ExportName" in entry}
        for name in made:
            if name in others:
                return f"Export with name {name} is already exported by stack {others[name].name}. "
        before = {entry["ExportName"]: entry["OutputValue"] for entry in stack.outputs if "ExportName" in entry}
        for name, value in before.items():
            if made.get(name) == value:
                continue
            users = self.importers(name)
            if users:
                what = "updated" if name in made else "deleted"
                return f"Export {name} cannot be {what} as it is in use by {_and(users)}"
        return None

    def in_use(self, stack: Stack) -> Optional[str]:
        """Why a stack cannot be deleted, None if it can."""
        for entry in stack.outputs:
            users = self.importers(entry["ExportName"]) if "ExportName" in entry else []
            if users:
                return f"Delete canceled. Cannot delete export {entry['ExportName']} as it is in use by {_and(users)}."
        return None


def _and(names: List[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
