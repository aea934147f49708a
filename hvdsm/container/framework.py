"""Framework containers: calls the function that ``SAGEMAKER_TRAINING_MODULE=module:function`` names.

Such a function conducts the training of this host itself.  What it may use is public in :mod:`hvdsm.framework`; it is kept here.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import signal
import sys
import time
import traceback
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence

from hvdsm.compose.failure import headline
from hvdsm.container.conductor import EXIT_STOPPED, launch_failure
from hvdsm.container.config import ContainerConfig, Settings
from hvdsm.container.facts import host_facts
from hvdsm.container.farewell import tell_others
from hvdsm.container.framework_environment import FrameworkEnvironment, framework_environment
from hvdsm.container.part import perform
from hvdsm.container.relay import Output
from hvdsm.container.stops import stop_asked
from hvdsm.errors import ConfigError, HvdsmError, UsageError
from hvdsm.model import JobOutcome, RankFailure, RoleProcess
from hvdsm.model.outcome import COMPLETED, FAILED, KIND_EXCEPTION, KIND_EXIT, STOPPED

_ROLE_NAME = re.compile(r"[A-Za-z][\w.-]{0,62}")
_STOPS = (signal.SIGTERM, signal.SIGINT)


class JobFailed(HvdsmError):
    """The job that ``entry_point.run`` ran did not complete: it failed, or was stopped.

    ``outcome`` says how; the exit code is the job's own.  Let it through: the outcome is the job's, whatever becomes of the
    exception.
    """

    def __init__(self, outcome: JobOutcome) -> None:
        failure = outcome.failure
        super().__init__(f"the job {outcome.status.lower()}" + (f": {headline(failure)}" if failure else ""))
        self.outcome = outcome
        self.exit_code = outcome.exit_code


class _Stopped(BaseException):
    """SIGTERM or SIGINT came while framework code ran; no ``except Exception`` of that code should hold it."""


class Framework:
    """What the framework function of this host has asked for, and how the jobs that it ran have ended."""

    def __init__(self, output: Output, config: ContainerConfig, settings: Settings, environ: Dict[str, str]) -> None:
        self.output = output
        self.config = config
        self.settings = settings
        self.environ = environ
        self.roles: List[RoleProcess] = []
        self.outcome: Optional[JobOutcome] = None
        self.has_run = False
        self._environment: Optional[FrameworkEnvironment] = None

    def environment(self) -> FrameworkEnvironment:
        """The environment of this host; its processors and accelerators are counted once."""
        if self._environment is None:
            self._environment = framework_environment(self.config, host_facts(self.environ))
        return self._environment

    def start_role(self, name: str, command: Sequence[str], variables: Optional[Mapping[str, str]]) -> None:
        """Record a process that the next :meth:`run` starts before the ranks.

        Raises:
            UsageError: the name is not one, or is taken; or the command is a string or empty.
        """
        if not _ROLE_NAME.fullmatch(name) or any(role.name == name for role in self.roles):
            raise UsageError(
                f"{name!r} is taken, or is not a letter followed by letters, digits, dots and dashes",
                where="hvdsm.framework.start_role",
                remedy="give each process of a host a name of its own, such as server-0",
            )
        if isinstance(command, (str, bytes)) or not command:
            raise UsageError(
                f"{command!r} is not a list of words",
                where=f"hvdsm.framework.start_role, {name}",
                remedy='["program", "argument"]',
            )
        words, values = tuple(str(word) for word in command), {str(k): str(v) for k, v in (variables or {}).items()}
        self.roles.append(RoleProcess(name, words, values))

    def run(
        self, uri: Optional[str], program: str, arguments: Optional[Sequence[str]], variables: Optional[Mapping[str, str]]
    ) -> None:
        """Run the job on this host, together with the job's other hosts, to its end.

        ``uri`` None means the source that the job names, ``arguments`` None those that its hyperparameters make.

        Raises:
            UsageError: no program is named.
            JobFailed: the job did not complete.
        """
        if not program:
            raise UsageError(
                "no entry point is named",
                where="hvdsm.framework.entry_point.run",
                remedy="name one, or set the hyperparameter sagemaker_program or the variable SAGEMAKER_PROGRAM",
            )
        source = self.config.job.submit_directory if uri is None else uri or None
        words = None if arguments is None else tuple(str(word) for word in arguments)
        told = {} if words is None else {"SM_USER_ARGS": json.dumps(words, separators=(",", ":"))}
        config = replace(
            self.config,
            job=replace(self.config.job, program=program, submit_directory=source),
            arguments=words,
            variables={**told, **{str(name): str(value) for name, value in (variables or {}).items()}},
            roles=tuple(self.roles),
        )
        self.roles, self.has_run = [], True
        try:
            with _signals_kept():
                self.outcome = perform(self.output, config, self.settings, self.environ)
        except HvdsmError as error:
            failure = launch_failure(str(error), error.exit_code, 0.0, host=config.cluster.current_host)
            self.outcome = JobOutcome(config.job.name, FAILED, error.exit_code, failure=failure)
        if not self.outcome.ok:
            raise JobFailed(self.outcome)


_current: Optional[Framework] = None


def current() -> Framework:
    """The framework function's call that is under way.

    Raises:
        UsageError: there is none.
    """
    if _current is None:
        raise UsageError(
            "works only inside of the function that SAGEMAKER_TRAINING_MODULE names, called by `train`",
            where="hvdsm.framework",
            remedy="set SAGEMAKER_TRAINING_MODULE=module:function in the image, and let `train` start",
        )
    return _current


def current_environment() -> Optional[FrameworkEnvironment]:
    """The environment of the call that is under way; None outside of one."""
    return _current.environment() if _current is not None else None


def load(name: str) -> Callable[..., Any]:
    """The function that ``module:function`` names.

    Raises:
        ConfigError: it is not of that form, or there is no such module or function.
        Exception: whatever the module raises when it is imported.
    """
    where = f"SAGEMAKER_TRAINING_MODULE={name}"
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise ConfigError("is not MODULE:FUNCTION", where=where, remedy="for example my_container.training:main")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise
        raise ConfigError(
            f"the module {error.name} is not in this image",
            where=where,
            remedy="install the framework's package into the image, or unset SAGEMAKER_TRAINING_MODULE",
        ) from None
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigError(f"the module has no function {function_name}", where=where, remedy=f"see {module.__file__}")
    found: Callable[..., Any] = function
    return found


def invoke(function: Callable[..., Any], framework: Framework) -> None:
    """Call the function: with the environment if it needs one positional argument, without any if it needs none.

    Raises:
        ConfigError: it needs more.
        Exception: whatever the function raises.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    needed = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(needed) > 1 or any(p.kind is p.KEYWORD_ONLY for p in needed):
        names = ", ".join(p.name for p in needed)
        raise ConfigError(f"the framework function needs arguments: {names}", remedy="let it take none, or the environment alone")
    if needed:
        function(framework.environment())
    else:
        function()


