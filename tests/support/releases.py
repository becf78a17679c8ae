"""Provides releases of a small warehouse, each with the declarations of one version of its schema."""

import shutil
from pathlib import Path

from totes.contracts import declarations
from totes.contracts.declarations import declared
from totes.warehouse.tables import metadata

SOURCE = """
meaning = "."
key = "{0}_id"
[columns]
{0}_id = {{ type = "integer", meaning = "." }}
"""
FIELDS = {
    "design": """
design_name = { type = "text", meaning = "." }
file_name = { type = "text", meaning = "." }
""",
    "department": 'department_name = { type = "text", meaning = "." }',
    "staff": """
department_id = { type = "integer", references = "department", meaning = "." }
first_name = { type = "text", nullable = true, meaning = "." }
""",
    "sales_order": """
created_at = { type = "timestamp(3)", meaning = "." }
design_id = { type = "integer", references = "design", meaning = "." }
staff_id = { type = "integer", references = "staff", meaning = "." }
units_sold = { type = "integer", meaning = "." }
""",
}
CALENDAR = """
meaning = "Days."
grain = "One day."
kind = "calendar"
key = "date_id"
[columns]
date_id = { type = "date", meaning = "The day." }
year = { type = "integer", meaning = "Its year." }
"""
DESIGN = """
meaning = "Designs."
grain = "One design."
kind = "dimension"
key = "design_id"
source = "design"
[columns]
design_id = { type = "integer", from = "design.design_id", meaning = "The design." }
"""
NAME = 'design_name = { type = "varchar", from = "design.design_name", meaning = "Its name." }\n'
FILE = (
    'file_name = { type = "varchar", from = "design.file_name", nullable = true, since = 2, meaning = "Its file." }\n'
)
ORDER = """
meaning = "Orders."
grain = "One version of one order."
kind = "fact"
key = "sales_record_id"
business_key = "sales_order_id"
source = "sales_order"
[columns]
sales_record_id = { type = "serial", meaning = "The version." }
"""
UNITS = (
    'units_sold = { type = "integer", from = "sales_order.units_sold", default = "7", since = 2, '
    'meaning = "Totes%s." }\n'
)
ID = """
sales_order_id = { type = "integer", from = "sales_order.sales_order_id", meaning = "The order." }
created_date = { type = "date", from = "sales_order.created_at", references = "dim_date", meaning = "The day's." }
"""
SELLER = (
    'staff_id = { type = "integer", from = "sales_order.staff_id", references = "dim_staff", nullable = true, '
    'since = 3, meaning = "Who sold it." }\n'
)
DEPARTMENT = """
meaning = "Departments."
grain = "One department."
kind = "dimension"
key = "department_id"
source = "department"
since = 3
[columns]
department_id = { type = "integer", from = "department.department_id", meaning = "The department." }
department_name = { type = "varchar", from = "department.department_name", meaning = "Its name." }
"""
STAFF = """
meaning = "Staff."
grain = "One member of staff."
kind = "dimension"
key = "staff_id"
source = "staff"
since = 3
[columns]
staff_id = { type = "integer", from = "staff.staff_id", meaning = "Who." }
first_name = { type = "varchar", from = "staff.first_name", default = "it's 100 %", meaning = "Given name." }
department_id = { type = "integer", from = "staff.department_id", references = "dim_department", meaning = "Where." }
"""
DESIGNED = """
meaning = "Orders by design."
grain = "One version of one order."
kind = "fact"
key = "designed_record_id"
business_key = "sales_order_id"
source = "sales_order"
since = 3
[columns]
designed_record_id = { type = "serial", meaning = "The version." }
sales_order_id = { type = "integer", from = "sales_order.sales_order_id", meaning = "The order." }
staff_id = { type = "integer", from = "sales_order.staff_id", references = "dim_staff", meaning = "Who." }
design_id = { type = "integer", from = "sales_order.design_id", references = "dim_design", meaning = "What." }
"""
LATER = (
    'sold = { type = "integer", from = "sales_order.units_sold", default = "0", since = 4, meaning = "Totes sold." }\n'
)
THIRD = """
CREATE TABLE {log}.note (note text);
CREATE INDEX units ON {stars}.fact_sales_order (units_sold);
CREATE INDEX ON {stars}.dim_staff (department_id);
"""
NO_INDEX = "DROP INDEX {stars}.units;"


def _until(column: str) -> str:
    return column.replace("since", "until = 4, since")


# {version: {file: text}}. A new column stands above older ones, and a description changes.
RELEASES: dict[int, dict[str, str]] = {
    1: {"dim_date.toml": CALENDAR, "dim_design.toml": DESIGN + NAME, "fact_sales_order.toml": ORDER + ID},
}
RELEASES[2] = RELEASES[1] | {
    "dim_design.toml": DESIGN + FILE + NAME,
    "fact_sales_order.toml": ORDER + UNITS % "" + ID,
}
RELEASES[3] = RELEASES[2] | {
    "fact_sales_order.toml": ORDER + SELLER + UNITS % " sold" + ID,
    "dim_department.toml": DEPARTMENT,
    "dim_staff.toml": STAFF,
    "fact_designed.toml": DESIGNED,
    "0003_more.sql": THIRD,
}
RELEASES[4] = RELEASES[3] | {
    "dim_design.toml": DESIGN + _until(FILE) + NAME,
    "fact_sales_order.toml": ORDER + LATER + SELLER + _until(UNITS % " sold") + ID,
    "0004_index.sql": NO_INDEX,
}


def deploy(schemas: Path, version: int) -> None:
    """Replaces a copy of schemas/ by a release."""
    for folder in ("source", "warehouse"):
        for path in (schemas / folder).glob("*.toml"):
            path.unlink()
    for path in (schemas / "warehouse").glob("0*.sql"):
        path.unlink()
    for table, columns in FIELDS.items():
        (schemas / "source" / f"{table}.toml").write_text(SOURCE.format(table) + columns, encoding="utf-8")
    for name, text in RELEASES[version].items():
        (schemas / "warehouse" / name).write_text(text, encoding="utf-8")
    log = Path(declarations.__file__).parents[2] / "schemas" / "warehouse" / "0001_log.sql"
    shutil.copy(log, schemas / "warehouse")
    declared.cache_clear()
    metadata.cache_clear()
