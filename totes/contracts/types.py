"""The table of types that a column can have, with all that the project has to know about each.

A new type is a row here and its odd values in tests/support/odd_values.py. No other module decides by a type's name:
it asks the row. Arrow's types are functions of pyarrow, which is not imported here: `totes check` does not need it.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import cache
from typing import Any
from uuid import UUID

# A function of pyarrow and the type's parameters.
_Arrow = Callable[..., Any]

_MOST_DIGITS = 38
# PostgreSQL's limit.
_MOST_CHARACTERS = 10_485_760
# A varchar(n) with a larger n counts as a text.
_SHORT_CHARACTERS = 10_000
_NUMBER = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?")
# The kinds of table whose key a type can be.
SOURCE, DIMENSION, FACT, CALENDAR = "source", "dimension", "fact", "calendar"


@dataclass(frozen=True)
class Default:
    """The form of a type's default.

    Attributes:
        expected: the form in words, for the message about a wrong default.
        holds: returns whether PostgreSQL and Arrow both read a text as a value; it may raise ValueError if not.
    """

    expected: str
    holds: Callable[[str], bool]


@dataclass(frozen=True)
class Type:
    """A row of the table; or a type as a column declares it, with its parameters.

    Attributes:
        name: the name in a declaration and in DDL. In the table `n`, `p` and `s` stand for numbers, `"Name"` for any
            name.
        catalogue: the name that PostgreSQL's format_type returns; `{name}` is the name.
        arrow: Arrow's type in the landing zone; None if it depends on the column's origin.
        glue: Glue's, Hive's and Athena's name in the processed zone, with parameters in braces.
        wire: PostgreSQL's internal name; modules that convert values have a function for each.
        in_source, in_warehouse: whether a column of totesys, or of the warehouse, can have the type.
        parameters: the numbers in the name.
        pattern: matches the names; empty if there is only one name.
        allows: returns whether the type can have such parameters.
        processed: Arrow's type in the processed zone; None if it is the same.
        duckdb, spark: these engines' names, if they differ from Glue's.
        like_origin: whether values have the type of the column's origin.
        arrow_of_origin: Arrow's type as a function of the origin's Arrow type, if it depends on it.
        is_text: whether a column may have `values` and `format`.
        is_long: whether texts have no short limit in characters, and so need one in bytes.
        is_moment: whether a value is a day with a time of day.
        is_measure: whether reconcile adds up the values.
        is_assigned: whether the warehouse assigns the values.
        keys: the kinds of table whose key it can be.
        bits: the width of a whole number; None for other types.
        room: the most digits before and after the point; None if it is no exact number.
        becomes: the types of the warehouse that values can be converted to; a number needs enough room.
        from_text: the `format` that a text must have to be converted to it.
        widens_to: the types to which Load migrates a column of the warehouse in place, given enough room.
        default: the form of a default; None if any text is one.
        canonical: SQL for the text by which reconcile compares a value.
    """

    name: str
    catalogue: str
    arrow: _Arrow | None
    glue: str
    wire: str
    in_source: bool = True
    in_warehouse: bool = True
    parameters: tuple[int, ...] = ()
    pattern: str = ""
    allows: Callable[..., bool] = lambda *_: True
    processed: _Arrow | None = None
    duckdb: str = ""
    spark: str = ""
    like_origin: bool = False
    arrow_of_origin: _Arrow | None = None
    is_text: bool = False
    is_long: Callable[..., bool] = lambda *_: False
    is_moment: bool = False
    is_measure: bool = False
    is_assigned: bool = False
    keys: Collection[str] = ()
    bits: int | None = None
    room: Callable[..., tuple[int, int]] | None = None
    becomes: Collection[str] = ()
    from_text: str | None = None
    widens_to: Collection[str] = ()
    default: Callable[..., Default] | None = None
    canonical: str = "CAST({value} AS text)"

    @property
    def catalogue_name(self) -> str:
        return self.catalogue.format(*self.parameters, name=self.name)

    @property
    def glue_name(self) -> str:
        return self.glue.format(*self.parameters)

    @property
    def duckdb_name(self) -> str:
        return self.duckdb or self.glue_name

    @property
    def spark_name(self) -> str:
        return self.spark or self.glue_name

    @property
    def needs_limit(self) -> bool:
        """Returns whether its texts need a limit in bytes."""
        return self.is_long(*self.parameters)

    @property
    def ids(self) -> range:
        """Returns the values that a key of this type can have."""
        half = 1 << ((self.bits or 1) - 1)
        return range(-half, half)

    def canonical_text(self, value: str) -> str:
        """Returns SQL for a value's canonical text."""
        return self.canonical.format(*self.parameters, value=value)

    def has_room_for(self, given: "Type") -> bool:
        """Returns whether it holds all digits of another type; true of types that are no exact numbers."""
        if self.room is None:
            return True
        if given.room is None:
            return False
        digits = zip(self.room(*self.parameters), given.room(*given.parameters), strict=True)
        return all(room >= need for room, need in digits)

    def can_become(self, made: "Type") -> bool:
        """Returns whether each of its values can be converted to another type, in Transform and in SQL."""
        return _row_name(made) in self.becomes and made.has_room_for(self)

    def can_widen_to(self, made: "Type") -> bool:
        """Returns whether Load can migrate a column of the warehouse from this type to another one in place."""
        return _row_name(made) in self.widens_to and made.has_room_for(self) and self != made

    def refused_default(self, text: str) -> str | None:
        """Returns the expected form of a default if a text can't be one; else None."""
        if self.default is None:
            return None
        default = self.default(*self.parameters)
        try:
            return None if default.holds(text) else default.expected
        except ValueError:
            return default.expected


