"""Rules for shell: the RUN lines of Dockerfiles and the scripts of containers/.

A rule is a function from the text to what breaks it; hadolint's and ShellCheck's numbers are named where they have the rule.
"""

from __future__ import annotations

import re
import shlex
from typing import Callable, Iterator, List, Sequence

Rule = Callable[[str], Iterator[str]]


def commands(shell: str) -> List[str]:
    """The commands of some shell, roughly: what is between line ends, ``&&``, ``||``, ``;`` and ``|``."""
    joined = re.sub(r"\\\n", " ", shell)
    lines = [line for line in joined.splitlines() if not line.lstrip().startswith("#")]
    parts = re.split(r"\n|&&|\|\||;|(?<!\|)\|(?!\|)|\bthen\b|\bdo\b", "\n".join(lines))
    return [re.sub(r"^(?:[A-Z_]+=\S+ +)+", "", part.strip()) for part in parts if part.strip()]


def words(command: str) -> List[str]:
    """The words of a command, roughly where it cannot be told."""
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def starting(shell: str, *names: str) -> Iterator[List[str]]:
    """The commands that begin with these words, each as its words."""
    for command in commands(shell):
        found = words(command)
        if found[: len(names)] == list(names):
            yield found


def apt_for_people(shell: str) -> Iterator[str]:
    """DL3027: apt-get, whose options stay."""
    return (" ".join(found) for found in starting(shell, "apt"))


def apt_asks(shell: str) -> Iterator[str]:
    """DL3014: nobody is there to say yes."""
    for found in starting(shell, "apt-get", "install"):
        if not {"-y", "--yes", "-qy", "-yq"} & set(found):
            yield " ".join(found)


def apt_recommends(shell: str) -> Iterator[str]:
    """DL3015: what is only recommended makes an image large."""
    for found in starting(shell, "apt-get", "install"):
        if "--no-install-recommends" not in found:
            yield " ".join(found)


def apt_lists_stay(shell: str) -> Iterator[str]:
    """DL3009: the lists of packages are removed in the step that fetched them."""
    if any(starting(shell, "apt-get", "update")) and not re.search(r"rm -rf [^&|;]*/var/lib/apt/lists/\*", shell):
        yield "apt-get update, and no rm -rf /var/lib/apt/lists/*"


def apt_without_update(shell: str) -> Iterator[str]:
    """An image's lists are old or not there."""
    if any(starting(shell, "apt-get", "install")) and not any(starting(shell, "apt-get", "update")):
        yield "apt-get install without apt-get update"


def apt_upgrade(shell: str) -> Iterator[str]:
    """DL3005: the base is updated by a newer base."""
    for verb in ("upgrade", "dist-upgrade", "full-upgrade"):
        yield from (" ".join(found) for found in starting(shell, "apt-get", verb))


def host_keys_stay(shell: str) -> Iterator[str]:
    """Debian makes host keys when sshd is installed: removed in the same step, or they are in a layer."""
    installs = re.search(r'openssh-server|apt-get install [^&|;]*(\$\{PACKAGES\}|"\$@")', shell) and "packages.sh" not in shell
    if installs and not re.search(r"rm -r?f [^&|;]*/etc/ssh/ssh_host_\*", shell):
        yield "openssh-server, and no rm -f /etc/ssh/ssh_host_*_key"


def pip_cache(shell: str) -> Iterator[str]:
    """DL3042: what pip keeps for the next time is no use in a layer."""
    for found in pip_commands(shell):
        if "--no-cache-dir" not in found:
            yield " ".join(found)


def pip_unpinned(shell: str) -> Iterator[str]:
    """DL3013: packages by exact version, within constraints, or from a file or directory at hand."""
    for found in pip_commands(shell):
        takes = {"--wheel-dir", "-w", "--find-links", "--extra-index-url", "--requirement", "-r"}
        named = [
            word
            for before, word in zip(found, found[1:])
            if not word.startswith("-") and before not in takes and word not in ("install", "wheel", "pip")
        ]
        loose = [word for word in named if "==" not in word and not re.search(r"[/$]|\.whl$", word)]
        files = {"--requirement", "-r"} & set(found)
        if (loose or files) and "--constraint" not in found:
            yield f"{', '.join(loose) or 'a requirements file'} without a version"


def pip_commands(shell: str) -> Iterator[List[str]]:
    """Commands of pip that fetch packages, from the word ``pip`` on."""
    for command in commands(shell):
        found = words(command)
        if "pip" in found[:3] and len(found) > found.index("pip") + 1 and found[found.index("pip") + 1] in ("install", "wheel"):
            yield found[found.index("pip") :]


def sudo(shell: str) -> Iterator[str]:
    """DL3004: a build is root."""
    return (" ".join(found) for found in starting(shell, "sudo"))


def download(shell: str) -> Iterator[str]:
    """DL4001 and more: downloads fail on an error of the server, come over TLS, and are compared with a signature or a sum."""
    fetched = [found for name in ("curl", "wget") for found in starting(shell, name)]
    for found in fetched:
        text = " ".join(found)
        if found[0] == "curl" and not re.search(r"--fail\b| -\w*f", text):
            yield f"curl without --fail: {text}"
    if re.search(r"http://", shell):
        yield "http://"
    if fetched and not re.search(r"gpgv |gpg [^\n]*--verify|sha256sum [^\n]*(-c|--check)", shell):
        yield "a download that nothing is compared with"
    yield from (f"piped into a shell: {match}" for match in re.findall(r"(?:curl|wget)[^\n]*\| *(?:ba)?sh\b", shell))


def wide_open(shell: str) -> Iterator[str]:
    """Files that everybody may change."""
    return (match for match in re.findall(r"chmod (?:-R )?(?:0?777|a\+w|o\+w)[^\n]*", shell))


def password(shell: str) -> Iterator[str]:
    """No account gets a password, and no key is made."""
    return (match for match in re.findall(r"(?:chpasswd|passwd -|ssh-keygen -)[^\n]*", shell))


RULES: Sequence[Rule] = (
    apt_for_people,
    apt_asks,
    apt_recommends,
    apt_lists_stay,
    apt_without_update,
    apt_upgrade,
    host_keys_stay,
    pip_cache,
    pip_unpinned,
    sudo,
    download,
    wide_open,
    password,
)


def shell_problems(shell: str) -> List[str]:
    """What is wrong with some shell: ``RULE: what``."""
    return [f"{rule.__name__}: {what}" for rule in RULES for what in rule(shell)]


def script_problems(text: str) -> List[str]:
    """What is wrong with a script: the rules of shell, and that it ends at the first failure."""
    found = shell_problems(text)
    lines = text.splitlines()
    if not lines or lines[0] != "#!/usr/bin/env bash":
        found.append("no_bash: the first line is not #!/usr/bin/env bash")
    if "set -euo pipefail" not in lines:
        found.append("goes_on: no line `set -euo pipefail`")
    return found
