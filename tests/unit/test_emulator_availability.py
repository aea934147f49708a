"""What a refusal is called, and which remedy goes with it."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from hvdsm.emulator.availability import Facts, explain

REFUSED = Facts(step="user namespace", error="Operation not permitted", number=errno.EPERM)


@pytest.mark.parametrize(
    ("facts", "reason", "remedy"),
    [
        (replace(REFUSED, seccomp=True, container=True), "Docker", "--security-opt seccomp=unconfined"),
        (replace(REFUSED, seccomp=True), "seccomp", "--privileged"),
        (replace(REFUSED, apparmor_restricts=True), "AppArmor", "kernel.apparmor_restrict_unprivileged_userns=0"),
        (
            Facts("mount", "Permission denied", errno.EACCES, apparmor_restricts=True),
            "AppArmor",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        (replace(REFUSED, max_user_namespaces=0), "max_user_namespaces", "sysctl -w user.max_user_namespaces="),
        (replace(REFUSED, number=errno.ENOSPC), "limit of user namespaces", "sysctl -w user.max_user_namespaces="),
        (replace(REFUSED, debian_switch_off=True), "unprivileged_userns_clone", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (Facts("proc", "", errno.EPERM, container=True), "/proc", "systempaths=unconfined"),
        (Facts("namespaces", "", errno.EINVAL), "without namespaces", "another machine"),
        (Facts("user namespace", "", errno.ENOSYS), "without namespaces", "another machine"),
        (Facts("network", "", errno.EOPNOTSUPP), "bridge or veth", "modprobe"),
        (Facts("host", "pivot_root", errno.EINVAL, chrooted=True), "chroot", "outside the chroot"),
        (REFUSED, "Operation not permitted", "run as root"),
        (Facts("python", "no such file"), "no such file", "sys.executable"),
        (Facts("host", "odd", errno.EIO), "odd", "--hosts single"),
    ],
)
def test_reason_and_remedy(facts: Facts, reason: str, remedy: str) -> None:
    answer = explain(facts)
    assert not answer.ok
    assert reason in answer.reason
    assert remedy in answer.remedy


def test_every_remedy_names_the_single_host() -> None:
    steps = ("user namespace", "namespaces", "proc", "mount", "network", "host", "python", "unknown")
    for step in steps:
        for number in (None, errno.EPERM, errno.EINVAL, errno.ENOSPC, errno.ENOSYS):
            assert "--hosts single" in explain(Facts(step, "text", number)).remedy


def test_root_is_not_told_of_what_stops_ordinary_users() -> None:
    facts = Facts("namespaces", "x", errno.EPERM, unprivileged=False, apparmor_restricts=True, max_user_namespaces=0)
    answer = explain(facts)
    assert "AppArmor" not in answer.reason
    assert "max_user_namespaces" not in answer.reason
