"""PostgreSQL reads the same values that Arrow holds."""

import itertools
import tracemalloc
from collections.abc import Iterable
from datetime import UTC, date, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from totes.contracts.arrow import arrow_type
from totes.contracts.declarations import Column, ContractInvalid, warehouse_tables
from totes.postgres import binary_copy
from totes.postgres.connection import quoted
from totes.postgres.copy import copy_in
from totes.postgres.driver import PipelineConnection

MAX = 2**31 - 1
NUMERICS = ("numeric(10,2)", "numeric(14,4)", "numeric(16,1)", "numeric(5,5)", "numeric(38,7)")
KINDS = (
    "smallint",
    "integer",
    "bigint",
    "boolean",
    "double precision",
    "uuid",
    "varchar",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    *NUMERICS,
)
COLUMNS = tuple(Column(kind, kind, "") for kind in KINDS)


def numerics(kind: str) -> st.SearchStrategy[Decimal]:
    """Returns all kinds of values that a numeric can hold, made from text: arithmetic would round beyond 28 digits."""
    precision, scale = map(int, kind.removeprefix("numeric(").removesuffix(")").split(","))
    most = 10**precision - 1
    return st.one_of(st.sampled_from([-most, -1, 0, 1, 9_999, 10_000, most]), st.integers(-most, most)).map(
        lambda unscaled: Decimal(f"{unscaled}e-{scale}")
    )


MOMENTS = st.datetimes(timezones=st.just(UTC))
VALUES = {
    "smallint": st.one_of(st.sampled_from([-(2**15), -1, 2**15 - 1]), st.integers(-(2**15), 2**15 - 1)),
    "bigint": st.one_of(st.sampled_from([-(2**63), 2**53 + 1, 2**63 - 1]), st.integers(-(2**63), 2**63 - 1)),
    # NaN is not equal to itself; -0 and 0 are.
    "double precision": st.floats(allow_nan=False),
    "uuid": st.one_of(st.just(UUID(int=0)), st.uuids()),
    "timestamp": MOMENTS.map(lambda moment: moment.replace(tzinfo=None)),
    "timestamptz": MOMENTS,
    "integer": st.one_of(st.sampled_from([-MAX - 1, -1, 0, 1, MAX]), st.integers(-MAX - 1, MAX)),
    "boolean": st.booleans(),
    "varchar": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
    "date": st.one_of(st.sampled_from([date(1, 1, 1), date(1999, 12, 31), date(9999, 12, 31)]), st.dates()),
    "time": st.times().map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)),
    **{kind: numerics(kind) for kind in NUMERICS},
}


def held(value: object) -> object:
    """Returns a value as the lake holds it: a UUID is a text."""
    return str(value) if isinstance(value, UUID) else value


def arrays(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    """Returns the rows after a first one, which is cut off: Arrow's buffers still hold it."""
    columns = [
        pa.array([*map(held, (values[-1], *values))], arrow_type(column))
        for column, values in zip(COLUMNS, zip(*rows, strict=True), strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=list(KINDS)).slice(1)


def copied(star: PipelineConnection, batches: Iterable[pa.RecordBatch], columns: tuple[Column, ...]) -> list[Any]:
    definitions = ", ".join(f"{quoted(column.name)} {column.type}" for column in columns)
    star.execute(f"CREATE TEMPORARY TABLE rows (number serial, {definitions}) ON COMMIT DROP")
    names = ", ".join(quoted(column.name) for column in columns)
    blocks = (block for batch in batches for block in binary_copy.blocks(batch, columns))
    copy_in(
        star,
        f"COPY rows ({names}) FROM STDIN (FORMAT binary)",
        itertools.chain([binary_copy.HEADER], blocks, [binary_copy.TRAILER]),
    )
    found = star.execute("SELECT * FROM rows ORDER BY number").all()
    star.rollback()
    return [tuple(row[1:]) for row in found]


@settings(deadline=None, max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(*(st.none() | VALUES[kind] for kind in KINDS)), min_size=1, max_size=20))
def test_every_value_of_every_type_is_read_as_it_was(star: PipelineConnection, rows: list[tuple[Any, ...]]) -> None:
    assert copied(star, [arrays(rows), arrays(rows)], COLUMNS) == [*rows, *rows]


def test_digits_behind_the_point_stay(star: PipelineConnection) -> None:
    """This is a numeric without bounds, which keeps its own digits."""
    column = warehouse_tables()["fact_payment"].column("payment_amount")
    assert column.type == "numeric"
    amounts = pa.RecordBatch.from_arrays([pa.array(["1.50", "0", None, "100"])], names=[column.name])
    assert [str(row[0]) for row in copied(star, [amounts], (column,))] == ["1.50", "0.00", "None", "100.00"]


def test_time_of_day_may_be_text(star: PipelineConnection) -> None:
    texts = ["00:00:00.000", "23:59:59.999", None, "14:20:52.186"]
    batch = pa.RecordBatch.from_arrays([pa.array(texts)], names=["time"])
    assert copied(star, [batch], (Column("time", "time", ""),)) == [
        (time(0),),
        (time(23, 59, 59, 999_000),),
        (None,),
        (time(14, 20, 52, 186_000),),
    ]


def test_what_lies_behind_a_null_is_not_sent(star: PipelineConnection) -> None:
    valid, offsets = pa.py_buffer(b"\x05"), pa.array([0, 1, 7, 8], pa.int32()).buffers()[1]
    texts = pa.Array.from_buffers(pa.string(), 3, [valid, offsets, pa.py_buffer(b"asecretb")])
    batch = pa.RecordBatch.from_arrays([texts], names=["text"])
    assert copied(star, [batch], (Column("text", "text", ""),)) == [("a",), (None,), ("b",)]


def test_long_text_is_sent_and_its_length_is_not_that_of_every_row(star: PipelineConnection) -> None:
    texts = ["x" * 500_000, *map(str, range(400)), "y" * 30_000, "", None]
    batch = pa.RecordBatch.from_arrays([pa.array(texts)], names=["text"])
    column = Column("text", "text", "")
    tracemalloc.start()
    try:
        list(binary_copy.blocks(batch, (column,)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000  # all rows as long as the longest would take 200 MB
    assert copied(star, [batch], (column,)) == [(text,) for text in texts]


def test_long_row_does_not_cut_those_around_it_into_blocks_of_one(star: PipelineConnection) -> None:
    texts = [*map(str, range(20_000)), "x" * 5_000_000, *map(str, range(20_000))]
    batch = pa.RecordBatch.from_arrays([pa.array(texts)], names=["text"])
    column = Column("text", "text", "")
    assert len(list(binary_copy.blocks(batch, (column,)))) < 40
    assert copied(star, [batch], (column,)) == [(text,) for text in texts]


def test_no_rows_are_no_blocks() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([], pa.string())], names=["text"])
    assert list(binary_copy.blocks(batch, (Column("text", "text", ""),))) == []


def test_type_that_only_its_origin_knows_is_refused() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(["0"])], names=["amount"])
    with pytest.raises(ContractInvalid, match="Column amount has the type numeric"):
        list(binary_copy.blocks(batch, (Column("amount", "numeric", ""),)))
