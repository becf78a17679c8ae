import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import sqlalchemy

from tools.docs import dictionary
from totes.contracts.declarations import SourceTable, WarehouseTable, source_tables, warehouse_tables

TABLES = {**source_tables(), **warehouse_tables()}
_WORD = re.compile(r"[a-z0-9]+")


@pytest.fixture(scope="module")
def entries() -> Mapping[str, str]:
    """Returns the dictionary's text below each heading of the third level."""
    parts = re.split(r"^##+ (.*)\n", dictionary.files()[dictionary.DICTIONARY], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_column_has_an_entry(table: SourceTable | WarehouseTable, entries: Mapping[str, str]) -> None:
    for column in table.columns:
        row = _row(entries[table.name], column.name)
        assert column.meaning in row
        assert column.type in row
        assert (column.references or "") in row
        assert (column.origin or "") in row
        assert (column.default or "") in row
        assert ("nullable" in row) is column.nullable


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_meanings_are_sentences_that_say_more_than_the_name(table: SourceTable | WarehouseTable) -> None:
    for name, meaning in _meanings(table):
        assert meaning.endswith("."), f"the meaning of {name} ends without a full stop: {meaning!r}"
        assert _words(meaning) != _words(name.rpartition(".")[2]), f"the meaning of {name} repeats its name"


@pytest.mark.parametrize(("schema", "prefix"), [("public", ""), ("etl", "etl.")], ids=["stars", "log"])
def test_every_table_of_a_real_warehouse_has_an_entry(
    warehouse: sqlalchemy.Engine, entries: Mapping[str, str], schema: str, prefix: str
) -> None:
    inspector = sqlalchemy.inspect(warehouse)
    tables = inspector.get_table_names(schema)
    assert tables
    for table in tables:
        for column in inspector.get_columns(table, schema):
            row = _row(entries[prefix + table], column["name"])
            assert column["comment"], f"{schema}.{table}.{column['name']} has no COMMENT in schemas/warehouse"
            assert column["comment"] in row


def test_every_view_of_a_real_warehouse_has_an_entry(warehouse: sqlalchemy.Engine, entries: Mapping[str, str]) -> None:
    inspector = sqlalchemy.inspect(warehouse)
    described = entries["Views and functions"]
    views = inspector.get_view_names("public")
    with warehouse.connect() as connection:
        functions = connection.scalars(
            sqlalchemy.text(
                "SELECT format('%s(%s)', proname, array_to_string(proargnames, ', ')) FROM pg_proc "
                "WHERE pronamespace = CAST('public' AS regnamespace)"
            )
        ).all()
    assert (len(views), len(functions)) == (6, 6)
    for name in (*views, *functions):
        assert f"`{name}`" in described
    for column in inspector.get_columns("payment_history", "public"):
        assert f"| `{column['name']}` |" in described + entries["fact_payment"]


def test_declared_limit_is_in_the_column_s_row(schemas: Path) -> None:
    path = schemas / "source" / "staff.toml"
    declared = path.read_text(encoding="utf-8").replace("email_address = {", "email_address = { max_bytes = 9_000_000,")
    path.write_text(declared, encoding="utf-8")
    entry = dictionary.files()[dictionary.DICTIONARY].partition("### staff\n")[2].partition("###")[0]
    assert _row(entry, "email_address").endswith(" At most 9,000,000 bytes. |")


def _row(entry: str, column: str) -> str:
    rows = [line for line in entry.splitlines() if line.startswith(f"| `{column}` |")]
    assert len(rows) == 1, f"{column} has {len(rows)} rows"
    return rows[0]


def _meanings(table: SourceTable | WarehouseTable) -> Iterator[tuple[str, str]]:
    yield table.name, table.meaning
    for column in table.columns:
        yield f"{table.name}.{column.name}", column.meaning


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
