"""A ready sshd on every host for ``hvdsm cluster``: keys, files and the listening socket.

The keys are made for this cluster in its own memory, are seen by its hosts only, and end with it.
"""

from __future__ import annotations

import os
import socket
import subprocess
from typing import Dict, List, Mapping, NamedTuple, Sequence

from hvdsm.compose import ssh
from hvdsm.emulator import syscalls
from hvdsm.emulator.identity import Files
from hvdsm.emulator.mounts import mount_tmpfs
from hvdsm.emulator.network import address_of

SSHD_LOG = "/run/sshd.log"
_CONFIG = "/etc/ssh/sshd_config"
_HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
_AUTHORIZED = "/etc/ssh/authorized_keys"
_BACKLOG = 512  # connections that wait for their sshd: a launcher opens one to each host at once
# Preferred to the post-quantum exchange, which takes a third of the time of a connection and serves nobody on one machine.
_FAST_EXCHANGE = "  KexAlgorithms ^curve25519-sha256\n"


class Keys(NamedTuple):
    """The two key pairs of a cluster: of all its hosts, and of root on them."""

    host: str
    host_public: str
    client: str
    client_public: str


def make_keys(keygen: str) -> Keys:
    """New ed25519 key pairs.  Called in the cluster's mount namespace: the files never reach the machine's disk.

    Raises:
        OSError: ssh-keygen failed.
    """
    directory = next(path for path in ("/tmp", "/var/tmp", "/run", "/mnt") if os.path.isdir(path))
    mount_tmpfs(directory, 0o700)
    try:
        running = [
            subprocess.Popen(
                [keygen, "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", f"{directory}/{name}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            for name in ("host", "root")
        ]
        for process in running:
            _, text = process.communicate()
            if process.returncode:
                raise OSError(f"ssh-keygen failed: {text.decode(errors='replace').strip()}")
        texts = []
        for name in ("host", "host.pub", "root", "root.pub"):
            with open(f"{directory}/{name}") as file:
                texts.append(file.read())
        return Keys(*texts)
    finally:
        syscalls.unmount(directory)


def files(keys: Keys, names: Sequence[str], home: str, environment: Mapping[str, str]) -> Files:
    """The files by which the hosts reach one another, with strict host keys on both sides.

    Args:
        keys: the cluster's keys.
        names: names of all hosts.
        home: home directory of root on the hosts.
        environment: what commands that come by ssh find in their environment.
    """
    addresses = {name: address_of(number) for number, name in enumerate(names, 1)}
    known = f"{home}/.ssh/known_hosts"
    client = (
        ssh.ssh_config(names, key_file=f"{home}/.ssh/id_ed25519", known_hosts_file=known, user="root", ports={}) + _FAST_EXCHANGE
    )
    server = ssh.sshd_config(port=ssh.SSH_PORT, host_key_file=_HOST_KEY, authorized_keys_file=_AUTHORIZED, user="root")
    return {
        _CONFIG: (0o600, server + set_env(environment)),
        _HOST_KEY: (0o600, keys.host),
        _AUTHORIZED: (0o600, keys.client_public),
        f"{home}/.ssh/config": (0o600, client),
        f"{home}/.ssh/id_ed25519": (0o600, keys.client),
        known: (0o600, ssh.known_hosts(dict.fromkeys(names, keys.host_public), {}, addresses)),
    }


def set_env(environment: Mapping[str, str]) -> str:
    """The SetEnv line of sshd (sshd_config(5)); variables that its quoting cannot carry are left out."""
    words = [f'"{name}={value}"' for name, value in environment.items() if not set('"\\\n') & set(value)]
    return f"SetEnv {' '.join(words)}\n" if words else ""


def listen() -> socket.socket:
    """The host's port 22, open from the moment the host is ready; each connection gets an sshd of its own."""
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("0.0.0.0", ssh.SSH_PORT))
    server.listen(_BACKLOG)
    server.setblocking(False)
    return server


def connection_command(sshd: str) -> List[str]:
    """The sshd that serves one connection on its standard input (``-i``, as under inetd)."""
    return [sshd, "-i", "-e", "-f", _CONFIG]


def session_environment(environment: Mapping[str, str]) -> Dict[str, str]:
    """What of a host's base environment commands that come by ssh get; sshd sets HOME, USER and SHELL itself."""
    return {name: value for name, value in environment.items() if name not in ("HOME", "USER", "LOGNAME", "SHELL", "PWD")}
