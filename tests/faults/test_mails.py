"""Compares the mails with those kept in mails/: for each error, the mail that is sent when the error really happens.

Angle brackets replace parts that differ from run to run, such as executions' names and times. TOTES_WRITE_MAILS=1
writes the files again; read the changes before you commit them.
"""

import json
import os
import re
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from local.lambda_runtime.runtime import InvokeResult, ServiceError
from local.postgres.databases import LOADER, READER
from tests.faults.scenario import Scenario
from tests.faults.test_catching_up import full_disk_at, needs_full_device
from tests.faults.workers import aborting, execution_limit, load_hangs
from tests.support.cold import forget_logs
from tests.support.executions import later
from tests.support.injection import at_statement, die, s3_answers
from totes.alerts.error_catalogue import ABORTED, CATALOGUE, TIMED_OUT, section
from totes.contracts import declarations
from totes.lake.batch_log import entry
from totes.postgres.connection import WAREHOUSE, connected
from totes.postgres.position import SourcePosition
from totes.source.fence import reason_to_read_all
from totes.warehouse.warehouse import Warehouse

GOLDEN = Path(__file__).parent / "mails"
VARYING = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<execution>"),
    (r"\d{4}-\d\d-\d\d\s+\d\d:\d\d(:\d\d)?\s+UTC", "<moment>"),
    (r"(?:end|start)~'\d{4}-\d\d-\d\dT[\d.*A-F]+Z", "<moment>"),
    (r"after \d+ s(,| and)", r"after <n> s\1"),
    (r"\d+ s behind", "<n> s behind"),
    (r"pid \d+", "pid <pid>"),
    (r"(landing|processed)-[0-9a-f]{12}", r"\1-<test>"),
    (r"\b[0-9a-f]{12}/(source|warehouse)", r"<test>/\1"),
    (r"\b[0-9a-f]{64}\b", "<sha256>"),
    (r"\b[0-9A-Za-z]{52}\b", "<request>"),
    (r"\b[0-9a-f]{32}\.parquet", "<object>.parquet"),
    (r"test_\d+", "test_<n>"),
    (r"\b[0-9A-F]{1,8}/[0-9A-F]{1,8}\b", "<lsn>"),
    (r"(full:)\s+\S+(\s+has)\s+[\d,]+(\s+MB[\w\s,]+used)\s+[\d,]+", r"\1 <folder>\2 <n>\3 <n>"),
    (r"(holds|says)\s+\d+\s+bytes", r"\1 <n> bytes"),
)


