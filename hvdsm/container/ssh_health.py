"""Whether sshd can run here and let this user in; nothing of the image is changed."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from hvdsm.compose.ssh import sshd_config
from hvdsm.container.accounts import PASSWD, SHADOW, admit
from hvdsm.container.diagnosis import Check, failed, good, unchecked
from hvdsm.container.facts import sshd_path
from hvdsm.container.inquiries import Run
from hvdsm.container.ssh import login_name
from hvdsm.errors import EXIT_CONFIG

_PROGRAMS = ("sshd", "ssh", "ssh-keygen")
# What both say to a user whose account a job's start, or an emulated host, makes first.
_NAMELESS = "No user exists for uid"
INSTALL = "apt-get install -y openssh-server openssh-client"


@dataclass(frozen=True)
class SshFacts:
    """What was found of OpenSSH.

    Attributes:
        missing: programs that are not there.
        version: as ssh tells it.
        broken: what ssh says that does not run; empty where it does.
        account: what is wrong with this user's account, and cannot be helped when a job starts.
        added: what a job's start would change so that sshd lets the user in.
        uid: this user's number.
        refused: what keeps sshd from the configuration of a job, or ssh-keygen from its keys; empty when nothing does, None when
            it was not asked.
    """

    missing: Tuple[str, ...] = ()
    version: str = ""
    broken: str = ""
    account: str = ""
    added: Tuple[str, ...] = ()
    uid: int = 0
    refused: Optional[str] = None


def ssh_here(environ: Mapping[str, str], run: Run, *, account: bool = True) -> SshFacts:
    """The facts; sshd is asked whether it takes a job's configuration, with keys that are made for it and removed.

    Args:
        environ: environment.
        run: runs a program.
        account: whether this user's account is looked at; emulated hosts have accounts of their own.
    """
    paths = _paths(environ)
    found = SshFacts(tuple(name for name in _PROGRAMS if not paths[name]))
    if paths["ssh"]:
        ran = run([str(paths["ssh"]), "-V"], environ, 10.0)
        match = re.search(r"^OpenSSH[\w.]*", ran.text, re.MULTILINE)
        found = replace(
            found, version=match.group(0) if match else "", broken="" if ran.ok or _NAMELESS in ran.text else ran.last
        )
    if not paths["sshd"] or not paths["ssh-keygen"]:
        return found
    with tempfile.TemporaryDirectory(prefix="hvdsm-doctor-") as directory:
        wrong, added = account_here(directory) if account else ("", ())
        try:
            user = login_name() if account else "root"
            refused = _refusal(str(paths["sshd"]), str(paths["ssh-keygen"]), directory, environ, run, user)
        except (OSError, KeyError):
            # The user has no name yet: that of its account is among what is added.
            refused = None
    return replace(found, account=wrong, added=added, uid=os.getuid(), refused=refused)


def _paths(environ: Mapping[str, str]) -> Dict[str, Optional[str]]:
    found = {name: shutil.which(name, path=environ.get("PATH")) for name in ("ssh", "ssh-keygen")}
    return {**found, "sshd": sshd_path(environ)}


def account_here(
    directory: str,
    passwd: str = PASSWD,
    shadow: str = SHADOW,
    *,
    admitted: Callable[..., str] = admit,
    may_write: Callable[[str, int], bool] = os.access,
) -> Tuple[str, Tuple[str, ...]]:
    """What is wrong with this user's account, and what the start of a job would add; found out with copies of the files.

    Args:
        directory: gets the copies.
        passwd: the accounts.
        shadow: their passwords.
        admitted: makes sshd able to let the user in.
        may_write: whether a file may be written.
    """
    said: List[str] = []
    copies = []
    for path in (passwd, shadow):
        copy = os.path.join(directory, os.path.basename(path))
        try:
            shutil.copyfile(path, copy)
        except OSError as error:
            # Only root reads the passwords, and only root's account needs them.
            if path == passwd and not isinstance(error, FileNotFoundError):
                return f"{path} cannot be read: {error.strerror}", ()
        copies.append((path, copy))
    before = [_bytes(copy) for _, copy in copies]
    wrong = admitted(said.append, copies[0][1], copies[1][1])
    for (path, copy), old in zip(copies, before):
        if _bytes(copy) != old and not may_write(path if os.path.exists(path) else os.path.dirname(path), os.W_OK):
            return wrong or f"{path} has to be changed for sshd to let this user in, and cannot be written", ()
    return wrong.replace(directory, os.path.dirname(passwd)), tuple(
        line.replace(directory, os.path.dirname(passwd)) for line in said
    )


def _refusal(sshd: str, keygen: str, directory: str, environ: Mapping[str, str], run: Run, user: str) -> str:
    key, config = os.path.join(directory, "key"), os.path.join(directory, "sshd_config")
    made = run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", key], environ, 10.0)
    if _NAMELESS in made.text:
        raise KeyError(user)
    if not made.ok:
        return f"ssh-keygen does not run: {made.last}"
    with open(config, "w", encoding="utf-8") as file:
        file.write(sshd_config(port=2222, host_key_file=key, authorized_keys_file=f"{key}.pub", user=user))
    tested = run([sshd, "-t", "-f", config], environ, 10.0)
    # A job's start makes that directory, and the account that sshd drops to.
    helped = re.search(r"Missing privilege separation directory|Privilege separation user \S+ does not exist", tested.text)
    return "" if tested.ok or helped else f"sshd does not take a job's configuration: {tested.last}"


def ssh(facts: SshFacts, *, hosts: int = 2, remedy: str = INSTALL) -> Check:
    """Whether hosts can reach each other by ssh.

    Args:
        facts: what was found.
        hosts: hosts of the jobs that are meant; one host needs no ssh.
        remedy: what brings the missing programs.
    """
    name = "ssh"
    told = {"version": facts.version, "missing": list(facts.missing), "added": list(facts.added)}
    if facts.missing:
        verb = "is" if len(facts.missing) == 1 else "are"
        what = f"{', '.join(facts.missing)} {verb} missing: mpirun reaches other hosts by ssh"
        if hosts < 2:
            return unchecked(name, what, "", **told)
        return failed(name, what, remedy, EXIT_CONFIG, **told)
    if facts.account:
        line = f"RUN echo 'hvdsm:x:{facts.uid}:0::/tmp:/bin/sh' >> {PASSWD}"
        shell = "RUN usermod --shell /bin/sh USER"
        help_ = f"add to the image's Dockerfile:\n{shell if 'runs no command' in facts.account else line}"
        return failed(name, f"sshd would not let this user in: {facts.account}", help_, EXIT_CONFIG, **told)
    if facts.broken or facts.refused:
        what = f"ssh does not run: {facts.broken}" if facts.broken else str(facts.refused)
        help_ = "install OpenSSH 8 or later, or again: apt-get install --reinstall openssh-server openssh-client"
        return failed(name, what, help_, EXIT_CONFIG, **told)
    more = f"; the start of a job makes what is missing ({'; '.join(facts.added)})" if facts.added else ""
    return good(name, f"{facts.version or 'OpenSSH'}: sshd, ssh and ssh-keygen{more}", **told)


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
