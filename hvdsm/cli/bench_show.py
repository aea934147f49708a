"""Shows what ``hvdsm bench network`` found: tables on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List

import click

from hvdsm.bench.record import Bench, to_json
from hvdsm.errors import ConfigError

JSON, PAGE = "network.json", "network.html"


def write_text(path: str, text: str) -> None:
    """Write a file, whole or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    new = f"{path}.{os.getpid()}.new"
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(new, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(new, path)
    except OSError as error:
        raise ConfigError(error.strerror or str(error), where=path, remedy="name another place") from None


def check_place(path: str) -> None:
    """Refuse a file that could not be written, before anything is measured.

    Raises:
        ConfigError: its directory cannot be made or written, or it is a directory.
    """
    folder = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise ConfigError(error.strerror or str(error), where=path, remedy="name another place") from None
    if os.path.isdir(path) or not os.access(folder, os.W_OK):
        why = "is a directory" if os.path.isdir(path) else f"{folder} cannot be written"
        raise ConfigError(why, where=path, remedy="name another place")


def write_results(bench: Bench, directory: str, html: Any = None) -> Dict[str, str]:
    """Write the document and its page; their paths.

    Raises:
        ConfigError: they cannot be written.
    """
    from hvdsm.bench.page import render

    paths = {"json": os.path.join(directory, JSON), "html": html or os.path.join(directory, PAGE)}
    write_text(paths["json"], json.dumps(to_json(bench), indent=1, allow_nan=False) + "\n")
    write_text(paths["html"], render(bench))
    return paths


def show(bench: Bench, *, terminal: bool) -> None:
    """Print the result to standard output."""
    from hvdsm.bench.assembling import lines

    if not terminal:
        for line in lines(bench):
            click.echo(line)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for table in tables(bench):
        console.print(table)
    for one in bench.not_measured:
        console.print(Text(f"not measured: {one.engine}: {one.why}", style="yellow"))
    for finding in bench.findings:
        console.print(Text(finding.what, style="bold red"))
    if not bench.findings:
        console.print(Text(lines(bench)[-1], style="green"))


def tables(bench: Bench) -> List[Any]:
    """Between pairs, and of all-reduces, for a terminal."""
    from rich.box import SIMPLE
    from rich.table import Table

    from hvdsm.bench.analysis import rate_text, size_text, time_text
    from hvdsm.bench.words import plural

    found = []
    title = f"{plural(len(bench.hosts), 'host')}, {plural(len(bench.pairs), 'pair')}"
    between = Table("", "best", "median", "worst", box=SIMPLE, title=title)
    for title, extremes, text in (
        ("latency, one way", bench.summary.latency_us, time_text),
        ("bandwidth", bench.summary.bandwidth_mb_s, rate_text),
    ):
        if extremes is not None:
            best, worst = (f"{text(end.value)}\n{' - '.join(end.pair)}" for end in (extremes.best, extremes.worst))
            between.add_row(title, best, text(extremes.median), worst)
    found.append(between)
    if bench.allreduce:
        reduced = Table("all-reduce", "size", "time", "of the bus", box=SIMPLE)
        for one in bench.allreduce:
            for point in one.points[-1:]:
                size, rate = f"{size_text(point.bytes)}B", rate_text(point.bus_bandwidth_gb_s * 1e3)
                reduced.add_row(one.engine, size, time_text(point.time_us.median), rate)
        found.append(reduced)
    return found
