"""F64: the kinds of relation that a table of totesys can be."""

from collections.abc import Sequence

import pytest

from tests.faults.relations import INHERITED, PARTITIONED, PARTITIONED_STAFF, apart, at_once
from tests.faults.scenario import HEAL, HOLD, WARN, Scenario, fault
from tests.support.loaded import on
from tests.support.reconciliation import reconcile

AMENDED = "UPDATE payment SET paid = NOT paid WHERE payment_id = %s"
DUE = "SELECT min(payment_id) FROM payment WHERE payment_id > 200 AND NOT paid"
# Copies 20 payments into a table of their own, with other keys.
MORE = (
    "CREATE TABLE more (LIKE payment)",
    "INSERT INTO more SELECT payment_id + 10000, created_at, last_updated, transaction_id, counterparty_id, "
    "payment_amount, currency_id, payment_type_id, paid, payment_date, company_ac_number, counterparty_ac_number "
    "FROM payment WHERE payment_id <= 20",
)
ATTACHED = "ALTER TABLE payment ATTACH PARTITION more FOR VALUES FROM (10000) TO (20000)"


def versions(scenario: Scenario, key: int) -> list[list[object]]:
    return scenario.star(
        "SELECT version, paid, deleted FROM payment_history WHERE payment_id = %s ORDER BY version", key
    )


def tombstones(scenario: Scenario) -> list[int]:
    return [key for (key,) in scenario.star("SELECT business_id FROM etl.tombstone ORDER BY 1")]


@fault("F64", "a partitioned table has its first run, changes and deletions", HEAL)
@on("small_totesys")
def test_f64_partitioned_table_is_read_and_its_deletions_found(scenario: Scenario) -> None:
    at_once(scenario, *PARTITIONED)
    first = scenario.run()
    assert [[first.output["ingest"]["rows"]["payment"]]] == scenario.totesys("SELECT count(*) FROM payment")

    # Writes a new row in each partition, so that the partitions' first new rows are at different places.
    scenario.totesys("UPDATE payment SET payment_date = '2024-12-24' WHERE payment_id IN (7, 150, 210)")
    changed = scenario.run()
    scenario.totesys("DELETE FROM payment WHERE payment_id IN (8, 151)")
    deleting = scenario.run()

    assert changed.output["ingest"]["rows"] == {"payment": 3}
    assert deleting.output["ingest"]["deleted"] == {"payment": 2}
    assert tombstones(scenario) == [8, 151]


@fault("F64", "a row moves from one partition to another", HEAL)
@on("small_totesys")
def test_f64_row_that_moves_is_a_version_and_no_deletion(scenario: Scenario) -> None:
    at_once(scenario, *PARTITIONED)
    scenario.run()
    ((key,),) = scenario.totesys(DUE)

    scenario.totesys("UPDATE payment SET paid = true WHERE payment_id = %s", key)
    moved = scenario.run()

    assert moved.output["ingest"]["deleted"] == {}
    assert versions(scenario, key) == [[1, False, False], [2, True, False]]


@fault("F64", "a table becomes partitioned and keeps its rows", WARN)
def test_f64_table_that_becomes_partitioned_has_no_new_versions(scenario: Scenario) -> None:
    scenario.run()
    at_once(scenario, *PARTITIONED)
    scenario.totesys(AMENDED, 7)

    changed = scenario.run()

    assert changed.output["ingest"]["full_read"].keys() == {"payment"}
    assert changed.output["load"]["inserted"] == {"fact_payment": 1}
    assert tombstones(scenario) == []


@fault("F64", "a partition with rows is attached and detached", HEAL)
@on("small_totesys")
def test_f64_partition_comes_and_goes_with_its_rows(scenario: Scenario) -> None:
    at_once(scenario, *PARTITIONED, *MORE)
    scenario.run()
    scenario.run()

    scenario.totesys(ATTACHED)
    attached = scenario.run()
    scenario.totesys("ALTER TABLE payment DETACH PARTITION more")
    detached = scenario.run()
    scenario.totesys(ATTACHED)
    again = scenario.run()

    assert attached.output["load"]["inserted"] == {"fact_payment": 20}
    assert detached.output["ingest"]["deleted"] == {"payment": 20}
    assert tombstones(scenario) == list(range(10_001, 10_021))
    assert again.output["load"]["inserted"] == {"fact_payment": 20}


@fault("F64", "a partition is detached without a lock of the whole table", HEAL)
@on("small_totesys")
def test_f64_partition_detached_concurrently_is_gone(scenario: Scenario) -> None:
    at_once(scenario, *PARTITIONED, *MORE, ATTACHED)
    scenario.run()

    apart(scenario, "ALTER TABLE payment DETACH PARTITION more CONCURRENTLY")
    detached = scenario.run()

    assert detached.output["ingest"]["deleted"] == {"payment": 20}


