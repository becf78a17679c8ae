"""Rows that break their contract are quarantined, if their table says so, until they are right or gone."""

from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import Declares
from tests.support.loaded import on
from tests.support.pipeline import Pipeline, physical_rows
from totes.contracts import declarations
from totes.errors import ContractViolation

STAMP = "TIMESTAMP '2024-11-18 09:30:00.123'"
ORDER = (
    "INSERT INTO sales_order SELECT %s, created_at, last_updated, %s, staff_id, counterparty_id, units_sold, "
    "unit_price, currency_id, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id "
    "FROM sales_order WHERE sales_order_id = 1"
)
POISON = "UPDATE sales_order SET agreed_payment_date = 'soon' WHERE sales_order_id = %s"
CURE = "UPDATE sales_order SET agreed_payment_date = '2024-12-01' WHERE sales_order_id = %s"
DATE_OF = "SELECT agreed_payment_date::text FROM current_sales_order WHERE sales_order_id = %s"
OPEN = (
    "SELECT table_name, business_id, batch_id, reason FROM etl.quarantine WHERE released_batch_id IS NULL ORDER BY 1, 2"
)


def is_quiet(pipeline: Pipeline) -> bool:
    """Returns whether another run changes nothing."""
    objects, rows = pipeline.objects(), physical_rows(pipeline)
    landed, _, loaded = pipeline.run()
    return (landed.batch, loaded.batches, pipeline.objects(), physical_rows(pipeline)) == (None, 0, objects, rows)


def test_poison_row_holds_the_run_where_nothing_else_is_declared(seeded: Pipeline) -> None:
    seeded.totesys(POISON, 7)
    with pytest.raises(ContractViolation, match="sales_order 7: agreed_payment_date is 'soon', expected a date"):
        seeded.ingest()


def test_poison_row_is_set_aside_and_the_others_go_on(seeded: Pipeline, quarantined: Declares) -> None:
    quarantined("sales_order")
    before = seeded.star(DATE_OF, 7)
    seeded.totesys(POISON, 7)
    seeded.totesys(CURE, 8)
    landed, _, loaded = seeded.run()
    assert (landed.rows, landed.quarantined) == ({"sales_order": 1}, {"sales_order": 1})
    assert landed.warnings == ["sales_order has 1 row that is quarantined: see etl.quarantine"]
    assert loaded.inserted["fact_sales_order"] == 1
    # The version before stays current, and the reason is recorded.
    assert seeded.star(DATE_OF, 7) == before
    assert seeded.star(OPEN) == [
        ["sales_order", 7, 2, "sales_order 7: agreed_payment_date is 'soon', expected a date, YYYY-MM-DD"]
    ]
    ((row,),) = seeded.star("SELECT source_row FROM etl.quarantine")
    assert (row["sales_order_id"], row["agreed_payment_date"]) == ("7", "soon")
    assert is_quiet(seeded)
    assert seeded.ingest().quarantined == {"sales_order": 1}


def test_row_that_is_put_right_is_released(seeded: Pipeline, quarantined: Declares) -> None:
    quarantined("sales_order")
    seeded.totesys(POISON, 7)
    seeded.run()
    seeded.totesys(CURE, 7)
    landed, _, loaded = seeded.run()
    assert (landed.quarantined, loaded.inserted) == ({}, {"fact_sales_order": 1})
    assert seeded.star(DATE_OF, 7) == [["2024-12-01"]]
    assert seeded.star("SELECT batch_id, released_batch_id FROM etl.quarantine") == [[2, 3]]
    assert is_quiet(seeded)


def test_row_that_becomes_wrong_in_another_way_is_noted_anew(seeded: Pipeline, quarantined: Declares) -> None:
    quarantined("sales_order")
    seeded.totesys(POISON, 7)
    seeded.run()
    seeded.totesys("UPDATE sales_order SET agreed_payment_date = 'later' WHERE sales_order_id = 7")
    seeded.run()
    ((_, _, batch, reason),) = seeded.star(OPEN)
    assert batch == 3
    assert "'later'" in reason
    assert is_quiet(seeded)


