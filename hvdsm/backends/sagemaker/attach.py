"""Shows a job in SageMaker until it ends or is left: what ``hvdsm launch`` and ``hvdsm jobs`` do at a terminal."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, List, Mapping, Optional

from hvdsm.backends.display import Display
from hvdsm.backends.sagemaker.backend import SageMakerBackend
from hvdsm.backends.sagemaker.job import SageMakerJob, launcher_of
from hvdsm.backends.sagemaker.plan import SageMakerOptions, SageMakerPlan
from hvdsm.backends.signals import stopping_signals
from hvdsm.errors import HvdsmError
from hvdsm.model import JobOutcome


class Detached(KeyboardInterrupt):
    """The user left a job, which goes on.

    Args:
        number: the signal that did it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"detached by signal {number}")
        self.exit_code = 128 + number


def submit(backend: SageMakerBackend, plan: SageMakerPlan, display: Display) -> SageMakerJob:
    """Say what will happen, upload and create.

    Raises:
        HvdsmError: see :meth:`SageMakerBackend.submit`.
        KeyboardInterrupt: interrupted; whether a job was created is said.
    """
    count = len(plan.hosts)
    display.launcher = launcher_of(plan.request)
    display.say(f"{plan.job_name}: {count} host{'s' if count > 1 else ''} of SageMaker in {plan.region}")
    for text in (*plan.notes, *(f"warning: {text}" for text in plan.warnings)):
        display.say(text)
    for text in price_lines(backend, plan):
        display.say(text)
    job = backend.submit(plan, display.say)
    _created(backend, job, display, backend.options.stop_on_interrupt)
    return replace(job, notes=(), warnings=())


def _created(backend: SageMakerBackend, job: SageMakerJob, display: Display, stop_on_interrupt: bool) -> None:
    """Say where a new job is found; leave it if an interrupt came while it was created."""
    display.say(f"created {job.arn}")
    display.say(f"console: {console_address(job.region, job.name)}")
    if job.interrupted:
        if stop_on_interrupt:
            _stop(backend, job, display)
        for text in left_alone(job.name, stopping=stop_on_interrupt):
            display.say(text)
        raise Detached(job.interrupted)


def attend(backend: SageMakerBackend, job: SageMakerJob, display: Display, *, stop_on_interrupt: bool = False) -> JobOutcome:
    """Show a job until it ends; when it has no capacity and its network has further zones, the same job there.

    An interrupt leaves the job, which goes on; with ``stop_on_interrupt`` the first one stops it, and the second one leaves it.

    Returns:
        how it ended, or the last of the jobs that it became.

    Raises:
        Detached: the job was left.
        CloudUnavailable: AWS cannot be reached any more.
    """
    while True:
        asked = _watched(backend, job, display, stop_on_interrupt)
        following = None if asked else _following(backend, job, display, stop_on_interrupt)
        if following is None:
            break
        job = following
    outcome = backend.outcome(job)
    billed = billing(job.description)
    if billed:
        display.say(billed)
    display.summary(outcome, job.job_dir)
    return outcome


def _watched(backend: SageMakerBackend, job: SageMakerJob, display: Display, stop_on_interrupt: bool) -> List[int]:
    """Show a job until it ends; the signals that came meanwhile."""
    display.launcher = launcher_of(job.request)
    asked: List[int] = []

    def interrupted(number: int) -> None:
        asked.append(number)
        if not stop_on_interrupt or len(asked) > 1:
            raise Detached(number)
        # In a thread: the interrupted code may hold the connection that the request needs, or the display.
        threading.Thread(target=_stop, args=(backend, job, display), daemon=True, name="hvdsm-stop").start()

    try:
        with stopping_signals(interrupted):
            for event in backend.events(job, display.say):
                display.show(event)
            backend.outcome(job)
    except Detached:
        for text in left_alone(job.name, stopping=len(asked) > 1):
            display.say(text)
        raise
    except HvdsmError:
        for text in left_alone(job.name):
            display.say(text)
        raise
    return asked


def _following(backend: SageMakerBackend, job: SageMakerJob, display: Display, stop_on_interrupt: bool) -> Optional[SageMakerJob]:
    """The same job in the next zone, if this one had no capacity."""
    asked: List[int] = []
    try:
        with stopping_signals(asked.append):
            following = backend.submit_again(job, display.say, asked)
    except KeyboardInterrupt as error:
        raise (Detached(asked[0]) if asked else error) from None
    if following is not None:
        _created(backend, following, display, stop_on_interrupt)
    return following


def _stop(backend: SageMakerBackend, job: SageMakerJob, display: Display) -> None:
    display.say(f"stopping {job.name}: its containers get SIGTERM and 120 s (interrupt again: leave it to that)")
    try:
        backend.stop(job)
    except HvdsmError as error:
        display.say(f"cannot stop {job.name}: {error}")


def follow(aws: Any, name: str, display: Display, *, stop_on_interrupt: bool = False) -> JobOutcome:
    """Show a job that was submitted before, here or elsewhere, until it ends.

    Args:
        aws: the connection.
        name: TrainingJobName.
        display: where to show it.
        stop_on_interrupt: whether an interrupt stops the job.

    Raises:
        ConfigError: there is no such job.
        Detached: the job was left.
    """
    backend = SageMakerBackend(SageMakerOptions(region=aws.region), aws=aws)
    return attend(backend, backend.find(name), display, stop_on_interrupt=stop_on_interrupt)


def left_alone(name: str, *, stopping: bool = False) -> List[str]:
    """What to say of a job that nobody watches any more."""
    return [
        f"{name} {'is being stopped' if stopping else 'goes on'} without this command",
        f"to see it again: hvdsm jobs wait {name}",
        *([] if stopping else [f"to stop it: hvdsm jobs stop {name}"]),
    ]


def price_lines(backend: SageMakerBackend, plan: SageMakerPlan) -> List[str]:
    """The job's price, as far as it is known; never guessed."""
    from hvdsm.aws.prices import estimate, fetch_prices, read_prices

    file = backend.options.prices
    kinds = sorted(set(instance_types(plan.request)))
    try:
        prices = read_prices(file) if file else fetch_prices(backend.aws, kinds)
    except HvdsmError:
        if file:
            raise
        return ["price: not known, since AWS's price list cannot be read with these credentials; --prices FILE gives one"]
    found = estimate(plan.request, prices, region=plan.region)
    return [str(found)] if found else []


def instance_types(request: Mapping[str, Any]) -> List[str]:
    """The instance types that a request names."""
    resources = request.get("ResourceConfig") or {}
    kinds = [resources.get("InstanceType"), *(group.get("InstanceType") for group in resources.get("InstanceGroups") or ())]
    return [kind for kind in kinds if kind]


def billing(description: Mapping[str, Any]) -> Optional[str]:
    """What the service says that it charges for."""
    trained, billed = description.get("TrainingTimeInSeconds"), description.get("BillableTimeInSeconds")
    if trained is None or billed is None:
        return None
    saved = f" ({100 * (1 - billed / trained):.0f} % saved by spot capacity)" if trained and billed < trained else ""
    return f"training took {trained} s, billed are {billed} s on each instance{saved}"


def console_address(region: str, name: str) -> str:
    """The job's page in the AWS console."""
    from hvdsm.aws.session import console

    return f"{console(region)}/sagemaker/home?region={region}#/jobs/{name}"
