"""What a row does to the relations of totesys: statements in one transaction, and tables that become partitioned."""

import time

from tests.faults.drill import Drill

# Payments by key; those from 200 on once more, by whether they are paid. One part lies where the reader may not look.
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
# The same for the two tables that dim_staff is made of.
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
# Payments below 50 are rows of a child.
INHERITED = (
    "CREATE SCHEMA archive",
    "CREATE TABLE archive.payment_old () INHERITS (payment)",
    "INSERT INTO archive.payment_old SELECT * FROM payment WHERE payment_id < 50",
    "DELETE FROM ONLY payment WHERE payment_id < 50",
)
# Another payment table, whose rows are older than the next fence and differ from those of payment.
PREPARED = (
    "CREATE TABLE prepared (LIKE payment)",
    "INSERT INTO prepared SELECT * FROM payment",
    "UPDATE prepared SET paid = NOT paid WHERE payment_id % 3 = 0",
)
SECONDS_TO_WAIT = 30


def at_once(drill: Drill, *statements: str) -> None:
    """Runs statements in one transaction of totesys and commits it."""
    with drill.session() as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


def apart(drill: Drill, *statements: str) -> None:
    """Runs statements each outside a transaction, as VACUUM and others have to be."""
    for statement in statements:
        drill.pipeline.postgres.execute(statement, drill.pipeline.source)


def until_waiting(drill: Drill, application: str = "totes-ingest") -> None:
    """Returns when a session wants locks of totesys: Ingest asks for them again and again, others wait in the queue."""
    waiting = "" if application == "totes-ingest" else "wait_event_type = 'Lock' AND "
    sessions = (
        f"SELECT pid FROM pg_stat_activity WHERE {waiting}application_name = '{application}' "
        "AND datname = current_database()"
    )
    give_up = time.monotonic() + SECONDS_TO_WAIT
    while not drill.totesys(sessions):
        assert time.monotonic() < give_up, f"{application} waits for nothing"
        time.sleep(0.02)
