"""Reads the files of DGL's chunked format a batch of rows at a time, so that memory does not follow the size of a file."""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass
from typing import Any, Iterator, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from .partition_errors import PartitionError
from .partition_metadata import Chunks

Array = NDArray[Any]
# Bytes of CSV that are parsed at a time.
_BLOCK = 1 << 20
_NUMBERS = "biuf"
_WRITE = "write it as numpy (numpy.save) or parquet, with numbers only"


@dataclass(frozen=True)
class Shape:
    """What a file holds.

    Attributes:
        rows: number of rows; in a file without any, type and row shape mean nothing.
        dtype: type of its numbers, as NumPy spells it.
        tail: shape of one row.
    """

    rows: int
    dtype: str
    tail: Tuple[int, ...]


EMPTY = Shape(0, "<f4", ())


def shape_of(chunks: Chunks, number: int, path: str) -> Shape:
    """What a file holds, by its header where the format has one.

    Args:
        chunks: the files it is one of.
        number: its place among them.
        path: where it lies on this host.

    Raises:
        PartitionError: it is missing, damaged, or holds no numbers.
    """
    with _Trouble(chunks, path):
        if chunks.format == "numpy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            found = Shape(len(array), array.dtype.str, tuple(array.shape[1:]))
        elif chunks.format == "parquet":
            found = _parquet_shape(path)
        else:
            found = _csv_shape(chunks, number, path)
    if (found.rows and np.dtype(found.dtype).kind not in _NUMBERS) or np.dtype(found.dtype).itemsize > 8:
        raise PartitionError(f"holds {found.dtype}, which is no number", where=_where(chunks, path), remedy=_WRITE)
    told = chunks.row_counts[number] if chunks.row_counts else found.rows
    if told != found.rows:
        raise PartitionError(
            f"has {found.rows} rows, its metadata tells of {told}",
            where=_where(chunks, path),
            remedy="the file was cut short or belongs to another graph: write or copy it again",
        )
    return found


def batches(chunks: Chunks, path: str, shape: Shape, rows: int) -> Iterator[Array]:
    """The rows of a file, so many at a time.

    Args:
        chunks: the files it is one of.
        path: where it lies on this host.
        shape: what :func:`shape_of` found.
        rows: rows of a batch at most.

    Yields:
        Arrays of the file's type and row shape.

    Raises:
        PartitionError: the file is damaged, or its values are of another kind further down.
    """
    if not shape.rows:
        return
    done = 0
    with _Trouble(chunks, path):
        for array in _arrays(chunks, path, rows):
            for start in range(0, len(array), rows):
                piece = array[start : start + rows]
                done += len(piece)
                if done > shape.rows:
                    break
                yield np.ascontiguousarray(piece.reshape(len(piece), *shape.tail).astype(shape.dtype, copy=False))
    if done != shape.rows:
        raise PartitionError(
            f"has {'more than ' if done > shape.rows else ''}{min(done, shape.rows)} rows instead of {shape.rows}",
            where=_where(chunks, path),
            remedy="the file or the metadata's row_counts is wrong: write the graph again",
        )


def _arrays(chunks: Chunks, path: str, rows: int) -> Iterator[Array]:
    if chunks.format == "numpy":
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        for start in range(0, len(array), rows):
            yield np.array(array[start : start + rows])
    elif chunks.format == "parquet":
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=rows):
                yield _columns(batch)
    else:
        for batch in _csv(chunks, path):
            yield _columns(batch)


def _columns(batch: Any) -> Array:
    """The columns of a record batch beside each other; columns of lists of equal length count as many."""
    import pyarrow

    found = []
    for column in batch.columns:
        if column.null_count:
            raise PartitionError("has rows without a value")
        if pyarrow.types.is_fixed_size_list(column.type):
            found.append(column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size))
        elif pyarrow.types.is_list(column.type) or pyarrow.types.is_large_list(column.type):
            lengths = column.value_lengths().to_numpy(zero_copy_only=False)
            if len(lengths) and (lengths != lengths[0]).any():
                raise PartitionError("has lists of different lengths")
            found.append(
                column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), int(lengths[0]) if len(lengths) else 0)
            )
        else:
            found.append(column.to_numpy(zero_copy_only=False).reshape(len(column), 1))
    return found[0] if len(found) == 1 else np.concatenate(found, axis=1)


def _parquet_shape(path: str) -> Shape:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        rows = file.metadata.num_rows
        schema = file.schema_arrow
        first: Optional[Any] = next(file.iter_batches(batch_size=1), None)
    if first is None or not rows:
        return EMPTY
    sample = _columns(first)
    told = (schema.metadata or {}).get(b"shape")
    if told:
        tail = tuple(int(n) for n in ast.literal_eval(told.decode())[1:])
    else:
        tail = _tail(sample, len(first.columns) == 1 and not hasattr(first.columns[0].type, "value_type"))
    return Shape(rows, sample.dtype.str, tail)


def _tail(sample: Array, single: bool) -> Tuple[int, ...]:
    """Shape of a row: whole numbers that stand alone (labels, masks) are scalars, a single real number is a vector of one."""
    return () if single and sample.dtype.kind != "f" else tuple(sample.shape[1:])


def _csv_shape(chunks: Chunks, number: int, path: str) -> Shape:
    if not os.path.getsize(path):
        return EMPTY
    told = chunks.row_counts[number] if chunks.row_counts else None
    rows, first = 0, None
    for batch in _csv(chunks, path):
        first = batch if first is None else first
        rows += batch.num_rows
        if told is not None:
            break
    if first is None or not rows:
        return EMPTY
    sample = _columns(first.slice(0, 1))
    return Shape(rows if told is None else told, sample.dtype.str, _tail(sample, sample.shape[1] == 1))


def _csv(chunks: Chunks, path: str) -> Any:
    import pyarrow.csv

    return pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(autogenerate_column_names=True, block_size=_BLOCK, use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(delimiter=chunks.delimiter),
    )


def _where(chunks: Chunks, path: str) -> str:
    return f"{path} ({chunks.label})"


class _Trouble:
    """Names the file in what goes wrong while it is read."""

    def __init__(self, chunks: Chunks, path: str) -> None:
        self.where = _where(chunks, path)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, PartitionError) and error.where is None:
            raise PartitionError(error.what, where=self.where, remedy=_WRITE) from None
        if isinstance(error, FileNotFoundError):
            raise PartitionError(
                "there is no such file", where=self.where, remedy="check the paths in the metadata file"
            ) from None
        if isinstance(error, ImportError):
            raise PartitionError(f"pyarrow is not installed: {error}", where=self.where, remedy="pip install pyarrow") from None
        if isinstance(error, Exception) and not isinstance(error, (PartitionError, MemoryError)):
            text = " ".join(str(error).split())
            raise PartitionError(f"cannot be read: {text}", where=self.where, remedy=_WRITE) from error
