"""From what the job wrote, and what is known of it here, to the document; pure."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import dataclass, replace
from typing import Any, Dict, Iterable, List, Mapping, Optional

from hvdsm.bench.analysis import findings, summary
from hvdsm.bench.program.main import MARK
from hvdsm.bench.record import SCHEMA, Bench, NotMeasured, Shaping, from_json
from hvdsm.version import __version__

_PART = re.compile(rf"\b{MARK} (\d+)/(\d+) ([A-Za-z0-9+/=]+)\s*$")


@dataclass(frozen=True)
class Context:
    """What the job does not know of itself; the fields are those of :class:`hvdsm.bench.record.Bench`."""

    made: str
    job_name: str
    backend: str
    label: str
    instance_type: str
    region: Optional[str] = None
    placement: Optional[Mapping[str, Any]] = None
    shaping: Optional[Shaping] = None


def assemble(written: Mapping[str, Any], context: Context, where: str, ended: Optional[str] = None) -> Bench:
    """The document.

    Args:
        written: what the job wrote.
        context: what is known here.
        where: the file that it wrote, for errors.
        ended: how the job failed; None where it completed.  What was under way then is not measured for that reason.

    Raises:
        ConfigError: what it wrote is not what this version reads.
    """
    empty: Dict[str, Any] = {"latency_us": None, "bandwidth_mb_s": None, "bus_bandwidth_gb_s": {}}
    own: Dict[str, Any] = {
        "schema": SCHEMA,
        "hvdsm": __version__,
        "made": context.made,
        "job_name": context.job_name,
        "backend": context.backend,
        "label": context.label,
        "instance_type": context.instance_type,
        "region": context.region,
        "placement": context.placement,
        "findings": [],
        "summary": empty,
    }
    made = from_json({**written, **own}, where)
    phase = written.get("phase")
    if (
        ended is not None
        and phase
        and phase not in [*(one.engine for one in made.not_measured), *(one.engine for one in made.allreduce)]
    ):
        made = replace(made, not_measured=(*made.not_measured, NotMeasured(str(phase), ended)))
    return replace(made, shaping=context.shaping, findings=findings(made.pairs), summary=summary(made.pairs, made.allreduce))


class Parts:
    """Finds the parts of a job's results in its log."""

    def __init__(self) -> None:
        self._found: Dict[int, str] = {}
        self._last: Optional[Dict[str, Any]] = None

    def take(self, line: bytes) -> bool:
        """Whether a line has a part, which is kept."""
        found = _PART.search(line.decode("ascii", "replace"))
        if found is None:
            return False
        number, count = int(found[1]), int(found[2])
        if number == 1:
            self._found = {}
        self._found[number] = found[3]
        if len(self._found) == count:
            self._last = _together(self._found[place] for place in sorted(self._found)) or self._last
        return True

    @property
    def last(self) -> Optional[Dict[str, Any]]:
        """What was last written whole; None without any."""
        return self._last


def _together(parts: Iterable[str]) -> Optional[Dict[str, Any]]:
    try:
        found = json.loads(zlib.decompress(base64.b64decode("".join(parts), validate=True)))
    except (ValueError, zlib.error):
        return None
    return found if isinstance(found, dict) else None


def lines(bench: Bench) -> List[str]:
    """The result in a few lines."""
    from hvdsm.bench.analysis import rate_text, size_text, time_text
    from hvdsm.bench.words import plural

    found = [f"{len(bench.hosts)} hosts, {plural(len(bench.pairs), 'pair')}{_transport(bench)}"]
    for title, extremes, text in (
        ("latency, one way", bench.summary.latency_us, time_text),
        ("bandwidth", bench.summary.bandwidth_mb_s, rate_text),
    ):
        if extremes is not None and len(bench.pairs) == 1:
            found.append(f"{title}: {text(extremes.median)}")
        elif extremes is not None:
            best, worst = (f"{text(end.value)} ({' - '.join(end.pair)})" for end in (extremes.best, extremes.worst))
            found.append(f"{title}: median {text(extremes.median)}, best {best}, worst {worst}")
    for one in bench.allreduce:
        if one.points:
            last = one.points[-1]
            found.append(
                f"all-reduce by {one.engine} ({one.detail}), {size_text(last.bytes)}B: {time_text(last.time_us.median)}, "
                f"bus {rate_text(last.bus_bandwidth_gb_s * 1e3)}"
            )
    found += [f"not measured: {one.engine}: {one.why}" for one in bench.not_measured]
    found += [one.what for one in bench.findings]
    if not bench.findings:
        found.append("no host and no pair stands out" if len(bench.pairs) > 2 else "too few pairs to tell a slow host or link")
    return found


def _transport(bench: Bench) -> str:
    if bench.mpi is None:
        return ""
    over = f" over {bench.mpi.transport}" if bench.mpi.transport else ", transport not known"
    faces = {host.interface for host in bench.hosts}
    on = f" ({faces.pop()})" if len(faces) == 1 and None not in faces else ""
    return f", {bench.mpi.name} {bench.mpi.version}{over}{on}"