def test_row_that_is_deleted_leaves_quarantine(seeded: Pipeline, quarantined: Declares) -> None:
    quarantined("sales_order")
    seeded.totesys(POISON, 55)
    seeded.totesys(ORDER, 80_001, 1)
    seeded.totesys(POISON, 80_001)
    seeded.run()
    seeded.totesys("DELETE FROM sales_order WHERE sales_order_id IN (55, 80001)")
    landed, _, loaded = seeded.run()
    # The warehouse never had the second order, so there is no tombstone for it.
    assert (landed.deleted, loaded.tombstones) == ({"sales_order": 1}, {"fact_sales_order": 1})
    assert seeded.star("SELECT business_id FROM etl.tombstone") == [[55]]
    assert (landed.quarantined, seeded.star(OPEN)) == ({}, [])
    assert is_quiet(seeded)


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ("UPDATE sales_order SET created_at = 'infinity' WHERE sales_order_id = 7", "created_at"),
        ("UPDATE sales_order SET created_at = '0044-03-15 BC' WHERE sales_order_id = 7", "created_at"),
        ("UPDATE sales_order SET unit_price = 'NaN' WHERE sales_order_id = 7", "unit_price"),
        ("ALTER TABLE sales_order ALTER units_sold DROP NOT NULL; UPDATE sales_order SET units_sold = NULL "
         "WHERE sales_order_id = 7", "units_sold"),
    ],
)  # fmt: skip
def test_value_that_no_type_holds_can_be_set_aside(
    seeded: Pipeline, quarantined: Declares, change: str, column: str
) -> None:
    quarantined("sales_order")
    for statement in change.split("; "):
        seeded.totesys(statement)
    seeded.totesys("UPDATE sales_order SET units_sold = 4242 WHERE sales_order_id IN (6, 8)")
    landed, _, loaded = seeded.run()
    assert (landed.quarantined, loaded.inserted["fact_sales_order"]) == ({"sales_order": 1}, 2)
    ((reason,),) = seeded.star("SELECT reason FROM etl.quarantine")
    assert reason.startswith(f"sales_order 7: {column} is ")


DESIGN = f"INSERT INTO design VALUES (90001, {STAMP}, 'Granite', '/srv', 'granite.json', %s)"
CURE_DESIGN = f"UPDATE design SET last_updated = {STAMP} WHERE design_id = 90001"


def test_row_that_refers_to_a_row_set_aside_goes_with_it(seeded: Pipeline, quarantined: Declares) -> None:
    quarantined("design", "sales_order")
    seeded.totesys(DESIGN, "infinity")
    seeded.totesys(ORDER, 80_001, 90_001)
    landed, _, _ = seeded.run()
    assert landed.quarantined == {"design": 1, "sales_order": 1}
    assert [row[3] for row in seeded.star(OPEN)][1] == (
        "sales_order 80001: design_id is '90001', expected a design that is not quarantined"
    )
    assert is_quiet(seeded)
    # The order does not change, but it is landed with its design.
    seeded.totesys(CURE_DESIGN)
    landed, _, loaded = seeded.run()
    assert (landed.rows, landed.quarantined) == ({"design": 1, "sales_order": 1}, {})
    assert loaded.inserted == {"dim_design": 1, "fact_sales_order": 1}
    assert is_quiet(seeded)


def test_row_that_may_not_be_set_aside_holds_the_run(seeded: Pipeline, quarantined: Declares) -> None:
    quarantined("design")
    seeded.totesys(DESIGN, "infinity")
    seeded.totesys(ORDER, 80_001, 90_001)
    with pytest.raises(
        ContractViolation, match=r"sales_order 80001: design_id is '90001', expected a design that is not"
    ):
        seeded.ingest()