def call(name: str, output: Output, config: ContainerConfig, settings: Settings, environ: Dict[str, str]) -> JobOutcome:
    """Call the framework function of this host; the outcome is that of the job that it ran, else its own.

    The function runs in this process's main thread.  SIGTERM and SIGINT raise an exception in it, except while it is in
    ``entry_point.run``, where they stop the job.
    """
    global _current
    framework = _current = Framework(output, config, settings, environ)
    started = time.monotonic()
    failure: Optional[RankFailure] = None
    stopped = False
    _prepare_process(environ)
    try:
        for number in _STOPS:
            signal.signal(number, _raise_stopped)
        if stop_asked():
            raise _Stopped
        output.say(f"calling the framework function {name}")
        invoke(load(name), framework)
        if framework.roles:
            names = ", ".join(role.name for role in framework.roles)
            raise UsageError(f"{names} never started: entry_point.run starts them, and it was not called", where=name)
    except _Stopped:
        stopped = True
    except BaseException as error:
        failure = _failure_of(error, config.cluster.current_host, output)
    finally:
        # The outcome is to be written whatever comes now.
        for number in _STOPS:
            signal.signal(number, signal.SIG_IGN)
        _current = None
    outcome = framework.outcome
    if outcome is None or outcome.ok:
        seconds = round(time.monotonic() - started, 3)
        job = outcome or JobOutcome(config.job.name, COMPLETED, 0)
        if stopped:
            outcome = replace(job, status=STOPPED, exit_code=EXIT_STOPPED, seconds=seconds)
        elif failure is not None:
            outcome = replace(job, status=FAILED, exit_code=failure.exit_code, failure=failure, seconds=seconds)
        else:
            outcome = replace(job, seconds=seconds)
    if failure is not None and not framework.has_run and len(config.cluster.hosts) > 1:
        tell_others(output, config, settings, outcome)
    return outcome


def _failure_of(error: BaseException, host: str, output: Output) -> Optional[RankFailure]:
    """What ended the function; None for an exit with 0."""
    if isinstance(error, SystemExit):
        if error.code is None or error.code == 0:
            return None
        code = error.code & 0xFF if isinstance(error.code, int) else 1
        message = "" if isinstance(error.code, int) else str(error.code)
        return RankFailure(KIND_EXIT, message, code or 1, host=host, reported=True, time=time.time())
    if isinstance(error, HvdsmError):
        return launch_failure(str(error), error.exit_code, time.time(), host=host)
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, importlib.__file__):
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace))
    output.write(text.encode(errors="backslashreplace"))
    name, message = type(error).__name__, str(error)
    return RankFailure(KIND_EXCEPTION, message, 1, host=host, exception=name, traceback=text, reported=True, time=time.time())


def _prepare_process(environ: Mapping[str, str]) -> None:
    """Framework code sees the environment that ranks see: cleaned, and without the job's token."""
    for name in set(os.environ) - set(environ) | {"HVDSM_JOB_TOKEN"}:
        os.environ.pop(name, None)
    os.environ.update({name: value for name, value in environ.items() if name != "HVDSM_JOB_TOKEN"})
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)


def _raise_stopped(_number: int, _frame: Optional[FrameType]) -> None:
    raise _Stopped


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Give the handling of signals back to framework code when the job has ended."""
    before = {number: signal.getsignal(number) for number in (*_STOPS, signal.SIGCHLD)}
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
