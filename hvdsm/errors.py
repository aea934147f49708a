"""The exceptions of hvdsm, and the exit code of each.

::

    HvdsmError                  1
    +-- UsageError              2    a command or call that cannot be meant
    +-- BackendUnavailable      69   what the back end needs is not on this machine
    |   +-- NamespacesUnavailable    the emulator cannot make hosts here
    |   +-- CloudUnavailable         AWS cannot be reached, throttles, has no capacity, or knows no valid credentials
    +-- JobTimeout              75   a deadline passed: rendezvous, ssh, or the job's own limit
    +-- ConfigError             78   a file, request or hyperparameter is wrong (found before ranks start)
    |   +-- MpiError                 mpirun is missing, of an unknown kind, or refused its options
    |   +-- SshError                 sshd or ssh is missing, or a host cannot be reached by it
    |   +-- CloudRefused             AWS refuses a request: a permission, a quota, or a value
    +-- HostLost                1    a host ended or became silent while the job ran

Every message says what is wrong, where, and what to do next.  The codes 69, 75 and 78 are EX_UNAVAILABLE, EX_TEMPFAIL and
EX_CONFIG of ``sysexits.h``.  A rank that fails is no exception here: the job ends with that rank's own exit code.
"""

from __future__ import annotations

from typing import Optional

EXIT_USAGE = 2
EXIT_UNAVAILABLE = 69
EXIT_TIMEOUT = 75
EXIT_CONFIG = 78


class HvdsmError(Exception):
    """Base of all errors that hvdsm raises on purpose.

    Args:
        what: what is wrong, one sentence.
        where: the file, option, host or field concerned.
        remedy: the next command or change to try.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: Optional[str] = None, remedy: Optional[str] = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        """One line for what and where, one for the remedy."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  try: {self.remedy}" if self.remedy else text


class UsageError(HvdsmError):
    """A command line or call that cannot be meant."""

    exit_code = EXIT_USAGE


class BackendUnavailable(HvdsmError):
    """The back end cannot work on this machine."""

    exit_code = EXIT_UNAVAILABLE


class NamespacesUnavailable(BackendUnavailable):
    """The kernel or its security policy refuses the namespaces that emulated hosts are made of."""


class CloudUnavailable(BackendUnavailable):
    """AWS cannot be reached, throttles, has no capacity, or knows no valid credentials: the same command may work later."""


class JobTimeout(HvdsmError):
    """A deadline passed."""

    exit_code = EXIT_TIMEOUT


class ConfigError(HvdsmError):
    """A file, request or hyperparameter is wrong."""

    exit_code = EXIT_CONFIG


class MpiError(ConfigError):
    """``mpirun`` is missing, of an unknown kind, or refuses its options."""


class SshError(ConfigError):
    """``sshd`` or ``ssh`` is missing, or a host cannot be reached by it."""


class CloudRefused(ConfigError):
    """AWS refuses a request: a permission is missing, a quota is exceeded, or a value is wrong."""


class HostLost(HvdsmError):
    """A host ended or became silent while the job ran."""
