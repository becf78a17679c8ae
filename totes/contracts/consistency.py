"""Checks the declarations of schemas/ as a whole: each name resolves, and types and versions fit each other.

Without these checks, a mistake would fail in a later stage and hold a batch. Or it would never fail: a column with a
misspelt origin would stay NULL.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from totes.contracts import types
from totes.contracts.derivations import CALENDAR_COLUMNS, DERIVATIONS
from totes.contracts.files import File, Finding, nearest, read_text

if TYPE_CHECKING:
    from totes.contracts.declarations import Check, Column, SourceTable, WarehouseTable

_FORMATS = ("date", "currency")
_KINDS = ("fact", "dimension", "calendar")
CALENDAR = "dim_date"
# The most bytes of a name in PostgreSQL, which silently cuts longer names.
_LONGEST_NAME = 63
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SYSTEM_COLUMNS = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
# Columns that the lake's views and a fact's history add to the table's own, and an argument of its functions.
_OF_THE_LAKE = {"batch", "age"}
_OF_HISTORY = {"version", "batch_id", "valid_from", "valid_to", "deleted"}
_VIEWS = ("current_{}", "{}_history", "{}_as_of")
_VERSIONED_SQL = re.compile(r"[0-9]{4}_\w+\.sql")
_OTHER_SQL = ("schema_version.sql", "views.sql")
# The placeholders that the warehouse fills in: in each file and rule, and in views.sql.
_PLACES = ("stars", "log")
_OF_VIEWS = (*_PLACES, "fact", "fact_name", "current", "history", "as_of", "record_id", "business_id")
_BRACE = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}]*)\}|[{}]")
_LOG_TABLE = re.compile(r"CREATE TABLE \{log\}\.(\w+)")
_LITERAL = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*\n|/\*.*?\*/", re.DOTALL)
_NAMED_TABLE = re.compile(r"\{(stars|log)\}\.(\w+)(?:\s+(?:AS\s+)?(\w+))?", re.IGNORECASE)
_NAMED_COLUMN = re.compile(r"(?<![\w.}])(\w+)\.(\w+)\b(?!\s*[.(])")
_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")
_AFTER_A_TABLE = {
    "where",
    "on",
    "join",
    "left",
    "right",
    "full",
    "inner",
    "cross",
    "natural",
    "group",
    "order",
    "limit",
    "union",
}


def log_tables(path: Path) -> list[str]:
    """Returns the tables of the log that a file of DDL creates."""
    return _LOG_TABLE.findall(path.read_text(encoding="utf-8"))


def check(
    schemas: Path,
    files: Mapping[str, Sequence[File]],
    source: "Mapping[str, SourceTable]",
    warehouse: "Mapping[str, WarehouseTable]",
) -> list[Finding]:
    """Returns all mistakes: those found while the files were read, and declarations that do not fit each other.

    Args:
        files: the files by their folder.
        source: the tables of totesys that could be made from the files.
        warehouse: the warehouse's tables that could be made from the files.
    """
    known = _Known({file.table: file for file in files["source"]}, {file.table: file for file in files["warehouse"]})
    for name, table in source.items():
        _Source(known.source[name], table, source, known).check()
    for name, star in warehouse.items():
        _Star(known.warehouse[name], star, source, warehouse, known).check()
    for tables, declared in ((source, known.source), (warehouse, known.warehouse)):
        _check_cycles(tables, declared)
    sql = _SqlFiles(schemas)
    _check_versions(known, warehouse, sql)
    _check_rules(known, warehouse, sql)
    sql.check()
    found = [finding for file in (*files["source"], *files["warehouse"]) for finding in file.findings]
    return found + sql.findings


class _Known:
    """All files, well-formed or not, by the table that they declare."""

    def __init__(self, source: Mapping[str, File], warehouse: Mapping[str, File]) -> None:
        self.source = source
        self.warehouse = warehouse


class _Table:
    """The checks that hold for tables of totesys and of the warehouse."""

    folder = ""

    def __init__(self, file: File, table: "SourceTable | WarehouseTable", declared: Mapping[str, File]) -> None:
        self._file = file
        self._columns = {column.name: column for column in table.columns}
        self._declared = declared
        self._table = table

    def find(self, problem: str, *place: str) -> None:
        self._file.find(problem, *place)

    def check_table(self) -> None:
        if not self._file.part_names("columns"):
            self.find("it declares no columns")
        self._check_meaning(self._table.meaning, "it")
        self.check_name(self._file.table)
        for column in self._table.columns:
            self.check_name(column.name, "columns", column.name)
            self._check_meaning(column.meaning, column.name, "columns", column.name)
            self._check_values(column)
            if not self.is_type(column):
                known = ", ".join(types.names(in_source=self.folder == "source"))
                self.find(f"{column.name} has the type {column.type}, expected one of {known}", *_at(column, "type"))
            elif column.references:
                self.check_reference(column)

    def check_name(self, name: str, *place: str) -> None:
        if len(name.encode()) > _LONGEST_NAME:
            self.find(f"the name {name} is longer than {_LONGEST_NAME} bytes: PostgreSQL would cut it", *place)

    def check_plain(self, name: str, *place: str) -> None:
        if not _PLAIN_NAME.fullmatch(name):
            self.find(f"the name {name} may have only a to z, digits and _", *place)

    def check_reference(self, column: "Column") -> None:
        if column.references not in self._declared:
            hint = nearest(column.references or "", self._declared.keys())
            self.find(
                f"{column.name} references {column.references}, which no file in schemas/{self.folder} declares{hint}",
                *_at(column, "references"),
            )

    def has_column(self, name: str, what: str, *place: str) -> bool:
        """Returns whether the table has a well-formed column of a name; adds a finding if it has none of that name."""
        self.check_column(self._file, name, what, *place)
        return name in self._columns

    def check_column(self, of: File, name: str, what: str, *place: str) -> None:
        columns = of.part_names("columns")
        if name not in columns and of.fields is not None:
            self.find(f"{what}: {of.table} declares no column {name}{nearest(name, columns)}", *place)

    def check_key_column(self, name: str, what: str) -> bool:
        """Checks that the table has a key column of the right type that is never NULL."""
        if not self.has_column(name, f"{what} = {name}", what):
            return False
        column = self._columns[name]
        if not _is_key(column, self.key_of):
            expected = types.key_names(self.key_of)
            self.find(f"the {what} {name} has the type {column.type}, expected {expected}", *_at(column, "type"))
        if column.nullable:
            self.find(f"the {what} {name} can't be nullable", *_at(column, "nullable"))
        return True

    @property
    def key_of(self) -> str:
        """Returns the kind of table that decides which types its keys can have."""
        return types.SOURCE

    def is_type(self, column: "Column") -> bool:
        """Returns whether a column has a type that a table of this kind can have."""
        found = types.find(column.type)
        return found is not None and (found.in_source if self.folder == "source" else found.in_warehouse)

    def _check_meaning(self, meaning: str, what: str, *place: str) -> None:
        if not meaning.strip():
            self.find(f"{what} has no meaning: say it in one sentence", *place, "meaning")

    def _check_values(self, column: "Column") -> None:
        if not self._file.says(*_at(column, "values")):
            return
        if not column.values or len(set(column.values)) < len(column.values):
            self.find(f"{column.name}: values is empty or names one twice", *_at(column, "values"))
        if not _is_text(column):
            self.find(f"{column.name}: only a text has values, not the type {column.type}", *_at(column, "values"))


class _Source(_Table):
    """The checks of one table of totesys."""

    folder = "source"

    def __init__(self, file: File, table: "SourceTable", source: "Mapping[str, SourceTable]", known: _Known) -> None:
        super().__init__(file, table, known.source)
        self._source_table = table
        self._source = source

    def check(self) -> None:
        table = self._source_table
        self.check_table()
        self.check_plain(table.name)
        self.check_key_column(table.key, "key")
        if not 0 <= table.max_deleted_share <= 1:
            self.find(f"max_deleted_share is {table.max_deleted_share}, expected 0 to 1", "max_deleted_share")
        for column in table.columns:
            self._check_format(column)
            self._check_limit(column)
        self._check_limits()

    def check_reference(self, column: "Column") -> None:
        super().check_reference(column)
        other = self._source.get(column.references or "")
        if other and not _is_key(column, types.SOURCE):
            self.find(
                f"{column.name} has the type {column.type} and references {other.name}, whose key is "
                f"{types.key_names(types.SOURCE)}",
                *_at(column, "references"),
            )

    def _check_format(self, column: "Column") -> None:
        if column.format is None:
            return
        if column.format not in _FORMATS:
            hint = nearest(column.format, _FORMATS)
            self.find(
                f"{column.name}: format {column.format} is none of {', '.join(_FORMATS)}{hint}", *_at(column, "format")
            )
        elif not _is_text(column):
            self.find(f"{column.name}: only a text has a format, not the type {column.type}", *_at(column, "format"))

    def _check_limit(self, column: "Column") -> None:
        if column.max_bytes is None:
            return
        if not column.is_long_text:
            self.find(
                f"{column.name} has max_bytes, and its type is {column.type}, not text or varchar",
                *_at(column, "max_bytes"),
            )
        elif column.max_bytes < 1:
            self.find(f"{column.name}: max_bytes is {column.max_bytes}, expected 1 or more", *_at(column, "max_bytes"))

    def _check_limits(self) -> None:
        from totes.contracts.declarations import MAX_ROW_BYTES

        limits = self._source_table.byte_limits.values()
        if sum(limits) > MAX_ROW_BYTES or min(limits, default=1) < 1:
            self.find(
                f"max_bytes of its columns add up to more than {MAX_ROW_BYTES:,}, or leave nothing for another text: a "
                "function does not have enough memory for a longer row",
                "columns",
            )


class _Star(_Table):
    """The checks of one table of the warehouse."""

    folder = "warehouse"

    def __init__(
        self,
        file: File,
        table: "WarehouseTable",
        source: "Mapping[str, SourceTable]",
        warehouse: "Mapping[str, WarehouseTable]",
        known: _Known,
    ) -> None:
        super().__init__(file, table, known.warehouse)
        # A version that is too low makes one finding, and not one more for each column that was added later.
        self._star = replace(table, since=max(1, table.since))
        self._since = table.since
        self._source = source
        self._warehouse = warehouse
        self._known = known

    @property
    def key_of(self) -> str:
        return self._star.kind if self._star.kind in _KINDS else types.DIMENSION

    def check(self) -> None:
        self.check_table()
        if self._star.kind not in _KINDS:
            hint = nearest(self._star.kind, _KINDS)
            self.find(f"kind is {self._star.kind}, expected {', '.join(_KINDS)}{hint}", "kind")
            return
        self._check_made()
        self._check_since()
        self._check_keys()
        if self._star.kind == "calendar":
            self._check_calendar()
        elif self._check_source():
            self._check_join()
            for column in self._star.data_columns:
                self._check_origin(column)

    def check_name(self, name: str, *place: str) -> None:
        super().check_name(name, *place)
        self.check_plain(name, *place)
        if not place:
            self._check_table_name(name)
        elif name in _SYSTEM_COLUMNS | _OF_THE_LAKE | (_OF_HISTORY if self._star.is_fact else set()):
            self.find(f"the name {name} is taken: PostgreSQL or a view of this table has a column of that name", *place)

    def _check_made(self) -> None:
        """Checks that nothing else has the name of a relation or function that is created with the table."""
        kind = self._star.kind
        for made, what in _made(self._star).items():
            if made in self._declared:
                self.find(f"the {kind} has {what} {made}, and a declared table has that name, too")
            for other in self._warehouse.values():
                if other.name < self._star.name and made in _made(other):
                    self.find(f"the {kind} has {what} {made}, and {other.name} makes one of that name, too")

    def _check_table_name(self, name: str) -> None:
        if not self._star.is_fact:
            return
        if not name.startswith("fact_"):
            self.find(f"a fact's name begins with fact_: rename the file, for instance to fact_{name}.toml")
        for made in (*_views(name), f"{name}_versions"):
            super().check_name(made)

    def check_reference(self, column: "Column") -> None:
        super().check_reference(column)
        other = self._warehouse.get(column.references or "")
        if other is None:
            return
        place = _at(column, "references")
        if other.is_fact:
            self.find(f"{column.name} references the fact {other.name}, which has several rows of the same id", *place)
        elif not _is_key(column, kind := types.CALENDAR if other.kind == types.CALENDAR else types.DIMENSION):
            self.find(
                f"{column.name} has the type {column.type} and references {other.name}, whose key is "
                f"{types.key_names(kind)}",
                *place,
            )
        since = max(column.since, self._star.since)
        if other.since > since:
            self.find(
                f"{column.name} has since = {since}, and refers to {other.name}, which has since = {other.since}",
                *place,
            )

    def _check_since(self) -> None:
        star = self._star
        if self._since < 1:
            self.find(f"since is {self._since}, expected 1 or more", "since")
        for column in star.all_columns:
            place = _at(column, "since")
            if column.since < 1:
                self.find(f"{column.name}: since is {column.since}, expected 1 or more", *place)
            if 1 < column.since < star.since:
                self.find(f"{column.name} has since = {column.since}, and its table has since = {star.since}", *place)
            if column.since > star.since and not column.nullable and column.default is None:
                self.find(
                    f"{column.name} comes later than its table and has neither `nullable` nor `default`: existing "
                    "rows would have no value",
                    *place,
                )
            if column.since > star.since and column.references and column.default is not None:
                self.find(
                    f"{column.name} comes later than its table, and its default may refer to a row that is not there: "
                    "declare `nullable` instead",
                    *_at(column, "default"),
                )
            if column.until is not None and column.until <= max(column.since, star.since):
                self.find(
                    f"{column.name}: until is {column.until}, expected more than its since", *_at(column, "until")
                )
        keys = {star.key, star.business_key}
        for column in star.former_columns:
            if column.name in keys:
                self.find(f"{column.name} identifies the rows and can't have `until`", *_at(column, "until"))

    def _check_keys(self) -> None:
        star = self._star
        self._check_key(star.key, "key")
        if star.is_fact and star.business_key is None:
            self.find("a fact needs a business_key: the id that the versions of one thing share")
        elif star.business_key is not None and not star.is_fact:
            self.find(f"business_key means nothing in a {star.kind}", "business_key")
        elif star.business_key and self.has_column(
            star.business_key, f"business_key = {star.business_key}", "business_key"
        ):
            column = self._columns[star.business_key]
            if not _is_key(column, types.SOURCE) or column.nullable or column.since > star.since:
                self.find(
                    f"the business_key {column.name} must be there from the start, {types.key_names(types.SOURCE)} "
                    "and not nullable",
                    "columns",
                    column.name,
                )
        for column in star.columns:
            if column.is_assigned and (column.name != star.key or not star.is_fact):
                self.find(f"{column.name} is a serial, which only the key of a fact can be", *_at(column, "type"))

    def _check_key(self, name: str, what: str) -> None:
        if self.check_key_column(name, what) and self._columns[name].since > self._star.since:
            self.find(f"the {what} {name} must be there from the start", *_at(self._columns[name], "since"))

    def _check_calendar(self) -> None:
        if self._file.table != CALENDAR:
            self.find(f"the calendar's name is {CALENDAR}: Transform adds the facts' days to no other table")
        for field in ("source", "join"):
            if self._file.says(field):
                self.find(f"{field} means nothing in a calendar", field)
        for column in self._star.columns:
            if column.name not in CALENDAR_COLUMNS:
                hint = nearest(column.name, CALENDAR_COLUMNS)
                self.find(
                    f"totes/contracts/derivations.py calculates no column {column.name}{hint}", "columns", column.name
                )
            for field in ("from", "derive", "default"):
                if self._file.says(*_at(column, field)):
                    self.find(f"{column.name}: {field} means nothing in a calendar", *_at(column, field))

    def _check_source(self) -> bool:
        name = self._star.source
        if name is None:
            self.find("field source is missing")
        elif name not in self._known.source:
            hint = nearest(name, self._known.source)
            self.find(f"source = {name}: no file in schemas/source declares it{hint}", "source")
        return name in self._known.source

    def _check_join(self) -> None:
        source = self._known.source[self._star.source or ""]
        for other, name in self._star.join.items():
            if other not in self._known.source:
                hint = nearest(other, self._known.source)
                self.find(f"join: no file in schemas/source declares {other}{hint}", "join")
                continue
            self.check_column(source, name, "join", "join")
            column = self._of_source(source.table, name)
            if other == source.table:
                self.find(f"join: {other} is the table's source itself", "join")
            elif column and (column.references != other or column.nullable):
                self.find(f"join: {source.table}.{name} must reference {other}, and may not be nullable", "join")
            if not any((each.origin or "").startswith(f"{other}.") for each in self._star.columns):
                self.find(f"join: no column comes from {other}", "join")

    def _check_origin(self, column: "Column") -> None:
        place = _at(column, "from")
        if column.origin is None:
            self.find(f"{column.name} has no `from`, so it would always be NULL", "columns", column.name)
            return
        table, _, name = column.origin.partition(".")
        # A wrong join has a finding of its own.
        if table not in (self._star.source, *self._star.join) and self._star.join.keys() <= self._known.source.keys():
            known = (self._star.source or "", *self._star.join)
            hint = nearest(table, known)
            self.find(
                f"{column.name} comes from {column.origin}; its table is made of {', '.join(known)}{hint}", *place
            )
            return
        if file := self._known.source.get(table):
            self.check_column(file, name, column.name, *place)
        if origin := self._of_source(table, name):
            self._check_conversion(column, origin)
            self._check_identity(column, table, name)

    def _check_conversion(self, column: "Column", origin: "Column") -> None:
        if problem := self._misfit(column, origin):
            self.find(f"{column.name} can't be made from {column.origin}: {problem}", *_at(column, "from"))
        if origin.nullable and not column.nullable and column.default is None:
            self.find(
                f"{column.origin} may be NULL; {column.name} has neither `nullable` nor `default`",
                "columns",
                column.name,
            )
        if (
            column.values
            and not (set(origin.values) and set(origin.values) <= set(column.values))
            and not column.derive
        ):
            self.find(
                f"{column.name}: values lack some that {column.origin} may have: Load would refuse those rows",
                *_at(column, "values"),
            )
        if column.default is not None and (expected := _refused_default(column)):
            self.find(f"{column.name}: default is {column.default!r}, expected {expected}", *_at(column, "default"))
        other = self._warehouse.get(column.references or "")
        is_known = origin.references is None or origin.references in self._known.source
        if other and other.kind == "dimension" and is_known and origin.references != other.source:
            self.find(
                f"{column.name} references {other.name}, which is made of {other.source}; {column.origin} references "
                f"{origin.references or 'nothing'}",
                *_at(column, "references"),
            )

    def _check_identity(self, column: "Column", table: str, name: str) -> None:
        source = self._source.get(table)
        if column.name == self._star.identity and source and (table != self._star.source or name != source.key):
            self.find(
                f"{column.name} identifies the rows, so it must come from the key of {self._star.source}",
                *_at(column, "from"),
            )

    def _misfit(self, column: "Column", origin: "Column") -> str | None:
        """Returns the reason if Transform and `totes reconcile` can't make a column from its origin; else None."""
        if column.derive:
            return self._derive_misfit(column, origin)
        made, given = types.find(column.type), types.find(origin.type)
        # A type that is none has a finding of its own.
        if made is None or given is None or given.can_become(made):
            return None
        refusal = f"{origin.type} does not become {column.type}"
        if made.from_text and given.is_text:
            needed = f'format = "{made.from_text}"'
            return None if origin.format == made.from_text else f"{refusal} unless its declaration says {needed}"
        return refusal

    def _derive_misfit(self, column: "Column", origin: "Column") -> str | None:
        if column.derive not in DERIVATIONS:
            hint = nearest(column.derive or "", DERIVATIONS)
            return f"totes/contracts/derivations.py has no {column.derive}, only {', '.join(DERIVATIONS)}{hint}"
        if not (_is_text(origin) and _is_text(column)):
            return f"{column.derive} makes a text of a text"
        return None

    def _of_source(self, table: str, name: str) -> "Column | None":
        source = self._source.get(table)
        return next((column for column in source.columns if column.name == name), None) if source else None


