"""Check the Markdown files: ``make docs``.

Every link to a file of this repository leads to one, every ``#anchor`` to a heading, every path in backticks that begins with a
directory of the repository exists, every ``make TARGET`` is one, and code blocks in Python, JSON and shell parse. Links to
other sites are not fetched: whether they answer says nothing about this repository.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from typing import Dict, Iterator, List, NamedTuple, Set

import steps

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|!\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^ {0,3}```(\w*)")
DIRECTORIES = ("hvdsm", "tests", "docs", "examples", "tools", "containers", "vpc", "benchmarks")


class Block(NamedTuple):
    """A fenced code block: its language, the number of its first line, and its text."""

    language: str
    line: int
    text: str


class Page(NamedTuple):
    """A Markdown file, taken apart: prose lines by number, and code blocks."""

    path: str
    prose: Dict[int, str]
    blocks: List[Block]


def parse(path: str) -> Page:
    """Take a Markdown file apart."""
    prose: Dict[int, str] = {}
    blocks: List[Block] = []
    fenced: List[str] = []
    opened = None
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file.read().split("\n"), 1):
            fence = FENCE.match(line)
            if opened is None and fence:
                opened, fenced = (fence.group(1).lower(), number + 1), []
            elif opened is not None and fence:
                blocks.append(Block(opened[0], opened[1], "\n".join(fenced)))
                opened = None
            elif opened is not None:
                fenced.append(line)
            else:
                prose[number] = line
    if opened is not None:
        prose[opened[1] - 1] = "[unclosed code block](#unclosed-code-block)"
    return Page(path, prose, blocks)


def anchors(page: Page) -> Set[str]:
    """Return the anchors of a page's headings, made as GitHub makes them."""
    found: Set[str] = set()
    for line in page.prose.values():
        if line.startswith("#"):
            title = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", line.lstrip("#").strip())
            anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            count = 0
            while (anchor if not count else f"{anchor}-{count}") in found:
                count += 1
            found.add(anchor if not count else f"{anchor}-{count}")
    return found


def make_targets(makefile: str) -> Set[str]:
    """Return the targets of a Makefile."""
    with open(makefile, encoding="utf-8") as file:
        return set(re.findall(r"^([a-z][\w-]*):", file.read(), flags=re.MULTILINE))


def problems_of_links(page: Page, root: str) -> Iterator[str]:
    """Yield what is wrong with the links of a page."""
    for number, line in page.prose.items():
        for match in LINK.finditer(CODE.sub("", line)):
            target = match.group(1) or match.group(2)
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            path, _, anchor = target.partition("#")
            file = os.path.normpath(os.path.join(os.path.dirname(page.path), path)) if path else page.path
            if not os.path.exists(file):
                yield f"{os.path.relpath(page.path, root)}:{number}: link to {target}, which is not there"
            elif anchor and file.endswith(".md") and anchor not in anchors(parse(file)):
                yield f"{os.path.relpath(page.path, root)}:{number}: link to {target}, but there is no such heading"


def problems_of_words(page: Page, root: str, targets: Set[str]) -> Iterator[str]:
    """Yield paths and make targets that are named but do not exist."""
    code = [(number, word) for number, line in page.prose.items() for word in CODE.findall(line)]
    commands = [(block.line, line) for block in page.blocks if block.language in SHELLS for line in block.text.split("\n")]
    where = os.path.relpath(page.path, root)
    for number, word in code:
        if re.fullmatch(rf"(?:{'|'.join(DIRECTORIES)})/[\w./-]*", word) and not os.path.exists(os.path.join(root, word)):
            yield f"{where}:{number}: names {word}, which is not there"
    for number, text in code + commands:
        for target in re.findall(r"(?:^|\$ |&& )make ([a-z][\w-]*)", text):
            if target not in targets:
                yield f"{where}:{number}: names `make {target}`, which is no target"


SHELLS = ("sh", "bash", "shell", "console")


def problems_of_blocks(page: Page, root: str) -> Iterator[str]:
    """Yield code blocks that do not parse."""
    for block in page.blocks:
        where = f"{os.path.relpath(page.path, root)}:{block.line}"
        try:
            if block.language == "python":
                ast.parse(block.text)
            elif block.language == "json":
                json.loads(block.text)
            elif block.language in ("sh", "bash"):
                shell = subprocess.run(["bash", "-n"], input=block.text.encode(), capture_output=True, check=False)
                if shell.returncode:
                    yield f"{where}: this does not parse: {shell.stderr.decode().strip()}"
        except (SyntaxError, ValueError) as error:
            yield f"{where}: this {block.language} does not parse: {error}"


def markdown_files(root: str) -> List[str]:
    """Return the Markdown files at the root and under the directories of the repository."""
    found = [os.path.join(root, name) for name in os.listdir(root) if name.endswith(".md")]
    for name in DIRECTORIES:
        for directory, _, names in os.walk(os.path.join(root, name)):
            found += [os.path.join(directory, entry) for entry in names if entry.endswith(".md")]
    return sorted(found)


def problems(root: str) -> Iterator[str]:
    """Yield everything that is wrong in the Markdown files of a repository."""
    targets = make_targets(os.path.join(root, "Makefile"))
    for path in markdown_files(root):
        page = parse(path)
        yield from problems_of_links(page, root)
        yield from problems_of_words(page, root, targets)
        yield from problems_of_blocks(page, root)


def main(argv: List[str]) -> int:
    """Print every problem of the repository, or of the one named, and return 1 when there are any."""
    root = os.path.abspath(argv[0]) if argv else steps.REPOSITORY
    found = list(problems(root))
    for line in found:
        steps.say(line)
    steps.say(f"    {len(markdown_files(root))} Markdown files, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(steps.main_guard(main, sys.argv[1:]))
