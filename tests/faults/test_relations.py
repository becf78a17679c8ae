"""F64: what kind of relation a table of totesys is."""

from collections.abc import Sequence

import pytest

from tests.faults.drill import HEAL, HOLD, WARN, Drill, fault
from tests.faults.relations import INHERITED, PARTITIONED, PARTITIONED_STAFF, apart, at_once
from tests.support.loaded import on
from tests.support.reconciliation import reconcile

AMENDED = "UPDATE payment SET paid = NOT paid WHERE payment_id = %s"
DUE = "SELECT min(payment_id) FROM payment WHERE payment_id > 200 AND NOT paid"
# Copies of 20 payments in a table of their own, with other keys.
MORE = (
    "CREATE TABLE more (LIKE payment)",
    "INSERT INTO more SELECT payment_id + 10000, created_at, last_updated, transaction_id, counterparty_id, "
    "payment_amount, currency_id, payment_type_id, paid, payment_date, company_ac_number, counterparty_ac_number "
    "FROM payment WHERE payment_id <= 20",
)
ATTACHED = "ALTER TABLE payment ATTACH PARTITION more FOR VALUES FROM (10000) TO (20000)"


def versions(drill: Drill, key: int) -> list[list[object]]:
    return drill.star("SELECT version, paid, deleted FROM payment_history WHERE payment_id = %s ORDER BY version", key)


def tombstones(drill: Drill) -> list[int]:
    return [key for (key,) in drill.star("SELECT business_id FROM etl.tombstone ORDER BY 1")]


@fault("F64", "a partitioned table: first run, changes, deletions", HEAL)
@on("drill_totesys")
def test_f64_partitioned_table_is_read_and_its_deletions_found(drill: Drill) -> None:
    at_once(drill, *PARTITIONED)
    first = drill.run()
    assert [[first.output["ingest"]["rows"]["payment"]]] == drill.totesys("SELECT count(*) FROM payment")

    # A new row in each partition, so that the first new rows are at different places.
    drill.totesys("UPDATE payment SET payment_date = '2024-12-24' WHERE payment_id IN (7, 150, 210)")
    changed = drill.run()
    drill.totesys("DELETE FROM payment WHERE payment_id IN (8, 151)")
    deleting = drill.run()

    assert changed.output["ingest"]["rows"] == {"payment": 3}
    assert deleting.output["ingest"]["deleted"] == {"payment": 2}
    assert tombstones(drill) == [8, 151]


@fault("F64", "a row that moves from one partition to another", HEAL)
@on("drill_totesys")
def test_f64_row_that_moves_is_a_version_and_no_deletion(drill: Drill) -> None:
    at_once(drill, *PARTITIONED)
    drill.run()
    ((key,),) = drill.totesys(DUE)

    drill.totesys("UPDATE payment SET paid = true WHERE payment_id = %s", key)
    moved = drill.run()

    assert moved.output["ingest"]["deleted"] == {}
    assert versions(drill, key) == [[1, False, False], [2, True, False]]


@fault("F64", "a table becomes partitioned, with the rows that it had", WARN)
def test_f64_table_that_becomes_partitioned_has_no_new_versions(drill: Drill) -> None:
    drill.run()
    at_once(drill, *PARTITIONED)
    drill.totesys(AMENDED, 7)

    changed = drill.run()

    assert changed.output["ingest"]["full_read"].keys() == {"payment"}
    assert changed.output["load"]["inserted"] == {"fact_payment": 1}
    assert tombstones(drill) == []


@fault("F64", "a filled partition is attached, and detached", HEAL)
@on("drill_totesys")
def test_f64_partition_comes_and_goes_with_its_rows(drill: Drill) -> None:
    at_once(drill, *PARTITIONED, *MORE)
    drill.run()
    drill.run()

    drill.totesys(ATTACHED)
    attached = drill.run()
    drill.totesys("ALTER TABLE payment DETACH PARTITION more")
    detached = drill.run()
    drill.totesys(ATTACHED)
    again = drill.run()

    assert attached.output["load"]["inserted"] == {"fact_payment": 20}
    assert detached.output["ingest"]["deleted"] == {"payment": 20}
    assert tombstones(drill) == list(range(10_001, 10_021))
    assert again.output["load"]["inserted"] == {"fact_payment": 20}


