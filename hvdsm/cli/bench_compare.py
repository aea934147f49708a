"""``hvdsm bench network --compare``."""

from __future__ import annotations

from typing import Optional

import click

from hvdsm.cli.bench_show import write_text
from hvdsm.cli.jobs_common import print_json, say, shown


def compare_files(first: str, second: str, *, html: Optional[str], as_json: bool) -> int:
    """Compare two results: lines or JSON, and a page where one is asked for.

    Raises:
        ConfigError: a file is none of ours, or the page cannot be written.
    """
    from hvdsm.bench import compare_page, record
    from hvdsm.bench.compare import compare

    found = compare(record.read(first), record.read(second))
    if html is not None:
        write_text(html, compare_page.render(found))
    if as_json:
        print_json(found.as_json())
    else:
        shown(found.lines())
    if html is not None:
        say(f"page: {click.format_filename(html)}")
    return 0
