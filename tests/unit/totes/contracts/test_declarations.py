import pytest

from totes.contracts.declarations import (
    MAX_BYTES,
    MAX_ROW_BYTES,
    Column,
    ContractInvalid,
    SourceTable,
    origin_of,
    source_tables,
    warehouse_tables,
)


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
