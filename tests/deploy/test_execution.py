"""An execution of the deployed machine runs the deployed functions from the uploaded zip on a real PostgreSQL."""

import json

import pytest
from moto.sns.models import sns_backends

from cli.doctor.examination import examine
from tests.deploy.stage import Databases, Stage
from totes.verify.doctor.findings import Level

SHARED = {"fact_sales_order": "sales_order", "fact_purchase_order": "purchase_order", "fact_payment": "payment"}


@pytest.fixture
def connected(stage: Stage, databases: Databases) -> Stage:
    """Yields the stage with both secrets set."""
    stage.put_secret(stage.names.source_secret, databases.source)
    stage.put_secret(stage.names.warehouse_secret, databases.warehouse)
    return stage


def alerts(stage: Stage) -> list[tuple[str, str]]:
    """Returns subject and text of all messages to the topic."""
    topic = sns_backends[stage.names.account][stage.names.region].topics[stage.names.topic_arn]
    return [(str(subject), json.loads(message)["default"]) for _id, message, subject, *_ in topic.sent_notifications]


def test_execution_fills_the_warehouse(connected: Stage, databases: Databases) -> None:
    before = alerts(connected)
    execution = connected.execute()

    assert execution["status"] == "SUCCEEDED", execution
    loaded = {fact: databases.count(databases.warehouse, fact) for fact in SHARED}
    assert loaded == {fact: databases.count(databases.source, table) for fact, table in SHARED.items()}
    assert min(loaded.values()) > 0
    assert alerts(connected) == before


def test_doctor_finds_nothing_that_is_wrong_with_the_stage(connected: Stage) -> None:
    found = examine(connected.names)
    assert [finding for finding in found if finding.level is not Level.OK] == []
    assert {"stack", "functions", "rules", "alarms", "queues", "bucket", "logs", "code"} <= {
        each.code for each in found
    }
    assert sum(finding.code == "writing" for finding in found) == 2


def test_doctor_finds_what_was_changed_behind_the_deployment(connected: Stage, databases: Databases) -> None:
    names, events = connected.names, connected.client("events")
    connected.put_secret(names.source_secret, databases.source | {"dbname": "nowhere"})
    events.disable_rule(Name=names.ended_rule)
    try:
        found = {finding.code: finding for finding in examine(names) if finding.level is not Level.OK}
    finally:
        events.enable_rule(Name=names.ended_rule)
        connected.put_secret(names.source_secret, databases.source)
    assert found.keys() == {"rule-disabled", "AccessDenied", "unseen"}
    assert found["AccessDenied"].area == f"From inside {names.function('ingest')}"
    assert str(databases.source["password"]) not in str(found)


def test_failing_load_is_caught_told_once_and_caught_up(connected: Stage, databases: Databases) -> None:
    before = alerts(connected)
    connected.put_secret(connected.names.warehouse_secret, databases.warehouse | {"dbname": "nowhere"})
    failed = connected.execute()
    told = alerts(connected)[len(before) :]

    assert (failed["status"], failed["error"]) == ("FAILED", "AccessDenied")
    [(subject, message)] = told
    assert subject.startswith("totes-dev-pipeline: Load failed with AccessDenied, ")
    # The uploaded function wrote the text: the fallback's text is plainer.
    assert "\nDO THIS      " in message
    assert failed["executionArn"] in message
    assert str(databases.warehouse["password"]) not in message

    connected.put_secret(connected.names.warehouse_secret, databases.warehouse)
    healed = connected.execute()
    assert healed["status"] == "SUCCEEDED", healed
    assert json.loads(healed["output"])["load"]["loaded_through"] >= 1
    assert alerts(connected) == [*before, *told]
