"""The table of types is complete, and no other module decides by a type's name."""

import ast
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from local.aws.deployment import ROOT
from totes.contracts import types
from totes.contracts.arrow import arrow_type, processed_type
from totes.contracts.declarations import Column
from totes.contracts.types import ROWS, Type
from totes.lake.texts import texts
from totes.postgres.binary_copy import WRITERS

PARAMETERS = {"varchar(n)": "varchar(7)", "numeric(p,s)": "numeric(10,2)", '"Name"': '"Mood"'}
WIDTHS = {"int2": 2, "int4": 4, "int8": 8, "float8": 8, "uuid": 16, "bool": 1, "date": 4, "time": 8}
WIDTHS |= {"timestamp": 8, "timestamptz": 8}


def declared(row: Type) -> str:
    return PARAMETERS.get(row.name, row.name)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row_has_all_that_others_ask_for(row: Type) -> None:
    found = types.find(declared(row))
    assert found is not None
    assert row.in_source or row.in_warehouse
    assert "{" not in found.catalogue_name
    if row.is_assigned or row.like_origin:
        return
    column = Column("c", declared(row), "")
    assert isinstance(arrow_type(column), pa.DataType)
    assert isinstance(processed_type(column), pa.DataType)
    assert found.glue_name
    assert found.duckdb_name
    assert found.spark_name
    assert "{" not in found.canonical_text("x")
    assert row.wire in {"text", *WRITERS}
    assert row.becomes or not row.in_source, "else it could not get into the warehouse"
    assert texts(pa.nulls(1, arrow_type(column)), found).to_pylist() == [None]


@pytest.mark.parametrize("row", [row for row in ROWS if row.in_warehouse and row.in_source], ids=lambda row: row.name)
def test_type_of_both_becomes_itself(row: Type) -> None:
    found = types.find(declared(row))
    assert found is not None
    assert found.can_become(found)
    assert types.in_catalogue(found.catalogue_name) == found


def test_conversions_name_types_of_the_warehouse() -> None:
    names = {row.name for row in ROWS if row.in_warehouse}
    for row in ROWS:
        assert {*row.becomes, *row.widens_to} <= names


@pytest.mark.parametrize(
    ("given", "made", "can"),
    [
        ("integer", "bigint", True),
        ("smallint", "integer", True),
        ("bigint", "integer", False),
        ("integer", "integer", False),
        ("numeric(10,2)", "numeric(12,2)", True),
        ("numeric(10,2)", "numeric(12,4)", True),
        ("numeric(10,2)", "numeric(11,4)", False),
        ("numeric(10,2)", "numeric(9,2)", False),
        ("numeric(10,2)", "numeric", True),
        ("numeric", "numeric(38,2)", False),
        ("integer", "numeric(12,0)", False),
        ("integer", "varchar", False),
        ("date", "timestamp", False),
    ],
)
def test_only_a_wider_type_of_its_kind_is_brought_forward(given: str, made: str, can: bool) -> None:
    narrow, wide = types.find(given), types.find(made)
    assert narrow
    assert wide
    assert narrow.can_widen_to(wide) == can


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("smallint", ["-32768", "32767"], ["32768", "-32769", "1.0", "", "٣"]),
        ("bigint", ["-9223372036854775808", "9223372036854775807"], ["9223372036854775808", "9" * 5000]),
        ("double precision", ["0", "-0.5", "100"], ["NaN", "1e400", ".5", ""]),
        ("uuid", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"], ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "x", ""]),
        ("timestamp", ["2024-01-01 00:00:00.000000"], ["2024-01-01", "2024-01-01 00:00:00", "infinity"]),
        ("timestamptz", ["2024-01-01 00:00:00.000000+00:00"], ["2024-01-01 00:00:00.000000", "now"]),
    ],
)
def test_default_is_a_value_to_all(kind: str, good: list[str], bad: list[str]) -> None:
    found = types.find(kind)
    assert found
    assert [found.refused_default(text) for text in good] == [None] * len(good)
    assert None not in [found.refused_default(text) for text in bad]
    for text in good:
        assert pa.scalar(text).cast(arrow_type(Column("c", kind, ""))).is_valid


def test_fixed_width_has_a_writer_of_that_width() -> None:
    for row in ROWS:
        if row.wire in WIDTHS and row.arrow:
            wire, contents = WRITERS[row.wire]
            rows, *parts = contents(pa.nulls(3, _written(row))).shape
            assert (rows, np.dtype((wire, tuple(parts))).itemsize) == (3, WIDTHS[row.wire])


def test_nobody_else_decides_by_a_types_name() -> None:
    """These names are no everyday words: a new one in a comparison belongs in the table."""
    names = {"timestamp(3)", "timestamptz", "serial", "varchar", "bigint", "smallint", "double precision", "numeric"}
    allowed = {
        "totes/contracts/types.py",
        # The name in PostgreSQL's binary format, and a column of the warehouse's own.
        "totes/postgres/binary_copy.py",
        "totes/lake/texts.py",
        "totes/warehouse/staging.py",
    }
    found = {
        f"{path.relative_to(ROOT)}: {node.value}"
        for folder in ("totes", "cli", "tools", "functions")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in allowed
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
    }
    assert found == set()


def test_table_is_read_without_arrow() -> None:
    assert "import pyarrow" not in Path(types.__file__).read_text(encoding="utf-8")


def _written(row: Type) -> pa.DataType:
    kind = arrow_type(Column("c", declared(row), ""))
    return pa.time64("us") if pa.types.is_time(kind) else kind
