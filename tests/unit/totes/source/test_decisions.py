import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.unit.totes.source.test_validation import catalogue
from totes.contracts.declarations import source_columns, source_tables
from totes.errors import SourceBusy
from totes.lake.bucket import StoredObject
from totes.lake.keys import Keys
from totes.lake.manifest import Manifest
from totes.postgres.catalogue import structure_of
from totes.postgres.position import SourcePosition
from totes.source.decisions import (
    ASKED_FOR,
    RESTRUCTURED,
    UNEXPLAINED,
    UPGRADED,
    Scope,
    are_as_before,
    beginning,
    is_due,
    is_news,
    once_more,
    scope_of,
    window_of,
)
from totes.source.extract import Extracted
from totes.source.fence import FIRST_BATCH, MOVED
from totes.source.key_decisions import (
    Examined,
    KeyChange,
    examined,
    expected_keys,
    key_change,
    quarantine_after,
    tombstones,
    unavailable,
)
from totes.source.quarantine import QuarantinedRow
from totes.source.windows import Count, Window

TABLES = source_tables()
POSITION = SourcePosition("7437", 1, 16_384, xmin=1_000, xmax=1_010, fence=990)
BEFORE = Manifest(
    batch=1,
    snapshot_at=datetime(2026, 11, 29, tzinfo=UTC),
    execution="arn",
    made_at=datetime(2026, 11, 29, tzinfo=UTC),
    source=POSITION,
    columns=source_columns(),
    tables={"design": {"data": StoredObject("data/design", 2, 10, "ab")}},
    structure=structure_of(catalogue()),
)
NOTHING_IN_FULL = Scope(990, None, {}, dict.fromkeys(TABLES, ()))
WRONG = QuarantinedRow(7, "payment 7: paid is NULL", "{}", known=True)


def keys(*numbers: int) -> Keys:
    return Keys(Path(tempfile.gettempdir()), pa.int32(), numbers)


def scope(previous: Manifest | None = BEFORE, *asked_for: str, **changes: Any) -> Scope:
    return scope_of(TABLES, previous, replace(POSITION, **changes), catalogue(), asked_for)


# The choice of rows to read.


@pytest.mark.parametrize(
    ("previous", "full_read"),
    [
        (None, dict.fromkeys(TABLES, FIRST_BATCH)),
        (BEFORE, {}),
        (replace(BEFORE, structure=None), dict.fromkeys(TABLES, UPGRADED)),
        (
            replace(BEFORE, columns={**BEFORE.columns, "currency": ["currency_id"]}),
            {"currency": "newly declared: currency_code, created_at, last_updated"},
        ),
        (
            replace(BEFORE, columns={**BEFORE.columns, "design": [*BEFORE.columns["design"], "b", "a"]}),
            {"design": "no longer declared: a, b"},
        ),
        (
            replace(
                BEFORE,
                columns={name: BEFORE.columns[name] for name in TABLES if name != "design"},
                structure={
                    name: relations for name, relations in structure_of(catalogue()).items() if name != "design"
                },
            ),
            {"design": f"newly declared: {', '.join(BEFORE.columns['design'])}"},
        ),
        (replace(BEFORE, structure={**structure_of(catalogue()), "design": {}}), {"design": RESTRUCTURED}),
    ],
    ids=["first", "nothing", "upgraded", "new column", "column gone", "new table", "structure"],
)
def test_tables_are_read_in_full_for_a_reason(previous: Manifest | None, full_read: dict[str, str]) -> None:
    assert scope(previous).full_read == full_read


def test_table_that_is_asked_for_is_read_in_full_for_that_reason() -> None:
    previous = replace(BEFORE, structure=None)
    assert scope(BEFORE, "design") == replace(NOTHING_IN_FULL, full_read={"design": ASKED_FOR})
    assert scope(previous, "design").full_read == {**dict.fromkeys(TABLES, UPGRADED), "design": ASKED_FOR}


