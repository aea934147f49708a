"""One host's part of a job: source, keys, sshd, its ranks.  The launcher has one too, beside its conductor.

It is told what to do by messages ``{"do": …}`` and says what happened by messages ``{"say": …}``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Tuple

from hvdsm.compose.environment import HostFacts
from hvdsm.compose.mpirun import rank_program
from hvdsm.compose.secrets import HYPERPARAMETER
from hvdsm.compose.torchrun import torchrun_command
from hvdsm.container import hook, source, stacks
from hvdsm.container.checkpoints import fingerprint
from hvdsm.container.config import ContainerConfig, Settings
from hvdsm.container.curtain import GIVEN, Curtain, given_secrets
from hvdsm.container.facts import host_facts
from hvdsm.container.hostenv import host_environment, too_long, with_hvdsm
from hvdsm.container.image import Image
from hvdsm.container.loop import Loop
from hvdsm.container.processes import end_processes
from hvdsm.container.rank import is_python
from hvdsm.container.ranks import RankServer
from hvdsm.container.roles import Roles
from hvdsm.container.same_mpi import compare
from hvdsm.container.ssh import SshServer, free_port, make_keys, write_files
from hvdsm.container.starter import Starter
from hvdsm.container.zombies import reap_orphans
from hvdsm.errors import HvdsmError
from hvdsm.model import MPI, NONE
from hvdsm.model.plan import JobPlan

if TYPE_CHECKING:
    from hvdsm.container.stage import Stage

Message = Dict[str, Any]
SECRET = ("HVDSM_JOB_TOKEN", GIVEN)
# Before the ranks start again; the heartbeat stands still as long.
ROLES_LEAVE_SECONDS = 2.0
ACTIVITY_SECONDS = 0.5


class Agent:
    """Does what the conductor of the job asks of this host.

    ``emit`` gets messages for the conductor, ``emit_lines`` the tagged lines of this host's ranks; ``say`` gets
    text, and a prefix where it is not our own.
    """

    def __init__(
        self,
        loop: Loop,
        config: ContainerConfig,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        emit: Callable[[Message], None],
        emit_lines: Callable[[bytes], None],
        say: Callable[..., None],
    ) -> None:
        self.loop = loop
        self.config = config
        self.settings = settings
        self._secrets = given_secrets(environ)
        self.environ = {name: value for name, value in environ.items() if name not in SECRET and name not in self._secrets}
        self._curtain = Curtain()
        self._curtain.hide(self._secrets.values())
        self.host = config.cluster.current_host
        self.in_distribution = self.host in config.cluster.distribution_hosts or config.job.distribution.kind == NONE
        self.facts = HostFacts()
        self._emit = emit
        self.emit_lines = emit_lines
        self.say = say
        self.session: Optional[str] = None
        self.command: List[str] = []
        self.environment: Dict[str, str] = {}
        self.ranks: Optional[RankServer] = None
        self.sshd: Optional[SshServer] = None
        self._python_path: Tuple[str, ...] = ()
        self._temporary: Tuple[str, ...] = ()
        self._setup: Message = {}
        self._restart = 0
        self._spawned: List[subprocess.Popen[bytes]] = []
        self.plan: Optional[JobPlan] = None
        self._ports: Mapping[str, int] = {}
        self._given_command: List[str] = []
        self.roles = Roles(loop, self.host, on_event=self._rank_event, on_lines=emit_lines)
        self.stage: Optional[Stage] = None
        self._torchrun = Starter(loop, "torchrun", say)

    def emit(self, message: Message) -> None:
        """Tell the conductor; without the values of secrets."""
        self._emit(self._curtain.event(message))

    # ------------------------------------------------------------------ before the others are there

    def prepare(self, done: Callable[[Message], None]) -> None:
        """Bring the source and make the keys, in a thread; then call ``done`` with what this host announces.

        What went wrong is announced as ``error`` and ``exit_code``.
        """
        self.session = tempfile.mkdtemp(prefix="hvdsm-", dir="/tmp")
        self.loop.in_thread(lambda: partial(done, self._prepared()))

    def _prepared(self) -> Message:
        try:
            return self._prepare()
        except HvdsmError as error:
            return {"host": self.host, "error": str(error), "exit_code": error.exit_code}
        except OSError as error:
            return {"host": self.host, "error": f"{error.filename or self.session}: {error.strerror}", "exit_code": 78}

    def _prepare(self) -> Message:
        assert self.session is not None
        paths, job = self.config.paths, self.config.job
        self.facts = host_facts(self.environ)
        image = Image(self.config, self.settings, self.environ, self.say)
        image.check_programs()
        self._fetch_secrets()
        for directory in (paths.code, paths.model, paths.output_data):
            os.makedirs(directory, exist_ok=True)
        prepared = source.bring(self.config, {**self.environ, "HVDSM_SESSION": self.session}, self.say, sys.executable)
        self.command, self._python_path, self._temporary = prepared.command, prepared.python_path, prepared.temporary
        self.plan, self._given_command = prepared.plan, prepared.command
        image.check_modules(self.command, self._python_path)
        announcement: Message = {"host": self.host, "slots": self.facts.slots, "port": 0, "host_key": "", "client_key": ""}
        announcement["accelerators"] = self.facts.num_gpus or self.facts.num_neurons
        if job.distribution.kind == MPI and self.in_distribution and len(self.config.cluster.distribution_hosts) > 1:
            announcement["host_key"], announcement["client_key"] = make_keys(self.session)
            announcement["port"] = free_port()
        if self.plan is not None:
            from hvdsm.container.planning import announced
            from hvdsm.container.stage import Stage

            self.stage = Stage(self.loop, self.roles, self.config, self.plan, emit=self._rank_event, say=self.say)
            announcement.update(announced(self.plan, job.name))
        return announcement

    def _fetch_secrets(self) -> None:
        """They are for ranks and roles: not for pip, mpirun and ssh."""
        named = self.config.job.reserved.get(HYPERPARAMETER)
        if named:
            from hvdsm.container.secrets import fetch_secrets

            self._secrets.update(fetch_secrets(named, self.environ, self.say))
            self._curtain.hide(self._secrets.values())
            self.environ = {name: value for name, value in self.environ.items() if name not in self._secrets}

    # ------------------------------------------------------------------ what the conductor asks for

    def handle(self, message: Message) -> None:
        """Do one thing for the conductor; what goes wrong is said to it, not raised."""
        try:
            do = message.get("do")
            if do == "setup":
                self._set_up(message)
            elif do == "spawn":
                self._spawn(message)
            elif do == "torchrun":
                self._run_torchrun(message)
            elif do in ("step", "role", "end-role") and self.stage:
                self.stage.handle(message)
            elif do == "signal" and self.ranks:
                self._torchrun.quieten()
                self.ranks.signal(int(message["signal"]))
                if self.stage:
                    self.stage.signal(int(message["signal"]))
            elif do == "ack" and self.ranks:
                self.ranks.acknowledge(int(message["rank"]))
            elif do == "stacks":
                self._ask_for_stacks()
            elif do == "reset":
                self._ports = message.get("ports", {})
                self._reset(int(message["restart"]))
        except HvdsmError as error:
            self.emit({"say": "error", "message": str(error), "exit_code": error.exit_code})
        except OSError as error:
            self.emit({"say": "error", "message": str(error), "exit_code": 78})

    def _set_up(self, message: Message) -> None:
        session = str(message["session"])
        assert self.session is not None
        if self.session != session:
            # The same path on every host, since ssh and mpirun name files by it.
            os.rename(self.session, session)
            self.session = session
        self._setup, self._ports = message, message.get("ports", {})
        if message.get("mpi") and self.in_distribution:
            warning = compare(message["mpi"])
            if warning:
                self.say(warning)
        os.mkdir(os.path.join(session, stacks.DIRECTORY))
        self.environment = self._host_environment()
        if not is_python(self.command):
            hook.install(session)
        self.ranks = RankServer(
            self.loop,
            session,
            self.host,
            self.environment,
            self.config.paths.code,
            on_event=self._rank_event,
            on_lines=self.emit_lines,
            plain=not self.in_distribution,
        )
        self.ranks.exported = list(message.get("exported", ()))
        self._start_roles()
        if self.config.job.supervision.hang_timeout:
            self.loop.every(ACTIVITY_SECONDS, self._tell_activity)
        if message["keys"] and self.in_distribution:
            write_files(session, self.config.cluster.distribution_hosts, message["keys"], self.host)
            self.sshd = SshServer(self.loop, session, self.environ, self._ready, self._ssh_ended)
        else:
            self._ready()

    def _host_environment(self) -> Dict[str, str]:
        environment = host_environment(
            self.config,
            self.facts,
            self.environ,
            session=str(self.session),
            master_address=str(self._setup["master_address"]),
            master_port=int(self._setup["master_port"]),
            python_path=self._python_path,
            restart=self._restart,
        )
        environment.update(self._secrets)
        for name in too_long(environment):
            self.say(f"warning: {name} is left out: no program can be started with {len(environment[name])} bytes in a variable")
            del environment[name]
        if self.stage is not None:
            environment = self.stage.set_up(self._setup["plan"], self._ports, self._restart, environment)
            self.command = self.stage.command(self._given_command)
        return environment

    def _tell_activity(self) -> None:
        if self.ranks and self.ranks.ranks:
            self.emit({"say": "activity", "ranks": self.ranks.activity(), "run": self._restart})

    def _start_roles(self) -> None:
        for role in self.config.roles:
            self.roles.start(role, self.environment, self.config.paths.code)
            self.say(f"process {role.name} started: {role.command[0]}")

    def _rank_event(self, event: Message) -> None:
        self.emit({**event, "run": self._restart})

    def _ready(self) -> None:
        told = {}
        if self.config.job.supervision.max_restarts:
            step = self.ranks.best_step() if self.ranks else None
            told = {"checkpoints": fingerprint(self.config.paths.base + "/checkpoints"), "step": step}
        self.emit({"say": "ready", **told})

    def _ssh_ended(self, said: str) -> None:
        if self.ranks and self.ranks.ranks:
            # Connections that stand have processes of their own; nobody connects any more.  The last one's end is what
            # tells of sshd's, and the ranks may have ended by then.
            self.say(f"warning: sshd ended: {said}")
        else:
            self.emit({"say": "error", "message": f"sshd ended: {said}", "exit_code": 78})

    # ------------------------------------------------------------------ ranks

    def _spawn(self, message: Message) -> None:
        """Start the script plainly, as one process."""
        assert self.session is not None
        place = {key: message[key] for key in ("rank", "local_rank", "world_size", "local_world_size")}
        environment = {
            **self.environ,
            "HVDSM_SESSION": self.session,
            **{f"HVDSM_{key.upper()}": str(value) for key, value in place.items()},
            "HVDSM_PLAIN": "1",
        }
        self._spawned.append(
            subprocess.Popen(
                rank_program(sys.executable, self.command),
                stdin=subprocess.DEVNULL,
                cwd=self.session,
                env=with_hvdsm(environment),
            )
        )

    def _run_torchrun(self, message: Message) -> None:
        assert self.session is not None
        command = torchrun_command(
            sys.executable,
            rank_program(sys.executable, self.command),
            hosts=int(message["hosts"]),
            node_rank=int(message["node_rank"]),
            processes=int(message["processes"]),
            master_address=self.environment["MASTER_ADDR"],
            master_port=int(self.environment["MASTER_PORT"]),
        )
        interfaces = {name: self.environment[name] for name in ("GLOO_SOCKET_IFNAME",) if name in self.environment}
        environment = with_hvdsm({**self.environ, **interfaces, "HVDSM_SESSION": self.session})
        self._torchrun.start(command, environment, self.session)

    def _ask_for_stacks(self) -> None:
        if self.ranks is not None and self.session is not None:
            stacks.dump(self.loop, self.session, self.ranks.children, self._tell_stacks)

    def _tell_stacks(self, found: Mapping[int, str]) -> None:
        told, children = [], dict(self.ranks.children()) if self.ranks else {}
        for rank, text in sorted(found.items()):
            tag = f"[{self.ranks.label(rank) if self.ranks else rank}] "
            self.emit_lines("".join(f"{tag}stack: {line}\n" for line in text.split("\n")).encode(errors="replace"))
            told.append({"rank": rank, "text": text, "stopped": stacks.state(children.get(rank, 0)).startswith("T")})
        self.emit({"say": "stacks", "ranks": told, "run": self._restart})

    def _reset(self, restart: int) -> None:
        """The ranks' run is over and all have ended: make this host ready for the next one."""
        assert self.session is not None and self.ranks is not None
        self._torchrun.close()
        if self.stage:
            self.stage.reset()
        self.roles.close(ROLES_LEAVE_SECONDS)
        end_processes(self.session)
        self.reap()
        self._spawned.clear()
        own = os.path.join(self.config.paths.output, "failure")
        if os.path.exists(own):
            os.unlink(own)
            self.say("the script's failure file of the run before is removed")
        self._restart = restart
        self.environment = self._host_environment()
        ready = self.ranks.best_step()
        self.ranks.reset(self.environment)
        self._start_roles()
        told = {"checkpoints": fingerprint(self.config.paths.base + "/checkpoints"), "step": ready}
        if self.sshd and self.sshd.process.poll() is not None:
            self.sshd.close()
            self.sshd = SshServer(
                self.loop, self.session, self.environ, lambda: self.emit({"say": "ready", **told}), self._ssh_ended
            )
        else:
            self.emit({"say": "ready", **told})

    # ------------------------------------------------------------------ ends

    def pause(self, paused: bool) -> None:
        """Let ranks and roles wait while their lines cannot go on, or go on."""
        if self.ranks:
            self.ranks.pause(paused)
        self.roles.pause(paused)

    def reap(self, *others: Optional[subprocess.Popen[bytes]]) -> None:
        """Collect ended children; as PID 1 also those that others left.  ``others`` are children of this program too."""
        self._spawned = [process for process in self._spawned if process.poll() is None]
        self.roles.reap()
        if self._torchrun.just_ended() and self._torchrun.code:
            self.emit({"say": "starter", "code": self._torchrun.code, "tail": self._torchrun.tail, "run": self._restart})
        if os.getpid() == 1 and self.ranks is not None:
            own = [
                *self._spawned,
                *self.roles.processes,
                self._torchrun.process,
                self.sshd.process if self.sshd else None,
                *others,
            ]
            reap_orphans({process.pid: process for process in own if process is not None})

    def close(self) -> None:
        """End everything of the job on this host and remove the session directory."""
        if self.ranks:
            self.ranks.close()
        if self.sshd:
            self.sshd.close()
        if self.stage:
            self.stage.reset()
        self.roles.close()
        if self.session:
            end_processes(self.session)
            self._torchrun.close()
            for process in self._spawned:
                process.wait()
            for directory in (self.session, *self._temporary):
                shutil.rmtree(directory, ignore_errors=True)
