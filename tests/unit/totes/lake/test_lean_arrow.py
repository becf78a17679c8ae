"""The imports of functions, in a process of its own: this one has already imported everything."""

import subprocess
import sys

SCRIPT = """
import sys
import pyarrow as pa
from functions import ingest, load, transform
from totes.contracts.declarations import source_tables, warehouse_tables
from totes.lake.parquet import landed_schema
from totes.warehouse.star import calendar, joined

def told(what):
    print(what, "pandas" in sys.modules)

told("imports")
pa.scalar(1)
pa.array(["a list"])
calendar(warehouse_tables()["dim_date"], [2024])
told("calendar")
staff = warehouse_tables()["dim_staff"]
rows = {name: landed_schema(source_tables()[name]).empty_table() for name in (staff.source, *staff.join)}
assert joined(staff, rows).num_rows == 0
told("dimension that joins")
"""


def test_pandas_is_imported_for_frames_only() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["imports False", "calendar False", "dimension that joins True"]


def test_pyarrow_still_imports_pandas_at_its_first_list() -> None:
    """If this fails after an upgrade, totes/lake/lean_arrow.py can go."""
    script = "import sys, pyarrow; pyarrow.array(['a list']); print('pandas' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "True\n"
