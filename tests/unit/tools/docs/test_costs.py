from collections import Counter
from decimal import Decimal

from tests.support.cold import forget_logs
from tests.support.pipeline import Pipeline
from tests.support.s3_wire import Answer, Request, Send, heard_by
from tools.docs import costs
from totes.runtime.names import FUNCTIONS

CHANGES = (
    "DELETE FROM payment WHERE payment_id = (SELECT min(payment_id) FROM payment)",
    "UPDATE sales_order SET units_sold = units_sold + 1",
    "UPDATE purchase_order SET item_quantity = item_quantity + 1",
    "UPDATE design SET file_name = 'new'",
)


def test_bill_adds_up_by_hand() -> None:
    bill = {item.name: item for item in costs.items("rate(1 hour)")}
    # 730 executions, of which 682 find something: 48 with 2 functions and 682 with 3, each with one call of watch.
    assert bill["Lambda, calls"].units == 48 * 3 + 682 * 4
    stages, watching = 48 * 2 * 2 + 682 * 3 * 5, 48 * 2 + 682 * 5
    assert bill["Lambda, time"].units == (stages * Decimal(1769) + watching * 256) / 1024
    # Ingest, NewData?, Load, MoreToDo?, AnythingLoaded?, NothingNew and the start; or Transform as well, and Loaded.
    assert bill["Step Functions"].units == 48 * 7 + 682 * 8
    assert bill["Step Functions"].dollars == bill["Step Functions"].units * Decimal("0.025") / 1000
    assert bill["Secrets Manager"].dollars == Decimal("0.80")


def test_each_metric_of_an_alarm_is_paid_for() -> None:
    """Six alarms on one metric, one for each function, and two with an expression: on four metrics, and on one each."""
    bill = {item.name: item for item in costs.items("rate(1 hour)")}
    assert bill["CloudWatch, metrics in alarms"].units == 6 + len(FUNCTIONS) + 4 + len(FUNCTIONS)


def test_more_often_costs_more() -> None:
    totals = [sum(item.dollars for item in costs.items(rate)) for rate in costs.RATES]
    assert totals == sorted(totals, reverse=True)


def test_executions_ask_s3_for_no_more_than_is_assumed(seeded: Pipeline) -> None:
    asked: Counter[str] = Counter()

    def count(request: Request, send: Send) -> Answer | None:
        asked[request.operation] += 1
        return send()

    with heard_by(count):
        _ask(seeded, asked)


def _ask(seeded: Pipeline, asked: Counter[str]) -> None:
    seeded.ingest()
    # Each function is a process of its own, here a cold one.
    forget_logs()
    seeded.load()
    assert asked["PutObject"] + asked["ListObjectsV2"] == costs.QUIET.writes
    # Load makes two requests at once that the same manifest may answer. The second one may find the manifest already
    # read, or may read it, too.
    assert costs.QUIET.reads - asked["GetObject"] in (0, 1)

    asked.clear()
    for change in CHANGES:
        seeded.totesys(change)
    seeded.run()
    assert asked["PutObject"] + asked["ListObjectsV2"] <= costs.BUSY.writes
    assert asked["GetObject"] <= costs.BUSY.reads
