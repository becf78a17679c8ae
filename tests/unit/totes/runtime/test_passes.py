import pytest

from totes.runtime.passes import batches_of, in_total, left_to

FIRST = {"first": 2, "last": 5, "batches": 4, "rows": {"fact_payment": 3, "dim_date": 1}, "more": True}
SECOND = {"first": 6, "last": 6, "batches": 1, "rows": {"fact_payment": 1, "fact_sales_order": 2}, "more": False}
NOTHING = {"first": None, "last": None, "batches": 0, "rows": {}, "more": False}


def test_first_pass_is_as_it_is() -> None:
    assert in_total("load", {"transform": SECOND}, FIRST) == FIRST


def test_passes_are_added_up() -> None:
    rows = {"fact_payment": 4, "dim_date": 1, "fact_sales_order": 2}
    assert in_total("load", {"load": FIRST}, SECOND) == {
        "first": 2,
        "last": 6,
        "batches": 5,
        "rows": rows,
        "more": False,
    }


@pytest.mark.parametrize(("first", "last", "words"), [(7, 7, "batch 7"), (7, 1009, "batches 7 to 1,009")])
def test_batches_are_named_in_words(first: int, last: int, words: str) -> None:
    assert batches_of({"first": first, "last": last}) == words


def test_empty_pass_keeps_the_counts() -> None:
    assert in_total("load", {"load": FIRST}, NOTHING) == FIRST | {"more": False}
    assert in_total("load", {"load": NOTHING}, FIRST) == FIRST


@pytest.mark.parametrize(
    ("landed", "processes", "loads", "left"),
    [(7, None, "a", "a"), (7, "a", None, "a"), (7, "a", "b", "b"), (7, None, None, None), (6, "a", "b", None)],
)
def test_rest_is_left_only_if_there_is_one(
    landed: int, processes: str | None, loads: str | None, left: str | None
) -> None:
    so_far = {"ingest": {"landed_through": landed}, "transform": {"catching_up": processes}}
    assert left_to(so_far, {"loaded_through": 6, "catching_up": loads}) == left


def test_load_after_nothing_new_may_leave_the_rest_too() -> None:
    loaded = {"loaded_through": 6, "catching_up": "a"}
    assert left_to({"ingest": {"landed_through": 7}}, loaded) == left_to({}, loaded) == "a"


def test_tables_keep_the_order_in_which_they_were_loaded() -> None:
    loaded = {f"table_{number}": number for number in range(20)}
    first = in_total("load", {}, {"first": 1, "last": 1, "batches": 1, "inserted": loaded})
    assert list(first["inserted"]) == list(loaded)
    more = in_total(
        "load", {"load": first}, {"first": 2, "last": 2, "batches": 1, "inserted": {"other": 1, "table_3": 1}}
    )
    assert list(more["inserted"]) == [*loaded, "other"]
