from dataclasses import replace

import pytest

from totes.contracts.declarations import MAX_BYTES, WarehouseTable, source_tables
from totes.postgres.driver import numbered
from totes.verify.reconcile.reconcile import comparable
from totes.verify.reconcile.sql import Side, columns_of, totesys_side, warehouse_side

TABLES = pytest.mark.parametrize("table", comparable().values(), ids=lambda table: table.name)
NEVER = dict.fromkeys(source_tables(), "false")


def sides(table: WarehouseTable, version: int = 1) -> tuple[Side, Side]:
    return totesys_side(table, version, NEVER), warehouse_side(table, version)


@TABLES
def test_both_sides_have_every_column(table: WarehouseTable) -> None:
    names = [column.name for column in table.data_columns]
    for side in sides(table):
        assert list(side.texts) == names


@TABLES
def test_every_value_is_bound(table: WarehouseTable) -> None:
    for side in sides(table):
        _, names = numbered(side.buckets())
        assert set(names) == side.bound.keys()
        assert None not in side.bound.values()


def test_default_and_currency_names_are_no_part_of_the_statement() -> None:
    staff, _ = sides(comparable()["dim_staff"])
    currency, _ = sides(comparable()["dim_currency"])
    assert staff.bound == {"default_location": "Unknown"}
    assert "Unknown" not in str(staff.values())
    assert '"GBP": "Pound Sterling"' in currency.bound["currency_names"]
    assert "Pound" not in str(currency.values())


def test_text_that_is_too_long_is_compared_by_its_length() -> None:
    totesys, warehouse = sides(comparable()["dim_design"])
    name = '"design"."file_name"'
    length = f"octet_length({name})"
    assert (
        totesys.texts["file_name"]
        == f"CAST(CASE WHEN {length} > {MAX_BYTES} THEN {length} || ' bytes' ELSE {name} END AS text)"
    )
    assert warehouse.texts["file_name"] == 'CAST("file_name" AS text)'


def test_every_table_but_the_calendar_is_compared() -> None:
    assert len(comparable()) == 10
    assert "dim_date" not in comparable()


def test_fact_is_read_through_its_current_versions() -> None:
    _, warehouse = sides(comparable()["fact_sales_order"])
    assert warehouse.rows == '"public"."current_sales_order"'


def test_joined_tables_make_a_row_new_as_well() -> None:
    table = comparable()["dim_staff"]
    side = totesys_side(table, 1, {"staff": "staff is new", "department": "department is new"})
    assert side.new == "coalesce(staff is new, false) OR coalesce(department is new, false)"


def test_measures_are_a_fact_s_numbers_that_are_no_ids() -> None:
    measures = {name: list(sides(table)[0].measures) for name, table in comparable().items()}
    assert {name: found for name, found in measures.items() if found} == {
        "fact_sales_order": ["units_sold", "unit_price"],
        "fact_purchase_order": ["item_quantity", "item_unit_price"],
        "fact_payment": ["payment_amount"],
    }
    for table in comparable().values():
        assert list(warehouse_side(table, 1).measures) == measures[table.name]


def test_column_that_the_warehouse_has_not_got_yet_is_left_out() -> None:
    design = comparable()["dim_design"]
    later = replace(design, columns=(*design.columns[:-1], replace(design.columns[-1], since=2)))
    assert [column.name for column in columns_of(later, 1)] == ["design_id", "design_name", "file_location"]
    assert all("file_name" not in side.texts for side in sides(later))
    assert all("file_name" in side.texts for side in sides(later, version=2))
