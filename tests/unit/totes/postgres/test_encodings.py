import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pg8000.dbapi
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local.postgres.databases import READER
from tests.support.pipeline import Pipeline
from totes.contracts.declarations import source_tables, warehouse_tables
from totes.errors import ContractBroken
from totes.postgres.connection import TOTESYS, connected
from totes.postgres.encodings import named_in_source, named_in_warehouse

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
        ("COPY staged_dim_staff, line 3, column first_name", "dim_staff 6: first_name"),
        ("COPY staged_dim_staff, Zeile 3, Spalte first_name", "dim_staff 6: first_name"),
        ("COPY staged_dim_staff、行 3、列 first_name", "dim_staff 6: first_name"),
        ("COPY fact_payment, line 9, column item", "fact_payment ?: item"),
    ],
)
def test_row_of_a_copy_is_named_by_its_key(staff: Path, where: str, named: str) -> None:
    expected = re.escape(f"has no equivalent; SQLSTATE 22P05; {named}.")
    with pytest.raises(ContractBroken, match=expected), named_in_warehouse(staff, COLUMNS):
        raise pg8000.dbapi.DatabaseError(SAID | {"W": where})


def test_copy_without_a_place_is_told_as_the_server_says(staff: Path) -> None:
    expected = r"has no equivalent; SQLSTATE 22P05\."
    with pytest.raises(ContractBroken, match=expected), named_in_warehouse(staff, COLUMNS):
        raise pg8000.dbapi.DatabaseError(SAID)


@contextmanager
def source(pipeline: Pipeline) -> Iterator[None]:
    with (
        connected(TOTESYS, pipeline.credentials(pipeline.source, READER), "totes-test") as connection,
        named_in_source(connection, source_tables()["staff"], "true"),
    ):
        yield


def test_server_that_runs_no_code_of_ours_names_the_table(seeded: Pipeline) -> None:
    seeded.totesys("REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC")
    expected = r"text in staff that can't .*: character 0xc5 has no equivalent; SQLSTATE"
    with pytest.raises(ContractBroken, match=expected), source(seeded):
        raise pg8000.dbapi.DatabaseError(SAID)


@pytest.mark.parametrize("guard", [source, lambda _: named_in_warehouse(Path("nowhere"), COLUMNS)])
def test_other_errors_pass(pipeline: Pipeline, guard: Callable[[Pipeline], AbstractContextManager[None]]) -> None:
    with pytest.raises(Exception, match="division by zero"), guard(pipeline):
        raise pg8000.dbapi.DatabaseError({"C": "22012", "M": "division by zero"})
