"""Reads the alarms that the template declares. Nothing here publishes the metrics of AWS."""

from functools import cache

from tests.unit.infrastructure.template import DEV, Template


@cache
def watching(metric: str) -> dict[str, bool]:
    """Returns the alarms on a metric of the state machine, and whether each sends to the topic."""
    template = Template()
    return {
        alarm["AlarmName"]: [template.text(action) for action in alarm.get("AlarmActions", ())] == [DEV.topic_arn]
        for alarm in template.of_type("AWS::CloudWatch::Alarm").values()
        if alarm.get("MetricName") == metric
        and [template.text(dimension["Value"]) for dimension in alarm["Dimensions"]] == [DEV.state_machine_arn]
    }


def telling(metric: str) -> tuple[str, ...]:
    """Returns the alarms on a metric of the state machine that send to the topic."""
    return tuple(name for name, tells in watching(metric).items() if tells)
