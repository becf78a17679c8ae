from collections.abc import Mapping
from dataclasses import replace

import pytest

from totes.contracts.declarations import source_tables
from totes.errors import DeletionsHeld
from totes.source.deletions import require_accepted

Gone = Mapping[str, tuple[int, int]]


def held(gone: Gone, same_source: bool = True, accepted: Mapping[str, int] | None = None) -> str:
    """Returns the error message of held deletions; empty if none are held."""
    try:
        require_accepted(gone, same_source, accepted or {})
    except DeletionsHeld as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "gone",
    [{}, {"payment": (1, 1)}, {"payment": (100, 100)}, {"payment": (1_000, 10_000), "design": (100, 317)}],
    ids=["none", "the only row", "all of 100", "10 % of 10,000, and 100 rows"],
)
def test_few_rows_or_a_small_share_may_be_gone(gone: Gone) -> None:
    assert not held(gone)


@pytest.mark.parametrize("gone", [(101, 317), (1_001, 10_000)], ids=["101 rows", "more than 10 %"])
def test_more_rows_than_that_are_held(gone: tuple[int, int]) -> None:
    assert held({"payment": gone})


@pytest.mark.parametrize(("rows", "of"), [(1, 10_000), (317, 317)])
def test_no_row_may_be_gone_from_another_source(rows: int, of: int) -> None:
    gone = {"payment": (rows, of)}
    assert "It is not the database or server of the last batch" in held(gone, same_source=False)
    assert not held(gone, same_source=False, accepted={"payment": rows})


@pytest.mark.parametrize(
    ("accepted", "is_held"),
    [({"payment": 317}, False), ({"payment": 400}, False), ({"payment": 316}, True), ({"design": 317}, True)],
)
def test_so_many_rows_of_that_table_are_accepted(accepted: dict[str, int], is_held: bool) -> None:
    assert bool(held({"payment": (317, 317)}, accepted=accepted)) is is_held


def test_all_tables_are_named_with_the_input_that_confirms_them() -> None:
    gone = {"payment": (15_736, 15_736), "design": (473, 600), "currency": (1, 3), "staff": (150, 200)}
    assert held(gone, accepted={"staff": 150}).startswith(
        "totesys no longer has 15,736 of 15,736 rows of payment, 473 of 600 rows of design. "
        "If they were removed on purpose, start an execution by "
        "`totes run --accept-deletions payment=15736 --accept-deletions design=473`: its input is "
        '{"accept_deletions": {"payment": 15736, "design": 473}}.'
    )


@pytest.mark.parametrize(
    ("share", "rows", "is_held"),
    [(1.0, 1_000, False), (0.5, 500, False), (0.5, 501, True), (0.0, 101, True), (0.0, 100, False)],
)
def test_table_declares_its_own_share(monkeypatch: pytest.MonkeyPatch, share: float, rows: int, is_held: bool) -> None:
    declared = source_tables() | {"payment": replace(source_tables()["payment"], max_deleted_share=share)}
    monkeypatch.setattr("totes.source.deletions.source_tables", lambda: declared)
    assert bool(held({"payment": (rows, 1_000)})) is is_held
