import importlib
import io
import json
import time
from typing import Any

import pytest

from local.lambda_runtime.worker import LambdaContext
from tests.support.pipeline import Pipeline
from totes.errors import (
    InputRefused,
    ObjectMissing,
    SettingsInvalid,
    SourceUnreachable,
    UnexpectedError,
    WarehouseUnreachable,
)
from totes.runtime.allowance import Allowance
from totes.runtime.names import STAGES

EXECUTION = "arn:aws:states:eu-west-2:123456789012:execution:totes-test-pipeline:a"
FUNCTIONS = [stage.lower() for stage in STAGES]
STAMPS = "'2024-01-01', '2024-01-01'"


@pytest.fixture
def deployed(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, log: io.StringIO) -> Pipeline:
    """Yields a pipeline in whose environment the handlers run; its totesys holds one currency."""
    monkeypatch.setenv("TOTES_LANDING_BUCKET", pipeline.landing_bucket)
    monkeypatch.setenv("TOTES_PROCESSED_BUCKET", pipeline.processed_bucket)
    monkeypatch.setenv("TOTES_SOURCE_SECRET", f"{pipeline.name}/source")
    monkeypatch.setenv("TOTES_WAREHOUSE_SECRET", f"{pipeline.name}/warehouse")
    pipeline.totesys(f"INSERT INTO currency VALUES (1, 'GBP', {STAMPS})")
    return pipeline


