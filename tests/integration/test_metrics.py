"""The metrics that the functions send while a real stack runs, and the dashboard, alarms and docs that use them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local.aws.deployment import ROOT
from local.aws.execution_events import ExecutionEvents
from local.stack import Stack
from tests.integration.conftest import change
from tests.unit.infrastructure.template import Template, metrics_of
from tools.docs import costs
from totes.alerts.executions import describe
from totes.contracts.declarations import warehouse_tables
from totes.runtime.names import FUNCTIONS, STAGES, Names

LOCAL = Template(Names("local", "123456789012", "eu-west-2"))
# `fail` raises an error on purpose that was already counted.
MEASURED = [function for function in FUNCTIONS if function != "fail"]
FIRST, BUSY, QUIET, FAILED = range(4)
# At most so many seconds pass between an execution's end and the call of the rule's function.
SLACK = 30
AMENDMENT = "UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id <= 3"
DELETION = "DELETE FROM payment WHERE payment_id = (SELECT max(payment_id) FROM payment)"
# AWS's own metrics, from the documentation of each service.
AWS_METRICS = {
    "AWS/States": {
        *("ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"),
    },
    "AWS/Lambda": {"Errors", "Throttles", "Duration", "DestinationDeliveryFailures"},
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible"},
    "AWS/Events": {"InvocationsFailedToBeSentToDlq"},
}
DIMENSION = {
    "AWS/States": "StateMachineArn",
    "AWS/Lambda": "FunctionName",
    "AWS/SQS": "QueueName",
    "AWS/Events": "RuleName",
}
SEARCH = re.compile(r"""SEARCH\('\{"([\w-]+)",(\w+),(\w+)\} MetricName="(\w+)"', '\w+', 300\)""")


@dataclass(frozen=True)
class Sent:
    """A value of a metric, as CloudWatch reads it from a function's log."""

    namespace: str
    name: str
    unit: str
    dimensions: frozenset[tuple[str, str]]
    value: float
    execution: str

    @property
    def service(self) -> str:
        return dict(self.dimensions)["service"]

    @property
    def table(self) -> str | None:
        return dict(self.dimensions).get("table")


@dataclass
class Observed:
    """The executions of a stack: the first, one with an amendment and a deletion, one with nothing new, one that
    failed; and a backfill.
    """

    stack: Stack
    executions: list[str]

    def lines(self) -> list[dict[str, Any]]:
        """Returns all log lines of the functions as JSON."""
        texts = [(self.stack.logs / f"{LOCAL.names.function(name)}.log").read_text("utf-8") for name in FUNCTIONS]
        return [json.loads(line) for text in texts for line in text.splitlines() if line.startswith("{")]

    def sent(self) -> list[Sent]:
        return [sent for line in self.lines() if "_aws" in line for sent in unpacked(line)]

    def value(self, name: str, execution: int, table: str | None = None, service: str | None = None) -> float:
        (value,) = [
            sent.value
            for sent in self.sent()
            if (sent.name, sent.execution, sent.table) == (name, self.executions[execution], table)
            and service in (None, sent.service)
        ]
        return value


def unpacked(line: dict[str, Any]) -> Iterator[Sent]:
    for directive in line["_aws"]["CloudWatchMetrics"]:
        (names,) = directive["Dimensions"]
        dimensions = frozenset((name, line[name]) for name in names)
        for metric in directive["Metrics"]:
            values = line[metric["Name"]]
            (value,) = values if isinstance(values, list) else [values]
            yield Sent(
                directive["Namespace"], metric["Name"], metric["Unit"], dimensions, value, line.get("execution", "")
            )


@pytest.fixture(scope="module")
def observed(stack: Stack) -> Observed:
    executions, execution_events = [], ExecutionEvents(stack)
    for statements, document in (((), {}), ((AMENDMENT, DELETION), {}), ((), {}), ((), {"nonsense": 1})):
        for statement in statements:
            change(stack, statement)
        executions.append(stack.start_execution(document))
        stack.wait(executions[-1])
        execution_events.look()
    executions.append(start_backfill(stack))
    assert stack.wait(executions[-1])["status"] == "SUCCEEDED"
    return Observed(stack, executions)


