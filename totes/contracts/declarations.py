"""The contracts: one declaration per table, read from schemas/.

They define extraction, Parquet schemas, DDL, checks and the data dictionary. All are read and checked together
(totes.contracts.consistency), even if only some are needed: the error names each mistake with its file and line.
"""

import graphlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

from totes.contracts import types
from totes.contracts.consistency import check
from totes.contracts.files import File, Finding
from totes.contracts.types import Type
from totes.errors import TerminalError

_Table = TypeVar("_Table", "SourceTable", "WarehouseTable")

SCHEMAS = Path(__file__).parents[2] / "schemas"
# The most bytes that a row's texts may have together: a function holds several copies of a row in memory.
MAX_ROW_BYTES = 80_000_000
# The most bytes of one text, unless its column declares another limit. In a table with more than ten text columns, each
# gets an equal share of MAX_ROW_BYTES.
MAX_BYTES = 8_000_000
# An error names at most 10 findings; `totes check` shows all.
_SHOWN = 10
_SOURCE = ("meaning", "key", "quarantine", "max_deleted_share")
_WAREHOUSE = ("meaning", "grain", "kind", "key", "business_key", "source", "join", "since")
_COLUMN = ("type", "meaning", "nullable", "references", "values")
_SOURCE_COLUMN = (*_COLUMN, "format", "max_bytes")
_WAREHOUSE_COLUMN = (*_COLUMN, "from", "default", "derive", "since", "until")


class ContractInvalid(TerminalError):
    """The declarations in schemas/ are wrong, or the warehouse does not match them."""


@dataclass(frozen=True)
class Column:
    """One column of a source or warehouse table.

    Attributes:
        type: a PostgreSQL type in its short form, one of those of totes.contracts.types.
        references: the table whose key the column holds.
        format: `date` if a text holds a YYYY-MM-DD date, `currency` if it holds an ISO 4217 code.
        values: the accepted values; empty if all are accepted.
        origin: the `table.column` of totesys that a warehouse column comes from.
        default: replaces NULL on the way into the warehouse.
        derive: the derivation in totes.contracts.derivations that makes the value from its origin.
        since: the version of the warehouse's schema that adds the column.
        until: the version that drops it; None means that it stays.
        max_bytes: the most bytes that a text of totesys may have; None means the default.
    """

    name: str
    type: str
    meaning: str
    nullable: bool = False
    references: str | None = None
    format: str | None = None
    values: tuple[str, ...] = ()
    origin: str | None = None
    default: str | None = None
    derive: str | None = None
    since: int = 1
    until: int | None = None
    max_bytes: int | None = None

    @property
    def type_row(self) -> Type:
        """Returns the row of the table of types for its type.

        Raises:
            ContractInvalid: the table has no such type.
        """
        if found := types.find(self.type):
            return found
        known = ", ".join(types.names(in_source=True))
        raise ContractInvalid(f"Column {self.name} has the type {self.type}.", f"Use one of {known}.")

    @property
    def is_long_text(self) -> bool:
        """Returns whether its values are texts without a short limit of length."""
        found = types.find(self.type)
        return found is not None and found.needs_limit

    @property
    def is_assigned(self) -> bool:
        """Returns whether the warehouse assigns its values."""
        found = types.find(self.type)
        return found is not None and found.is_assigned


@dataclass(frozen=True)
class SourceTable:
    """A table of totesys.

    Attributes:
        quarantine: whether a row that breaks its contract is quarantined; if not, it holds the run.
        max_deleted_share: the share of the table's rows that one batch deletes without confirmation; it always deletes
            up to 100 rows.
    """

    name: str
    meaning: str
    key: str
    columns: tuple[Column, ...]
    quarantine: bool = False
    max_deleted_share: float = 0.1

    def column(self, name: str) -> Column:
        return _named(self.name, self.columns, name)

    @property
    def byte_limits(self) -> dict[str, int]:
        """Returns the most bytes that a value may have, by name of the text column."""
        texts = [column for column in self.columns if column.is_long_text]
        declared = {column.name: column.max_bytes for column in texts if column.max_bytes is not None}
        others = len(texts) - len(declared)
        share = (MAX_ROW_BYTES - sum(declared.values())) // others if others else 0
        return {column.name: declared.get(column.name, min(MAX_BYTES, share)) for column in texts}


@dataclass(frozen=True)
class Check:
    """A rule that a fact's rows must keep. Load checks it before it commits a batch.

    Attributes:
        rule: the rule in one sentence.
        breaks: SQL that is true of a row that breaks it. The row's alias is `checked`; tables are written
            `{stars}.dim_staff`.
    """

    name: str
    rule: str
    breaks: str


