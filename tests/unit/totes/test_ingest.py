import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest

from tests.support.pipeline import Pipeline
from totes import ingest
from totes.contracts.declarations import source_tables
from totes.errors import AccessDenied, ContractViolation, DeletionsHeld, LogBroken
from totes.lake.batch_log import entry
from totes.source.decisions import RESTRUCTURED, UPGRADED

STAMPS = "'2024-01-01', '2024-01-01'"


def test_table_swapped_for_another_is_landed_with_its_parents(pipeline: Pipeline) -> None:
    """Rows were written before the fence, to a table that later replaces another one."""
    pipeline.totesys(f"INSERT INTO department VALUES (1, 'Leds', NULL, NULL, {STAMPS})")
    pipeline.totesys(f"INSERT INTO staff VALUES (1, 'A', 'B', 1, '', {STAMPS})")
    pipeline.totesys("CREATE TABLE staff_copy (LIKE staff INCLUDING ALL)")
    pipeline.totesys("GRANT SELECT ON staff_copy TO PUBLIC")
    pipeline.totesys("INSERT INTO staff_copy SELECT * FROM staff")
    pipeline.totesys(f"INSERT INTO staff_copy VALUES (2, 'C', 'D', 1, '', {STAMPS})")
    pipeline.run()
    for before, after in (("staff", "staff_before"), ("staff_copy", "staff")):
        pipeline.totesys(f"ALTER TABLE {before} RENAME TO {after}")
    landed, _, _ = pipeline.run()
    assert landed.rows == {"staff": 2, "department": 1}
    assert landed.full_read == {"staff": RESTRUCTURED}
    assert pipeline.star("SELECT staff_id, department_name FROM dim_staff ORDER BY 1") == [[1, "Leds"], [2, "Leds"]]


def test_row_that_transform_could_not_shape_is_never_landed(pipeline: Pipeline) -> None:
    """Landed rows stay, so a batch with such a row would stop every later run."""
    pipeline.totesys(f"INSERT INTO currency VALUES (1, 'ZZZ', {STAMPS})")
    with pytest.raises(ContractViolation, match="currency 1: currency_code is 'ZZZ', expected a currency code"):
        pipeline.ingest()
    assert "Contents" not in pipeline.s3.list_objects_v2(Bucket=pipeline.landing_bucket)
    pipeline.totesys("UPDATE currency SET currency_code = 'GBP'")
    pipeline.run()
    assert pipeline.star("SELECT currency_name FROM dim_currency") == [["Pound Sterling"]]


def insert_designs(pipeline: Pipeline, count: int) -> None:
    pipeline.totesys(
        "INSERT INTO design SELECT n, '2024-01-01', 'n', 'l', 'f', '2024-01-01' FROM generate_series(1, %s) AS n", count
    )


def rewrite_first_manifest(pipeline: Pipeline, change: Callable[[dict[str, Any]], object]) -> None:
    place = {"Bucket": pipeline.landing_bucket, "Key": entry(1)}
    document = json.loads(pipeline.s3.get_object(**place)["Body"].read())
    change(document)
    pipeline.s3.put_object(**place, Body=json.dumps(document))


def test_mass_deletion_is_held_and_nothing_landed(pipeline: Pipeline) -> None:
    insert_designs(pipeline, 101)
    pipeline.ingest()
    pipeline.totesys("DELETE FROM design")
    with pytest.raises(DeletionsHeld, match="101 of 101 rows of design"):
        pipeline.ingest()
    assert pipeline.landed().last() == 1


def test_single_deletion_is_held_if_the_source_is_another_one(pipeline: Pipeline) -> None:
    insert_designs(pipeline, 2)
    pipeline.ingest()
    pipeline.totesys("DELETE FROM design WHERE design_id = 1")
    rewrite_first_manifest(pipeline, lambda document: document["source"].update(database=7))
    with pytest.raises(DeletionsHeld, match=r"1 of 2 rows of design\. It is not the database or server"):
        pipeline.ingest()


def test_clock_that_goes_back_is_reported_and_not_followed(pipeline: Pipeline) -> None:
    pipeline.ingest()
    rewrite_first_manifest(pipeline, lambda document: document.update(snapshot_at="2999-12-31T23:59:59.999999+00:00"))
    insert_designs(pipeline, 1)
    (warning,) = pipeline.ingest().warnings
    assert re.fullmatch(
        "the clock of totesys went back: from 2999-12-31 23:59:59 UTC at the last batch to 2.* UTC now", warning
    )
    assert pipeline.landed().read(2).snapshot_at == datetime(3000, 1, 1, tzinfo=UTC)


def test_tables_are_read_in_full_once_after_an_upgrade(pipeline: Pipeline) -> None:
    def age(document: dict[str, Any]) -> None:
        document["version"] = 2
        del document["structure"]

    pipeline.ingest()
    rewrite_first_manifest(pipeline, age)
    upgraded = pipeline.ingest()
    assert upgraded.full_read == dict.fromkeys(source_tables(), UPGRADED)
    assert upgraded.warnings == []
    assert pipeline.ingest().batch is None


def test_secret_is_read_while_the_logs_are(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=10)

    def meeting(work: Callable[..., Any]) -> Callable[..., Any]:
        def met(*given: Any) -> Any:
            both.wait()
            return work(*given)

        return met

    for name in ("read_credentials", "ends"):
        monkeypatch.setattr(ingest, name, meeting(getattr(ingest, name)))
    pipeline.ingest()


def test_broken_log_is_reported_before_a_secret_that_cannot_be_read(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, error in {"read_credentials": AccessDenied("No secret.", ""), "ends": LogBroken("A gap.", "")}.items():
        monkeypatch.setattr(ingest, name, mock.Mock(side_effect=error))
    with pytest.raises(LogBroken, match="A gap"):
        pipeline.ingest()
