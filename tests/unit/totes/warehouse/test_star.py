from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from totes.contracts.declarations import source_tables, warehouse_tables
from totes.errors import ContractViolation
from totes.lake.parquet import landed_schema, processed_schema
from totes.warehouse.star import calendar, joined, parts_to_join, shaped, years_of

STAMP = datetime(2024, 11, 15, 14, 40, 10, 188_000, tzinfo=UTC).replace(tzinfo=None)
DATES = warehouse_tables()["dim_date"]
ORDER = {
    "sales_order_id": 7,
    "created_at": STAMP,
    "last_updated": datetime(1, 1, 1),  # noqa: DTZ001  totesys' timestamps have no zone
    "design_id": 1,
    "staff_id": 2,
    "counterparty_id": 3,
    "units_sold": 2**31 - 1,
    "unit_price": Decimal("-99999999.99"),
    "currency_id": 4,
    "agreed_delivery_date": "9999-12-31",
    "agreed_payment_date": "2024-02-29",
    "agreed_delivery_location_id": 5,
}


def landed(table: str, *rows: dict[str, Any]) -> pa.Table:
    stamps = {"created_at": STAMP, "last_updated": STAMP}
    return pa.Table.from_pylist([stamps | row for row in rows], landed_schema(source_tables()[table]))


def staff(number: int, department: int) -> dict[str, Any]:
    return {"staff_id": number, "first_name": "A", "last_name": "B", "department_id": department, "email_address": ""}


def department(number: int, location: str | None) -> dict[str, Any]:
    return {"department_id": number, "department_name": f"D{number}", "location": location, "manager": None}


def test_order_becomes_a_fact() -> None:
    made = shaped(warehouse_tables()["fact_sales_order"], landed("sales_order", ORDER))
    assert made.schema == processed_schema(warehouse_tables()["fact_sales_order"])
    assert made.to_pylist() == [
        {
            "sales_order_id": 7,
            "created_date": date(2024, 11, 15),
            "created_time": "14:40:10.188",
            "last_updated_date": date(1, 1, 1),
            "last_updated_time": "00:00:00.000",
            "sales_staff_id": 2,
            "counterparty_id": 3,
            "units_sold": 2**31 - 1,
            "unit_price": Decimal("-99999999.99"),
            "currency_id": 4,
            "design_id": 1,
            "agreed_payment_date": date(2024, 2, 29),
            "agreed_delivery_date": date(9999, 12, 31),
            "agreed_delivery_location_id": 5,
        }
    ]


def test_null_id_stays_a_null_integer() -> None:
    rows = [
        {"transaction_id": 1, "transaction_type": "SALE", "sales_order_id": None, "purchase_order_id": 2**31 - 1},
        {"transaction_id": 2, "transaction_type": "SALE", "sales_order_id": 9, "purchase_order_id": None},
    ]
    made = shaped(warehouse_tables()["dim_transaction"], landed("transaction", *rows))
    assert made.schema.field("sales_order_id").type == pa.int32()
    assert made.to_pylist() == rows


def test_staff_bear_their_department() -> None:
    rows = {
        "staff": landed("staff", staff(1, 20), staff(2, 10), staff(3, 20)),
        "department": landed("department", department(10, "Bath"), department(20, None), department(30, "unused")),
    }
    table = warehouse_tables()["dim_staff"]
    made = shaped(table, joined(table, rows)).to_pylist()
    assert [(row["staff_id"], row["department_name"], row["location"]) for row in made] == [
        (1, "D20", "Unknown"),
        (2, "D10", "Bath"),
        (3, "D20", "Unknown"),
    ]


def test_counterparty_bears_its_legal_address() -> None:
    address = {"address_line_2": None, "district": None, "city": "C", "country": "K", "phone": "1"}
    rows = {
        "counterparty": landed(
            "counterparty",
            {"counterparty_id": 1, "counterparty_legal_name": "O'Keefe, Ltd", "legal_address_id": 8},
        ),
        "address": landed("address", address | {"address_id": 8, "address_line_1": "1 A St", "postal_code": "08841"}),
    }
    table = warehouse_tables()["dim_counterparty"]
    (made,) = shaped(table, joined(table, rows)).to_pylist()
    assert made["counterparty_legal_name"] == "O'Keefe, Ltd"
    assert made["counterparty_legal_postal_code"] == "08841"
    assert made["counterparty_legal_address_line_2"] is None


def test_missing_parent_is_named() -> None:
    rows = {
        "staff": landed("staff", staff(1, 20), staff(2, 10)),
        "department": landed("department", department(10, "")),
    }
    with pytest.raises(ContractViolation) as caught:
        joined(warehouse_tables()["dim_staff"], rows)
    assert str(caught.value) == (
        "staff.department_id refers to [20], which department of the same batch lacks. "
        "Ingest lets no such row pass: restore the first versions of the batch's objects in S3 (the buckets are "
        "versioned). If they have no others, report it: this is a bug."
    )


