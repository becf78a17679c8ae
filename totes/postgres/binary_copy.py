"""Turns Arrow's rows into COPY's binary format, a column at a time.

PostgreSQL reads a million orders in this format in less than half of the time that it takes to parse CSV. Writing
either format takes the same time. https://www.postgresql.org/docs/current/sql-copy.html and the types' `…_recv`
functions in PostgreSQL define the layouts.
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
# This bounds the memory, however long the texts are.
_BYTES_AT_ONCE = 4 << 20
_NULL = -1
_EPOCH_DAYS = 10_957  # from 1970-01-01, Arrow's first day, to 2000-01-01, PostgreSQL's
_EPOCH_MICROSECONDS = _EPOCH_DAYS * 86_400_000_000
_FIRST_DAY = "1970-01-01"
_NO_UUID = str(UUID(int=0))
_NUMERIC_BASE, _NUMERIC_DIGITS = 10_000, 4
# Four numbers come before a numeric's digits: their count, the first one's weight, the sign and the scale.
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
        content: its values, or the parts of each value; for a text its bytes, padded to the longest text.
        wire: the type of a value or part in a row.
        lengths: how many bytes each value has, -1 for NULL; None if all values fill their places.
    """

    content: _Values
    wire: str
    lengths: _Int64 | None

    @property
    def place(self) -> np.dtype[Any]:
        """Returns the type of a value's place in a row, which is as wide as the widest value."""
        return np.dtype((self.wire, self.content.shape[1:]))


def blocks(rows: pa.RecordBatch, columns: Sequence[Column]) -> Iterator[bytearray]:
    """Yields whole rows, without header and trailer, in blocks of some MB. A longer row is its own block.

    Args:
        rows: their columns are in the order of `columns`, and can be cast to its types. A time of day may be text.
        columns: columns of a table of the warehouse.
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
        # Arrow can't parse a time of day, but it can parse a timestamp.
        values = pc.binary_join_element_wise(_FIRST_DAY, values, " ").cast(pa.timestamp("us"))
    return values.cast(pa.time64("us") if pa.types.is_time(kind) else kind)


def _widest(values: pa.Array) -> int:
    """Returns an upper bound of the bytes that the longest value and its length take."""
    if pa.types.is_string(values.type):
        return 4 + (pc.max(pc.binary_length(values)).as_py() or 0)
    return 4 + (16 if pa.types.is_decimal(values.type) else 8)


def _block(fields: Sequence[_Field]) -> bytearray:
    """Returns the bytes of some rows: lays out all rows at full width, then drops the padding."""
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
    """Returns the bytes that all rows share: the number of fields, and the lengths of values that fill their places."""
    row = np.zeros(1, layout)
    row["fields"] = len(fields)
    for number, field in enumerate(fields):
        row[_length(number)] = field.place.itemsize
    return bytearray(row)


def _there(fields: Sequence[_Field], layout: np.dtype[Any], rows: int) -> npt.NDArray[np.bool_]:
    """Returns a mask of the rows' bytes without padding: each value has as many bytes as its length says."""
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
        # Arrow may keep a text behind a NULL, and it must not be sent.
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
    """Returns each number's digits to the base of 10,000, as many as its type can have.

    The server drops zeros at either end.

    Args:
        unscaled: the numbers, in units of their last digit.
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
    """Returns decimals as integers, in units of their last digit. NULL becomes any number."""
    filled = pc.fill_null(values, 0)
    # Each value has 16 bytes. The first eight hold all of it if the type has few enough digits.
    halves = np.frombuffer(filled.buffers()[1], np.int64).reshape(-1, 2)[filled.offset : filled.offset + len(filled)]
    if values.type.precision + _NUMERIC_DIGITS <= _INT64_DIGITS:
        return halves[:, 0]
    return np.asarray(halves[:, 1].astype(object) * (1 << 64) + halves[:, 0].view(np.uint64).astype(object))


def _integers(values: pa.Array) -> _Values:
    """Returns numbers, with 0 for NULL."""
    return np.asarray(pc.fill_null(values, pa.scalar(0, values.type)) if values.null_count else values)


def _within(lengths: _Int64, width: int) -> npt.NDArray[np.bool_]:
    """Returns a mask of rows by `width` bytes, true for the bytes within each row's length."""
    return np.arange(width) < lengths[:, None]


_SMALLINT, _INTEGER, _BIGINT = ">i2", ">i4", ">i8"
# By the type's internal name: the type of a value, or of each of its parts, in a row, and the function that makes the
# values. Texts are not here, because their width varies.
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
