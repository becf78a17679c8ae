"""Makes a pipeline for a test, with two databases of its own on a real PostgreSQL and two buckets in the local AWS."""

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import pg8000.dbapi
import pytest
from pg8000.native import identifier

from local.postgres.databases import LOADER, READER
from local.postgres.server import Postgres
from tests.support import moto_inside
from tests.support.processes import process
from tests.support.s3_wire import OF_THE_TEST
from totes.contracts.declarations import source_tables, warehouse_tables
from totes.contracts.requests import Request
from totes.ingest import Ingested, ingest
from totes.lake.batch_log import BatchLog
from totes.lake.bucket import Lake
from totes.load import LoadResult, load
from totes.runtime.secrets import Credentials
from totes.runtime.settings import IngestSettings, LoadSettings, TransformSettings
from totes.transform import Transformed, transform

REAL_DATA = Path(__file__).parents[3] / "shared" / "data"
LOAD_ORDER = tuple(source_tables())

needs_real_data = pytest.mark.skipif(
    not REAL_DATA.exists(), reason=f"the extracts of the real totesys are not at {REAL_DATA.name}/ beside the checkout"
)


def _or_text(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Leaves values outside of Python's range as texts, as pg8000 does."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError:
            return text

    return parsed


# By the type's OID. pg8000 uses strptime, which took half the time of a comparison with the warehouse.
_PARSERS = {
    1082: _or_text(date.fromisoformat),
    1083: _or_text(time.fromisoformat),
    1184: _or_text(datetime.fromisoformat),
}


@dataclass
class Pipeline:
    """One test's pipeline.

    Attributes:
        source_postgres: totesys' server, if it is not the warehouse's.
        execution: the name of the execution in which the functions seem to run.
    """

    postgres: Postgres
    source: str
    warehouse: str
    passwords: dict[str, str]
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    execution: str = "arn:aws:states:eu-west-2:123456789012:execution:totes-test-pipeline:test"
    source_postgres: Postgres | None = None

    def __post_init__(self) -> None:
        self.landing_bucket = f"landing-{self.name}"
        self.processed_bucket = f"processed-{self.name}"
        for bucket in (self.landing_bucket, self.processed_bucket):
            moto_inside.create_bucket(bucket)
        self.put_secret("source", self.source, READER)
        self.put_secret("warehouse", self.warehouse, LOADER)

    @cached_property
    def s3(self) -> Any:
        """Returns a client of the test."""
        return boto3.client("s3", region_name=moto_inside.REGION, config=OF_THE_TEST)

    def put_secret(self, which: str, database: str, role: str, **changes: Any) -> None:
        secret = {
            "host": self.server(database).host,
            "port": self.postgres.port,
            "dbname": database,
            "username": role,
            "password": self.passwords[role],
        }
        moto_inside.put_secret(f"{self.name}/{which}", json.dumps(secret | changes))

    def move_source(self, server: Postgres) -> None:
        """Points the secret to another server, or to the same one after a restart, which moves its socket."""
        self.source_postgres = server
        self.put_secret("source", self.source, READER)

    def credentials(self, database: str, role: str = LOADER) -> Credentials:
        return Credentials(self.server(database).host, database, role, self.passwords[role])

    def ingest(self, *full_read: str, accept_deletions: Mapping[str, int] | None = None) -> Ingested:
        settings = IngestSettings(self.landing_bucket, self.processed_bucket, f"{self.name}/source")
        with process():
            return ingest(settings, Request(self.execution, full_read, accept_deletions=accept_deletions or {}))

    def transform(self) -> Transformed:
        with process():
            return transform(TransformSettings(self.landing_bucket, self.processed_bucket), Request(self.execution))

    def load(self) -> LoadResult:
        with process():
            return load(LoadSettings(self.processed_bucket, f"{self.name}/warehouse"), Request(self.execution))

    def run(
        self, *full_read: str, accept_deletions: Mapping[str, int] | None = None
    ) -> tuple[Ingested, Transformed, LoadResult]:
        """Runs all three stages, as an execution of the state machine does."""
        return self.ingest(*full_read, accept_deletions=accept_deletions), self.transform(), self.load()

    def landed(self) -> BatchLog:
        return BatchLog(Lake(self.landing_bucket))

    def processed(self) -> BatchLog:
        return BatchLog(Lake(self.processed_bucket))

    def objects(self, *buckets: str) -> set[str]:
        """Returns all keys of the lake, or of the given buckets, each with its content's digest."""
        return {
            f"{bucket}/{key} {etag}"
            for bucket in buckets or (self.landing_bucket, self.processed_bucket)
            for key, etag in moto_inside.etags(bucket).items()
        }

    @contextlib.contextmanager
    def connection(self, database: str) -> Iterator[pg8000.dbapi.Connection]:
        with contextlib.closing(self.server(database).connect(database)) as connection:
            for oid, parse in _PARSERS.items():
                connection.register_in_adapter(oid, parse)
            yield connection

    def totesys(self, statement: str, *values: object) -> list[list[Any]]:
        """Runs and commits one statement in totesys, as its owner."""
        return self._execute(self.source, statement, values)

    def star(self, statement: str, *values: object) -> list[list[Any]]:
        """Runs and commits one statement in the warehouse."""
        return self._execute(self.warehouse, statement, values)

    @contextlib.contextmanager
    def open_select(self, query: str) -> Iterator[str]:
        """Runs a query in an analyst's transaction and leaves it open; yields the analyst's name in an error."""
        with self.connection(self.warehouse) as connection:
            cursor = connection.cursor()
            cursor.execute("SET application_name = 'notebook'")
            connection.commit()
            cursor.execute("SELECT pg_backend_pid()")
            ((pid,),) = cursor.fetchall()
            cursor.execute(query)
            yield f"pid {pid} (postgres, notebook)"

    def drop_warehouse(self) -> None:
        """Drops everything in the warehouse, its schema too."""
        self.star("DROP SCHEMA IF EXISTS etl CASCADE")
        self.star("DROP SCHEMA public CASCADE")
        self.star(f"CREATE SCHEMA public AUTHORIZATION {identifier(LOADER)}")

    def server(self, database: str) -> Postgres:
        """Returns the server that a database is on."""
        return self.source_postgres if self.source_postgres and database == self.source else self.postgres

    def _execute(self, database: str, statement: str, values: tuple[object, ...]) -> list[list[Any]]:
        with self.connection(database) as connection:
            cursor = connection.cursor()
            cursor.execute(statement, values)
            rows = list(cursor.fetchall()) if cursor.description else []
            connection.commit()
        return rows


FACTS = {table.name: table.key for table in warehouse_tables().values() if table.is_fact}
DIMENSIONS = tuple(table.name for table in warehouse_tables().values() if not table.is_fact)


def content(pipeline: Pipeline) -> dict[str, list[list[Any]]]:
    """Returns the content of a warehouse, in order, without times and record ids, which differ from run to run."""
    tables: dict[str, list[list[Any]]] = {}
    for fact, record_id in FACTS.items():
        entity = fact.removeprefix("fact_")
        rows = pipeline.star(f"SELECT * FROM {entity}_history ORDER BY {record_id}")
        # version, batch_id, valid_from, valid_to, deleted, record id, …
        tables[fact] = [[*row[:2], row[3] is None, row[4], *row[6:]] for row in rows]
    for dimension in DIMENSIONS:
        tables[dimension] = pipeline.star(f"SELECT * FROM {dimension} ORDER BY 1")
    return tables


def physical_rows(pipeline: Pipeline) -> dict[str, str]:
    """Returns each row's place in the warehouse and the transaction that wrote it: this shows any write, even a futile
    one.
    """
    with pipeline.connection(pipeline.warehouse) as connection, contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(
            "SELECT format('%I.%I', nspname, relname) FROM pg_class "
            "JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname IN ('public', 'etl') AND relkind = 'r'"
        )
        digests = [
            f"SELECT '{table}', md5(string_agg(ctid || ' ' || xmin, ',' ORDER BY ctid)) FROM {table}"
            for (table,) in cursor.fetchall()
        ]
        if not digests:
            return {}
        cursor.execute(" UNION ALL ".join(digests))
        return dict(cursor.fetchall())


def import_extract(connection: pg8000.dbapi.Connection, day: str) -> None:
    """Copies a real extract into an empty totesys."""
    cursor = connection.cursor()
    for table in LOAD_ORDER:
        with (REAL_DATA / f"source_{day}" / f"{table}.csv").open("rb") as file:
            columns = file.readline().decode().strip()
            cursor.execute(f"COPY {identifier(table)} ({columns}) FROM STDIN (FORMAT csv)", stream=file)
    connection.commit()


def advance_to_extract(connection: pg8000.dbapi.Connection, day: str) -> None:
    """Brings totesys to a later extract by INSERT and UPDATE, without touching rows that are the same."""
    cursor = connection.cursor()
    for table in LOAD_ORDER:
        with (REAL_DATA / f"source_{day}" / f"{table}.csv").open("rb") as file:
            columns = file.readline().decode().strip()
            later, key, names = f"later_{table}", f"{table}_id", columns.split(",")
            cursor.execute(f"CREATE TEMP TABLE {later} AS SELECT {columns} FROM {identifier(table)} WITH NO DATA")
            cursor.execute(f"COPY {later} ({columns}) FROM STDIN (FORMAT csv)", stream=file)
        assignments = ", ".join(f"{name} = later.{name}" for name in names)
        cursor.execute(
            f"UPDATE {identifier(table)} AS now SET {assignments} FROM {later} AS later "
            f"WHERE now.{key} = later.{key} AND ROW (now.*) IS DISTINCT FROM "
            f"(SELECT ROW (same.*) FROM (SELECT {', '.join(f'later.{n}' for n in _order(cursor, table))}) AS same)"
        )
        cursor.execute(
            f"INSERT INTO {identifier(table)} ({columns}) SELECT {columns} FROM {later} AS later "
            f"WHERE NOT EXISTS (SELECT FROM {identifier(table)} AS now WHERE now.{key} = later.{key})"
        )
    connection.commit()


def _order(cursor: pg8000.dbapi.Cursor, table: str) -> list[str]:
    cursor.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = CAST(%s AS regclass) AND attnum > 0 ORDER BY attnum",
        (table,),
    )
    return [row[0] for row in cursor.fetchall()]