def _check_cycles(tables: "Mapping[str, SourceTable | WarehouseTable]", files: Mapping[str, File]) -> None:
    import graphlib

    references = {
        name: {column.references for column in table.columns if column.references in tables}
        for name, table in tables.items()
    }
    try:
        graphlib.TopologicalSorter(references).prepare()
    except graphlib.CycleError as error:
        names = list(reversed(error.args[1]))
        column = next(column for column in tables[names[0]].columns if column.references == names[1])
        files[names[0]].find(
            f"{column.name} closes a circle of references: {' → '.join(names)}. Leave `references` out of one of them",
            *_at(column, "references"),
        )


class _SqlFiles:
    """The .sql files of schemas/warehouse, checked as far as that is possible without a server.

    Attributes:
        findings: the mistakes in them, and the files that nothing reads because of their names.
        texts: the content of the files that can be read, by name.
        versions: the files' numbers, each with the first file of that number.
    """

    def __init__(self, schemas: Path) -> None:
        self.findings: list[Finding] = []
        self.texts: dict[str, str] = {}
        self.versions: dict[int, str] = {}
        for path in sorted([*(schemas / "source").iterdir(), *(schemas / "warehouse").iterdir()]):
            if path.suffix == ".toml" or path.name.startswith("."):
                continue
            if expected := _other_name(path):
                problem = f"nothing reads a file of this name; expected {expected}"
                self.findings.append(Finding(f"{path.parent.name}/{path.name}", 1, problem))
            else:
                self._read(path)

    def find(self, name: str, problem: str, line: int = 1) -> None:
        self.findings.append(Finding(f"warehouse/{name}", line, problem))

    def check(self) -> None:
        for name in _OTHER_SQL:
            if name not in self.texts and not any(found.file == f"warehouse/{name}" for found in self.findings):
                self.find(name, "the file is not there: a migration needs it")
        if 1 not in self.versions:
            self.find("0001_log.sql", "no file has version 1: it makes the log's tables")
        for name, text in self.texts.items():
            known = _OF_VIEWS if name == "views.sql" else _PLACES
            for at, problem in _misplaced(text, known):
                self.find(name, problem, text.count("\n", 0, at) + 1)
            if "\0" in text:
                self.find(name, "holds a NUL character", text.count("\n", 0, text.index("\0")) + 1)

    def _read(self, path: Path) -> None:
        text, problem = read_text(path)
        if problem:
            self.find(path.name, problem)
        else:
            self.texts[path.name] = text
        if path.name in _OTHER_SQL:
            return
        version = int(path.name[:4])
        if version == 0:
            self.find(path.name, "its version is 0, expected 1 or more")
        elif (first := self.versions.setdefault(version, path.name)) != path.name:
            self.find(path.name, f"{first} has version {version}, too: give it another number")


