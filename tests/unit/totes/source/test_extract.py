import contextlib
import errno
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.postgres.databases import READER
from tests.support.pipeline import Pipeline
from totes.contracts.declarations import MAX_BYTES, source_tables
from totes.errors import ContractViolation, SourceBusy
from totes.postgres import driver
from totes.postgres.connection import TOTESYS, connected
from totes.source import extract
from totes.source import snapshot as snapshots
from totes.source.extract import BLOCK_BYTES
from totes.source.quarantine import LONGEST_VALUE
from totes.source.snapshot import Snapshot, snapshot
from totes.source.windows import Count, Window, joined_tables

ALL = dict.fromkeys(source_tables(), Window(None))
DEPARTMENT, STAFF, DESIGN = (source_tables()[name] for name in ("department", "staff", "design"))
STAMPS = "'2024-11-15 14:40:10.188', '2024-11-15 14:40:10'"


@pytest.fixture
def staffed(pipeline: Pipeline) -> Pipeline:
    """Inserts two departments; one member of staff in the first, two in the second."""
    pipeline.totesys(
        f"INSERT INTO department VALUES (1, 'Sales', NULL, '', {STAMPS}), (2, 'Leds', 'Bath', 'O', {STAMPS})"
    )
    for number, department in ((1, 1), (2, 2), (3, 2)):
        pipeline.totesys(f"INSERT INTO staff VALUES ({number}, 'A', 'B', {department}, 'a@b', {STAMPS})")
    return pipeline


@contextlib.contextmanager
def taken(pipeline: Pipeline) -> Iterator[Snapshot]:
    credentials = pipeline.credentials(pipeline.source, READER)
    with connected(TOTESYS, credentials, "totes-test") as connection, snapshot(connection) as made:
        yield made


def fence(pipeline: Pipeline) -> int:
    with taken(pipeline) as made:
        return made.position.xmin


def test_position_names_cluster_and_database(staffed: Pipeline) -> None:
    with taken(staffed) as made:
        position = made.position
    ((system, timeline, oid),) = staffed.totesys(
        "SELECT (SELECT CAST(system_identifier AS text) FROM pg_control_system()), "
        "(SELECT timeline_id FROM pg_control_checkpoint()), "
        "(SELECT CAST(oid AS bigint) FROM pg_database WHERE datname = current_database())"
    )
    assert (position.system, position.timeline, position.database) == (system, timeline, oid)
    assert 3 <= position.xmin <= position.xmax


def test_reader_that_may_not_identify_the_cluster_goes_without(staffed: Pipeline) -> None:
    functions = (
        "pg_control_system(), pg_walfile_name(pg_lsn), pg_postmaster_start_time(), pg_current_wal_insert_lsn(), "
        "pg_current_wal_flush_lsn()"
    )
    staffed.totesys(f"REVOKE EXECUTE ON FUNCTION {functions} FROM PUBLIC")
    with taken(staffed) as made:
        position = made.position
    assert (position.system, position.timeline, position.started_at, position.lsn) == (None,) * 4
    assert made.flushed is None


