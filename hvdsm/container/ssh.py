"""Keys of one job, and sshd on this host.  Nothing of the machine's own ssh configuration is read or written."""

from __future__ import annotations

import os
import pwd
import re
import selectors
import shutil
import signal
import socket
import subprocess
from typing import Callable, Mapping, Sequence, Tuple

from hvdsm.compose import ssh as text
from hvdsm.container.facts import sshd_path
from hvdsm.container.loop import Loop
from hvdsm.container.processes import descendants, kill
from hvdsm.errors import SshError

INSTALL = "install it in the image: RUN apt-get update && apt-get install -y openssh-server openssh-client"


def make_keys(directory: str) -> Tuple[str, str]:
    """A host key and a client key for this job; their private halves never leave the host.

    Returns:
        The public host key and the public client key.

    Raises:
        SshError: ssh-keygen is missing or fails.
    """
    if shutil.which("ssh-keygen") is None or shutil.which("ssh") is None:
        raise SshError("ssh and ssh-keygen are not on PATH", where=socket.gethostname(), remedy=INSTALL)
    names = ("host_key", "client_key")
    running = [
        subprocess.Popen(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "hvdsm", "-f", os.path.join(directory, name)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for name in names
    ]
    for process in running:
        said = process.communicate()[0]
        if process.returncode:
            raise SshError(f"ssh-keygen: {said.decode(errors='replace').strip()}", where=directory)
    host, client = (_read(os.path.join(directory, name + ".pub")) for name in names)
    return host, client


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


def login_name() -> str:
    """The user that the program runs as, as sshd knows it."""
    return pwd.getpwuid(os.getuid()).pw_name


def free_port(wanted: int = text.SSH_PORT) -> int:
    """``wanted`` where it can be bound, else a free port."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
                return int(probe.getsockname()[1])
            except OSError:
                continue
    raise SshError("no TCP port is free", where=socket.gethostname())


def write_files(directory: str, hosts: Sequence[str], keys: Mapping[str, Mapping[str, str]], current: str) -> None:
    """Write ssh_config, known_hosts, authorized_keys and sshd_config of this job.

    Args:
        directory: the job's session directory, the same path on every host.
        hosts: all hosts.
        keys: for each host ``host_key``, ``client_key`` (public), ``port`` and ``address``.
        current: this host.
    """
    ports = {host: int(keys[host]["port"]) for host in hosts}
    addresses = {host: keys[host]["address"] for host in hosts}
    user = login_name()
    files = {
        "ssh_config": text.ssh_config(
            hosts,
            key_file=f"{directory}/client_key",
            known_hosts_file=f"{directory}/known_hosts",
            user=user,
            ports=ports,
            addresses=addresses,
        ),
        "known_hosts": text.known_hosts({host: keys[host]["host_key"] for host in hosts}, ports, addresses),
        "authorized_keys": "".join(keys[host]["client_key"] + "\n" for host in hosts),
        "sshd_config": text.sshd_config(
            port=ports[current],
            host_key_file=f"{directory}/host_key",
            authorized_keys_file=f"{directory}/authorized_keys",
            user=user,
        ),
    }
    for name, content in files.items():
        with open(os.path.join(directory, name), "w", encoding="utf-8", opener=_private) as file:
            file.write(content)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class SshServer:
    """sshd of this job on this host; ``on_ready`` is called when it listens, ``on_end`` when it has ended."""

    def __init__(
        self, loop: Loop, directory: str, environ: Mapping[str, str], on_ready: Callable[[], None], on_end: Callable[[str], None]
    ) -> None:
        path = sshd_path(environ)
        if path is None:
            raise SshError("sshd is not installed", where=socket.gethostname(), remedy=INSTALL)
        # OpenSSH refuses to start without its privilege separation directory, which images without a booted init lack.
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self._loop = loop
        self._said = b""
        self._on_ready = on_ready
        self._on_end = on_end
        self._ready = False
        self._again = os.getuid() == 0
        self._argv = [path, "-D", "-e", "-f", os.path.join(directory, "sshd_config")]
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stderr is not None
        os.set_blocking(process.stderr.fileno(), False)
        self._loop.watch(process.stderr, selectors.EVENT_READ, self._heard)
        return process

    def _heard(self, _events: int) -> None:
        assert self.process.stderr is not None
        try:
            data = os.read(self.process.stderr.fileno(), 1 << 16)
        except BlockingIOError:
            return
        self._said = (self._said + data)[-4096:]
        if not data:
            self._loop.unwatch(self.process.stderr)
            self.process.wait()
            lacks = re.search(rb"Missing privilege separation directory: (/[^\r\n]+)", self._said)
            if lacks and self._again:
                # Each distribution has this directory at a place of its own.
                self._again, self._said = False, b""
                os.makedirs(lacks[1].strip(), mode=0o755, exist_ok=True)
                self.process.stderr.close()
                self.process = self._started()
                return
            self._on_end(self._said.decode(errors="replace").strip() or f"exit code {self.process.returncode}")
        elif not self._ready and b"Server listening on" in self._said:
            self._ready = True
            self._on_ready()

    def close(self) -> None:
        """End sshd and its connections, which have processes of their own and outlive a broken network otherwise."""
        assert self.process.stderr is not None
        self._loop.unwatch(self.process.stderr)
        if self.process.poll() is None:
            below = descendants(self.process.pid)
            self.process.kill()
            for pid in below:
                kill(pid, signal.SIGKILL)
            self.process.wait()
        self.process.stderr.close()
