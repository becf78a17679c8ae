import tempfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from totes.contracts.declarations import Column, warehouse_tables
from totes.errors import ContractViolation
from totes.warehouse.rules import Broken, StagedRows, broken_check

DESIGN = warehouse_tables()["dim_design"]
SIZE = Column("size", "text", "The tote's size.", nullable=True, values=("small", "large"))


def seen(size: Column, *values: str | None) -> StagedRows:
    rows = StagedRows(replace(DESIGN, columns=(DESIGN.column("design_id"), size)), Path(tempfile.gettempdir()))
    keys = pa.array(range(1, len(values) + 1), pa.int32())
    rows.see(pa.RecordBatch.from_arrays([keys, pa.array(values, pa.string())], names=["design_id", "size"]))
    return rows


def test_nullable_column_with_values_accepts_null() -> None:
    seen(SIZE, "small", None).check()


def test_unaccepted_value_is_named_with_its_key() -> None:
    with pytest.raises(ContractViolation, match=r"One of small, large\): 2$|One of small, large\): 2\b"):
        seen(SIZE, "small", "huge").check()


def test_null_is_named_if_the_column_is_not_nullable() -> None:
    with pytest.raises(ContractViolation, match=r": 1\b"):
        seen(replace(SIZE, nullable=False), None).check()


def test_no_rows_break_no_rule() -> None:
    StagedRows(DESIGN, Path(tempfile.gettempdir())).check()


def test_all_broken_rules_are_named_with_some_keys() -> None:
    rows = seen(SIZE, *["huge"] * 7)
    rows.see(pa.RecordBatch.from_pydict({"design_id": pa.array([3, 4], pa.int32()), "size": ["small", None]}))
    with pytest.raises(ContractViolation) as caught:
        rows.check()
    assert str(caught.value).startswith(
        "dim_design breaks the rule `design_id` (Each row has one of its own): 3, 4; "
        "dim_design breaks the rule `size` (One of small, large): 1, 2, 3, 4, 5 and 2 more. "
        "totesys is not at fault: somebody has changed the lake or the warehouse."
    )


def test_broken_check_names_its_declaration() -> None:
    error = broken_check([Broken("fact_payment", "paid", "Paid payments have a date.", (7, 8), 2)])
    assert str(error).startswith(
        "fact_payment breaks the rule `paid` (Paid payments have a date): 7, 8. Correct the rows in totesys: "
    )
    assert "change schemas/warehouse/fact_payment.toml" in str(error)