def invoke(function: str, **event: object) -> dict[str, Any]:
    """Returns a handler's answer after a round trip through JSON, as Lambda passes it on."""
    deadline = time.time() + 300
    context = LambdaContext(f"totes-test-{function}", 512, "arn:aws:lambda:eu-west-2:1:function:f", "req-1", deadline)
    handler = importlib.import_module(f"functions.{function}").handler
    answer: dict[str, Any] = json.loads(json.dumps(handler({"execution": EXECUTION} | event, context)))
    return answer


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def measured(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Returns the lines from which CloudWatch makes metrics."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_handlers_answer_what_they_did(deployed: Pipeline) -> None:
    landed = invoke("ingest", input={})
    stored = deployed.landed().read(1).objects("data")
    assert landed.pop("full_read") == dict.fromkeys(deployed.landed().read(1).tables, "first batch")
    assert landed == {
        "batch": 1,
        "rows": {"currency": 1},
        "deleted": {},
        "quarantined": {},
        "warnings": [],
        "landed_through": 1,
        "processed_through": 0,
        "objects": [found.as_json() for found in stored.values()],
        "new_data": True,
        # The workflow of the previous release selects it.
        "dry_run": False,
    }
    transformed = invoke("transform", so_far={"ingest": landed})
    processed = deployed.processed().read(1).objects("data")
    assert transformed.pop("objects") == [found.as_json() for found in processed.values()]
    assert transformed == {
        "first": 1,
        "last": 1,
        "batches": 1,
        "rows": {"dim_currency": 1},
        "processed_through": 1,
        "more": False,
        "catching_up": None,
    }
    loaded = invoke("load")
    assert loaded.pop("snapshot_at") == deployed.landed().read(1).snapshot_at.isoformat()
    assert loaded == {
        "first": 1,
        "last": 1,
        "batches": 1,
        "inserted": {"dim_currency": 1},
        "updated": {},
        "tombstones": {},
        "loaded_through": 1,
        "more": False,
        "catching_up": None,
    }


def test_passes_add_up_and_the_last_says_what_is_left(deployed: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    invoke("ingest")
    deployed.totesys(f"INSERT INTO currency VALUES (2, 'EUR', {STAMPS})")
    so_far: dict[str, Any] = {"ingest": invoke("ingest")}
    with monkeypatch.context() as patch:
        patch.setattr(Allowance, "is_half_used", True)
        so_far["transform"] = invoke("transform", so_far=so_far)
        so_far["load"] = invoke("load", so_far=so_far)
    # Load has loaded all processed batches; Transform has reported that there are more.
    assert [(so_far[stage]["last"], so_far[stage]["more"]) for stage in ("transform", "load")] == [(1, True), (1, True)]
    so_far["transform"] = invoke("transform", so_far=so_far)
    loaded = invoke("load", so_far=so_far)
    assert (loaded["first"], loaded["last"], loaded["batches"], loaded["more"]) == (1, 2, 2, False)
    assert (loaded["inserted"], so_far["transform"]["rows"]) == ({"dim_currency": 2}, {"dim_currency": 2})


def test_objects_are_said_only_of_the_next_batch(deployed: Pipeline) -> None:
    """The objects of a batch that others wait in front of would lie in memory until its turn comes."""
    assert invoke("ingest")["objects"]
    deployed.totesys(f"INSERT INTO currency VALUES (2, 'EUR', {STAMPS})")
    landed = invoke("ingest")
    assert (landed["batch"], landed["objects"]) == (2, [])
    transformed = invoke("transform", so_far={"ingest": landed})
    assert (transformed["batches"], transformed["objects"]) == (2, [])


def test_objects_of_an_earlier_pass_are_not_carried_over(deployed: Pipeline) -> None:
    so_far: dict[str, Any] = {"ingest": invoke("ingest")}
    so_far["transform"] = invoke("transform", so_far=so_far)
    assert so_far["transform"]["objects"]
    assert invoke("transform", so_far=so_far)["objects"] == []


def test_stages_need_no_objects_from_those_before(deployed: Pipeline) -> None:
    """An execution that the previous release began selects none."""
    so_far = {"ingest": invoke("ingest")}
    del so_far["ingest"]["objects"]
    so_far["transform"] = invoke("transform", so_far=so_far)
    del so_far["transform"]["objects"]
    assert invoke("load", so_far=so_far)["last"] == 1


def test_batches_of_another_execution_are_left_to_it(deployed: Pipeline) -> None:
    so_far = {"ingest": invoke("ingest"), "transform": invoke("transform") | {"catching_up": "other"}}
    assert invoke("load", so_far=so_far)["catching_up"] is None
    so_far["ingest"] |= {"landed_through": 2}
    assert invoke("load", so_far=so_far)["catching_up"] == "other"


def test_handlers_with_nothing_to_do_say_so(deployed: Pipeline) -> None:
    for function in FUNCTIONS:
        invoke(function)
    landed, processed, loaded = (invoke(function) for function in FUNCTIONS)
    assert (landed["batch"], landed["new_data"]) == (None, False)
    assert (processed["batches"], processed["first"], processed["processed_through"]) == (0, None, 1)
    assert (loaded["batches"], loaded["first"], loaded["loaded_through"]) == (0, None, 1)


def test_every_log_line_bears_the_execution(deployed: Pipeline, log: io.StringIO) -> None:
    for function in FUNCTIONS:
        invoke(function)
    assert {(line["execution"], line["function_request_id"]) for line in lines(log)} == {(EXECUTION, "req-1")}
    last = {line["message"]: line for line in lines(log)}
    assert {"ingested", "transformed", "loaded"} <= last.keys()
    assert last["ingested"]["rows"] == {"currency": 1}


def test_rows_and_batches_are_measured(deployed: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    for function in FUNCTIONS:
        invoke(function)
    landed, processed, by_table, loaded = measured(capsys)
    assert (landed["RowsLanded"], landed["BatchesToTransform"], processed["RowsProcessed"]) == ([1.0], [1.0], [1.0])
    assert (by_table["table"], by_table["RowsLoaded"]) == ("dim_currency", [1.0])
    assert (loaded["RowsLoaded"], loaded["VersionsAdded"], loaded["BatchesBehind"]) == ([1.0], [0.0], [0.0])


def test_load_that_fails_tells_what_it_has_done_and_what_it_left(
    deployed: Pipeline, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (2, 3):
        invoke("ingest")
        deployed.totesys(f"INSERT INTO currency VALUES ({number}, 'EUR', {STAMPS})")
    invoke("ingest")
    invoke("transform")
    lost = deployed.processed().read(2).tables["dim_currency"]["data"].key
    deployed.s3.delete_object(Bucket=deployed.processed_bucket, Key=lost)
    capsys.readouterr()

    with pytest.raises(ObjectMissing):
        invoke("load")
    by_table, failed = measured(capsys)
    assert (by_table["RowsLoaded"], failed["RowsLoaded"], failed["Failures"]) == ([1.0], [1.0], [1.0])
    assert failed["BatchesBehind"] == [2.0]
    assert (lines(log)[-1]["message"], lines(log)[-1]["batch"]) == ("failed", 2)


def test_load_that_reaches_no_warehouse_does_not_guess_what_is_behind(
    deployed: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.put_secret("warehouse", deployed.warehouse, "totes_loader", password="wrong")
    with pytest.raises(WarehouseUnreachable):
        invoke("load")
    (failed,) = measured(capsys)
    assert "BatchesBehind" not in failed


def test_input_reaches_ingest(deployed: Pipeline) -> None:
    invoke("ingest")
    landed = invoke("ingest", input={"full_read": ["currency"]})
    assert landed["full_read"] == {"currency": "asked for by the execution's input"}


def test_undeclared_column_is_a_warning(deployed: Pipeline, log: io.StringIO) -> None:
    deployed.totesys("ALTER TABLE currency ADD symbol text")
    said = "currency has columns that no contract declares: symbol"
    assert invoke("ingest")["warnings"] == [said]
    (warning,) = [line for line in lines(log) if line["level"] == "WARNING"]
    assert warning["message"] == said


def test_wrong_input_is_refused_before_anything_is_done(deployed: Pipeline) -> None:
    with pytest.raises(InputRefused, match="unknown field watermark"):
        invoke("ingest", input={"watermark": "2024"})
    assert deployed.landed().last() == 0


@pytest.mark.parametrize("function", FUNCTIONS)
def test_incomplete_environment_is_named(
    deployed: Pipeline, monkeypatch: pytest.MonkeyPatch, function: str, log: io.StringIO
) -> None:
    monkeypatch.delenv("TOTES_PROCESSED_BUCKET")
    with pytest.raises(SettingsInvalid, match="lacks TOTES_PROCESSED_BUCKET"):
        invoke(function)
    assert lines(log)[-1]["error"] == "SettingsInvalid"


def test_failure_is_logged_with_the_execution(deployed: Pipeline, log: io.StringIO) -> None:
    deployed.put_secret("source", deployed.source, "totes_reader", password="hunter2")
    with pytest.raises(SourceUnreachable, match="28P01"):
        invoke("ingest")
    failed = lines(log)[-1]
    assert (failed["message"], failed["error"], failed["execution"]) == ("failed", "SourceUnreachable", EXECUTION)
    assert "hunter2" not in log.getvalue()


def test_foreign_exception_is_unforeseen_and_keeps_no_secret(
    deployed: Pipeline, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    def fail(_bucket: str) -> None:
        raise LookupError("postgresql://reader:hunter2@nowhere")

    monkeypatch.setattr("totes.transform.Lake", fail)
    with pytest.raises(
        UnexpectedError, match=r"LookupError: .*postgresql://reader:\*\*\*@nowhere.*\nRemedy: Read the stack"
    ):
        invoke("transform")
    assert lines(log)[-1]["error"] == "LookupError"
    assert "hunter2" not in log.getvalue()


@pytest.mark.parametrize("function", ["backfill", "ingest"])
def test_steps_of_a_backfill_are_taken(deployed: Pipeline, function: str) -> None:
    """Ingest also does this: a backfill that began before this release calls it, also after a redrive."""
    planned = invoke(function, backfill={"plan": {"rows": 1}})
    ranges = json.loads(deployed.s3.get_object(Bucket=planned["bucket"], Key=planned["facts"])["Body"].read())
    read = [invoke(function, backfill={"read": part}) for part in ranges]
    assert [answer["batch"] for answer in read] == [*range(planned["first"] + 1, planned["last"] + 1)]
    invoke(function, backfill={"land": True})
    assert deployed.landed().last() == planned["last"]
    assert invoke("ingest")["batch"] is None


def test_backfill_needs_nothing_of_the_processed_zone(deployed: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOTES_PROCESSED_BUCKET")
    assert invoke("backfill", backfill={"plan": {}})["first"] == 1
