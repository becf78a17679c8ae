import re
from pathlib import Path

import pg8000.dbapi
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from totes.contracts.declarations import warehouse_tables
from totes.errors import ContractViolation
from totes.warehouse.encodings import named_in_warehouse

COLUMNS = warehouse_tables()["dim_staff"].data_columns
SAID = {"C": "22P05", "M": "character 0xc5 has no equivalent"}


@pytest.fixture
def staff(tmp_path: Path) -> Path:
    """Returns a file with three members of staff, in two row groups."""
    path = tmp_path / "staff.parquet"
    pq.write_table(pa.table({"staff_id": [4, 5, 6], "first_name": ["A", "B", "C"]}), path, row_group_size=2)
    return path


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ("COPY staged_dim_staff, line 1, column first_name", "dim_staff 4: first_name"),
        ("COPY staged_dim_staff, line 2, column first_name", "dim_staff 5: first_name"),
        ("COPY staged_dim_staff, line 3, column first_name", "dim_staff 6: first_name"),
        ("COPY staged_dim_staff, Zeile 3, Spalte first_name", "dim_staff 6: first_name"),
        ("COPY staged_dim_staff、行 3、列 first_name", "dim_staff 6: first_name"),
        ("COPY fact_payment, line 9, column item", "fact_payment ?: item"),
    ],
)
def test_row_of_a_copy_is_named_by_its_key(staff: Path, where: str, named: str) -> None:
    expected = re.escape(f"has no equivalent; SQLSTATE 22P05; {named}.")
    with pytest.raises(ContractViolation, match=expected), named_in_warehouse([staff], COLUMNS):
        raise pg8000.dbapi.DatabaseError(SAID | {"W": where})


def test_row_of_the_second_file_of_a_copy_is_named_by_its_key(staff: Path) -> None:
    where = {"W": "COPY staged_dim_staff, line 5, column first_name"}
    with (
        pytest.raises(ContractViolation, match="dim_staff 5: first_name"),
        named_in_warehouse([staff, staff], COLUMNS),
    ):
        raise pg8000.dbapi.DatabaseError(SAID | where)


def test_copy_without_a_place_is_told_as_the_server_says(staff: Path) -> None:
    expected = r"has no equivalent; SQLSTATE 22P05\."
    with pytest.raises(ContractViolation, match=expected), named_in_warehouse([staff], COLUMNS):
        raise pg8000.dbapi.DatabaseError(SAID)


def test_other_errors_pass() -> None:
    with (
        pytest.raises(pg8000.dbapi.DatabaseError, match="division by zero"),
        named_in_warehouse([Path("nowhere")], COLUMNS),
    ):
        raise pg8000.dbapi.DatabaseError({"C": "22012", "M": "division by zero"})