@fault("F64", "or is detached without a lock of the whole", HEAL)
@on("drill_totesys")
def test_f64_partition_detached_concurrently_is_gone(drill: Drill) -> None:
    at_once(drill, *PARTITIONED, *MORE, ATTACHED)
    drill.run()

    apart(drill, "ALTER TABLE payment DETACH PARTITION more CONCURRENTLY")
    detached = drill.run()

    assert detached.output["ingest"]["deleted"] == {"payment": 20}


@fault("F64", "joined tables are partitioned", HEAL)
@on("drill_totesys")
@pytest.mark.parametrize("key", [2, 7])
def test_f64_partitioned_parent_refreshes_what_is_joined_with_it(drill: Drill, key: int) -> None:
    at_once(drill, *PARTITIONED_STAFF)
    drill.run()

    drill.totesys(f"UPDATE department SET department_name = 'Renamed' WHERE department_id = {key}")
    drill.totesys(f"UPDATE staff SET first_name = 'Renamed', department_id = {key} WHERE staff_id = 5")
    drill.run()

    seen = drill.star("SELECT first_name, department_name FROM dim_staff WHERE staff_id = 5")
    assert seen == [["Renamed", "Renamed"]]
    renamed = drill.star("SELECT count(*) FROM dim_staff WHERE department_name = 'Renamed'")
    assert renamed == drill.totesys(f"SELECT count(*) FROM staff WHERE department_id = {key}")


@fault("F64", "a table with children that inherit from it", HEAL)
@on("drill_totesys")
def test_f64_rows_of_a_child_are_rows_of_its_parent(drill: Drill) -> None:
    at_once(drill, *INHERITED)
    first = drill.run()
    assert [[first.output["ingest"]["rows"]["payment"]]] == drill.totesys("SELECT count(*) FROM payment")

    drill.totesys("DELETE FROM payment WHERE payment_id IN (7, 150)")
    drill.totesys(AMENDED, 8)
    changed = drill.run()

    assert changed.output["ingest"]["rows"] == {"payment": 1}
    assert changed.output["ingest"]["deleted"] == {"payment": 2}
    assert tombstones(drill) == [7, 150]


@fault("F64", "a temporary child of somebody's session", HEAL)
def test_f64_temporary_child_is_nobodys_business(drill: Drill) -> None:
    drill.run()
    with drill.session() as other:
        cursor = other.cursor()
        cursor.execute("CREATE TEMP TABLE mine () INHERITS (payment)")
        cursor.execute("INSERT INTO mine SELECT * FROM payment WHERE payment_id < 20")
        other.commit()
        drill.totesys(AMENDED, 7)

        beside = drill.run()

    assert beside.output["ingest"]["rows"] == {"payment": 1}
    assert beside.output["ingest"]["full_read"] == {}


@fault("F64", "a partitioned table in a backfill, and in reconcile", HEAL)
@on("drill_totesys")
def test_f64_partitions_and_children_agree_with_the_warehouse(drill: Drill) -> None:
    at_once(drill, *PARTITIONED, *PARTITIONED_STAFF)
    drill.run()
    drill.totesys("DELETE FROM payment WHERE payment_id IN (8, 151)")
    drill.run()

    assert reconcile(drill.pipeline).agrees


DUMMY = ("CREATE FOREIGN DATA WRAPPER dummy", "CREATE SERVER far FOREIGN DATA WRAPPER dummy")
FAR = (
    "DO $$ BEGIN EXECUTE (SELECT 'CREATE FOREIGN TABLE department (' || "
    "string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) || ') SERVER far' "
    "FROM pg_attribute WHERE attrelid = CAST('base' AS regclass) AND attnum > 0); END $$"
)
# {what: (statements that replace a table, text of the e-mail, statements that undo it)}
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


@fault("F64", "a view, a materialised view, a foreign table or partition", HOLD)
@pytest.mark.parametrize(("statements", "said", "undoing"), REFUSED.values(), ids=REFUSED)
def test_f64_relation_without_row_versions_is_refused(
    drill: Drill, statements: Sequence[str], said: str, undoing: Sequence[str]
) -> None:
    at_once(drill, *statements)

    failed = drill.run()

    assert failed.error == "ContractBroken"
    assert failed.path[0] == "Ingest"
    assert said in failed.mail
    assert "is not there" not in failed.mail
    assert failed.changed_nothing
    at_once(drill, *undoing)
    drill.run()


