"""The circumstances of a run in words.  Pure."""

from __future__ import annotations

from typing import Optional

from hvdsm.bench.record import Bench


def moment(made: str) -> str:
    """A time of JSON as people read it."""
    return made.replace("T", " ").replace("Z", " UTC")


def plural(number: int, word: str) -> str:
    """A count of things."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def clipped(text: str, longest: int = 40) -> str:
    """A text that fits into a legend."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def mpi_text(bench: Bench) -> Optional[str]:
    """The MPI library and its version; None where it is not known."""
    mpi = bench.mpi
    if mpi is None:
        return None
    return f"{mpi.name} {mpi.version}{f', mpi4py {mpi.mpi4py}' if mpi.mpi4py else ''}"


def circumstances(bench: Bench) -> str:
    """What was measured, where and when, in a line."""
    hosts = f"{plural(len(bench.hosts), 'host')} of {bench.instance_type}"
    return f"{bench.label}, {hosts}, {moment(bench.made)}"


def shaping_text(bench: Bench) -> str:
    """How the network was shaped, in words."""
    shaping = bench.shaping
    if shaping is None:
        return "as it is"
    parts = [f"every host: {_shape(shaping.delay_ms, shaping.mbit)}"] if shaping.delay_ms > 0 or shaping.mbit > 0 else []
    parts += [f"{host}: {_shape(shape.delay_ms, shape.mbit)}{' more' if parts else ''}" for host, shape in shaping.hosts.items()]
    return "slowed on purpose; " + "; ".join(parts) if parts else "as it is"


def _shape(delay_ms: float, mbit: float) -> str:
    delay = f"{delay_ms:g} ms each way" if delay_ms > 0 else "no delay"
    return f"{delay}, {f'{mbit:g} Mbit/s' if mbit > 0 else 'no limit of rate'}"
