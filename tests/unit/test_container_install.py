"""What a source needs is installed once, into the Python that runs it: by a real pip, from a real index on loopback."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import threading
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Dict, Iterator, List

import pytest

from hvdsm.compose.environment import Paths
from hvdsm.container.config import ContainerConfig
from hvdsm.container.install import pip_environment
from hvdsm.container.source import bring, command_in, entry_command
from hvdsm.errors import ConfigError
from hvdsm.model import Cluster, Distribution, TrainingJob


class Tokens(BaseHTTPRequestHandler):
    """CodeArtifact's one call."""

    asked: ClassVar[List[str]] = []

    def do_POST(self) -> None:
        """Give a token."""
        Tokens.asked.append(self.path)
        body = b'{"authorizationToken": "the-token", "expiration": 1}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        """Nothing."""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files."""

    def log_message(self, *_words: Any) -> None:
        """Nothing."""


def wheel(folder: Path, name: str) -> None:
    """A wheel with one module, made by hand."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": f"WHO = {name!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text)}")
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", "\n".join([*lines, f"{info}/RECORD,,"]) + "\n")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A package index on loopback."""
    root = tmp_path_factory.mktemp("index")
    wheel(root / "simple" / "wanted-thing", "wanted_thing")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://user:sesame@127.0.0.1:{server.server_port}/simple/"
        server.shutdown()


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python of its own with pip, so that this one stays as it is."""
    place = tmp_path_factory.mktemp("image") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    return str(place / "bin" / "python")


@pytest.fixture
def environ(index: str) -> Dict[str, str]:
    """pip's settings in a container."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PIP_INDEX_URL": index, "PIP_NO_CACHE_DIR": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}