def test_request_for_everything_needs_no_fence() -> None:
    moved = scope(BEFORE, *TABLES, system="7438")
    assert (moved.unfenced, set(moved.full_read.values())) == (None, {ASKED_FOR})
    unfenced = scope(BEFORE, "design", system="7438")
    assert (unfenced.unfenced, unfenced.full_read) == (MOVED, dict.fromkeys(TABLES, MOVED))
    # Without an earlier batch there is no fence to read from.
    assert scope(None, *TABLES).full_read == dict.fromkeys(TABLES, FIRST_BATCH)


def test_relation_that_was_attached_is_read_beside_the_fence() -> None:
    attached = replace(catalogue()["payment"].relations[0], oid="7", name="payment_more")
    (relation,) = catalogue()["payment"].relations
    tables = catalogue() | {"payment": replace(catalogue()["payment"], relations=(relation, attached))}
    found = scope_of(TABLES, BEFORE, POSITION, tables, ())
    assert (found.full_read, found.relations["payment"]) == ({}, ("7",))
    assert window_of(found, "payment", (3,)) == Window(990, (3,), ("7",))
    assert window_of(found, "design", ()) == Window(990)


def test_window_of_a_full_read_takes_all() -> None:
    in_full = replace(NOTHING_IN_FULL, full_read={"design": ASKED_FOR}, relations={"design": ("7",)})
    assert window_of(in_full, "design", (3,)) == Window(None, (3,))


def test_windows_begin_at_the_first_row_that_they_take() -> None:
    windows = beginning({"design": Window(990, (3,)), "staff": Window(990)}, COUNTS)
    assert windows == {"design": Window(990, (3,), begin="(0,7)"), "staff": Window(990)}


COUNTS = {"design": Count(3, "(0,7)"), "staff": Count(2, None), "department": Count(1, None)}


@pytest.mark.parametrize(
    ("table", "partners", "due"),
    [
        ("design", [], True),
        ("staff", [], False),
        ("staff", ["department"], False),
        ("staff", ["department", "design"], True),
        ("department", [], True),
    ],
    ids=["own news", "none", "none of its partner", "of a partner", "read in full"],
)
def test_table_is_due_if_it_or_a_partner_has_news(table: str, partners: list[str], due: bool) -> None:
    read = replace(NOTHING_IN_FULL, full_read={"department": ASKED_FOR})
    assert is_due(table, partners, read, COUNTS) is due


def test_unexplained_table_is_read_in_full_once() -> None:
    second = once_more(replace(NOTHING_IN_FULL, full_read={"staff": ASKED_FOR}), "design")
    assert second.full_read == {"staff": ASKED_FOR, "design": UNEXPLAINED}
    # Each table gets an attempt of its own, even one that was read in full for another reason.
    third = once_more(second, "staff")
    assert third.full_read == {"staff": UNEXPLAINED, "design": UNEXPLAINED}
    with pytest.raises(SourceBusy, match=r"staff of totesys was altered .* Nothing to do unless .*partitions\.$"):
        once_more(third, "staff")


# The choice of rows to quarantine.


@pytest.mark.parametrize(
    ("found", "kept", "again"),
    [
        (Extracted(keys(7), [replace(WRONG, known=False)]), {7: WRONG}, ()),
        (Extracted(keys(7), []), {}, (7,)),
        (Extracted(keys(7), [replace(WRONG, reason="another")]), {}, (7,)),
        (Extracted(keys(), []), {}, ()),
    ],
    ids=["as it was", "right", "wrong in another way", "gone"],
)
def test_quarantined_row_stays_as_long_as_it_is_the_same(
    found: Extracted, kept: dict[int, QuarantinedRow], again: tuple[int, ...]
) -> None:
    assert examined({7: WRONG}, found) == Examined({7: WRONG}, kept, again)


def test_rows_to_read_again_are_in_order() -> None:
    before = {key: replace(WRONG, business_id=key) for key in (9, 8, 7)}
    assert examined(before, Extracted(keys(9, 7), [])).again == (7, 9)


