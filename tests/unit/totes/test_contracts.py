from pathlib import Path

import pytest

from totes.contracts import (
    MAX_BYTES,
    MAX_ROW_BYTES,
    Column,
    ContractInvalid,
    SourceTable,
    origin_of,
    source_tables,
    warehouse_tables,
)
from totes.parquet import arrow_type


def test_referenced_tables_come_first() -> None:
    for tables in (source_tables(), warehouse_tables()):
        order = list(tables)
        for table in tables.values():
            for column in table.columns:
                assert column.references is None or order.index(column.references) < order.index(table.name)


def test_all_tables_of_the_domain_are_declared() -> None:
    assert len(source_tables()) == 11
    assert len(warehouse_tables()) == 11
    assert {table.name for table in warehouse_tables().values() if table.is_fact} == {
        "fact_payment",
        "fact_purchase_order",
        "fact_sales_order",
    }


def test_every_warehouse_column_comes_from_somewhere() -> None:
    for table in warehouse_tables().values():
        if table.kind == "calendar":
            continue
        known = {table.source, *table.join}
        for column in table.data_columns:
            assert column.origin is not None, f"{table.name}.{column.name}"
            assert column.origin.partition(".")[0] in known
            assert arrow_type(origin_of(column))


def test_nullable_origin_has_a_nullable_column_or_a_default() -> None:
    """What totesys may leave out must not stop a batch that is landed already."""
    for table in warehouse_tables().values():
        for column in table.data_columns:
            if column.origin and origin_of(column).nullable:
                assert column.nullable or column.default is not None, f"{table.name}.{column.name}"


def test_fact_is_identified_by_its_business_key() -> None:
    fact, dimension = warehouse_tables()["fact_sales_order"], warehouse_tables()["dim_staff"]
    assert (fact.key, fact.identity) == ("sales_record_id", "sales_order_id")
    assert (dimension.key, dimension.identity) == ("staff_id", "staff_id")
    assert "sales_record_id" not in [column.name for column in fact.data_columns]


def test_unknown_column_is_named() -> None:
    with pytest.raises(ContractInvalid, match=r"staff declares no column nickname. Correct the name in schemas/."):
        source_tables()["staff"].column("nickname")


def test_column_without_origin_is_named() -> None:
    with pytest.raises(ContractInvalid, match=r"date_id has no `from`. Give it one in schemas/warehouse."):
        origin_of(warehouse_tables()["dim_date"].column("date_id"))


@pytest.mark.parametrize(
    ("found", "replacement", "complaint"),
    [
        ('key = "staff_id"', "", r"^source/staff.toml: field key is missing. Correct the declaration.$"),
        (
            'key = "staff_id"',
            'key = "staff_id"\nfolder = "x"',
            r"^source/staff.toml: field folder is unknown. Known are columns, key, max_deleted_share, meaning, quar",
        ),
        ('key = "staff_id"', "key = staff_id", r"^source/staff.toml is no TOML: Invalid value"),
        ("[columns]", "[[columns]]", r"^source/staff.toml: columns is no table. Correct"),
        ('staff_id = { type = "integer",', "staff_id = 5 # ", r"staff.toml, column staff_id: it is no table. Correct"),
        (
            'type = "integer", references',
            "nullable = true, references",
            "column department_id: field type is missing",
        ),
        (
            'type = "integer", references',
            'typ = "integer", references',
            r"column department_id: field typ is unknown. Known are default, derive, format, from, max_bytes, meaning,",
        ),
        ('type = "integer", references', 'type = "integer", origin', "column department_id: field origin is unknown"),
        ('type = "integer", references', 'type = "integer", values = 1, references', "id: field values is no list"),
        ('references = "department"', 'references = "team"', r"staff references \['team'\], which is not declared"),
    ],
)
def test_malformed_declaration_is_refused_with_its_file(
    schemas: Path, found: str, replacement: str, complaint: str
) -> None:
    file = schemas / "source" / "staff.toml"
    text = file.read_text(encoding="utf-8")
    assert found in text
    file.write_text(text.replace(found, replacement), encoding="utf-8")
    with pytest.raises(ContractInvalid, match=complaint):
        source_tables()


@pytest.mark.parametrize("kind", ["text", "varchar", "varchar(10001)"])
def test_text_of_any_length_has_a_limit(kind: str) -> None:
    table = SourceTable("t", "", "id", (Column("id", "integer", ""), Column("long", kind, "")))
    assert table.byte_limits == {"long": MAX_BYTES}


@pytest.mark.parametrize("kind", ["varchar(3)", "varchar(10000)", "integer", "numeric(10,2)", '"varchar"'])
def test_value_of_a_bounded_type_needs_no_limit(kind: str) -> None:
    assert SourceTable("t", "", "id", (Column("short", kind, ""),)).byte_limits == {}


def test_declared_limit_is_taken_and_many_texts_share_the_rest() -> None:
    texts = [Column(f"c{number}", "text", "") for number in range(20)]
    large = Column("large", "text", "", max_bytes=MAX_ROW_BYTES // 2)
    limits = SourceTable("t", "", "id", (large, *texts)).byte_limits
    assert limits["large"] == MAX_ROW_BYTES // 2
    assert {limits[column.name] for column in texts} == {MAX_ROW_BYTES // 40}


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ('a = {type = "integer", meaning = ".", max_bytes = 9}', "large.toml: a has max_bytes, and the type integer"),
        (
            'a = {type = "text", meaning = ".", max_bytes = 80000001}',
            "large.toml: max_bytes .* add up to more than 80,000",
        ),
        (
            'a = {type = "text", meaning = ".", max_bytes = 80000000}\nb = {type = "text", meaning = "."}',
            "large.toml: max_bytes .* leave nothing for another text",
        ),
    ],
    ids=["no text", "too much", "nothing left"],
)
def test_limit_that_no_function_can_hold_is_refused(schemas: Path, columns: str, complaint: str) -> None:
    declared = f'meaning = "."\nkey = "a"\n[columns]\n{columns}\n'
    (schemas / "source" / "large.toml").write_text(declared, encoding="utf-8")
    with pytest.raises(ContractInvalid, match=complaint):
        source_tables()
