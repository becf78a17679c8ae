"""The state machines' logs of executions that fail, in the packaged templates."""

from collections.abc import Mapping
from typing import Any

import pytest

STAGES = ("dev", "prod")
MACHINES = {"PipelineStateMachine": "pipeline", "BackfillStateMachine": "backfill"}
Compiled = Mapping[str, Mapping[str, Any]]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("machine", MACHINES)
def test_machine_logs_failures_and_no_data(stage: str, machine: str, compiled: Compiled) -> None:
    logging = compiled[stage]["Resources"][machine]["Properties"]["LoggingConfiguration"]
    (destination,) = logging["Destinations"]
    assert (logging["Level"], logging["IncludeExecutionData"]) == ("ERROR", False)
    # This attribute of a group ends with the `:*` that Step Functions need.
    assert destination["CloudWatchLogsLogGroup"]["LogGroupArn"]["Fn::GetAtt"] == [log(machine), "Arn"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("machine", MACHINES)
def test_log_is_named_and_kept_as_it_has_to_be(stage: str, machine: str, compiled: Compiled) -> None:
    """Outside /aws/vendedlogs/ each group needs a statement in the account's policy of at most 5,120 characters."""
    group = compiled[stage]["Resources"][log(machine)]["Properties"]
    assert group["LogGroupName"] == f"/aws/vendedlogs/states/totes-{stage}-{MACHINES[machine]}"
    assert group["RetentionInDays"] == compiled[stage]["Resources"]["LoadLogGroup"]["Properties"]["RetentionInDays"]


def test_every_machine_is_known_here(compiled: Compiled) -> None:
    resources = compiled["prod"]["Resources"]
    machines = {name for name, found in resources.items() if found["Type"] == "AWS::StepFunctions::StateMachine"}
    assert machines == MACHINES.keys()


def log(machine: str) -> str:
    return f"{MACHINES[machine].title()}Log"
