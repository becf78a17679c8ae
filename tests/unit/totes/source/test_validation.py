from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from totes.contracts.declarations import SourceTable, source_tables
from totes.errors import AccessDenied, ContractViolation
from totes.lake.keys import Keys
from totes.lake.parquet import landed_schema
from totes.postgres.catalogue import CatalogueColumn, CatalogueTable, Relation
from totes.source.catalogue import check_catalogue
from totes.source.validation import repeated, too_long, unreadable, violations
from totes.source.violations import raise_if_any

Catalogue = dict[str, CatalogueTable]
FULL_NAMES = {"timestamp(3)": "timestamp(3) without time zone", "varchar(3)": "character varying(3)"}


def catalogue() -> Catalogue:
    """Returns totesys exactly as declared, in PostgreSQL's words."""
    return {
        table.name: CatalogueTable(
            table.name,
            "r",
            hides_rows=False,
            unique_columns=(table.key,),
            columns=tuple(
                CatalogueColumn(column.name, FULL_NAMES.get(column.type, column.type), readable=True)
                for column in table.columns
            ),
            relations=(Relation("16402", table.name, "r", "p", "heap", "0123"),),
        )
        for table in source_tables().values()
    }


def difference(*tables: str) -> Catalogue:
    return {name: table for name, table in catalogue().items() if name not in tables}


def changed(table: str, column: str, **changes: object) -> Catalogue:
    columns = catalogue()[table].columns
    found = tuple(replace(known, **changes) if known.name == column else known for known in columns)
    return catalogue() | {table: replace(catalogue()[table], columns=found)}


def lacking(table: str, column: str) -> Catalogue:
    columns = tuple(known for known in catalogue()[table].columns if known.name != column)
    return catalogue() | {table: replace(catalogue()[table], columns=columns)}


def held_by(table: str, **changes: object) -> Catalogue:
    (relation,) = catalogue()[table].relations
    return catalogue() | {table: replace(catalogue()[table], relations=(replace(relation, **changes),))}


def partitioned(**changes: object) -> Catalogue:
    """Returns a table with two partitions; the second one has the given changes."""
    (plain,) = catalogue()["payment"].relations
    parent = replace(plain, kind="p", access_method=None)
    low, high = (replace(plain, oid=oid, name=name) for oid, name in (("2", "payment_low"), ("3", "payment_high")))
    table = replace(catalogue()["payment"], kind="p", relations=(parent, low, replace(high, **changes)))
    return catalogue() | {"payment": table}


@pytest.mark.parametrize("found", [catalogue(), partitioned()], ids=["plain", "partitioned"])
def test_catalogue_as_declared_passes(found: Catalogue) -> None:
    assert check_catalogue(source_tables(), found) == {}


def test_undeclared_columns_are_returned() -> None:
    more = tuple(CatalogueColumn(name, "text", readable=False) for name in ("nickname", "shoe_size"))
    staff = catalogue()["staff"]
    found = catalogue() | {"staff": replace(staff, columns=staff.columns + more)}
    assert check_catalogue(source_tables(), found) == {"staff": ["nickname", "shoe_size"]}


@pytest.mark.parametrize(
    ("found", "difference"),
    [
        (difference("payment"), "table payment is not there"),
        (
            changed("staff", "last_name", name="surname"),
            "column staff.last_name is not there (while surname is there, which no contract declares)",
        ),
        (lacking("staff", "last_name"), "column staff.last_name is not there"),
        (
            changed("sales_order", "unit_price", type="double precision"),
            "column sales_order.unit_price has type double precision, expected numeric(10,2)",
        ),
        (
            changed("currency", "currency_code", type="text"),
            "column currency.currency_code has type text, expected character varying(3)",
        ),
        *(
            (
                held_by("payment", kind=letter, access_method=method),
                f"table payment: payment {what}, expected a table whose rows bear ids of transactions",
            )
            for letter, method, what in (
                ("v", None, "is a view"),
                ("m", "heap", "is a materialised view"),
                ("f", None, "is a foreign table"),
                ("r", "columnar", "is stored by columnar"),
            )
        ),
        (
            partitioned(kind="f", access_method=None),
            "table payment: payment_high is a foreign table, expected a table whose rows bear ids of transactions",
        ),
    ],
)
def test_difference_to_the_declaration_is_named(found: Catalogue, difference: str) -> None:
    with pytest.raises(ContractViolation) as caught:
        check_catalogue(source_tables(), found)
    assert str(caught.value) == (
        f"totesys is not as declared: {difference}. "
        "Change the declarations in schemas/ and deploy, or undo the change in totesys."
    )