def test_server_that_cannot_answer_goes_without_that_answer(staffed: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = replace(snapshots._WRITING["lsn"], sql="CAST(pg_last_wal_replay_lsn() - 1 / 0 AS text)")
    monkeypatch.setitem(snapshots._WRITING, "lsn", refusing)
    with taken(staffed) as made:
        position = made.position
        assert made.counts({"staff": Window(None)})["staff"].all == 3
    assert (position.lsn, position.timeline) == (None, 1)
    assert position.started_at is not None


def test_open_transaction_holds_the_fence(staffed: Pipeline) -> None:
    with staffed.connection(staffed.source) as writer:
        writer.cursor().execute("UPDATE staff SET first_name = 'C' WHERE staff_id = 1")
        before = fence(staffed)
        staffed.totesys("UPDATE department SET manager = 'x'")
        assert fence(staffed) == before
        writer.commit()
    assert fence(staffed) > before


def first_place(staffed: Pipeline) -> str:
    return str(staffed.totesys("SELECT CAST(min(ctid) AS text) FROM staff")[0][0])


def test_counts_tell_new_rows_from_all(staffed: Pipeline) -> None:
    at = Window(fence(staffed))
    staffed.totesys("UPDATE staff SET first_name = 'C' WHERE staff_id = 1")
    ((place,),) = staffed.totesys("SELECT CAST(ctid AS text) FROM staff WHERE staff_id = 1")
    with taken(staffed) as made:
        counts = made.counts({"staff": at, "department": at, "design": at})
        assert counts == {"staff": Count(3, place), "department": Count(2, None), "design": Count(0, None)}
        assert made.counts({"staff": Window(None)}) == {"staff": Count(3, first_place(staffed))}


def test_rows_are_read_from_the_first_new_one_on(staffed: Pipeline, tmp_path: Path) -> None:
    at = fence(staffed)
    # Fills the first page and continues in others.
    staffed.totesys(f"INSERT INTO staff SELECT n, 'A', 'B', 1, 'e', {STAMPS} FROM generate_series(4, 500) AS n")
    with taken(staffed) as made:
        windows = dict.fromkeys(source_tables(), Window(at))
        begin = made.counts(windows)["staff"].first_new
        read = extract.extract(made, STAFF, windows | {"staff": Window(at, begin=begin)}, tmp_path / "staff", {})
        assert read.keys.to_pylist() == list(range(4, 501))
        later = extract.extract(made, STAFF, windows | {"staff": Window(at, begin="(2,1)")}, tmp_path / "later", {})
        assert 4 < later.keys.to_pylist()[0] < later.keys.to_pylist()[-1] == 500


def test_snapshot_is_one_moment_of_all_tables(staffed: Pipeline, tmp_path: Path) -> None:
    place = first_place(staffed)
    with taken(staffed) as made:
        staffed.totesys(f"INSERT INTO design VALUES (1, '2024-11-15', 'n', 'l', 'f', {STAMPS.split(',')[0]})")
        staffed.totesys("DELETE FROM staff")
        assert made.counts({"staff": Window(None), "design": Window(None)}) == {
            "staff": Count(3, place),
            "design": Count(0, None),
        }
        assert extract.read_keys(made, STAFF, tmp_path).to_pylist() == [1, 2, 3]


def test_snapshot_cannot_write(staffed: Pipeline) -> None:
    staffed.totesys(f"GRANT ALL ON staff TO {READER}")
    credentials = staffed.credentials(staffed.source, READER)
    with (
        pytest.raises(SourceBusy, match="SQLSTATE 25006"),
        connected(TOTESYS, credentials, "totes-test") as connection,
        snapshot(connection),
    ):
        connection.execute("DELETE FROM staff")


def test_changed_parent_brings_its_children(staffed: Pipeline, tmp_path: Path) -> None:
    at = dict.fromkeys(source_tables(), Window(fence(staffed)))
    staffed.totesys("UPDATE department SET department_name = 'Leeds' WHERE department_id = 2")
    with taken(staffed) as made:
        assert sorted(extract.extract(made, STAFF, at, tmp_path / "staff", {}).keys.to_pylist()) == [2, 3]
        assert extract.extract(made, DEPARTMENT, at, tmp_path / "department", {}).keys.to_pylist() == [2]


def test_changed_child_brings_its_parent(staffed: Pipeline, tmp_path: Path) -> None:
    at = dict.fromkeys(source_tables(), Window(fence(staffed)))
    staffed.totesys("UPDATE staff SET first_name = 'C' WHERE staff_id = 1")
    with taken(staffed) as made:
        assert extract.extract(made, DEPARTMENT, at, tmp_path / "department", {}).keys.to_pylist() == [1]
        assert extract.extract(made, STAFF, at, tmp_path / "staff", {}).keys.to_pylist() == [1]


def test_joins_are_known_in_both_directions() -> None:
    assert {table: set(others) for table, others in joined_tables().items()} == {
        "staff": {"department"},
        "department": {"staff"},
        "counterparty": {"address"},
        "address": {"counterparty"},
    }


def test_rows_are_typed_as_declared(staffed: Pipeline, tmp_path: Path) -> None:
    with taken(staffed) as made:
        extract.extract(made, DEPARTMENT, ALL, tmp_path / "department", {})
    rows = pq.read_table(tmp_path / "department").to_pylist()
    assert [(row["department_id"], row["location"], row["manager"]) for row in rows] == [
        (1, None, ""),
        (2, "Bath", "O"),
    ]
    assert str(rows[0]["created_at"]) == "2024-11-15 14:40:10.188000"
    assert str(rows[0]["last_updated"]) == "2024-11-15 14:40:10"


def test_empty_table_makes_a_file_with_its_schema(pipeline: Pipeline, tmp_path: Path) -> None:
    with taken(pipeline) as made:
        assert extract.extract(made, DESIGN, ALL, tmp_path / "design", {}).keys.to_pylist() == []
        assert extract.read_keys(made, DESIGN, tmp_path).to_pylist() == []
    assert pq.read_table(tmp_path / "design").column_names == [column.name for column in DESIGN.columns]


def insert_three_blocks(pipeline: Pipeline) -> int:
    """Fills two blocks with designs, and begins a third; returns how many there are."""
    megabyte = 1 << 20
    count = 2 * BLOCK_BYTES // megabyte + 3
    pipeline.totesys(
        "INSERT INTO design SELECT n, '2024-11-15', repeat('\"', %s), 'l', 'f', '2024-11-15' "
        "FROM generate_series(1, %s) AS n",
        megabyte // 2,
        count,
    )
    return count


def test_file_does_not_depend_on_how_its_rows_arrive(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise rows that are read again, because the fence can't move, would look like others and be landed again."""
    monkeypatch.setattr(extract, "BLOCK_BYTES", 50_000)
    pipeline.totesys(
        "INSERT INTO design SELECT n, '2024-11-15', repeat('d', n % 900), 'l', 'f', '2024-11-15' "
        "FROM generate_series(1, 3000) AS n"
    )
    files = []
    for arriving in (1 << 12, 1 << 13, 100_000, 1 << 18):
        monkeypatch.setattr(driver, "_BUFFER_BYTES", arriving)
        with taken(pipeline) as made:
            extract.extract(made, DESIGN, ALL, tmp_path / "design", {})
        files.append((tmp_path / "design").read_bytes())
    assert len(set(files)) == 1
    assert pq.ParquetFile(tmp_path / "design").num_row_groups > 10


@pytest.mark.parametrize("block", [1, 2, 3])
def test_block_that_can_not_be_written_ends_the_extraction(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """Another thread writes the blocks: a full disk must not go unnoticed there."""
    write, blocks = pq.ParquetWriter.write_table, itertools.count(1)

    def fills_the_disk(*arguments: Any) -> None:
        if next(blocks) == block:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(*arguments)

    insert_three_blocks(pipeline)
    monkeypatch.setattr(pq.ParquetWriter, "write_table", fills_the_disk)
    with pytest.raises(OSError, match="No space left"), taken(pipeline) as made:
        extract.extract(made, DESIGN, ALL, tmp_path / "design", {})


def test_table_beyond_one_block_is_read_whole(pipeline: Pipeline, tmp_path: Path) -> None:
    count = insert_three_blocks(pipeline)
    with taken(pipeline) as made:
        assert extract.extract(made, DESIGN, ALL, tmp_path / "design", {}).keys.to_pylist() == list(range(1, count + 1))
    rows = pq.ParquetFile(tmp_path / "design")
    assert (rows.metadata.num_rows, rows.metadata.num_row_groups) == (count, 3)


@pytest.fixture
def divided(pipeline: Pipeline) -> Pipeline:
    """Returns a pipeline with designs 1 and 6 in one partition, 11 and 16 in another."""
    for statement in (
        "ALTER TABLE design RENAME TO plain",
        "CREATE TABLE design (LIKE plain) PARTITION BY RANGE (design_id)",
        "CREATE TABLE design_low PARTITION OF design FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE design_high PARTITION OF design FOR VALUES FROM (10) TO (20)",
        f"INSERT INTO design SELECT n, {STAMPS[:25]}, 'n', 'l', 'f', {STAMPS[:25]} FROM generate_series(1, 16, 5) AS n",
    ):
        pipeline.totesys(statement)
    return pipeline


def test_keys_of_all_partitions_and_children_are_read(divided: Pipeline, tmp_path: Path) -> None:
    divided.totesys("CREATE TABLE department_more () INHERITS (department)")
    divided.totesys(f"INSERT INTO department_more VALUES (7, 'Sales', NULL, '', {STAMPS})")
    with taken(divided) as made:
        assert extract.read_keys(made, DESIGN, tmp_path).to_pylist() == [1, 6, 11, 16]
        assert extract.read_keys(made, DEPARTMENT, tmp_path).to_pylist() == [7]


def test_rows_of_a_relation_are_read_whatever_their_age(divided: Pipeline, tmp_path: Path) -> None:
    at = fence(divided)
    ((low,),) = divided.totesys("SELECT CAST(CAST('design_low' AS regclass) AS oid)")
    divided.totesys("UPDATE design SET file_name = 'g' WHERE design_id = 16")
    windows = dict.fromkeys(source_tables(), Window(at)) | {"design": Window(at, relations=(str(low),))}
    with taken(divided) as made:
        assert made.counts(windows)["design"] == Count(4, "(0,1)")
        assert sorted(extract.extract(made, DESIGN, windows, tmp_path / "design", {}).keys.to_pylist()) == [1, 6, 16]


def test_table_with_an_unlogged_partition_is_reported(divided: Pipeline) -> None:
    divided.totesys("ALTER TABLE design_high SET UNLOGGED")
    with taken(divided) as made:
        assert made.unlogged == ["design"]


def test_undeclared_column_is_told(staffed: Pipeline) -> None:
    staffed.totesys("ALTER TABLE staff ADD nickname text")
    with taken(staffed) as made:
        assert made.undeclared == {"staff": ["nickname"]}


def test_value_beyond_its_type_is_named(staffed: Pipeline, tmp_path: Path) -> None:
    staffed.totesys("UPDATE staff SET created_at = 'infinity' WHERE staff_id = 2")
    with (
        pytest.raises(
            ContractViolation, match=r"staff 2: created_at is 'infinity', expected a value of type timestamp"
        ),
        taken(staffed) as made,
    ):
        extract.extract(made, STAFF, ALL, tmp_path / "staff", {})


def test_row_is_read_again_whatever_its_age(staffed: Pipeline, tmp_path: Path) -> None:
    at = fence(staffed)
    windows = dict.fromkeys(source_tables(), Window(at)) | {"staff": Window(at, again=(3, 99))}
    ((place,),) = staffed.totesys("SELECT CAST(ctid AS text) FROM staff WHERE staff_id = 3")
    with taken(staffed) as made:
        assert made.counts(windows)["staff"] == Count(3, place)
        assert extract.extract(made, STAFF, windows, tmp_path / "staff", {}).keys.to_pylist() == [3]
        # The rows to which it is joined.
        assert extract.extract(made, DEPARTMENT, windows, tmp_path / "department", {}).keys.to_pylist() == [2]


def test_rows_stamped_with_a_time_to_come_are_counted(staffed: Pipeline, tmp_path: Path) -> None:
    staffed.totesys("UPDATE staff SET created_at = now() + interval '23 hours' WHERE staff_id = 1")
    staffed.totesys("UPDATE staff SET created_at = '2099-01-01', last_updated = '2099-01-01' WHERE staff_id = 2")
    with taken(staffed) as made:
        read = extract.extract(made, STAFF, ALL, tmp_path / "staff", {})
    assert (read.ahead, str(read.latest)) == (1, "2099-01-01 00:00:00")


def long_design(pipeline: Pipeline, size: int) -> None:
    pipeline.totesys(
        f"INSERT INTO design VALUES (7, {STAMPS[:25]}, repeat('x', %s), 'l', repeat('y', %s), {STAMPS[:25]})",
        size,
        size,
    )


@pytest.mark.parametrize("way", ["extract", "examine", "extract_range"])
def test_text_that_is_too_long_is_named_whichever_way_it_is_read(pipeline: Pipeline, tmp_path: Path, way: str) -> None:
    long_design(pipeline, MAX_BYTES + 1)
    arguments = {"extract": (ALL, tmp_path / "f", {}), "examine": ((7,), tmp_path / "f", {})}
    with (
        pytest.raises(
            ContractViolation,
            match="design 7: design_name is 8,000,001 bytes long, expected at most 8,000,000; "
            "design 7: file_name is 8,000,001 bytes long",
        ),
        taken(pipeline) as made,
    ):
        getattr(extract, way)(made, DESIGN, *arguments.get(way, ((None, None), None, tmp_path / "f")))


def test_longest_text_that_is_allowed_is_read(pipeline: Pipeline, tmp_path: Path) -> None:
    long_design(pipeline, MAX_BYTES)
    with taken(pipeline) as made:
        extract.extract(made, DESIGN, ALL, tmp_path / "design", {})
    (row,) = pq.read_table(tmp_path / "design").to_pylist()
    assert (row["design_name"], row["file_name"]) == ("x" * MAX_BYTES, "y" * MAX_BYTES)


def test_text_that_looks_like_the_stand_in_is_read(pipeline: Pipeline, tmp_path: Path) -> None:
    texts = ["\x01", "\x01" + "0" * 64 + "9", "a\x01"]
    for number, text in enumerate(texts):
        pipeline.totesys(f"INSERT INTO design VALUES ({number}, {STAMPS[:25]}, %s, '', '', {STAMPS[:25]})", text)
    with taken(pipeline) as made:
        extract.extract(made, DESIGN, ALL, tmp_path / "design", {})
    assert pq.read_table(tmp_path / "design").column("design_name").to_pylist() == texts


def test_row_that_is_too_long_is_set_aside_as_the_same_each_time(pipeline: Pipeline, tmp_path: Path) -> None:
    long_design(pipeline, MAX_BYTES + 1)
    pipeline.totesys(f"INSERT INTO design VALUES (8, {STAMPS[:25]}, 'n', 'l', 'f', {STAMPS[:25]})")
    may = replace(DESIGN, quarantine=True)
    with taken(pipeline) as made:
        read = extract.extract(made, may, ALL, tmp_path / "design", {})
        again = extract.examine(made, may, (7,), tmp_path / "again", {})
    assert pq.read_table(tmp_path / "design").column("design_id").to_pylist() == [8]
    assert again.quarantined == read.quarantined
    (row,) = read.quarantined
    assert json.loads(row.row) == {
        "design_id": "7",
        "created_at": "2024-11-15 14:40:10.188",
        "design_name": None,
        "file_location": "l",
        "file_name": None,
        "last_updated": "2024-11-15 14:40:10.188",
    }


def test_row_that_is_wrong_in_other_ways_too_is_set_aside_once(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.totesys("ALTER TABLE design ALTER file_name DROP NOT NULL")
    long_design(pipeline, MAX_BYTES + 1)
    pipeline.totesys("UPDATE design SET created_at = 'infinity', file_location = repeat('z', 5000), file_name = NULL")
    with taken(pipeline) as made:
        read = extract.extract(made, replace(DESIGN, quarantine=True), ALL, tmp_path / "design", {})
    (row,) = read.quarantined
    assert row.reason.startswith("design 7: created_at is 'infinity', expected")
    assert json.loads(row.row)["file_location"] == "z" * LONGEST_VALUE + "…"
    assert json.loads(row.row)["design_name"] is None


SHORT = st.text(st.sampled_from('a"\n\r,;\\\x01é€😀 '), max_size=6)
LONG = st.builds(str.__mul__, st.sampled_from(["a", '"', "\n", "€", '",\r\n"']), st.integers(300, 900))


@settings(deadline=None, max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(SHORT | LONG, st.none() | SHORT | LONG), min_size=1, max_size=12))
def test_texts_of_any_length_are_read_as_they_are(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str, str | None]]
) -> None:
    """Blocks have 1 KB: a row may fill one, be longer than one, or cross its end."""
    limit = 1_000
    department = replace(
        DEPARTMENT,
        quarantine=True,
        columns=tuple(replace(c, max_bytes=limit) if c.is_long_text else c for c in DEPARTMENT.columns),
    )
    monkeypatch.setattr(extract, "BLOCK_BYTES", 1_024)
    pipeline.totesys("TRUNCATE department CASCADE")
    with pipeline.connection(pipeline.source) as connection:
        for number, (name, location) in enumerate(rows):
            connection.cursor().execute(
                f"INSERT INTO department VALUES (%s, %s, %s, '', {STAMPS})", (number, name, location)
            )
        connection.commit()
    with taken(pipeline) as made:
        read = extract.extract(made, department, ALL, tmp_path / "department", {})
    found = pq.read_table(tmp_path / "department").to_pylist()
    allowed = {
        number: row for number, row in enumerate(rows) if all(len((text or "").encode()) <= limit for text in row)
    }
    assert {row["department_id"]: (row["department_name"], row["location"]) for row in found} == allowed
    assert {row.business_id for row in read.quarantined} == set(range(len(rows))) - allowed.keys()
