from types import SimpleNamespace
from typing import Any

import pytest

from totes.postgres.rows import Rows


def rows_of(columns: list[str] | None, rows: list[list[Any]] | None, count: int = -1) -> Rows:
    described = columns and [{"name": name} for name in columns]
    return Rows(SimpleNamespace(columns=described, rows=rows, row_count=count))


def test_columns_are_attributes_and_places() -> None:
    (row,) = rows_of(["name", "all_rows"], [["staff", 3]])
    assert (row.name, row.all_rows) == ("staff", 3)
    name, count = row
    assert (name, count) == ("staff", 3)


def test_column_whose_name_is_no_attribute_has_its_place_and_its_name() -> None:
    rows = rows_of(["?column?", "class", "location apart", "twice", "twice"], [[1, 2, 3, 4, 5]])
    assert [*rows.one()] == [1, 2, 3, 4, 5]
    assert rows.mappings() == [{"?column?": 1, "class": 2, "location apart": 3, "twice": 5}]


@pytest.mark.parametrize("rows", [[], [["a"], ["b"]]], ids=["none", "two"])
def test_only_row_is_the_only_one(rows: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="values to unpack"):
        rows_of(["name"], rows).one()


def test_values_of_first_columns_are_had_without_rows() -> None:
    found = rows_of(["name", "number"], [["a", 1], ["b", 2]])
    assert (found.scalar(), found.scalars()) == ("a", ["a", "b"])


def test_no_row_is_none() -> None:
    none = rows_of(["name"], [])
    assert (none.scalar(), none.one_or_none(), none.all(), none.scalars(), none.mappings()) == (None, None, [], [], [])


def test_statement_without_rows_says_how_many_it_changed() -> None:
    deleted = rows_of(None, None, 7)
    assert (deleted.count, deleted.all(), deleted.columns) == (7, [], ())
