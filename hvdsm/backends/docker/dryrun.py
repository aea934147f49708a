"""What a launch in containers would do: the Compose file and the calls, secrets masked; nothing is made."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from hvdsm.backends.docker.calls import compose_command
from hvdsm.backends.docker.engine import Engine, find_engine
from hvdsm.backends.docker.options import DockerOptions
from hvdsm.backends.docker.plan import DockerPlan, make_plan
from hvdsm.backends.docker.services import container_name, describe
from hvdsm.backends.local.data import DataSet
from hvdsm.backends.local.machine import look_at_machine
from hvdsm.backends.local.placing import part_of
from hvdsm.backends.local.plan import WORK
from hvdsm.backends.local.secret_values import secret_names
from hvdsm.backends.local.stage import source_target
from hvdsm.compose.compose_file import compose_text
from hvdsm.compose.mask import mask_request
from hvdsm.emulator import Mount


@dataclass(frozen=True)
class DockerDryRun:
    """What would be used."""

    job_name: str
    engine: str
    hosts: Tuple[str, ...]
    compose_file: str
    compose: str
    commands: Tuple[Tuple[str, ...], ...]
    passed: Tuple[str, ...]
    request: Mapping[str, Any]
    notes: Tuple[str, ...]

    def as_json(self) -> Dict[str, Any]:
        """For machines."""
        return {
            "job_name": self.job_name,
            "mode": "containers",
            "engine": self.engine,
            "hosts": list(self.hosts),
            "compose_file": self.compose_file,
            "compose": self.compose,
            "commands": [list(words) for words in self.commands],
            "passed": list(self.passed),
            "request": dict(self.request),
            "notes": list(self.notes),
        }

    def as_text(self) -> str:
        """For people."""
        parts = (
            (f"job {self.job_name}, containers by {self.engine}", "".join(f"{note}\n" for note in self.notes)),
            ("calls", "".join(f"{shlex.join(words)}\n" for words in self.commands)),
            ("variables whose values these calls bring", "".join(f"{name}\n" for name in self.passed)),
            (self.compose_file, self.compose),
            ("request", json.dumps(self.request, indent=2) + "\n"),
        )
        return "\n".join(f"# {title}\n{text}" for title, text in parts)


def dry_run(
    request: Mapping[str, Any],
    options: DockerOptions,
    environ: Optional[Mapping[str, str]] = None,
    engine: Optional[Engine] = None,
) -> DockerDryRun:
    """What a launch of this request would use.

    Raises:
        ConfigError: the request, or a file that it names, is wrong.
        BackendUnavailable: there is no container engine.
    """
    environ = dict(os.environ if environ is None else environ)
    machine = look_at_machine(None, "single", environ)
    engine = engine or find_engine(options.engine, environ)
    plan = make_plan(request, options, machine, engine, environ.get("HOME") or "~")
    bases = {host: plan.host_directory(host) for host in plan.hosts}
    described = describe(plan, bases, _mounts(plan), environ, dict.fromkeys(secret_names(request), ""), "token")
    project = str(described.project.name)
    names = [container_name(plan.job_name, host) for host in plan.hosts]
    return DockerDryRun(
        job_name=plan.job_name,
        engine=f"{engine.name} {engine.version}".rstrip(),
        hosts=plan.hosts,
        compose_file=plan.compose_file,
        compose=compose_text(described.project),
        commands=(
            tuple(compose_command(engine, plan.compose_file, project, "up", "--no-start")),
            *((engine.program, "start", "--attach", name) for name in names),
            tuple(compose_command(engine, plan.compose_file, project, "down", "--timeout", "0", "--volumes")),
        ),
        passed=tuple(sorted(described.values)),
        request=mask_request(request),
        notes=(*plan.notes, *(f"warning: {text}" for text in plan.warnings)),
    )


def _mounts(plan: DockerPlan) -> List[Mount]:
    """What the hosts would see besides ``/opt/ml``; what is brought together first would be among the job's files."""
    work = os.path.join(plan.job_dir, WORK)
    found = []
    if plan.source is not None:
        one = plan.source.files[0][1] if len(plan.source.files) == 1 else os.path.join(work, "source")
        found.append(Mount(one, source_target(plan)))
    if plan.checkpoint is not None:
        found.append(Mount(plan.checkpoint.directory, plan.checkpoint.local_path, writable=True))
    for channel in plan.channels:
        for host in plan.layout:
            part = part_of(channel, plan.layout, host)
            if part is not None and part.pipe is None:
                found.append(Mount(_place(part, work), f"/opt/ml/input/data/{channel.name}", host=host.name))
    return found


def _place(part: DataSet, work: str) -> str:
    return part.directory or os.path.join(work, "channels", part.name)
