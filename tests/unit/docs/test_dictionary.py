import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import sqlalchemy

from docs import dictionary
from totes.contracts import SourceTable, WarehouseTable, source_tables, warehouse_tables

TABLES = {**source_tables(), **warehouse_tables()}
_WORD = re.compile(r"[a-z0-9]+")


@pytest.fixture(scope="module")
def entries() -> Mapping[str, str]:
    """The dictionary's text below each heading of the third level."""
    parts = re.split(r"^##+ (.*)\n", dictionary.dictionary(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_dictionary_says_what_the_contracts_say() -> None:
    found = dictionary.DICTIONARY.read_text(encoding="utf-8")
    assert found == dictionary.dictionary(), "docs/data-dictionary.md is stale: run `make docs` and commit it"


def test_check_passes_on_a_fresh_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dictionary, "DICTIONARY", tmp_path / "data-dictionary.md")
    with pytest.raises(SystemExit, match="make docs"):
        dictionary.main(["--check"])
    dictionary.main([])
    dictionary.main(["--check"])
    dictionary.DICTIONARY.write_text(dictionary.dictionary() + "More.", encoding="utf-8")
    with pytest.raises(SystemExit, match="make docs"):
        dictionary.main(["--check"])


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_column_has_an_entry(table: SourceTable | WarehouseTable, entries: Mapping[str, str]) -> None:
    for column in table.columns:
        row = next(line for line in entries[table.name].splitlines() if line.startswith(f"| `{column.name}` |"))
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


def test_every_relation_of_a_real_warehouse_has_an_entry(
    warehouse: sqlalchemy.Engine, entries: Mapping[str, str]
) -> None:
    with warehouse.connect() as connection:
        tables = connection.execute(
            sqlalchemy.text(
                "SELECT table_schema, table_name, column_name FROM information_schema.columns "
                "JOIN information_schema.tables USING (table_schema, table_name) "
                "WHERE table_schema IN ('public', 'etl') AND table_type = 'BASE TABLE'"
            )
        ).all()
        others = connection.scalars(
            sqlalchemy.text(
                "SELECT table_name FROM information_schema.views WHERE table_schema = 'public' UNION ALL "
                "SELECT format('%s(%s)', proname, pg_get_function_arguments(oid)) FROM pg_proc "
                "WHERE pronamespace = CAST('public' AS regnamespace)"
            )
        ).all()
    assert {schema for schema, _, _ in tables} == {"public", "etl"}
    for schema, table, column in tables:
        assert f"| `{column}` |" in entries[table if schema == "public" else f"{schema}.{table}"]
    assert len(others) == 4 * 3
    for other in others:
        assert f"`{other}`" in entries["Views and functions"]


def _meanings(table: SourceTable | WarehouseTable) -> Iterator[tuple[str, str]]:
    yield table.name, table.meaning
    for column in table.columns:
        yield f"{table.name}.{column.name}", column.meaning


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
