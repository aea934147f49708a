"""Finds a data set: its files below a directory, its archive there, or a download."""

from __future__ import annotations

import os
from typing import Callable, Iterator, List, Optional, Sequence

from gcmc import download
from gcmc.movielens import LAYOUTS, DataError, Layout, MovieLens, read

DEPTH = 3  # of directories below the one that is given: an archive unpacked into a directory of its name has two
MOST = 1000  # directories that are looked into


def below(place: str) -> Iterator[str]:
    """A directory and those in it, the nearest first; hidden ones and a Mac's doubles are not data."""
    level: List[str] = [place] if os.path.isdir(place) else []
    seen = 0
    for _ in range(DEPTH + 1):
        yield from level
        seen += len(level)
        if seen > MOST:
            return
        entries = (entry for directory in level if os.access(directory, os.R_OK | os.X_OK) for entry in os.scandir(directory))
        level = sorted(entry.path for entry in entries if entry.is_dir() and not entry.name.startswith((".", "__")))


def has(directory: str, names: Sequence[str]) -> bool:
    """Whether all files are there."""
    return all(os.path.isfile(os.path.join(directory, name)) for name in names)


def candidates(layout: Layout, place: str, fold: str) -> List[str]:
    """Directories with ratings of a data set; those that bear its name come first."""
    found = [directory for directory in below(place) if any(has(directory, [name]) for name in layout.ratings(fold))]
    # 1M and 10M have files of the same names, but nothing is known about 10M's users.
    if layout.users is None:
        found = [directory for directory in found if not has(directory, ["users.dat"])]
    named = (layout.name, layout.directory)
    return sorted(found, key=lambda directory: os.path.basename(os.path.abspath(directory)) not in named)


def locate(layout: Layout, places: Sequence[str], fold: str = "u1", features: bool = True) -> Optional[str]:
    """The first directory with all files that are needed."""
    for place in places:
        for directory in candidates(layout, place, fold):
            if has(directory, layout.files(fold, features)):
                return directory
    return None


def archive(layout: Layout, place: str) -> Optional[str]:
    """The archive of a data set: the path that is given, or one below it."""
    if os.path.isfile(place):
        return place
    names = (layout.archive, f"{layout.directory}.zip")
    paths = [os.path.join(directory, name) for directory in below(place) for name in names]
    return next(filter(os.path.isfile, paths), None)


def explain(layout: Layout, place: str, fold: str, features: bool) -> None:
    """Raise an error about files that are there, but are not what is needed."""
    others = [name for name, other in LAYOUTS.items() if other is not layout and locate(other, [place])]
    for directory in candidates(layout, place, fold):
        missing = [name for name in layout.files(fold, features) if not has(directory, [name])]
        remedy = "add it"
        if others:
            remedy += f", or say --data_name {others[0]} if it is that"
        elif features and has(directory, layout.files(fold, False)):
            remedy += ", or train without features by --use_one_hot_fea True"
        raise DataError(f"{directory}: {' and '.join(missing)} of {layout.name} is missing: {remedy}")
    if others:
        raise DataError(f"{place}: it has {' and '.join(others)}, not {layout.name}: say --data_name {others[0]}")


def provide(layout: Layout, place: str, own: str, fold: str, features: bool, url: Optional[str], digest: Optional[str]) -> None:
    """Unpack the archive that is given, or download one, into ``own``."""
    packed = archive(layout, place)
    if packed:
        found = download.md5(packed)
        if digest is None and found != layout.digest:
            print(f"{packed}: its MD5 is {found}, not that of GroupLens' {layout.archive}: taken as it is", flush=True)
        download.unpack(packed, own, digest or "", packed)
        return
    if os.path.abspath(place) != os.path.abspath(own):
        explain(layout, place, fold, features)
    try:
        download.fetch(layout, own, url, digest)
    except DataError as error:
        explain(layout, place, fold, features)
        names = ", ".join(layout.files(fold, features))
        what = f"neither {names} nor {layout.archive} is there" if os.path.isdir(place) else "no such directory"
        raise DataError(f"{place}: {what}, and there is no download: {error}") from None


def find_data(
    layout: Layout,
    place: str,
    own: str,
    *,
    fold: str = "u1",
    features: bool = True,
    url: Optional[str] = None,
    digest: Optional[str] = None,
    first_on_host: bool = True,
    wait: Callable[[], object] = lambda: None,
) -> MovieLens:
    """Read a data set; one process of each host unpacks or downloads it where it must be.

    Args:
        layout: of the data set.
        place: directory, or archive, that is given.
        own: directory for what gets unpacked.
        fold: of ml-100k.
        features: whether users and movies are read, too.
        url: of the archive (GroupLens').
        digest: MD5 of the archive; None for the published one, which an archive that is given need not have; empty for none.
        first_on_host: whether this process is the one.
        wait: for all processes; each calls it once.
    """
    problem: Optional[Exception] = None
    if first_on_host and locate(layout, [place, own], fold, features) is None:
        try:
            provide(layout, place, own, fold, features, url, digest)
        except (DataError, OSError) as error:
            problem = error
    wait()
    if problem:
        raise problem
    directory = locate(layout, [place, own], fold, features)
    if directory is None:
        names = ", ".join(layout.files(fold, features))
        raise DataError(f"{place} and {own}: not the files of {layout.name}: expected {names}, or {layout.archive}")
    return read(layout, directory, fold, features)