def test_row_with_an_earlier_version_can_still_be_referred_to(seeded: Pipeline, quarantined: Declares) -> None:
    quarantined("design")
    seeded.totesys("UPDATE design SET last_updated = 'infinity' WHERE design_id = 7")
    seeded.totesys(ORDER, 80_001, 7)
    landed, _, loaded = seeded.run()
    assert (landed.quarantined, loaded.inserted) == ({"design": 1}, {"fact_sales_order": 1})


def test_parent_of_a_joined_dimension_takes_its_children_along(seeded: Pipeline, quarantined: Declares) -> None:
    quarantined("department", "staff")
    before = seeded.star("SELECT * FROM dim_staff ORDER BY 1")
    seeded.totesys(
        "UPDATE department SET department_name = 'Renamed', last_updated = 'infinity' WHERE department_id = 2"
    )
    landed, _, _ = seeded.run()
    (members,) = seeded.totesys("SELECT count(*) FROM staff WHERE department_id = 2")[0]
    assert landed.quarantined == {"department": 1, "staff": members}
    assert seeded.star("SELECT * FROM dim_staff ORDER BY 1") == before
    assert is_quiet(seeded)
    seeded.totesys(f"UPDATE department SET last_updated = {STAMP} WHERE department_id = 2")
    seeded.run()
    assert seeded.star("SELECT count(*) FROM dim_staff WHERE department_name = 'Renamed'") == [[members]]
    assert seeded.star(OPEN) == []


def test_rows_that_come_again_while_the_fence_stands_are_no_news(seeded: Pipeline, quarantined: Declares) -> None:
    quarantined("sales_order")
    with seeded.connection(seeded.source) as idler:
        idler.cursor().execute("SELECT pg_current_xact_id()")
        seeded.totesys(POISON, 7)
        seeded.totesys(CURE, 8)
        seeded.run()
        assert is_quiet(seeded)


def test_change_of_the_declaration_releases_what_it_allows(
    seeded: Pipeline, quarantined: Declares, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantined("payment_type")
    with monkeypatch.context() as patch:
        narrow = narrowed(declarations.source_tables()["payment_type"])
        declared = {**declarations.source_tables(), "payment_type": replace(narrow, quarantine=True)}
        for module in ("source.changes", "source.snapshot"):
            patch.setattr(f"totes.{module}.source_tables", lambda: declared)
        seeded.totesys("UPDATE payment_type SET last_updated = now() WHERE payment_type_id = 2")
        assert seeded.run()[0].quarantined == {"payment_type": 1}
    quarantined("payment_type")
    landed, _, _ = seeded.run()
    assert (landed.quarantined, landed.rows) == ({}, {"payment_type": 1})
    assert seeded.star(OPEN) == []


def narrowed(table: declarations.SourceTable) -> declarations.SourceTable:
    """Returns the payment types without the refund of a sale."""
    columns = [
        replace(column, values=tuple(value for value in column.values if value != "SALES_REFUND"))
        for column in table.columns
    ]
    return replace(table, columns=tuple(columns))


@on("seeded_totesys")
def test_table_that_is_itself_what_is_wrong_holds_the_run(
    seeded: Pipeline, quarantined: Declares, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantined("sales_order")
    monkeypatch.setattr("totes.source.extract.MOST", 10)
    seeded.totesys("UPDATE sales_order SET agreed_payment_date = 'soon' WHERE sales_order_id <= 11")
    with pytest.raises(ContractViolation, match="and 6 more"):
        seeded.ingest()


def test_replay_has_the_same_quarantine(seeded: Pipeline, quarantined: Declares) -> None:
    quarantined("sales_order")
    for order in (7, 8):
        seeded.totesys(POISON, order)
        seeded.run()
    seeded.totesys(CURE, 7)
    seeded.run()
    everything = "SELECT * FROM etl.quarantine ORDER BY business_id, batch_id"
    before: list[list[Any]] = seeded.star(everything)
    seeded.drop_warehouse()
    seeded.load()
    assert seeded.star(everything) == before
