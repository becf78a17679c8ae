from dataclasses import replace

import pyarrow as pa
import pytest

from totes.contracts.declarations import Column, warehouse_tables
from totes.errors import ContractViolation
from totes.warehouse.rules import StagedRows

DESIGN = warehouse_tables()["dim_design"]
SIZE = Column("size", "text", "The tote's size.", nullable=True, values=("small", "large"))


def seen(size: Column, *values: str | None) -> StagedRows:
    rows = StagedRows(replace(DESIGN, columns=(DESIGN.column("design_id"), size)))
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
