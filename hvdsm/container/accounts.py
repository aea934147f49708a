"""The accounts that sshd asks for, in images that were made without them: this user's own, and the one that sshd drops to.

Sources: sshd(8), "Login process" and the privilege separation user; passwd(5), shadow(5).  What is missing is added: a container
is made for its job.  No account gets a password.
"""

from __future__ import annotations

import os
import pwd
from typing import Callable, Optional

PASSWD, SHADOW = "/etc/passwd", "/etc/shadow"
_NO_SHELL = ("nologin", "false")


def admit(
    say: Callable[[str], None], passwd: str = PASSWD, shadow: str = SHADOW, *, elsewhere: Optional[Callable[[str], bool]] = None
) -> str:
    """Make sshd able to let this user in; returns what is wrong that cannot be helped here, empty when all is well.

    ``elsewhere`` says whether another source than the file, such as LDAP, has an account.
    """
    uid = os.getuid()
    lines = _lines(passwd)
    own = next((line for line in lines if line.split(":")[2:3] == [str(uid)]), None)
    # Root that is not in the file but is known nevertheless is systemd's: a locked one.
    if own is None and (uid == 0 or not _known(uid)):
        name = "root" if uid == 0 else _free("hvdsm", lines)
        own = f"{name}:x:{uid}:{os.getgid()}::/tmp:/bin/sh"
        if not _append(passwd, own):
            return f"user {uid} has no line in {passwd}"
        say(f"user {uid} had no account, which sshd asks for: {own} added to {passwd}")
    if own is not None:
        shell = own.rsplit(":", 1)[-1] or "/bin/sh"
        if os.path.basename(shell) in _NO_SHELL or not os.access(shell, os.X_OK):
            return f"the shell {shell} of user {own.split(':')[0]} runs no command"
    if uid == 0:
        if not any(line.startswith("sshd:") for line in lines) and not (elsewhere or _named)("sshd"):
            # sshd works for strangers as this user, in an empty directory.
            line = f"sshd:x:{_free_uid(lines)}:65534::/run/sshd:/usr/sbin/nologin"
            if not _append(passwd, line):
                return f"sshd's own user is not in {passwd}, which cannot be written"
            say(f"sshd's own user was missing: {line} added to {passwd}")
        return _unlock(own.split(":")[0] if own else "root", shadow, say)
    return ""


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _known(uid: int) -> bool:
    """Whether another source than the file, such as LDAP, has the user."""
    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False


def _named(name: str) -> bool:
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


def _free(name: str, lines: list[str]) -> str:
    taken = {line.split(":")[0] for line in lines}
    while name in taken:
        name += "x"
    return name


def _free_uid(lines: list[str]) -> int:
    """RHEL's number for sshd, or the next one that is free."""
    taken = {line.split(":")[2] for line in lines if line.count(":") > 2}
    return next(uid for uid in range(74, 65534) if str(uid) not in taken)


def _append(path: str, line: str, mode: int = 0o644) -> bool:
    try:
        with open(path, "a+b", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.seek(0)
            text = file.read()
            file.write((b"" if not text or text.endswith(b"\n") else b"\n") + os.fsencode(line) + b"\n")
    except OSError:
        return False
    return True


def _unlock(user: str, shadow: str, say: Callable[[str], None]) -> str:
    """Without PAM sshd refuses an account whose password is locked by ``!``, also by key; ``*`` is no password either.

    An account without a line there is locked where systemd answers for it.
    """
    lines = _lines(shadow)
    own = next((line for line in lines if line.startswith(user + ":")), None)
    if own is None:
        added = _append(shadow, f"{user}:*:19000::::::", 0o600)
        return "" if added else f"user {user} is not in {shadow}, which cannot be written"
    fields = own.split(":")
    if not fields[1].startswith("!"):
        return ""
    lines[lines.index(own)] = ":".join([user, "*", *fields[2:]])
    try:
        with open(shadow, "r+", encoding="utf-8", errors="surrogateescape") as file:
            file.write("\n".join(lines) + "\n")
            file.truncate()
    except OSError as error:
        return f"user {user} is locked in {shadow}, which cannot be written: {error.strerror}"
    say(f"user {user} was locked in {shadow}, and sshd lets no locked user in: the lock is removed, and there is no password")
    return ""
