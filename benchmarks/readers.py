"""Measures how long a reader of the warehouse waits while Load runs.

python -m benchmarks.readers [ORDERS]

A reader queries an order and the designs ten times a second. In some cases, an analyst has left a transaction open.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial

from benchmarks import totesys
from benchmarks.environment import LANDING, PROCESSED, Environment, environment
from benchmarks.ours import EXECUTION
from benchmarks.processes import once
from benchmarks.rounds import OursFailed
from cli.render.terminal import screen
from local.postgres.databases import WAREHOUSE
from totes.contracts.requests import Request
from totes.ingest import ingest
from totes.postgres.connection import WAREHOUSE as DATABASE
from totes.postgres.connection import connected
from totes.runtime.log import logger
from totes.runtime.secrets import read_credentials
from totes.runtime.settings import IngestSettings, TransformSettings
from totes.transform import transform
from totes.warehouse import schema
from totes.warehouse.warehouse import Warehouse

_EVERY_SECONDS = 0.1
_LOOKS = ("SELECT * FROM current_sales_order WHERE sales_order_id = 1", "SELECT count(*) FROM dim_design")
_CALENDAR, _ORDERS = "SELECT count(*) FROM dim_date", "SELECT count(*) FROM current_sales_order"


class Reader(threading.Thread):
    """Reads the warehouse over its own connection until it is stopped."""

    def __init__(self, at: Environment) -> None:
        super().__init__(daemon=True)
        self._connection = at.postgres.connect(WAREHOUSE)
        self._connection.autocommit = True
        self._ended = threading.Event()
        self.longest = 0.0

    def run(self) -> None:
        while not self._ended.wait(_EVERY_SECONDS):
            started = time.perf_counter()
            for look in _LOOKS:
                self._connection.cursor().execute(look)
            self.longest = max(self.longest, time.perf_counter() - started)

    def stop(self) -> None:
        self._ended.set()
        self.join()
        self._connection.close()


def main(arguments: list[str]) -> None:
    rows = int(arguments[0]) if arguments else 300_000
    with environment(partial(totesys.fill, rows=rows)) as at:
        os.environ.update(at.environment)
        logger.setLevel("ERROR")
        for analyst in (False, True):
            at.forget()
            _migrate()
            _process()
            _say(at, f"first load of {rows:,} orders", _CALENDAR if analyst else "")
            once(at.environment, "load")
        for analyst in (False, True):
            _process("sales_order")
            _say(at, f"full re-read of {rows:,} orders, nothing new", _CALENDAR if analyst else "")
            once(at.environment, "load")
        _go_back_a_version(at)
        _say(at, "migration to the last version", _ORDERS)


def _say(at: Environment, name: str, open_select: str) -> None:
    """Loads the pending batches, and prints how long Load took and how long the reader waited."""
    with _open(at, open_select) if open_select else contextlib.nullcontext():
        reader = Reader(at)
        reader.start()
        started = time.perf_counter()
        try:
            once(at.environment, "load")
            outcome = "loaded"
        except OursFailed as error:
            outcome = " ".join(str(error).strip().splitlines()[-2:])
        took = time.perf_counter() - started
        reader.stop()
    who = f", while an analyst has {open_select!r} open" if open_select else ""
    screen().print(f"{name}{who}: Load took {took:.1f} s, a reader waited at most {reader.longest:.2f} s; {outcome}")


@contextlib.contextmanager
def _open(at: Environment, query: str) -> Iterator[None]:
    with contextlib.closing(at.postgres.connect(WAREHOUSE)) as connection:
        connection.cursor().execute("SET application_name = 'analyst'")
        connection.cursor().execute(query)
        yield


def _migrate() -> None:
    with connected(DATABASE, read_credentials("warehouse"), "bench") as connection:
        schema.migrate(Warehouse(connection))


def _process(*full_read: str) -> None:
    """Lands and processes a batch."""
    ingest(IngestSettings(LANDING, PROCESSED, "source"), Request(EXECUTION, full_read))
    transform(TransformSettings(LANDING, PROCESSED), Request(EXECUTION))


def _go_back_a_version(at: Environment) -> None:
    """Reverts the schema's last migration."""
    for statement in (
        "ALTER TABLE etl.tombstone DROP COLUMN ended_batch_id",
        "DELETE FROM etl.schema_version WHERE version = 3",
    ):
        at.postgres.execute(statement, WAREHOUSE)


if __name__ == "__main__":
    main(sys.argv[1:])
