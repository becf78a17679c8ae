"""Each type, with odd values, on the way from totesys to the warehouse; and a type that becomes a wider one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.odd_values import ODD_VALUES, UNHOLDABLE
from tests.support.pipeline import Pipeline
from tests.support.reconciliation import reconcile
from tests.support.replays import apart, replayed
from totes.contracts import types
from totes.contracts.declarations import declared, type_in_use, warehouse_tables
from totes.errors import ContractBroken
from totes.lake.bucket import Lake
from totes.lake.texts import texts
from totes.source.extract import joined_tables
from totes.warehouse.tables import metadata

COLUMNS = {name: f"c{number}" for number, name in enumerate(ODD_VALUES)}
ENUM = "CREATE TYPE \"Mood\" AS ENUM ('glad', '', 'NULL')"
HEAD = 'meaning = "."\n'
# A table of the warehouse reads a column of totesys as each type that it can become.
MADE = [
    (given, made)
    for given in ODD_VALUES
    for made in ("smallint", "integer", "bigint", "boolean", "double precision", "uuid", "varchar", "date", "time",
                 "timestamp", "timestamptz", "numeric(24,9)", "numeric(38,9)", "numeric")
    if types.find(given).can_become(types.find(made))  # type: ignore[union-attr]
]  # fmt: skip


def column_name(given: str, made: str) -> str:
    return f"{COLUMNS[given]}_as_{made.replace(' ', '_').replace('(', '_').replace(',', '_').rstrip(')')}"


@pytest.fixture
def declare(schemas: Path) -> Callable[..., None]:
    """Writes declarations instead of those of totesys; each call is a deployment."""
    for folder in ("source", "warehouse"):
        for path in (schemas / folder).glob("*.toml"):
            path.unlink()

    def deploy(**files: str) -> None:
        for name, text in files.items():
            folder = "warehouse" if name.startswith(("dim_", "fact_")) else "source"
            (schemas / folder / f"{name}.toml").write_text(HEAD + text, encoding="utf-8")
        for cached in (declared, metadata, joined_tables):
            cached.cache_clear()

    return deploy


def source(name: str, columns: str, more: str = "") -> str:
    return f'key = "{name}_id"\n{more}\n[columns]\n{columns}'


def column(name: str, kind: str, more: str = "") -> str:
    return f"{name} = {{ type = '{kind}', meaning = '.', nullable = true{more} }}\n"


def all_types(key: str) -> dict[str, str]:
    """Returns declarations of a table with a column of each type, and of what the warehouse makes of it."""
    identity = f"thing_id = {{ type = '{key}', meaning = '.' }}\n"
    thing = identity + "".join(column(name, kind) for kind, name in COLUMNS.items())
    made = f"thing_id = {{ type = '{key}', meaning = '.', from = 'thing.thing_id' }}\n" + "".join(
        column(column_name(given, kind), kind, f", from = 'thing.{COLUMNS[given]}'") for given, kind in MADE
    )
    record = "thing_record_id = { type = 'serial', meaning = '.' }\n"
    fact = 'grain = "."\nkind = "fact"\nkey = "thing_record_id"\nbusiness_key = "thing_id"\nsource = "thing"\n'
    dimension = 'grain = "."\nkind = "dimension"\nkey = "thing_id"\nsource = "thing"\n'
    return {
        "thing": source("thing", thing),
        "dim_thing": f"{dimension}[columns]\n{made}",
        "fact_thing": f"{fact}[columns]\n{record}{made}",
    }


def make_things(pipeline: Pipeline, key: str) -> None:
    pipeline.totesys(ENUM)
    columns = ", ".join(f"{name} {kind}" for kind, name in COLUMNS.items())
    pipeline.totesys(f"CREATE TABLE thing (thing_id {key} PRIMARY KEY, {columns})")
    pipeline.totesys("GRANT SELECT ON thing TO totes_reader")
    for number, row in enumerate(odd_rows()):
        pipeline.totesys(f"INSERT INTO thing VALUES ({3_000_000_000 * (-1) ** number + number}, {', '.join(row)})")


def odd_rows() -> Iterator[list[str]]:
    """Yields rows until each odd value was in one; NULL comes after a type's last value."""
    for number in range(1 + max(map(len, ODD_VALUES.values()))):
        yield [values[number] if number < len(values) else "NULL" for values in ODD_VALUES.values()]