def _whole(bits: int) -> Default:
    half = 1 << (bits - 1)

    def holds(text: str) -> bool:
        return re.fullmatch(r"-?[0-9]{1,100}", text) is not None and -half <= int(text) < half

    return Default(f"a whole number of {bits} bits", holds)


def _numeric(*room: int) -> Default:
    def holds(text: str) -> bool:
        number = _NUMBER.fullmatch(text)
        if number is None or not room:
            return number is not None
        digits, scale = room
        return len(number[1].lstrip("0")) <= digits - scale and len((number[2] or "").rstrip("0")) <= scale

    return Default("a numeric({},{})".format(*room) if room else "a numeric", holds)


def _moment(zone: str) -> Default:
    def holds(text: str) -> bool:
        return datetime.fromisoformat(text).isoformat(" ", "microseconds") == text and text[26:] == zone

    return Default(f"a time, YYYY-MM-DD HH:MM:SS.ffffff{zone}", holds)


_VARCHAR = "varchar"
_NUMERIC = "numeric(p,s)"
_KEYS = (SOURCE, DIMENSION)

ROWS = (
    Type(
        "smallint",
        catalogue="smallint",
        arrow=lambda pa: pa.int16(),
        glue="smallint",
        wire="int2",
        keys=_KEYS,
        is_measure=True,
        bits=16,
        room=lambda: (5, 0),
        becomes=("smallint", "integer", "bigint", "double precision", _NUMERIC, _VARCHAR),
        widens_to=("integer", "bigint"),
        default=lambda: _whole(16),
    ),
    Type(
        "integer",
        catalogue="integer",
        arrow=lambda pa: pa.int32(),
        glue="int",
        wire="int4",
        keys=_KEYS,
        is_measure=True,
        bits=32,
        room=lambda: (10, 0),
        becomes=("integer", "bigint", "double precision", _NUMERIC, _VARCHAR),
        widens_to=("bigint",),
        default=lambda: _whole(32),
    ),
    Type(
        "bigint",
        catalogue="bigint",
        arrow=lambda pa: pa.int64(),
        glue="bigint",
        wire="int8",
        keys=_KEYS,
        is_measure=True,
        bits=64,
        room=lambda: (19, 0),
        # A double precision has 53 bits for the digits, too few for all values.
        becomes=("bigint", _NUMERIC, _VARCHAR),
        default=lambda: _whole(64),
    ),
    Type(
        "serial",
        catalogue="integer",
        arrow=None,
        glue="int",
        wire="int4",
        in_source=False,
        keys=(FACT,),
        is_assigned=True,
    ),
    Type(
        "boolean",
        catalogue="boolean",
        arrow=lambda pa: pa.bool_(),
        glue="boolean",
        wire="bool",
        becomes=("boolean", _VARCHAR),
        default=lambda: Default("true or false", lambda text: text in ("true", "false")),
    ),
    Type(
        "double precision",
        catalogue="double precision",
        arrow=lambda pa: pa.float64(),
        glue="double",
        wire="float8",
        # It can't become a text: other engines have other names for NaN and infinity. It is no measure, because a sum's
        # last digits depend on the order.
        becomes=("double precision",),
        default=lambda: Default(
            "a number such as 0.5", lambda text: re.fullmatch(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?", text) is not None
        ),
        # To PostgreSQL -0 and 0 are equal, so Load updates neither to the other.
        canonical="CAST({value} + CAST(0 AS double precision) AS text)",
    ),
    Type(
        "uuid",
        catalogue="uuid",
        # Neither Athena nor Spark can read Parquet's UUID. PostgreSQL always writes a UUID in lower case.
        arrow=lambda pa: pa.string(),
        glue="string",
        wire="uuid",
        duckdb="uuid",
        becomes=("uuid", _VARCHAR),
        default=lambda: Default("a UUID in lower case, with hyphens", lambda text: str(UUID(text)) == text),
    ),
    Type(
        "text",
        catalogue="text",
        arrow=lambda pa: pa.string(),
        glue="string",
        wire="text",
        in_warehouse=False,
        is_text=True,
        is_long=lambda: True,
        becomes=(_VARCHAR,),
    ),
    Type(
        "varchar",
        catalogue="character varying",
        arrow=lambda pa: pa.string(),
        glue="string",
        wire="text",
        is_text=True,
        is_long=lambda: True,
        becomes=(_VARCHAR,),
    ),
    Type(
        "varchar(n)",
        catalogue="character varying({})",
        arrow=lambda pa, _: pa.string(),
        glue="string",
        wire="text",
        in_warehouse=False,
        pattern=r"varchar\(([0-9]{1,8})\)",
        allows=lambda characters: 1 <= characters <= _MOST_CHARACTERS,
        is_text=True,
        is_long=lambda characters: characters > _SHORT_CHARACTERS,
        becomes=(_VARCHAR,),
    ),
    Type(
        '"Name"',
        catalogue="{name}",
        arrow=lambda pa: pa.string(),
        glue="string",
        wire="text",
        in_warehouse=False,
        pattern='"[^"]+"',
        is_text=True,
        becomes=(_VARCHAR,),
    ),
    Type(
        "date",
        catalogue="date",
        arrow=lambda pa: pa.date32(),
        glue="date",
        wire="date",
        keys=(CALENDAR,),
        becomes=("date", _VARCHAR),
        from_text="date",
        default=lambda: Default("a date, YYYY-MM-DD", lambda text: date.fromisoformat(text).isoformat() == text),
    ),
    Type(
        "time",
        catalogue="time without time zone",
        arrow=lambda pa: pa.time32("ms"),
        glue="string",
        wire="time",
        in_source=False,
        # Neither Athena's tables nor older Sparks can read Parquet's TIME. `HH:MM:SS.mmm` sorts as a time does.
        processed=lambda pa: pa.string(),
        duckdb="time",
        arrow_of_origin=lambda pa, origin: pa.time32("ms") if origin.unit == "ms" else pa.time64("us"),
        default=lambda: Default(
            "a time, HH:MM:SS.mmm", lambda text: time.fromisoformat(text).isoformat("milliseconds") == text
        ),
    ),
    Type(
        "timestamp(3)",
        catalogue="timestamp(3) without time zone",
        arrow=lambda pa: pa.timestamp("ms"),
        glue="timestamp",
        wire="timestamp",
        in_warehouse=False,
        spark="timestamp_ntz",
        is_moment=True,
        becomes=("date", "time", "timestamp"),
    ),
    Type(
        "timestamp",
        catalogue="timestamp without time zone",
        arrow=lambda pa: pa.timestamp("us"),
        glue="timestamp",
        wire="timestamp",
        spark="timestamp_ntz",
        is_moment=True,
        becomes=("date", "time", "timestamp"),
        default=lambda: _moment(""),
    ),
    Type(
        "timestamptz",
        catalogue="timestamp with time zone",
        arrow=lambda pa: pa.timestamp("us", "UTC"),
        glue="timestamp",
        wire="timestamptz",
        duckdb="timestamptz",
        is_moment=True,
        # Day, time of day and `timestamp` are those of UTC.
        becomes=("date", "time", "timestamp", "timestamptz"),
        default=lambda: _moment("+00:00"),
    ),
    Type(
        "numeric(p,s)",
        catalogue="{name}",
        arrow=lambda pa, precision, scale: pa.decimal128(precision, scale),
        glue="decimal({},{})",
        wire="numeric",
        # Python makes no number of more than 4,300 digits.
        pattern=r"numeric\(([0-9]{1,4}),([0-9]{1,4})\)",
        allows=lambda precision, scale: 1 <= precision <= _MOST_DIGITS and scale <= precision,
        is_measure=True,
        room=lambda precision, scale: (precision - scale, scale),
        becomes=("numeric", _NUMERIC, _VARCHAR),
        widens_to=("numeric", _NUMERIC),
        default=_numeric,
        # At its scale, or at a larger one if there are more digits: 3.1 equals 3.10, and 3.101 does not.
        canonical="CAST(round({value}, greatest(min_scale({value}), {1})) AS text)",
    ),
    Type(
        "numeric",
        catalogue="numeric",
        arrow=None,
        glue="",
        wire="numeric",
        in_source=False,
        is_measure=True,
        like_origin=True,
        default=_numeric,
    ),
)  # fmt: skip


@cache
def find(declared: str) -> Type | None:
    """Returns the type that a declaration names, with its parameters; None if there is no such type."""
    for row in ROWS:
        if not row.pattern:
            if row.name == declared:
                return row
        elif found := re.fullmatch(row.pattern, declared):
            parameters = tuple(map(int, found.groups()))
            return replace(row, name=declared, parameters=parameters) if row.allows(*parameters) else None
    return None


@cache
def in_catalogue(found: str) -> Type | None:
    """Returns the warehouse's type to which PostgreSQL's format_type gives this name; None if there is none."""
    named = (row for row in ROWS if row.catalogue == found and row.in_warehouse and not row.is_assigned)
    return next(named, None) or find(found)


def names(*, in_source: bool) -> list[str]:
    """Returns the names of the types that a column of totesys, or of the warehouse, can have."""
    return [row.name for row in ROWS if (row.in_source if in_source else row.in_warehouse)]


def key_names(kind: str) -> str:
    """Returns the types that the key of this kind of table can have, for a message."""
    *more, last = [row.name for row in ROWS if kind in row.keys]
    return f"{', '.join(more)} or {last}" if more else last


def _row_name(found: Type) -> str:
    return next(row.name for row in ROWS if row.name == found.name or (row.pattern and row.pattern == found.pattern))
