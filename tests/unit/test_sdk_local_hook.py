"""The hook, in interpreters of its own, with a small package that has the SDK's module names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Optional

import pytest

from hvdsm.sdk import local

IMAGE = """
import logging
logger = logging.getLogger(__name__)

class _SageMakerContainer(object):
    def __init__(self, *args):
        self._get_compose_cmd_prefix()
    @staticmethod
    def _get_compose_cmd_prefix():
        raise ImportError("Docker Compose is not installed")
    def process(self, processing_inputs, processing_output_config, environment, processing_job_name): ...
    def train(self, input_data_config, output_data_config, hyperparameters, environment, job_name): ...
    def serve(self, model_dir, environment): ...
    def retrieve_artifacts(self, compose_data, output_data_config, job_name): ...
    def _prepare_training_volumes(self, data_dir, input_data_config, output_data_config, hyperparameters): ...
    def _create_tmp_folder(self): ...
"""
SESSION = """
from sagemaker.local.image import _SageMakerContainer

class LocalSession(object):
    def __init__(self):
        self.container = None
"""


def _runs(python: Optional[str]) -> bool:
    """Whether it is an interpreter, not only a name that leads to none."""
    return python is not None and subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


# Every Python of this machine that may inherit the hook.
PYTHONS = [sys.executable] + [name for name in (f"python3.{n}" for n in range(8, 15)) if _runs(shutil.which(name))]


def make_sdk(root: Path, image: str = IMAGE, session: str = SESSION) -> Path:
    package = root / "fake" / "sagemaker"
    (package / "local").mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = '2.999'\n")
    (package / "local" / "__init__.py").write_text("from sagemaker.local.local_session import LocalSession\n")
    (package / "local" / "image.py").write_text(image)
    (package / "local" / "local_session.py").write_text(session)
    (package / "local" / "utils.py").write_text("def check_for_studio():\n    raise NotImplementedError('Studio')\n")
    (package / "local" / "data.py").write_text("def get_data_source_instance(uri, session): ...\n")
    return root / "fake"


def run(
    code: str, *paths: Path, python: str = sys.executable, flags: str = "", hooked: bool = True
) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run(
        [python, *flags.split(), "-c", code],
        env=local.environment(environ) if hooked else environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


TRAINS = "import sagemaker.local.image as m; print(m._SageMakerContainer.train.__module__); m._SageMakerContainer(); "


@pytest.mark.parametrize("python", PYTHONS)
def test_local_mode_is_changed_when_the_sdk_is_imported(tmp_path: Path, python: str) -> None:
    more = "from sagemaker.local.utils import check_for_studio; print(check_for_studio()); print(m.__loader__.__class__.__name__)"
    done = run(TRAINS + more, make_sdk(tmp_path), python=python)
    assert (done.stdout.split(), done.stderr) == (["hvdsm_local_image", "False", "SourceFileLoader"], ""), done.stderr


def test_nothing_is_imported_for_scripts_that_do_not_use_the_sdk() -> None:
    code = "import sys; print([m for m in sys.modules if m.startswith(('hvdsm', 'sagemaker', 'subprocess', 'inspect'))])"
    assert run(code).stdout == "['hvdsm_local_hook']\n"


def test_processing_and_serving_say_what_works(tmp_path: Path) -> None:
    for call in ("process([], {}, {}, 'j')", "serve('s3://m', {})"):
        done = run(f"import sagemaker.local.image as m; m._SageMakerContainer().{call}", make_sdk(tmp_path / call[:5]))
        assert done.returncode == 1 and "NotImplementedError" in done.stderr and "estimator.fit()" in done.stderr


def test_a_child_process_has_it_too(tmp_path: Path) -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {TRAINS!r}], check=True)"
    assert run(code, make_sdk(tmp_path)).stdout == "hvdsm_local_image\n"


@pytest.mark.parametrize("flags", ["-S", "-I", "-E"])
def test_an_interpreter_that_is_told_to_ignore_it_does(tmp_path: Path, flags: str) -> None:
    done = run("import sys; print('hvdsm_local_hook' in sys.modules)", make_sdk(tmp_path), flags=flags)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_the_sitecustomize_behind_it_runs_and_has_the_name(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "sitecustomize.py").write_text("import sys\nsys.behind = __file__\nMARK = 7\n")
    done = run("import sys, sitecustomize; print(sys.behind, sitecustomize.MARK, 'hvdsm_local_hook' in sys.modules)", other)
    assert (done.stdout, done.stderr) == (f"{other}/sitecustomize.py 7 True\n", "")


def test_two_that_look_for_each_other_end(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    code = (
        "import importlib.machinery as m, importlib.util as u, os, sys\n"
        "sys.count = getattr(sys, 'count', 0) + 1\n"
        "here = os.path.dirname(os.path.abspath(__file__))\n"
        "spec = m.PathFinder.find_spec('sitecustomize', sys.path[sys.path.index(here) + 1:])\n"
        "spec and spec.loader.exec_module(u.module_from_spec(spec))\n"
    )
    (own / "sitecustomize.py").write_text(code)
    for first, second in ((own, local.SITE), (local.SITE, own)):
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{first}{os.pathsep}{second}"}
        command = [sys.executable, "-c", "import sys; print(sys.count, 'hvdsm_local_hook' in sys.modules)"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert (done.stdout, done.stderr) == ("1 True\n", "")


def test_one_import_changes_an_sdk_that_is_there_already_and_can_be_undone(tmp_path: Path) -> None:
    code = (
        "import sagemaker.local.image as m\n"
        "original = m._SageMakerContainer.train\n"
        "import hvdsm.sdk.local as local\n"
        "changed = m._SageMakerContainer.train\n"
        "local.enable(); local.enable()\n"
        "print(changed.__module__, m._SageMakerContainer.train is changed)\n"
        "local.disable()\n"
        "print(m._SageMakerContainer.train is original)\n"
        "try: m._SageMakerContainer()\n"
        "except ImportError as error: print(error)\n"
        "local.enable(); print(m._SageMakerContainer.train.__module__)\n"
    )
    root = Path(local.__file__).parents[3]
    done = run(code, make_sdk(tmp_path), root, hooked=False)
    expected = ["hvdsm_local_image True", "True", "Docker Compose is not installed", "hvdsm_local_image"]
    assert (done.stdout.splitlines(), done.stderr) == (expected, "")


def test_one_import_before_the_sdk_and_a_reload_after_it(tmp_path: Path) -> None:
    root = Path(local.__file__).parents[3]
    again = "import importlib; importlib.reload(m); print(m._SageMakerContainer.train.__module__)"
    done = run("import hvdsm.sdk.local; " + TRAINS + again, make_sdk(tmp_path), root, hooked=False)
    assert (done.stdout.split(), done.stderr) == (["hvdsm_local_image"] * 2, "")


def test_an_sdk_with_other_methods_is_warned_of_when_it_is_used(tmp_path: Path) -> None:
    sdk = make_sdk(
        tmp_path, IMAGE.replace("def retrieve_artifacts(self, compose_data, output", "def retrieve_artifacts(self, output")
    )
    quiet = run("import sagemaker.local", sdk)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    used = run("import sagemaker.local.image as m; m._SageMakerContainer()", sdk)
    assert "hvdsm does not know the local mode of this SageMaker SDK 2.999 (TypeError" in used.stderr
    assert "hvdsm sandbox" in used.stderr and "ImportError: Docker Compose is not installed" in used.stderr


def test_an_sdk_without_the_container_is_warned_of_when_local_mode_begins(tmp_path: Path) -> None:
    sdk = make_sdk(tmp_path, "", "class LocalSession(object):\n    def __init__(self):\n        pass\n")
    quiet = run("import sagemaker.local, sagemaker.local.image", sdk)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    used = run("import sagemaker.local as m; m.LocalSession()", sdk)
    assert used.returncode == 0 and "it runs on Docker, not on emulated hosts" in used.stderr
