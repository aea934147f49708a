"""AWS's sagemaker-training toolkit, really run on emulated hosts: its environment, and hosts as its images are.

Its images share one ssh key, do not check host keys, let root in, and start sshd on port 22 at the toolkit's word.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, Optional

import mpi4py
from jobs import MPIRUN, ROOT
from measure import say
from programs import Program, hvdsm_program

PACKAGE = "sagemaker-training"
PLACE = "HVDSM_BENCH_TOOLKIT"
DEFAULT_PLACE = os.path.join(sys.prefix, "toolkit")

# What the frameworks' own images do by SAGEMAKER_TRAINING_MODULE: the toolkit reads the output itself only when it is asked to.
CAPTURING = """
from sagemaker_training import entry_point, environment, runner


def main():
    env = environment.Environment()
    entry_point.run(
        uri=env.module_dir,
        user_entry_point=env.user_entry_point,
        args=env.to_cmd_args(),
        env_vars=env.to_env_vars(),
        capture_error=True,
        runner_type=runner.MPIRunnerType,
    )
"""

_SSHD = """PermitRootLogin yes
StrictModes no
UsePAM no
HostKey /etc/ssh/ssh_host_rsa_key
AuthorizedKeysFile /root/.ssh/authorized_keys
MaxStartups 1000
SetEnv {variables}
"""


def toolkit_environment(asked: str) -> str:
    """The directory of a virtual environment with the toolkit: the one asked for, or one made now and kept for later runs.

    Raises:
        RuntimeError: the directory asked for holds no toolkit.
        subprocess.CalledProcessError: pip could not install it.
    """
    place = os.path.abspath(asked or DEFAULT_PLACE)
    train = os.path.join(place, "bin", "train")
    if os.path.exists(train):
        return place
    if asked:
        raise RuntimeError(f"no {train}: --toolkit names a virtual environment in which {PACKAGE} is installed")
    say(f"making {place} with {PACKAGE} (about a minute, once)")
    subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
    subprocess.run([os.path.join(place, "bin", "pip"), "install", "--quiet", PACKAGE], check=True)
    return place


class Toolkit:
    """The toolkit of one environment as a :class:`Program`; :meth:`close` removes its key and helper files."""

    def __init__(self, environment: str) -> None:
        self.environment = environment
        self.python = os.path.join(environment, "bin", "python")
        self._folder = tempfile.TemporaryDirectory(prefix="hvdsm-bench-")
        place = Path(self._folder.name)
        # Ranks are run by the toolkit's own Python: it is lent mpi4py, and only that.
        (place / "lent").mkdir()
        (place / "lent" / "mpi4py").symlink_to(os.path.dirname(str(mpi4py.__file__)))
        (place / "lent" / "capturing.py").write_text(CAPTURING, encoding="utf-8")
        (place / "sshd_config").write_text(
            _SSHD.format(variables=" ".join(f"{n}={v}" for n, v in self._found().items())), encoding="utf-8"
        )
        for name in ("host", "client"):
            argv = ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(place / name)]
            subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)

    def _found(self) -> Dict[str, str]:
        """By what both hosts find Open MPI, a Python package here; an image has it where it was built for."""
        prefix = os.path.dirname(os.path.dirname(MPIRUN))
        system = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        return {
            "PATH": ":".join([os.path.join(self.environment, "bin"), os.path.dirname(MPIRUN), *system]),
            "OPAL_PREFIX": prefix,
            "PMIX_INSTALL_PREFIX": prefix,
            "MPI4PY_LIBMPI": os.path.join(prefix, "lib", "libmpi.so.40"),
            # As hvdsm has it for hosts that share one machine's cores.
            "OMPI_MCA_mpi_yield_when_idle": "1",
        }

    def program(self, *, capture: bool = False) -> Program:
        """The program; with ``capture`` it reads its ranks' output, as in the frameworks' images."""
        folder = self._folder.name
        environment: Dict[str, str] = {
            **self._found(),
            "PYTHONPATH": os.path.join(folder, "lent"),
            **({"SAGEMAKER_TRAINING_MODULE": "capturing:main"} if capture else {}),
        }
        prepare = f"""
            cp {folder}/sshd_config /etc/ssh/sshd_config
            cp {folder}/host /etc/ssh/ssh_host_rsa_key
            chmod 600 /etc/ssh/ssh_host_rsa_key
            mkdir -p /root/.ssh
            cp {folder}/client /root/.ssh/id_rsa
            chmod 600 /root/.ssh/id_rsa
            cp {folder}/client.pub /root/.ssh/authorized_keys
            printf 'Host *\\n  StrictHostKeyChecking no\\n  LogLevel ERROR\\n' > /root/.ssh/config
        """
        return Program(
            name=PACKAGE,
            argv=(self.python, os.path.join(self.environment, "bin", "train")),
            word="bin/train",
            environment=environment,
            visible=(self.environment, folder, os.path.dirname(os.path.dirname(MPIRUN))),
            prepare=prepare,
        )

    def close(self) -> None:
        """Remove the key and the helper files."""
        self._folder.cleanup()


class Session:
    """What one run of this program compares; ``toolkit`` is None where it is left out."""

    def __init__(self, rounds: int, toolkit_rounds: int, toolkit: Optional[Toolkit]) -> None:
        self.rounds = rounds
        self.toolkit_rounds = toolkit_rounds
        self.toolkit = toolkit
        self.hvdsm = hvdsm_program(ROOT, MPIRUN)


def write_script(folder: str, text: str) -> str:
    """A training script in a folder."""
    path = os.path.join(folder, "train.py")
    Path(path).write_text(text, encoding="utf-8")
    return path
