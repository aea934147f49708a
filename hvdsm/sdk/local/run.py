"""The program behind local mode: reads a job from standard input and runs it on emulated hosts.

The hook (``site/``) starts ``python -m hvdsm.sdk.local.run``.  Standard input brings one line of JSON - ``request``
(CreateTrainingJob; all data are directories of this machine), ``work`` (a directory for results), ``remove`` (more directories),
``ready`` (a descriptor that gets a byte when the hosts are up) - and ends when the process that trains has ended: then the job
ends as well, and the directories are removed.  Standard output has the hosts' lines as Docker Compose shows them.
``work/result.json`` says how the job ended.  The exit code is the job's.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from typing import Any, BinaryIO, Callable, Dict, List, Mapping, NoReturn, Optional
from urllib.parse import urlsplit

from hvdsm.backends.base import NOTE, OUTPUT, PHASE, WARNING, Event
from hvdsm.backends.local import LocalBackend, LocalJob, LocalOptions
from hvdsm.backends.local.gateway import CREDENTIALS, ENDPOINT
from hvdsm.backends.local.options import Gateway
from hvdsm.backends.signals import stopping_signals
from hvdsm.compose.failure import explanation, headline
from hvdsm.emulator.gpus import machine_gpus
from hvdsm.errors import HvdsmError
from hvdsm.model import JobOutcome

LOCAL_GPU = "local_gpu"
# Fields of LocalOptions, JSON.
OPTIONS = "HVDSM_LOCAL_OPTIONS"
# Where `hvdsm sandbox` is, for what it runs.
SANDBOX = "HVDSM_SANDBOX_URL"
RESULTS = "results"


def shown(event: Event, launcher: str) -> bytes:
    """An event as Docker Compose would show it: each line with its host; hvdsm's own lines as everywhere.

    Args:
        event: the event.
        launcher: the host of an output that names none.
    """
    if event.kind == OUTPUT:
        data = event.data if event.data.endswith(b"\n") else event.data + b"\n"
        front = f"{event.host or launcher}  | ".encode()
        return b"".join(front + line for line in data.splitlines(keepends=True))
    if event.kind in (NOTE, WARNING, PHASE):
        text = f"warning: {event.text}" if event.kind == WARNING else event.text
        return f"hvdsm: {text}\n".encode("utf-8", "replace")
    return b""


def variables_for(instance_type: str, environ: Mapping[str, str]) -> Dict[str, str]:
    """The environment of a job: GPUs are for ``local_gpu`` only, as Docker gives them."""
    kept = {name: value for name, value in environ.items() if name != OPTIONS}
    return kept if instance_type == LOCAL_GPU else {**kept, "CUDA_VISIBLE_DEVICES": ""}


def cause(outcome: JobOutcome) -> str:
    """Why a job did not complete."""
    if outcome.failure is not None:
        return "\n".join([headline(outcome.failure), *explanation(outcome.failure)])
    return outcome.warnings[-1] if outcome.warnings else f"the job ended: {outcome.status}"


class Output:
    """Writes to a stream as long as someone reads it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream: Optional[BinaryIO] = stream

    def write(self, data: bytes) -> None:
        """Write and flush."""
        if self._stream is None:
            return
        try:
            self._stream.write(data)
            self._stream.flush()
        except OSError:
            self._stream = None

    def say(self, text: str) -> None:
        """A line of hvdsm's own."""
        self.write(f"hvdsm: {text}\n".encode("utf-8", "replace"))


def gateway_of(environ: Mapping[str, str]) -> Optional[Gateway]:
    """The sandbox that the script runs in, for what the job's own programs ask AWS; None elsewhere."""
    port = urlsplit(environ.get(SANDBOX, "")).port
    if port is None:
        return None
    variables = {name: environ[name] for name in (ENDPOINT, *CREDENTIALS, "AWS_REGION", "AWS_DEFAULT_REGION") if name in environ}
    return Gateway(port, {**variables, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull})


def execute(told: Mapping[str, Any], environ: Mapping[str, str], output: Output, ready: Callable[[], None]) -> JobOutcome:
    """Run a job to its end.

    Raises:
        HvdsmError: the request or the machine will not do.
    """
    request = told["request"]
    instance_type = str(request["ResourceConfig"]["InstanceType"])
    given = {**json.loads(environ.get(OPTIONS) or "{}"), "gateway": gateway_of(environ)}
    options = LocalOptions(**{**given, "output": os.path.join(told["work"], RESULTS)})
    environ = variables_for(instance_type, environ)
    if instance_type == LOCAL_GPU and not machine_gpus(environ):
        output.say("warning: local_gpu: this machine has no GPU that can be used; the job runs on the CPU")
    backend = LocalBackend(options, environ)
    plan = backend.plan(request)
    image = request["AlgorithmSpecification"].get("TrainingImage")
    output.say(f"{plan.job_name}: {len(plan.hosts)} emulated host{'s' if len(plan.hosts) > 1 else ''} instead of {image}")
    job: Optional[LocalJob] = None

    def stop(number: int) -> None:
        if job is None:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        backend.stop(job, number)

    with stopping_signals(stop):
        job = backend.submit(plan, output.say)
        ready()
        for event in backend.events(job):
            output.write(shown(event, plan.launcher))
        return backend.outcome(job)


def read_line(descriptor: int) -> bytes:
    """The first line of a pipe; what follows it is not needed."""
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(descriptor, 1 << 16)
        if not piece:
            raise EOFError("standard input ended before its first line did")
        line += piece
    return line


def main(stdin: int = 0) -> int:
    """Run the job that standard input describes; its exit code."""
    # Until the job takes signals: what has been made is removed then, too.
    signal.signal(signal.SIGTERM, _leave)
    told = json.loads(read_line(stdin))
    ready = told["ready"]
    os.set_inheritable(ready, False)
    orphaned = threading.Event()

    def heed() -> None:
        """The other end of standard input closes when there is nobody to train for."""
        while os.read(stdin, 1):
            continue
        orphaned.set()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=heed, daemon=True, name="hvdsm-lifeline").start()
    result: Dict[str, Any] = {"cause": "it was ended while it was being prepared"}
    code = 1
    try:
        outcome = execute(told, os.environ, Output(sys.stdout.buffer), lambda: _signal(ready))
        code, result = outcome.exit_code, {"status": outcome.status, "cause": cause(outcome)}
    except HvdsmError as error:
        code, result = error.exit_code, {"status": "Failed", "cause": str(error)}
    except KeyboardInterrupt:
        code = 130
    finally:
        if orphaned.is_set():
            _remove([*told["remove"], told["work"]])
        else:
            _write(os.path.join(told["work"], "result.json"), result)
    return code


def _leave(number: int, _frame: Any) -> NoReturn:
    raise SystemExit(128 + number)


def _signal(descriptor: int) -> None:
    try:
        os.write(descriptor, b"\0")
    except BrokenPipeError:
        # Nobody waits for that.
        return
    finally:
        os.close(descriptor)


def _remove(directories: List[str]) -> None:
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


def _write(path: str, result: Mapping[str, Any]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(result, file)


if __name__ == "__main__":
    sys.exit(main())