@pytest.fixture
def running(scenario: Scenario) -> Scenario:
    """Returns a pipeline that has succeeded once."""
    scenario.run()
    return scenario


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the time-outs of locks."""
    monkeypatch.setattr("totes.source.snapshot.LOCKING_SECONDS", 0.1)
    hasty = replace(WAREHOUSE, session={**WAREHOUSE.session, "lock_timeout": "100ms"})
    monkeypatch.setattr("totes.load.WAREHOUSE", hasty)


def change(scenario: Scenario) -> None:
    scenario.totesys("UPDATE sales_order SET agreed_delivery_location_id = 1 WHERE sales_order_id IN (7, 8)")


def describe_end(scenario: Scenario, error: str, name: str = "") -> None:
    """Runs an execution, and compares its mail with the kept one."""
    failed = scenario.run()
    assert failed.error == error
    hold(scenario.mails[-1], name or error)


def hold(mail: Any, name: str) -> None:
    text = f"Subject: {mail.subject}\n\n{mail.message}"
    for pattern, instead in VARYING:
        text = re.sub(pattern, instead, text)
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("TOTES_WRITE_MAILS"):
        golden.write_text(text, encoding="utf-8")
    # The ends of lines depend on the length of names that differ.
    assert text.split() == golden.read_text(encoding="utf-8").split()
    assert len(mail.subject) <= 100
    assert mail.subject.isascii()
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("which", "error"),
    [("source", "SourceUnreachable"), ("warehouse", "WarehouseUnreachable")],
    ids=["source", "warehouse"],
)
def test_mail_of_a_database_that_is_down(running: Scenario, which: str, error: str) -> None:
    change(running)
    database = getattr(running.pipeline, which)
    running.pipeline.put_secret(
        which, database, f"totes_{'reader' if which == 'source' else 'loader'}", host="127.0.0.1", port=1
    )
    describe_end(running, error)


@pytest.mark.usefixtures("impatient")
def test_mail_of_a_locked_table(running: Scenario) -> None:
    with running.session() as other:
        other.cursor().execute("LOCK TABLE staff IN ACCESS EXCLUSIVE MODE")
        describe_end(running, "SourceBusy")


def test_mail_of_a_standby_that_lags(running: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    log = running.pipeline.landed()
    document = log.read(log.last()).as_json()
    document["source"]["lsn"] = "FFFF/0"
    running.pipeline.s3.put_object(
        Bucket=running.pipeline.landing_bucket, Key=entry(log.last()), Body=json.dumps(document).encode()
    )

    def as_standby(before: SourcePosition, now: SourcePosition) -> str | None:
        return reason_to_read_all(before, replace(now, in_recovery=True))

    monkeypatch.setattr("totes.source.decisions.reason_to_read_all", as_standby)
    describe_end(running, "SourceLagging")


def test_mail_of_mass_deletions(running: Scenario) -> None:
    running.totesys("DELETE FROM payment WHERE payment_id > 20")
    describe_end(running, "DeletionsHeld")


@pytest.mark.usefixtures("impatient")
def test_mail_of_a_locked_warehouse(running: Scenario) -> None:
    change(running)
    pipeline = running.pipeline
    with connected(WAREHOUSE, pipeline.credentials(pipeline.warehouse), "totes-load") as other:
        Warehouse(other).lock()
        describe_end(running, "WarehouseBusy")


def test_mail_of_a_lake_that_fails(running: Scenario) -> None:
    change(running)
    with s3_answers(503, "SlowDown", "PutObject", 1_000):
        describe_end(running, "LakeUnavailable")


def test_mail_of_a_batch_that_others_commit(running: Scenario) -> None:
    change(running)
    with s3_answers(412, "PreconditionFailed", "PutObject", 1_000):
        describe_end(running, "BatchContended")


def test_mail_of_a_wrong_input(running: Scenario) -> None:
    failed = running.run({"watermark": "2024-01-01"})
    assert failed.error == "InputRefused"
    hold(running.mails[-1], "InputRefused")


def test_mail_of_an_incomplete_environment(running: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOTES_SOURCE_SECRET")
    describe_end(running, "SettingsInvalid")


def test_mail_of_a_grant_that_is_gone(running: Scenario) -> None:
    running.totesys("REVOKE SELECT ON payment FROM totes_reader")
    describe_end(running, "AccessDenied")


def test_mail_of_a_gap_in_the_log(running: Scenario) -> None:
    change(running)
    running.run()
    s3, bucket = running.pipeline.s3, running.pipeline.landing_bucket
    for key in ("log/00000001.json", "log/_latest.json"):
        s3.delete_object(Bucket=bucket, Key=key)
    forget_logs()
    describe_end(running, "LogBroken")


def landed_order(scenario: Scenario) -> dict[str, str]:
    """Lands a change by an execution that ends there; returns the key of its rows."""
    change(scenario)
    scenario.pipeline.ingest()
    key = scenario.pipeline.landed().read(2).tables["sales_order"]["data"].key
    return {"Bucket": scenario.pipeline.landing_bucket, "Key": key}


def test_mail_of_an_object_that_is_gone(running: Scenario) -> None:
    running.pipeline.s3.delete_object(**landed_order(running))
    describe_end(running, "ObjectMissing")


def test_mail_of_an_object_that_was_changed(running: Scenario) -> None:
    running.pipeline.s3.put_object(**landed_order(running), Body=b"PAR1")
    describe_end(running, "CorruptObject")


def test_mail_of_a_newer_release(running: Scenario) -> None:
    running.star("INSERT INTO etl.schema_version (version) VALUES (99)")
    describe_end(running, "VersionUnknown")


def test_mail_of_a_malformed_declaration(running: Scenario, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    copy = shutil.copytree(declarations.SCHEMAS, tmp_path / "schemas")
    with (copy / "source" / "staff.toml").open("a", encoding="utf-8") as file:
        file.write('nickname = { typ = "text" }\n')
    monkeypatch.setattr(declarations, "SCHEMAS", copy)
    declarations.declared.cache_clear()
    try:
        describe_end(running, "ContractInvalid")
    finally:
        monkeypatch.undo()
        declarations.declared.cache_clear()


def test_mail_of_a_statement_that_fails(running: Scenario) -> None:
    change(running)
    running.star("ALTER TABLE etl.batch_table RENAME rows_staged TO staged")
    describe_end(running, "DatabaseFailed")


@needs_full_device
def test_mail_of_a_full_disk(running: Scenario) -> None:
    change(running)
    with full_disk_at("2.fact_sales_order.data"):
        describe_end(running, "DiskFull")


def test_mail_of_a_bug(running: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    change(running)

    def fail(*_: object) -> None:
        raise ValueError("no such thing: postgresql://totes_loader:hunter2@db.example.com/warehouse")

    monkeypatch.setattr("totes.warehouse.staging.stage", fail)
    describe_end(running, "UnexpectedError")


def test_mail_of_rows_that_break_their_contract(running: Scenario) -> None:
    running.totesys("ALTER TABLE staff ALTER first_name DROP NOT NULL")
    running.totesys("UPDATE staff SET first_name = NULL WHERE staff_id <= 7")
    describe_end(running, "ContractViolation", "ContractViolation (rows)")


def test_mail_of_a_column_that_was_renamed(running: Scenario) -> None:
    running.totesys("ALTER TABLE sales_order RENAME COLUMN units_sold TO units")
    describe_end(running, "ContractViolation", "ContractViolation (column)")


def test_mail_of_a_rule_that_is_broken(running: Scenario) -> None:
    running.totesys("UPDATE payment SET payment_amount = payment_amount + 0.01 WHERE payment_id IN (3, 5, 7)")
    describe_end(running, "ContractViolation", "ContractViolation (rule)")


# The message about a killed function, which Lambda prints.
@pytest.mark.filterwarnings("ignore:No application metrics to publish")
def test_mail_of_a_killed_function(running: Scenario) -> None:
    change(running)
    with at_statement('INTO "etl".batch (', die, times=2):
        describe_end(running, "Runtime.ExitError")


@pytest.mark.parametrize(
    ("error", "function"),
    [
        ("Sandbox.Timedout", "load"),
        ("Lambda.TooManyRequestsException", "transform"),
        ("Lambda.EC2ThrottledException", "ingest"),
        ("Lambda.ResourceNotFoundException", "load"),
    ],
)
def test_mail_of_lambdas_own_trouble(running: Scenario, error: str, function: str) -> None:
    change(running)

    def trouble(_name: str, _event: dict[str, Any]) -> InvokeResult:
        if error == "Sandbox.Timedout":
            said = "RequestId: 1 Error: Task timed out after 300.00 seconds"
            return InvokeResult({"errorType": error, "errorMessage": said}, "Unhandled")
        raise ServiceError(error.removeprefix("Lambda."), "As the test says.", 429)

    with running.instead(function, trouble):
        describe_end(running, error)


def test_mail_of_an_execution_that_ran_out_of_time(running: Scenario) -> None:
    running.totesys("UPDATE payment SET paid = NOT paid WHERE payment_id = 9")
    with load_hangs(running) as end, execution_limit(running, seconds=3):
        assert running.run().status == TIMED_OUT
        end()
    (mail,) = running.mails
    hold(mail, TIMED_OUT)


def test_mail_of_an_execution_that_somebody_stopped(running: Scenario) -> None:
    change(running)
    with running.instead("transform", aborting(running)):
        assert running.run().status == ABORTED
    (mail,) = running.mails
    hold(mail, ABORTED)


def test_mail_of_a_failure_that_goes_on(running: Scenario) -> None:
    fail(running)
    for hours in (1, 25):
        with later(timedelta(hours=hours)):
            fail(running)
        hold(running.mails[-1], f"repeated after {hours} h")


def test_mail_of_a_recovery_comes_once(running: Scenario) -> None:
    fail(running)
    fail(running)
    running.pipeline.put_secret("warehouse", running.pipeline.warehouse, LOADER)
    before = len(running.mails)
    for _ in range(2):
        running.ended(running.run().arn, "SUCCEEDED")
    (mail,) = running.mails[before:]
    hold(mail, "recovered")


def test_mail_of_a_recovery_that_has_nothing_to_catch_up_on(running: Scenario) -> None:
    running.pipeline.put_secret("source", running.pipeline.source, READER, host="127.0.0.1", port=1)
    assert running.run().error == "SourceUnreachable"
    running.pipeline.put_secret("source", running.pipeline.source, READER)
    running.ended(running.run().arn, "SUCCEEDED")
    hold(running.mails[-1], "recovered (nothing new)")


def fail(scenario: Scenario) -> None:
    """Runs an execution that lands and processes a change, and finds no warehouse to load it into."""
    scenario.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = 7")
    scenario.pipeline.put_secret("warehouse", scenario.pipeline.warehouse, LOADER, host="127.0.0.1", port=1)
    assert scenario.run().error == "WarehouseUnreachable"


def test_every_error_of_ours_has_its_mail() -> None:
    kept = {file.stem.partition(" ")[0] for file in GOLDEN.glob("*.txt")}
    # Errors that share a section of the runbook also share a sentence.
    # A backfill catches no error: a rule reports that it has ended.
    owed = {error for error in CATALOGUE if section(error) == error} - {"States.Runtime", "BackfillOutdated"}
    assert owed - kept == {"Lambda.ServiceException"}