def test_all_differences_are_named_at_once() -> None:
    found = {
        name: table
        for name, table in changed("staff", "last_name", type="bytea").items()
        if name not in ("design", "address")
    }
    with pytest.raises(
        ContractViolation, match=r"address is not there; .*design is not there; .*last_name has type byt"
    ):
        check_catalogue(source_tables(), found)


def test_unreadable_table_is_named_with_the_grant() -> None:
    with pytest.raises(AccessDenied, match=r"may not read staff of totesys. GRANT SELECT ON staff to the user that"):
        check_catalogue(source_tables(), changed("staff", "email_address", readable=False))


def test_table_with_hidden_rows_is_named_with_the_right_that_is_needed() -> None:
    found = catalogue() | {name: replace(catalogue()[name], hides_rows=True) for name in ("staff", "payment")}
    with pytest.raises(AccessDenied, match=r"may hide rows of payment, staff, .* ALTER ROLE … BYPASSRLS for the user"):
        check_catalogue(source_tables(), found)


VALID = {
    "currency": {"currency_id": 1, "currency_code": "GBP", "created_at": 0, "last_updated": 0},
    "payment_type": {"payment_type_id": 1, "payment_type_name": "SALES_REFUND", "created_at": 0, "last_updated": 0},
    "transaction": {
        "transaction_id": 1,
        "transaction_type": "SALE",
        "sales_order_id": None,
        "purchase_order_id": 7,
        "created_at": 0,
        "last_updated": 0,
    },
    "purchase_order": {
        "purchase_order_id": 1,
        "created_at": 0,
        "last_updated": 0,
        "staff_id": 1,
        "counterparty_id": 1,
        "item_code": "",
        "item_quantity": 1,
        "item_unit_price": 1,
        "currency_id": 1,
        "agreed_delivery_date": "2024-02-29",
        "agreed_payment_date": "9999-12-31",
        "agreed_delivery_location_id": 1,
    },
}


def rows(table: str, *changes: dict[str, object]) -> pa.Table:
    """Returns valid rows with ids from 1, each with its changes, as they are before a NOT NULL is enforced."""
    schema = pa.schema([field.with_nullable(True) for field in landed_schema(source_tables()[table])])
    key = source_tables()[table].key
    return pa.Table.from_pylist(
        [VALID[table] | {key: number} | change for number, change in enumerate(changes, start=1)], schema
    )


def check_rows(table: SourceTable, found: pa.Table) -> None:
    raise_if_any(violations(table, found, {}))


@pytest.mark.parametrize("table", VALID)
def test_rows_as_declared_pass(table: str) -> None:
    check_rows(source_tables()[table], rows(table, {}, {}))
    check_rows(source_tables()[table], rows(table))


@pytest.mark.parametrize(
    ("table", "change", "violation"),
    [
        ("transaction", {"transaction_type": None}, "transaction_type is NULL, expected a value"),
        ("transaction", {"transaction_type": "GIFT"}, "transaction_type is 'GIFT', expected one of SALE, PURCHASE"),
        ("payment_type", {"payment_type_name": "sales_refund"}, "payment_type_name is 'sales_refund', expected one of"),
        ("currency", {"currency_code": "ZZZ"}, "currency_code is 'ZZZ', expected a currency code of ISO 4217"),
        ("purchase_order", {"item_quantity": None}, "item_quantity is NULL, expected a value"),
        *(
            (
                "purchase_order",
                {"agreed_delivery_date": text},
                f"agreed_delivery_date is {text!r}, expected a date, YYYY-MM-DD",
            )
            for text in (
                "2023-02-29",
                "2024-2-1",
                "01/02/2024",
                "",
                "infinity",
                " 2024-01-01",
                "0000-01-01",
                "12000-01-01",
            )
        ),
    ],
)
def test_value_against_the_declaration_is_named(table: str, change: dict[str, object], violation: str) -> None:
    with pytest.raises(ContractViolation) as caught:
        check_rows(source_tables()[table], rows(table, {}, change, {}))
    message = str(caught.value)
    assert message.startswith(f"totesys holds what schemas/source/{table}.toml does not allow: {table} 2: {violation}")
    assert message.endswith("; the next run takes them up.")


