"""F56 and F57: tables of totesys are altered, reloaded or exchanged, while Ingest waits or between two runs."""

import contextlib
import io
import threading
import time
from collections.abc import Iterator, Sequence

import pg8000.dbapi
import pytest

from tests.faults.relations import PARTITIONED, PARTITIONED_STAFF, PREPARED, apart, at_once, until_waiting
from tests.faults.scenario import HEAL, HOLD, PATIENCE, WARN, Scenario, fault
from tests.faults.test_backfill import Backfills, lands, reads, succeeded
from tests.support.injection import at_statement
from tests.support.loaded import on
from tests.support.pipeline import LOAD_ORDER
from tests.support.reconciliation import reconcile

AMENDED = "UPDATE payment SET paid = NOT paid WHERE payment_id = %s"
# Seconds for which a migration holds its locks: longer than Ingest waits, and longer than the deadlock time-out.
WHILE = 1.5
TRUNCATED = (
    "CREATE TEMP TABLE kept AS SELECT * FROM payment",
    "TRUNCATE payment",
    "INSERT INTO payment SELECT * FROM kept",
)
SWAPPED = ("ALTER TABLE payment RENAME TO retired", "ALTER TABLE prepared RENAME TO payment")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes Ingest give up its attempts at locks sooner."""
    monkeypatch.setattr("totes.source.snapshot.LOCKING_SECONDS", 0.3)


def altering(table: str, column: str) -> tuple[str, ...]:
    """Returns statements that rewrite a table and change neither values nor types."""
    return (f"ALTER TABLE {table} ALTER {column} TYPE text USING {column} || ''",)


@contextlib.contextmanager
def uncommitted(
    scenario: Scenario, statements: Sequence[str], name: str = "migrate"
) -> Iterator[pg8000.dbapi.Connection]:
    """Yields a session that has run statements and not committed them yet."""
    with scenario.session() as connection:
        cursor = connection.cursor()
        cursor.execute(f"SET application_name = '{name}'")
        connection.commit()
        for statement in statements:
            cursor.execute(statement)
        yield connection


def commits_while_it_waits(scenario: Scenario, statements: Sequence[str]) -> str:
    """Starts an execution that waits for a transaction's locks, then commits the transaction; returns the execution's
    ARN.
    """
    with uncommitted(scenario, statements) as migration:
        arn = scenario.start()
        until_waiting(scenario)
        time.sleep(WHILE)
        migration.commit()
    return arn


RELOADS = {
    "payment truncated and filled": TRUNCATED,
    "payment rewritten": altering("payment", "payment_date"),
    "a table that is read first": altering("address", "city"),
    "a table that others are joined with": altering("department", "location"),
    "one that is joined with it": altering("staff", "email_address"),
    "an amendment besides": (*altering("sales_order", "agreed_payment_date"), AMENDED % 7),
    "every table": tuple(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE" for table in LOAD_ORDER) + TRUNCATED,
}


@fault("F56", "a reload or rewrite commits while Ingest waits for the table", HEAL)
@pytest.mark.parametrize("statements", RELOADS.values(), ids=RELOADS)
def test_f56_reload_that_is_waited_for_buries_nothing(scenario: Scenario, statements: Sequence[str]) -> None:
    scenario.run()

    waited = scenario.wait(commits_while_it_waits(scenario, statements))

    assert waited.output["ingest"]["deleted"] == {}
    assert waited.output["ingest"]["full_read"] == {}
    assert tombstoned(scenario) == []


@fault("F56", "rows are loaded frozen, so older snapshots see them", HEAL)
def test_f56_frozen_reload_buries_nothing(scenario: Scenario) -> None:
    scenario.run()
    with scenario.session() as migration:
        cursor = migration.cursor()
        rows = io.BytesIO()
        cursor.execute("COPY payment TO STDOUT", stream=rows)
        rows.seek(0)
        cursor.execute("TRUNCATE payment")
        cursor.execute("COPY payment FROM STDIN (FREEZE)", stream=rows)
        cursor.execute(AMENDED % 7)
        arn = scenario.start()
        until_waiting(scenario)
        time.sleep(WHILE)
        migration.commit()

    waited = scenario.wait(arn)
    assert waited.output["ingest"]["deleted"] == {}
    assert waited.output["load"]["inserted"] == {"fact_payment": 1}


@fault("F56", "a reload or rewrite commits while the first run waits", HEAL)
def test_f56_first_run_that_waits_brings_everything(scenario: Scenario) -> None:
    first = scenario.wait(commits_while_it_waits(scenario, TRUNCATED))

    assert [[first.output["ingest"]["rows"]["payment"]]] == scenario.totesys("SELECT count(*) FROM payment")


CHANGES = {
    "a column is added whose default differs by row": (
        (),
        ("ALTER TABLE payment ADD COLUMN trace uuid NOT NULL DEFAULT gen_random_uuid()",),
    ),
    "a prepared copy is renamed into place": (PREPARED, SWAPPED),
    "the table is dropped and made anew": (
        (),
        (
            "CREATE TABLE anew (LIKE payment)",
            "INSERT INTO anew SELECT * FROM payment",
            "UPDATE anew SET paid = NOT paid WHERE payment_id = 7",
            "DROP TABLE payment",
            "ALTER TABLE anew RENAME TO payment",
        ),
    ),
}


@fault("F56", "the table is altered or exchanged while Ingest waits for it", WARN)
@pytest.mark.parametrize(("before", "statements"), CHANGES.values(), ids=CHANGES)
def test_f56_table_exchanged_while_waiting_is_read_as_it_became(
    scenario: Scenario, before: Sequence[str], statements: Sequence[str]
) -> None:
    at_once(scenario, *before)
    scenario.run()

    waited = scenario.wait(commits_while_it_waits(scenario, statements))

    assert waited.output["ingest"]["deleted"] == {}
    assert tombstoned(scenario) == []


@fault("F56", "the table is renamed away while Ingest waits for it", HOLD)
def test_f56_table_renamed_while_waiting_is_missed(scenario: Scenario) -> None:
    scenario.run()

    failed = scenario.wait(commits_while_it_waits(scenario, ["ALTER TABLE payment RENAME TO payments"]))

    assert failed.error == "ContractViolation"
    assert "table payment is not there" in failed.mail
    assert failed.changed_nothing
    scenario.totesys("ALTER TABLE payments RENAME TO payment")
    scenario.run()


@fault("F56", "a migration holds one table and waits for the others", HEAL)
def test_f56_migration_wants_tables_and_neither_dies_nor_waits(scenario: Scenario) -> None:
    scenario.run()
    with uncommitted(scenario, [AMENDED % 7, "LOCK TABLE payment IN ACCESS EXCLUSIVE MODE"]) as migration:
        arn = scenario.start()
        until_waiting(scenario)
        # By now any waiting session would have looked for deadlocks, so a deadlock would kill the migration.
        time.sleep(WHILE)
        # After a second of waiting, the server would look for deadlocks.
        migration.cursor().execute("SET LOCAL lock_timeout = '1s'")
        for table in LOAD_ORDER[:-1]:
            until_waiting(scenario)
            migration.cursor().execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        migration.commit()

    waited = scenario.wait(arn)

    assert waited.output["load"]["inserted"] == {"fact_payment": 1}


@fault("F56", "a lock is held for too long", HOLD)
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("table", ["payment", "address"])
def test_f56_session_that_holds_a_lock_is_named(scenario: Scenario, table: str) -> None:
    scenario.run()
    with uncommitted(scenario, [AMENDED % 7, f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"]) as migration:
        failed = scenario.run()
        pid = pid_of(migration)
        migration.commit()

    assert set(failed.retried) == {failed.error} == {"SourceBusy"}
    assert f"pid {pid} (postgres, migrate)" in failed.mail
    assert failed.changed_nothing
    assert scenario.run().output["load"]["inserted"] == {"fact_payment": 1}


@fault("F56", "a migration waits for a dump", HOLD)
@pytest.mark.usefixtures("impatient")
def test_f56_both_who_wait_and_who_are_waited_for_are_named(scenario: Scenario) -> None:
    scenario.run()
    with uncommitted(scenario, ["SELECT FROM payment"], "pg_dump") as dump, scenario.session() as migration:
        migration.cursor().execute("SET application_name = 'migrate'")
        migration.commit()
        pids = pid_of(dump), pid_of(migration)
        statement = "ALTER TABLE payment ALTER paid SET DEFAULT false"
        queued = threading.Thread(target=migration.cursor().execute, args=(statement,), daemon=True)
        queued.start()
        until_waiting(scenario, "migrate")
        # This lock conflicts with none of ours, so the e-mail must not name its session.
        with uncommitted(scenario, ["UPDATE design SET file_name = 'new.json' WHERE design_id = 1"], "shop") as shop:
            failed = scenario.run()
            shop.commit()
        dump.commit()
        queued.join()
        migration.commit()

    assert failed.error == "SourceBusy"
    assert f"pid {pids[0]} (postgres, pg_dump)" in failed.mail
    assert f"pid {pids[1]} (postgres, migrate)" in failed.mail
    assert "shop" not in failed.mail
    assert failed.changed_nothing
    assert scenario.run().output["load"]["updated"] == {"dim_design": 1}


@on("small_totesys")
@pytest.mark.parametrize(
    ("read", "statements"),
    [
        (None, altering("address", "city")),
        (None, TRUNCATED),
        ("payment", TRUNCATED),
        # Facts refer to its rows, so Load can't wait for the next execution to bring them.
        ("design", altering("design", "file_name")),
    ],
    ids=["of a dimension", "with its plan", "with a range", "with a range of a dimension"],
)
def test_backfill_waits_for_a_reload(scenario: Scenario, read: str | None, statements: Sequence[str]) -> None:
    backfills = Backfills(scenario)
    with uncommitted(scenario, () if read else statements) as migration:

        def commit() -> None:
            until_waiting(scenario, "totes-backfill")
            time.sleep(WHILE)
            migration.commit()

        committing = threading.Thread(target=commit, daemon=True)

        def reload() -> None:
            for statement in statements if read else ():
                migration.cursor().execute(statement)
            committing.start()

        def is_it(step: dict[str, object]) -> bool:
            return read is None or reads(read)(step)

        with backfills.before(is_it, reload):
            assert succeeded(backfills.run(rows=200))
        committing.join(PATIENCE)

    scenario.run()
    assert reconcile(scenario.pipeline).agrees
    assert tombstoned(scenario) == []
    assert scenario.star("SELECT count(*) FROM current_payment") == scenario.totesys("SELECT count(*) FROM payment")


def test_table_exchanged_before_a_backfill_reads_it_ends_it(scenario: Scenario) -> None:
    backfills = Backfills(scenario)
    at_once(scenario, *PREPARED)
    with backfills.before(reads("payment"), lambda: at_once(scenario, *SWAPPED)):
        failed = backfills.run(rows=200)

    assert "the structure of payment in totesys has changed" in str(scenario.in_process.raised[failed["executionArn"]])
    scenario.run()
    assert reconcile(scenario.pipeline).agrees


def test_table_exchanged_after_a_backfill_has_read_it_is_read_again(scenario: Scenario) -> None:
    backfills = Backfills(scenario)
    at_once(scenario, *PREPARED)
    with backfills.before(lands, lambda: at_once(scenario, *SWAPPED)):
        assert succeeded(backfills.run(rows=200))

    assert scenario.run().output["ingest"]["full_read"].keys() == {"payment"}
    assert reconcile(scenario.pipeline).agrees


def relabelled(name: str, one: str, other: str) -> tuple[str, ...]:
    """Returns statements that exchange two labels of an enum."""
    return tuple(
        f"ALTER TYPE \"{name}\" RENAME VALUE '{old}' TO '{new}'"
        for old, new in ((one, "held"), (other, one), ("held", other))
    )


def exchanged(table: str, one: str, other: str) -> tuple[str, ...]:
    """Returns statements that exchange the names of two columns."""
    return tuple(
        f"ALTER TABLE {table} RENAME {old} TO {new}" for old, new in ((one, "held"), (other, one), ("held", other))
    )


# Copies every table into another schema, with different payments.
ANOTHER_SCHEMA = (
    "CREATE SCHEMA other",
    "GRANT USAGE ON SCHEMA other TO PUBLIC",
    *(f"CREATE TABLE other.{table} AS SELECT * FROM {table}" for table in LOAD_ORDER),
    "UPDATE other.payment SET paid = NOT paid WHERE payment_id % 3 = 0",
    "GRANT SELECT ON ALL TABLES IN SCHEMA other TO PUBLIC",
)
DEPARTMENT = (
    "department_id integer, department_name text, location text, manager text, "
    "created_at timestamp(3), last_updated timestamp(3)"
)
GENERATED = (
    "ALTER TABLE staff DROP email_address, "
    "ADD email_address text GENERATED ALWAYS AS (first_name || '@totes.example') {}"
)
# {change: (before the first run, in one transaction after it, the tables that are read in full)}
OLD_VERSIONS = {
    "a prepared copy renamed into place": (PREPARED, SWAPPED, ["payment"]),
    "a table of another schema in its place": (
        ("CREATE SCHEMA shelf", *PREPARED, "ALTER TABLE prepared SET SCHEMA shelf"),
        (
            "ALTER TABLE payment RENAME TO retired",
            "ALTER TABLE shelf.prepared SET SCHEMA public",
            "ALTER TABLE prepared RENAME TO payment",
        ),
        ["payment"],
    ),
    "another schema in the place of public": (
        ANOTHER_SCHEMA,
        (
            "ALTER SCHEMA public RENAME TO retired",
            "ALTER SCHEMA other RENAME TO public",
            'ALTER TYPE retired."PaymentTypeName" SET SCHEMA public',
            'ALTER TYPE retired."TransactionType" SET SCHEMA public',
        ),
        list(LOAD_ORDER),
    ),
    "two columns exchanged": ((), exchanged("staff", "first_name", "last_name"), ["staff"]),
    "two columns of a fact exchanged": (
        (),
        exchanged("sales_order", "agreed_delivery_date", "agreed_payment_date"),
        ["sales_order"],
    ),
    "a column exchanged with an undeclared one": (
        ("ALTER TABLE design ADD COLUMN spare text NOT NULL DEFAULT '/spare'",),
        exchanged("design", "file_location", "spare"),
        ["design"],
    ),
    "a column dropped and added again with a default": (
        (),
        ("ALTER TABLE department DROP location", "ALTER TABLE department ADD location text DEFAULT 'Leeds'"),
        ["department"],
    ),
    "a column dropped and added again without": (
        (),
        ("ALTER TABLE department DROP manager", "ALTER TABLE department ADD manager text"),
        ["department"],
    ),
    "the same by way of the table's type": (
        (f"CREATE TYPE office AS ({DEPARTMENT})", "ALTER TABLE department OF office"),
        ("ALTER TYPE office DROP ATTRIBUTE location CASCADE", "ALTER TYPE office ADD ATTRIBUTE location text CASCADE"),
        ["department"],
    ),
    "labels of an enum exchanged": (
        (),
        relabelled("PaymentTypeName", "SALES_REFUND", "PURCHASE_REFUND"),
        ["payment_type"],
    ),
    "labels of another enum exchanged": ((), relabelled("TransactionType", "SALE", "PURCHASE"), ["transaction"]),
    "a column becomes a virtual generated one": ((), (GENERATED.format("VIRTUAL"),), ["staff"]),
    "the expression of a virtual generated column": (
        (GENERATED.format("VIRTUAL"),),
        ("ALTER TABLE staff ALTER email_address SET EXPRESSION AS (last_name || '@totes.example')",),
        ["staff"],
    ),
    "the expression of a partitioned table, and of no partition": (
        (*PARTITIONED_STAFF, GENERATED.format("VIRTUAL")),
        ("ALTER TABLE ONLY staff ALTER email_address SET EXPRESSION AS (last_name || '@totes.example')",),
        ["staff"],
    ),
}


@fault("F57", "values change without a new row version", WARN)
@pytest.mark.parametrize(("before", "statements", "tables"), OLD_VERSIONS.values(), ids=OLD_VERSIONS)
def test_f57_values_of_old_row_versions_are_read_again(
    scenario: Scenario, before: Sequence[str], statements: Sequence[str], tables: list[str]
) -> None:
    at_once(scenario, *before)
    scenario.run()
    scenario.run()  # the fence is now past the prepared rows

    at_once(scenario, *statements)
    changed = scenario.run()

    full_read = changed.output["ingest"]["full_read"]
    assert sorted(full_read) == sorted(tables)
    # The manifest gives the same reasons, and no row was lost.
    log = scenario.pipeline.landed()
    assert log.read(log.last()).full_read == full_read
    assert len(changed.warnings) >= len(tables)
    assert changed.output["ingest"]["deleted"] == {}
    assert scenario.run().output["ingest"]["full_read"] == {}


@fault("F57", "labels of an enum are exchanged while Ingest reads them, and exchanged back", WARN)
def test_f57_labels_that_came_and_went_are_read_again(scenario: Scenario) -> None:
    labels = relabelled("PaymentTypeName", "SALES_RECEIPT", "SALES_REFUND")
    scenario.run()
    scenario.totesys("UPDATE payment_type SET created_at = created_at")
    with at_statement("COPY", lambda: at_once(scenario, *labels)):
        scenario.run()
    at_once(scenario, *labels)

    back = scenario.run()

    assert back.output["ingest"]["full_read"].keys() == {"payment_type"}
    assert back.output["load"]["updated"] == {"dim_payment_type": 2}
    assert scenario.run().output["ingest"]["full_read"] == {}


# {change: (before the first run, in one transaction after it)}: only some relations of payment change.
PARTS = {
    "a partition exchanged": (
        (
            *PARTITIONED,
            "CREATE TABLE prepared (LIKE payment)",
            "INSERT INTO prepared SELECT * FROM payment_low",
            "UPDATE prepared SET paid = NOT paid WHERE payment_id % 3 = 0",
        ),
        (
            "ALTER TABLE payment DETACH PARTITION payment_low",
            "ALTER TABLE payment ATTACH PARTITION prepared FOR VALUES FROM (50) TO (200)",
        ),
    ),
    "a partition of a partition exchanged": (
        (
            *PARTITIONED,
            "CREATE TABLE prepared (LIKE payment)",
            "INSERT INTO prepared SELECT * FROM payment_due",
            "UPDATE prepared SET payment_date = '2024-12-24'",
        ),
        (
            "ALTER TABLE payment_high DETACH PARTITION payment_due",
            "ALTER TABLE payment_high ATTACH PARTITION prepared FOR VALUES IN (false)",
        ),
    ),
    "two partitions exchanged by name": (
        (
            *PARTITIONED,
            "CREATE TABLE prepared (LIKE payment)",
            "INSERT INTO prepared SELECT * FROM payment_low",
            "UPDATE prepared SET paid = NOT paid WHERE payment_id % 3 = 0",
        ),
        (
            "ALTER TABLE payment DETACH PARTITION payment_low",
            "ALTER TABLE payment_low RENAME TO retired",
            "ALTER TABLE prepared RENAME TO payment_low",
            "ALTER TABLE payment ATTACH PARTITION payment_low FOR VALUES FROM (50) TO (200)",
        ),
    ),
    "columns of a partition exchanged while it is detached": (
        PARTITIONED,
        (
            "ALTER TABLE payment DETACH PARTITION payment_low",
            *exchanged("payment_low", "created_at", "last_updated"),
            "ALTER TABLE payment ATTACH PARTITION payment_low FOR VALUES FROM (50) TO (200)",
        ),
    ),
    "a child exchanged": (
        (
            "CREATE TABLE payment_old () INHERITS (payment)",
            "INSERT INTO payment_old SELECT * FROM payment WHERE payment_id < 50",
            "DELETE FROM ONLY payment WHERE payment_id < 50",
            "CREATE TABLE prepared (LIKE payment)",
            "INSERT INTO prepared SELECT * FROM payment_old",
            "UPDATE prepared SET paid = NOT paid WHERE payment_id % 3 = 0",
        ),
        ("ALTER TABLE payment_old NO INHERIT payment", "ALTER TABLE prepared INHERIT payment"),
    ),
}


@fault("F57", "a partition is exchanged", HEAL)
@on("small_totesys")
@pytest.mark.parametrize(("before", "statements"), PARTS.values(), ids=PARTS)
def test_f57_part_that_is_another_one_is_read_again(
    scenario: Scenario, before: Sequence[str], statements: Sequence[str]
) -> None:
    at_once(scenario, *before)
    scenario.run()
    scenario.run()  # the fence is now past the prepared rows

    at_once(scenario, *statements)
    changed = scenario.run()

    # Nothing is read from the other relations.
    assert changed.output["ingest"]["full_read"] == {}
    assert 0 < changed.output["ingest"]["rows"]["payment"] < 200
    assert changed.output["ingest"]["deleted"] == {}
    assert changed.output["load"]["inserted"].keys() == {"fact_payment"}


# Changes that lock no table, so they may commit while it is read: {change: (before, meanwhile, the tables)}.
IN_THE_MIDST = {
    what: OLD_VERSIONS[what] for what in ("labels of another enum exchanged", "another schema in the place of public")
}


@fault("F57", "values change without a new row version while Ingest reads", WARN)
@pytest.mark.parametrize(("before", "statements", "tables"), IN_THE_MIDST.values(), ids=IN_THE_MIDST)
def test_f57_what_changes_in_the_midst_is_read_again(
    scenario: Scenario, before: Sequence[str], statements: Sequence[str], tables: list[str]
) -> None:
    at_once(scenario, *before)
    scenario.run()
    scenario.totesys("UPDATE transaction SET last_updated = created_at WHERE transaction_id = 7")

    with at_statement('COPY (SELECT "transaction"', lambda: at_once(scenario, *statements)) as reading:
        scenario.run()
    after = scenario.run()

    assert len(reading) == 1
    assert sorted(after.output["ingest"]["full_read"]) == sorted(tables)
    assert after.output["ingest"]["deleted"] == {}


REWRITES = {
    "a type's USING": ("ALTER TABLE department ALTER location TYPE text USING upper(location)",),
    "a stored generated column's expression": (
        "ALTER TABLE staff ALTER email_address SET EXPRESSION AS (last_name || '@totes.example')",
    ),
}


@fault("F57", "or are written again by ALTER TABLE", HEAL)
@on("small_totesys")
@pytest.mark.parametrize("statements", REWRITES.values(), ids=REWRITES)
def test_f57_rewritten_rows_are_new(scenario: Scenario, statements: Sequence[str]) -> None:
    scenario.totesys(GENERATED.format("STORED"))
    scenario.run()

    at_once(scenario, *statements)
    changed = scenario.run()

    assert changed.output["ingest"]["full_read"] == {}
    assert changed.output["load"]["updated"].keys() == {"dim_staff"}


HARMLESS = (
    "VACUUM FULL payment",
    "CLUSTER payment USING payment_pkey",
    "CREATE INDEX ON payment (paid)",
    "CREATE INDEX CONCURRENTLY ON payment (payment_date)",
    "REINDEX TABLE payment",
    "ANALYZE payment",
    "ALTER TABLE payment ADD CHECK (payment_id > 0)",
    "ALTER TABLE payment ADD CHECK (payment_id < 10000000) NOT VALID",
    "ALTER TABLE payment DROP CONSTRAINT payment_currency_id_fkey",
    "ALTER TABLE payment RENAME CONSTRAINT payment_pkey TO pk_payment",
    "ALTER TABLE payment ALTER paid SET STATISTICS 500",
    "ALTER TABLE payment ALTER paid SET (n_distinct = 2)",
    "ALTER TABLE payment ALTER paid SET DEFAULT true",
    "ALTER TABLE payment ALTER payment_date SET STORAGE EXTERNAL",
    "ALTER TABLE payment ALTER payment_date SET COMPRESSION pglz",
    "ALTER TABLE payment ALTER payment_date DROP NOT NULL",
    "ALTER TABLE payment ALTER payment_date SET NOT NULL",
    "ALTER TABLE payment ALTER payment_id DROP DEFAULT",
    "ALTER TABLE payment ALTER payment_id ADD GENERATED BY DEFAULT AS IDENTITY",
    "ALTER TABLE payment SET (fillfactor = 70, autovacuum_enabled = off)",
    "ALTER TABLE payment REPLICA IDENTITY FULL",
    "ALTER TABLE payment DISABLE TRIGGER ALL",
    "ALTER TABLE payment ENABLE TRIGGER ALL",
    "ALTER TABLE payment OWNER TO totes_loader",
    "COMMENT ON TABLE payment IS 'What is paid.'",
    "CREATE STATISTICS payment_paid ON paid, payment_date FROM payment",
    "CREATE PUBLICATION payments FOR TABLE payment",
)


@pytest.fixture
def tablespace(scenario: Scenario) -> Iterator[str]:
    """Yields the name of a tablespace, and drops it after the test."""
    postgres = scenario.pipeline.postgres
    with contextlib.closing(postgres.connect()) as connection:
        connection.autocommit = True
        connection.cursor().execute("SET allow_in_place_tablespaces = on")
        connection.cursor().execute("CREATE TABLESPACE elsewhere LOCATION ''")
    yield "elsewhere"
    apart(scenario, "ALTER TABLE payment SET TABLESPACE pg_default")
    postgres.execute("DROP TABLESPACE elsewhere")


@fault("F57", "a table's structure changes, but no value does", HEAL)
def test_f57_table_is_not_read_in_full_for_what_changes_no_value(scenario: Scenario, tablespace: str) -> None:
    scenario.run()
    apart(scenario, *HARMLESS, f"ALTER TABLE payment SET TABLESPACE {tablespace}")
    scenario.totesys(AMENDED, 7)

    changed = scenario.run()

    assert changed.output["ingest"]["full_read"] == {}
    assert changed.output["ingest"]["rows"] == {"payment": 1}


@fault("F57", "columns change that no contract declares", WARN)
def test_f57_undeclared_columns_lead_to_no_full_read(scenario: Scenario) -> None:
    scenario.run()
    at_once(
        scenario,
        "ALTER TABLE payment ADD COLUMN note varchar(3), ADD COLUMN colour text DEFAULT 'red'",
        "ALTER TABLE payment ALTER note TYPE varchar(9)",
    )
    scenario.totesys(AMENDED, 7)
    first = scenario.run()
    at_once(scenario, "ALTER TABLE payment RENAME note TO remark", "ALTER TABLE payment DROP colour")
    scenario.totesys(AMENDED, 8)

    changes = [first, scenario.run()]

    assert [change.output["ingest"]["full_read"] for change in changes] == [{}, {}]
    assert [change.output["ingest"]["rows"] for change in changes] == [{"payment": 1}, {"payment": 1}]


def pid_of(connection: pg8000.dbapi.Connection) -> int:
    cursor = connection.cursor()
    cursor.execute("SELECT pg_backend_pid()")
    ((pid,),) = cursor.fetchall()
    return int(pid)


def tombstoned(scenario: Scenario) -> list[list[object]]:
    return scenario.star("SELECT table_name, business_id FROM etl.tombstone")