def test_long_text_of_a_parent_is_joined_with_few_rows_at_once() -> None:
    parents = {
        "department": landed(
            "department", department(10, "x" * 9_000_000), department(20, "short"), department(30, None)
        )
    }
    wanted = [10, 10, 10, 20, 20, 30, 99, 20]
    (rows,) = landed("staff", *(staff(number, at) for number, at in enumerate(wanted))).to_batches()
    parts = [
        part.column("department_id").to_pylist()
        for part in parts_to_join(warehouse_tables()["dim_staff"], rows, parents)
    ]
    assert parts == [[10], [10], [10, 20], [20, 30, 99, 20]]


def test_rows_without_long_parents_stay_together() -> None:
    parents = {"department": landed("department", department(10, "Bath"))}
    (rows,) = landed("staff", *(staff(number, 10) for number in range(9))).to_batches()
    assert list(parts_to_join(warehouse_tables()["dim_staff"], rows, parents)) == [rows]


def test_currencies_have_their_iso_names() -> None:
    rows = [{"currency_id": number, "currency_code": code} for number, code in enumerate(["GBP", "USD", "EUR", "JPY"])]
    made = shaped(warehouse_tables()["dim_currency"], landed("currency", *rows))
    assert made.column("currency_name").to_pylist() == ["Pound Sterling", "US Dollar", "Euro", "Yen"]


def test_currency_without_a_name_is_named() -> None:
    with pytest.raises(ContractViolation) as caught:
        shaped(warehouse_tables()["dim_currency"], landed("currency", {"currency_id": 1, "currency_code": "ZZZ"}))
    assert str(caught.value) == (
        "dim_currency.currency_name has no value where currency.currency_code is ['ZZZ']. "
        "Change the declaration in schemas/warehouse/dim_currency.toml and deploy: what is landed stays as it is."
    )


@pytest.mark.parametrize(
    ("column", "default", "made"),
    [
        ("units_sold", "7", 7),
        ("unit_price", "1.5", Decimal("1.50")),
        ("agreed_payment_date", "2024-02-29", date(2024, 2, 29)),
    ],
)
def test_default_of_any_type_stands_in_for_null(column: str, default: str, made: object) -> None:
    table = warehouse_tables()["fact_sales_order"]
    columns = tuple(replace(each, default=default) if each.name == column else each for each in table.columns)
    order = dict.fromkeys(landed_schema(source_tables()["sales_order"]).names)
    rows = pa.Table.from_pylist([order], landed_schema(source_tables()["sales_order"]))
    others = tuple(each if each.default else replace(each, nullable=True) for each in columns)
    assert shaped(replace(table, columns=others), rows).column(column).to_pylist() == [made]


def test_calendar_has_every_day_of_its_years() -> None:
    made = calendar(DATES, {2024, 2023, 1, 9999})
    days = made.column("date_id").to_pylist()
    assert made.schema == processed_schema(DATES)
    assert len(days) == len(set(days)) == 365 + 366 + 365 + 365
    assert (days[0], days[-1]) == (date(1, 1, 1), date(9999, 12, 31))


def test_days_are_described_by_iso_8601() -> None:
    found = {row["date_id"]: row for row in calendar(DATES, [2024]).to_pylist()}
    assert found[date(2024, 2, 29)] == {
        "date_id": date(2024, 2, 29),
        "year": 2024,
        "month": 2,
        "day": 29,
        "day_of_week": 4,
        "day_name": "Thursday",
        "month_name": "February",
        "quarter": 1,
    }
    assert all(day.isoweekday() == row["day_of_week"] for day, row in found.items())
    assert [found[date(2024, month, 1)]["quarter"] for month in range(1, 13)] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]


def test_years_are_those_of_all_dates() -> None:
    fact = warehouse_tables()["fact_sales_order"]
    assert years_of(fact, shaped(fact, landed("sales_order", ORDER))) == {1, 2024, 9999}
    assert years_of(fact, shaped(fact, landed("sales_order"))) == set()


def _whole(rows: pa.Table) -> pa.Table:
    return rows


def _in_pieces(rows: pa.Table) -> pa.Table:
    return pa.concat_tables([rows.slice(0, 1), rows.slice(1, 0), rows.slice(1)])


@pytest.mark.parametrize("cut", [_whole, _in_pieces])
def test_result_does_not_depend_on_the_pieces(cut: Callable[[pa.Table], pa.Table]) -> None:
    fact = warehouse_tables()["fact_sales_order"]
    rows = landed("sales_order", *(ORDER | {"sales_order_id": number} for number in range(3)))
    assert shaped(fact, cut(rows)).column("sales_order_id").to_pylist() == [0, 1, 2]
    assert shaped(fact, cut(rows)) == shaped(fact, rows)
