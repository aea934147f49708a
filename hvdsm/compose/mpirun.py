"""The mpirun command: one composer for Open MPI 4.1 (ORTE), one for 5 and later (PRRTE), behind :func:`mpirun_command`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Mapping, Optional, Sequence, Tuple

from hvdsm.compose.arguments import shielded
from hvdsm.compose.fabric import efa_variables
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
# By name only: a value on a command line can be read by every user of the machine.
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


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


def job_command(
    mpi: MpiImplementation,
    command: Sequence[str],
    *,
    python: str,
    hosts: Sequence[str],
    slots: Sequence[int],
    world_size: Optional[int],
    session: str,
    interface: Optional[str],
    custom_options: str,
    environ: Mapping[str, str],
    rehearsal: bool,
    instance_type: str = "local",
    efa_device: bool = False,
    contract: Sequence[str] = (),
    more_variables: Sequence[Tuple[str, str]] = (),
) -> MpirunCommand:
    """The mpirun command of a job, from what the launcher knows: the container runs it, a dry run shows it.

    NCCL's variables are set only where the container's environment does not set them.

    Args:
        mpi: the installation.
        command: the user's command, run under :mod:`hvdsm.container.rank`.
        python: the interpreter.
        hosts: all hosts, the launcher first.
        slots: processes of each host.
        world_size: number of ranks where it is not the sum of slots.
        session: the job's session directory, the same on every host; ``hostfile`` and ``ssh_config`` are in it.
        interface: network interface between the hosts; None leaves the choice to Open MPI and NCCL.
        custom_options: the user's ``custom_mpi_options``.
        environ: the container's environment.
        rehearsal: whether the hosts share one machine's cores.
        instance_type: the launcher's instance type, which tells whether NCCL goes over EFA.
        efa_device: whether the launcher has an EFA device.
        contract: names of the variables of the container's contract, ``SM_HOSTS`` and so on, set in mpirun's environment.
        more_variables: further names and values for ``-x``; those that the environment sets are left out.

    Raises:
        MpiError: the custom options cannot be read.
    """
    alone = len(hosts) == 1
    wanted = [*more_variables, ("NCCL_DEBUG", "INFO"), ("NCCL_MIN_NRINGS", "4"), *efa_variables(instance_type, efa_device)]
    if interface:
        wanted.append(("NCCL_SOCKET_IFNAME", interface))
    variables = [("HVDSM_SESSION", session), *((name, value) for name, value in wanted if name not in environ)]
    placement = Placement(
        hosts=tuple(hosts),
        slots=max(slots),
        world_size=world_size or sum(slots),
        hostfile=f"{session}/hostfile",
        network_interface=interface,
        ssh_agent=() if alone else ("ssh", "-F", f"{session}/ssh_config"),
        shared_cores=rehearsal,
    )
    return mpirun_command(
        mpi,
        placement,
        rank_program(python, command),
        custom_options=custom_options,
        variables=variables,
        present=[*(name for name in (*FORWARDED, *CREDENTIALS) if name in environ), *contract],
    )


def rank_program(python: str, command: Sequence[str]) -> List[str]:
    """The command that wraps one rank."""
    return [python, "-m", "hvdsm.container.rank", *(shielded(word) for word in command)]


def _common(placement: Placement) -> List[MpiOption]:
    return [
        switch("allow-run-as-root"),
        valued("hostfile", placement.hostfile),
        valued("np", str(placement.world_size)),
        valued("bind-to", "none"),
        valued("map-by", "slot"),
        mca("pml", "ob1"),
    ]


# The ofi transport sleeps a whole second in MPI_Finalize (4.1) or MPI_Init (5); emulated hosts have no fabric that it could use.
def _orte_defaults(mpi: MpiImplementation, placement: Placement) -> List[MpiOption]:
    options = _common(placement)
    if mpi.prefix:
        options.append(valued("prefix", mpi.prefix))
    options += [
        mca("btl", "^openib,ofi" if placement.shared_cores else "^openib"),
        mca("btl_vader_single_copy_mechanism", "none"),
        mca("orte_abort_on_non_zero_status", "1"),
        # The daemons of a second level are looked for on the PATH of sshd, where mpirun's prefix is not.
        mca("plm_rsh_no_tree_spawn", "1"),
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
    if placement.shared_cores:
        options.append(mca("btl", "^ofi"))
    if placement.network_interface:
        options += [
            mca("btl_tcp_if_include", placement.network_interface),
            mca("prte_if_include", placement.network_interface, kind="prtemca"),
        ]
    if placement.ssh_agent:
        options.append(mca("plm_ssh_agent", " ".join(placement.ssh_agent), kind="prtemca"))
    return options + _idle(placement)


def _idle(placement: Placement) -> List[MpiOption]:
    """What serves hosts that share one machine's cores: a waiting rank gives its core to the rank that it waits for."""
    return [mca("mpi_yield_when_idle", "1")] if placement.shared_cores else []
