"""The containers of a job: made, started, signalled and removed by the engine's own programs."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from hvdsm.backends.docker.calls import compose_command
from hvdsm.backends.docker.claim import claimed, project_key
from hvdsm.backends.docker.composing import last_line, run_compose
from hvdsm.backends.docker.engine import Engine
from hvdsm.backends.signals import stopping_signals
from hvdsm.errors import BackendUnavailable, ConfigError

# Seconds that removing containers, or asking for their state, may take; removing gets more for each container.
PATIENCE = 60.0
_EACH = 5.0
# What is asked of a container, and the words of docker and of podman for its status.
STATE = "{{.State.Status}} {{.State.ExitCode}}"
_RUNNING = ("running", "unknown", "paused", "restarting", "stopping")
_NEVER = ("created", "configured", "initialized")
# What docker and podman exit with when they themselves fail.
_NOT_STARTED = 125


@dataclass(frozen=True)
class Ended:
    """How a container ended: its exit code, and whether it had started at all."""

    code: int
    started: bool


class Container:
    """One host: the engine's ``start --attach``, which ends as the container does."""

    def __init__(self, cluster: ComposeCluster, host: str, name: str, client: subprocess.Popen[bytes]) -> None:
        self._cluster = cluster
        self._host = host
        self.name = name
        self._client = client

    def wait(self, timeout: Optional[float] = None) -> int:
        """Wait for the container's end; its exit code, 128+N for signal N.

        The client may end before the container, when it loses the engine: the engine itself is asked.
        """
        code = self._client.wait(timeout)
        found = self._cluster.ended(self.name)
        if found is None:
            self._cluster.lose(self._host)
            return code or 1
        # A container that could not be started has said nothing; the client knows more.
        return found.code or (0 if found.started else code or _NOT_STARTED)

    def send_signal(self, number: int) -> None:
        """Send a signal to the container's first process."""
        self._cluster.kill(self.name, number)