def _other_name(path: Path) -> str:
    """Returns the form that a file's name should have; empty if the name is right."""
    if path.parent.name == "source":
        return "<table>.toml"
    is_read = _VERSIONED_SQL.fullmatch(path.name) or path.name in _OTHER_SQL
    return "" if is_read else "<table>.toml or <four digits>_<what>.sql"


def _misplaced(sql: str, known: Collection[str]) -> Iterator[tuple[int, str]]:
    """Yields the place and the problem of each brace in SQL that Python's `format` can't fill in."""
    for found in _BRACE.finditer(sql):
        name = found["name"]
        if name is None and len(found[0]) == 1:
            yield found.start(), "has a brace that is not a placeholder: write it twice"
        elif name is not None and name not in known:
            expected = " or ".join(f"{{{each}}}" for each in known)
            yield found.start(), f"has the placeholder {found[0]}, expected {expected}{nearest(name, known)}"


def _check_versions(known: _Known, warehouse: "Mapping[str, WarehouseTable]", sql: _SqlFiles) -> None:
    """Adds a finding for a gap in the versions: most likely a `since` has a digit too many."""
    found: dict[int, tuple[File, tuple[str, ...]]] = {}
    for name, table in warehouse.items():
        file = known.warehouse[name]
        found.setdefault(table.since, (file, ("since",)))
        for column in table.all_columns:
            found.setdefault(column.since, (file, _at(column, "since")))
            if column.until is not None:
                found.setdefault(column.until, (file, _at(column, "until")))
    versions = found.keys() | sql.versions.keys()
    for version in sorted(versions):
        if version < 2 or version - 1 in versions:
            continue
        if version in found:
            file, place = found[version]
            file.find(f"{place[-1]} is {version}, and nothing has version {version - 1}", *place)
        else:
            sql.find(sql.versions[version], f"its version is {version}, and nothing has version {version - 1}")


