"""Turns values into the texts that PostgreSQL writes for them."""

from collections.abc import Callable, Mapping
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from totes.contracts.types import Type

# With more digits than this before the point, PostgreSQL writes a double precision with an exponent.
_LONGEST_FLOAT = 15
_ZEROS = r"\.?0+$"


def texts(values: pa.Array, row: Type) -> pa.Array:
    """Returns values as texts.

    Args:
        values: an array, chunked or not.
        row: the values' type in PostgreSQL.
    """
    return _WRITERS.get(row.wire, _plain)(values)


def _plain(values: pa.Array) -> pa.Array:
    return values.cast(pa.string())


def _without_zeros(values: pa.Array) -> pa.Array:
    """Returns times without trailing zeros in the fraction of a second. In the lake a time of day is already text."""
    return pc.replace_substring_regex(_plain(values), _ZEROS, "")


def _with_zone(values: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(_without_zeros(values.cast(pa.timestamp("us"))), "+00", "")


def _number(values: pa.Array) -> pa.Array:
    # Arrow would write a number below 0.000001 with an exponent.
    return pa.array((None if value is None else f"{value:f}" for value in values.to_pylist()), pa.string())


def _float(values: pa.Array) -> pa.Array:
    return pa.array((None if value is None else _float_text(value) for value in values.to_pylist()), pa.string())


def _float_text(value: float) -> str:
    """Returns the fewest digits that identify the number. It returns 0 for -0, which PostgreSQL treats as equal."""
    text = repr(value + 0.0).removesuffix(".0")
    if text in _NO_NUMBERS:
        return _NO_NUMBERS[text]
    _, digits, exponent = Decimal(text).as_tuple()
    if "e" in text or not isinstance(exponent, int) or len(digits) + exponent <= _LONGEST_FLOAT:
        return text
    return f"{Decimal(text).normalize():e}"


_NO_NUMBERS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
# By the internal name of the type.
_WRITERS: Mapping[str, Callable[[pa.Array], pa.Array]] = {
    "time": _without_zeros,
    "timestamp": _without_zeros,
    "timestamptz": _with_zone,
    "numeric": _number,
    "float8": _float,
}
