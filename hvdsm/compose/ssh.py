"""ssh and sshd configuration of a job, as text.

Every option here is one that OpenSSH 8 and 9 know; nothing relies on the machine's own ``/etc/ssh``.
"""

from __future__ import annotations

from typing import Mapping, Optional, Sequence

SSH_PORT = 22


def ssh_config(
    hosts: Sequence[str],
    *,
    key_file: str,
    known_hosts_file: str,
    user: str,
    ports: Mapping[str, int],
    addresses: Optional[Mapping[str, str]] = None,
) -> str:
    """The ``ssh -F`` file by which one host of a job reaches the others.

    Host keys are strict: ``known_hosts_file`` is complete before the first connection.  A peer that stops answering is
    noticed after fifteen seconds, where mpirun alone would wait for ever.

    Args:
        hosts: names of all hosts.
        key_file: private client key of this job.
        known_hosts_file: the job's known_hosts file.
        user: login name on every host.
        ports: sshd's port on each host.
        addresses: addresses to use instead of resolving a host's name.
    """
    lines = []
    for host in hosts:
        lines.append(f"Host {host}")
        if addresses and host in addresses:
            lines.append(f"  HostName {addresses[host]}")
        lines.append(f"  Port {ports.get(host, SSH_PORT)}")
    lines += [
        "Host *",
        f"  User {user}",
        f"  IdentityFile {quoted(key_file)}",
        "  IdentitiesOnly yes",
        "  SendEnv HVDSM_SESSION",
        f"  UserKnownHostsFile {quoted(known_hosts_file)}",
        "  GlobalKnownHostsFile /dev/null",
        "  StrictHostKeyChecking yes",
        "  UpdateHostKeys no",
        "  BatchMode yes",
        # The cheapest exchange first: a connection takes a third less time than with the post-quantum default.
        "  KexAlgorithms ^curve25519-sha256",
        "  PreferredAuthentications publickey",
        "  ControlMaster no",
        "  ControlPath none",
        "  ForwardAgent no",
        "  ForwardX11 no",
        "  ConnectTimeout 10",
        "  ConnectionAttempts 3",
        "  ServerAliveInterval 5",
        "  ServerAliveCountMax 3",
        "  LogLevel ERROR",
    ]
    return "\n".join(lines) + "\n"


def sshd_config(
    *, port: int, host_key_file: str, authorized_keys_file: str, user: str, pid_file: str = "none", listen: str = "0.0.0.0"
) -> str:
    """The ``sshd -f`` file of one host: key-only, for one user, without PAM, forwarding or the machine's settings.

    Args:
        port: TCP port to listen on.
        host_key_file: private host key of this job.
        authorized_keys_file: file with the job's client key.
        user: the only login name admitted.
        pid_file: where sshd writes its pid.
        listen: address to listen on.
    """
    return (
        "\n".join(
            [
                f"Port {port}",
                f"ListenAddress {listen}",
                f"HostKey {quoted(host_key_file)}",
                f"AuthorizedKeysFile {quoted(authorized_keys_file)}",
                f"AllowUsers {user}",
                "PermitRootLogin prohibit-password",
                "AuthenticationMethods publickey",
                "PasswordAuthentication no",
                "KbdInteractiveAuthentication no",
                "UsePAM no",
                "UseDNS no",
                # The files lie in a directory of mode 0700 that this job made; a parent such as /tmp may be world-writable.
                "StrictModes no",
                "X11Forwarding no",
                "AllowTcpForwarding no",
                "AllowAgentForwarding no",
                "PermitUserEnvironment no",
                # The mark by which all processes of the job are found at its end, mpirun's daemons among them.
                "AcceptEnv HVDSM_SESSION",
                "PrintMotd no",
                "PrintLastLog no",
                f"PidFile {pid_file}",
                "MaxStartups 1000",
                "MaxSessions 1000",
                "ClientAliveInterval 5",
                "ClientAliveCountMax 3",
                "LoginGraceTime 20",
                "Subsystem sftp internal-sftp",
            ]
        )
        + "\n"
    )


def known_hosts(keys: Mapping[str, str], ports: Mapping[str, int], addresses: Optional[Mapping[str, str]] = None) -> str:
    """The known_hosts file: one line a host with the key that it announced over the rendezvous.

    Args:
        keys: public host key (``ssh-ed25519 AAAA…``) of each host.
        ports: sshd's port on each host; other than 22 is written ``[host]:port``.
        addresses: addresses listed beside the names.
    """
    lines = []
    for host in sorted(keys):
        names = [host] + ([addresses[host]] if addresses and host in addresses else [])
        port = ports.get(host, SSH_PORT)
        names = names if port == SSH_PORT else [f"[{name}]:{port}" for name in names]
        lines.append(f"{','.join(names)} {' '.join(keys[host].split()[:2])}")
    return "\n".join(lines) + "\n"


def quoted(path: str) -> str:
    """A path as OpenSSH configuration files take it: in double quotes, a percent sign doubled."""
    return '"' + path.replace("%", "%%").replace('"', '\\"') + '"'
