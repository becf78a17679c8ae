"""The contracts: one declaration per table, read from schemas/.

They drive extraction, Parquet schemas, DDL, checks and the data dictionary. A declaration that is itself wrong is
refused when it is read, with the file and the field in the message.
"""

import graphlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from totes.errors import TerminalError

_Table = TypeVar("_Table", "SourceTable", "WarehouseTable")
_Part = TypeVar("_Part", "Column", "Check", "SourceTable", "WarehouseTable")
_Value = TypeVar("_Value", bound=dict[str, Any] | list[Any])

SCHEMAS = Path(__file__).parent.parent / "schemas"
# The most bytes that a row's texts may have together: a function holds each row several times.
MAX_ROW_BYTES = 80_000_000
# The most bytes of one text, unless its column declares another limit. In a table with more than ten text columns, each
# gets an equal share of MAX_ROW_BYTES.
MAX_BYTES = 8_000_000
# A varchar(n) with a larger n counts as a text.
_SHORT_CHARACTERS = 10_000
_TEXT = re.compile(r"text|varchar(?:\((\d+)\))?")


class ContractInvalid(TerminalError):
    """A declaration in schemas/ is not well-formed."""


@dataclass(frozen=True)
class Column:
    """One column of a source or warehouse table.

    Attributes:
        type: a PostgreSQL type in its short form, for instance `integer`, `numeric(10,2)`, `timestamp(3)`.
        references: the table whose key the column holds.
        format: `date` where a text holds a YYYY-MM-DD date, `currency` where it holds an ISO 4217 code.
        values: the values that are accepted; empty where any is.
        origin: the `table.column` of totesys that a warehouse column comes from.
        default: stands in for NULL on the way into the warehouse.
        derive: the function in totes.star that makes the value from its origin.
        since: the version of the warehouse's schema that brought the column.
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
    max_bytes: int | None = None

    @property
    def is_text(self) -> bool:
        """Returns whether its values are texts without a short length limit."""
        found = _TEXT.fullmatch(self.type)
        return found is not None and (found[1] is None or int(found[1]) > _SHORT_CHARACTERS)


@dataclass(frozen=True)
class SourceTable:
    """A table of totesys.

    Attributes:
        quarantine: whether a row that breaks its contract is quarantined, instead of holding the run.
        max_deleted_share: the share of the table's rows that may go in one batch without confirmation; up to 100
            rows always may.
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
        """Returns the most bytes that a value may have, by text column."""
        texts = [column for column in self.columns if column.is_text]
        declared = {column.name: column.max_bytes for column in texts if column.max_bytes is not None}
        others = len(texts) - len(declared)
        share = (MAX_ROW_BYTES - sum(declared.values())) // others if others else 0
        return {column.name: declared.get(column.name, min(MAX_BYTES, share)) for column in texts}


