"""The helper process that makes a cluster and lives as long as it.

::

    caller -> helper (enters the user namespace, watches the caller) -> cluster init (pid 1) -> one host init (pid 1) each

When the caller ends, however it ends, the helper kills the cluster init; with the first process of a pid namespace the
kernel kills all others in it, and with the last process of the other namespaces go their mounts and interfaces.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
from typing import Any, Dict, List, Optional, Tuple

from hvdsm.emulator import control, host, network, ready_ssh, switch, syscalls
from hvdsm.emulator.namespaces import STEP_HOST, STEP_NETWORK, Step, StepFailed, enter_namespaces, prepare_mounts
from hvdsm.emulator.netlink import Netlink
from hvdsm.emulator.program import wakeup_pipe


def main() -> None:
    """Entry point of the helper: ``PLAN_FD CALLER_PID``."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    plan = control.read_memory_file(int(sys.argv[1]))
    caller = int(sys.argv[2])
    for fd in plan["fds"]:
        os.set_inheritable(fd, False)  # programs on the hosts must not hold them
    channel = socket.socket(fileno=plan["fds"][0])
    try:
        watched = _open_process(caller)
        if os.getppid() != caller:
            return
        enter_namespaces(unprivileged=plan["unprivileged"])
        life, alive = os.pipe()
        init = os.fork()
        if init == 0:
            os.close(alive)
            _cluster_init(plan, channel, life)
        channel.close()
        for fd in (*plan["fds"][1:], life):
            os.close(fd)
        _outlive(init, watched)
    except StepFailed as failure:
        control.send(channel, failure.message)


def _open_process(pid: int) -> Optional[int]:
    """A descriptor that becomes readable when the process ends (pidfd_open(2), Linux 5.3).

    Without it the end of the control socket says the same, unless another process holds a copy of the socket.
    """
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _outlive(init: int, caller: Optional[int]) -> None:
    """Wait until the caller or the cluster init ends; then see to it that the cluster is gone."""
    os.closerange(0, 3)
    if caller is not None:
        selector = selectors.DefaultSelector()
        selector.register(caller, selectors.EVENT_READ)
        selector.register(os.pidfd_open(init), selectors.EVENT_READ)
        selector.select()
        os.kill(init, signal.SIGKILL)  # not yet reaped: the number is still its own
    os.waitpid(init, 0)


def _cluster_init(plan: Dict[str, Any], channel: socket.socket, life: int) -> None:
    """Process 1 of the cluster: makes network and hosts, then serves the client.  Never returns."""
    try:
        syscalls.set_process_name("hvdsm-cluster")
        syscalls.die_with_parent(signal.SIGKILL)
        os.umask(0o022)
        prepare_mounts()
        with Step(STEP_NETWORK):
            bridge = network.make_middle(bridge=not (plan["delay"] or plan["mbit"] or plan["slow"]))
        keys = None
        if plan["ssh"]:
            with Step("ssh"):
                keys = ready_ssh.make_keys(plan["ssh"]["keygen"])
        if plan["unprivileged"]:
            with Step("seccomp"):
                syscalls.answer_setgroups_with_success()
        with Step(STEP_HOST):
            pids = _start_hosts(plan, bridge, keys, (channel, life))
        _serve(plan, channel, life, pids, bridge)
    except StepFailed as failure:
        control.send(channel, failure.message)
    except BaseException as error:
        control.send(channel, StepFailed("cluster init", error).message)
    os._exit(1)


def _start_hosts(
    plan: Dict[str, Any], bridge: Optional[int], keys: Optional[ready_ssh.Keys], mine: Tuple[socket.socket, int]
) -> Dict[str, int]:
    """Fork one init for each host, each the first process of its own pid namespace."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    channels: List[int] = plan["fds"][1:]
    pids = {}
    for number, name in enumerate(plan["hosts"], 1):
        syscalls.unshare(syscalls.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            mine[0].close()
            os.close(mine[1])
            os.close(own)
            for other, fd in enumerate(channels, 1):
                if other != number:
                    os.close(fd)
            host.run(plan, number, socket.socket(fileno=channels[number - 1]), bridge, keys)
        pids[name] = pid
        syscalls.setns(own, syscalls.CLONE_NEWPID)  # back to our own, so that the next host is not inside this one
    os.close(own)
    for fd in channels:
        os.close(fd)
    return pids


def _serve(plan: Dict[str, Any], channel: socket.socket, life: int, pids: Dict[str, int], bridge: Optional[int]) -> None:
    """Answer the client, reap what ends, until the client or the helper is gone."""
    netlink = Netlink()
    wake = wakeup_pipe()
    selector = selectors.DefaultSelector()
    for watched in (channel, life, wake):
        selector.register(watched, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is channel:
                message, _ = control.receive(channel)
                if message is None:
                    os._exit(0)
                control.send(channel, _answer(plan, message, pids, netlink, bridge))
            elif key.fileobj == life:
                os._exit(0)
            else:
                os.read(wake, 4096)
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            pids = {name: other for name, other in pids.items() if other != pid}


def _answer(
    plan: Dict[str, Any], message: Dict[str, Any], pids: Dict[str, int], netlink: Netlink, bridge: Optional[int]
) -> Dict[str, Any]:
    """Do one request of the client: ``switch`` (all hosts are up), ``link`` (host, up) or ``kill`` (host)."""
    try:
        if "switch" in message:
            if bridge is None and os.fork() == 0:
                try:
                    syscalls.set_process_name("hvdsm-switch")
                    signal.set_wakeup_fd(-1)
                    hosts = range(1, len(plan["hosts"]) + 1)
                    switch.serve(hosts, switch.make_links(hosts, plan["delay"], plan["mbit"], dict(plan["slow"])))
                finally:
                    os._exit(1)
            return {}
        name = message["host"]
        port = network.port_of(plan["hosts"].index(name) + 1)
        if "link" in message:
            netlink.set_link(port, up=message["link"])
        elif name in pids:
            # First the link: a host without power sends no farewell, neither FIN nor RST.
            try:
                netlink.set_link(port, up=False)
            except OSError:  # it has just died by itself and is not yet reaped
                pass
            os.kill(pids[name], signal.SIGKILL)
        return {}
    except OSError as error:
        return {"error": str(error), "errno": error.errno}
