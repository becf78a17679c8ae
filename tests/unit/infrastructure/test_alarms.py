"""The alarms: what each watches, whom it notifies, and where the runbook says what to do."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from local.aws.deployment import ROOT
from tests.unit.infrastructure.template import DEV, Template, metrics_of
from totes.runtime.names import FUNCTIONS

TEMPLATE = Template()
ALARMS: dict[str, dict[str, Any]] = {
    alarm["AlarmName"].removeprefix("totes-dev-"): alarm
    for alarm in TEMPLATE.of_type("AWS::CloudWatch::Alarm").values()
}
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### Alarm ([\w-]+)\n(.*?)(?=^#)", RUNBOOK, re.MULTILINE | re.DOTALL))
LINK = re.compile(r" docs/runbook\.md#alarm-([\w-]+)$")
# CloudWatch's limits: for a description, and for all periods together if each is shorter than an hour.
LONGEST_DESCRIPTION, LONGEST_WINDOW = 1024, 86_400
# If there is nothing to count, that is a good sign, except for executions that succeed.
MISSING = dict.fromkeys(ALARMS, "notBreaching") | {"freshness": "breaching"}
Compiled = Mapping[str, Mapping[str, Any]]
Metric = tuple[str, str, str, str]


def metrics(alarm: dict[str, Any]) -> set[Metric]:
    """Returns the namespace, the name and the one dimension of each metric that an alarm watches."""
    found = set()
    for metric in metrics_of(alarm):
        (dimension,) = metric["Dimensions"]
        value = TEMPLATE.text(dimension["Value"])
        found.add((metric["Namespace"], metric["MetricName"], dimension["Name"], value))
    return found


def of_function(metric: str, function: str) -> Metric:
    # Ref of a function is its name; here, the text is its ARN.
    return "AWS/Lambda", metric, "FunctionName", DEV.function_arn(function)


def of_rule(rule: str) -> Metric:
    return "AWS/Events", "InvocationsFailedToBeSentToDlq", "RuleName", rule


def of_queue(queue: str) -> Metric:
    return "AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue


def test_alarm_watches_what_its_name_says() -> None:
    """An alarm on a metric or a dimension that does not exist never goes off.

    The names are from the services' guides, each of which lists its metrics and their dimensions.
    """
    assert {name: metrics(alarm) for name, alarm in ALARMS.items()} == {
        "failed": {("AWS/States", "ExecutionsFailed", "StateMachineArn", DEV.state_machine_arn)},
        "freshness": {("AWS/States", "ExecutionsSucceeded", "StateMachineArn", DEV.state_machine_arn)},
        "warnings": {("totes-dev", "Warnings", "service", "totes-ingest")},
        "watch": {of_function("Errors", "watch")},
        "missed-starts": {of_queue("totes-dev-missed-starts")},
        "missed-ends": {of_queue("totes-dev-missed-ends")},
        "lost-events": {
            *(of_rule(rule) for rule in (DEV.rule, DEV.ended_rule, DEV.backfill_ended_rule)),
            of_function("DestinationDeliveryFailures", "watch"),
        },
        "throttles": {of_function("Throttles", function) for function in FUNCTIONS},
        **{f"duration-{function}": {of_function("Duration", function)} for function in FUNCTIONS},
    }


def test_everything_that_can_lose_an_event_is_watched() -> None:
    targets = [target for rule in TEMPLATE.of_type("AWS::Events::Rule").values() for target in rule["Targets"]]
    assert all("DeadLetterConfig" in target for target in targets)
    (kept,) = TEMPLATE.of_type("AWS::Lambda::EventInvokeConfig").values()
    assert kept["FunctionName"] == {"Ref": "WatchLambdaFunction"}
    assert kept["DestinationConfig"]["OnFailure"]
    assert {of_rule(rule["Name"]) for rule in TEMPLATE.of_type("AWS::Events::Rule").values()} < metrics(
        ALARMS["lost-events"]
    )


def test_alarm_of_warnings_watches_the_metric_that_ingest_writes() -> None:
    alarm, ingest = ALARMS["warnings"], TEMPLATE.functions["ingest"]["environment"]
    assert alarm["Namespace"] == ingest["POWERTOOLS_METRICS_NAMESPACE"] == "totes-dev"
    assert alarm["Dimensions"] == [{"Name": "service", "Value": ingest["POWERTOOLS_SERVICE_NAME"]}]
    assert f'"{alarm["MetricName"]}"' in (ROOT / "functions" / "ingest.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ALARMS)
def test_every_alarm_tells_but_that_of_failures(name: str) -> None:
    # The state machine sends its own mail; a second one for the same failure would be one too many.
    told = [] if name == "failed" else [DEV.topic_arn]
    assert [TEMPLATE.text(topic) for topic in ALARMS[name].get("AlarmActions", ())] == told


@pytest.mark.parametrize("name", ALARMS)
def test_end_of_an_alarm_is_told_where_it_means_that_all_is_well(name: str) -> None:
    # totes-<stage>-watch reports that the warehouse is fresh again. The last three alarms are quiet an hour after the
    # last event, repaired or not.
    silent = ("failed", "freshness", "duration", "throttles", "lost-events")
    told = [] if name.startswith(silent) else [DEV.topic_arn]
    assert [TEMPLATE.text(topic) for topic in ALARMS[name].get("OKActions", ())] == told


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_takes_missing_data_for_what_they_mean(name: str, compiled: Compiled) -> None:
    alarm = packaged(compiled, name)
    assert alarm["TreatMissingData"] == MISSING[name]
    periods = {query["MetricStat"]["Period"] for query in alarm.get("Metrics", ()) if "MetricStat" in query}
    (period,) = periods or {alarm["Period"]}
    assert period * alarm["EvaluationPeriods"] <= LONGEST_WINDOW
    assert alarm["DatapointsToAlarm"] <= alarm["EvaluationPeriods"]


@pytest.mark.parametrize("name", [name for name, alarm in ALARMS.items() if "Metrics" in alarm])
def test_expression_counts_all_metrics_of_its_alarm(name: str) -> None:
    queries = ALARMS[name]["Metrics"]
    (expression,) = [query for query in queries if query.get("ReturnData", True)]
    assert expression["Expression"] == "SUM(FILL(METRICS(), 0))"
    assert {query["MetricStat"]["Stat"] for query in queries if query is not expression} == {"Sum"}
    assert all(re.fullmatch(r"[a-z]\w*", query["Id"]) for query in queries)
    assert len({query["Id"] for query in queries}) == len(queries)
    # If only the last point were filled, an alarm might go off late, or never.
    assert ALARMS[name]["EvaluationPeriods"] > 1


@pytest.mark.parametrize("function", FUNCTIONS)
def test_threshold_is_four_fifths_of_the_functions_own_time_out(function: str, compiled: Compiled) -> None:
    alarm, deployed = packaged(compiled, f"duration-{function}"), f"{function.title()}LambdaFunction"
    seconds = compiled["dev"]["Resources"][deployed]["Properties"]["Timeout"]
    assert alarm["Threshold"] == 0.8 * 1000 * seconds
    assert (alarm["ComparisonOperator"], alarm["Statistic"]) == ("GreaterThanThreshold", "Maximum")
    assert ALARMS[f"duration-{function}"]["Threshold"] == f"${{file(resources/duration.js):{function}}}"


@pytest.mark.parametrize("name", ALARMS)
def test_description_leads_to_the_alarms_section_of_the_runbook(name: str, compiled: Compiled) -> None:
    description = packaged(compiled, name)["AlarmDescription"]
    link = LINK.search(description)
    assert link, f"{name}: its description has to end with the address of its section"
    assert name.startswith(link[1])
    assert link[1] in SECTIONS, f"docs/runbook.md has no section `### Alarm {link[1]}`"
    assert len(description) <= LONGEST_DESCRIPTION - len("https://github.com/owner/repository/blob/") - 40
    # The parameter leads a deployment's e-mails to the pages of its commit.
    assert "${env:TOTES_DOCS_URL, 'docs'}/runbook.md#" in ALARMS[name]["AlarmDescription"]


@pytest.mark.parametrize("section", SECTIONS)
def test_section_of_an_alarm_says_what_it_means_and_what_to_do(section: str) -> None:
    assert any(name.startswith(section) for name in ALARMS), f"there is no alarm {section}"
    assert "**It means**" in SECTIONS[section]
    assert "**Do**" in SECTIONS[section]


def packaged(compiled: Compiled, name: str) -> dict[str, Any]:
    """Returns an alarm of the packaged template."""
    resources = compiled["dev"]["Resources"].values()
    (alarm,) = [
        found["Properties"] for found in resources if found["Properties"].get("AlarmName") == f"totes-dev-{name}"
    ]
    properties: dict[str, Any] = alarm
    return properties
