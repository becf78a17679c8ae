"""totesys and the warehouse work on the oldest PostgreSQL that is installed. All other tests use the wheel's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.postgres.databases import SOURCE, WAREHOUSE
from tests.support.clusters import Cluster, add_databases, folder_for_clusters
from tests.support.model import HistoryChecker
from tests.support.pipeline import Pipeline
from tests.support.reconciliation import reconcile
from tests.support.served_aws import served_aws


@pytest.fixture
def old(oldest_postgres: Path, passwords: dict[str, str]) -> Iterator[Pipeline]:
    """Yields a pipeline with both databases on that PostgreSQL."""
    with folder_for_clusters() as folder, Cluster(folder / "data", programs=oldest_postgres) as cluster, served_aws():
        add_databases(cluster, passwords)
        yield Pipeline(cluster, SOURCE, WAREHOUSE, passwords)


def test_all_stages_work_on_the_oldest_postgres(old: Pipeline) -> None:
    with HistoryChecker(old) as history_checker:
        old.run()
        old.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id <= 7")
        old.totesys("DELETE FROM payment WHERE payment_id = 8")

        landed, _, _ = old.run()

        assert (landed.rows, landed.deleted) == ({"sales_order": 7}, {"payment": 1})
        assert history_checker.violations() == []
        assert history_checker.quiet(old.run) == []
    assert reconcile(old).agrees
