"""Brings what a replay needs from S3: the source and samples of channels, into a directory that stands for S3."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from hvdsm.backends.local.data import MANIFEST, SHARDED, split_s3
from hvdsm.backends.local.layout import decoded, hosts_of
from hvdsm.backends.local.manifest import manifest_entries
from hvdsm.backends.local.placing import link_or_copy
from hvdsm.backends.local.program import CODE, DRIVERS, is_shipped
from hvdsm.compose.request import SUBMIT_DIRECTORY
from hvdsm.errors import ConfigError
from hvdsm.jobs.base import Say
from hvdsm.jobs.sample import Taken, choose
from hvdsm.jobs.times import Sample

# Objects of a channel that are looked at, at most.
LISTED = 200_000
# Bytes of a manifest at most.
_MANIFEST = 64 << 20
_CHANNELS = "/opt/ml/input/data/"
_LONGEST_NAME = 255
Seen = Callable[[Iterable[Any]], Iterator[Any]]


@dataclass(frozen=True)
class Fetch:
    """Objects that come from S3.

    Attributes:
        title: what they are.
        uri: where they are.
        objects: bucket, key, size and ETag of each.
        taken: how many of how many.
        manifest: address and text of the manifest that names them; None where a prefix does.
        notes: what is to be said about them.
    """

    title: str
    uri: str
    objects: Tuple[Tuple[str, Any], ...]
    taken: Taken
    manifest: Optional[Tuple[str, str]] = None
    notes: Tuple[str, ...] = ()

    def __str__(self) -> str:
        """In words."""
        return f"{self.title}: {self.taken} from {self.uri}"


def plan_fetches(aws: Any, request: Mapping[str, Any], sample: Sample, whole: Sequence[str], seen: Seen) -> List[Fetch]:
    """What a request needs from S3; lists objects, and fetches manifests only.

    Args:
        aws: the connection.
        request: the request; what it has as ``file://`` is here already.
        sample: how much of a channel.
        whole: channels that are fetched whole, besides those that bring code.
        seen: is passed what is listed.

    Raises:
        ConfigError: something is not there, or S3 refuses.
        CloudUnavailable: S3 cannot be reached.
    """
    found: List[Fetch] = []
    values = request.get("HyperParameters") or {}
    place = decoded(values, SUBMIT_DIRECTORY)
    code = {CODE, DRIVERS}
    if isinstance(place, str) and place.startswith("s3://"):
        found.append(_source(aws, place))
    elif isinstance(place, str) and place.startswith(_CHANNELS):
        code.add(place[len(_CHANNELS) :].partition("/")[0])
    channels = request.get("InputDataConfig") or ()
    _check_names(whole, [channel["ChannelName"] for channel in channels])
    for channel in channels:
        name = channel["ChannelName"]
        source = (channel.get("DataSource") or {}).get("S3DataSource") or {}
        uri = str(source.get("S3Uri") or "")
        if is_shipped(request, name) or not uri.startswith("s3://"):
            continue
        limits = Sample() if name in code or name in whole else sample
        least = _least(request, source)
        if source.get("S3DataType", "S3Prefix") == MANIFEST:
            found.append(_by_manifest(aws, name, uri, limits, least))
        elif source.get("S3DataType", "S3Prefix") == "S3Prefix":
            found.append(_by_prefix(aws, name, uri, limits, least, seen))
        # Of any other kind the plan of the run says that it cannot be had, and what to do.
    return [_with_shared(fetch, found) for fetch in found]


def _with_shared(fetch: Fetch, others: Sequence[Fetch]) -> Fetch:
    """A prefix has what is fetched for other channels below it, too: all lies in one directory that stands for S3."""
    if fetch.manifest is not None or not fetch.title.startswith("channel "):
        return fetch
    bucket, prefix = split_s3(fetch.uri)
    every = {(where, entry.key): entry for other in others for where, entry in other.objects}
    below = [(key, every[where, key]) for where, key in sorted(every) if where == bucket and key.startswith(prefix)]
    if len(below) == len(fetch.objects):
        return fetch
    objects = tuple((bucket, entry) for _, entry in below)
    taken = replace(fetch.taken, objects=len(objects), size=sum(entry.size for _, entry in objects))
    note = f"{len(objects) - len(fetch.objects)} of its objects are there because another channel has them, too"
    return replace(fetch, objects=objects, taken=taken, notes=(*fetch.notes, note))


def _check_names(whole: Sequence[str], names: Sequence[str]) -> None:
    for name in whole:
        if name not in names:
            raise ConfigError(
                f"the job has no channel {name}", where="--whole", remedy=f"one of {', '.join(names)}" if names else None
            )


def _least(request: Mapping[str, Any], source: Mapping[str, Any]) -> int:
    """Objects that a channel needs at least: one for each host where they are divided."""
    if source.get("S3DataDistributionType") != SHARDED:
        return 1
    groups = source.get("InstanceGroupNames") or ()
    return max(1, sum(not groups or host.group in groups for host in hosts_of(request)))


def _source(aws: Any, uri: str) -> Fetch:
    from hvdsm.aws.storage import find_object, list_objects, split_uri

    bucket, _ = split_uri(uri)
    there = find_object(aws, uri)
    objects = [there] if there is not None else _files(list_objects(aws, uri.rstrip("/") + "/", LISTED))[0]
    if not objects:
        raise ConfigError(
            "the source of the job is not there any more",
            where=uri,
            remedy="rehearse the script that you have: hvdsm launch --source-dir DIR SCRIPT",
        )
    size = sum(entry.size for entry in objects)
    return Fetch("source", uri, tuple((bucket, entry) for entry in objects), Taken(len(objects), size, len(objects), size))


def _by_prefix(aws: Any, name: str, uri: str, limits: Sample, least: int, seen: Seen) -> Fetch:
    from hvdsm.aws.storage import list_objects, split_uri

    bucket, _ = split_uri(uri)
    listed = list(seen(list_objects(aws, uri, LISTED)))
    files, unnameable = _files(listed)
    if not files:
        raise ConfigError(
            f"there are no objects at {uri} any more",
            where=f"channel {name}",
            remedy=f"--channel {name}=PATH, with data of yours",
        )
    taken, note = choose(files, limits, least=least)
    notes = [note] if note else []
    if unnameable:
        notes.append(f"{len(unnameable)} objects left out whose keys no file can be named like, such as {unnameable[0]!r}")
    size, whole = sum(entry.size for entry in taken), sum(entry.size for entry in files)
    counts = Taken(len(taken), size, len(files), whole, len(listed) >= LISTED)
    return Fetch(f"channel {name}", uri, tuple((bucket, entry) for entry in taken), counts, notes=tuple(notes))


def _by_manifest(aws: Any, name: str, uri: str, limits: Sample, least: int) -> Fetch:
    from hvdsm.aws.storage import Object, find_object, read_bytes, split_uri

    where = f"channel {name}"
    text = read_bytes(aws, uri, _MANIFEST).decode("utf-8", "replace")
    entries = manifest_entries(text, where)
    addresses = {address: below for below, address in entries}
    # Sizes are asked for only of what is taken.
    taken, _ = choose([Object(address, 0, "") for address in addresses], Sample(limits.objects), least=least)
    sized: List[Any] = []
    for entry in taken:
        there = find_object(aws, entry.key)
        if there is None:
            raise ConfigError(f"{entry.key}, which {uri} names, is not there any more", where=where)
        sized.append(Object(entry.key, there.size, there.etag))
    taken, note = choose(sized, Sample(None, limits.size), least=least)
    objects = []
    for entry in taken:
        bucket, key = split_uri(entry.key)
        objects.append((bucket, Object(key, entry.size, entry.etag)))
    prefix = json.loads(text)[0]["prefix"]
    kept = {entry.key for entry in taken}
    names = [address[len(prefix) :] for address in addresses if address in kept]
    size = sum(entry.size for entry in taken)
    all_size = size if len(taken) == len(addresses) else sum(entry.size for entry in sized)
    counts = Taken(len(taken), size, len(addresses), all_size)
    notes = (note,) if note else ()
    return Fetch(where, uri, tuple(objects), counts, (uri, json.dumps([{"prefix": prefix}, *names])), notes)


def _files(entries: Iterable[Any]) -> Tuple[List[Any], List[str]]:
    """Objects that can be files beside each other, and the keys of those that cannot."""
    found, bad = [], []
    folders: Set[str] = set()
    for entry in entries:
        if entry.key.endswith("/") and not entry.size:
            continue
        parts = entry.key.split("/")
        if any(part in ("", ".", "..") or "\0" in part or len(part.encode("utf-8", "replace")) > _LONGEST_NAME for part in parts):
            bad.append(entry.key)
            continue
        folders.update("/".join(parts[:n]) for n in range(1, len(parts)))
        found.append(entry)
    bad += [entry.key for entry in found if entry.key in folders]
    return [entry for entry in found if entry.key not in folders], bad


def fetch_all(
    aws: Any,
    fetches: Sequence[Fetch],
    root: str,
    cache: str,
    *,
    begin: Callable[[int, int], None],
    progress: Callable[[int], None],
    say: Say,
) -> None:
    """Download what is not in the cache, and lay all out: ``s3://bucket/key`` is ``root/bucket/key``.

    Args:
        aws: the connection.
        fetches: what is wanted.
        root: the directory that is to stand for S3.
        cache: directory of objects that were downloaded before.
        begin: is told of files and bytes to download.
        progress: is told of bytes.
        say: is told of a wait for the network.

    Raises:
        ConfigError: an object is not there any more, S3 refuses, or a file cannot be written.
        CloudUnavailable: S3 cannot be reached.
    """
    from hvdsm.aws.storage import download_files, split_uri

    missing: Dict[str, Dict[str, Any]] = {}
    placed: Dict[str, str] = {}
    for fetch in fetches:
        for bucket, entry in fetch.objects:
            path = os.path.join(cache, _identity(aws, bucket, entry))
            placed[os.path.join(root, bucket, entry.key)] = path
            if not os.path.exists(path):
                missing.setdefault(bucket, {})[path] = entry
    if missing:
        every = [entry for paths in missing.values() for entry in paths.values()]
        begin(len(every), sum(entry.size for entry in every))
    os.makedirs(cache, mode=0o700, exist_ok=True)
    for bucket, paths in missing.items():
        wanted = [(entry, path) for path, entry in paths.items()]
        download_files(aws, bucket, wanted, progress=progress, say=say, compare=False)
    try:
        for target, path in placed.items():
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if not os.path.lexists(target):
                link_or_copy(path, target)
        for fetch in fetches:
            if fetch.manifest is not None:
                bucket, key = split_uri(fetch.manifest[0])
                target = os.path.join(root, bucket, key)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, "w", encoding="utf-8") as file:
                    file.write(fetch.manifest[1])
    except OSError as error:
        raise ConfigError(
            error.strerror or str(error), where=str(error.filename or root), remedy="--output DIR elsewhere"
        ) from None


def _identity(aws: Any, bucket: str, entry: Any) -> str:
    """Name of an object's content in the cache."""
    text = "\0".join((aws.endpoint or aws.region, bucket, entry.key, entry.etag, str(entry.size)))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
