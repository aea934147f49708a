"""Features of nodes and edges on their way to the parts that own them."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from .partition_edges import Edges, Source, located
from .partition_errors import PartitionError
from .partition_exchange import Exchange
from .partition_files import Shape, shape_of
from .partition_metadata import Chunks, share
from .partition_nodes import Nodes
from .partition_store import Store

Array = NDArray[Any]
Kind = Tuple[Any, Tuple[int, ...]]
"""Type of a feature's numbers, and the shape of one row."""
Ids = Union[Nodes, Edges]


def sources_of(found: Sequence[Chunks], counts: Sequence[int], directory: str, exchange: Exchange) -> Dict[str, Source]:
    """Look into all files, each on the host that reads it.

    Args:
        found: files of things, the same on all hosts.
        counts: the rows that each thing must have.
        directory: what paths are relative to.
        exchange: the hosts.

    Returns:
        Their sources, by label.

    Raises:
        JobError: a file is missing or damaged, files of a feature do not fit together, or rows are too few or too many; on all
            hosts.
    """
    mine: Dict[Tuple[str, int], Shape] = {}
    with exchange.together():
        for chunks in found:
            for number in share(len(chunks.files), exchange.rank, exchange.size):
                mine[chunks.label, number] = shape_of(chunks, number, located(directory, chunks.files[number]))
    shapes: Dict[Tuple[str, int], Shape] = {}
    for shape in exchange.gather(mine):
        shapes.update(shape)
    sources = {}
    with exchange.together():
        for chunks, count in zip(found, counts):
            every = tuple(shapes[chunks.label, number] for number in range(len(chunks.files)))
            _check(chunks, every, count)
            sources[chunks.label] = Source(chunks, directory, _same_type(every))
    return sources


def _check(chunks: Chunks, shapes: Sequence[Shape], count: int) -> None:
    tails = sorted({shape.tail for shape in shapes if shape.rows})
    if len(tails) > 1:
        raise PartitionError(f"has files with rows of the shapes {tails}", where=chunks.label, remedy="write all files alike")
    rows = sum(shape.rows for shape in shapes)
    if rows != count:
        raise PartitionError(
            f"has {rows} rows in {len(shapes)} files, but the metadata tells of {count}",
            where=chunks.label,
            remedy="a file is missing or cut short, or row counts differ between files: GraphStorm's processing repairs them "
            "(gs-repartition), which writes updated_row_counts_metadata.json",
        )


def _same_type(shapes: Sequence[Shape]) -> Tuple[Shape, ...]:
    """The files as if all had one type of numbers; files without rows have none of their own."""
    full = [shape for shape in shapes if shape.rows] or shapes
    kind = np.result_type(*(np.dtype(shape.dtype) for shape in full)).str
    return tuple(Shape(shape.rows, kind, full[0].tail) for shape in shapes)


def check_edges(label: str, source: Source) -> None:
    """Check that files hold edges.

    Raises:
        PartitionError: not pairs of whole numbers.
    """
    shape = source.shapes[0]
    if not any(shape.rows for shape in source.shapes):
        return
    if shape.tail != (2,) or np.dtype(shape.dtype).kind not in "iu":
        raise PartitionError(
            f"has rows of the shape {shape.tail} and type {np.dtype(shape.dtype).name}",
            where=label,
            remedy="a row is an edge: two columns of whole numbers, source and destination",
        )


def kind_of(source: Source) -> Kind:
    """Type and row shape of a feature; truth values are stored as DGL does, in bytes."""
    dtype = np.dtype(source.shapes[0].dtype)
    return (np.dtype(np.uint8) if dtype.kind == "b" else _signed(dtype)), source.shapes[0].tail


def _signed(dtype: Any) -> Any:
    """A type that PyTorch and DGL have."""
    wider = {"u2": "i4", "u4": "i8", "u8": "i8"}
    return np.dtype(wider.get(dtype.str[1:], dtype.str[1:]))


def deliver_feature(name: str, source: Source, exchange: Exchange, ids: Ids, kind: int, store: Store) -> None:
    """Bring a feature's rows to the parts that own them.

    Args:
        name: for the store.
        source: the files.
        exchange: the hosts.
        ids: new IDs of what has the feature.
        kind: its type.
        store: what belongs to this host's parts.
    """
    dtype, tail = kind_of(source)
    width = int(dtype.itemsize * np.prod(tail, dtype=np.int64))
    table = ids.table(kind, exchange.rank)
    nothing = (0, np.empty((0, *tail), dtype=dtype))
    for batch in exchange.rounds(source.batches(exchange.rank, exchange.size, exchange.rows(2 * width + 32))):
        first, rows = nothing if batch is None else batch
        new = exchange.look_up(np.arange(first, first + len(rows)), ids.bounds[kind], table)
        dealt = exchange.deal(rows.astype(dtype, copy=False), new, ids.ranges.starts)
        with exchange.alone():
            for part, place, piece in dealt:
                store.write(part, name, place - ids.ranges.before(part, kind), piece)


def feature_names(data: Mapping[Tuple[int, str], Chunks], names: Sequence[str]) -> Dict[str, Tuple[int, Chunks]]:
    """Features as DGL names them, ``type/feature``, with the number of their type and their files."""
    return {f"{names[kind]}/{name}": (kind, chunks) for (kind, name), chunks in data.items()}