def config(base: Path, program: str, files: Dict[str, str]) -> ContainerConfig:
    paths = Paths(str(base))
    for name, text in files.items():
        path = Path(paths.code, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    job = TrainingJob("job", program, Distribution("none"), {"a": "b c"}, {})
    return ContainerConfig(paths, Cluster(("a",), "a"), job, {}, {}, 20, None)


class Log:
    """What was said."""

    def __init__(self) -> None:
        self.lines: List[str] = []

    def __call__(self, text: str, prefix: str = "") -> None:
        self.lines.append(prefix + text)


def test_requirements_are_installed_and_found(tmp_path: Path, environ: Dict[str, str], python: str) -> None:
    log = Log()
    found = bring(config(tmp_path, "train.py", {"train.py": "", "requirements.txt": "wanted-thing\n"}), environ, log, python)
    assert found.command[1:] == ["train.py", "-a", "b c"]
    said = subprocess.run(
        [python, "-c", "import wanted_thing; print(wanted_thing.WHO)"], capture_output=True, text=True, check=True
    )
    assert said.stdout == "wanted_thing\n"
    assert any(line.startswith("pip: Successfully installed wanted") for line in log.lines)
    assert not any("sesame" in line for line in log.lines)
    assert subprocess.run([sys.executable, "-c", "import wanted_thing"], stderr=subprocess.DEVNULL, check=False).returncode != 0


def test_a_requirement_that_is_not_there_is_named(tmp_path: Path, environ: Dict[str, str], python: str) -> None:
    log = Log()
    with pytest.raises(ConfigError) as error:
        bring(config(tmp_path, "train.py", {"train.py": "", "requirements.txt": "no-such-thing==9\n"}), environ, log, python)
    text = str(error.value)
    assert text.startswith("requirements.txt: pip ended with exit code 1: it cannot find no-such-thing==9")
    assert "PIP_INDEX_URL" in text
    assert "sesame" not in text + "".join(log.lines)


def test_packages_that_are_there_already_are_only_found(tmp_path: Path, environ: Dict[str, str]) -> None:
    variables = {**environ, "HVDSM_PACKAGES": "/opt/packages"}
    found = bring(
        config(tmp_path, "train.py", {"train.py": "", "requirements.txt": "no-such-thing\n"}), variables, Log(), "/no/python"
    )
    assert found.python_path == ("/opt/packages",)


def test_a_shell_entry_point_installs_for_itself(tmp_path: Path, environ: Dict[str, str]) -> None:
    files = {"run.sh": "true\n", "requirements.txt": "no-such-thing\n"}
    assert bring(config(tmp_path, "run.sh", files), environ, Log(), "/no/python").command[3] == "./run.sh"


@pytest.mark.parametrize(
    ("files", "program", "words"),
    [
        ({"setup.py": "", "train.py": ""}, "train.py", ["-m", "train"]),
        ({"setup.py": "", "pkg/main.py": ""}, "pkg.main", ["-m", "pkg.main"]),
        ({"pyproject.toml": "[project]\nname='x'", "pkg/main.py": "", "pkg/__init__.py": ""}, "pkg/main.py", ["-m", "pkg.main"]),
        ({"pyproject.toml": "[build-system]\n", "scripts/main.py": ""}, "scripts/main.py", ["scripts/main.py"]),
        ({"setup.py": "", "train.v2.py": ""}, "train.v2.py", ["train.v2.py"]),
        ({"setup.py": "", "src/pkg/main.py": ""}, "pkg/main.py", ["-m", "pkg.main"]),
        ({"pkg/main.py": ""}, "pkg/main", ["-m", "pkg.main"]),
        ({"pyproject.toml": "[tool.ruff]\n", "train.py": ""}, "train.py", ["train.py"]),
        ({"pkg/main.py": ""}, "pkg.main", ["-m", "pkg.main"]),
        ({"pkg/__main__.py": ""}, "pkg", ["-m", "pkg"]),
        ({"sub/train.py": ""}, "sub/train.py", ["sub/train.py"]),
        ({"a b/é '\".py": ""}, "a b/é '\".py", ["a b/é '\".py"]),
    ],
)
def test_how_python_entry_points_are_run(tmp_path: Path, files: Dict[str, str], program: str, words: List[str]) -> None:
    where = config(tmp_path, program, files).paths.code
    assert command_in(where, program, ["x\ny"]) == [sys.executable, *words, "x\ny"]


def test_shell_scripts_and_programs_go_by_their_names(tmp_path: Path) -> None:
    where = config(tmp_path, "x", {"setup.py": "", "run.sh": "", "tool": ""}).paths.code
    called = ["/bin/sh", "-c", 'exec "$0" "$@"']
    assert command_in(where, "run.sh", ["a"]) == [*called, "./run.sh", "a"]
    os.unlink(os.path.join(where, "setup.py"))
    assert command_in(where, "tool", ["a"]) == [*called, "./tool", "a"]
    with pytest.raises(ConfigError, match=r"it holds: run\.sh, tool"):
        command_in(where, "train.py", [])


@pytest.mark.parametrize("name", ["run.sh", "tool"])
@pytest.mark.parametrize("first", ["#!/bin/bash\n", "#!/usr/bin/env bash\n", ""])
def test_the_first_line_of_a_script_names_who_runs_it(tmp_path: Path, name: str, first: str) -> None:
    text = first + 'printf "%s|" "${BASH_VERSION:+bash}" "$@"\n'
    where = config(tmp_path, name, {name: text}).paths
    done = subprocess.run(
        entry_command(where, name, ["a b", "'c'", "$HOME"]), cwd=where.code, capture_output=True, text=True, check=True
    )
    shell, *arguments = done.stdout.split("|")
    assert arguments == ["a b", "'c'", "$HOME", ""]
    assert shell == "bash" or not first


FAKE_PIP = """#!/bin/sh
echo "$PIP_INDEX_URL" > "$SEEN"
echo "$@" >> "$SEEN"
echo "Looking in indexes: $PIP_INDEX_URL"
echo "ERROR: cannot reach $PIP_INDEX_URL"
exit 3
"""


def test_codeartifact_gives_the_index_and_its_token_stays_secret(
    tmp_path: Path, environ: Dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python").write_text(FAKE_PIP)
    (tmp_path / "python").chmod(0o755)
    with ThreadingHTTPServer(("127.0.0.1", 0), Tokens) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{service.server_port}",
            "AWS_ACCESS_KEY_ID": "A",
            "AWS_SECRET_ACCESS_KEY": "S",
        }.items():
            monkeypatch.setenv(name, value)
        arn = "arn:aws:codeartifact:eu-west-1:123456789012:repository/firm/tools"
        variables = {**environ, "CA_REPOSITORY_ARN": arn, "SEEN": str(tmp_path / "seen")}
        log = Log()
        source = config(tmp_path / "ml", "train.py", {"train.py": "", "requirements.txt": "x\n"})
        with pytest.raises(ConfigError) as error:
            bring(source, variables, log, str(tmp_path / "python"))
        service.shutdown()
    url, words = (tmp_path / "seen").read_text().splitlines()
    assert url == "https://aws:the-token@firm-123456789012.d.codeartifact.eu-west-1.amazonaws.com/pypi/tools/simple/"
    assert "the-token" not in words
    assert "domain=firm" in Tokens.asked[-1]
    assert "the-token" not in str(error.value) + "".join(log.lines)


@pytest.mark.parametrize("arn", ["x", "arn:aws:s3:::bucket", "arn:aws:codeartifact:r:1:repository/only"])
def test_a_wrong_repository_is_refused(arn: str) -> None:
    with pytest.raises(ConfigError, match="is no CodeArtifact repository"):
        pip_environment({"CA_REPOSITORY_ARN": arn}, Log())