@dataclass(frozen=True)
class WarehouseTable:
    """A table of the star schemas.

    Attributes:
        grain: what one row is.
        kind: `fact`, `dimension` or `calendar`.
        key: the primary key; of a fact, the serial that numbers the versions.
        business_key: of a fact, the id that the versions of one thing share.
        source: the table of totesys whose rows become this table's rows; None for the calendar.
        join: other tables that supply columns, each with the column of `source` that holds its key.
        checks: of a fact, the rules that references and accepted values can't express.
        former_columns: the columns with an `until`. Only migrations use them.
    """

    name: str
    meaning: str
    grain: str
    kind: str
    key: str
    columns: tuple[Column, ...]
    business_key: str | None = None
    source: str | None = None
    join: Mapping[str, str] = field(default_factory=dict)
    since: int = 1
    checks: tuple[Check, ...] = ()
    former_columns: tuple[Column, ...] = ()

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """Returns its columns, and then its former ones."""
        return (*self.columns, *self.former_columns)

    def column(self, name: str) -> Column:
        return _named(self.name, self.columns, name)

    @property
    def is_fact(self) -> bool:
        return self.kind == "fact"

    @property
    def identity(self) -> str:
        """Returns the column that holds the id of totesys, by which a tombstone names a row."""
        return self.business_key or self.key

    @property
    def data_columns(self) -> tuple[Column, ...]:
        """Returns all columns except the serial that the warehouse assigns."""
        return tuple(column for column in self.columns if not column.is_assigned)


@dataclass(frozen=True)
class Declarations:
    """All declarations in schemas/; a table comes after those that it refers to.

    Attributes:
        findings: the mistakes. If there are any, the tables must not be used.
    """

    source: Mapping[str, SourceTable]
    warehouse: Mapping[str, WarehouseTable]
    findings: Sequence[Finding]


def source_tables() -> Mapping[str, SourceTable]:
    """Returns the tables of totesys, each after those that it refers to.

    Raises:
        ContractInvalid: a declaration of schemas/, of either kind, is wrong.
    """
    return declared().source


def warehouse_tables() -> Mapping[str, WarehouseTable]:
    """Returns the tables of the warehouse, dimensions before the facts that refer to them.

    Raises:
        ContractInvalid: a declaration of schemas/, of either kind, is wrong.
    """
    return declared().warehouse


@cache
def declared() -> Declarations:
    """Returns all declarations, which are read once.

    Raises:
        ContractInvalid: a declaration is wrong; the message names the first ten mistakes with file and line.
    """
    found = read_declarations()
    if found.findings:
        shown = "; ".join(map(str, found.findings[:_SHOWN]))
        more = f"; and {len(found.findings) - _SHOWN} more" if len(found.findings) > _SHOWN else ""
        raise ContractInvalid(
            f"{shown}{more}.", "Correct the declarations in schemas/ until `totes check` finds no mistake, and deploy."
        )
    return found


def read_declarations() -> Declarations:
    """Reads and checks all files of schemas/."""
    if missing := [folder for folder in ("source", "warehouse") if not (SCHEMAS / folder).is_dir()]:
        return Declarations({}, {}, [Finding(folder, 1, "the folder is not there") for folder in missing])
    files = {folder: [File(path) for path in _toml_files(folder)] for folder in ("source", "warehouse")}
    source = {file.table: table for file in files["source"] if (table := _source_table(file))}
    warehouse = {file.table: star for file in files["warehouse"] if (star := _warehouse_table(file))}
    findings = [*check(SCHEMAS, files, source, warehouse)]
    if findings:
        return Declarations(source, warehouse, sorted(findings))
    return Declarations(_in_order_of_reference(source), _in_order_of_reference(warehouse), findings)


def calendars() -> list[str]:
    """Returns the names of the warehouse's tables that are not made from totesys's rows."""
    return [table.name for table in warehouse_tables().values() if table.kind == "calendar"]


def source_columns() -> dict[str, list[str]]:
    """Returns the declared columns of each table of totesys, in the form of a manifest."""
    return {name: [column.name for column in table.columns] for name, table in source_tables().items()}


def origin_of(column: Column) -> Column:
    """Returns the column of totesys that a warehouse column comes from."""
    if column.origin is None:
        raise ContractInvalid(f"{column.name} has no `from`.", "Give it one in schemas/warehouse.")
    table, _, name = column.origin.partition(".")
    return source_tables()[table].column(name)


def type_in_use(column: Column) -> Type:
    """Returns the type that a column's values have; for an unbounded numeric, that of its origin."""
    row = column.type_row
    return type_in_use(origin_of(column)) if row.like_origin and column.origin else row


def _named(table: str, columns: Iterable[Column], name: str) -> Column:
    for column in columns:
        if column.name == name:
            return column
    raise ContractInvalid(f"{table} declares no column {name}.", "Correct the name in schemas/.")


def _toml_files(folder: str) -> list[Path]:
    # An editor's hidden files declare nothing.
    return sorted(path for path in (SCHEMAS / folder).glob("*.toml") if not path.name.startswith("."))


def _source_table(file: File) -> SourceTable | None:
    return file.made(SourceTable, _SOURCE, columns=tuple(file.parts("columns", Column, _SOURCE_COLUMN)))


def _warehouse_table(file: File) -> WarehouseTable | None:
    columns = tuple(file.parts("columns", Column, _WAREHOUSE_COLUMN))
    made = file.made(
        WarehouseTable, _WAREHOUSE, columns=columns, checks=tuple(file.parts("checks", Check, ("rule", "breaks")))
    )
    return made and replace(
        made,
        columns=tuple(column for column in columns if column.until is None),
        former_columns=tuple(column for column in columns if column.until is not None),
    )


def _in_order_of_reference(tables: Mapping[str, _Table]) -> dict[str, _Table]:
    order = graphlib.TopologicalSorter({name: _references(table) for name, table in tables.items()}).static_order()
    return {name: tables[name] for name in order}


def _references(table: "SourceTable | WarehouseTable") -> list[str]:
    return sorted({column.references for column in table.columns if column.references})