def _check_rules(known: _Known, warehouse: "Mapping[str, WarehouseTable]", sql: _SqlFiles) -> None:
    views = {view for name, table in warehouse.items() if table.is_fact for view in _views(name)}
    log = {name for text in sql.texts.values() for name in _LOG_TABLE.findall(text)}
    tables = {"stars": known.warehouse.keys() | views, "log": log}
    for name, table in warehouse.items():
        for rule in table.checks:
            _Rule(known, known.warehouse[name], rule, tables).check()
        if table.checks and not table.is_fact:
            known.warehouse[name].find("only a fact has checks", "checks")


class _Rule:
    """The SQL of a fact's check, checked as far as that is possible without a server."""

    def __init__(self, known: _Known, file: File, rule: "Check", tables: Mapping[str, Collection[str]]) -> None:
        self._known = known
        self._file = file
        self._rule = rule
        self._tables = tables

    def check(self) -> None:
        bare = _LITERAL.sub(" ", self._rule.breaks)
        if not bare.strip():
            self._find("is empty")
        elif self._has_placeholders():
            self._check_form(bare)
            self._check_names(bare)

    def _find(self, problem: str, field: str = "breaks") -> None:
        self._file.find(f"check {self._rule.name}: {field} {problem}", "checks", self._rule.name, field)

    def _has_placeholders(self) -> bool:
        problems = dict.fromkeys(problem for _, problem in _misplaced(self._rule.breaks, self._tables))
        for problem in problems:
            self._find(problem)
        return not problems

    def _check_form(self, bare: str) -> None:
        if "'" in bare or '"' in bare or "/*" in bare:
            self._find("has a quote or a comment without an end")
        elif "--" in bare:
            self._find("ends within a comment: begin a new line after it")
        depth = 0
        for character in bare:
            depth += {"(": 1, ")": -1}.get(character, 0)
            if depth < 0:
                break
        if depth:
            self._find("has brackets that don't match")
        if ";" in bare:
            self._find("has a semicolon; expected one condition")
        if parameter := _PARAMETER.search(bare):
            self._find(f"has a parameter :{parameter[1]}, which nothing fills in")

    def _check_names(self, bare: str) -> None:
        aliases = {"checked": self._file}
        for schema, table, alias in _NAMED_TABLE.findall(bare):
            if table not in self._tables[schema]:
                known = self._tables[schema]
                self._find(
                    f"reads {{{schema}}}.{table}, which no file in schemas/warehouse declares{nearest(table, known)}"
                )
            elif schema == "stars" and table in self._known.warehouse:
                named = alias if alias and alias.lower() not in _AFTER_A_TABLE else table
                aliases[named] = self._known.warehouse[table]
        for alias, column in dict.fromkeys(_NAMED_COLUMN.findall(bare)):
            if alias not in aliases:
                continue
            columns = aliases[alias].part_names("columns")
            if column in columns and aliases[alias].says("columns", column, "until"):
                self._find(f"reads {alias}.{column}, which `until` takes back")
            elif column not in columns:
                self._find(
                    f"reads {alias}.{column}; {aliases[alias].table} declares no such column{nearest(column, columns)}"
                )


def _at(column: "Column", field: str) -> tuple[str, str, str]:
    return ("columns", column.name, field)


def _views(fact: str) -> list[str]:
    return [view.format(fact.removeprefix("fact_")) for view in _VIEWS]


def _made(table: "WarehouseTable") -> dict[str, str]:
    """Returns the names that PostgreSQL and a migration create with a table, each with its kind."""
    made = {f"{table.name}_pkey": "the index"}
    if table.is_fact:
        made |= {f"{table.name}_versions": "the index", f"{table.name}_{table.key}_seq": "the sequence"}
        made |= dict.fromkeys(_views(table.name), "a view or function")
    return made


def _is_key(column: "Column", kind: str) -> bool:
    """Returns whether a column has a type that the key of this kind of table can have."""
    found = types.find(column.type)
    return found is not None and kind in found.keys


def _is_text(column: "Column") -> bool:
    found = types.find(column.type)
    return found is not None and found.is_text


def _refused_default(column: "Column") -> str | None:
    """Returns the expected form of a default if its column's type can't hold it; else None."""
    default, found = column.default or "", types.find(column.type)
    if column.values and default not in column.values:
        return f"one of {', '.join(column.values)}"
    return found.refused_default(default) if found else None
