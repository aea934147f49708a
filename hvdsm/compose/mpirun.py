"""The mpirun command: one composer for Open MPI 4.1 (ORTE), one for 5 and later (PRRTE), behind :func:`mpirun_command`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from hvdsm.compose.options import (
    MpiOption,
    exported_names,
    mca,
    merge,
    parse_options,
    switch,
    valued,
    variable,
    with_double_dashes,
)
from hvdsm.model import MpiImplementation

FORWARDED = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH")


@dataclass(frozen=True)
class Placement:
    """Where the ranks go.

    ``hostfile`` is a path; ``ssh_agent`` the words of the ssh command between hosts, empty for a single host.
    ``shared_cores`` says that several hosts share this machine's cores, as emulated ones do.
    """

    hosts: Tuple[str, ...]
    slots: int
    world_size: int
    hostfile: str
    network_interface: Optional[str] = None
    ssh_agent: Tuple[str, ...] = ()
    shared_cores: bool = False


@dataclass(frozen=True)
class MpirunCommand:
    """The argv, and the names of the variables whose values mpirun sends to the ranks (by ``-x``)."""

    argv: Tuple[str, ...]
    exported: Tuple[str, ...]


def mpirun_command(
    mpi: MpiImplementation,
    placement: Placement,
    program: Sequence[str],
    *,
    custom_options: str = "",
    variables: Sequence[Tuple[str, str]] = (),
    present: Sequence[str] = FORWARDED,
) -> MpirunCommand:
    """The mpirun command that starts ``program`` once a rank.

    Every default stands only where ``custom_options`` does not set the same thing.

    Args:
        mpi: the installation.
        placement: hosts, slots and files.
        program: what each rank runs.
        custom_options: the user's ``custom_mpi_options``.
        variables: names and values sent by ``-x NAME=VALUE``; never secrets, since argv can be read by all.
        present: names sent by ``-x NAME``, set in the launcher's environment.

    Raises:
        MpiError: the custom options cannot be read.
    """
    custom = parse_options(custom_options)
    defaults = _prrte_defaults(mpi, placement) if mpi.is_prrte else _orte_defaults(mpi, placement)
    defaults += [variable(name, value) for name, value in variables]
    defaults += [variable(name) for name in present]
    options = merge(defaults, custom)
    if mpi.is_prrte:
        options = with_double_dashes(options)
    words = [word for option in options for word in option.words]
    return MpirunCommand((mpi.mpirun, *words, *program), tuple(sorted(exported_names(custom) | {name for name, _ in variables})))


def _common(placement: Placement) -> List[MpiOption]:
    return [
        switch("allow-run-as-root"),
        valued("hostfile", placement.hostfile),
        valued("np", str(placement.world_size)),
        valued("bind-to", "none"),
        valued("map-by", "slot"),
        mca("pml", "ob1"),
    ]


def _orte_defaults(mpi: MpiImplementation, placement: Placement) -> List[MpiOption]:
    options = _common(placement)
    if mpi.prefix:
        options.append(valued("prefix", mpi.prefix))
    options += [
        mca("btl", "^openib"),
        mca("btl_vader_single_copy_mechanism", "none"),
        mca("orte_abort_on_non_zero_status", "1"),
    ]
    if placement.network_interface:
        options += [
            mca("btl_tcp_if_include", placement.network_interface),
            mca("oob_tcp_if_include", placement.network_interface),
        ]
    if placement.ssh_agent:
        options.append(mca("plm_rsh_agent", " ".join(placement.ssh_agent)))
    return options + _idle(placement)


def _prrte_defaults(mpi: MpiImplementation, placement: Placement) -> List[MpiOption]:
    options = _common(placement)
    if mpi.prefix:
        options.append(valued("prefix", mpi.prefix))
    if placement.network_interface:
        options += [
            mca("btl_tcp_if_include", placement.network_interface),
            mca("prte_if_include", placement.network_interface, kind="prtemca"),
        ]
    if placement.ssh_agent:
        options.append(mca("plm_ssh_agent", " ".join(placement.ssh_agent), kind="prtemca"))
    return options + _idle(placement)


def _idle(placement: Placement) -> List[MpiOption]:
    """A waiting rank that spins takes the core from the rank it waits for, when hosts share cores."""
    return [mca("mpi_yield_when_idle", "1")] if placement.shared_cores else []
