"""What the engines' lists of images mean; nothing is run here."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from hvdsm.errors import ConfigError, UsageError
from hvdsm.images.commands import BUILDAH, DOCKER
from hvdsm.images.names import ImageName, parse_name

_NONE = "<none>"
_UNITS = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4}


@dataclass(frozen=True)
class LocalImage:
    """An image of this machine: a name, its id, its size in bytes where it is told, and when it was made as it says."""

    name: str
    id: str
    size: Optional[int] = None
    created: str = ""

    def as_json(self) -> Dict[str, Any]:
        """For machines."""
        return {"where": "local", "image": self.name, "id": self.id, "bytes": self.size, "created": self.created}


def read_list(engine: str, text: str) -> List[LocalImage]:
    """The images of a list, a name each, those without a name left out.

    Args:
        engine: whose list it is.
        text: its output.

    Raises:
        ConfigError: it is no such list.
    """
    try:
        # docker writes an object on each line, the others a list; buildah writes null for none.
        lines = [line for line in text.splitlines() if line.strip()]
        entries = [json.loads(line) for line in lines] if engine == DOCKER else json.loads(text or "[]")
        # podman has an image with two names twice, with both names each time.
        return list(dict.fromkeys(image for entry in entries or () for image in _images(engine, entry)))
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"its list of images cannot be read ({error})", where=engine, remedy=f"{engine} images") from None


def _images(engine: str, entry: Mapping[str, Any]) -> List[LocalImage]:
    if engine == DOCKER:
        if _NONE in (entry.get("Repository"), entry.get("Tag")):
            return []
        name = f"{entry['Repository']}:{entry['Tag']}"
        return [LocalImage(name, _short(entry.get("ID")), bytes_of(entry.get("Size")), str(entry.get("CreatedAt") or ""))]
    lower = engine == BUILDAH
    names = entry.get("names" if lower else "Names") or ()
    size = bytes_of(entry.get("size" if lower else "Size"))
    created = str(entry.get("createdatraw" if lower else "CreatedAt") or "")
    return [LocalImage(str(name), _short(entry.get("id" if lower else "Id")), size, created) for name in names]


def _short(identity: Any) -> str:
    return str(identity or "").rpartition(":")[2][:12]


def bytes_of(size: Any) -> Optional[int]:
    """A size as the engines tell it; None where it is none.

    >>> bytes_of(216894537), bytes_of("217 MB"), bytes_of("1.5GB"), bytes_of("N/A")
    (216894537, 217000000, 1500000000, None)
    """
    if isinstance(size, int):
        return size
    found = re.fullmatch(r"([\d.]+)\s*([kKMGT]?B)", str(size or ""))
    return round(float(found[1]) * _UNITS[found[2].upper()]) if found else None


def chosen(images: List[LocalImage], name: Optional[ImageName]) -> List[LocalImage]:
    """Those images that have a name: of its repository, wherever its registry is, and of its tag where it has one."""
    if name is None:
        return images
    found = []
    for image in images:
        try:
            other = parse_name(image.name)
        except UsageError:
            # A name of the engine's own.
            continue
        if other.repository == name.repository and name.registry in ("", other.registry) and name.tag in ("", other.tag):
            found.append(image)
    return found


def told_bytes(size: Optional[int]) -> str:
    """A size for people.

    >>> told_bytes(216894537), told_bytes(None)
    ('217 MB', '-')
    """
    if size is None:
        return "-"
    for unit, factor in (("GB", 1000**3), ("MB", 1000**2), ("kB", 1000)):
        if size >= factor:
            number = size / factor
            return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"
    return f"{size} B"


__all__: Tuple[str, ...] = ("LocalImage", "bytes_of", "chosen", "read_list", "told_bytes")