def start_backfill(stack: Stack) -> str:
    machine = stack.client("stepfunctions")
    started: str = machine.start_execution(stateMachineArn=stack.names.backfill_arn, input="{}")["executionArn"]
    return started


def test_counts_are_those_of_the_executions_result(observed: Observed) -> None:
    output = json.loads(observed.stack.wait(observed.executions[BUSY])["output"])
    landed, processed, loaded = (output[stage.lower()] for stage in STAGES)
    rows = {name: loaded["inserted"].get(name, 0) + loaded["updated"].get(name, 0) for name in loaded["inserted"]}

    assert observed.value("RowsLanded", BUSY) == sum(landed["rows"].values()) == 3
    assert observed.value("BatchesToTransform", BUSY) == 1
    assert observed.value("RowsProcessed", BUSY) == sum(processed["rows"].values())
    assert observed.value("VersionsAdded", BUSY) == loaded["inserted"]["fact_sales_order"] == 3
    assert observed.value("Tombstones", BUSY) == sum(loaded["tombstones"].values()) == 1
    assert observed.value("RowsLoaded", BUSY) == sum(rows.values())
    assert {table: observed.value("RowsLoaded", BUSY, table) for table in rows} == rows


def test_dimension_rows_are_no_versions(observed: Observed) -> None:
    loaded = json.loads(observed.stack.wait(observed.executions[FIRST])["output"])["load"]
    facts = sum(rows for table, rows in loaded["inserted"].items() if warehouse_tables()[table].is_fact)
    assert observed.value("VersionsAdded", FIRST) == facts < observed.value("RowsLoaded", FIRST)


def test_quiet_execution_says_nought_and_pays_for_no_table(observed: Observed) -> None:
    for name in ("RowsLanded", "RowsLoaded", "VersionsAdded", "Tombstones", "BatchesBehind", "BatchesToTransform"):
        assert observed.value(name, QUIET) == 0
    quiet = [sent for sent in observed.sent() if sent.execution == observed.executions[QUIET]]
    assert {sent.table for sent in quiet} == {None}
    assert "SnapshotAge" not in {sent.name for sent in quiet}


def test_freshness_is_the_age_of_what_the_warehouse_shows(observed: Observed) -> None:
    def lasted(execution: int) -> float:
        found = observed.stack.wait(observed.executions[execution])
        seconds: float = (found["stopDate"] - found["startDate"]).total_seconds()
        return seconds

    ages = [observed.value("Freshness", execution) for execution in (FIRST, BUSY, QUIET)]
    # After an execution that loads, counted from the snapshot of its last batch; otherwise from its start.
    assert all(observed.value("Freshness", loads) >= observed.value("SnapshotAge", loads) for loads in (FIRST, BUSY))
    assert ages[QUIET] >= lasted(QUIET)
    assert all(age < lasted(execution) + SLACK for execution, age in enumerate(ages))
    # A failed execution leaves the warehouse as it was.
    assert observed.value("Freshness", FAILED) >= lasted(QUIET) + lasted(FAILED)
    assert 0 < observed.value("SnapshotAge", BUSY) < lasted(BUSY)


def test_every_stage_is_timed(observed: Observed) -> None:
    states = {state.name.lower(): state.seconds for state in describe(observed.executions[BUSY]).states}
    for stage in map(str.lower, STAGES):
        seconds = observed.value("Duration", BUSY, service=f"totes-{stage}") / 1000
        assert 0 < seconds < (states[stage] or 0)
    assert {sent.unit for sent in observed.sent() if sent.name == "Duration"} == {"Milliseconds"}


def test_failure_is_counted_where_it_happened_and_told(observed: Observed) -> None:
    failed = [sent for sent in observed.sent() if sent.execution == observed.executions[FAILED]]
    assert [(sent.service, sent.value) for sent in failed if sent.name == "Failures"] == [("totes-ingest", 1)]
    assert observed.value("FailuresReported", FAILED) == 1
    assert observed.value("MailsSent", FAILED) == 0, "the state machine has told it"


