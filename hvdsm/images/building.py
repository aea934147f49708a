"""Building an image as its plan says."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional

from hvdsm.errors import ConfigError
from hvdsm.images.build_plan import BuildPlan
from hvdsm.images.commands import Command, inspect_command
from hvdsm.images.logins import log_in
from hvdsm.images.names import ImageName, parse_name
from hvdsm.images.recipes import SOURCE, recipes
from hvdsm.images.running import check, run
from hvdsm.images.staging import staging

Say = Callable[[str], None]


@dataclass(frozen=True)
class Built:
    """An image that was built: its name, its id and the seconds that it took."""

    image: ImageName
    id: str
    seconds: float

    def as_json(self) -> Dict[str, Any]:
        """For machines."""
        return {"image": str(self.image), "id": self.id, "seconds": round(self.seconds, 3)}


def build(
    plan: BuildPlan,
    engine: str,
    aws_of: Callable[[str], Any],
    environ: Mapping[str, str],
    *,
    say: Say,
    show: Optional[Say] = None,
    terminal: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Built:
    """Log in, stage, build, and remove what was staged.

    Args:
        plan: what is built.
        engine: what builds.
        aws_of: gives the session of a region, when a login needs one.
        environ: environment of the commands.
        say: is told the steps.
        show: gets the engine's lines.
        terminal: whether the engine has the terminal for itself.
        clock: gives seconds.

    Raises:
        EngineFailed: a command failed.
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses a password.
        ConfigError: something cannot be staged.
    """
    begun = clock()
    _check_bases(plan, engine, environ)
    for registry in plan.logins:
        log_in(aws_of(registry.region), engine, registry, environ, say)
    image = plan.words.image
    if not plan.copies:
        _build(plan.commands(engine, plain=not terminal)[-1], image, environ, say, show, terminal)
    else:
        for copy in plan.copies:
            if copy.target == SOURCE:
                say(f"copying {copy.source} to a staging directory")
        with staging(plan.copies, plan.texts, say) as staged:
            _build(plan.commands(engine, plain=not terminal, staged=staged)[-1], image, environ, say, show, terminal)
    found = run(inspect_command(engine, image), environ, apart=True)
    check(
        found,
        inspect_command(engine, image),
        f"find {image} after the build",
        f"{engine} images; a builder that keeps it wants -- --load",
    )
    return Built(image, found.text.strip().rpartition(":")[2], clock() - begun)


def _check_bases(plan: BuildPlan, engine: str, environ: Mapping[str, str]) -> None:
    """A recipe can be built from another one's image, which no registry has."""
    if plan.recipe is None:
        return
    names = {recipe.default_name: recipe.name for recipe in recipes(plan.recipe.root).values()}
    for base in plan.bases:
        name = names.get(base.partition(":")[0])
        if name and run(inspect_command(engine, parse_name(base)), environ, apart=True).code != 0:
            raise ConfigError(
                f"{engine} has no image {base}, which the recipe {plan.recipe.name} is built from",
                where=f"--recipe {plan.recipe.name}",
                remedy=f"hvdsm image build --recipe {name} --device {plan.device}; or another one: --build-arg BASE=NAME",
            )


def _build(command: Command, image: ImageName, environ: Mapping[str, str], say: Say, show: Optional[Say], terminal: bool) -> None:
    say(f"building {image}: {command.shown()}")
    check(
        run(command, environ, show=show, terminal=terminal),
        command,
        f"build {image}",
        "correct what the last lines name, and run it again; layers that were built are kept",
    )
