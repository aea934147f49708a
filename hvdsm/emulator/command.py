"""Run one command on the first host of a new cluster: what is behind ``hvdsm cluster``."""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import replace
from typing import Any, Dict, Mapping, Optional, Sequence

from hvdsm.emulator.cluster import EmulatedCluster
from hvdsm.emulator.process import HostProcess
from hvdsm.emulator.spec import ClusterSpec
from hvdsm.emulator.terminal import Screen, relay

# The caller's own session, account, temporary directory and GPUs are not the host's.
_PERSONAL = (
    "CUDA_VISIBLE_DEVICES",
    "HOME",
    "HOSTNAME",
    "LOGNAME",
    "MAIL",
    "OLDPWD",
    "PATH",
    "PWD",
    "SHELL",
    "SHLVL",
    "TEMP",
    "TMP",
    "TMPDIR",
    "USER",
    "USERNAME",
    "XAUTHORITY",
    "_",
)
_SHELL = "bash"
_PERSONAL_PREFIXES = ("DBUS_", "DISPLAY", "OMPI_COMM_", "PMIX_", "SSH_", "SUDO_", "WAYLAND_", "XDG_")


def run_command(
    spec: ClusterSpec,
    argv: Sequence[str],
    *,
    host: str = "algo-1",
    cwd: Optional[str] = None,
    env: Optional[Mapping[str, str]] = None,
) -> int:
    """Run ``argv`` on a host with this process's standard streams; without argv a shell.

    On a terminal, and always for the shell, the command has a terminal of its own on the host: Ctrl-C reaches its foreground
    job, the window's size follows.

    Args:
        spec: the cluster to make for it.
        argv: the program and its arguments; a login shell when empty.
        host: where to run it.
        cwd: its directory; this process's own by default.  Where hosts have their own (``/tmp``), each sees a private copy.
        env: its environment beyond the base one; this process's own, without what is personal, by default.

    Returns:
        The command's exit code, 128+N for signal N; 127 or 126 when it is not found or not executable.

    Raises:
        UsageError: the specification cannot be meant.
        NamespacesUnavailable: hosts cannot be had here.
        SshError: OpenSSH is not installed.
    """
    here = cwd or _current_directory()
    if here is not None and os.path.isdir(here):
        spec = replace(spec, private_copies=(*spec.private_copies, here))
    environment = dict(env) if env is not None else caller_environment(os.environ)
    screen = Screen.of_caller()
    words = list(argv) or [_SHELL, "-i"]
    on_terminal = not argv or screen.is_terminal
    error = None if screen.error_is_terminal or not argv or not on_terminal else 2  # a shell's prompt goes there
    size = screen.size() if on_terminal else None
    with EmulatedCluster.start(spec) as cluster, _Interrupts(forward=not on_terminal) as interrupts:
        try:
            process = cluster.popen(host, words, env=environment, cwd=here, terminal=size, stderr=error)
        except FileNotFoundError as missing:
            return _say(f"{missing.filename}: not found on {host}", 127)
        except OSError as failed:
            return _say(f"{failed.filename}: {failed.strerror}", 126)
        interrupts.go_to(process)
        if on_terminal:
            relay(process, screen)
        return exit_code(process.wait())


def caller_environment(environ: Mapping[str, str]) -> Dict[str, str]:
    """The caller's environment without what belongs to the caller's own session."""
    return {name: value for name, value in environ.items() if name not in _PERSONAL and not name.startswith(_PERSONAL_PREFIXES)}


def exit_code(code: int) -> int:
    """A return code as a shell gives it: 128+N for signal N."""
    return 128 - code if code < 0 else code


def _current_directory() -> Optional[str]:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


class _Interrupts:
    """Ctrl-C goes to the command, which decides whether it ends; one that comes while it starts is kept for it."""

    def __init__(self, *, forward: bool) -> None:
        self._forward = forward  # on a terminal of its own, Ctrl-C is a byte like others
        self._process: Optional[HostProcess] = None
        self._kept = False
        self._before: Any = None
        self._installed = False

    def __enter__(self) -> _Interrupts:
        if self._forward and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._interrupted)
            self._installed = True
            if self._before is signal.SIG_IGN:  # as under nohup
                signal.signal(signal.SIGINT, signal.SIG_IGN)
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._before)

    def _interrupted(self, *_: object) -> None:
        if self._process is None:
            self._kept = True
        else:
            self._process.send_signal_to_group(signal.SIGINT)

    def go_to(self, process: HostProcess) -> None:
        """From now on interrupts are for ``process``."""
        self._process = process
        if self._kept:
            process.send_signal_to_group(signal.SIGINT)


def _say(text: str, code: int) -> int:
    sys.stderr.write(f"hvdsm: {text}\n")
    return code
