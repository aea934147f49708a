"""Running a user's script with an SDK against a sandbox."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence

import boto3

from hvdsm.sandbox import Sandbox

SECONDS = 240
# What the SDKs would ask of the machine's own configuration or tell others of.
_QUIET = {"SAGEMAKER_VALIDATE_ROLE": "false", "PYTHONUNBUFFERED": "1"}


def client(sandbox: Sandbox, service: str) -> Any:
    """A client of a service of the sandbox."""
    env = sandbox.environ()
    return boto3.session.Session().client(
        service,
        region_name=sandbox.region,
        endpoint_url=sandbox.url,
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=env["AWS_SESSION_TOKEN"],
    )


@dataclass(frozen=True)
class Ran:
    """A script that has ended.

    Attributes:
        code: exit code; negative for a signal.
        output: standard output and standard error as they were written.
    """

    code: int
    output: str

    def has(self, text: str) -> bool:
        """Whether the script said so."""
        return text in self.output


def run_command(argv: Sequence[str], env: Mapping[str, str], cwd: Optional[Path] = None, seconds: float = SECONDS) -> Ran:
    """Run a command to its end.

    Raises:
        AssertionError: it has not ended in time; what it said is in the message.
    """
    done = subprocess.Popen(
        list(argv), env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        out, _ = done.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        done.kill()
        out, _ = done.communicate()
        raise AssertionError(f"{list(argv)} has not ended after {seconds} s:\n{out.decode(errors='replace')}") from None
    return Ran(done.returncode, out.decode(errors="replace"))


def plain_environment(directory: Path) -> Dict[str, str]:
    """This process's environment without what is Python's or AWS's; HOME is a directory of the test's."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "AWS_", "SAGEMAKER_"))}
    return {**own, "HOME": str(directory)}


def client_environment(sandbox: Sandbox, directory: Path, **variables: str) -> Mapping[str, str]:
    """The environment of a program that knows the sandbox by the variables of the AWS SDKs alone."""
    return {**sandbox.client_environment(plain_environment(directory)), **_QUIET, **variables}


def script_environment(sandbox: Sandbox, directory: Path, **variables: str) -> Mapping[str, str]:
    """The environment that ``hvdsm sandbox -- COMMAND`` gives its command, less the hook of local mode."""
    return {**sandbox.script_environment(plain_environment(directory)), **_QUIET, **variables}


def run_script(
    python: str,
    script: Path,
    sandbox: Sandbox,
    directory: Path,
    *arguments: str,
    seconds: float = SECONDS,
    **variables: str,
) -> Ran:
    """Run a user's script with an SDK's interpreter, as ``hvdsm sandbox`` would do it.

    Args:
        python: the interpreter.
        script: path of the script.
        sandbox: what it talks to.
        directory: where it is run.
        arguments: of the script.
        seconds: after which it hangs.
        variables: of its environment.
    """
    environment = script_environment(sandbox, directory, **variables)
    return run_command([python, str(script), *arguments], environment, directory, seconds)
