"""Rows of Arrow as COPY's binary format, made a column at a time.

PostgreSQL reads a million orders from it in less than half of the time that it takes to parse them as CSV, and to make
the one takes no longer than the other. The layouts are those of https://www.postgresql.org/docs/current/sql-copy.html
and of the types' `…_recv` functions in PostgreSQL.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from totes.contracts.arrow import arrow_type
from totes.contracts.declarations import Column, type_in_use

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
# Bounds the memory whatever the length of a text.
_BYTES_AT_ONCE = 4 << 20
_NULL = -1
_EPOCH_DAYS = 10_957  # from 1970-01-01, Arrow's first day, to 2000-01-01, PostgreSQL's
_EPOCH_MICROSECONDS = _EPOCH_DAYS * 86_400_000_000
_FIRST_DAY = "1970-01-01"
_NO_UUID = str(UUID(int=0))
_NUMERIC_BASE, _NUMERIC_DIGITS = 10_000, 4
_NEGATIVE = 0x4000
_INT64_DIGITS = 18
_TEXT = "text"

_Bytes = npt.NDArray[np.uint8]
_Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Field:
    """A column of some rows.

    Attributes:
        content: rows by bytes, as wide as the widest value.
        lengths: bytes of each value, -1 for NULL.
    """

    content: _Bytes
    lengths: _Int64

    @property
    def width(self) -> int:
        return int(self.content.shape[1])

    @property
    def is_full(self) -> bool:
        return bool((self.lengths == self.width).all())


def blocks(rows: pa.RecordBatch, columns: Sequence[Column]) -> Iterator[bytes]:
    """Whole rows, without header and trailer, in blocks of some MB; a longer row is a block of its own.

    Args:
        rows: in the order of `columns`, each of a type that can be cast to its column's. A time of day may be text.
        columns: of a table of the warehouse.
    """
    ready = [_cast(values, column) for values, column in zip(rows.columns, columns, strict=True)]
    yield from _blocks(ready, [type_in_use(column).wire for column in columns])


def _blocks(values: Sequence[pa.Array], wires: Sequence[str]) -> Iterator[bytes]:
    """Splits the rows in half until each part fits, so a long row is alone and the others stay together."""
    rows = len(values[0])
    if rows > 1 and rows * sum(map(_widest, values)) > _BYTES_AT_ONCE:
        yield from _blocks([column[: rows // 2] for column in values], wires)
        yield from _blocks([column[rows // 2 :] for column in values], wires)
    elif rows:
        yield _block([_field(*field) for field in zip(values, wires, strict=True)])


def _cast(values: pa.Array, column: Column) -> pa.Array:
    kind = arrow_type(column)
    if pa.types.is_time(kind) and pa.types.is_string(values.type):
        # Arrow reads no time of day, but a moment.
        values = pc.binary_join_element_wise(_FIRST_DAY, values, " ").cast(pa.timestamp("us"))
    return values.cast(pa.time64("us") if pa.types.is_time(kind) else kind)


def _widest(values: pa.Array) -> int:
    """Bytes of the longest value, or more, and of its length."""
    if pa.types.is_string(values.type):
        return 4 + (pc.max(pc.binary_length(values)).as_py() or 0)
    return 4 + (16 if pa.types.is_decimal(values.type) else 8)


def _block(fields: Sequence[_Field]) -> bytes:
    """A matrix of rows by bytes, of which only what is really there is sent."""
    matrix: _Bytes = np.empty((len(fields[0].lengths), 2 + sum(4 + field.width for field in fields)), np.uint8)
    matrix[:, :2] = _big_endian(np.array([len(fields)]), 2)
    end, holes = 2, []
    for field in fields:
        begin, end = end + 4, end + 4 + field.width
        matrix[:, begin - 4 : begin] = _big_endian(field.lengths, 4)
        matrix[:, begin:end] = field.content
        if not field.is_full:
            holes.append((begin, end, field))
    if not holes:
        return matrix.tobytes()
    there = np.ones(matrix.shape, bool)
    for begin, end, field in holes:
        there[:, begin:end] = _within(field.lengths, field.width)
    return matrix[there].tobytes()


def _field(values: pa.Array, wire: str) -> _Field:
    if wire == _TEXT:
        # Behind a NULL a text may lie that nobody is to see.
        texts = pc.fill_null(values, "")
        lengths = _integers(pc.binary_length(texts))
        content = _text(texts, lengths)
    else:
        content = WRITERS[wire](values)
        lengths = np.full(len(values), content.shape[1])
    return _Field(content, np.where(np.asarray(values.is_null()), _NULL, lengths))


def _text(values: pa.Array, lengths: _Int64) -> _Bytes:
    content: _Bytes = np.zeros((len(values), int(lengths.max(initial=0))), np.uint8)
    _, offsets, text = values.buffers()
    first, last = np.frombuffer(offsets, np.int32)[[values.offset, values.offset + len(values)]]
    content[_within(lengths, content.shape[1])] = np.frombuffer(text or b"", np.uint8)[first:last]
    return content


def _boolean(values: pa.Array) -> _Bytes:
    return _big_endian(_integers(values.cast(pa.int8())), 1)


def _integer(width: int) -> Callable[[pa.Array], _Bytes]:
    return lambda values: _big_endian(_integers(values), width)


def _double(values: pa.Array) -> _Bytes:
    numbers = np.asarray(pc.fill_null(values, 0.0))
    return numbers.astype(">f8").view(np.uint8).reshape(len(numbers), -1)


def _date(values: pa.Array) -> _Bytes:
    return _big_endian(_integers(values.cast(pa.int32())) - _EPOCH_DAYS, 4)


def _time(values: pa.Array) -> _Bytes:
    return _big_endian(_integers(values.cast(pa.int64())), 8)


def _timestamp(values: pa.Array) -> _Bytes:
    return _big_endian(_integers(values.cast(pa.int64())) - _EPOCH_MICROSECONDS, 8)


def _uuid(values: pa.Array) -> _Bytes:
    hexadecimal = pc.replace_substring(pc.fill_null(values, _NO_UUID), "-", "").to_pylist()
    return np.frombuffer(bytes.fromhex("".join(hexadecimal)), np.uint8).reshape(len(values), 16)


def _numeric(values: pa.Array) -> _Bytes:
    return _digits(_unscaled(values), values.type)


def _digits(unscaled: npt.NDArray[Any], kind: pa.Decimal128Type) -> _Bytes:
    """Numbers as as many digits to the base of 10,000 as the type can have; the server drops zeros at either end.

    Args:
        unscaled: in units of their last digit.
    """
    after = math.ceil(kind.scale / _NUMERIC_DIGITS)
    before = math.ceil((kind.precision - kind.scale) / _NUMERIC_DIGITS)
    digits = np.empty((len(unscaled), before + after), np.int64)
    rest = abs(unscaled) * 10 ** (after * _NUMERIC_DIGITS - kind.scale)
    for place in reversed(range(before + after)):
        digits[:, place] = rest % _NUMERIC_BASE
        rest = rest // _NUMERIC_BASE
    signs = np.where(unscaled < 0, _NEGATIVE, 0)
    heads = [np.full(len(unscaled), before + after), np.full(len(unscaled), before - 1), signs]
    heads.append(np.full(len(unscaled), kind.scale))
    return _big_endian(np.column_stack([*heads, digits]), 2)


def _unscaled(values: pa.Array) -> npt.NDArray[Any]:
    """Decimals as integers, in units of their last digit; NULL is any."""
    filled = pc.fill_null(values, 0)
    # Each value has 16 bytes, of which the first eight say all where that many digits fit.
    halves = np.frombuffer(filled.buffers()[1], np.int64).reshape(-1, 2)[filled.offset : filled.offset + len(filled)]
    if values.type.precision + _NUMERIC_DIGITS <= _INT64_DIGITS:
        return halves[:, 0]
    return np.asarray(halves[:, 1].astype(object) * (1 << 64) + halves[:, 0].view(np.uint64).astype(object))


def _integers(values: pa.Array) -> _Int64:
    """Numbers; NULL is 0."""
    return np.asarray(pc.fill_null(values, pa.scalar(0, values.type))).astype(np.int64)


def _big_endian(numbers: _Int64, width: int) -> _Bytes:
    """Each number as so many bytes."""
    return numbers.astype(f">i{width}").view(np.uint8).reshape(len(numbers), -1)


def _within(lengths: _Int64, width: int) -> npt.NDArray[np.bool_]:
    """Rows by bytes: which of `width` bytes there are."""
    return np.arange(width) < lengths[:, None]


# By the internal name of the type; each makes rows by bytes, of a width that its type has. A text's width varies.
WRITERS: Mapping[str, Callable[[pa.Array], _Bytes]] = {
    "bool": _boolean,
    "int2": _integer(2),
    "int4": _integer(4),
    "int8": _integer(8),
    "float8": _double,
    "uuid": _uuid,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "timestamptz": _timestamp,
    "numeric": _numeric,
}