@pytest.mark.parametrize(
    ("read", "after"),
    [
        (Extracted(keys(), []), {7: WRONG}),
        (Extracted(keys(8), []), {7: WRONG}),
        (Extracted(keys(7), []), {}),
        (
            Extracted(keys(7, 8), [replace(WRONG, reason="another", known=False)]),
            {7: replace(WRONG, reason="another")},
        ),
        (
            Extracted(keys(1, 8), [replace(WRONG, business_id=key, known=False) for key in (1, 8)]),
            {7: WRONG, 1: replace(WRONG, business_id=1), 8: replace(WRONG, business_id=8, known=False)},
        ),
    ],
    ids=["nothing read", "another read", "read as right", "read as wrong again", "landed before, and never landed"],
)
def test_quarantine_holds_what_was_kept_and_what_was_read_as_wrong(
    read: Extracted, after: dict[int, QuarantinedRow]
) -> None:
    assert quarantine_after(Examined({7: WRONG}, {7: WRONG}, ()), read, keys(1, 7)) == after


def test_row_of_quarantine_is_known_as_it_was_before() -> None:
    """In both cases, its key is among the known ones."""
    unheard = replace(WRONG, known=False)
    read = Extracted(keys(7), [replace(unheard, reason="another")])
    assert not quarantine_after(Examined({7: unheard}, {}, (7,)), read, keys(7))[7].known


@pytest.mark.parametrize(
    ("joined", "known", "refused"),
    [((), True, False), ((), False, True), (("design",), True, True), (("staff",), True, False)],
)
def test_row_may_not_refer_to_one_that_is_not_to_be_had(joined: tuple[str, ...], known: bool, refused: bool) -> None:
    quarantine = {"design": {7: replace(WRONG, known=known)}, "payment_type": {8: WRONG}}
    found = unavailable(TABLES["sales_order"], joined, quarantine)
    assert {column: array.to_pylist() for column, array in found.items()} == ({"design_id": [7]} if refused else {})


# The keys that came and went.


@pytest.mark.parametrize(
    ("known", "read", "rows", "same"),
    [(3, 0, 3, True), (None, 0, 0, False), (3, 1, 3, False), (3, 0, 2, False), (3, 0, 4, False), (0, 0, 0, True)],
)
def test_keys_are_as_before_if_none_was_read_and_none_is_missing(
    known: int | None, read: int, rows: int, same: bool
) -> None:
    assert are_as_before(known, read, rows) is same


KEY_SETS = some.sets(some.integers(1, 12))


@settings(deadline=None)
@given(known=KEY_SETS, deleted=KEY_SETS, inserted=KEY_SETS, updated=KEY_SETS, in_full=some.booleans())
def test_known_keys_with_what_came_and_without_what_went_are_live(
    known: set[int], deleted: set[int], inserted: set[int], updated: set[int], in_full: bool
) -> None:
    there = (known - deleted) | inserted
    read = there if in_full else (inserted | updated) & there
    change = compared(known, read, there, in_full=in_full)
    assert change is not None
    assert {*change.came.to_pylist()} == there - known
    assert {*change.gone.to_pylist()} == known - there
    assert {*change.live.to_pylist()} == there
    assert change.differ_from(len(known)) is (there != known)


@settings(deadline=None)
@given(known=KEY_SETS, missed=KEY_SETS, seen=KEY_SETS, in_full=some.booleans())
def test_what_is_explained_keeps_the_law_whatever_was_missed(
    known: set[int], missed: set[int], seen: set[int], in_full: bool
) -> None:
    there = missed | seen
    change = compared(known, seen, there, in_full=in_full)
    if change:
        came, gone = set(change.came.to_pylist()), set(change.gone.to_pylist())
        assert set(change.live.to_pylist()) == (known | came) - gone
        # If as many rows have gone as were missed, their number shows nothing.
        assert there == (known | came) - gone or len(there) == len(known | came)


