"""Rows of Arrow as COPY's binary format, made a column at a time.

PostgreSQL reads a million orders from it in less than half of the time that it takes to parse them as CSV, and to make
the one takes no longer than the other. The layouts are those of https://www.postgresql.org/docs/current/sql-copy.html
and of the types' `…_recv` functions in PostgreSQL.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
# How many numbers come before a numeric's digits: how many digits, the first one's weight, the sign and the scale.
_NUMERIC_HEAD = 4
_NEGATIVE = 0x4000
_INT64_DIGITS = 18
_TEXT = "text"

_Values = npt.NDArray[Any]
_Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Field:
    """A column of some rows.

    Attributes:
        content: its values, or the parts of each; of a text the bytes, as many as the longest has.
        wire: the type of a value or part in a row.
        lengths: bytes of each value, -1 for NULL; None if all fill their place.
    """

    content: _Values
    wire: str
    lengths: _Int64 | None

    @property
    def place(self) -> np.dtype[Any]:
        """Returns what a row keeps for a value: as much as the widest takes."""
        return np.dtype((self.wire, self.content.shape[1:]))


def blocks(rows: pa.RecordBatch, columns: Sequence[Column]) -> Iterator[bytearray]:
    """Whole rows, without header and trailer, in blocks of some MB; a longer row is a block of its own.

    Args:
        rows: in the order of `columns`, each of a type that can be cast to its column's. A time of day may be text.
        columns: of a table of the warehouse.
    """
    ready = [_cast(values, column) for values, column in zip(rows.columns, columns, strict=True)]
    yield from _blocks(ready, [type_in_use(column).wire for column in columns])


def _blocks(values: Sequence[pa.Array], wires: Sequence[str]) -> Iterator[bytearray]:
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


def _block(fields: Sequence[_Field]) -> bytearray:
    """Rows as wide as the widest, of which only what is really there is sent."""
    layout = _layout(fields)
    block = _empty_row(fields, layout) * len(fields[0].content)
    rows = np.frombuffer(block, layout)
    for number, field in enumerate(fields):
        rows[_value(number)] = field.content
        if field.lengths is not None:
            rows[_length(number)] = field.lengths
    if all(field.lengths is None for field in fields):
        return block
    return bytearray(rows.view(np.uint8)[_there(fields, layout, len(rows))])


def _layout(fields: Sequence[_Field]) -> np.dtype[Any]:
    """Returns a row's layout: how many fields it has, then the length and value of each."""
    layout: list[tuple[str, Any]] = [("fields", _SMALLINT)]
    for number, field in enumerate(fields):
        layout += [(_length(number), _INTEGER), (_value(number), field.place)]
    return np.dtype(layout)


def _empty_row(fields: Sequence[_Field], layout: np.dtype[Any]) -> bytearray:
    """Returns what all rows have in common: how many fields, and lengths that fill their places."""
    row = np.zeros(1, layout)
    row["fields"] = len(fields)
    for number, field in enumerate(fields):
        row[_length(number)] = field.place.itemsize
    return bytearray(row)


def _there(fields: Sequence[_Field], layout: np.dtype[Any], rows: int) -> npt.NDArray[np.bool_]:
    """Returns which of the rows' bytes are really there: of a value as many as its length says."""
    there = np.ones((rows, layout.itemsize), bool)
    end = np.dtype(_SMALLINT).itemsize
    for field in fields:
        begin = end + np.dtype(_INTEGER).itemsize
        end = begin + field.place.itemsize
        if field.lengths is not None:
            there[:, begin:end] = _within(field.lengths, end - begin)
    return there.ravel()


def _length(number: int) -> str:
    return f"length {number}"


def _value(number: int) -> str:
    return f"value {number}"


def _field(values: pa.Array, kind: str) -> _Field:
    if kind == _TEXT:
        # Behind a NULL a text may lie that nobody is to see.
        texts = pc.fill_null(values, "")
        lengths = _integers(pc.binary_length(texts))
        return _Field(_text(texts, lengths), "u1", _with_nulls(values, lengths))
    wire, contents = WRITERS[kind]
    field = _Field(contents(values), wire, None)
    return replace(field, lengths=_with_nulls(values, field.place.itemsize)) if values.null_count else field


def _with_nulls(values: pa.Array, lengths: int | _Int64) -> _Int64:
    return np.where(np.asarray(values.is_null()), _NULL, lengths)


