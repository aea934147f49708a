"""Shows what happens to a stack once something happens; before that there is no live tree in the way of other lines."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Callable, Optional, Sequence, TextIO, Type

from hvdsm.aws.cloudformation import StackEvent
from hvdsm.vpc.stacks.tree import Shown, shown


class Watching:
    """A context in which events are shown; see :func:`hvdsm.vpc.stacks.tree.shown`.

    Args:
        name: the stack's name.
        stream: where to.
        plain: prints a line of hvdsm's own while no tree is there.
        terminal: whether to draw a live tree; by default when the stream is a terminal.
    """

    def __init__(self, name: str, stream: TextIO, plain: Callable[[str], None], terminal: Optional[bool] = None) -> None:
        self._name = name
        self._stream = stream
        self._plain = plain
        self._terminal = terminal
        self._open = ExitStack()
        self._view: Optional[Shown] = None

    def __enter__(self) -> Watching:
        """Nothing is shown yet."""
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """The tree stays as it was last."""
        self._view = None
        self._open.close()

    def __call__(self, events: Sequence[StackEvent]) -> None:
        """Show what has happened."""
        if self._view is None:
            self._view = self._open.enter_context(shown(self._name, self._stream, terminal=self._terminal))
        self._view(events)

    def say(self, text: str) -> None:
        """A line of hvdsm's own, above the tree if there is one."""
        if self._view is None:
            self._plain(text)
        else:
            self._view.say(text)
