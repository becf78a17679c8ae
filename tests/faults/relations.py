"""Changes the relations of totesys: statements in one transaction, and tables that become partitioned."""

import time

from tests.faults.scenario import Scenario

# Partitions payments by key, and payments from 200 on also by paid. The reader has no rights in one partition's schema.
PARTITIONED = (
    "CREATE SCHEMA archive",
    "ALTER TABLE payment RENAME TO plain",
    "CREATE TABLE payment (LIKE plain) PARTITION BY RANGE (payment_id)",
    "CREATE TABLE archive.payment_old PARTITION OF payment FOR VALUES FROM (MINVALUE) TO (50)",
    "CREATE TABLE payment_low PARTITION OF payment FOR VALUES FROM (50) TO (200)",
    "CREATE TABLE payment_high PARTITION OF payment FOR VALUES FROM (200) TO (1000) PARTITION BY LIST (paid)",
    "CREATE TABLE payment_paid PARTITION OF payment_high FOR VALUES IN (true)",
    "CREATE TABLE payment_due PARTITION OF payment_high FOR VALUES IN (false)",
    "INSERT INTO payment SELECT * FROM plain",
    "DROP TABLE plain",
)
# Partitions the two tables from which dim_staff is made.
PARTITIONED_STAFF = tuple(
    statement
    for table in ("department", "staff")
    for statement in (
        f"ALTER TABLE {table} RENAME TO plain",
        f"CREATE TABLE {table} (LIKE plain) PARTITION BY LIST ({table}_id)",
        f"CREATE TABLE {table}_some PARTITION OF {table} FOR VALUES IN (1, 2, 3)",
        f"CREATE TABLE {table}_rest PARTITION OF {table} DEFAULT",
        f"INSERT INTO {table} SELECT * FROM plain",
        "DROP TABLE plain CASCADE",
    )
)
# Moves the payments below 50 into a child table.
INHERITED = (
    "CREATE SCHEMA archive",
    "CREATE TABLE archive.payment_old () INHERITS (payment)",
    "INSERT INTO archive.payment_old SELECT * FROM payment WHERE payment_id < 50",
    "DELETE FROM ONLY payment WHERE payment_id < 50",
)
# Prepares a copy of payment with different values. Its rows will be older than the next fence.
PREPARED = (
    "CREATE TABLE prepared (LIKE payment)",
    "INSERT INTO prepared SELECT * FROM payment",
    "UPDATE prepared SET paid = NOT paid WHERE payment_id % 3 = 0",
)
SECONDS_TO_WAIT = 30


def at_once(scenario: Scenario, *statements: str) -> None:
    """Runs statements in one transaction of totesys and commits it."""
    with scenario.session() as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


def apart(scenario: Scenario, *statements: str) -> None:
    """Runs each statement outside a transaction, as VACUUM and others require."""
    for statement in statements:
        scenario.pipeline.postgres.execute(statement, scenario.pipeline.source)


def until_waiting(scenario: Scenario, application: str = "totes-ingest") -> None:
    """Returns when a session waits for locks of totesys: ours ask repeatedly, others wait in a queue."""
    waiting = "" if application.startswith("totes-") else "wait_event_type = 'Lock' AND "
    sessions = (
        f"SELECT pid FROM pg_stat_activity WHERE {waiting}application_name = '{application}' "
        "AND datname = current_database()"
    )
    give_up = time.monotonic() + SECONDS_TO_WAIT
    while not scenario.totesys(sessions):
        assert time.monotonic() < give_up, f"{application} waits for nothing"
        time.sleep(0.02)
