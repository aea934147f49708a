"""The first process of a host: makes the host what it is, then runs commands in it for the client.

It ends when the client's socket does, and with it every process of the host.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
from typing import Any, Dict, List, Optional

from hvdsm.emulator import control, filesystem, network, ready_ssh, syscalls
from hvdsm.emulator.netlink import Netlink
from hvdsm.emulator.program import Program, start_program, wakeup_pipe


def run(plan: Dict[str, Any], number: int, channel: socket.socket, bridge: Optional[int], keys: Optional[ready_ssh.Keys]) -> None:
    """Become host ``number``.  Never returns; what goes wrong is told to the client."""
    name = plan["hosts"][number - 1]
    try:
        syscalls.set_process_name(f"init-{name}")
        middle = Netlink()  # made here, it keeps speaking to the cluster's network namespace
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC)
        syscalls.sethostname(name)
        network.join(middle, number, range(1, len(plan["hosts"]) + 1), bridge)
        middle.close()
        files = {path: (mode, text) for path, (mode, text) in plan["files"].items()}
        files["/etc/hostname"] = (0o644, f"{name}\n")
        environment = plan["environments"][number - 1]
        if keys:
            session = ready_ssh.session_environment(environment)
            files.update(ready_ssh.files(keys, plan["hosts"], plan["home"], session))
        filesystem.build(plan, name, files)
        HostInit(channel, environment, plan["ssh"]["sshd"] if plan["ssh"] else None).serve()
    except BaseException as error:
        number_of_error = error.errno if isinstance(error, OSError) else None
        try:
            control.send(channel, {"error": f"{name}: {error}", "step": "host", "errno": number_of_error})
        except OSError:
            pass
    os._exit(1)


class HostInit:
    """Serves one client: starts programs, passes signals on, reports how they end, reaps orphans.

    Messages in: ``{"start": id}`` with a body (argv, env, cwd, terminal) and three descriptors, ``{"signal": n, "id": id,
    "group": bool}``.  Messages out: ``{"ready": true}``, ``{"started": id, "errno": n or null, "file": …}`` (with the terminal's
    descriptor where one was asked for), ``{"ended": id, "code": n}``.
    """

    def __init__(self, channel: socket.socket, environment: Dict[str, str], sshd: Optional[str]) -> None:
        self._channel = channel
        self._environment = environment
        self._sshd = sshd
        self._selector = selectors.DefaultSelector()
        self._running: Dict[int, Program] = {}  # by pid
        self._log: Optional[int] = None

    def serve(self) -> None:
        """Run until the client is gone."""
        wake = wakeup_pipe()
        self._selector.register(wake, selectors.EVENT_READ, self._reap)
        self._selector.register(self._channel, selectors.EVENT_READ, self._message)
        if self._sshd:
            server = ready_ssh.listen()
            self._log = os.open(ready_ssh.SSHD_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._selector.register(server, selectors.EVENT_READ, self._connection)
        control.send(self._channel, {"ready": True})
        while True:
            for key, _ in self._selector.select():
                key.data(key.fileobj)

    def _message(self, channel: socket.socket) -> None:
        message, fds = control.receive(channel)
        if message is None:
            os._exit(0)
        if "signal" in message:
            self._send_signal(message)
            return
        body = control.read_memory_file(fds.pop(0))
        program = start_program(
            message["start"],
            body["argv"],
            {**self._environment, **body["env"]},
            body["cwd"],
            fds,
            terminal=body["terminal"],
        )
        for fd in fds:
            os.close(fd)
        self._running[program.pid] = program
        # The child's end of this pipe closes on exec, or carries the error.
        self._selector.register(program.exec_pipe, selectors.EVENT_READ, lambda _: self._started(program))

    def _started(self, program: Program) -> None:
        text = b""
        while True:
            piece = os.read(program.exec_pipe, 4096)
            if not piece:
                break
            text += piece
        self._selector.unregister(program.exec_pipe)
        os.close(program.exec_pipe)
        fds: List[int] = [] if program.terminal is None else [program.terminal]
        answer = {"started": program.identity, "errno": None, "file": None}
        if text:
            answer.update(json.loads(text))
        control.send(self._channel, answer, fds)
        for fd in fds:
            os.close(fd)
        program.announced = True
        if program.code is not None:
            self._ended(program)

    def _ended(self, program: Program) -> None:
        del self._running[program.pid]
        control.send(self._channel, {"ended": program.identity, "code": program.code})

    def _send_signal(self, message: Dict[str, Any]) -> None:
        for program in self._running.values():
            if program.identity == message["id"] and program.code is None:
                try:
                    (os.killpg if message["group"] else os.kill)(program.pid, message["signal"])
                except ProcessLookupError:
                    pass

    def _connection(self, server: socket.socket) -> None:
        try:
            connection, _ = server.accept()
        except OSError:  # the peer has given up
            return
        assert self._sshd is not None and self._log is not None
        connection.setblocking(True)
        fds = [connection.fileno(), connection.fileno(), self._log]
        program = start_program(0, ready_ssh.connection_command(self._sshd), self._environment, "/", fds, terminal=None)
        os.close(program.exec_pipe)
        connection.close()

    def _reap(self, wake: int) -> None:
        try:
            os.read(wake, 4096)
        except BlockingIOError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            program = self._running.get(pid)
            if program is not None:
                program.code = os.waitstatus_to_exitcode(status)
                if program.announced:
                    self._ended(program)
