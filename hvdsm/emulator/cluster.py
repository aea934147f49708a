"""The client's side of an emulated cluster: start it, run programs on its hosts, break it, end it."""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import threading
from types import TracebackType
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple, Type

from hvdsm.emulator import control
from hvdsm.emulator.network import address_of
from hvdsm.emulator.plan import make_plan
from hvdsm.emulator.process import LOST_HOST_CODE, HostProcess, Stdio, descriptor, execution_error
from hvdsm.emulator.spec import ClusterSpec
from hvdsm.emulator.starting import start_helper, wait_ready
from hvdsm.errors import HostLost, UsageError
from hvdsm.model import Host

_END_SECONDS = 10.0


class EmulatedCluster:
    """N hosts on this machine.  A context manager; may be used from several threads.

    The hosts end when the cluster is closed or this process ends, however it ends.
    """

    def __init__(self, spec: ClusterSpec, process: subprocess.Popen[bytes], channels: Sequence[socket.socket]) -> None:
        self.hosts: Tuple[Host, ...] = tuple(Host(name, address_of(number)) for number, name in enumerate(spec.host_names, 1))
        self._helper = process
        self._cluster_channel = channels[0]
        self._channels = dict(zip(spec.host_names, channels[1:]))
        self._cluster_lock = threading.Lock()
        # Reentrant: a signal handler may send while its thread does.
        self._send_locks = {name: threading.RLock() for name in spec.host_names}
        self._lock = threading.Lock()  # of the three below
        self._processes: Dict[int, HostProcess] = {}
        self._lost: FrozenSet[str] = frozenset()
        self._last_identity = 0
        self._closed = False
        self._wake_read, self._wake_write = os.pipe()
        self._reader = threading.Thread(target=self._read, name="hvdsm-emulator", daemon=True)

    @classmethod
    def start(cls, spec: ClusterSpec) -> EmulatedCluster:
        """Make the hosts; returns when all are ready.

        Raises:
            UsageError: the specification cannot be meant.
            NamespacesUnavailable: they cannot be had here; with the reason and the remedy.
            SshError: a ready sshd is wanted and OpenSSH is not installed.
            HvdsmError: the kernel refused a part of the hosts, such as a mount.
        """
        spec.check()
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(spec.instance_count + 1)]
        ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        errors = control.memory_file(b"", "hvdsm-helper-errors")
        files = [errors]
        try:
            plan = make_plan(spec, os.environ, [end.fileno() for end in theirs])
            files.append(control.memory_file(json.dumps(plan).encode(), "hvdsm-plan"))
            process = start_helper(files[1], errors, plan["fds"])
            for end in theirs:
                end.close()
            cluster = cls(spec, process, ours)
            try:
                wait_ready(process, cluster._cluster_channel, cluster._channels, errors, unprivileged=plan["unprivileged"])
                cluster._request({"switch": True})
                cluster._reader.start()
            except BaseException:
                cluster.close()
                raise
        except BaseException:
            for end in (*ours, *theirs):
                end.close()
            raise
        finally:
            for fd in files:
                os.close(fd)
        return cluster

    def __enter__(self) -> EmulatedCluster:
        """The cluster itself."""
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """End the hosts."""
        self.close()

    def popen(
        self,
        host: str,
        argv: Sequence[str],
        *,
        env: Optional[Mapping[str, str]] = None,
        cwd: Optional[str] = None,
        stdin: Stdio = None,
        stdout: Stdio = None,
        stderr: Stdio = None,
        terminal: Optional[Tuple[int, int]] = None,
    ) -> HostProcess:
        """Run a program on a host, in a session of its own; returns when it runs.

        Args:
            host: name of the host.
            argv: the program, found on the host's PATH, and its arguments.
            env: what to add to the base environment (PATH, HOME, USER, LANG, the host's share of the GPUs).
            cwd: its directory on the host; the home directory by default.
            stdin: a file, descriptor or ``subprocess.DEVNULL``; None for this process's own.
            stdout: likewise.
            stderr: likewise, or ``subprocess.STDOUT``.
            terminal: rows and columns of a terminal to run it on; its other side is then the process's ``terminal``, and only
                ``stderr``, when given, goes elsewhere.

        Raises:
            UsageError: no such host, or an empty argv.
            HostLost: the host has ended.
            OSError: the program cannot be executed, as with ``subprocess.Popen``.
        """
        channel = self._channels.get(host)
        if channel is None:
            raise UsageError("no such host", where=host, remedy=f"one of {', '.join(self._channels)}")
        if not argv:
            raise UsageError("no program to run", where=host)
        words = tuple(os.fspath(word) for word in argv)
        body = {"argv": words, "env": dict(env or {}), "cwd": cwd, "terminal": terminal}
        with self._lock:
            if self._closed or host in self._lost:
                raise HostLost("the host has ended", where=host)
            self._last_identity += 1
            number = self._last_identity
            process = HostProcess(host, words, lambda which, group: self._signal(host, number, which, group))
            self._processes[number] = process
        opened: List[int] = []
        try:
            if terminal is None:
                fds = [descriptor(stdin, 0, opened), descriptor(stdout, 1, opened)]
                fds.append(fds[1] if stderr == subprocess.STDOUT else descriptor(stderr, 2, opened))
            else:
                fds = [] if stderr is None else [descriptor(stderr, 2, opened)]
            with self._send_locks[host]:
                control.send(channel, {"start": number}, fds, body)
        except BaseException as error:
            with self._lock:
                self._processes.pop(number, None)
            if isinstance(error, (BrokenPipeError, ConnectionError)):
                raise HostLost("the host has ended", where=host) from error
            raise
        finally:
            for fd in opened:
                os.close(fd)
        process.wait_started()
        return process

    def set_link(self, host: str, up: bool) -> None:
        """Pull or plug the network cable of a host.

        Raises:
            UsageError: no such host.
            HostLost: the host, and its interface, are gone.
        """
        self._request({"host": self._known(host), "link": up})

    def kill_host(self, host: str) -> None:
        """End a host as a power cut does: its peers hear nothing of it, its programs end with -9.

        Raises:
            UsageError: no such host.
        """
        self._request({"host": self._known(host), "kill": True})

    @property
    def lost(self) -> FrozenSet[str]:
        """Names of the hosts that have ended before the cluster was closed."""
        return self._lost

    def close(self) -> None:
        """End all hosts and everything on them; returns when nothing is left.  May be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        os.write(self._wake_write, b"x")
        if self._reader.is_alive():
            self._reader.join()
        for channel in (self._cluster_channel, *self._channels.values()):
            try:
                # Not only close: a forked child of this process may hold a copy.
                channel.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        try:
            self._helper.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._helper.kill()
            self._helper.wait()
        for channel in (self._cluster_channel, *self._channels.values()):
            channel.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        for process in self._processes.values():
            process.mark_ended(LOST_HOST_CODE)

    def _known(self, host: str) -> str:
        if host not in self._channels:
            raise UsageError("no such host", where=host, remedy=f"one of {', '.join(self._channels)}")
        return host

    def _request(self, message: Dict[str, Any]) -> None:
        host = str(message.get("host", "cluster"))
        with self._cluster_lock:
            try:
                control.send(self._cluster_channel, message)
                answer, _ = control.receive(self._cluster_channel)
            except OSError as error:
                raise HostLost("the cluster has ended", where=host) from error
        if answer is None:
            raise HostLost("the cluster has ended", where=host)
        if "error" in answer:
            raise HostLost(f"the host's interface is gone ({answer['error']})", where=host)

    def _signal(self, host: str, identity: int, number: int, group: bool) -> None:
        try:
            with self._send_locks[host]:
                control.send(self._channels[host], {"signal": number, "id": identity, "group": group})
        except OSError:  # the host has ended, and the process with it
            pass

    def _read(self) -> None:
        """Thread: take the hosts' messages until the cluster is closed."""
        with selectors.DefaultSelector() as selector:
            for name, channel in self._channels.items():
                selector.register(channel, selectors.EVENT_READ, name)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj == self._wake_read:
                        return
                    message, fds = control.receive(self._channels[key.data])
                    if message is None:
                        selector.unregister(key.fileobj)
                        self._mark_lost(key.data)
                    else:
                        self._take(message, fds)

    def _take(self, message: Dict[str, Any], fds: List[int]) -> None:
        with self._lock:
            if "started" in message:
                process = self._processes.get(message["started"])
                failed = message["errno"] is not None or "error" in message
            else:
                process = self._processes.pop(message["ended"], None)
                failed = False
        if process is None or failed:
            for fd in fds:
                os.close(fd)
        if process is None:
            return
        if "ended" in message:
            process.mark_ended(message["code"])
        elif failed:
            process.mark_failed(execution_error(message["errno"], message["file"], message.get("error")))
        else:
            process.mark_started(fds[0] if fds else None)

    def _mark_lost(self, host: str) -> None:
        with self._lock:
            self._lost |= {host}
            gone = {number: process for number, process in self._processes.items() if process.host == host}
            for number in gone:
                del self._processes[number]
        for process in gone.values():
            process.mark_lost(HostLost("the host has ended", where=host))