@dataclass(frozen=True)
class Check:
    """A rule that rows of a fact keep, made sure of before a batch is committed.

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
        checks: of a fact, what references and accepted values can't say.
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

    def column(self, name: str) -> Column:
        return _named(self.name, self.columns, name)

    @property
    def is_fact(self) -> bool:
        return self.kind == "fact"

    @property
    def identity(self) -> str:
        """The column that carries the id of totesys: what a tombstone names."""
        return self.business_key or self.key

    @property
    def data_columns(self) -> tuple[Column, ...]:
        """All columns but the serial that the warehouse itself assigns."""
        return tuple(column for column in self.columns if column.type != "serial")


@cache
def source_tables() -> Mapping[str, SourceTable]:
    """The tables of totesys, those that are referenced before those that refer to them."""
    return _in_order_of_reference(_source_table(path) for path in _declarations("source"))


@cache
def warehouse_tables() -> Mapping[str, WarehouseTable]:
    """The tables of the warehouse, dimensions before the facts that refer to them."""
    return _in_order_of_reference(_warehouse_table(path) for path in _declarations("warehouse"))


def source_columns() -> dict[str, list[str]]:
    """The declared columns of each table of totesys, as a manifest has them."""
    return {name: [column.name for column in table.columns] for name, table in source_tables().items()}


def origin_of(column: Column) -> Column:
    """The column of totesys that a warehouse column comes from."""
    if column.origin is None:
        raise ContractInvalid(f"{column.name} has no `from`.", "Give it one in schemas/warehouse.")
    table, _, name = column.origin.partition(".")
    return source_tables()[table].column(name)


def _named(table: str, columns: Iterable[Column], name: str) -> Column:
    for column in columns:
        if column.name == name:
            return column
    raise ContractInvalid(f"{table} declares no column {name}.", "Correct the name in schemas/.")


def _declarations(folder: str) -> list[Path]:
    return sorted((SCHEMAS / folder).glob("*.toml"))


def _source_table(path: Path) -> SourceTable:
    table = _checked(path, SourceTable)
    for column in table.columns:
        if column.max_bytes is not None and not column.is_text:
            raise ContractInvalid(
                f"source/{path.name}: {column.name} has max_bytes, and the type {column.type}.",
                "Declare max_bytes for a text or a varchar without a length.",
            )
    limits = table.byte_limits.values()
    if sum(limits) > MAX_ROW_BYTES or min(limits, default=1) < 1:
        raise ContractInvalid(
            f"source/{path.name}: max_bytes of its columns add up to more than {MAX_ROW_BYTES:,}, or leave nothing for "
            "another text.",
            "Lower max_bytes: a function has not the memory for a longer row.",
        )
    return table


def _warehouse_table(path: Path) -> WarehouseTable:
    return _checked(path, WarehouseTable)


def _checked(path: Path, kind: type[_Table]) -> _Table:
    where = f"{path.parent.name}/{path.name}"
    try:
        declared = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ContractInvalid(f"{where} is no TOML: {error}.", "Correct the declaration.") from error
    for plural, part in {"columns": Column, "checks": Check}.items():
        if plural in declared:
            parts = _expected(declared[plural], dict, f"{where}: {plural}")
            declared[plural] = tuple(
                _made(part, name, given, f"{where}, {part.__name__.lower()} {name}") for name, given in parts.items()
            )
    return _made(kind, path.stem, declared, where)


def _made(kind: type[_Part], name: str, declared: Any, where: str) -> _Part:
    """Makes a dataclass from a declaration's fields.

    Raises:
        ContractInvalid: a field is unknown, missing or of the wrong kind.
    """
    given = _expected(declared, dict, f"{where}: it")
    # A Python keyword can't name an attribute.
    known = {"from" if each.name == "origin" else each.name: each for each in fields(kind) if each.name != "name"}
    needed = {key for key, each in known.items() if each.default is MISSING and each.default_factory is MISSING}
    for key in sorted(given.keys() - known.keys()):
        problem = f"{where}: field {key} is unknown. Known are {', '.join(sorted(known))}."
        raise ContractInvalid(problem, "Correct the declaration.")
    for key in sorted(needed - given.keys()):
        raise ContractInvalid(f"{where}: field {key} is missing.", "Correct the declaration.")
    if "values" in given:
        given["values"] = tuple(_expected(given["values"], list, f"{where}: field values"))
    return kind(name=name, **{known[key].name: value for key, value in given.items()})


def _expected(value: Any, kind: type[_Value], what: str) -> _Value:
    if not isinstance(value, kind):
        raise ContractInvalid(f"{what} is no {'table' if kind is dict else 'list'}.", "Correct the declaration.")
    return value


def _in_order_of_reference(tables: Iterable[_Table]) -> dict[str, _Table]:
    by_name = {table.name: table for table in tables}
    references = {
        name: sorted({column.references for column in table.columns if column.references})
        for name, table in by_name.items()
    }
    for name, targets in references.items():
        if unknown := set(targets) - by_name.keys():
            raise ContractInvalid(f"{name} references {sorted(unknown)}, which is not declared.", "Correct the name.")
    order = graphlib.TopologicalSorter(references).static_order()
    return {name: by_name[name] for name in order}