def compared(known: set[int], read: set[int], there: set[int], *, in_full: bool) -> KeyChange | None:
    """Returns how keys have changed, given what was read of a table with the keys `there`."""
    known_keys, read_keys = keys(*known), keys(*read)
    came = read_keys.minus(known_keys)
    live = expected_keys(known_keys, came, read_keys, in_full=in_full)
    return key_change(known_keys, came, live if len(there) >= len(live) else keys(*there), len(there))


def test_full_read_shows_the_live_keys_itself() -> None:
    assert expected_keys(keys(1, 2), keys(3), keys(1, 3), in_full=True).to_pylist() == [1, 3]


@pytest.mark.parametrize(
    ("read", "there"),
    [({4}, {1, 2, 3, 4, 5}), (set(), {1, 2, 3, 4})],
    ids=["more than were read", "none was read"],
)
def test_rows_that_were_not_read_are_not_explained(read: set[int], there: set[int]) -> None:
    assert compared({1, 2, 3}, read, there, in_full=False) is None


def test_keys_of_an_index_that_lacks_some_explain_nothing() -> None:
    assert key_change(keys(1, 2, 3), keys(), keys(1), rows=2) is None


def test_first_keys_are_a_change_though_there_are_none() -> None:
    assert KeyChange(keys(), keys(), keys()).differ_from(None)


def test_row_that_was_never_landed_gets_no_tombstone() -> None:
    quarantine = {7: WRONG, 8: replace(WRONG, business_id=8, known=False)}
    assert tombstones(keys(6, 7, 8), quarantine).to_pylist() == [6, 7]


# Whether there is anything new.


def restructured() -> Scope:
    return replace(NOTHING_IN_FULL, relations={**NOTHING_IN_FULL.relations, "design": ("7",)})


@pytest.mark.parametrize(
    ("of", "data", "deleted", "quarantine_changed", "news"),
    [
        (NOTHING_IN_FULL, {}, False, False, False),
        (NOTHING_IN_FULL, {"design": "ab"}, False, False, False),
        (NOTHING_IN_FULL, {"design": "cd"}, False, False, True),
        (NOTHING_IN_FULL, {"staff": "ab"}, False, False, True),
        (NOTHING_IN_FULL, {}, True, False, True),
        (NOTHING_IN_FULL, {}, False, True, True),
        (replace(NOTHING_IN_FULL, unfenced=MOVED), {"design": "ab"}, False, False, True),
        (replace(NOTHING_IN_FULL, full_read={"design": ASKED_FOR}), {"design": "ab"}, False, False, True),
        (replace(NOTHING_IN_FULL, full_read={"design": UPGRADED}), {"design": "ab"}, False, False, True),
        (replace(NOTHING_IN_FULL, full_read={"design": UNEXPLAINED}), {"design": "ab"}, False, False, False),
        (restructured(), {}, False, False, True),
    ],
    ids=[
        "nothing",
        "the same rows again",
        "other rows",
        "rows of another table",
        "a deletion",
        "quarantine",
        "no fence",
        "asked for",
        "upgraded",
        "unexplained, and the same",
        "structure",
    ],
)
def test_batch_is_due_if_it_says_more_than_the_one_before(
    of: Scope, data: dict[str, str], deleted: bool, quarantine_changed: bool, news: bool
) -> None:
    assert is_news(of, BEFORE, data, deleted=deleted, quarantine_changed=quarantine_changed) is news


def test_first_batch_is_news_and_its_empty_files_say_nothing() -> None:
    assert is_news(NOTHING_IN_FULL, None, {}, deleted=False, quarantine_changed=False)
    empty = {"staff": {"data": StoredObject("data/staff", 0, 10, "ef")}}
    before = replace(BEFORE, tables={**BEFORE.tables, **empty})
    assert not is_news(NOTHING_IN_FULL, before, {"design": "ab"}, deleted=False, quarantine_changed=False)
