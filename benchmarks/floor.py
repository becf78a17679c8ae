"""Measures lower bounds: a copy by PostgreSQL's own client, and a driver that only queries and disconnects."""

import contextlib
import importlib.util
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pg8000.dbapi

from benchmarks import totesys
from benchmarks.rounds import PeerFailed
from local.postgres.databases import SOURCE
from local.postgres.server import INSTALLATION, SOCKET_NAME, SUPERUSER, WHEEL, Postgres
from totes.source import fence

if TYPE_CHECKING:
    from totes.runtime.secrets import Credentials

DATABASE = "floor"
COLUMNS = (
    "sales_order_id integer, created_at timestamp(3), last_updated timestamp(3), design_id integer, staff_id integer, "
    "counterparty_id integer, units_sold integer, unit_price numeric(10,2), currency_id integer, "
    "agreed_delivery_date text, agreed_payment_date text, agreed_delivery_location_id integer"
)
NAMES = ", ".join(column.split()[0] for column in COLUMNS.split(", "))
TABLES = {
    "bare": f"CREATE TABLE bare ({COLUMNS})",
    # The primary key and the index of fact_sales_order.
    "keyed": f"CREATE TABLE keyed (record_id serial PRIMARY KEY, {COLUMNS}); "
    "CREATE INDEX ON keyed (sales_order_id, record_id)",
}


def forget(postgres: Postgres, table: str) -> None:
    """Creates one of the tables again, empty."""
    postgres.create_database(DATABASE)
    for statement in (f"DROP TABLE IF EXISTS {table}", *TABLES[table].split("; ")):
        postgres.execute(statement, DATABASE)


def copy_across(postgres: Postgres, table: str) -> float:
    """Runs `psql COPY TO STDOUT | psql COPY FROM STDIN`; returns the seconds."""
    started = time.perf_counter()
    out = subprocess.Popen(_psql(postgres, SOURCE, _copy_out()), stdout=subprocess.PIPE)
    into = subprocess.run(
        _psql(postgres, DATABASE, f"COPY {table} ({NAMES}) FROM STDIN"), stdin=out.stdout, check=False
    )
    _require(out.wait(), into.returncode)
    return time.perf_counter() - started


def check(postgres: Postgres, table: str) -> None:
    """Checks that one of the tables has all orders."""
    if totesys.content(postgres, DATABASE, table) != totesys.content(postgres):
        raise PeerFailed("wrong answer")


def copy_to_file(postgres: Postgres, path: Path) -> float:
    """Runs `psql COPY TO STDOUT > file`; returns the seconds."""
    started = time.perf_counter()
    with path.open("wb") as file:
        _require(subprocess.run(_psql(postgres, SOURCE, _copy_out()), stdout=file, check=False).returncode)
    return time.perf_counter() - started


def ask_once(postgres: Postgres) -> float:
    """Runs a psql that queries whether one table has anything new; returns the seconds."""
    started = time.perf_counter()
    asked = subprocess.run(
        _psql(postgres, SOURCE, "SELECT count(*), max(last_updated) FROM public.sales_order"),
        stdout=subprocess.DEVNULL,
        check=False,
    )
    _require(asked.returncode)
    return time.perf_counter() - started


@contextlib.contextmanager
def scanning(postgres: Postgres) -> Iterator[Callable[[], float]]:
    """Yields a function that scans for new orders as Ingest does, over an open connection, and returns the seconds."""
    with contextlib.closing(postgres.connect(SOURCE)) as connection, contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("SET max_parallel_workers_per_gather = 0; SET jit = off")
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")
        new = fence.is_new(int(cursor.fetchone()[0]), '"sales_order"')
        statement = f"SELECT count(*), min(ctid) FILTER (WHERE {new}) FROM public.sales_order"

        def scan() -> float:
            started = time.perf_counter()
            cursor.execute(statement)
            return time.perf_counter() - started

        yield scan


def ask() -> dict[str, int]:
    """Queries in Python whether any table of totesys has anything new, with Ingest's role and password."""
    from totes.contracts.declarations import source_tables

    credentials = _credentials()
    with contextlib.closing(
        pg8000.dbapi.connect(
            credentials.username,
            password=credentials.password,
            database=credentials.dbname,
            unix_sock=f"{credentials.host}/{SOCKET_NAME}",
            ssl_context=False,
        )
    ) as connection:
        cursor = connection.cursor()
        rows = {}
        for table in source_tables():
            cursor.execute(f'SELECT count(*), max(last_updated) FROM public."{table}"')
            rows[table] = cursor.fetchone()[0]
    return rows


@cache
def _credentials() -> "Credentials":
    from totes.runtime.secrets import read_credentials
    from totes.runtime.settings import IngestSettings, read_settings

    return read_credentials(read_settings(IngestSettings).source_secret)


def _copy_out() -> str:
    return f"COPY (SELECT {NAMES} FROM public.sales_order) TO STDOUT"


def _psql(postgres: Postgres, database: str, statement: str) -> list[str]:
    # Uses psql from PostgreSQL's wheel, so it need not be on the PATH.
    spec = importlib.util.find_spec(WHEEL)
    assert spec is not None
    assert spec.origin is not None
    psql = Path(spec.origin).parent / INSTALLATION / "bin" / "psql"
    options = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", postgres.host, "-U", SUPERUSER, "-d", database]
    return [str(psql), *options, "-c", statement]


def _require(*codes: int) -> None:
    if any(codes):
        raise PeerFailed(f"psql failed with {codes}")
