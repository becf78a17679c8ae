"""The alarms as they are deployed: nothing here publishes the metrics of AWS, so what they watch and tell must do."""

from functools import cache
from typing import Any

from tests.unit.infrastructure.template import DEV, Template


@cache
def watching(metric: str) -> tuple[str, ...]:
    """The names of the alarms on a metric of the state machine."""
    return tuple(alarm["AlarmName"] for alarm in _alarms(metric))


@cache
def telling(metric: str) -> tuple[str, ...]:
    """Those among them that tell the topic."""
    template = Template()
    return tuple(
        alarm["AlarmName"]
        for alarm in _alarms(metric)
        if [template.text(action) for action in alarm.get("AlarmActions", ())] == [DEV.topic_arn]
    )


def _alarms(metric: str) -> list[dict[str, Any]]:
    template = Template()
    return [
        alarm
        for alarm in template.of_type("AWS::CloudWatch::Alarm").values()
        if alarm["MetricName"] == metric
        and [template.text(dimension["Value"]) for dimension in alarm["Dimensions"]] == [DEV.state_machine_arn]
    ]