@fault("F64", "joined tables are partitioned", HEAL)
@on("small_totesys")
@pytest.mark.parametrize("key", [2, 7])
def test_f64_partitioned_parent_refreshes_what_is_joined_with_it(scenario: Scenario, key: int) -> None:
    at_once(scenario, *PARTITIONED_STAFF)
    scenario.run()

    scenario.totesys(f"UPDATE department SET department_name = 'Renamed' WHERE department_id = {key}")
    scenario.totesys(f"UPDATE staff SET first_name = 'Renamed', department_id = {key} WHERE staff_id = 5")
    scenario.run()

    seen = scenario.star("SELECT first_name, department_name FROM dim_staff WHERE staff_id = 5")
    assert seen == [["Renamed", "Renamed"]]
    renamed = scenario.star("SELECT count(*) FROM dim_staff WHERE department_name = 'Renamed'")
    assert renamed == scenario.totesys(f"SELECT count(*) FROM staff WHERE department_id = {key}")


@fault("F64", "tables inherit from a table", HEAL)
@on("small_totesys")
def test_f64_rows_of_a_child_are_rows_of_its_parent(scenario: Scenario) -> None:
    at_once(scenario, *INHERITED)
    first = scenario.run()
    assert [[first.output["ingest"]["rows"]["payment"]]] == scenario.totesys("SELECT count(*) FROM payment")

    scenario.totesys("DELETE FROM payment WHERE payment_id IN (7, 150)")
    scenario.totesys(AMENDED, 8)
    changed = scenario.run()

    assert changed.output["ingest"]["rows"] == {"payment": 1}
    assert changed.output["ingest"]["deleted"] == {"payment": 2}
    assert tombstones(scenario) == [7, 150]


@fault("F64", "a session's temporary table inherits from a table", HEAL)
def test_f64_temporary_child_is_nobodys_business(scenario: Scenario) -> None:
    scenario.run()
    with scenario.session() as other:
        cursor = other.cursor()
        cursor.execute("CREATE TEMP TABLE mine () INHERITS (payment)")
        cursor.execute("INSERT INTO mine SELECT * FROM payment WHERE payment_id < 20")
        other.commit()
        scenario.totesys(AMENDED, 7)

        beside = scenario.run()

    assert beside.output["ingest"]["rows"] == {"payment": 1}
    assert beside.output["ingest"]["full_read"] == {}


@fault("F64", "a backfill and reconcile read a partitioned table", HEAL)
@on("small_totesys")
def test_f64_partitions_and_children_agree_with_the_warehouse(scenario: Scenario) -> None:
    at_once(scenario, *PARTITIONED, *PARTITIONED_STAFF)
    scenario.run()
    scenario.totesys("DELETE FROM payment WHERE payment_id IN (8, 151)")
    scenario.run()

    assert reconcile(scenario.pipeline).agrees


DUMMY = ("CREATE FOREIGN DATA WRAPPER dummy", "CREATE SERVER far FOREIGN DATA WRAPPER dummy")
FAR = (
    "DO $$ BEGIN EXECUTE (SELECT 'CREATE FOREIGN TABLE department (' || "
    "string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) || ') SERVER far' "
    "FROM pg_attribute WHERE attrelid = CAST('base' AS regclass) AND attnum > 0); END $$"
)
# {relation: (statements that replace a table, text of the e-mail, statements that undo it)}
REFUSED = {
    "a view": (
        ("ALTER TABLE staff RENAME TO base", "CREATE VIEW staff AS SELECT * FROM base"),
        "staff is a view",
        ("DROP VIEW staff", "ALTER TABLE base RENAME TO staff"),
    ),
    "a materialised view": (
        ("ALTER TABLE department RENAME TO base", "CREATE MATERIALIZED VIEW department AS SELECT * FROM base"),
        "department is a materialised view",
        ("DROP MATERIALIZED VIEW department", "ALTER TABLE base RENAME TO department"),
    ),
    "a foreign table": (
        (*DUMMY, "ALTER TABLE department RENAME TO base", FAR),
        "department is a foreign table",
        ("DROP FOREIGN TABLE department", "ALTER TABLE base RENAME TO department"),
    ),
    "a foreign partition": (
        (
            *DUMMY,
            *PARTITIONED,
            "CREATE FOREIGN TABLE payment_far PARTITION OF payment FOR VALUES FROM (1000) TO (2000) SERVER far",
        ),
        "payment_far is a foreign table",
        ("DROP FOREIGN TABLE payment_far",),
    ),
    "a foreign partition of a partition": (
        (
            *DUMMY,
            *PARTITIONED,
            "CREATE FOREIGN TABLE archive.payment_far PARTITION OF payment_high DEFAULT SERVER far",
        ),
        "archive.payment_far is a foreign table",
        ("DROP FOREIGN TABLE archive.payment_far",),
    ),
    "a foreign child": (
        (*DUMMY, "CREATE FOREIGN TABLE payment_far () INHERITS (payment) SERVER far"),
        "payment_far is a foreign table",
        ("DROP FOREIGN TABLE payment_far",),
    ),
}