@fault("F64", "a table that is there in somebody's session only", HOLD)
def test_f64_temporary_table_is_not_found(drill: Drill) -> None:
    drill.totesys("ALTER TABLE payment RENAME TO base")
    with drill.session() as other:
        other.cursor().execute("CREATE TEMP TABLE payment AS SELECT * FROM base")
        other.commit()

        failed = drill.run()

    assert failed.error == "ContractBroken"
    assert "table payment is not there" in failed.mail
    drill.totesys("ALTER TABLE base RENAME TO payment")
    drill.run()


UNLOGGED = {
    "a table": ((), "payment"),
    "a partition": (PARTITIONED, "payment_low"),
    "a child": (INHERITED, "archive.payment_old"),
}


@fault("F64", "an unlogged table, which a crash empties", WARN)
@on("drill_totesys")
@pytest.mark.parametrize(("statements", "table"), UNLOGGED.values(), ids=UNLOGGED)
def test_f64_unlogged_table_is_warned_about(drill: Drill, statements: Sequence[str], table: str) -> None:
    at_once(drill, *statements)
    drill.totesys(f"ALTER TABLE {table} SET UNLOGGED")

    odd = drill.run()

    (warning,) = odd.warnings
    assert "payment" in warning
    assert "unlogged" in warning


@fault("F64", "two relations of a table hold the same key", HOLD)
def test_f64_key_that_two_relations_hold_is_refused_beside_a_deletion(drill: Drill) -> None:
    # As many rows came as went, so the number of rows alone does not show the deletion.
    at_once(
        drill,
        "CREATE TABLE kept () INHERITS (payment)",
        "INSERT INTO kept SELECT * FROM payment WHERE payment_id = 7",
        "DELETE FROM ONLY payment WHERE payment_id = 8",
    )

    held = drill.run()

    assert (held.status, held.error) == ("FAILED", "ContractBroken")
    assert "payment 7: payment_id is that of 2 rows, expected one row with that key" in held.mail
    drill.totesys("DROP TABLE kept")
    drill.run()
    assert tombstones(drill) == [8]


@fault("F64", "an index of the source lacks rows", WARN)
def test_f64_row_that_an_index_lacks_is_not_taken_for_deleted(drill: Drill) -> None:
    ready = "UPDATE pg_index SET indisready = {} WHERE indrelid = 'payment'::regclass"
    apart(
        drill,
        ready.format("false"),
        "UPDATE payment SET payment_id = payment_id WHERE payment_id = 7",
        "INSERT INTO payment SELECT payment_id + 10000, created_at, last_updated, transaction_id + 10000, "
        "counterparty_id, payment_amount, currency_id, payment_type_id, paid, payment_date, company_ac_number, "
        "counterparty_ac_number FROM payment WHERE payment_id = 7",
        ready.format("true"),
        "VACUUM ANALYZE payment",
        # Makes PostgreSQL read the index rather than the table.
        f'ALTER DATABASE "{drill.pipeline.source}" SET enable_seqscan = off',
    )
    drill.run()

    drill.totesys("DELETE FROM payment WHERE payment_id = 8")
    apart(drill, "VACUUM payment")
    drill.run()

    assert tombstones(drill) == [8]


@fault("F64", "somebody's operator that fits our numbers better", HEAL)
@on("drill_totesys")
def test_f64_operator_of_schema_public_changes_nothing(drill: Drill) -> None:
    at_once(drill, *MORE, "ALTER TABLE more INHERIT payment")
    drill.run()
    at_once(drill, "CREATE TABLE others (LIKE more)", "INSERT INTO others SELECT * FROM more")
    drill.totesys("UPDATE others SET paid = NOT paid")
    drill.totesys("UPDATE currency SET last_updated = last_updated WHERE currency_id = 1")
    # After this run the fence is past the rows of both tables.
    drill.run()

    at_once(
        drill,
        "CREATE FUNCTION never(oid, integer) RETURNS boolean LANGUAGE sql AS 'SELECT false'",
        "CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = integer, PROCEDURE = never)",
        "ALTER TABLE more NO INHERIT payment",
        "ALTER TABLE others INHERIT payment",
    )
    exchanged = drill.run()

    assert exchanged.output["ingest"]["rows"] == {"payment": 20}
