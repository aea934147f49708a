"""From a fresh clone to a trained model: ``make demo``.

First the smallest rehearsal, before anything big is installed; then a real training with Horovod on two emulated hosts.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from typing import List

import environment
import prepare
import steps
import system_packages

HVDSM = os.path.join(environment.VENV, "bin", "hvdsm")
ALLREDUCE = os.path.join("examples", "allreduce_mpi4py", "train.py")
DIGITS = os.path.join("examples", "mnist_torch_horovod", "train.py")
LEAST_ACCURACY = 0.95


def launch(job_name: str, output: str, options: List[str], script: str) -> str:
    """Rehearse a script with ``hvdsm launch`` and return the directory of its results.

    Raises:
        steps.StepFailed: the job failed; its output, the failing rank included, has been shown.
    """
    argv = ["launch", *options, "--job-name", job_name, "--output", output, script]
    steps.say("    $ .venv/bin/hvdsm " + " ".join(argv))
    code = steps.run_shown([HVDSM, *argv])
    results = os.path.join(steps.REPOSITORY, output, job_name)
    if code != 0:
        raise steps.StepFailed(f"hvdsm launch ended with exit code {code}; its logs are in {os.path.join(results, 'logs')}")
    return results


def world_size(results: str) -> int:
    """Return how many ranks the log of a job speaks of, from the examples' own ``rank R of N`` lines; 0 when there are none."""
    return max((int(match) for match in re.findall(r"rank \d+ of (\d+)", first_log(results))), default=0)


def test_accuracy(results: str) -> float:
    """Return the accuracy that rank 0 of the digits example wrote into the log of the first host.

    Raises:
        steps.StepFailed: the log does not name one.
    """
    found = re.findall(r"test accuracy: ([0-9.]+)", first_log(results))
    if not found:
        raise steps.StepFailed(f"no test accuracy in {os.path.join(results, 'logs')}")
    return float(found[-1])


def first_log(results: str) -> str:
    """Return the whole log of the first host, where rank 0 runs."""
    try:
        with open(os.path.join(results, "logs", "algo-1.log"), encoding="utf-8", errors="replace") as log:
            return log.read()
    except OSError as error:
        raise steps.StepFailed(f"{error.filename}: {error.strerror}") from error


def main(argv: List[str]) -> int:
    """Run the demo and return 0 when the model is as good as it should be."""
    parser = argparse.ArgumentParser(description="Set up what is needed, rehearse on 4 hosts, train on 2 hosts x 2 processes.")
    parser.add_argument("--output", default="hvdsm-out", help="directory for the jobs' results (default: %(default)s)")
    output = parser.parse_args(argv).output
    start = time.monotonic()
    stamp = time.strftime("%Y%m%d-%H%M%S")
    if prepare.is_done("torch"):
        steps.say("hvdsm demo: two rehearsals on emulated hosts; everything is installed already, so under 30 s.")
    else:
        steps.say(
            "hvdsm demo: two rehearsals on emulated hosts. The first needs little and runs within a minute; for the second,"
        )
        steps.say("torch is installed and Horovod compiled: 3 to 8 minutes on two cores, once. Nothing leaves this machine.")

    prepare.prepare("rehearsal")
    if not system_packages.find_program("sshd"):
        raise steps.StepFailed("no rehearsal without sshd, see above; then run the same command again")
    with steps.step("Rehearsing an all-reduce with mpi4py on 4 emulated hosts, each with its own sshd and address", "about 3 s"):
        results = launch(f"demo-allreduce-{stamp}", output, ["--instance-count", "4"], ALLREDUCE)
        if world_size(results) != 4:
            raise steps.StepFailed(f"4 ranks were asked for, {world_size(results)} ran: see {results}")
    steps.say(f"    first rehearsal done {time.monotonic() - start:.0f} s after the start")

    prepare.prepare("torch")
    with steps.step("Training on handwritten digits with Horovod and torch: 2 emulated hosts x 2 processes", "about 10 s"):
        results = launch(f"demo-digits-{stamp}", output, ["--instance-count", "2", "--processes-per-host", "2"], DIGITS)
        if world_size(results) != 4:
            raise steps.StepFailed(f"4 ranks were asked for, {world_size(results)} ran: see {results}")

    accuracy = test_accuracy(results)
    model = os.path.join(results, "model", "model.pt")
    if not os.path.isfile(model):
        raise steps.StepFailed(f"the job succeeded but left no {model}")
    steps.say()
    steps.say(f"test accuracy: {accuracy:.4f} (at least {LEAST_ACCURACY} is expected)")
    steps.say(f"model:         {model}")
    steps.say(f"request:       {os.path.join(results, 'request.json')} (the CreateTrainingJob request that was carried out)")
    steps.say(f"whole demo:    {time.monotonic() - start:.0f} s")
    return 0 if accuracy >= LEAST_ACCURACY else 1


if __name__ == "__main__":
    sys.exit(steps.main_guard(main, sys.argv[1:]))
