"""From what was declared and what this process is to the plan that the helper carries out.

The plan is a JSON object:

- ``hosts``: names;
- ``fds``: control sockets, the cluster's first;
- ``unprivileged``: whether a user namespace is needed;
- ``home``: home directory of root on the hosts;
- ``private``: [path, mode] of directories with nothing of the machine's;
- ``files``: path → [mode, text];
- ``links``: [path, text] of symbolic links;
- ``binds``: source, target, host and mode (readonly, writable or private);
- ``environments``: the base environment of each host;
- ``delay`` (seconds, one way) and ``mbit``;
- ``slow``: number → [delay in seconds, mbit] of hosts that are slower, as a list of pairs;
- ``ssh``: null, or the paths of ``sshd`` and ``keygen``.
"""

from __future__ import annotations

import os
import pwd
import shutil
from typing import Any, Dict, List, Mapping, Optional, Tuple

from hvdsm.emulator import identity
from hvdsm.emulator.gpus import divide_gpus, machine_gpus
from hvdsm.emulator.places import hidden_places, is_hidden, own_paths
from hvdsm.emulator.spec import ClusterSpec
from hvdsm.errors import SshError

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What root must be able to do for the emulator to go without a user namespace (capabilities(7)): CHOWN, DAC_OVERRIDE, KILL,
# SETGID, SETUID, NET_ADMIN, NET_RAW, SYS_CHROOT, SYS_ADMIN.
_CAPABILITIES = (0, 1, 5, 6, 7, 12, 13, 18, 21)
_MANY_USERS = 60_000  # with these, nobody (65534), sshd and the group tty exist


def is_unprivileged() -> bool:
    """Whether hosts need a user namespace.

    So it is for an ordinary user, for root without the capabilities (in a container), and for the root of a user namespace that
    knows few users (on an emulated host).
    """
    if os.geteuid() != 0:
        return True
    with open("/proc/self/status") as file:
        effective = next((int(line.split()[1], 16) for line in file if line.startswith("CapEff:")), 0)
    with open("/proc/self/uid_map") as file:
        users = sum(int(line.split()[2]) for line in file)
    return users < _MANY_USERS or any(not effective >> number & 1 for number in _CAPABILITIES)


def make_plan(spec: ClusterSpec, environ: Mapping[str, str], fds: List[int]) -> Dict[str, Any]:
    """The plan for ``spec`` as this process, with this environment, wants it.

    Raises:
        SshError: a ready sshd is wanted and OpenSSH is not installed.
    """
    unprivileged = is_unprivileged()
    user, home = _account(environ)
    real_home = os.path.realpath(home)
    files = identity.common_files(spec.host_names, real_home)
    shell = next((path for path in ("/bin/bash", "/usr/bin/bash") if os.path.exists(path)), "/bin/sh")
    files.update(identity.accounts(_passwd(), home=home, shell=shell, user=user, single_user=unprivileged))
    private = [("/opt/ml", 0o755), (f"{real_home}/.ssh", 0o700), ("/etc/ssh", 0o755)]
    copies = [*spec.private_copies, *([home] if is_hidden(real_home) and os.path.isdir(home) else [])]
    places = hidden_places(own_paths(environ), spec.visible, copies)
    binds = [{"source": path, "target": path, "host": None, "mode": "private"} for path in places.private]
    binds += [{"source": path, "target": path, "host": None, "mode": "readonly"} for path in places.readonly]
    binds += [
        {
            "source": os.path.realpath(mount.source),
            "target": os.path.normpath(mount.target),
            "host": mount.host,
            "mode": "writable" if mount.writable else "readonly",
        }
        for mount in spec.mounts
    ]
    binds.sort(key=lambda bind: str(bind["target"]).count("/"))
    return {
        "hosts": spec.host_names,
        "fds": fds,
        "unprivileged": unprivileged,
        "home": home,
        "private": private,
        "files": files,
        "links": places.links,
        "binds": binds,
        "environments": _environments(spec, environ, home, shell),
        "delay": spec.delay_ms / 1000,
        "mbit": spec.mbit,
        "slow": [[spec.host_names.index(host.name) + 1, [host.delay_ms / 1000, host.mbit]] for host in spec.slow],
        "ssh": _ssh_programs(environ.get("PATH", "")) if spec.sshd else None,
    }


def _passwd() -> str:
    try:
        with open("/etc/passwd", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _account(environ: Mapping[str, str]) -> Tuple[str, str]:
    """Login name and home directory of the caller; some containers run as a number that has neither."""
    try:
        entry = pwd.getpwuid(os.geteuid())
        user, home = entry.pw_name, entry.pw_dir
    except KeyError:
        user, home = "user", environ.get("HOME", "")
    return user, os.path.normpath(home) if os.path.isabs(home) and os.path.normpath(home) != "/" else "/root"


def _environments(spec: ClusterSpec, environ: Mapping[str, str], home: str, shell: str) -> List[Dict[str, str]]:
    """The base environment of the programs on each host."""
    path = [part for part in environ.get("PATH", "").split(":") if part]
    path += [part for part in _SYSTEM_PATH.split(":") if part not in path]
    base = {
        "PATH": ":".join(path),
        "HOME": home,
        "USER": "root",
        "LOGNAME": "root",
        "SHELL": shell,
        "LANG": environ.get("LANG", "C.UTF-8"),
    }
    base.update((name, environ[name]) for name in ("LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "TZ") if name in environ)
    gpus = machine_gpus(environ)
    shares = divide_gpus(gpus, spec.instance_count)
    return [{**base, "CUDA_VISIBLE_DEVICES": ",".join(share)} if gpus else base for share in shares]


def find_program(name: str, path: str) -> Optional[str]:
    """The absolute path of a program, administrators' directories included (sshd is seldom on an ordinary user's PATH)."""
    found = shutil.which(name, path=f"{path}:{_SYSTEM_PATH}")
    return os.path.abspath(found) if found else None


def _ssh_programs(path: str) -> Dict[str, str]:
    programs = {name: find_program(name, path) for name in ("sshd", "ssh", "ssh-keygen")}
    missing = [name for name, where in programs.items() if where is None]
    if missing:
        raise SshError(
            f"{', '.join(missing)} not found: the emulated hosts reach each other by OpenSSH",
            where="PATH, /usr/sbin",
            remedy="apt-get install openssh-server openssh-client (or dnf install openssh-server openssh-clients)",
        )
    return {"sshd": str(programs["sshd"]), "keygen": str(programs["ssh-keygen"])}
