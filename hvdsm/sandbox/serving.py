"""A sandbox as a process of its own: for a person who exports its variables, or for another process that leads it by lines.

A leader (see :mod:`hvdsm.sandbox.companion`) holds this process's standard input.  First it is told the variables, one line of
JSON; then it asks, a word a line, and each answer is one line of JSON: ``jobs``; ``wait``, answered when no job runs; ``end``,
answered with the jobs when all have been ended.  The end of standard input, when the leader is gone, is ``end`` as well.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Dict, Mapping, NoReturn, Optional

from hvdsm.errors import BackendUnavailable, HvdsmError
from hvdsm.sandbox.environment import without_foreign
from hvdsm.sandbox.jobs import TrainingJob
from hvdsm.sandbox.profiles import region_of
from hvdsm.sandbox.sandbox import EMULATED, Sandbox
from hvdsm.sandbox.shelf import Shelf
from hvdsm.sdk import local

WARNING = "warning: "


@dataclass(frozen=True)
class Serving:
    """How a sandbox serves.

    Attributes:
        runner: ``emulated`` or ``instant``.
        output: results of jobs go to ``output/JOB-NAME``.
        region: AWS region; None is that of the environment or of the profile.
        port: TCP port on loopback, 0 for any.
        shelf: directory that keeps the objects of S3, None for none.
        local: fields of LocalOptions.
        verbose: whether all is told that the jobs' back end tells, not warnings alone.
    """

    runner: str = EMULATED
    output: str = "hvdsm-out"
    region: Optional[str] = None
    port: int = 0
    shelf: Optional[str] = None
    local: Mapping[str, Any] = field(default_factory=dict)
    verbose: bool = False


def say(text: str) -> None:
    """A line of the sandbox's own on standard error."""
    try:
        print(f"hvdsm: sandbox: {text}", file=sys.stderr, flush=True)
    except OSError:
        # Nobody reads it any more; what is served does not depend on it.
        return


def serve(given: Serving) -> int:
    """Serve until SIGINT or SIGTERM; standard output has the variables for clients, in the form of a shell."""
    person = dict(os.environ)
    with _started(given) as sandbox, _shelf(given, sandbox):
        told = _environment(given, sandbox, person)
        for name in sorted(set(person) - set(told)):
            print(f"unset {name}")
        changed = {name: value for name, value in told.items() if person.get(name) != value}
        # The address is the last line: who reads it has read all of them.
        for name, value in sorted(changed.items(), key=lambda item: (item[0] == "AWS_ENDPOINT_URL", item[0])):
            print(f"export {name}={shlex.quote(value)}")
        sys.stdout.flush()
        say(f"serving at {sandbox.url} until interrupted; results of jobs go to {sandbox.directory}")
        try:
            _interruptible()
            threading.Event().wait()
        except KeyboardInterrupt:
            say("ending all jobs")
    return 0


def lead(given: Serving) -> int:
    """Serve a leader; see the module."""
    person = dict(os.environ)
    answering = threading.Lock()

    def answer(value: object) -> None:
        with answering:
            rest = (json.dumps(value) + "\n").encode()
            # Unbuffered: nothing is left to be written at the end for a leader that is gone.
            try:
                while rest:
                    rest = rest[os.write(sys.stdout.fileno(), rest) :]
            except BrokenPipeError:
                return

    def wait(sandbox: Sandbox) -> None:
        for job in sandbox.all_jobs:
            while not job.wait(lambda it: it.is_ended, timeout=threading.TIMEOUT_MAX):
                pass
        answer([described(job) for job in sandbox.all_jobs])

    try:
        with _started(given) as sandbox:
            with _shelf(given, sandbox):
                environ = _environment(given, sandbox, person)
                told = {"url": sandbox.url, "output": sandbox.directory, "temporary": sandbox.temporary}
                answer({**told, "environ": environ})
                _interruptible()
                for line in sys.stdin:
                    word = line.strip()
                    if word == "jobs":
                        answer([described(job) for job in sandbox.all_jobs])
                    elif word == "wait":
                        threading.Thread(target=wait, args=(sandbox,), daemon=True).start()
                    elif word == "end":
                        break
            sandbox.stop()
            answer([described(job) for job in sandbox.all_jobs])
    except HvdsmError as error:
        answer({"error": error.what, "where": error.where, "remedy": error.remedy, "exit_code": error.exit_code})
        return error.exit_code
    except (KeyboardInterrupt, BrokenPipeError):
        # Told to end by a signal, or by a leader that is gone: all has been ended on the way here.
        return 0
    return 0


def described(job: TrainingJob) -> Dict[str, Any]:
    """What a summary tells of a job."""
    return {
        "name": job.name,
        "status": job.status,
        "secondary": job.secondary,
        "reason": job.failure_reason,
        "seconds": None if job.ended_at is None else round(job.ended_at - job.created, 1),
        "results": job.results,
        "model": job.model_artifacts or None,
    }


def _started(given: Serving) -> Sandbox:
    region = given.region or region_of(os.environ)
    # What moto is made of would read the profile that they name.
    for name in sorted(set(os.environ) - set(without_foreign(os.environ))):
        del os.environ[name]
    # Roles that scripts make have policies of AWS's own attached.
    os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")

    def heard(text: str) -> None:
        if given.verbose or WARNING in text:
            say(text)

    if find_spec("moto") is None:
        raise BackendUnavailable("S3 and others need moto", where="hvdsm sandbox", remedy="pip install 'hvdsm[sandbox]'")
    try:
        started = Sandbox.start(
            runner=given.runner, directory=given.output, region=region, port=given.port, local=given.local, say=heard
        )
    except OSError as error:
        where = f"--port {given.port}" if error.filename is None else f"--output {given.output}"
        raise BackendUnavailable(str(error.strerror), where=where, remedy="choose another one") from None
    # Those of a person are in the cloud; scripts write to them.
    started.buckets.say = say
    # The first request comes while a client is being imported: so is moto.
    threading.Thread(target=_warm_up, args=(started,), daemon=True).start()
    return started


def _warm_up(sandbox: Sandbox) -> None:
    try:
        sandbox.warm_up()
    except BackendUnavailable as error:
        say(f"{WARNING}{error}")


def _environment(given: Serving, sandbox: Sandbox, person: Mapping[str, str]) -> Dict[str, str]:
    return local.environment(sandbox.script_environment(person), given.local)


def _shelf(given: Serving, sandbox: Sandbox) -> Shelf:
    return Shelf(given.shelf, sandbox.objects(), say)


def _interruptible() -> None:
    """SIGTERM and SIGINT interrupt, whatever was inherited."""

    def interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
