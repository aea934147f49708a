"""Jobs in words: tables for terminals and for files; pure but for the drawing of :mod:`rich`."""

from __future__ import annotations

from typing import List, Sequence

from hvdsm.jobs.base import IN_PROGRESS, JobState, Summary
from hvdsm.jobs.times import shown_seconds, shown_time

_HEADS = ("NAME", "WHERE", "STATUS", "EXIT", "CREATED", "TOOK", "PLACE")
_COLOURS = {"Completed": "green", "Failed": "red", "Lost": "red", "Stopped": "yellow", "Stopping": "yellow", IN_PROGRESS: "cyan"}


def rows(jobs: Sequence[Summary], now: float) -> List[List[str]]:
    """The cells of a list of jobs."""
    found = []
    for job in jobs:
        end = now if job.status == IN_PROGRESS else job.ended
        took = "-" if end is None else shown_seconds(end - job.created)
        code = "-" if job.exit_code is None else str(job.exit_code)
        found.append([job.name, job.backend, job.status, code, shown_time(job.created), took, job.place])
    return found


def plain(jobs: Sequence[Summary], now: float) -> List[str]:
    """Aligned lines."""
    cells = [list(_HEADS), *rows(jobs, now)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]


def drawn(jobs: Sequence[Summary], now: float) -> str:
    """A table for a terminal."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for head in _HEADS:
        table.add_column(head, overflow="fold", no_wrap=head in ("EXIT", "CREATED", "TOOK", "STATUS"))
    for row in rows(jobs, now):
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "") if head == "STATUS" else "") for head, cell in zip(_HEADS, row)))
    text = StringIO()
    console = Console(file=text, force_terminal=True, width=Console().width)
    console.print(table)
    return text.getvalue()


def state_lines(state: JobState, place: str) -> List[str]:
    """How a job is, a line for each thing."""
    summary = state.summary
    secondary = f" ({state.secondary})" if state.secondary and state.secondary != summary.status else ""
    found = [
        ("job", summary.name),
        ("found in", place),
        ("status", summary.status + secondary),
        ("created", shown_time(summary.created)),
    ]
    if summary.ended is not None:
        found.append(("ended", shown_time(summary.ended)))
    if state.seconds:
        found.append(("elapsed", shown_seconds(state.seconds)))
    if state.hosts:
        ranks = state.outcome.ranks_per_host if state.outcome is not None else {}
        few = state.hosts if len(state.hosts) <= 4 else (*state.hosts[:2], "…", state.hosts[-1])
        size = f"; {sum(ranks.values())} ranks" if ranks else ""
        found.append(("hosts", f"{len(state.hosts)} ({', '.join(few)}){size}"))
    if state.phases:
        reached = sorted(state.phases.items(), key=lambda pair: pair[1])
        found.append(("phases", ", ".join(f"{name} after {shown_seconds(at)}" for name, at in reached)))
    if state.exit_code is not None:
        found.append(("exit code", str(state.exit_code)))
    found += [("failure" if not n else "", line) for n, line in enumerate(state.failure_lines)]
    if state.outcome is not None and state.outcome.model_dir:
        found.append(("model", state.outcome.model_dir))
    if state.directory and state.directory != place:
        found.append(("kept in", state.directory))
    found += [("note", text) for text in state.notes]
    pieces = [(name if not n else "", part) for name, text in found for n, part in enumerate(text.split("\n"))]
    return [f"{name:<10} {part}".rstrip() for name, part in pieces]
