"""Whether images can be built here, and jobs run in containers by a Compose file."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from hvdsm.container import vitals
from hvdsm.container.accelerators import accelerators, accelerators_here
from hvdsm.container.diagnosis import Check, Probe, failed, good, unchecked, warning
from hvdsm.container.inquiries import Run, run, run_apart
from hvdsm.doctor import containers
from hvdsm.doctor.local import python
from hvdsm.emulator.gpus import machine_gpus

AUTO, DOCKER, PODMAN, BUILDAH = "auto", "docker", "podman", "buildah"
# Seconds that an engine may take for an answer.
SECONDS = 15.0
# Below this an image of a framework does not fit; bytes.
ROOM = 10 * vitals.GIB
# How Compose is called, and for which engine, the best first.
COMPOSES: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    (DOCKER, ("docker", "compose", "version")),
    (DOCKER, ("docker-compose", "version")),
    (PODMAN, ("podman-compose", "--version")),
)
_SUDO = "" if os.getuid() == 0 else "sudo "
_GET_ENGINE = f"install Docker (https://docs.docker.com/engine/install), or {_SUDO}apt-get install -y podman"
_CDI = ("/etc/cdi/*nvidia*", "/var/run/cdi/*nvidia*")


@dataclass(frozen=True)
class Engine:
    """A program that makes or runs containers.

    Attributes:
        name: ``docker``, ``podman``, ``buildah``.
        path: where it is; empty where it is not.
        version: of the engine; empty where it cannot be asked.
        error: why it cannot.
        store: directory of its images.
        runtimes: names of its runtimes.
        rootless: whether it runs without root.
    """

    name: str
    path: str = ""
    version: str = ""
    error: str = ""
    store: str = ""
    runtimes: Tuple[str, ...] = ()
    rootless: bool = False


@dataclass(frozen=True)
class DockerFacts:
    """What was found: engines by name; versions of Compose by command; GPUs; whether a CDI file names them; the engine wanted."""

    engines: Mapping[str, Engine] = field(default_factory=dict)
    composes: Mapping[Tuple[str, ...], str] = field(default_factory=dict)
    gpus: Tuple[str, ...] = ()
    cdi: bool = False
    wanted: str = AUTO

    @property
    def chosen(self) -> Optional[Engine]:
        """The engine that runs containers: the first of Docker and podman that has Compose, else the first that answers."""
        names = (DOCKER, PODMAN) if self.wanted == AUTO else (self.wanted,)
        found = [self.engines[name] for name in names if name in self.engines and self.engines[name].version]
        whole = [engine for engine in found if self.compose_of(engine) is not None]
        return next(iter([*whole, *found]), None)

    def compose_of(self, engine: Engine) -> Optional[Tuple[str, ...]]:
        """How Compose is called for an engine."""
        # Whatever name it goes by, podman works with its own Compose.
        kinds = {engine.name} | ({PODMAN} if "podman" in engine.path else set())
        return next((words for kind, words in COMPOSES if kind in kinds and words in self.composes), None)


def docker_probes(environ: Mapping[str, str], runs: Run = run, *, engine: str = AUTO, image: Optional[str] = None) -> List[Probe]:
    """What is looked into.

    Args:
        environ: environment.
        runs: runs a program.
        engine: the one that is wanted, or ``auto``.
        image: what a container is started of.
    """
    return [
        Probe("python", lambda: python(environ), needed=True),
        Probe(
            "engine",
            lambda: look(docker_here(environ, runs, engine), image, environ, runs if runs is not run else run_apart),
            150.0,
            needed=True,
            remedy="docker info, to see the same alone",
        ),
        Probe("memory", lambda: vitals.memory(vitals.memory_here())),
        Probe("gpu", lambda: accelerators(accelerators_here(environ, runs)), 45.0),
    ]


def look(facts: DockerFacts, image: Optional[str], environ: Mapping[str, str], runs: Run) -> List[Check]:
    """What the facts mean, and whether a container can be started."""
    found, engine = judge(facts), facts.chosen
    if engine is not None:
        found.insert(1, containers.start(engine.name, engine.path, image, environ, runs))
    return found


def docker_here(environ: Mapping[str, str], runs: Run = run, wanted: str = AUTO) -> DockerFacts:
    """The facts; engines and Compose are asked, no container is started."""
    # pip puts podman-compose beside this Python, whose directory need not be on PATH.
    wider = os.pathsep.join(filter(None, (environ.get("PATH") or os.defpath, os.path.dirname(sys.executable))))
    engines: Dict[str, Engine] = {}
    questions: Tuple[Tuple[str, Callable[[str, str, bool], Engine], Tuple[str, ...]], ...] = (
        (DOCKER, of_docker, ("info", "--format", "{{json .}}")),
        (PODMAN, of_podman, ("info", "--format", "json")),
        (BUILDAH, of_buildah, ("--version",)),
    )
    for name, read, words in questions:
        found = shutil.which(name, path=wider)
        if found is None:
            engines[name] = Engine(name)
            continue
        ran = runs([found, *words], environ, SECONDS)
        engines[name] = read(found, ran.text, ran.ok)
    composes: Dict[Tuple[str, ...], str] = {}
    answering = {engine.name for engine in engines.values() if engine.version}
    # Docker's name may be podman's.
    answering |= {PODMAN} if DOCKER in answering else set()
    for kind, command in COMPOSES:
        place = shutil.which(command[0], path=wider) if kind in answering else None
        if place is not None:
            ran = runs([place, *command[1:]], environ, SECONDS)
            match = re.search(r"(?:version:?\s+v?|^v?)(\d+\.\d+[\w.+-]*)", ran.text, re.MULTILINE)
            if ran.ok and match:
                composes[command] = match.group(1)
    return DockerFacts(engines, composes, machine_gpus(environ), any(glob.glob(pattern) for pattern in _CDI), wanted)


def of_docker(path: str, text: str, ok: bool) -> Engine:
    """What ``docker info`` says; podman under Docker's name says it in podman's way."""
    found = _object(text)
    if "host" in found and "store" in found:
        return Engine(**{**of_podman(path, text, ok).__dict__, "name": DOCKER})
    errors = [str(error) for error in found.get("ServerErrors") or ()]
    version = "" if errors else str(found.get("ServerVersion") or "")
    runtimes = tuple(sorted(found.get("Runtimes") or {}))
    rootless = any("rootless" in str(option) for option in found.get("SecurityOptions") or ())
    error = "" if version else errors[0] if errors else _last(text)
    return Engine(DOCKER, path, version, error, str(found.get("DockerRootDir") or ""), runtimes, rootless)


def of_podman(path: str, text: str, ok: bool) -> Engine:
    """What ``podman info`` says."""
    found = _object(text)
    if not ok or not found:
        return Engine(PODMAN, path, error=_last(text))
    host, store = found.get("host") or {}, found.get("store") or {}
    runtime = str((host.get("ociRuntime") or {}).get("name") or "")
    rootless = bool((host.get("security") or {}).get("rootless"))
    version = str((found.get("version") or {}).get("Version") or "?")
    return Engine(PODMAN, path, version, "", str(store.get("graphRoot") or ""), (runtime,) if runtime else (), rootless)


def of_buildah(path: str, text: str, ok: bool) -> Engine:
    """What ``buildah --version`` says."""
    match = re.search(r"version (\S+)", text)
    return Engine(BUILDAH, path, match.group(1) if ok and match else "", "" if ok and match else _last(text))


def judge(facts: DockerFacts) -> List[Check]:
    """Whether images can be built and hosts run in containers: engine, Compose, room, and GPUs in containers."""
    engine = facts.chosen
    told = {name: {"version": one.version, "path": one.path, "error": one.error} for name, one in facts.engines.items()}
    builder = next((name for name in (DOCKER, PODMAN, BUILDAH) if facts.engines.get(name, Engine(name)).version), "")
    if engine is None:
        return [
            _no_engine(facts, told),
            unchecked("compose", "there is no engine for it"),
            good("build", f"{builder} builds images") if builder else unchecked("build", "there is nothing to build images with"),
        ]
    how = ", without root" if engine.rootless else ""
    other = facts.engines.get(DOCKER)
    aside = f"; docker is here, but: {other.error}" if other is not None and other.error and engine is not other else ""
    found = [good("engine", f"{engine.name} {engine.version}{how}{aside}", used=engine.name, rootless=engine.rootless, **told)]
    found.append(_compose(facts, engine))
    found.append(good("build", f"{builder} builds images", used=builder))
    spaces = vitals.spaces_here((engine.store,)) if engine.store else ()
    if spaces:
        found.append(room(spaces[0]))
    if facts.gpus:
        found.append(_gpus(facts, engine))
    return found


def _no_engine(facts: DockerFacts, told: Mapping[str, Any]) -> Check:
    docker, podman = facts.engines.get(DOCKER, Engine(DOCKER)), facts.engines.get(PODMAN, Engine(PODMAN))
    named = next((one for one in (docker, podman) if one.error and facts.wanted in (AUTO, one.name)), None)
    if named is None and facts.wanted != AUTO:
        return failed("engine", f"{facts.wanted} is not here", f"--engine auto; or {_GET_ENGINE}", **told)
    if named is None:
        return failed("engine", "neither docker nor podman is here", _GET_ENGINE, **told)
    if "permission denied" in named.error.lower():
        help_ = 'sudo usermod -aG docker "$USER", and log in again'
    elif named.name == DOCKER:
        help_ = f"{_SUDO}systemctl start docker; DOCKER_HOST names an engine elsewhere; or {_SUDO}apt-get install -y podman"
    else:
        help_ = "podman info, to see the same alone"
    others = "; podman is not here" if named is docker and not podman.path else ""
    return failed("engine", f"{named.name} is here, but its engine cannot be used: {named.error}{others}", help_, **told)


def _compose(facts: DockerFacts, engine: Engine) -> Check:
    told = {" ".join(words[: -1 if words[-1] == "version" else None]): version for words, version in facts.composes.items()}
    told = {name.replace(" --version", ""): version for name, version in told.items()}
    words = facts.compose_of(engine)
    if words is not None:
        name = " ".join(word for word in words if word not in ("version", "--version"))
        return good("compose", f"{name} {facts.composes[words]}", used=name, **told)
    help_ = f"{sys.executable} -m pip install podman-compose"
    if engine.name == DOCKER:
        help_ = f"{_SUDO}apt-get install -y docker-compose-plugin (Docker's package; the distributions': docker-compose)"
    others = f"; {', '.join(sorted(told))} is not for it" if told else ""
    return failed("compose", f"there is no Compose for {engine.name}{others}", help_, **told)


def room(space: vitals.Space) -> Check:
    """Whether an image of a framework fits where the engine keeps its images."""
    what = f"{vitals.size_text(space.free)} free in {space.path}, where images go"
    told = {"path": space.path, "free": space.free}
    if space.free < ROOM:
        return warning("images", f"{what}: an image of a framework takes 5 to 20 GiB", "make room: docker system prune", **told)
    return good("images", what, **told)


def _gpus(facts: DockerFacts, engine: Engine) -> Check:
    count = f"{len(facts.gpus)} GPU{'' if len(facts.gpus) == 1 else 's'}"
    if facts.cdi or "nvidia" in engine.runtimes:
        return good("gpu-runtime", f"{engine.name} can give containers the {count}", gpus=list(facts.gpus))
    guide = "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
    what = f"{engine.name} has no runtime for the {count}: containers see none"
    return warning("gpu-runtime", what, f"install the NVIDIA Container Toolkit: {guide}", gpus=list(facts.gpus))


def _object(text: str) -> Dict[str, Any]:
    """The JSON object in a text that has warnings around it."""
    begin, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[begin : end + 1])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _last(text: str) -> str:
    said = [line for line in text.strip().splitlines() if line.strip() and not line.startswith("{")]
    return said[-1].strip()[:300] if said else "it says nothing"
