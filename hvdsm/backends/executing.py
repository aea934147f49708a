"""A request executed on this machine and shown: on emulated hosts, or in containers."""

from __future__ import annotations

import dataclasses
import signal
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Union

from hvdsm.backends.display import Display
from hvdsm.backends.docker.options import DockerOptions
from hvdsm.backends.local.options import LocalOptions
from hvdsm.backends.signals import stopping_signals
from hvdsm.errors import UsageError
from hvdsm.model import JobOutcome

if TYPE_CHECKING:
    from hvdsm.backends.local import LocalBackend, LocalJob


def execute(
    request: Mapping[str, Any], options: Union[LocalOptions, DockerOptions], display: Display, *, summary: bool = True
) -> JobOutcome:
    """Execute a request on this machine, on emulated hosts or in containers as the options say, and show it.

    SIGINT, SIGTERM and SIGHUP stop the job orderly, a second one at once.
    """
    backend = machine_backend(options)
    plan = backend.plan(request)
    display.launcher = plan.launcher
    display.say(f"{plan.job_name}: {len(plan.hosts)} host{'s' if len(plan.hosts) > 1 else ''}, results go to {plan.job_dir}")
    job: Optional[LocalJob] = None

    def stop(number: int) -> None:
        if job is None:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        backend.stop(job, number)

    with stopping_signals(stop):
        job = backend.submit(plan, display.say)
        for event in backend.events(job):
            display.show(event)
        outcome = backend.outcome(job)
    if summary:
        display.summary(outcome, plan.job_dir)
    return outcome


def machine_backend(options: Union[LocalOptions, DockerOptions]) -> LocalBackend:
    """The back end of this machine that the options are for."""
    if isinstance(options, LocalOptions):
        from hvdsm.backends.local import LocalBackend

        return LocalBackend(options)
    from hvdsm.backends.docker import DockerBackend

    return DockerBackend(options)


def container_options(more: Mapping[str, Any], **own: Any) -> DockerOptions:
    """The options of the back end docker; what is None is its default.

    Args:
        more: arguments that are said to a back end besides the request.
        own: fields of :class:`DockerOptions`.

    Raises:
        UsageError: one of ``more`` is for another back end.
    """
    known = {field.name for field in dataclasses.fields(DockerOptions)}
    for name in more:
        if name not in known:
            raise UsageError("means nothing to the back end docker", where=name, remedy="leave it out")
    given: Dict[str, Any] = {name: value for name, value in {**own, **more}.items() if value is not None}
    return DockerOptions(**given)
