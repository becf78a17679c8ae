# ruff: noqa: E501  a mistake is a line
"""Each mistake in a declaration is found when the declaration is read, on its line."""

import re
import shutil
from pathlib import Path

import pytest

from totes.contracts.declarations import ContractInvalid, declared, read_declarations, source_tables, warehouse_tables

SALES, PAYMENT = "warehouse/fact_sales_order.toml", "warehouse/fact_payment.toml"
STAFF, DESIGN, DATE = "warehouse/dim_staff.toml", "warehouse/dim_design.toml", "warehouse/dim_date.toml"
SOURCE = "source/staff.toml"
EMAIL = 'email_address = { type = "text", '
LAST_OF_STAFF = 'email_address = { type = "varchar", from = "staff.email_address", '
DEFAULT = 'location = { type = "varchar", from = "department.location", default = "Unknown", '


def replaced(schemas: Path, file: str, old: str, new: str) -> int:
    """Replaces a text in a file; returns the line that it is on."""
    path = schemas / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def findings(schemas: Path) -> list[str]:
    assert schemas.exists()
    return list(map(str, read_declarations().findings))


# A file, a text in it, the replacement, and the finding.
MISTAKES = {
    # Fields.
    "no text": (SOURCE, 'key = "staff_id"', "key = 5", "key is 5, expected a text"),
    "no boolean": (SOURCE, EMAIL, EMAIL + 'nullable = "yes", ', "email_address: nullable is 'yes', expected true or fa"),
    "no number": (DESIGN, 'source = "design"', 'source = "design"\nsince = true', "since is true or false, expected a wh"),
    "no list of texts": (SOURCE, EMAIL, EMAIL + "values = [1], ", "email_address: values is a list, expected a list of t"),
    "no table of texts": (STAFF, 'join = { department = "department_id" }', "join = { department = 1 }", "join is a table,"),
    "no whole number": (SOURCE, EMAIL, EMAIL + "max_bytes = 1.5, ", "email_address: max_bytes is 1.5, expected a whole n"),
    "default that is no text": (STAFF, 'default = "Unknown"', "default = 0", "location: default is 0, expected a text"),
    "field of the warehouse": (SOURCE, EMAIL, EMAIL + 'default = "x", ', "email_address: field default is unknown; known ar"),
    "field of the source": (STAFF, LAST_OF_STAFF, LAST_OF_STAFF + "max_bytes = 9, ", "email_address: field max_bytes is"),
    "unknown field of a table": (SOURCE, 'key = "staff_id"', 'key = "staff_id"\nquarantined = true', "did you mean quar"),
    "checks of a source": (SOURCE, "[columns]", '[checks.x]\nrule = "."\nbreaks = "true"\n[columns]', "field checks is unk"),
    "own field": (DESIGN, 'source = "design"', 'source = "design"\nformer_columns = []', "field former_columns is unkn"),
    "columns that are no table": (SOURCE, "[columns]", "[[columns]]", "columns is a list, expected a table"),
    "column that is no table": (SOURCE, 'staff_id = { type = "integer",', "staff_id = 5 # ", "staff_id is 5, expected a t"),
    "no meaning": (SOURCE, 'meaning = "E-mail address at work."', 'meaning = " "', "email_address has no meaning: say it in"),
    "no TOML": (SOURCE, 'key = "staff_id"', "key = staff_id", "not TOML: Invalid value"),
    "column twice": (SOURCE, "first_name = {", "staff_id = {", "not TOML: Cannot overwrite a value"),
    # Tables and columns of totesys.
    "key that is not there": (SOURCE, 'key = "staff_id"', 'key = "staf_id"', "staff declares no column staf_id; did you mean s"),
    "key of another type": (SOURCE, 'key = "staff_id"', 'key = "last_name"', "the key last_name has the type text, expected smallint, integer or b"),
    "key that is nullable": (SOURCE, "staff_id = {", "staff_id = { nullable = true,", "the key staff_id can't be nullable"),
    "type": (SOURCE, EMAIL, 'email_address = { type = "txt", ', "email_address has the type txt, expected one of"),
    "serial of a source": (SOURCE, EMAIL, 'email_address = { type = "serial", ', "email_address has the type serial, expec"),
    "length that is none": (SOURCE, EMAIL, 'email_address = { type = "varchar(n)", ', "has the type varchar(n), expected"),
    "too many digits": (SOURCE, EMAIL, 'email_address = { type = "numeric(40,2)", ', "has the type numeric(40,2), expected"),
    "more places than digits": (SOURCE, EMAIL, 'email_address = { type = "numeric(2,3)", ', "has the type numeric(2,3), ex"),
    "reference": (SOURCE, '"department", meaning', '"departmnt", meaning', "department_id references departmnt, which no file"),
    "reference of another type": (SOURCE, EMAIL, EMAIL + 'references = "design", ', "email_address has the type text and ref"),
    "reference to itself": (SOURCE, '"department", meaning', '"staff", meaning', "closes a circle of references: staff → staff"),
    "format": (SOURCE, EMAIL, EMAIL + 'format = "dates", ', "email_address: format dates is none of date, currency; did y"),
    "format of a number": (SOURCE, "staff_id = {", 'staff_id = { format = "date",', "staff_id: only a text has a format"),
    "values of a number": (SOURCE, "staff_id = {", 'staff_id = { values = ["1"],', "staff_id: only a text has values"),
    "values that are none": (SOURCE, EMAIL, EMAIL + "values = [], ", "email_address: values is empty or names one twice"),
    "value twice": (SOURCE, EMAIL, EMAIL + 'values = ["a", "a"], ', "email_address: values is empty or names one twice"),
    "no bytes": (SOURCE, EMAIL, EMAIL + "max_bytes = 0, ", "email_address: max_bytes is 0, expected 1 or more"),
    "bytes of a number": (SOURCE, "staff_id = {", "staff_id = { max_bytes = 9,", "staff_id has max_bytes, and its type is i"),
    "too many bytes": (SOURCE, EMAIL, EMAIL + "max_bytes = 80_000_001, ", "max_bytes of its columns add up to more than 80,"),
    "share": (SOURCE, 'key = "staff_id"', 'key = "staff_id"\nmax_deleted_share = 10', "max_deleted_share is 10, expected"),
    "no length": (SOURCE, EMAIL, 'email_address = { type = "varchar(0)", ', "email_address has the type varchar(0), exp"),
    "length beyond PostgreSQL's": (SOURCE, EMAIL, 'email_address = { type = "varchar(10485761)", ', "type varchar(10485761), exp"),
    "absurd length": (SOURCE, EMAIL, f'email_address = {{ type = "varchar({"9" * 5000})", ', "has the type varchar(9999"),
    "absurd digits": (SOURCE, EMAIL, f'email_address = {{ type = "numeric(1{"0" * 5000},2)", ', "has the type numeric(1000"),
    "digits beyond PostgreSQL's": (SOURCE, EMAIL, 'email_address = { type = "numeric(1001,2)", ', "the type numeric(1001,2), e"),
    "digits that are none": (SOURCE, EMAIL, 'email_address = { type = "numeric(٣,2)", ', "has the type numeric(٣,2), expected"),
    "absurd number": (SOURCE, EMAIL, EMAIL + f"max_bytes = {'9' * 5000}, ", "has a number that is too long, or too many nested"),
    "absurd hexadecimal number": (SOURCE, EMAIL, EMAIL + f"max_bytes = 0x{'f' * 5000}, ", "max_bytes is a number beyond 32 bits"),
    "absurd number as a text": (SOURCE, EMAIL, EMAIL + f"format = 0x{'f' * 5000}, ", "format is a number beyond 32 bits, expec"),
    "more than 32 bits": (DESIGN, "file_name = {", "file_name = { since = 2147483648,", "since is a number beyond 32 bits, expected a"),
    "nested brackets": (SOURCE, EMAIL, EMAIL + f"values = {'[' * 5000}{']' * 5000}, ", "number that is too long, or too many nested b"),
    "nested braces": (SOURCE, EMAIL, EMAIL + f"x = {'{a=' * 5000}1{'}' * 5000}, ", "number that is too long, or too many nested b"),
    # Texts and names.
    "empty derivation": (DESIGN, 'from = "design.file_name", ', 'from = "design.file_name", derive = "", ', "file_name: derive is empty"),
    "empty reference": (SOURCE, EMAIL, EMAIL + 'references = "", ', "email_address: references is empty"),
    "empty business key": (SALES, 'business_key = "sales_order_id"', 'business_key = " "', "business_key is empty"),
    "empty grain": (DESIGN, 'grain = "', 'grain = "" # ', "grain is empty"),
    "NUL in a meaning": (SOURCE, 'meaning = "E-mail', 'meaning = "\\u0000', "email_address: meaning holds a NUL character"),
    "NUL in a default": (STAFF, 'default = "Unknown"', 'default = "\\u0000"', "location: default holds a NUL character"),
    "NUL in values": (SOURCE, EMAIL, EMAIL + 'values = ["a\\u0000"], ', "email_address: values holds a NUL character"),
    "NUL in a check": (PAYMENT, "AND NOT EXISTS", "\\u0000 AND NOT EXISTS", "amount: breaks holds a NUL character"),
    "NUL in a name": (SOURCE, EMAIL, EMAIL.replace("email_address", '"email\\u0000"'), "columns: 'email\\x00' is no name"),
    "no name": (SOURCE, EMAIL, EMAIL.replace("email_address", '""'), "columns: '' is no name"),
    "check without a name": (PAYMENT, "[checks.amount]", '[checks.""]', "checks: '' is no name"),
    "join with a NUL": (STAFF, '= "department_id" }', '= "\\u0000" }', "join holds a NUL character"),
    "conversion": (PAYMENT, "{stars}.dim_transaction AS", "{stars!r}.dim_transaction AS", "has the placeholder {stars!r}, expec"),
    "format of a placeholder": (PAYMENT, "{stars}.dim_transaction AS", "{stars:>9}.dim_transaction AS", "has the placeholder {stars:>9}"),
    # Tables of the warehouse.
    "kind": (DESIGN, '"dimension"', '"dim"', "kind is dim, expected fact, dimension, calendar"),
    "dimension's key of another type": (DESIGN, 'key = "design_id"', 'key = "design_name"', "the key design_name has the"),
    "fact's key that is no serial": (SALES, 'type = "serial"', 'type = "integer"', "the key sales_record_id has the type int"),
    "second serial": (DESIGN, 'file_name = { type = "varchar"', 'file_name = { type = "serial"', "file_name is a serial, wh"),
    "no business key": (SALES, 'business_key = "sales_order_id"', "", "a fact needs a business_key"),
    "business key not there": (SALES, '_key = "sales_order_id"', '_key = "order_id"', "fact_sales_order declares no column o"),
    "business key of a dimension": (DESIGN, 'key = "d', 'business_key = "design_id"\nkey = "d', "business_key means noth"),
    "nullable business key": (SALES, "sales_order_id = {", "sales_order_id = { nullable = true,", "the business_key sales_"),
    "id of something else": (SALES, '"sales_order.sales_order_id"', '"sales_order.units_sold"', "must come from the key of"),
    "no source": (DESIGN, 'source = "design"', "", "field source is missing"),
    "source": (DESIGN, 'source = "design"', 'source = "designs"', "source = designs: no file in schemas/source declares it"),
    "reserved name": (SALES, "units_sold = {", "batch_id = {", "the name batch_id is taken"),
    "name of the lake's": (DESIGN, "file_name = {", "batch = {", "the name batch is taken"),
    "system column": (DESIGN, "file_name = {", "xmin = {", "the name xmin is taken"),
    "capitals": (DESIGN, "file_name = {", "File_Name = {", "the name File_Name may have only a to z, digits"),
    "long name": (DESIGN, "file_name = {", f"{'f' * 64} = {{", "is longer than 63 bytes: PostgreSQL would cut it"),
    "fact in a reference": (SALES, '"dim_design"', '"fact_payment"', "design_id references the fact fact_payment"),
    "reference to the calendar": (SALES, '"dim_design"', '"dim_date"', "design_id has the type integer and references d"),
    "reference of a star": (SALES, '"dim_design"', '"dim_designs"', "which no file in schemas/warehouse declares; did you"),
    "reference to another thing": (SALES, '"dim_design"', '"dim_staff"', "design_id references dim_staff, which is made of s"),
    "check of a dimension": (DESIGN, "[columns]", '[checks.x]\nrule = "."\nbreaks = "true"\n[columns]', "only a fact has che"),
    # The origins of columns.
    "no origin": (DESIGN, 'from = "design.file_name", ', "", "file_name has no `from`, so it would always be NULL"),
    "column of the origin": (DESIGN, '"design.file_name"', '"design.weight"', "file_name: design declares no column weight"),
    "table of the origin": (DESIGN, '"design.file_name"', '"staff.first_name"', "file_name comes from staff.first_name; its"),
    "origin without a table": (DESIGN, '"design.file_name"', '"file_name"', "file_name comes from file_name; its table is mad"),
    "joined table": (STAFF, "{ department =", "{ team =", "join: no file in schemas/source declares team"),
    "joining column": (STAFF, '= "department_id" }', '= "department" }', "join: staff declares no column department; did you "),
    "join by another column": (STAFF, '= "department_id" }', '= "staff_id" }', "join: staff.staff_id must reference department"),
    "join for nothing": (DESIGN, 'source = "design"', 'source = "design"\njoin = { staff = "design_id" }', "no column comes fr"),
    "text into a number": (SALES, '"sales_order.units_sold"', '"sales_order.agreed_payment_date"', "text does not become in"),
    "number into a day": (SALES, 'from = "sales_order.created_at", references', 'from = "sales_order.staff_id", references',
                          "integer does not become date"),
    "moment into a text": (DESIGN, '"design.file_name"', '"design.created_at"', "timestamp(3) does not become varchar"),
    "text into a day": ("source/sales_order.toml", 'agreed_payment_date = { type = "text", format = "date",',
                        'agreed_payment_date = { type = "text",', 'text does not become date unless its declaration says'),
    "too little room": (SALES, "numeric(10,2)", "numeric(10,3)", "numeric(10,2) does not become numeric(10,3)"),
    "numeric of an integer": (SALES, 'units_sold = { type = "integer"', 'units_sold = { type = "numeric"', "integer does no"),
    "NULL": (STAFF, DEFAULT, 'location = { type = "varchar", from = "department.location", ', "department.location may be N"),
    "derivation": ("warehouse/dim_currency.toml", 'derive = "currency_name"', 'derive = "name"', "derivations.py has no name, onl"),
    "derivation of a number": (DESIGN, "design_id = {", 'design_id = { derive = "currency_name",', "makes a text of a text"),
    "fewer values": ("warehouse/dim_transaction.toml", '["SALE", "PURCHASE"]', '["SALE"]', "values lack some that"),
    "values that the origin has not": (STAFF, LAST_OF_STAFF, LAST_OF_STAFF + 'values = ["a"], ', "values lack some that"),
    "default among the values": ("warehouse/dim_transaction.toml", '["SALE", "PURCHASE"]',
                                 '["SALE", "PURCHASE"], default = "SAIL"', "default is 'SAIL', expected one of SALE, PURC"),
    "default of an integer": (SALES, "units_sold = {", 'units_sold = { default = "3000000000",', "expected a whole number of"),
    "default of a numeric": (SALES, "unit_price = {", 'unit_price = { default = "1.005",', "expected a numeric(10,2)"),
    "default of absurd digits": (SALES, "unit_price = {", f'unit_price = {{ default = "{"9" * 5000}",', "expected a numeric(10,2)"),
    "default of other digits": (SALES, "units_sold = {", 'units_sold = { default = "٣",', "expected a whole number of 32 bits"),
    "absurd type of a star": (SALES, 'unit_price = { type = "numeric(10,2)"', f'unit_price = {{ default = "1", type = "numeric({"9" * 5000},2)"',
                              "unit_price has the type numeric(9999"),
    "star's type of many digits": (SALES, 'unit_price = { type = "numeric(10,2)"', 'unit_price = { default = "1", type = "numeric(999,500)"',
                                   "unit_price has the type numeric(999,500), expected"),
    "default of a day": (SALES, "created_date = {", 'created_date = { default = "2024-13-01",', "expected a date, YYYY-MM-DD"),
    "default of a time": (SALES, "created_time = {", 'created_time = { default = "9:00",', "expected a time, HH:MM:SS.mmm"),
    "default of a boolean": (PAYMENT, "paid = {", 'paid = { default = "yes",', "expected true or false"),
    # The calendar.
    "column of the calendar": (DATE, "quarter = {", "quarters = {", "totes/contracts/derivations.py calculates no column quarters; did you m"),
    "origin of a day": (DATE, "quarter = {", 'quarter = { from = "staff.staff_id",', "quarter: from means nothing in a cal"),
    "source of the calendar": (DATE, 'key = "date_id"', 'key = "date_id"\nsource = "staff"', "source means nothing in a ca"),
    # Versions.
    "version 0": (DESIGN, 'source = "design"', 'source = "design"\nsince = 0', "since is 0, expected 1 or more"),
    "column of version 0": (DESIGN, "file_name = {", "file_name = { since = 0,", "file_name: since is 0, expected 1 or more"),
    "left out version": (DESIGN, "file_name = {", "file_name = { nullable = true, since = 9,", "since is 9, and nothing has"),
    "later without a value": (DESIGN, "file_name = {", "file_name = { since = 3,", "file_name comes later than its table and"),
    "later key": (DESIGN, "design_id = {", "design_id = { since = 3,", "the key design_id must be there from the start"),
    "later reference": (SALES, "design_id = {", 'design_id = { since = 3, default = "1",', "its default may refer to a row"),
    "older than its table": (DESIGN, "file_name = {", "file_name = { nullable = true, since = 2,", "and its table has since = 3"),
    "later table": (DESIGN, 'source = "design"', 'source = "design"\nsince = 3', "design_id has since = 1, and refers to d"),
    "until its since": (DESIGN, "file_name = {", "file_name = { until = 1,", "until is 1, expected more than its since"),
    "key taken back": (DESIGN, "design_id = {", "design_id = { until = 3,", "design_id identifies the rows and can't hav"),
    # The SQL of checks.
    "empty check": (SALES, "[columns]", '[checks.x]\nrule = "."\nbreaks = "-- x\\n"\n[columns]', "check x: breaks is empty"),
    "placeholder": (PAYMENT, "{stars}.dim_transaction AS deal", "{star}.dim_transaction AS deal", "has the placeholder {star}"),
    "brace": (PAYMENT, "{stars}.dim_transaction AS deal", "{stars.dim_transaction AS deal", "has a brace that is not a placeho"),
    "table of a check": (PAYMENT, "{stars}.fact_sales_order", "{stars}.fact_sale_order", "reads {stars}.fact_sale_order, wh"),
    "log of a check": (PAYMENT, "{stars}.fact_sales_order AS", "{log}.batches AS", "reads {log}.batches, which no file in"),
    "column of a check": (PAYMENT, "checked.transaction_id", "checked.transaction", "fact_payment declares no such column; d"),
    "column that is taken back": (PAYMENT, "payment_amount = {", "payment_amount = { until = 4,", "reads checked.payment_amount, w"),
    "brackets": (PAYMENT, "EXISTS (", "EXISTS ((", "has brackets that don't match"),
    "brackets closed first": (PAYMENT, "EXISTS (\n", "true) OR (EXISTS (\n", "has brackets that don't match"),
    "quote": (PAYMENT, "AND NOT EXISTS", "AND 'a' <> 'b AND NOT EXISTS", "has a quote or a comment without an end"),
    "comment": (PAYMENT, ')\n"""', ') -- so it is"""', "ends within a comment"),
    "semicolon": (PAYMENT, ')\n"""', ');\n"""', "has a semicolon; expected one condition"),
    "parameter": (PAYMENT, ')\n"""', ') AND :batch > 1\n"""', "has a parameter :batch, which nothing fills in"),
}  # fmt: skip
# Their finding is on another line: that of the column named in the replaced line, or the line before.
ELSEWHERE = (
    "key of another type",
    "dimension's key of another type",
    "version 0",
    "later table",
    "no number",
    "too many bytes",
    "NUL in a name",
)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_found_on_its_line(schemas: Path, mistake: str) -> None:
    file, old, new, expected = MISTAKES[mistake]
    if mistake == "older than its table":
        replaced(schemas, file, 'source = "design"', 'source = "design"\nsince = 3')
    line = replaced(schemas, file, old, new)
    found = [finding for finding in findings(schemas) if expected in finding]
    assert found, f"not among {findings(schemas)}"
    shown = (schemas / file).read_text(encoding="utf-8").splitlines()
    if (named := re.match(rf"{file}:(\d+): ", found[0])) and mistake not in ELSEWHERE:
        # SQL is found on the line of its field, and a missing field on the first line.
        assert int(named[1]) in (1, line, line + new.count("\n")) or shown[int(named[1]) - 1].startswith("breaks = ")


