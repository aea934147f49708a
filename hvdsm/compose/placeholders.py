"""Placeholders in the texts of a job's plan: ``{host}``, ``{port:scheduler}``; which there are, and what they stand for.

``{{word}}`` is ``{word}`` itself.  Braces around anything that is no word, as in JSON or ``${HOME}``, are left alone.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Mapping, Match, NamedTuple, Optional, Sequence, Tuple

from hvdsm.compose.problems import suggestion
from hvdsm.errors import ConfigError

_PLACE = re.compile(r"\{\{([a-z_]+(?::[^{}]*)?)\}\}|\{([a-z_]+)(?::([^{}]*))?\}")
_PORT = re.compile(r"[A-Za-z][\w.-]*(?:\+(?:\d+|index))?")
# The same on every host, on one host, and for one process of a role.
SHARED = ("hosts", "host_count", "first", "addresses", "world_size", "job_name", "code", "python", "restart")
OF_HOST = ("host", "host_index", "processes")
OF_PROCESS = ("index", "count")
WITH_VALUE = ("port", "address")
# Below the ports that Linux gives to outgoing connections (32768 and above): only a listener can take one meanwhile.
FIRST_PORT, PORTS = 20000, 10000


class Place(NamedTuple):
    """A placeholder: its name, and what stands behind the colon; None without one."""

    name: str
    value: Optional[str]


@dataclass(frozen=True)
class Values:
    """What placeholders stand for on one host.

    Attributes:
        host: this host.
        host_index: its number among the hosts that run ranks, from 0.
        hosts: the hosts that run ranks, in their order; the first one runs mpirun.
        addresses: address of each host of the job.
        processes: ranks of each host.
        world_size: all ranks that the job asks for.
        ports: number of each named port.
        job_name: name of the job.
        code: directory of the source.
        python: the Python that runs hvdsm.
        restart: how often the ranks were started again.
        index: number of the process among those of its role on this host.
        count: how many these are.
    """

    host: str
    host_index: int
    hosts: Tuple[str, ...]
    addresses: Mapping[str, str] = field(default_factory=dict)
    processes: Mapping[str, int] = field(default_factory=dict)
    world_size: int = 1
    ports: Mapping[str, int] = field(default_factory=dict)
    job_name: str = ""
    code: str = ""
    python: str = "python3"
    restart: int = 0
    index: int = 0
    count: int = 1


def places(text: str) -> List[Place]:
    """The placeholders of a text, in their order."""
    return [Place(match[2], match[3]) for match in _PLACE.finditer(text) if match[2]]


def problem(place: Place, hosts: Sequence[str] = (), *, allowed: Sequence[str]) -> Optional[str]:
    """What is wrong with a placeholder; None when nothing is.

    Args:
        place: the placeholder.
        hosts: hosts of the job, where they are known.
        allowed: names that this text may have.
    """
    known = (*SHARED, *OF_HOST, *OF_PROCESS, *WITH_VALUE)
    shown = f"{{{place.name}}}" if place.value is None else f"{{{place.name}:{place.value}}}"
    if place.name not in known:
        return f"there is no placeholder {shown}{suggestion(place.name, known)}; {{{shown}}} stands for {shown} itself"
    if place.name not in allowed:
        return f"{shown} has no meaning here: it is another one on each host or for each process"
    if place.value is not None and place.name not in WITH_VALUE:
        return f"{{{place.name}}} takes no value, as {shown} has one"
    if place.name == "port":
        if not _PORT.fullmatch(place.value or ""):
            return f"{shown} must be {{port:NAME}}, NAME being a letter, then letters, digits, dots and dashes"
        if str(place.value).endswith("+index") and "index" not in allowed:
            return f"{shown} has no meaning here: only the processes of a role have an index"
    if place.name == "address":
        if place.value is None and "host" not in allowed:
            return "{address} has no meaning here: it is another one on each host; name the host, as in {address:first}"
        if hosts and place.value not in (None, "first", *hosts):
            return f"{shown} names no host of the job: {', '.join(hosts)}"
    return None


def port_names(texts: Iterable[Tuple[str, int]]) -> List[str]:
    """Names of all ports that texts ask for; each text comes with the number of processes that it is for."""
    found: Dict[str, None] = {}
    for text, count in texts:
        for place in places(text):
            if place.name == "port" and place.value:
                base, plus, index = place.value.partition("+")
                for number in range(count) if index == "index" else [index]:
                    found[f"{base}+{number}" if plus else base] = None
    return list(found)


def candidates(job_name: str, names: int) -> List[int]:
    """Ports that a job may use, the same on every host: more than its names, since some may be taken."""
    start = int(hashlib.sha256(job_name.encode("utf-8", "surrogateescape")).hexdigest()[:8], 16)
    return [FIRST_PORT + (start + offset) % PORTS for offset in range(4 * names + 16)] if names else []


def assign_ports(names: Sequence[str], free: Mapping[str, Sequence[int]], restart: int = 0) -> Dict[str, int]:
    """A port for each name that is free on every host; others after a restart, since the old ones may not be free at once.

    Args:
        names: names of the ports.
        free: what each host found free.
        restart: how often the ranks were started again.

    Raises:
        ConfigError: there are too few.
    """
    if not names:
        return {}
    first, *others = free.values()
    everywhere = [port for port in first if all(port in ports for ports in others)]
    if len(everywhere) < len(names):
        raise ConfigError(
            f"the plan names {len(names)} ports, and of those that the job may use only {len(everywhere)} are free on every host",
            where=", ".join(free),
            remedy="end what listens there, or give the job another name, which gives it other ports",
        )
    begin = restart * len(names)
    return {name: everywhere[(begin + number) % len(everywhere)] for number, name in enumerate(names)}


def expand(text: str, values: Values) -> str:
    """A text with its placeholders replaced.

    >>> expand('{host} {port:ps} {{host}} {"a": 1}', Values("algo-2", 1, ("algo-1", "algo-2"), ports={"ps": 20007}))
    'algo-2 20007 {host} {"a": 1}'

    Raises:
        ConfigError: one has no value on this host.
    """

    def replaced(match: Match[str]) -> str:
        return "{" + match[1] + "}" if match[1] else _value(Place(match[2], match[3]), values)

    return _PLACE.sub(replaced, text)


def _value(place: Place, values: Values) -> str:
    told = problem(place, tuple(values.addresses), allowed=(*SHARED, *OF_HOST, *OF_PROCESS, *WITH_VALUE))
    if told:
        raise ConfigError(told, where="the job's plan")
    if place.name == "port":
        return str(values.ports[str(place.value).replace("+index", f"+{values.index}")])
    if place.name == "address":
        host = values.hosts[0] if place.value == "first" else place.value or values.host
        return values.addresses.get(host, host)
    simple = {
        "host_count": len(values.hosts),
        "first": values.hosts[0],
        "hosts": ",".join(values.hosts),
        "addresses": ",".join(values.addresses.get(host, host) for host in values.hosts),
        "processes": values.processes.get(values.host, 1),
    }
    return str(simple[place.name] if place.name in simple else getattr(values, place.name))
