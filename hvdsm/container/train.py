"""``hvdsm-train``, which images link as ``train``: the program that SageMaker starts on every host."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Callable, Dict, List, Optional

from hvdsm.compose.environment import Paths
from hvdsm.compose.failure import headline
from hvdsm.compose.inherited import clean_environment, is_stock_module
from hvdsm.container.conductor import launch_failure
from hvdsm.container.config import base_paths, launcher_here, outcome_line, read_config, read_settings
from hvdsm.container.handover import Handover
from hvdsm.container.part import perform
from hvdsm.container.relay import Output
from hvdsm.container.report import print_outcome, write_outcome
from hvdsm.container.stops import keep_stops
from hvdsm.errors import HvdsmError
from hvdsm.model import JobOutcome
from hvdsm.model.outcome import FAILED, KIND_ROLE, RankFailure
from hvdsm.version import __version__

USAGE = """usage: hvdsm-train
       hvdsm-train --doctor [--distribution KIND] [--instance-count N] [--quick] [--json]

Runs the training job that /opt/ml/input/config describes on this host, together with the job's other hosts, and ends with the
job's exit code.  It takes no arguments: SageMaker starts it as `train` on every host of a training job.
With --doctor it checks whether this image can run jobs, and says what it lacks.
On your own machine: hvdsm launch SCRIPT
"""


def main() -> int:
    """Run this host's part of the job; returns the job's exit code."""
    if sys.argv[1:2] and sys.argv[1] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"hvdsm, version {__version__}\n")
        return 0
    if sys.argv[1:2] == ["--doctor"]:
        from hvdsm.container.doctor import main as doctor

        return doctor(sys.argv[2:], os.environ, sys.stdout.write)
    return take_part()


def take_part(hand_over: Optional[Callable[[Paths], Handover]] = None) -> int:
    """Run this host's part of the job; returns the job's exit code.

    Args:
        hand_over: says what the program that hands the job over knows of it; what it raises ends the job like any wrong
            configuration.
    """
    keep_stops()
    environ, notes = clean_environment(os.environ)
    output = Output(1)
    try:
        for note in notes:
            output.say(note)
        return _run(output, environ, hand_over).exit_code
    finally:
        output.close()


def _run(output: Output, environ: Dict[str, str], hand_over: Optional[Callable[[Paths], Handover]]) -> JobOutcome:
    paths, outcome_file = base_paths(environ), environ.get("HVDSM_OUTCOME_FILE")
    handover: Optional[Handover] = None
    try:
        if hand_over is not None:
            handover = hand_over(paths)
            environ.update(handover.settings)
            paths = replace(paths, source=handover.source)
        outcome = _train(output, paths, environ, handover)
    except HvdsmError as error:
        outcome = JobOutcome("training-job", FAILED, error.exit_code, failure=launch_failure(str(error), error.exit_code, 0.0))
        output.say(f"error: {error}")
        write_outcome(outcome, paths, outcome_file, output.say)
    else:
        write_outcome(outcome, paths, outcome_file, output.say)
        if outcome.failure is not None:
            output.say(f"job failed: {headline(outcome.failure)}")
            for line in _last_words(outcome.failure):
                output.say(f"| {line}")
        else:
            output.say(f"job {outcome.status.lower()} ({outcome.seconds:.2f} s)")
    if outcome_line(environ) and launcher_here(paths, handover):
        print_outcome(outcome, output.write)
    return outcome


def _last_words(failure: RankFailure) -> List[str]:
    """The last lines of a step or a role, of which the headline only has the exit code; other hosts have not seen them."""
    return failure.output_tail.splitlines()[-2:] if failure.kind == KIND_ROLE else []


def _train(output: Output, paths: Paths, environ: Dict[str, str], handover: Optional[Handover]) -> JobOutcome:
    """The framework function's way where the image has one of its own, else the ordinary way."""
    module = "" if handover else environ.get("SAGEMAKER_TRAINING_MODULE", "")
    if is_stock_module(module):
        output.say(f"SAGEMAKER_TRAINING_MODULE={module} is AWS's own and is left out: hvdsm does its work")
        module = ""
    settings = read_settings(environ)
    config = read_config(paths, environ, require_program=not module, handover=handover)
    if not module:
        return perform(output, config, settings, environ)
    from hvdsm.container import framework

    return framework.call(module, output, config, settings, environ)


if __name__ == "__main__":
    sys.exit(main())
