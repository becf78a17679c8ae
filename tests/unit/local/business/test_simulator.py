"""Working days on a live totesys: the rows that they add and change, and those that stay the same."""

from datetime import date
from typing import Any

import pg8000.dbapi
import pytest

from local.business import trading
from local.business.seed import seed as seed_source
from local.business.simulator import DayReport, Simulator
from tests.unit.local.source_queries import GROWING, empty, rows, text, value

WEDNESDAY, FRIDAY = date(2022, 11, 30), date(2022, 12, 2)


def seed(connection: Any, *, until: date) -> None:
    seed_source(connection, until=until, days=len(trading.working_days(date(2022, 11, 3), until)))


def contents(connection: Any) -> dict[str, bytes]:
    return text(connection, GROWING, "key")


def cells(connection: Any) -> dict[tuple[str, int, str], Any]:
    """Returns every cell of the growing tables by (table, id, column)."""
    return {
        (table, key, column): cell
        for table in GROWING
        for key, record in rows(connection, "SELECT {key}, to_jsonb(t) FROM {table} t", key=f"{table}_id", table=table)
        for column, cell in record.items()
    }


def start_again(connection: Any, until: date) -> None:
    empty(connection)
    seed(connection, until=until)


def test_report_counts_the_rows_of_its_day(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    [report] = Simulator(totesys).run(1)
    assert report.day == date(2022, 12, 1)
    of_day = "SELECT count(*) FROM {table} WHERE created_at::date = '2022-12-01'"
    counted = {table: value(totesys, of_day, table=table) for table in GROWING}
    orders = report.sales_orders + report.purchase_orders
    assert counted == {
        "design": report.designs,
        "payment": orders,
        "purchase_order": report.purchase_orders,
        "sales_order": report.sales_orders,
        "transaction": orders,
    }
    assert report.sales_orders > 5
    assert report.purchase_orders > 1


def test_days_bring_the_measured_rates(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    reports = Simulator(totesys).run(40)
    assert 18 < sum(report.sales_orders for report in reports) / 40 < 24
    assert 7 < sum(report.purchase_orders for report in reports) / 40 < 11
    assert 0.4 < sum(report.designs for report in reports) / 40 < 1.4
    assert 14 < sum(report.paid for report in reports) / 40 < 23
    assert 0.9 < sum(len(report.amended) for report in reports) / 40 < 1.7


def test_weekends_are_passed_over(totesys: Any) -> None:
    seed(totesys, until=FRIDAY)
    reports = Simulator(totesys).run(6)
    assert [report.day.isoformat() for report in reports] == [
        "2022-12-05",
        "2022-12-06",
        "2022-12-07",
        "2022-12-08",
        "2022-12-09",
        "2022-12-12",
    ]


def test_stamps_lie_in_business_hours(totesys: Any) -> None:
    seed(totesys, until=FRIDAY)
    Simulator(totesys).run(5)
    assert value(
        totesys,
        "SELECT bool_and(extract(isodow FROM created_at) < 6 AND extract(hour FROM created_at) BETWEEN 8 AND 18)"
        " FROM payment WHERE created_at > '2022-12-03'",
    )


def test_new_order_transaction_and_payment_agree(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    report = Simulator(totesys, amendments_a_day=0).run(1)[0]
    agreeing = value(
        totesys,
        "SELECT count(*) FROM payment p JOIN transaction t USING (transaction_id)"
        " LEFT JOIN sales_order s USING (sales_order_id) LEFT JOIN purchase_order o USING (purchase_order_id)"
        " WHERE p.created_at::date = '2022-12-01' AND NOT p.paid AND p.last_updated = p.created_at"
        " AND t.created_at = p.created_at AND coalesce(s.created_at, o.created_at) = p.created_at"
        " AND p.counterparty_id = coalesce(s.counterparty_id, o.counterparty_id)"
        " AND p.currency_id = coalesce(s.currency_id, o.currency_id)"
        " AND p.payment_date = coalesce(s.agreed_payment_date, o.agreed_payment_date)"
        " AND p.payment_amount = coalesce(s.units_sold * s.unit_price, o.item_quantity * o.item_unit_price)"
        " AND t.transaction_type::text || p.payment_type_id ="
        " CASE WHEN s.sales_order_id IS NULL THEN 'PURCHASE3' ELSE 'SALE1' END",
    )
    assert agreeing == report.sales_orders + report.purchase_orders


def test_each_order_commits_on_its_own(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    report = Simulator(totesys).run(1)[0]
    writers = rows(
        totesys,
        "SELECT p.xmin::text, t.xmin::text, coalesce(s.xmin, o.xmin)::text"
        " FROM payment p JOIN transaction t USING (transaction_id)"
        " LEFT JOIN sales_order s USING (sales_order_id) LEFT JOIN purchase_order o USING (purchase_order_id)"
        " WHERE p.created_at::date = '2022-12-01'",
    )
    amended_today = sum(len({payment, transaction, order}) > 1 for payment, transaction, order in writers)
    assert amended_today <= len(report.amended)
    assert len({payment for payment, _, _ in writers}) == report.sales_orders + report.purchase_orders


def test_paid_batch_flips_what_is_due(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    due = {key for (key,) in rows(totesys, "SELECT payment_id FROM payment WHERE payment_date = '2022-12-01'")}
    report = Simulator(totesys).run(1)[0]
    flipped = rows(
        totesys,
        "SELECT payment_id, last_updated, last_updated::text FROM payment WHERE paid AND last_updated >= '2022-12-01'",
    )
    assert {key for key, _, _ in flipped} == due
    assert report.paid == len(due) > 5
    [moment] = {text for _, _, text in flipped}
    assert "2022-12-01 07:55:10" <= moment <= "2022-12-01 07:55:13"


def test_weekend_payments_stay_unpaid(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    Simulator(totesys).run(10)
    paid = rows(totesys, "SELECT paid FROM payment WHERE extract(isodow FROM payment_date::date) > 5")
    assert len(paid) > 30
    assert not any(flag for (flag,) in paid)


def test_amendments_are_all_that_changes_silently(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    before = cells(totesys)
    report = Simulator(totesys, amendments_a_day=60).run(1)[0]
    after = cells(totesys)
    changed = {cell for cell, old in before.items() if after[cell] != old}
    amended = {tuple(amendment) for amendment in report.amended if amendment in before}
    assert len(amended) > 30
    silent = {cell for cell in changed if cell[0] != "payment"}
    assert silent <= amended
    assert {column for _, _, column in changed - silent} == {"paid", "last_updated"}
    assert len(amended - silent) <= 2, "amended twice, back to what it was"


def test_every_measured_column_is_amended(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    report = Simulator(totesys, amendments_a_day=300).run(1)[0]
    assert {(table, column) for table, _, column in report.amended} == {
        ("sales_order", "design_id"),
        ("sales_order", "staff_id"),
        ("sales_order", "agreed_delivery_date"),
        ("sales_order", "agreed_delivery_location_id"),
        ("purchase_order", "staff_id"),
        ("purchase_order", "item_code"),
        ("purchase_order", "agreed_delivery_date"),
        ("purchase_order", "agreed_delivery_location_id"),
        ("design", "file_location"),
    }
    assert value(totesys, "SELECT bool_and(last_updated = created_at) FROM sales_order") is True
    assert value(totesys, "SELECT bool_and(last_updated = created_at) FROM purchase_order") is True
    assert value(totesys, "SELECT bool_and(last_updated = created_at) FROM design") is True


def test_whole_amendment_rate_is_met_daily(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    reports = Simulator(totesys, amendments_a_day=4).run(5)
    assert [len(report.amended) for report in reports] == [4, 4, 4, 4, 4]


def test_amended_delivery_lies_ahead(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    report = Simulator(totesys, amendments_a_day=60).run(1)[0]
    after = cells(totesys)
    dates = [after[amendment] for amendment in report.amended if amendment.column == "agreed_delivery_date"]
    assert len(dates) > 3
    assert all("2022-12-01" <= day <= "2022-12-08" for day in dates)


def test_same_seed_on_same_rows_repeats(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    Simulator(totesys, amendments_a_day=5).run(3)
    first = contents(totesys)
    start_again(totesys, WEDNESDAY)
    Simulator(totesys, amendments_a_day=5).run(3)
    assert contents(totesys) == first
    start_again(totesys, WEDNESDAY)
    Simulator(totesys, amendments_a_day=5, seed=1).run(3)
    assert contents(totesys) != first


def test_days_go_on_across_simulators(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    Simulator(totesys).run(1)
    Simulator(totesys).run(1)
    both = contents(totesys)
    start_again(totesys, WEDNESDAY)
    Simulator(totesys).run(2)
    assert contents(totesys) == both
    first, second = (
        rows(totesys, "SELECT units_sold FROM sales_order WHERE created_at::date = '2022-12-01'"),
        rows(totesys, "SELECT units_sold FROM sales_order WHERE created_at::date = '2022-12-02'"),
    )
    assert first != second


def test_steps_add_up_to_a_day(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    Simulator(totesys, amendments_a_day=5).run(2)
    at_once = contents(totesys)
    start_again(totesys, WEDNESDAY)
    simulator = Simulator(totesys, amendments_a_day=5)
    days = [simulator.advance(0.1).day.isoformat() for _ in range(20)]
    assert days == ["2022-12-01"] * 10 + ["2022-12-02"] * 10
    assert contents(totesys) == at_once


def test_step_does_only_what_is_due(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    simulator = Simulator(totesys)
    morning = simulator.advance(0.5)
    newest = value(totesys, "SELECT max(created_at)::time::text FROM payment WHERE created_at > '2022-12-01'")
    assert "11:00" < newest <= "13:27:30"
    assert morning.paid > 0
    afternoon = simulator.advance(0.5)
    assert afternoon.paid == 0
    assert afternoon.sales_orders > 0
    newest = value(totesys, "SELECT max(created_at)::time::text FROM payment WHERE created_at > '2022-12-01'")
    assert newest > "15:00"


def test_events_come_in_time_order(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    before = contents(totesys)
    moments = [event.moment.strftime("%Y-%m-%d %H:%M") for event in Simulator(totesys).events(date(2022, 12, 1))]
    assert moments == sorted(moments)
    assert moments[0] == "2022-12-01 07:55"
    assert len(moments) > 10
    assert contents(totesys) == before


def test_failed_event_leaves_nothing_and_comes_again(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    simulator = Simulator(totesys)
    totesys.cursor().execute("ALTER TABLE transaction RENAME TO away")
    totesys.commit()
    with pytest.raises(pg8000.dbapi.DatabaseError, match="transaction"):
        simulator.advance(1.0)
    assert value(totesys, "SELECT count(*) FROM sales_order WHERE created_at > '2022-12-01'") == 0
    totesys.cursor().execute("ALTER TABLE away RENAME TO transaction")
    totesys.commit()
    simulator.run(1)
    orders = value(totesys, "SELECT (SELECT count(*) FROM sales_order) + (SELECT count(*) FROM purchase_order)")
    assert orders == value(totesys, "SELECT count(*) FROM payment")


def test_progress_hears_of_each_day(totesys: Any) -> None:
    seed(totesys, until=WEDNESDAY)
    heard: list[DayReport] = []
    reports = Simulator(totesys).run(3, progress=heard.append)
    assert heard == reports
    assert len({report.day for report in heard}) == 3


def test_unseeded_source_is_refused(totesys: Any) -> None:
    with pytest.raises(ValueError, match="seed it first"):
        Simulator(totesys).run(1)


@pytest.mark.parametrize("share", [0.0, -0.5])
def test_standing_still_is_refused(totesys: Any, share: float) -> None:
    seed(totesys, until=WEDNESDAY)
    with pytest.raises(ValueError, match="give a share above 0"):
        Simulator(totesys).advance(share)
