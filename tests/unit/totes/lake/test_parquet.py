from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from totes.contracts.arrow import arrow_type, processed_type
from totes.contracts.declarations import Column, ContractInvalid, source_tables, warehouse_tables
from totes.lake.keys import Keys
from totes.lake.parquet import (
    batches,
    deleted_schema,
    keys_schema,
    landed_schema,
    parquet_writer,
    processed_schema,
    write_keys,
)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("integer", pa.int32()),
        ("boolean", pa.bool_()),
        ("text", pa.string()),
        ("varchar", pa.string()),
        ("varchar(3)", pa.string()),
        ('"PaymentTypeName"', pa.string()),
        ("date", pa.date32()),
        ("time", pa.time32("ms")),
        ("timestamp(3)", pa.timestamp("ms")),
        ("timestamp", pa.timestamp("us")),
        ("timestamptz", pa.timestamp("us", "UTC")),
        ("smallint", pa.int16()),
        ("bigint", pa.int64()),
        ("double precision", pa.float64()),
        ("uuid", pa.string()),
        ("numeric(10,2)", pa.decimal128(10, 2)),
    ],
)
def test_declared_type_has_its_arrow_type(declared: str, expected: pa.DataType) -> None:
    assert arrow_type(Column("c", declared, "")) == expected


@pytest.mark.parametrize("declared", ["integer", "text", "date", "timestamp(3)", "numeric(10,2)"])
def test_type_is_the_same_in_both_zones(declared: str) -> None:
    assert processed_type(Column("c", declared, "")) == arrow_type(Column("c", declared, ""))


def test_time_of_day_is_text_in_the_processed_zone() -> None:
    assert processed_type(Column("c", "time", "")) == pa.string()


def test_unbounded_money_is_as_wide_as_its_origin() -> None:
    amount = warehouse_tables()["fact_payment"].column("payment_amount")
    assert (amount.type, arrow_type(amount)) == ("numeric", pa.decimal128(10, 2))


@pytest.mark.parametrize("declared", ["real", "numeric", "jsonb"])
def test_unknown_type_is_named(declared: str) -> None:
    with pytest.raises(ContractInvalid, match=f"Column c has the type {declared}. Use one of"):
        arrow_type(Column("c", declared, ""))


def test_schemas_follow_the_declarations() -> None:
    transaction, fact = source_tables()["transaction"], warehouse_tables()["fact_sales_order"]
    assert landed_schema(transaction).field("sales_order_id") == pa.field("sales_order_id", pa.int32(), nullable=True)
    assert landed_schema(transaction).names == [column.name for column in transaction.columns]
    assert "sales_record_id" not in processed_schema(fact).names
    assert keys_schema(transaction) == pa.schema([pa.field("transaction_id", pa.int32(), nullable=False)])
    assert deleted_schema(fact) == pa.schema([pa.field("sales_order_id", pa.int32(), nullable=False)])


SCHEMA = pa.schema([pa.field("money", pa.decimal128(10, 2)), pa.field("name", pa.string(), nullable=False)])
ROWS = pa.table([[Decimal("-99999999.99"), None, Decimal("0.10")], ["", "NULL", "a\n\"b'"]], schema=SCHEMA)


def written(path: Path) -> Path:
    with parquet_writer(path, SCHEMA) as writer:
        writer.write(ROWS)
    return path


def test_rows_come_back_with_their_schema(tmp_path: Path) -> None:
    found = pa.Table.from_batches(batches(written(tmp_path / "rows")))
    assert found.schema == SCHEMA
    assert found == ROWS


def test_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    assert written(tmp_path / "one").read_bytes() == written(tmp_path / "two").read_bytes()


def test_large_file_is_read_in_pieces(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("id", pa.int32(), nullable=False)])
    write_keys(tmp_path / "keys", Keys(tmp_path, pa.int32(), range(300_000)), schema)
    pieces = list(batches(tmp_path / "keys"))
    assert max(piece.num_rows for piece in pieces) < 300_000
    assert pa.Table.from_batches(pieces).column("id").to_pylist() == list(range(300_000))


def test_consecutive_keys_take_next_to_no_room(tmp_path: Path) -> None:
    write_keys(tmp_path / "keys", Keys(tmp_path, pa.int32(), range(1_000_000)), keys_schema(source_tables()["payment"]))
    assert (tmp_path / "keys").stat().st_size < 100_000
    assert pq.ParquetFile(tmp_path / "keys").metadata.num_rows == 1_000_000


def test_keys_are_written_in_order(tmp_path: Path) -> None:
    schema = keys_schema(source_tables()["design"])
    write_keys(tmp_path / "keys", Keys(tmp_path, pa.int32(), [3, 1, 2]), schema)
    assert pq.read_table(tmp_path / "keys").column(0).to_pylist() == [1, 2, 3]


def test_piece_is_no_longer_than_what_a_writer_held(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("text", pa.string())])
    with parquet_writer(tmp_path / "long", schema) as writer:
        for number in range(3):
            writer.write(pa.table({"text": [str(number)] * 2}, schema=schema))
    assert [piece.column(0).to_pylist() for piece in batches(tmp_path / "long")] == [["0"] * 2, ["1"] * 2, ["2"] * 2]