def test_right_declarations_have_no_findings() -> None:
    assert read_declarations().findings == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("warehouse/more.sql", "expected <table>.toml or <four digits>_<what>.sql"),
        ("warehouse/3_more.sql", "expected <table>.toml or <four digits>_<what>.sql"),
        ("source/staff.TOML", "expected <table>.toml"),
        ("source/staff.toml~", "expected <table>.toml"),
    ],
)
def test_file_that_nothing_reads_is_found(schemas: Path, name: str, expected: str) -> None:
    (schemas / name).write_text("", encoding="utf-8")
    assert findings(schemas) == [f"{name}:1: nothing reads a file of this name; {expected}"]


# A file, its content (None: it does not exist), and its finding.
FILES: dict[str, tuple[str, bytes | None, str]] = {
    "no log": ("0001_log.sql", None, "0001_log.sql:1: no file has version 1: it makes the log's tables"),
    "no second": ("0002_quarantine.sql", None, "0003_tombstones_that_end.sql:1: its version is 3, and nothing has version 2"),
    "no views": ("views.sql", None, "views.sql:1: the file is not there: a migration needs it"),
    "no version table": ("schema_version.sql", None, "schema_version.sql:1: the file is not there: a migration needs it"),
    "number twice": ("0003_zz.sql", b"", "0003_zz.sql:1: 0003_tombstones_that_end.sql has version 3, too: give it another"),
    "version 0": ("0000_x.sql", b"", "0000_x.sql:1: its version is 0, expected 1 or more"),
    "far version": ("0007_x.sql", b"", "0007_x.sql:1: its version is 7, and nothing has version 6"),
    "bare braces": ("0005_x.sql", b"--\nSELECT '{}'", "0005_x.sql:2: has the placeholder {}, expected {stars} or {log}"),
    "placeholder": ("0005_x.sql", b"{{}}\n\n{star}.x", "0005_x.sql:3: has the placeholder {star}, expected {stars} or {log}; did"),
    "placeholder of views": ("0005_x.sql", b"{fact}", "0005_x.sql:1: has the placeholder {fact}, expected {stars} or {log}"),
    "placeholder in views": ("views.sql", b"{facts}", "views.sql:1: has the placeholder {facts}, expected {stars} or {log} or {fa"),
    "conversion": ("0005_x.sql", b"{stars!x}", "0005_x.sql:1: has the placeholder {stars!x}, expected"),
    "one brace": ("0005_x.sql", b"\n}", "0005_x.sql:2: has a brace that is not a placeholder: write it twice"),
    "no UTF-8": ("0005_x.sql", b"\xff", "0005_x.sql:1: not UTF-8"),
    "no UTF-8 in views": ("views.sql", b"\xff", "views.sql:1: not UTF-8"),
    "byte order mark": ("0005_x.sql", b"\xef\xbb\xbfSELECT 1", "0005_x.sql:1: begins with a byte order mark"),
    "NUL": ("0005_x.sql", b"\n\0", "0005_x.sql:2: holds a NUL character"),
    "mark in TOML": ("dim_zz.toml", b"\xef\xbb\xbf", "dim_zz.toml:1: begins with a byte order mark"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", FILES)
def test_file_that_a_migration_can_not_use_is_found(schemas: Path, mistake: str) -> None:
    name, content, expected = FILES[mistake]
    if content is None:
        (schemas / "warehouse" / name).unlink()
    else:
        (schemas / "warehouse" / name).write_bytes(content)
    found = findings(schemas)
    assert found
    assert [each for each in found if each.startswith(f"warehouse/{expected}")] == found


@pytest.mark.parametrize("name", ["source/x.toml", "warehouse/x.toml", "warehouse/0005_x.sql"])
def test_what_is_no_readable_file_is_found(schemas: Path, name: str) -> None:
    (schemas / name).mkdir()
    assert findings(schemas) == [f"{name}:1: can't be read: Is a directory"]
    (schemas / name).rmdir()
    (schemas / name).symlink_to("gone")
    assert findings(schemas) == [f"{name}:1: can't be read: No such file or directory"]


@pytest.mark.parametrize("folder", ["source", "warehouse"])
def test_missing_folder_is_found(schemas: Path, folder: str) -> None:
    shutil.rmtree(schemas / folder)
    assert findings(schemas) == [f"{folder}:1: the folder is not there"]


@pytest.mark.parametrize("name", ["source/staff.old.toml", "warehouse/dim_staff.old.toml"])
def test_backup_of_a_declaration_is_found(schemas: Path, name: str) -> None:
    (schemas / name).write_text((schemas / name.replace(".old", "")).read_text(encoding="utf-8"), encoding="utf-8")
    (found,) = findings(schemas)
    assert found.startswith(f"{name}:1: the name {Path(name).stem} may have only a to z, digits and _")


@pytest.mark.parametrize("limit", [80_000_001, 80_000_000], ids=["too much", "nothing left"])
def test_limits_that_no_function_can_hold_are_found(schemas: Path, limit: int) -> None:
    columns = [
        'a_id = { type = "integer", meaning = "." }',
        f'b = {{ type = "text", meaning = ".", max_bytes = {limit} }}',
    ]
    if limit == 80_000_000:
        columns.append('c = { type = "text", meaning = "." }')
    text = "\n".join(['meaning = "."', 'key = "a_id"', "[columns]", *columns])
    (schemas / "source" / "large.toml").write_text(text, encoding="utf-8")
    (found,) = findings(schemas)
    assert "max_bytes of its columns add up to more than 80,000,000, or leave nothing for another text" in found


def test_table_without_columns_is_found(schemas: Path) -> None:
    (schemas / "source" / "bare.toml").write_text('meaning = "."\nkey = "a"\n', encoding="utf-8")
    assert "source/bare.toml:1: it declares no columns" in findings(schemas)


def test_hidden_file_does_not_matter(schemas: Path) -> None:
    for name in (".DS_Store", ".staff.toml", ".#staff.toml"):
        (schemas / "source" / name).write_bytes(b"\0")
        (schemas / "warehouse" / name).write_bytes(b"\0")
    (schemas / "warehouse" / ".0005_x.sql").write_bytes(b"\xff")
    assert findings(schemas) == []


def test_calendar_has_its_name(schemas: Path) -> None:
    path = schemas / "warehouse" / "dim_date.toml"
    (schemas / "warehouse" / "dim_day.toml").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    assert findings(schemas) == [
        "warehouse/dim_day.toml:1: the calendar's name is dim_date: Transform adds the facts' days to no other table"
    ]


def test_fact_has_a_name_of_its_own(schemas: Path) -> None:
    path = schemas / "warehouse" / "fact_sales_order.toml"
    for name in ("sales", "current_sales_order"):
        (schemas / "warehouse" / f"{name}.toml").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    found = findings(schemas)
    assert any(
        "a fact's name begins with fact_: rename the file, for instance to fact_sales.toml" in each for each in found
    )
    assert any(
        "the fact has a view or function current_sales_order, and a declared table has" in each for each in found
    )


@pytest.mark.parametrize(
    ("name", "maker", "what"),
    [
        ("dim_staff_pkey", "dim_staff", "the index dim_staff_pkey"),
        ("fact_payment_versions", "fact_payment", "the index fact_payment_versions"),
        ("fact_payment_payment_record_id_seq", "fact_payment", "the sequence fact_payment_payment_record_id_seq"),
        ("payment_history", "fact_payment", "a view or function payment_history"),
    ],
)
def test_table_may_not_have_the_name_of_what_another_makes(schemas: Path, name: str, maker: str, what: str) -> None:
    text = (schemas / DESIGN).read_text(encoding="utf-8")
    (schemas / "warehouse" / f"{name}.toml").write_text(text, encoding="utf-8")
    (found,) = findings(schemas)
    assert found.startswith(f"warehouse/{maker}.toml:1: ")
    assert found.endswith(f"{what}, and a declared table has that name, too")


def test_two_facts_may_not_make_one_view(schemas: Path) -> None:
    """The history of one of these facts has the name of the other's current state."""
    text = (schemas / PAYMENT).read_text(encoding="utf-8")
    for name in ("fact_current_x", "fact_x_history"):
        (schemas / "warehouse" / f"{name}.toml").write_text(text, encoding="utf-8")
    assert findings(schemas) == [
        "warehouse/fact_x_history.toml:1: the fact has a view or function current_x_history, and fact_current_x makes one of that name, too"
    ]


def test_table_of_a_version_below_1_has_one_finding(schemas: Path) -> None:
    for name in (SALES, DESIGN):
        text = (schemas / name).read_text(encoding="utf-8")
        (schemas / name).write_text(f"since = -1\n{text}", encoding="utf-8")
    assert findings(schemas) == [f"{name}:1: since is -1, expected 1 or more" for name in (DESIGN, SALES)]


def test_name_leaves_room_for_view_names(schemas: Path) -> None:
    path = schemas / "warehouse" / "fact_sales_order.toml"
    name = "fact_" + "x" * 53
    path.with_name(f"{name}.toml").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    assert findings(schemas) == [
        f"warehouse/{name}.toml:1: the name {name}_versions is longer than 63 bytes: PostgreSQL would cut it"
    ]


def test_circle_of_references_is_shown(schemas: Path) -> None:
    replaced(
        schemas,
        "source/department.toml",
        "[columns]",
        '[columns]\nhead = { type = "integer", references = "staff", meaning = "." }',
    )
    (found,) = findings(schemas)
    assert "closes a circle of references: " in found
    assert "staff → department → staff" in found or "department → staff → department" in found


def test_files_that_are_no_utf_8_are_found(schemas: Path) -> None:
    (schemas / "source" / "staff.toml").write_bytes(b'meaning = "\xff"')
    assert "source/staff.toml:1: not UTF-8" in findings(schemas)


def test_line_is_found_in_each_form_of_toml(schemas: Path) -> None:
    """A column may be a table of its own, with dots or quotes, and a text may look like a key."""
    (schemas / "source" / "odd.toml").write_text(
        'meaning = """\nkey = 5\n[columns]\n"""\nkey = "odd_id"\n\n[columns]\n"odd_id" = { type = "integer", meaning = "." }\n'
        'short.type = "text"\nshort.meaning = " "\n[columns.long]\ntype = "txt"\nmeaning = "."\n',
        encoding="utf-8",
    )
    assert [finding.split(":")[:2] for finding in findings(schemas)] == [
        ["source/odd.toml", "10"],
        ["source/odd.toml", "12"],
    ]


def test_error_shows_ten_mistakes_of_both_kinds(schemas: Path) -> None:
    replaced(schemas, SOURCE, "staff_id = {", "staf_id = {")
    for name in ("design", "currency", "payment", "address"):
        path = schemas / "warehouse" / "zz.toml"
        text = f'meaning = "."\ngrain = "."\nkind = "dimension"\nkey = "x"\nsource = "{name}"\n[columns]\ny = {{}}\n'
        path.with_name(f"zz_{name}.toml").write_text(text, encoding="utf-8")
    total = len(findings(schemas))
    for read in (source_tables, warehouse_tables):
        with pytest.raises(ContractInvalid) as caught:
            read()
        assert caught.value.found.startswith(
            "source/staff.toml:2: key = staff_id: staff declares no column staff_id; did"
        )
        assert caught.value.found.count(".toml:") == 10
        assert caught.value.found.endswith(f"; and {total - 10} more.")
        assert caught.value.remedy == (
            "Correct the declarations in schemas/ until `totes check` finds no mistake, and deploy."
        )


@pytest.mark.parametrize("name", ["text", "integer", "boolean", "date", "numeric(12,2)", "numeric(10,2)"])
def test_types_that_become_text_are_accepted(schemas: Path, name: str) -> None:
    replaced(schemas, "source/design.toml", 'file_name = { type = "text"', f'file_name = {{ type = "{name}"')
    assert findings(schemas) == []


def test_default_may_fill_a_wide_numeric(schemas: Path) -> None:
    wide = 'unit_price = { default = "-00123.450", type = "numeric(38,30)"'
    replaced(schemas, SALES, 'unit_price = { type = "numeric(10,2)"', wide)
    replaced(
        schemas,
        "source/sales_order.toml",
        'unit_price = { type = "numeric(10,2)"',
        'unit_price = { type = "numeric(8,2)"',
    )
    assert findings(schemas) == []


def test_finding_shows_the_beginning_of_an_absurd_type(schemas: Path) -> None:
    replaced(schemas, SOURCE, EMAIL, f'email_address = {{ type = "varchar({"9" * 5000})", ')
    (found,) = findings(schemas)
    assert len(found) < 300


def test_integer_has_room_in_a_wide_numeric(schemas: Path) -> None:
    replaced(schemas, SALES, 'units_sold = { type = "integer"', 'units_sold = { type = "numeric(12,2)"')
    assert findings(schemas) == []


def test_check_may_read_logs_views_and_have_comments(schemas: Path) -> None:
    replaced(
        schemas,
        PAYMENT,
        'breaks = """',
        'breaks = """ -- it\'s ; (\n checked.paid IS NULL AND EXISTS (SELECT FROM {log}.batch AS b, {stars}.current_payment WHERE '
        "b.execution = 'a:b;(' AND CAST(b.batch_id AS text) <> '') AND\n",
    )
    assert findings(schemas) == []


def test_declarations_are_read_once() -> None:
    assert declared() is declared()
