"""The tree speaks of the project alone, and its entry points agree with each other."""

from __future__ import annotations

import ast
import re
import subprocess
from typing import List

import check_docs
from packaging_support import REPOSITORY

# Put together from pieces, so that this file does not find itself.
FORBIDDEN = [
    "py" + r"pi\.org",
    "python" + "hosted",
    "/opt/" + "pypi",
    r"\.py" + "env",
    r"(?<![\w.])/wo" + r"rk/(?:main|shared|\.)",
    r"\.\./sha" + "red/",
    "TO" + "DO",
    "FIX" + "ME",
]
TEXT = (".py", ".md", ".cfg", ".toml", ".txt", ".yml", ".yaml", ".json", ".sh", ".template", "Makefile", "run", "Dockerfile")


def test_no_machine_and_no_registry_is_named(repository_files: List[str]) -> None:
    pattern = re.compile("|".join(f"(?:{word})" for word in FORBIDDEN))
    found = []
    for name in repository_files:
        if name.endswith(TEXT):
            text = (REPOSITORY / name).read_text(encoding="utf-8")
            found += [
                f"{name}:{number}: {line.strip()}" for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)
            ]
    assert found == []


def test_no_merge_is_left_half_done(repository_files: List[str]) -> None:
    pattern = re.compile(rb"^(<{7} |>{7} )", flags=re.MULTILINE)
    assert [name for name in repository_files if pattern.search((REPOSITORY / name).read_bytes())] == []


def test_python_files_use_no_mock_patch(repository_files: List[str]) -> None:
    def imports_mock(name: str) -> bool:
        tree = ast.parse((REPOSITORY / name).read_bytes(), name)
        imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        imported += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        return any(module.startswith("unittest.mock") or module == "mock" for module in imported)

    assert [name for name in repository_files if name.endswith(".py") and imports_mock(name)] == []


def test_makefile_has_the_promised_targets() -> None:
    assert {"setup", "demo", "test", "check", "bench", "docs"} <= check_docs.make_targets(str(REPOSITORY / "Makefile"))


def test_make_alone_lists_every_target() -> None:
    shown = subprocess.run(["make", "--no-print-directory"], cwd=REPOSITORY, stdout=subprocess.PIPE, check=True).stdout.decode()
    targets = check_docs.make_targets(str(REPOSITORY / "Makefile"))
    assert {line.split()[1] for line in shown.splitlines()} == targets


def test_ci_runs_the_command_of_the_readme() -> None:
    assert "\nmake test\n" in (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    assert "\nmake test\n" in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_ci_script_is_executable_and_parses() -> None:
    script = REPOSITORY / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_licence_is_apache_2() -> None:
    text = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text and "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text


def test_changelog_names_the_current_version_or_has_unreleased_changes() -> None:
    version: dict = {}
    exec((REPOSITORY / "hvdsm" / "version.py").read_text(encoding="utf-8"), version)
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{version['__version__']}]" in changelog or "## [Unreleased]" in changelog
