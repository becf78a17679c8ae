"""Odd values of each type arrive in the warehouse, and a type may become a wider one."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.commands.history import Entity, read_versions
from tests.integration.test_migrations import catalogue
from tests.support.odd_values import ODD_VALUES, UNHOLDABLE
from tests.support.pipeline import Pipeline
from tests.support.reconciliation import reconcile
from tests.support.replays import apart, replayed
from tools.docs import lake
from totes.backfill import Backfill
from totes.contracts import types
from totes.contracts.declarations import ContractInvalid, declared, type_in_use, warehouse_tables
from totes.contracts.requests import BackfillRequest
from totes.errors import ContractViolation, VersionUnknown
from totes.lake.bucket import Lake
from totes.lake.texts import texts
from totes.postgres.connection import WAREHOUSE, connected
from totes.runtime.settings import IngestSettings
from totes.source.backfill_plan import Range
from totes.source.windows import joined_tables
from totes.warehouse.tables import metadata

COLUMNS = {name: f"c{number}" for number, name in enumerate(ODD_VALUES)}
ENUM = "CREATE TYPE \"Mood\" AS ENUM ('glad', '', 'NULL')"
HEAD = 'meaning = "."\n'
# A warehouse table reads a column of totesys as each type that it can become.
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
    """Returns a function that replaces totesys' declarations. Each call is a deployment."""
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
    """Returns declarations of a table with a column of each type, and of the warehouse's columns made from it."""
    identity = f"thing_id = {{ type = '{key}', meaning = '.' }}\n"
    thing = identity + "".join(column(name, kind) for kind, name in COLUMNS.items())
    made = f"thing_id = {{ type = '{key}', meaning = '.', from = 'thing.thing_id' }}\n" + "".join(
        column(column_name(given, kind), kind, f", from = 'thing.{COLUMNS[given]}'") for given, kind in MADE
    )
    record = "event_record_id = { type = 'serial', meaning = '.' }\n"
    fact = 'grain = "."\nkind = "fact"\nkey = "event_record_id"\nbusiness_key = "thing_id"\nsource = "thing"\n'
    dimension = 'grain = "."\nkind = "dimension"\nkey = "thing_id"\nsource = "thing"\n'
    return {
        "thing": source("thing", thing),
        "dim_thing": f"{dimension}[columns]\n{made}",
        "fact_event": f"{fact}[columns]\n{record}{made}",
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
    found = {types.find(name) for name in ODD_VALUES}
    assert None not in found
    assert {row.pattern or row.name for row in found if row} == {
        row.pattern or row.name for row in types.ROWS if row.in_source
    }


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
        for table in ("dim_thing", "current_event"):
            query = f"SELECT CAST({name} AS text) FROM {table} ORDER BY thing_id"
            assert asked(pipeline, pipeline.warehouse, query) == wanted, f"{given} as {made} in {table}"
        # Reconcile treats -0 as 0, as PostgreSQL does.
        in_texts = texts(in_lake.column(name), type_in_use(warehouse_tables()["dim_thing"].column(name)))
        assert in_texts.to_pylist() == ["0" if text == "-0" else text for text in wanted], f"{given} as {made}"
    assert reconcile(pipeline).agrees
    with replayed(pipeline, whole=True) as replay:
        assert apart(replay.compare()) == {}
    assert_lake_agrees(pipeline, tmp_path)

    # PostgreSQL treats the two values as equal.
    pipeline.totesys(f"UPDATE thing SET {COLUMNS['double precision']} = '-0' WHERE {COLUMNS['double precision']} = 0")
    pipeline.run()
    assert reconcile(pipeline).agrees


def assert_lake_agrees(pipeline: Pipeline, folder: Path) -> None:
    """Compares DuckDB's views, made from the same declarations, with the warehouse."""
    for key in pipeline.processed().read(1).tables["dim_thing"].values():
        path = folder / key.key
        path.parent.mkdir(parents=True)
        path.write_bytes(pipeline.s3.get_object(Bucket=pipeline.processed_bucket, Key=key.key)["Body"].read())
    with duckdb.connect() as duck:
        duck.execute(f"SET VARIABLE lake = '{folder}'; SET TimeZone = 'UTC'")
        duck.execute(next(text for path, text in lake.files().items() if path.name == "duckdb.sql"))
        for given, made in MADE:
            name = column_name(given, made)
            found = duck.execute(f"SELECT CAST({name} AS varchar) FROM dim_thing ORDER BY thing_id").fetchall()
            query = f"SELECT CAST({name} AS text) FROM dim_thing ORDER BY thing_id"
            texts_of_both = [text for (text,) in found], asked(pipeline, pipeline.warehouse, query)
            if made == "double precision":
                texts_of_both = tuple([text and repr(float(text)) for text in side] for side in texts_of_both)
            assert texts_of_both[0] == texts_of_both[1], f"{given} as {made}"


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
    with pytest.raises(ContractViolation, match=r"thing 5000000000: odd is '.+', expected a value of type"):
        pipeline.ingest()
    declare(
        thing=source(
            "thing", "thing_id = { type = 'bigint', meaning = '.' }\n" + column("odd", kind), "quarantine = true"
        )
    )
    assert pipeline.ingest().quarantined == {"thing": 1}


# A deal refers to its maker, which is joined with a city; `state` is restricted.
NARROW = {
    "city_id": "integer",
    "maker_id": "integer",
    "deal_id": "integer",
    "units": "integer",
    "price": "numeric(8,2)",
    "at": "timestamp(3)",
}
WIDE = NARROW | {
    "maker_id": "bigint",
    "deal_id": "bigint",
    "units": "bigint",
    "price": "numeric(12,3)",
    "at": "timestamp",
}
BIG, LOW = 5_000_000_000, -4_000_000_000


def deals(kinds: dict[str, str], made_price: str = "") -> dict[str, str]:
    """Returns declarations of a business whose columns have some types."""
    price, moment = made_price or kinds["price"], "time"
    return {
        "city": source(
            "city", key_column("city", kinds) + column("name", "text") + column("score", "double precision")
        ),
        "maker": source("maker", key_column("maker", kinds) + reference("city", kinds)),
        "deal": source(
            "deal",
            key_column("deal", kinds)
            + reference("maker", kinds)
            + column("units", kinds["units"])
            + column("price", kinds["price"])
            + column("at", kinds["at"])
            + "state = { type = 'varchar(8)', meaning = '.', values = ['open', 'done'] }\n",
            "quarantine = true",
        ),
        "dim_maker": 'grain = "."\nkind = "dimension"\nkey = "maker_id"\nsource = "maker"\n'
        + 'join = { city = "city_id" }\n[columns]\n'
        + key_column("maker", kinds, "maker.maker_id")
        + column("city_name", "varchar", ", from = 'city.name'")
        + column("city_score", "double precision", ", from = 'city.score'"),
        "fact_deal": 'grain = "."\nkind = "fact"\nkey = "deal_record_id"\nbusiness_key = "deal_id"\nsource = "deal"\n'
        + "[columns]\ndeal_record_id = { type = 'serial', meaning = '.' }\n"
        + key_column("deal", kinds, "deal.deal_id")
        + reference("maker", kinds, "dim_maker", "deal.maker_id")
        + column("price", price, ", from = 'deal.price'")
        + column("at", moment, ", from = 'deal.at'")
        + f"units = {{ type = '{kinds['units']}', meaning = '.', from = 'deal.units', default = '7', since = 2 }}\n",
    }


def key_column(table: str, kinds: dict[str, str], origin: str = "") -> str:
    more = f", from = '{origin}'" if origin else ""
    return f"{table}_id = {{ type = '{kinds[f'{table}_id']}', meaning = '.'{more} }}\n"


def reference(table: str, kinds: dict[str, str], references: str = "", origin: str = "") -> str:
    more = f", from = '{origin}'" if origin else ""
    kind = kinds.get(f"{table}_id of others", kinds[f"{table}_id"])
    return f"{table}_id = {{ type = '{kind}', meaning = '.', references = '{references or table}'{more} }}\n"


@pytest.fixture
def business(pipeline: Pipeline, declare: Callable[..., None]) -> Pipeline:
    """Yields a pipeline with narrow types that has loaded a batch, processed a second and landed a third."""
    declare(**deals(NARROW))
    pipeline.totesys("CREATE TABLE city (city_id integer PRIMARY KEY, name text, score double precision)")
    pipeline.totesys("CREATE TABLE maker (maker_id integer PRIMARY KEY, city_id integer NOT NULL REFERENCES city)")
    pipeline.totesys(
        "CREATE TABLE deal (deal_id integer PRIMARY KEY, maker_id integer NOT NULL REFERENCES maker, units integer, "
        "price numeric(8,2), at timestamp(3), state varchar(8) NOT NULL)"
    )
    pipeline.totesys("GRANT SELECT ON city, maker, deal TO totes_reader")
    pipeline.totesys("INSERT INTO city VALUES (1, 'Bath', 'NaN'); INSERT INTO maker VALUES (1, 1), (2, 1)")
    stamp = "TIMESTAMP '2024-03-31 01:30:00.12'"
    keys = "generate_series(-3, 9) AS n"
    pipeline.totesys(f"INSERT INTO deal SELECT n, 1 + abs(n % 2), n, n, {stamp}, 'open' FROM {keys}")
    pipeline.totesys("INSERT INTO deal VALUES (77, 1, 1, 1, NULL, 'odd')")
    pipeline.run()
    pipeline.star("GRANT SELECT ON current_deal TO totes_reader")
    pipeline.totesys("UPDATE deal SET units = 2147483647, price = 999999.99 WHERE deal_id = 3")
    pipeline.totesys("UPDATE city SET name = 'Leeds'; DELETE FROM deal WHERE deal_id = 4")
    pipeline.ingest()
    pipeline.transform()
    pipeline.totesys("UPDATE deal SET units = NULL WHERE deal_id = 5; DELETE FROM deal WHERE deal_id = 6")
    pipeline.totesys("INSERT INTO maker VALUES (3, 1); INSERT INTO deal VALUES (10, 3, 1, 1, NULL, 'done')")
    pipeline.ingest()
    return pipeline


def widen_source(pipeline: Pipeline) -> None:
    """Gives totesys' columns wider types, and rows that need them."""
    pipeline.totesys("ALTER TABLE maker ALTER maker_id TYPE bigint")
    pipeline.totesys(
        "ALTER TABLE deal ALTER deal_id TYPE bigint, ALTER maker_id TYPE bigint, ALTER units TYPE bigint, "
        "ALTER price TYPE numeric(12,3), ALTER at TYPE timestamp"
    )
    pipeline.totesys(f"INSERT INTO maker VALUES ({BIG}, 1)")
    stamp = "TIMESTAMP '2024-03-31 01:30:00.123456'"
    for key in (BIG, LOW, BIG + 1):
        pipeline.totesys(f"INSERT INTO deal VALUES ({key}, {BIG}, {key}, 1234567.891, {stamp}, 'open')")
    pipeline.totesys(f"INSERT INTO deal VALUES ({BIG + 77}, 1, 1, 1, NULL, 'odd')")


def test_column_and_key_become_wider(business: Pipeline, declare: Callable[..., None]) -> None:
    widen_source(business)
    with pytest.raises(ContractViolation, match=r"deal\.deal_id has type bigint, expected integer"):
        business.ingest()

    declare(**deals(WIDE))
    business.run()

    kinds = business.star(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'current_deal'::regclass AND attnum > 0 ORDER BY attnum"
    )
    assert dict(kinds) == {
        "deal_record_id": "integer",
        "deal_id": "bigint",
        "maker_id": "bigint",
        "price": "numeric(12,3)",
        "at": "time without time zone",
        "units": "bigint",
    }
    assert business.star("SELECT has_table_privilege('totes_reader', 'current_deal', 'SELECT')") == [[True]]
    some = "SELECT units, price::text, at::text FROM current_deal WHERE deal_id IN (3, 4, 5, 6, 10) ORDER BY deal_id"
    assert business.star(some) == [
        [2147483647, "999999.990", "01:30:00.12"],
        [7, "5.000", "01:30:00.12"],
        [1, "1.000", None],
    ]
    far = f"SELECT units, at::text FROM current_deal WHERE deal_id IN ({BIG}, {LOW}) ORDER BY deal_id"
    assert business.star(far) == [
        [LOW, "01:30:00.123456"],
        [BIG, "01:30:00.123456"],
    ]
    quarantined = "SELECT business_id FROM etl.quarantine WHERE released_batch_id IS NULL ORDER BY 1"
    assert business.star(quarantined) == [[77], [BIG + 77]]
    # Rows that were only read again have no new version.
    assert business.star("SELECT count(*) FROM fact_deal WHERE deal_id = 1") == [[1]]

    business.totesys(f"DELETE FROM deal WHERE deal_id IN ({BIG}, {LOW})")
    business.totesys(f"UPDATE deal SET state = 'done' WHERE deal_id > {BIG + 1}")
    landed, _, _ = business.run()
    assert landed.deleted == {"deal": 2}
    assert business.star("SELECT business_id FROM etl.tombstone ORDER BY 1") == [[LOW], [4], [6], [BIG]]
    assert business.star(f"SELECT count(*) FROM deal_history WHERE deal_id = {BIG} AND deleted") == [[1]]
    assert business.star(quarantined) == [[77]]
    assert reconcile(business).agrees
    with replayed(business, whole=True) as replay:
        assert apart(replay.compare()) == {}
    assert not business.ingest().new_data


def test_narrow_batches_load_into_an_empty_wide_warehouse(business: Pipeline, declare: Callable[..., None]) -> None:
    """A migrated schema and one made from empty have the same content and the same catalogue."""
    declare(**deals(WIDE))
    widen_source(business)
    business.run()
    # Except for rights, which only a person can grant.
    brought = content(business), [row[:-1] for row in catalogue(business)]
    business.drop_warehouse()
    business.load()
    assert content(business) == brought[0]
    assert [row[:-1] for row in catalogue(business)] == brought[1]


def test_narrow_column_refers_to_a_wide_key(business: Pipeline, declare: Callable[..., None]) -> None:
    """totesys may widen the key first, and the columns that refer to it later, or never."""
    business.transform()
    business.load()
    business.totesys("ALTER TABLE city ALTER city_id TYPE bigint; ALTER TABLE maker ALTER maker_id TYPE bigint")
    business.totesys(
        f"INSERT INTO city VALUES ({BIG}, 'York', '-Infinity'); UPDATE city SET name = 'Hull' WHERE city_id = 1"
    )
    business.totesys(f"INSERT INTO maker VALUES ({BIG}, 1)")
    wide = {"city_id": "bigint", "maker_id": "bigint"}
    declare(**deals(NARROW | wide | {"city_id of others": "integer", "maker_id of others": "integer"}))
    business.run()
    assert business.star("SELECT maker_id, city_name, city_score::text FROM dim_maker ORDER BY 1") == [
        [1, "Hull", "NaN"],
        [2, "Hull", "NaN"],
        [3, "Hull", "NaN"],
        [BIG, "Hull", "NaN"],
    ]
    assert reconcile(business).agrees


def test_view_of_an_analyst_keeps_the_column_as_it_is(business: Pipeline, declare: Callable[..., None]) -> None:
    business.star("CREATE SCHEMA mine; CREATE VIEW mine.units AS SELECT units FROM fact_deal")
    declare(**deals(WIDE))
    widen_source(business)
    before = catalogue(business)
    business.ingest()
    business.transform()
    with pytest.raises(
        ContractInvalid, match=r"fact_deal\.units can't be brought .* view mine\.units depends on column"
    ) as caught:
        business.load()
    assert "Let its owner drop it" in caught.value.remedy
    assert catalogue(business) == before
    business.star("DROP VIEW mine.units")
    business.load()
    assert reconcile(business).agrees


def test_replay_waits_for_the_declared_types(business: Pipeline, declare: Callable[..., None]) -> None:
    declare(**deals(WIDE))
    with pytest.raises(
        VersionUnknown, match=r"do not have their declared types yet: dim_maker\.maker_id, fact_deal\.d"
    ):
        replayed(business).__enter__()


def test_wide_type_is_not_brought_back(business: Pipeline, declare: Callable[..., None]) -> None:
    declare(**deals(WIDE))
    widen_source(business)
    business.run()
    declare(**deals(NARROW))
    with pytest.raises(ContractInvalid, match=r"fact_deal\.deal_id has the type bigint, expected integer"):
        business.load()


def test_landed_value_that_is_too_wide_for_its_declaration_is_named(
    business: Pipeline, declare: Callable[..., None]
) -> None:
    declare(**deals(WIDE))
    widen_source(business)
    business.ingest()
    declare(**deals(NARROW))
    with pytest.raises(
        ContractViolation, match=r"Landed values of (maker|deal)_id do not fit the type that schemas/source"
    ):
        business.transform()


def test_rows_that_seem_new_are_found_by_wide_keys(business: Pipeline, declare: Callable[..., None]) -> None:
    """A long-running transaction holds the fence back, so reconcile reads the last batch in the lake."""
    declare(**deals(WIDE))
    widen_source(business)
    with business.connection(business.source) as connection:
        connection.cursor().execute("SELECT pg_current_xact_id()")
        business.run()
        business.totesys(f"DELETE FROM deal WHERE deal_id = {BIG}")
        business.totesys(f"UPDATE deal SET units = 1 WHERE deal_id = {LOW}")
        business.star(f"UPDATE fact_deal SET price = 0 WHERE deal_id = {BIG + 1}")
        (found,) = [table for table in reconcile(business).tables if table.table == "fact_deal"]
    assert (found.on_their_way.first, found.differing.first) == ([LOW, BIG], [BIG + 1])


def test_backfill_divides_wide_keys(business: Pipeline, declare: Callable[..., None]) -> None:
    declare(**deals(WIDE))
    widen_source(business)
    business.run()
    business.totesys(
        f"INSERT INTO deal VALUES ({BIG + 5}, 1, 5, 5, NULL, 'open'); DELETE FROM deal WHERE state = 'odd'"
    )
    settings = IngestSettings(business.landing_bucket, business.processed_bucket, f"{business.name}/source")
    backfill = Backfill(settings, business.execution)
    backfill.plan(BackfillRequest(rows=4, concurrency=1))
    s3, folder = business.s3, f"backfill/{business.execution.rpartition(':')[2]}"
    ranges = json.load(s3.get_object(Bucket=business.landing_bucket, Key=f"{folder}/facts.json")["Body"])
    assert len(ranges) == 4
    assert sum(backfill.read(Range(**part))["rows"] for part in ranges) == 16
    backfill.land()
    business.transform()
    business.load()
    assert reconcile(business).agrees


def test_history_of_a_wide_key_is_shown(business: Pipeline, declare: Callable[..., None]) -> None:
    entity = Entity("deal", "deal")
    assert entity.ids == range(-(2**31), 2**31)
    declare(**deals(WIDE))
    assert entity.ids == range(-(2**63), 2**63)
    widen_source(business)
    business.run()
    with connected(WAREHOUSE, business.credentials(business.warehouse), "totes-test") as connection:
        assert [version["units"] for version in read_versions(connection, entity, BIG)] == [BIG]


def content(pipeline: Pipeline) -> list[list[Any]]:
    return [
        *pipeline.star(
            "SELECT version, batch_id, deleted, deal_id, maker_id, price::text, at::text, units FROM deal_history "
            "ORDER BY deal_id, version"
        ),
        *pipeline.star("SELECT maker_id, city_name, city_score::text FROM dim_maker ORDER BY 1"),
        *pipeline.star("SELECT table_name, business_id, batch_id FROM etl.tombstone ORDER BY 1, 2"),
    ]