def expected(given: str, made: str) -> str:
    """Returns SQL for a column of totesys as the warehouse's type, whatever the session's time zone."""
    value = COLUMNS[given]
    if given == "timestamptz" and made != given:
        value = f"{value} AT TIME ZONE 'UTC'"
    if made == "numeric":
        made = given
    return f"CAST(CAST({value} AS {made}) AS text)"


def stored(pipeline: Pipeline, made: Path) -> pa.Table:
    """Returns the rows of dim_thing in the first processed batch."""
    data = pipeline.processed().read(1).tables["dim_thing"]["data"]
    return pq.read_table(Lake(pipeline.processed_bucket).fetch(data, made))


def test_every_type_has_odd_values() -> None:
    """Those that every engine can hold, and those that only PostgreSQL can."""
    found = {types.find(name) for name in ODD_VALUES}
    assert None not in found
    assert {row.pattern or row.name for row in found if row} == {
        row.pattern or row.name for row in types.ROWS if row.in_source
    }
    exceeding = {row.pattern or row.name for row in types.ROWS if row.exceeds}
    assert {row.pattern or row.name for row in map(types.find, UNHOLDABLE) if row} == exceeding


def asked(pipeline: Pipeline, database: str, query: str) -> list[Any]:
    """Returns the first column of a query's rows, as texts that no preset setting changes."""
    with pipeline.connection(database) as connection:
        cursor = connection.cursor()
        cursor.execute("SET TimeZone TO 'UTC'; SET extra_float_digits TO 1; SET DateStyle TO 'ISO'")
        cursor.execute(query)
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.parametrize("key", ["bigint"])
def test_every_value_arrives_as_it_was(
    pipeline: Pipeline, declare: Callable[..., None], tmp_path: Path, key: str
) -> None:
    declare(**all_types(key))
    make_things(pipeline, key)
    pipeline.totesys(f"ALTER DATABASE {pipeline.source} SET TimeZone TO 'Europe/London'")
    pipeline.totesys(f"ALTER DATABASE {pipeline.source} SET extra_float_digits TO -10")
    pipeline.star(f"ALTER DATABASE {pipeline.warehouse} SET TimeZone TO 'Asia/Tokyo'")

    pipeline.run()

    in_lake = stored(pipeline, tmp_path / "things").sort_by("thing_id")
    for given, made in MADE:
        name, value = column_name(given, made), expected(given, made)
        wanted = asked(pipeline, pipeline.source, f"SELECT {value} FROM thing ORDER BY thing_id")
        for table in ("dim_thing", "current_thing"):
            query = f"SELECT CAST({name} AS text) FROM {table} ORDER BY thing_id"
            assert asked(pipeline, pipeline.warehouse, query) == wanted, f"{given} as {made} in {table}"
        # Reconcile takes -0 for 0, as PostgreSQL does.
        in_texts = texts(in_lake.column(name), type_in_use(warehouse_tables()["dim_thing"].column(name)))
        assert in_texts.to_pylist() == ["0" if text == "-0" else text for text in wanted], f"{given} as {made}"
    assert reconcile(pipeline).agrees
    with replayed(pipeline, whole=True) as replay:
        assert apart(replay.compare()) == {}


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, values in UNHOLDABLE.items() for value in values], ids=str
)
def test_value_that_the_lake_can_not_hold_is_named(
    pipeline: Pipeline, declare: Callable[..., None], kind: str, value: str
) -> None:
    declare(thing=source("thing", "thing_id = { type = 'bigint', meaning = '.' }\n" + column("odd", kind)))
    pipeline.totesys(f"CREATE TABLE thing (thing_id bigint PRIMARY KEY, odd {kind})")
    pipeline.totesys("GRANT SELECT ON thing TO totes_reader")
    pipeline.totesys(f"INSERT INTO thing VALUES (5000000000, {value}), (1, NULL)")
    with pytest.raises(ContractBroken, match=r"thing 5000000000: odd is '.+', expected a value of type"):
        pipeline.ingest()
    declare(
        thing=source(
            "thing", "thing_id = { type = 'bigint', meaning = '.' }\n" + column("odd", kind), "quarantine = true"
        )
    )
    assert pipeline.ingest().quarantined == {"thing": 1}
