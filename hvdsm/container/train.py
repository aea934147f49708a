"""``hvdsm-train``, which images link as ``train``: the program that SageMaker starts on every host."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Dict, Union

from hvdsm.compose.failure import headline
from hvdsm.container.conductor import launch_failure
from hvdsm.container.config import ContainerConfig, Settings, base_paths, read_config, read_settings
from hvdsm.container.loop import Loop
from hvdsm.container.relay import Output
from hvdsm.container.report import write_outcome
from hvdsm.errors import HvdsmError
from hvdsm.model import JobOutcome
from hvdsm.model.outcome import FAILED

if TYPE_CHECKING:
    from hvdsm.container.launcher import Launcher
    from hvdsm.container.worker import Worker

USAGE = """usage: hvdsm-train

Runs the training job that /opt/ml/input/config describes on this host, together with the job's other hosts, and ends with the
job's exit code.  It takes no arguments: SageMaker starts it as `train` on every host of a training job.
On your own machine: hvdsm launch SCRIPT
"""


def main() -> int:
    """Run this host's part of the job; returns the job's exit code."""
    if sys.argv[1:2] and sys.argv[1] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0
    environ = dict(os.environ)
    output = Output(1)
    try:
        outcome = _run(output, environ)
        return outcome.exit_code
    finally:
        output.close()


def _run(output: Output, environ: Dict[str, str]) -> JobOutcome:
    paths = base_paths(environ)
    outcome_file = environ.get("HVDSM_OUTCOME_FILE")
    try:
        settings = read_settings(environ)
        config = read_config(paths, environ)
        loop = Loop()
        host = _role(loop, output, config, settings, environ)
    except HvdsmError as error:
        outcome = JobOutcome("training-job", FAILED, error.exit_code, failure=launch_failure(str(error), error.exit_code, 0.0))
        output.say(f"error: {error}")
        write_outcome(outcome, paths, outcome_file, output.say)
        return outcome
    try:
        host.start()
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
    outcome = host.outcome
    write_outcome(outcome, paths, outcome_file, output.say)
    if outcome.failure is not None:
        output.say(f"job failed: {headline(outcome.failure)}")
    else:
        output.say(f"job {outcome.status.lower()} ({outcome.seconds:.2f} s)")
    return outcome


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


if __name__ == "__main__":
    sys.exit(main())