def test_dates_are_checked_in_every_chunk() -> None:
    pieces = [rows("purchase_order", {"agreed_payment_date": date}) for date in ("2024-01-01", "0000-12-31", "soon")]
    with pytest.raises(ContractViolation, match=r"'0000-12-31', expected a date.*'soon', expected a date"):
        check_rows(source_tables()["purchase_order"], pa.concat_tables(pieces))


def test_only_five_violations_are_shown() -> None:
    many = [{"currency_code": "ZZZ"}] * 12
    with pytest.raises(ContractViolation, match=r"currency 5: .*; and 7 more. Correct the rows") as caught:
        check_rows(source_tables()["currency"], rows("currency", *many))
    assert "currency 6" not in str(caught.value)


def test_long_value_is_shown_in_part() -> None:
    with pytest.raises(ContractViolation, match=r"is 'x{80}…', expected"):
        check_rows(source_tables()["purchase_order"], rows("purchase_order", {"agreed_payment_date": "x" * 5_000}))


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        ("sales_order_id", "2147483648", "sales_order 2147483648: sales_order_id is '2147483648', expected a value of"),
        ("unit_price", "NaN", "sales_order 1: unit_price is 'NaN', expected a value of type numeric(10,2)"),
        ("created_at", "infinity", "sales_order 1: created_at is 'infinity', expected a value of type timestamp(3)"),
    ],
)
def test_value_that_no_type_can_hold_is_named(column: str, text: str, expected: str) -> None:
    table = source_tables()["sales_order"]
    values = dict.fromkeys(landed_schema(table).names, "1")
    stamps = {"created_at": "2024-01-01 00:00:00.001", "last_updated": "2024-01-01 00:00:00"}
    found = unreadable(table, pa.Table.from_pylist([values | stamps | {column: text}]))
    assert [str(violation).startswith(expected) for violation in found] == [True]


def test_readable_texts_are_no_violation() -> None:
    table = source_tables()["payment"]
    texts = dict.fromkeys(landed_schema(table).names, "1") | {"paid": "t", "payment_date": "x"}
    stamps: dict[str, str | None] = {"created_at": "2024-01-01 00:00:00", "last_updated": None}
    assert unreadable(table, pa.Table.from_pylist([texts | stamps])) == []


def test_reference_to_what_is_set_aside_is_named() -> None:
    table = source_tables()["purchase_order"]
    found = violations(
        table, rows("purchase_order", {}, {"staff_id": 7}, {"staff_id": 8}), {"staff_id": pa.array([7, 9], pa.int32())}
    )
    assert [str(violation) for violation in found] == [
        "purchase_order 2: staff_id is '7', expected a staff that is not quarantined"
    ]


def test_null_that_is_allowed_refers_to_nothing() -> None:
    table = source_tables()["transaction"]
    assert violations(table, rows("transaction", {}), {"sales_order_id": pa.array([1], pa.int32())}) == []


def test_text_that_is_too_long_is_named_with_its_length() -> None:
    found = too_long(
        source_tables()["department"], "location", pa.chunked_array([[2]]), pa.chunked_array([["8000001"]])
    )
    assert [str(violation) for violation in found] == [
        "department 2: location is 8,000,001 bytes long, expected at most 8,000,000"
    ]


def test_key_of_two_rows_is_named(tmp_path: Path) -> None:
    table = source_tables()["currency"]
    assert repeated(table, Keys(tmp_path, pa.int32(), [1, 2, 3])) == []
    (found,) = repeated(table, Keys(tmp_path, pa.int32(), [1, 2, 1]))
    assert str(found) == "currency 1: currency_id is that of 2 rows, expected one row with that key"
