"""What a source needs is installed once, into the Python that runs it: by a real pip, from a real index on loopback."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Dict, Iterator, List, Optional, Tuple

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from test_container_fetch import ROOT, SECRET, Server, server, with_aws

from hvdsm.compose.environment import Paths
from hvdsm.container.codeartifact import index_url
from hvdsm.container.config import ContainerConfig
from hvdsm.container.install import failing_requirement, pip_environment, secrets_of, without
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


__all__ = ["server"]


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
    wheel(root / "simple" / "other-thing", "other_thing")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root))) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
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


def test_nothing_is_left_of_packages_that_cannot_be_installed(tmp_path: Path, environ: Dict[str, str], python: str) -> None:
    variables = {**environ, "HVDSM_REHEARSAL": "1", "TMPDIR": str(tmp_path)}
    with pytest.raises(ConfigError, match="it cannot find no-such-thing"):
        bring(
            config(tmp_path / "ml", "train.py", {"train.py": "", "requirements.txt": "no-such-thing\n"}), variables, Log(), python
        )
    assert os.listdir(tmp_path) == ["ml"]


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
        threading.Thread(target=service.serve_forever, args=(0.02,), daemon=True).start()
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


ARN = "arn:aws:codeartifact:eu-west-1:123456789012:repository/firm/tools"
URL = "https://aws:the-token@firm-123456789012.d.codeartifact.eu-west-1.amazonaws.com/pypi/tools/simple/"


def test_a_token_by_a_signed_request(server: Server) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T"}
    assert index_url(ARN, {**keys, "AWS_ENDPOINT_URL_CODEARTIFACT": server.url}, Log(), clients=["request"]) == URL
    seen = server.seen[-1]
    assert seen["path"] == "/v1/authorization-token?domain=firm&domain-owner=123456789012"
    request = AWSRequest("POST", server.url + seen["path"])
    for name in ("x-amz-content-sha256", "x-amz-date", "x-amz-security-token"):
        request.headers[name] = seen[name]
    request.context["timestamp"] = seen["x-amz-date"]
    auth = SigV4Auth(BotoCredentials("A", "S", "T"), "codeartifact", "eu-west-1")
    text = auth.string_to_sign(request, auth.canonical_request(request))
    assert seen["authorization"].endswith("Signature=" + auth.signature(text, request))


def test_a_token_by_the_aws_command(tmp_path: Path) -> None:
    answer = 'echo \'{"authorizationToken": "the-token"}\'\n'
    variables = with_aws(tmp_path, '#!/bin/sh\necho "$@" >> "$SEEN"\n' + answer)
    assert index_url(ARN, variables, Log(), clients=["aws"]) == URL
    words = "--region eu-west-1 --domain firm --domain-owner 123456789012"
    assert (tmp_path / "seen").read_text() == f"codeartifact get-authorization-token --output json {words}\n"
    (tmp_path / "bin" / "aws").write_text("#!/bin/sh\necho 'AccessDeniedException: not you' >&2\nexit 254\n")
    with pytest.raises(ConfigError, match=r"no token can be had: AccessDeniedException: not you\n.*GetAuthorizationToken"):
        index_url(ARN, variables, Log(), clients=["aws", "request"])


def test_a_repository_in_china() -> None:
    with pytest.raises(ConfigError, match=r"no token can be had: .*codeartifact.cn-north-1.amazonaws.com.cn"):
        index_url(
            "arn:aws-cn:codeartifact:cn-north-1:1:repository/d/r",
            {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S", "https_proxy": "http://127.0.0.1:9"},
            Log(),
            clients=["request"],
        )


@pytest.fixture(params=["rehearsal", "managed", "read-only", "none of them"])
def image(request: pytest.FixtureRequest, tmp_path: Path, python: str) -> Tuple[str, str]:
    """A Python that says of itself what others do, and why nothing may be installed into it."""
    script = tmp_path / "python"
    sites = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True, check=True
    ).stdout.split()
    facts = {
        "writable": request.param != "read-only",
        "managed": request.param == "managed",
        "sites": sites,
        "library": f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages",
    }
    script.write_text(f'#!/bin/sh\nif [ "$1" = -c ]; then echo \'{json.dumps(facts)}\'; else exec {python} "$@"; fi\n')
    script.chmod(0o755)
    return request.param, str(script)


def test_what_may_not_be_changed_is_left_as_it_is(
    tmp_path: Path, environ: Dict[str, str], python: str, image: Tuple[str, str]
) -> None:
    why, script = image
    subprocess.run([python, "-m", "pip", "install", "-q", "wanted-thing"], env=environ, check=True)
    subprocess.run([python, "-m", "pip", "uninstall", "-qy", "other-thing"], env=environ, check=True)
    variables = {**environ, "TMPDIR": str(tmp_path), "PIP_TARGET": str(tmp_path / "astray")}
    if why == "rehearsal":
        variables["HVDSM_REHEARSAL"] = "1"
    if why == "none of them":
        del variables["PIP_TARGET"]
    log = Log()
    files = {"train.py": "", "requirements.txt": "wanted-thing\nother-thing\n"}
    found = bring(config(tmp_path / "ml", "train.py", files), variables, log, script)
    own = subprocess.run([python, "-c", "import other_thing"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    assert own == (why == "none of them")
    assert bool(found.python_path) != own
    assert [str(made) for made in tmp_path.glob("hvdsm-packages-*")] == list(found.temporary)
    assert len(found.temporary) == len(found.python_path)
    if found.python_path:
        assert any("packages go into" in line for line in log.lines)
        # What the image has already is not installed again.
        assert not os.path.exists(f"{found.python_path[0]}/wanted_thing.py")
        command = "import other_thing, wanted_thing; print(other_thing.WHO)"
        done = subprocess.run([python, "-c", command], env={"PYTHONPATH": found.python_path[0]}, capture_output=True, check=True)
        assert done.stdout == b"other_thing\n"


def test_the_source_and_its_requirements_are_installed_together(tmp_path: Path, environ: Dict[str, str]) -> None:
    (tmp_path / "python").write_text('#!/bin/sh\n[ "$1" = -c ] && exit 1\npwd > "$SEEN"\necho "$@" >> "$SEEN"\n')
    (tmp_path / "python").chmod(0o755)
    files = {"setup.py": "", "train.py": "", "requirements.txt": "x"}
    log = Log()
    found = bring(
        config(tmp_path / "ml", "train.py", files), {**environ, "SEEN": str(tmp_path / "seen")}, log, str(tmp_path / "python")
    )
    assert (tmp_path / "seen").read_text() == f"{tmp_path}/ml/code\n-m pip install . -r requirements.txt\n"
    assert found.command == [sys.executable, "-m", "train", "-a", "b c"]
    assert log.lines[-1].startswith("setup.py and requirements.txt installed (")


def test_a_program_that_is_not_python_needs_no_requirements(tmp_path: Path, environ: Dict[str, str]) -> None:
    files = {"tool": "", "requirements.txt": "no-such-thing\n"}
    assert "./tool" in bring(config(tmp_path, "tool", files), environ, Log(), "/no/python").command


def test_a_python_without_pip_says_what_to_do(tmp_path: Path, environ: Dict[str, str]) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    files = {"train.py": "", "requirements.txt": "x\n"}
    with pytest.raises(ConfigError, match=r"there is no pip in this Python.*\n(?:.*\n)*.*ensurepip"):
        bring(config(tmp_path / "ml", "train.py", files), environ, Log(), str(tmp_path / "bare" / "bin" / "python"))
    with pytest.raises(ConfigError, match="/no/python: No such file"):
        bring(config(tmp_path / "ml", "train.py", files), environ, Log(), "/no/python")


@pytest.mark.parametrize(
    ("line", "requirement"),
    [
        ("ERROR: No matching distribution found for torch==99", "torch==99"),
        ("ERROR: Could not find a version that satisfies the requirement x>2 (from versions: 1)", "x>2"),
        ("ERROR: Invalid requirement: 'a b c' (from line 1 of requirements.txt)", "a b c"),
        ("ERROR: Cannot install a==1 and b==2 because these package versions have conflicting dependencies.", "a==1 and b==2"),
        ("  ERROR: Failed building wheel for horovod", "horovod"),
        ("ERROR: Failed to build installable wheels for some pyproject.toml based projects (horovod)", "horovod"),
        ("ERROR: Could not open requirements file: [Errno 2] No such file or directory: 'more.txt'", "more.txt"),
        ("Successfully installed x", None),
    ],
)
def test_the_requirement_that_pip_complains_of(line: str, requirement: Optional[str]) -> None:
    assert failing_requirement(["Collecting y", line]) == requirement


def test_secrets_of_the_settings_are_masked_however_they_are_written() -> None:
    variables = {
        "PIP_EXTRA_INDEX_URL": "https://me:s%2Fecret@a.test/simple https://b.test/simple",
        "https_proxy": "http://you:word@p.test:1",
        "OTHER": "https://x:public@c.test",
    }
    found = secrets_of(variables)
    assert set(found) == {"s%2Fecret", "s/ecret", "word"}
    assert without((), "Looking at https://me:p@ss:w@rd@d.test/x@1") == "Looking at https://<masked>@d.test/x@1"
    assert without(found, "error: s/ecret and s%2Fecret at https://q:r@d.test/") == (
        "error: <masked> and <masked> at https://<masked>@d.test/"
    )


@pytest.mark.parametrize("arn", ["x", "arn:aws:s3:::bucket", "arn:aws:codeartifact:r:1:repository/only"])
def test_a_wrong_repository_is_refused(arn: str) -> None:
    with pytest.raises(ConfigError, match="is no CodeArtifact repository"):
        pip_environment({"CA_REPOSITORY_ARN": arn}, Log())


def test_a_job_whose_source_and_packages_come_over_the_network(tmp_path: Path, environ: Dict[str, str], server: Server) -> None:
    """All of it in one: S3, pip, a package that the rank imports, the script's own arguments."""
    script = (
        "import os, sys, wanted_thing; open(os.environ['SM_MODEL_DIR'] + '/it', 'w').write(wanted_thing.WHO + sys.argv[-1])\n"
    )
    (tmp_path / "train it.py").write_text(script)
    (tmp_path / "requirements.txt").write_text("wanted-thing\n")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name in ("train it.py", "requirements.txt"):
            tar.add(tmp_path / name, name)
    server.objects["my source.tar.gz"] = archive.getvalue()
    base = tmp_path / "ml"
    (base / "input" / "config").mkdir(parents=True)
    (base / "code").mkdir()
    (base / "code" / "wanted_thing.py").write_text("raise SystemExit('stale code shadows the package')")
    values = {
        "sagemaker_program": '"train it.py"',
        "sagemaker_submit_directory": '"s3://bucket/my source.tar.gz"',
        "text": json.dumps('it\'s\n"é"'),
    }
    (base / "input" / "config" / "hyperparameters.json").write_text(json.dumps(values))
    (base / "input" / "config" / "resourceconfig.json").write_text(json.dumps({"current_host": "a", "hosts": ["a"]}))
    variables = {
        "AWS_ACCESS_KEY_ID": "AKID",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": server.url,
        "AWS_REGION": "us-east-1",
        "SAGEMAKER_BASE_DIR": str(base),
        "HVDSM_REHEARSAL": "1",
        "HVDSM_S3_CLIENT": "request",
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "hvdsm.container"],
        env={**environ, **variables, "PYTHONPATH": ROOT, "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    log = done.stdout.decode()
    assert done.returncode == 0, log
    assert (base / "model" / "it").read_text() == 'wanted_thingit\'s\n"é"'
    assert sorted(os.listdir(base / "code")) == ["requirements.txt", "train it.py"]
    assert (base / "output" / "success").exists()
    assert "sesame" not in log and SECRET not in log
