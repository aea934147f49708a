"""Has hvdsm run a training job of the SDK's local mode: starts its program, shows its lines, tells how it ended."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import Any, Dict, Iterable, List, Mapping, Optional

hook: Any = sys.modules["hvdsm_local_hook"]
requests: Any = hook.sibling("hvdsm_local_request")

# What a run leaves below its directory besides the SDK's archives.
RESULTS = "results"
# SIGINT's own exit code: the SDK takes it for no error.
_INTERRUPTED = 130


class JobInterrupted(KeyboardInterrupt, RuntimeError):
    """Ctrl-C.  The SDK swallows a KeyboardInterrupt that is no Exception, where it counts calls, and goes on."""


class Job:
    """A job that hvdsm's program runs.

    It ends when this process does, whatever ends that: the program notices by its standard input.

    Args:
        request: CreateTrainingJob.
        work: directory of this run, removed by the program if this process is gone.
        remove: what else it removes then.
        session: see ``session_variables`` of ``hvdsm_local_request``.
    """

    def __init__(self, request: Mapping[str, Any], work: str, remove: Iterable[str], session: Mapping[str, str]) -> None:
        self.name = str(request["TrainingJobName"])
        self._result = os.path.join(work, "result.json")
        self._results = os.path.join(work, RESULTS, self.name)
        python = os.environ.get("HVDSM_PYTHON") or sys.executable
        self._python = os.path.abspath(shutil.which(python) or python)
        read, write = os.pipe()
        told = {"request": request, "work": work, "remove": list(remove), "ready": write}
        try:
            self._process = subprocess.Popen(
                [self._python, "-m", "hvdsm.sdk.local.run"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=requests.runner_environment(os.environ, session, self._python),
                cwd="/",
                pass_fds=(write,),
                # Ctrl-C reaches it once, from here.
                start_new_session=True,
            )
        except OSError as error:
            os.close(read)
            raise RuntimeError(f"Failed to run: {self._python}: {error.strerror}. HVDSM_PYTHON names hvdsm's Python.") from None
        finally:
            os.close(write)
        self._ready = read
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(told).encode() + b"\n")
            self._process.stdin.flush()

    def wait_until_up(self) -> bool:
        """Wait until the hosts are up; False where the program has ended before."""
        return os.read(self._ready, 1) != b""

    def finish(self) -> None:
        """Show what the job prints until it ends; Ctrl-C ends it, again: at once.

        Raises:
            JobInterrupted: Ctrl-C, when the job has ended.
            RuntimeError: the job has failed; its text has the exit code as the SDK writes it, and the cause.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        interrupted: Optional[BaseException] = None
        try:
            while True:
                try:
                    self._relay()
                    code = self._process.wait()
                    break
                except BaseException as error:
                    interrupted = interrupted or error
                    with contextlib.suppress(ProcessLookupError):
                        self._process.send_signal(signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM)
        finally:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._process.stdout.close()
            os.close(self._ready)
        if isinstance(interrupted, KeyboardInterrupt):
            raise JobInterrupted(f"KeyboardInterrupt: {self.name} was stopped") from None
        if interrupted is not None:
            raise interrupted
        if code not in (0, _INTERRUPTED):
            raise RuntimeError(f"Failed to run: {self.name} on emulated hosts. Process exited with code: {code}\n{self._cause()}")

    def _relay(self) -> None:
        assert self._process.stdout is not None
        for line in iter(self._process.stdout.readline, b""):
            sys.stdout.write(line.decode("utf-8", "replace"))
            sys.stdout.flush()

    def _cause(self) -> str:
        try:
            with open(self._result, encoding="utf-8") as file:
                return str(json.load(file)["cause"])
        except (OSError, ValueError, KeyError):
            return (
                f"hvdsm's program ({self._python} -m hvdsm.sdk.local.run) has not come to its end; its last lines are above. "
                "HVDSM_PYTHON must name the Python that has hvdsm"
            )

    def place_results(self, hosts: List[str], model: str, outputs: str) -> Dict[str, Any]:
        """Put the model and each host's output where Docker's volumes would have them.

        Args:
            hosts: names that the SDK has for them.
            model: directory of all models.
            outputs: directory that gets a directory ``NAME/output`` for each host.

        Returns:
            What the SDK calls the compose file: the volumes of each host.
        """
        _move(os.path.join(self._results, "model"), model)
        services = {}
        for index, host in enumerate(hosts, 1):
            output = os.path.join(outputs, host, "output")
            os.makedirs(os.path.join(output, "data"), exist_ok=True)
            _move(os.path.join(self._results, "output", f"algo-{index}"), os.path.join(output, "data"))
            services[host] = {"volumes": [f"{model}:/opt/ml/model", f"{output}:/opt/ml/output"]}
        if hosts:
            _move(os.path.join(self._results, "output"), os.path.join(outputs, hosts[0], "output"))
        return {"services": services}


def _move(source: str, target: str) -> None:
    os.makedirs(target, exist_ok=True)
    for folder, _, files in os.walk(source):
        place = os.path.join(target, os.path.relpath(folder, source))
        os.makedirs(place, exist_ok=True)
        for name in files:
            shutil.move(os.path.join(folder, name), os.path.join(place, name))
    remove(source)


def remove(path: str) -> None:
    """Remove a directory tree, if it is there."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        shutil.rmtree(path)


def remove_all_but(directory: str, kept: str) -> None:
    """Remove what a directory has except one entry, and itself if that is not there."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(directory):
            if entry.name == kept:
                continue
            if entry.is_dir(follow_symlinks=False):
                remove(entry.path)
            else:
                os.unlink(entry.path)
    try:
        os.rmdir(directory)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT, errno.EEXIST):
            raise


def in_background(job: Job, end: Any) -> None:
    """Finish a job in a thread that Python waits for at its end.

    Args:
        job: the job.
        end: called with no arguments to finish it.
    """

    def run() -> None:
        try:
            end()
        except Exception as error:
            sys.stderr.write(f"hvdsm: {job.name}: {error}\n")

    threading.Thread(target=run, name=f"hvdsm-{job.name}", daemon=False).start()
