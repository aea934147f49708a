"""Runs this host's part of a job, from joining the other hosts to the outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Union

from hvdsm.container.conductor import launch_failure
from hvdsm.container.config import ContainerConfig, Settings
from hvdsm.container.loop import Loop
from hvdsm.container.relay import Output
from hvdsm.container.stops import pass_on
from hvdsm.errors import HvdsmError
from hvdsm.model import JobOutcome
from hvdsm.model.outcome import FAILED

if TYPE_CHECKING:
    from hvdsm.container.launcher import Launcher
    from hvdsm.container.worker import Worker


def perform(output: Output, config: ContainerConfig, settings: Settings, environ: Dict[str, str]) -> JobOutcome:
    """Run this host's part of the job; the outcome is that of the whole job, and nothing of the job is left on this host.

    It takes over the handling of SIGTERM, SIGINT and SIGCHLD, and must be called in the main thread.
    """
    loop = Loop()
    host = _role(loop, output, config, settings, environ)
    try:
        host.start()
        pass_on()
        if host.outcome is None:
            loop.run()
    except HvdsmError as error:
        failure = launch_failure(str(error), error.exit_code, 0.0, host=config.cluster.current_host)
        host.outcome = JobOutcome(config.job.name, FAILED, error.exit_code, failure=failure)
    except Exception as error:
        import traceback

        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        failure = launch_failure(
            f"a defect of hvdsm: {type(error).__name__}: {error}", 1, 0.0, host=config.cluster.current_host, tail=text
        )
        host.outcome = JobOutcome(config.job.name, FAILED, 1, failure=failure)
    finally:
        host.close()
    assert host.outcome is not None
    return host.outcome


def _role(
    loop: Loop, output: Output, config: ContainerConfig, settings: Settings, environ: Dict[str, str]
) -> Union[Launcher, Worker]:
    """This host's role; only its own modules are imported, since every host pays for its start."""
    if config.cluster.is_launcher:
        from hvdsm.container import launcher

        first = launcher.Launcher(loop, output, config, settings, environ)
        loop.on_signals(launcher.handlers(first))
        return first
    from hvdsm.container import worker

    other = worker.Worker(loop, output, config, settings, environ)
    loop.on_signals(worker.handlers(other))
    return other
