from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.totes.source.test_decisions import BEFORE
from totes.contracts.declarations import source_tables
from totes.lake.bucket import Lake, StoredObject
from totes.lake.keys import Keys
from totes.lake.parquet import keys_schema, write_keys
from totes.lake.side_by_side import Downloads
from totes.source.batch_before import BatchBefore
from totes.source.quarantine import QuarantinedRow, write_quarantine

STAFF = source_tables()["staff"]
ROW = QuarantinedRow(7, "staff 7: first_name is NULL", "{}", known=True)


def batch_before(lake: Lake, folder: Path, **parts: StoredObject) -> BatchBefore:
    """Returns a batch that has these objects of staff."""
    return BatchBefore(replace(BEFORE, tables={"staff": parts}), Downloads(lake, folder), folder)


@pytest.fixture
def keys(lake: Lake, tmp_path: Path) -> StoredObject:
    """Returns a file of two keys, which was written when the key was a smallint."""
    path = tmp_path / "keys.parquet"
    write_keys(path, Keys(tmp_path, pa.int16(), [3, 5]), pa.schema([pa.field(STAFF.key, pa.int16(), nullable=False)]))
    return lake.add(path, "keys/staff", 2)


@pytest.fixture
def quarantine(lake: Lake, tmp_path: Path) -> StoredObject:
    path = tmp_path / "aside.parquet"
    return lake.add(path, "aside/staff", write_quarantine(path, STAFF, [ROW]))


def test_known_keys_have_todays_type(lake: Lake, tmp_path: Path, keys: StoredObject) -> None:
    before = batch_before(lake, tmp_path, keys=keys)
    known = before.keys(STAFF)
    assert (known.to_pylist(), known.kind) == ([3, 5], keys_schema(STAFF).types[0])


def test_quarantined_rows_are_read_by_key(lake: Lake, tmp_path: Path, quarantine: StoredObject) -> None:
    assert batch_before(lake, tmp_path, aside=quarantine).quarantine("staff") == {7: ROW}


def test_files_of_a_table_lie_side_by_side(
    lake: Lake, tmp_path: Path, keys: StoredObject, quarantine: StoredObject
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    before = batch_before(lake, folder, keys=keys, aside=quarantine)
    before.keys(STAFF)
    before.quarantine("staff")
    assert {path.name for path in folder.iterdir()} == {stored.key.replace("/", ".") for stored in (keys, quarantine)}


def test_quarantine_without_rows_is_not_fetched(lake: Lake, tmp_path: Path) -> None:
    nowhere = StoredObject("aside/staff/nowhere", 0, 10, "ab")
    assert batch_before(lake, tmp_path, aside=nowhere).quarantine("staff") == {}


@pytest.mark.parametrize("first", [True, False], ids=["no batch", "no such table"])
def test_table_may_be_new(lake: Lake, tmp_path: Path, first: bool) -> None:
    before = BatchBefore(None if first else replace(BEFORE, tables={}), Downloads(lake, tmp_path), tmp_path)
    assert before.stored("staff", "keys") is None
    assert before.keys(STAFF).to_pylist() == []
    assert before.quarantine("staff") == {}
