"""The rule that reports ends of executions."""

import boto3
import pytest

from tests.unit.infrastructure.template import Template

TEMPLATE = Template()
ENDS = set(
    boto3.client("stepfunctions", region_name="eu-west-2").meta.service_model.shape_for("ExecutionStatus").enum
) - {
    "RUNNING",
    "PENDING_REDRIVE",
}


@pytest.mark.parametrize("rule", ["EndedRule", "BackfillEndedRule"])
def test_rule_hears_of_every_end(rule: str) -> None:
    """An abort or a time-out bypasses every Catch: without the rule nobody gets an e-mail."""
    pattern = TEMPLATE.resources[rule]["Properties"]["EventPattern"]
    assert set(pattern["detail"]["status"]) == ENDS
