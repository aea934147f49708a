"""One host's part of a job: source, keys, sshd, its ranks.  The launcher has one too, beside its conductor.

It is told what to do by messages ``{"do": …}`` and says what happened by messages ``{"say": …}``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from typing import Any, Callable, Dict, List, Mapping, Optional

import hvdsm
from hvdsm.compose.environment import sm_environment, user_arguments
from hvdsm.compose.mpirun import rank_program
from hvdsm.container import source
from hvdsm.container.config import ContainerConfig, Settings
from hvdsm.container.facts import host_facts, network_interface
from hvdsm.container.loop import Loop
from hvdsm.container.ranks import RankServer, end_processes
from hvdsm.container.ssh import SshServer, free_port, make_keys, write_files
from hvdsm.errors import HvdsmError
from hvdsm.model import MPI, NONE

Message = Dict[str, Any]
SECRET = ("HVDSM_JOB_TOKEN",)


class Agent:
    """Does what the conductor of the job asks of this host.

    ``emit`` gets messages for the conductor, ``emit_lines`` the tagged lines of this host's ranks.
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
        say: Callable[[str], None],
    ) -> None:
        self.loop = loop
        self.config = config
        self.settings = settings
        self.environ = {name: value for name, value in environ.items() if name not in SECRET}
        self.host = config.cluster.current_host
        self.facts = host_facts(environ)
        self.emit = emit
        self.emit_lines = emit_lines
        self.say = say
        self.session: Optional[str] = None
        self.command: List[str] = []
        self.ranks: Optional[RankServer] = None
        self.sshd: Optional[SshServer] = None
        self._spawned: List[subprocess.Popen[bytes]] = []

    def prepare(self) -> Message:
        """Bring the source and make the keys; returns what this host announces to the launcher.

        Raises:
            HvdsmError: something that the job needs is not here.
        """
        paths = self.config.paths
        for directory in (paths.code, paths.model, paths.output_data):
            os.makedirs(directory, exist_ok=True)
        self.say(source.fetch(paths, self.config.job.submit_directory))
        self.command = source.entry_command(paths, self.config.job.program, user_arguments(self.config.job))
        self.session = tempfile.mkdtemp(prefix="hvdsm-", dir="/tmp")
        announcement: Message = {"host": self.host, "slots": self.facts.slots, "port": 0, "host_key": "", "client_key": ""}
        if self.config.job.distribution.kind == MPI and len(self.config.cluster.hosts) > 1:
            announcement["host_key"], announcement["client_key"] = make_keys(self.session)
            announcement["port"] = free_port()
        return announcement

    def handle(self, message: Message) -> None:
        """Do one thing for the conductor; what goes wrong is said to it, not raised."""
        try:
            do = message.get("do")
            if do == "setup":
                self._set_up(message)
            elif do == "spawn":
                self._spawn(message)
            elif do == "signal" and self.ranks:
                self.ranks.signal(int(message["signal"]))
            elif do == "ack" and self.ranks:
                self.ranks.acknowledge(int(message["rank"]))
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
        self.ranks = RankServer(
            self.loop,
            session,
            self.host,
            self._environment(message),
            self.config.paths.code,
            on_event=self.emit,
            on_lines=self.emit_lines,
        )
        self.ranks.exported = list(message.get("exported", ()))
        if message["keys"]:
            write_files(session, self.config.cluster.hosts, message["keys"], self.host)
            self.sshd = SshServer(self.loop, session, self.environ, self._ssh_ready, self._ssh_ended)
        else:
            self.emit({"say": "ready"})

    def _ssh_ready(self) -> None:
        self.emit({"say": "ready"})

    def _ssh_ended(self, said: str) -> None:
        self.emit({"say": "error", "message": f"sshd ended: {said}", "exit_code": 78})

    def _environment(self, message: Message) -> Dict[str, str]:
        """The environment of this host's ranks: the container's own, and everything of the contract."""
        config, cluster = self.config, self.config.cluster
        code, root = config.paths.code, os.path.dirname(os.path.dirname(os.path.abspath(hvdsm.__file__)))
        entries = [code, *(entry for entry in self.environ.get("PYTHONPATH", "").split(":") if entry and entry != code)]
        if os.path.basename(root) not in ("site-packages", "dist-packages") and root not in entries:
            entries.append(root)
        environment = {
            **self.environ,
            **sm_environment(
                config.job,
                cluster,
                self.facts,
                paths=config.paths,
                resource_config=config.resource_config,
                input_data_config=config.input_data_config,
                framework_module=config.framework_module,
                log_level=config.log_level,
            ),
            "PYTHONPATH": ":".join(entries),
            "CURRENT_HOST": cluster.current_host,
            "SAGEMAKER_JOB_NAME": config.job.name,
            "HVDSM_SESSION": str(message["session"]),
            "HVDSM_NODE_RANK": str(cluster.node_rank),
        }
        region = config.job.reserved.get("sagemaker_region") or self.environ.get("AWS_REGION")
        if region:
            environment["SAGEMAKER_REGION"] = str(region)
        if config.job.distribution.kind != NONE:
            environment.setdefault("MASTER_ADDR", str(message["master_address"]))
            environment.setdefault("MASTER_PORT", str(message["master_port"]))
            if len(cluster.hosts) > 1:
                interface = network_interface(cluster.network_interface)
                for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
                    environment.setdefault(name, interface)
        return environment

    def _spawn(self, message: Message) -> None:
        """Start this host's ranks without mpirun."""
        assert self.session is not None
        for place in message["ranks"]:
            environment = {
                **self.environ,
                "HVDSM_SESSION": self.session,
                **{f"HVDSM_{key.upper()}": str(value) for key, value in place.items()},
                **({"HVDSM_PLAIN": "1"} if message.get("plain") else {}),
            }
            self._spawned.append(
                subprocess.Popen(
                    rank_program(sys.executable, self.command),
                    stdin=subprocess.DEVNULL,
                    cwd=self.session,
                    env=with_hvdsm(environment),
                )
            )

    def reap(self) -> None:
        """Collect ended children; as PID 1 also those that others left."""
        self._spawned = [process for process in self._spawned if process.poll() is None]

    def close(self) -> None:
        """End everything of the job on this host and remove the session directory."""
        if self.ranks:
            self.ranks.close()
        if self.sshd:
            self.sshd.close()
        if self.session:
            end_processes(self.session)
            for process in self._spawned:
                process.wait()
            shutil.rmtree(self.session, ignore_errors=True)


def with_hvdsm(environ: Mapping[str, str]) -> Dict[str, str]:
    """The environment in which another Python finds this hvdsm, also when it is not installed."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(hvdsm.__file__)))
    path = environ.get("PYTHONPATH", "")
    if os.path.basename(root) in ("site-packages", "dist-packages") or root in path.split(":"):
        return dict(environ)
    return {**environ, "PYTHONPATH": f"{path}:{root}" if path else root}