def _text(values: pa.Array, lengths: _Int64) -> _Values:
    content = np.zeros((len(values), int(lengths.max(initial=0))), np.uint8)
    _, offsets, text = values.buffers()
    first, last = np.frombuffer(offsets, np.int32)[[values.offset, values.offset + len(values)]]
    content[_within(lengths, content.shape[1])] = np.frombuffer(text or b"", np.uint8)[first:last]
    return content


def _double(values: pa.Array) -> _Values:
    return np.asarray(pc.fill_null(values, 0.0))


def _date(values: pa.Array) -> _Values:
    return _integers(values.cast(pa.int32())) - _EPOCH_DAYS


def _time(values: pa.Array) -> _Values:
    return _integers(values.cast(pa.int64()))


def _timestamp(values: pa.Array) -> _Values:
    return _integers(values.cast(pa.int64())) - _EPOCH_MICROSECONDS


def _boolean(values: pa.Array) -> _Values:
    return _integers(values.cast(pa.int8()))


def _uuid(values: pa.Array) -> _Values:
    hexadecimal = pc.replace_substring(pc.fill_null(values, _NO_UUID), "-", "").to_pylist()
    return np.frombuffer(bytes.fromhex("".join(hexadecimal)), np.uint8).reshape(len(values), 16)


def _numeric(values: pa.Array) -> _Values:
    return _digits(_unscaled(values), values.type)


def _digits(unscaled: _Values, kind: pa.Decimal128Type) -> _Values:
    """Numbers as as many digits to the base of 10,000 as the type can have; the server drops zeros at either end.

    Args:
        unscaled: in units of their last digit.
    """
    after = math.ceil(kind.scale / _NUMERIC_DIGITS)
    before = math.ceil((kind.precision - kind.scale) / _NUMERIC_DIGITS)
    parts = np.empty((len(unscaled), _NUMERIC_HEAD + before + after), np.int16)
    parts[:, 0], parts[:, 1], parts[:, 3] = before + after, before - 1, kind.scale
    parts[:, 2] = np.where(unscaled < 0, _NEGATIVE, 0)
    rest = abs(unscaled) * 10 ** (after * _NUMERIC_DIGITS - kind.scale)
    for place in reversed(range(_NUMERIC_HEAD, parts.shape[1])):
        higher = rest // _NUMERIC_BASE
        parts[:, place] = rest - higher * _NUMERIC_BASE
        rest = higher
    return parts


def _unscaled(values: pa.Array) -> _Values:
    """Decimals as integers, in units of their last digit; NULL is any."""
    filled = pc.fill_null(values, 0)
    # Each value has 16 bytes, of which the first eight say all where that many digits fit.
    halves = np.frombuffer(filled.buffers()[1], np.int64).reshape(-1, 2)[filled.offset : filled.offset + len(filled)]
    if values.type.precision + _NUMERIC_DIGITS <= _INT64_DIGITS:
        return halves[:, 0]
    return np.asarray(halves[:, 1].astype(object) * (1 << 64) + halves[:, 0].view(np.uint64).astype(object))


def _integers(values: pa.Array) -> _Values:
    """Numbers; NULL is 0."""
    return np.asarray(pc.fill_null(values, pa.scalar(0, values.type)) if values.null_count else values)


def _within(lengths: _Int64, width: int) -> npt.NDArray[np.bool_]:
    """Rows by bytes: which of `width` bytes there are."""
    return np.arange(width) < lengths[:, None]


_SMALLINT, _INTEGER, _BIGINT = ">i2", ">i4", ">i8"
# By the internal name of the type: what a value is in a row, or each of its parts, and what makes the values. The width
# of a text varies.
WRITERS: Mapping[str, tuple[str, Callable[[pa.Array], _Values]]] = {
    "bool": ("i1", _boolean),
    "int2": (_SMALLINT, _integers),
    "int4": (_INTEGER, _integers),
    "int8": (_BIGINT, _integers),
    "float8": (">f8", _double),
    "uuid": ("u1", _uuid),
    "date": (_INTEGER, _date),
    "time": (_BIGINT, _time),
    "timestamp": (_BIGINT, _timestamp),
    "timestamptz": (_BIGINT, _timestamp),
    "numeric": (_SMALLINT, _numeric),
}
