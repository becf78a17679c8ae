"""The dashboard of resources/dashboard.yml, as CloudWatch would draw it.

tests/integration/test_metrics.py compares it with the metrics that the functions send.
"""

import json
from itertools import combinations
from typing import Any

import pytest

from cli.progress import PROMISE
from tests.unit.infrastructure.template import DEV, Template

COLUMNS = 24
TEMPLATE = Template()
(DASHBOARD,) = TEMPLATE.of_type("AWS::CloudWatch::Dashboard").values()
WIDGETS: list[dict[str, Any]] = json.loads(TEMPLATE.text(DASHBOARD["DashboardBody"]))["widgets"]
KINDS = {
    "text": ({"markdown"}, set()),
    "alarm": ({"title", "alarms"}, set()),
    "metric": ({"title", "metrics", "region", "stat", "period", "yAxis"}, {"annotations", "stacked"}),
}


def titled(title: str) -> dict[str, Any]:
    (widget,) = [found for found in WIDGETS if found["properties"].get("title") == title]
    properties: dict[str, Any] = widget["properties"]
    return properties


def cells(widget: dict[str, Any]) -> set[tuple[int, int]]:
    """Returns the squares of the grid that a widget covers."""
    columns = range(widget["x"], widget["x"] + widget["width"])
    return {(column, row) for column in columns for row in range(widget["y"], widget["y"] + widget["height"])}


def test_widgets_fill_the_grid_and_do_not_overlap() -> None:
    covered = [cells(widget) for widget in WIDGETS]
    assert [(first, second) for first, second in combinations(covered, 2) if first & second] == []
    height = max(row for widget in covered for _, row in widget) + 1
    assert set().union(*covered) == {(column, row) for column in range(COLUMNS) for row in range(height)}


@pytest.mark.parametrize("widget", WIDGETS, ids=lambda widget: widget["properties"].get("title", widget["type"]))
def test_widget_has_the_properties_of_its_kind(widget: dict[str, Any]) -> None:
    required, optional = KINDS[widget["type"]]
    properties = widget["properties"]
    assert widget.keys() == {"type", "x", "y", "width", "height", "properties"}
    assert required <= properties.keys() <= required | optional
    assert properties.get("region", DEV.region) == DEV.region
    for metric in properties.get("metrics", ()):
        # Namespace, name, dimensions by name and value, and the way to draw it; or an expression.
        *names, drawn = metric
        assert all(isinstance(name, str) for name in names)
        assert drawn["label"]
        assert len(names) >= 4 and not len(names) % 2 if names else drawn["expression"].startswith("SEARCH(")


def test_freshness_is_drawn_against_what_is_promised() -> None:
    (line,) = titled("Freshness: how old what the warehouse shows is")["annotations"]["horizontal"]
    assert line["value"] == PROMISE.total_seconds()
    assert f"{PROMISE.total_seconds() / 60:.0f} minutes" in line["label"]


def test_every_alarm_is_shown() -> None:
    alarms = TEMPLATE.of_type("AWS::CloudWatch::Alarm").values()
    shown = {arn.rpartition(":alarm:")[2] for arn in titled("Alarms")["alarms"]}
    assert shown == {alarm["AlarmName"] for alarm in alarms}


def test_links_lead_to_machine_logs_buckets_and_runbook() -> None:
    (text,) = [widget["properties"]["markdown"] for widget in WIDGETS if widget["type"] == "text"]
    for linked in (DEV.state_machine_arn, DEV.landing_bucket, DEV.processed_bucket, "/runbook.md)"):
        assert linked in text
    # A log group's slashes are escaped twice in the console's addresses. The other functions' logs have the errors that
    # Fail raises.
    for function in (function for name, function in TEMPLATE.functions.items() if name != "fail"):
        assert f"/log-group/$252Faws$252Flambda$252F{function['name']})" in text
