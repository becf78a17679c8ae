"""The rules declared in a table's contract hold whenever a batch is committed."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.loaded import on
from tests.support.pipeline import Pipeline, content, physical_rows
from totes.contracts.declarations import warehouse_tables
from totes.errors import ContractViolation
from totes.lake.bucket import Lake
from totes.postgres.connection import WAREHOUSE, connected
from totes.warehouse import staging
from totes.warehouse.warehouse import Warehouse

WRONG = "UPDATE payment SET payment_amount = payment_amount + 0.01 WHERE payment_id = %s"
RIGHT = "UPDATE payment SET payment_amount = payment_amount - 0.01 WHERE payment_id = %s"


def test_payment_that_is_not_its_orders_amount_holds_the_batch(seeded: Pipeline) -> None:
    before = physical_rows(seeded)
    for payment in (7, 9):
        seeded.totesys(WRONG, payment)
    with pytest.raises(ContractViolation) as caught:
        seeded.run()
    assert str(caught.value) == (
        "fact_payment breaks the rule `amount` (The amount is quantity times price of its order, in one of the order's "
        "versions): 7, 9. Correct the rows in totesys: the next run loads the correction in one transaction with this "
        "batch. If the rule is what is wrong, change schemas/warehouse/fact_payment.toml and deploy."
    )
    assert physical_rows(seeded) == before


def test_correction_in_totesys_is_all_that_it_takes(seeded: Pipeline) -> None:
    seeded.totesys(WRONG, 7)
    with pytest.raises(ContractViolation):
        seeded.run()
    seeded.totesys("UPDATE design SET file_name = 'x' WHERE design_id = 1")
    with pytest.raises(ContractViolation):
        seeded.run()
    seeded.totesys(RIGHT, 7)
    _, _, loaded = seeded.run()
    assert (loaded.first, loaded.last) == (2, 4)
    # The wrong version stays in the history, but nobody ever saw it as the current one.
    assert seeded.star("SELECT version, batch_id FROM payment_history WHERE payment_id = 7 ORDER BY 1") == [
        [1, 1],
        [2, 2],
        [3, 4],
    ]
    assert seeded.star("SELECT count(DISTINCT xmin::text) FROM etl.batch WHERE batch_id > 1") == [[1]]


def test_replay_does_the_same(seeded: Pipeline) -> None:
    seeded.totesys(WRONG, 7)
    with pytest.raises(ContractViolation):
        seeded.run()
    seeded.totesys(RIGHT, 7)
    seeded.run()
    before = content(seeded)
    seeded.drop_warehouse()
    assert seeded.load().batches == 3
    assert content(seeded) == before


def test_payment_that_is_deleted_breaks_no_rule(seeded: Pipeline) -> None:
    seeded.totesys(WRONG, 7)
    with pytest.raises(ContractViolation):
        seeded.run()
    seeded.totesys("DELETE FROM payment WHERE payment_id = 7")
    _, _, loaded = seeded.run()
    assert (loaded.batches, loaded.tombstones) == (2, {"fact_payment": 1})


def test_amount_may_be_that_of_an_earlier_version_of_the_order(seeded: Pipeline) -> None:
    """An order is amended, and its payment made later: the agreed amount stays."""
    order = (
        "SELECT sales_order_id FROM transaction JOIN payment USING (transaction_id) WHERE NOT paid ORDER BY 1 LIMIT 1"
    )
    seeded.totesys(f"UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = ({order})")
    seeded.run()
    seeded.totesys(
        "UPDATE payment SET paid = true FROM transaction "
        f"WHERE transaction.transaction_id = payment.transaction_id AND sales_order_id = ({order})"
    )
    assert seeded.run()[2].inserted == {"fact_payment": 1}


def test_payment_of_a_deleted_order_has_nothing_to_agree_with(seeded: Pipeline) -> None:
    seeded.totesys("DELETE FROM sales_order WHERE sales_order_id = 55")
    seeded.totesys(
        "UPDATE payment SET payment_amount = 1 WHERE transaction_id IN "
        "(SELECT transaction_id FROM transaction WHERE sales_order_id IS NULL AND purchase_order_id IS NULL)"
    )
    assert seeded.run()[2].inserted == {"fact_payment": 1}


@on("seeded_totesys")
@pytest.mark.parametrize("rows", [0, 10**9], ids=["bulk", "row by row"])
def test_rule_holds_for_the_first_batch_too(seeded: Pipeline, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr("totes.warehouse.staging.BULK_ROWS", rows)
    seeded.totesys("UPDATE payment SET payment_amount = payment_amount + 1 WHERE payment_id <= 8")
    with pytest.raises(ContractViolation, match=r"`amount` .*: 1, 2, 3, 4, 5 and 3 more\. Correct the rows"):
        seeded.run()
    assert seeded.star("SELECT count(*) FROM etl.batch") == [[0]]


@on("seeded_totesys")
def test_key_that_comes_twice_does_not_fill_an_empty_fact(seeded: Pipeline, tmp_path: Path) -> None:
    seeded.ingest()
    seeded.transform()
    stored = seeded.processed().read(1).tables["fact_sales_order"]["data"]
    rows = pq.read_table(Lake(seeded.processed_bucket).fetch(stored, tmp_path / "rows"))
    pq.write_table(pa.concat_tables([rows, rows.slice(6, 1)]), tmp_path / "twice")
    seeded.load()
    seeded.star("TRUNCATE fact_sales_order")
    fact = warehouse_tables()["fact_sales_order"]
    repeated = rows.column("sales_order_id")[6]
    with (
        connected(WAREHOUSE, seeded.credentials(seeded.warehouse), "test") as connection,
        pytest.raises(ContractViolation, match=rf"`sales_order_id` \(Each row has one of its own\): {repeated}\."),
        connection.begin(),
    ):
        staging.copy_into_empty(Warehouse(connection), fact, tmp_path / "twice")
    assert seeded.star("SELECT count(*) FROM fact_sales_order") == [[0]]
