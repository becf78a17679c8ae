"""F01 to F13: whatever totesys holds, and whenever it was written."""

from tests.faults.drill import HEAL, HOLD, NOOP, Drill, fault
from tests.injection import at_key, at_statement, die
from totes.contracts import source_tables, warehouse_tables


@fault("F08", "UPDATE without touching last_updated", HEAL)
def test_f08_silent_update_is_a_second_version(drill: Drill) -> None:
    drill.run()

    drill.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = 77")
    drill.run()

    versions = drill.star(
        "SELECT last_updated_date, last_updated_time, units_sold FROM sales_order_history "
        "WHERE sales_order_id = 77 ORDER BY version"
    )
    (*stamp, units), (*stamp_after, units_after) = versions
    assert stamp == stamp_after
    assert units_after == units + 1


@fault("F10", "nothing new", NOOP)
def test_f10_nothing_new_writes_nothing(drill: Drill) -> None:
    drill.run()

    idle = drill.run()

    assert idle.path == ["Ingest", "NewData?", "Load", "AnythingLoaded?", "NothingNew"]
    assert idle.output["ingest"]["batch"] is None


SEVENTH = list(source_tables())[6]


@fault("F12", "first run dies after 6 of 11 tables", HOLD)
def test_f12_first_run_that_dies_while_it_reads_leaves_nothing(drill: Drill) -> None:
    with at_statement(f'COPY (SELECT "{SEVENTH}"', die, times=2):
        failed = drill.run()

    assert (failed.error, failed.retried) == ("Runtime.ExitError", ["Runtime.ExitError"])
    assert drill.run().output["ingest"]["rows"].keys() == source_tables().keys()


@fault("F12", "first run dies after 6 of 11 tables", HOLD)
def test_f12_objects_of_a_first_run_that_died_are_ignored(drill: Drill) -> None:
    with at_key(f"data/{SEVENTH}/", die, times=2):
        failed = drill.run()

    assert failed.after.objects
    assert drill.pipeline.landed().last() == 0
    assert drill.run().output["load"]["inserted"].keys() == warehouse_tables().keys()