class ComposeCluster:
    """The containers of a Compose project.

    Args:
        engine: the engine.
        compose_file: the file.
        project: the project's name.
        containers: the name of each host's container.
        environ: the caller's variables and the values that the file only names.
        say: is told what Compose says while it works.
        hide: takes secrets out of that.
        after: is called when the containers have ended and before they are removed.
    """

    def __init__(
        self,
        engine: Engine,
        compose_file: str,
        project: str,
        containers: Mapping[str, str],
        environ: Mapping[str, str],
        say: Callable[[str], object],
        after: Callable[[], None] = lambda: None,
        hide: Callable[[str], str] = str,
    ) -> None:
        self.engine = engine
        self.compose_file = compose_file
        self.project = project
        self.containers = dict(containers)
        self._prefix = next(iter(self.containers.values())).rpartition("-")[0]
        self._environ = dict(environ)
        self._say = say
        self._after = after
        self._hide = hide
        self._lost: Set[str] = set()
        self._clients: List[subprocess.Popen[Any]] = []
        self._closing = False
        self._deadline: Optional[float] = None
        self._claim = ExitStack()
        self._lock = threading.Lock()

    @property
    def lost(self) -> Set[str]:
        """Names of the hosts whose container vanished."""
        return self._lost

    def check_free(self) -> None:
        """Take the names, and make sure that no container has one; what an ended job has left of them is removed.

        Raises:
            ConfigError: one runs, or is about to: Compose would end it, and put ours in its place.
            BackendUnavailable: the engine does not say.
        """
        self._claim.enter_context(claimed(project_key(self.engine, self._environ, self.project), self._prefix))
        try:
            self._check_free()
        except BaseException:
            self._claim.close()
            raise

    def _check_free(self) -> None:
        there = self._states()
        for name in there:
            if there[name] in _RUNNING:
                ending = f"or end that job, or what a killed one has left: {self.engine.name} rm -f {name}"
                remedy = f"choose another --job-name; {ending}"
                raise ConfigError("a container of that name is running", where=name, remedy=remedy)
        if there:
            self._ask("rm", "--force", *there)

    def create(self) -> None:
        """Make network and containers, and get the image where it is missing; nothing is started.

        Raises:
            BackendUnavailable: Compose fails.
        """
        code, lines = self._compose("up", "--no-start")
        if code == 0 and set(self._states()) == set(self.containers.values()):
            return
        self.close()
        raise BackendUnavailable(
            f"the containers cannot be made (exit code {code}), see above: {last_line(lines)}",
            where=" ".join(self.engine.compose),
            remedy=f"check the image's name, and that {self.engine.name} can pull it",
        )

    def popen(
        self, host: str, argv: Sequence[str], *, env: Mapping[str, str], cwd: str, stdin: int, stdout: int, stderr: int
    ) -> Container:
        """Start a host's container; what it runs, and with which variables, is in the file."""
        del argv, env, cwd
        name = self.containers[host]
        client = subprocess.Popen(
            [self.engine.program, "start", "--attach", name],
            env=self._environ,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            # A terminal's interrupt reaches the job through us alone.
            start_new_session=True,
        )
        self._clients.append(client)
        return Container(self, host, name, client)

    def kill(self, name: str, number: int) -> None:
        """Send a signal to a container's first process.

        Raises:
            OSError: the engine's program cannot be started.
        """
        words = [self.engine.program, "kill", "--signal", signal.Signals(number).name, name]
        self._clients.append(
            subprocess.Popen(
                words,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    def ended(self, name: str) -> Optional[Ended]:
        """How a container ended, when it has; None when there is none of that name."""
        found = self._inspect(name, STATE)
        if found is None:
            return None
        status, _, code = found.partition(" ")
        if status in _RUNNING:
            words = [self.engine.program, "wait", name]
            try:
                waiting = subprocess.Popen(
                    words,
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            except OSError:
                return None
            # An engine that hangs is not waited for when all is closed.
            self._clients.append(waiting)
            code = waiting.communicate()[0].strip()
        return Ended(int(code), status not in _NEVER) if code.lstrip("-").isdecimal() else None

    def lose(self, host: str) -> None:
        """Note that a host's container vanished; nobody asks for those that we remove."""
        with self._lock:
            if not self._closing:
                self._lost.add(host)

    def close(self) -> None:
        """Remove the containers and their network; what runs is killed.  May be called twice.

        Signals that would break it off are heeded after it.
        """
        held: List[int] = []
        with stopping_signals(held.append):
            with self._lock:
                if self._closing:
                    return
                self._closing = True
            self._deadline = time.monotonic() + PATIENCE + _EACH * len(self.containers)
            try:
                self._remove()
            finally:
                self._claim.close()
        if held:
            signal.raise_signal(held[0])

    def _remove(self) -> None:
        try:
            running = [name for name, state in self._states().items() if state in _RUNNING]
        except BackendUnavailable as error:
            self._say(f"warning: {error}")
            running = list(self.containers.values())
        if running:
            self._ask("kill", "--signal", "KILL", *running)
        self._after()
        code, lines = self._compose("down", "--timeout", "0", "--volumes", limit=self._left())
        if code != 0:
            program, names, said = self.engine.name, " ".join(self.containers.values()), last_line(lines) or "no answer"
            self._say(
                f"warning: {' '.join(self.engine.compose)} down failed (exit code {code}): {said}; what is left goes by: "
                f"{program} rm -f {names}; {program} network rm {self.project}_hvdsm"
            )
        for client in self._clients:
            try:
                client.wait(self._left())
            except subprocess.TimeoutExpired:
                client.kill()

    def _left(self) -> float:
        """Seconds that a call of the engine may take."""
        return PATIENCE if self._deadline is None else max(1.0, self._deadline - time.monotonic())

    def _states(self) -> Dict[str, str]:
        """The state of each container that is there.

        Raises:
            BackendUnavailable: the engine does not say.
        """
        names = set(self.containers.values())
        lines = self._ask("ps", "--all", "--filter", f"name={self._prefix}", "--format", "{{.Names}}")
        if lines is None:
            remedy = f"see what `{self.engine.name} ps` says"
            raise BackendUnavailable("cannot be asked for its containers", where=self.engine.name, remedy=remedy)
        there = sorted(names.intersection(lines.splitlines()))
        # podman's ps has texts for people as states.
        found = self._ask("container", "inspect", "--format", "{{.Name}} {{.State.Status}}", *there) if there else ""
        pairs = (line.rpartition(" ") for line in (found or "").splitlines())
        return {**dict.fromkeys(there, "unknown"), **{name.lstrip("/"): state for name, _, state in pairs}}

    def _inspect(self, name: str, form: str) -> Optional[str]:
        return self._ask("container", "inspect", "--format", form, name)

    def _ask(self, *arguments: str) -> Optional[str]:
        words = [self.engine.program, *arguments]
        try:
            done = subprocess.run(
                words, env=self._environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=self._left()
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def _compose(self, *words: str, limit: Optional[float] = None) -> Tuple[int, List[str]]:
        """Run Compose and show its lines; with a limit nothing is shown."""
        command = compose_command(self.engine, self.compose_file, self.project, *words)
        folder = os.path.dirname(self.compose_file)
        return run_compose(command, self._environ, folder, self._hide, self._say if limit is None else None, limit)
