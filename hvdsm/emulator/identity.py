"""The text of the files that give a host its identity: names, accounts, Open MPI's manners.  Pure."""

from __future__ import annotations

from typing import Dict, Sequence, Tuple

from hvdsm.emulator.network import address_of

Files = Dict[str, Tuple[int, str]]

# Emulated hosts share the machine's cores: a rank that spins or is pinned takes them from its peers.
_OPEN_MPI = "mpi_yield_when_idle = 1\nhwloc_base_binding_policy = none\n"
_PRRTE = "hwloc_default_binding_policy = none\n"
# Commands that come by ssh source these; what they print or set on the machine is no part of a training container.
_SHELL_FILES = (".bashrc", ".bash_profile", ".bash_login", ".profile", ".zshenv")


def hosts_file(names: Sequence[str]) -> str:
    """``/etc/hosts``: every host of the cluster by name."""
    lines = ["127.0.0.1 localhost"]
    lines += [f"{address_of(number)} {name}" for number, name in enumerate(names, 1)]
    return "\n".join(lines) + "\n"


def common_files(names: Sequence[str], home: str) -> Files:
    """The files that are the same on all hosts, and replace the machine's."""
    files: Files = {
        "/etc/hosts": (0o644, hosts_file(names)),
        # There is no way out to a name server: a name that is not in /etc/hosts fails at once.
        "/etc/resolv.conf": (0o644, ""),
        # Some launchers append to it; what it holds on the machine is no part of a training container.
        "/etc/environment": (0o644, ""),
        f"{home}/.openmpi/mca-params.conf": (0o644, _OPEN_MPI),
        f"{home}/.prte/mca-params.conf": (0o644, _PRRTE),
    }
    files.update((f"{home}/{name}", (0o644, "")) for name in _SHELL_FILES)
    return files


def accounts(passwd: str, *, home: str, shell: str, user: str, single_user: bool) -> Files:
    """``/etc/passwd``, ``group`` and ``shadow`` of a host.

    No account has a password, and none is locked: sshd without PAM refuses locked ones.

    Args:
        passwd: the machine's ``/etc/passwd``.
        home: home directory of the host's root.
        shell: shell of the host's root.
        user: login name of the caller on the machine.
        single_user: whether the host knows one user id only, which is the caller's on the machine and 0 in the host.
    """
    root = f"root:x:0:0:root:{home}:{shell}"
    if single_user:
        lines = [root, "sshd:x:0:0:sshd:/run/sshd:/usr/sbin/nologin", "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin"]
        if user not in ("root", "sshd", "nobody"):
            lines.append(f"{user}:x:0:0:{user}:{home}:{shell}")
    else:
        others = [line for line in passwd.splitlines() if line.count(":") == 6 and not line.startswith("root:")]
        lines = [root, *others]
        if not any(line.startswith("sshd:") for line in others):
            lines.append("sshd:x:65533:65534:sshd:/run/sshd:/usr/sbin/nologin")
    names = dict.fromkeys(line.split(":")[0] for line in lines)
    files: Files = {
        "/etc/passwd": (0o644, "\n".join(lines) + "\n"),
        "/etc/shadow": (0o640, "".join(f"{name}:*:19000::::::\n" for name in names)),
    }
    if single_user:  # no group "tty": its id could not be given to a terminal
        files["/etc/group"] = (0o644, "root:x:0:\nnogroup:x:65534:\n")
    return files