@fault("F64", "a view, a materialised view, a foreign table or a foreign partition replaces a table", HOLD)
@pytest.mark.parametrize(("statements", "said", "undoing"), REFUSED.values(), ids=REFUSED)
def test_f64_relation_without_row_versions_is_refused(
    scenario: Scenario, statements: Sequence[str], said: str, undoing: Sequence[str]
) -> None:
    at_once(scenario, *statements)

    failed = scenario.run()

    assert failed.error == "ContractViolation"
    assert failed.path[0] == "Ingest"
    assert said in failed.mail
    assert "is not there" not in failed.mail
    assert failed.changed_nothing
    at_once(scenario, *undoing)
    scenario.run()


@fault("F64", "a temporary table replaces a table, so only its own session sees it", HOLD)
def test_f64_temporary_table_is_not_found(scenario: Scenario) -> None:
    scenario.totesys("ALTER TABLE payment RENAME TO base")
    with scenario.session() as other:
        other.cursor().execute("CREATE TEMP TABLE payment AS SELECT * FROM base")
        other.commit()

        failed = scenario.run()

    assert failed.error == "ContractViolation"
    assert "table payment is not there" in failed.mail
    scenario.totesys("ALTER TABLE base RENAME TO payment")
    scenario.run()


UNLOGGED = {
    "a table": ((), "payment"),
    "a partition": (PARTITIONED, "payment_low"),
    "a child": (INHERITED, "archive.payment_old"),
}


@fault("F64", "a table is unlogged, so a crash empties it", WARN)
@on("small_totesys")
@pytest.mark.parametrize(("statements", "table"), UNLOGGED.values(), ids=UNLOGGED)
def test_f64_unlogged_table_is_warned_about(scenario: Scenario, statements: Sequence[str], table: str) -> None:
    at_once(scenario, *statements)
    scenario.totesys(f"ALTER TABLE {table} SET UNLOGGED")

    odd = scenario.run()

    (warning,) = odd.warnings
    assert "payment" in warning
    assert "unlogged" in warning


@fault("F64", "two relations of one table hold the same key", HOLD)
def test_f64_key_that_two_relations_hold_is_refused_beside_a_deletion(scenario: Scenario) -> None:
    # As many rows came as went, so the number of rows alone does not show the deletion.
    at_once(
        scenario,
        "CREATE TABLE kept () INHERITS (payment)",
        "INSERT INTO kept SELECT * FROM payment WHERE payment_id = 7",
        "DELETE FROM ONLY payment WHERE payment_id = 8",
    )

    held = scenario.run()

    assert (held.status, held.error) == ("FAILED", "ContractViolation")
    assert "payment 7: payment_id is that of 2 rows, expected one row with that key" in held.mail
    scenario.totesys("DROP TABLE kept")
    scenario.run()
    assert tombstones(scenario) == [8]


@fault("F64", "an index of the source lacks rows", WARN)
def test_f64_row_that_an_index_lacks_is_not_taken_for_deleted(scenario: Scenario) -> None:
    ready = "UPDATE pg_index SET indisready = {} WHERE indrelid = 'payment'::regclass"
    apart(
        scenario,
        "INSERT INTO transaction SELECT transaction_id + 10000, transaction_type, NULL, NULL, created_at, "
        "last_updated FROM transaction WHERE transaction_id = "
        "(SELECT transaction_id FROM payment WHERE payment_id = 7)",
        ready.format("false"),
        # Before the update: after it, the statement would find payment 7 only if the planner chose to scan the table.
        "INSERT INTO payment SELECT payment_id + 10000, created_at, last_updated, transaction_id + 10000, "
        "counterparty_id, payment_amount, currency_id, payment_type_id, paid, payment_date, company_ac_number, "
        "counterparty_ac_number FROM payment WHERE payment_id = 7",
        "UPDATE payment SET payment_id = payment_id WHERE payment_id = 7",
        ready.format("true"),
        "VACUUM ANALYZE payment",
        # Makes PostgreSQL read the index rather than the table.
        f'ALTER DATABASE "{scenario.pipeline.source}" SET enable_seqscan = off',
    )
    scenario.run()

    scenario.totesys("DELETE FROM payment WHERE payment_id = 8")
    apart(scenario, "VACUUM payment")
    scenario.run()

    assert tombstones(scenario) == [8]


@fault("F64", "another user's operator fits our query's types better", HEAL)
@on("small_totesys")
def test_f64_operator_of_schema_public_changes_nothing(scenario: Scenario) -> None:
    at_once(scenario, *MORE, "ALTER TABLE more INHERIT payment")
    scenario.run()
    at_once(scenario, "CREATE TABLE others (LIKE more)", "INSERT INTO others SELECT * FROM more")
    scenario.totesys("UPDATE others SET paid = NOT paid")
    scenario.totesys("UPDATE currency SET last_updated = last_updated WHERE currency_id = 1")
    # After this run, the fence is past the rows of both tables.
    scenario.run()

    at_once(
        scenario,
        "CREATE FUNCTION never(oid, integer) RETURNS boolean LANGUAGE sql AS 'SELECT false'",
        "CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = integer, PROCEDURE = never)",
        "ALTER TABLE more NO INHERIT payment",
        "ALTER TABLE others INHERIT payment",
    )
    exchanged = scenario.run()

    assert exchanged.output["ingest"]["rows"] == {"payment": 20}