def test_every_line_bears_its_execution_and_of_a_table_its_batch(observed: Observed) -> None:
    lines = observed.lines()
    assert {line.get("execution") for line in lines} == set(observed.executions)
    said = [line for line in lines if "_aws" not in line and "table" in line]
    assert {(line["service"], line["message"]) for line in said} >= {
        ("totes-ingest", "read"),
        ("totes-ingest", "deleted"),
        ("totes-transform", "shaped"),
        ("totes-load", "loaded"),
        ("totes-backfill", "read"),
    }
    for batch, execution in ((1, FIRST), (2, BUSY)):
        mine = {line["batch"] for line in said if line["execution"] == observed.executions[execution]}
        assert mine == {batch}


def test_dashboard_shows_what_is_sent(observed: Observed) -> None:
    sent = {(each.namespace, each.name, each.dimensions) for each in observed.sent()}
    shapes = {(namespace, name, frozenset(dict(dimensions))) for namespace, name, dimensions in sent}
    services = {f"totes-{function}" for function in MEASURED}
    for metric in shown():
        match metric:
            case [{"expression": expression}]:
                namespace, first, second, name = SEARCH.fullmatch(expression).groups()  # type: ignore[union-attr]
                assert (namespace, name, frozenset((first, second))) in shapes
            case [namespace, name, dimension, value, _] if namespace in AWS_METRICS:
                assert (name in AWS_METRICS[namespace], dimension) == (True, DIMENSION[namespace])
                assert value in deployed()
            case [namespace, "Failures", "service", service, _]:
                # Any function that fails sends it.
                assert (namespace, "Failures", frozenset({"service"})) in shapes
                assert service in services
            case [namespace, name, dimension, value, _]:
                assert (namespace, name, frozenset({(dimension, value)})) in sent


def test_whatever_is_sent_is_shown(observed: Observed) -> None:
    drawn = {name for metric in shown() for name in re.findall(r"\w+", str(metric))}
    assert {sent.name for sent in observed.sent()} - drawn == set()


def test_alarms_watch_what_is_sent(observed: Observed) -> None:
    sent = {(each.namespace, each.name, each.dimensions) for each in observed.sent()}
    alarms = LOCAL.of_type("AWS::CloudWatch::Alarm").values()
    for metric in (metric for alarm in alarms for metric in metrics_of(alarm)):
        (dimension,) = metric["Dimensions"]
        if metric["Namespace"] in AWS_METRICS:
            assert metric["MetricName"] in AWS_METRICS[metric["Namespace"]]
            assert dimension["Name"] == DIMENSION[metric["Namespace"]]
        else:
            dimensions = frozenset({(dimension["Name"], dimension["Value"])})
            assert (metric["Namespace"], metric["MetricName"], dimensions) in sent


def test_deploy_page_says_what_each_metric_means(observed: Observed) -> None:
    section = (ROOT / "docs" / "deploy.md").read_text("utf-8").partition("\n## Watching it\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| `")]
    documented = {
        (name, service, unit.lower()) for name, services, unit, _ in rows for service in re.findall(r"\w+", services)
    }
    sent = {(f"`{each.name}`", each.service.removeprefix("totes-"), each.unit.lower()) for each in observed.sent()}
    every = {("`Failures`", function, "count") for function in MEASURED}
    assert documented == sent | every


def test_as_many_metrics_are_billed_as_are_sent(observed: Observed) -> None:
    busy = {(each.name, each.service) for each in observed.sent() if each.execution == observed.executions[BUSY]}
    assert len(busy) == costs.metrics_of_every_execution()


def shown() -> list[list[Any]]:
    """Returns the metrics of all widgets."""
    (dashboard,) = LOCAL.of_type("AWS::CloudWatch::Dashboard").values()
    widgets = json.loads(LOCAL.text(dashboard["DashboardBody"]))["widgets"]
    return [metric for widget in widgets for metric in widget["properties"].get("metrics", ())]


def deployed() -> set[str]:
    """Returns the resources that AWS's own metrics may be about."""
    queues = {queue["QueueName"] for queue in LOCAL.of_type("AWS::SQS::Queue").values()}
    return {LOCAL.names.state_machine_arn, *map(LOCAL.names.function, FUNCTIONS), *queues}
