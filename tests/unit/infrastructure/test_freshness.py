"""resources/freshness.js: the alarm on freshness, derived from the rate."""

import json
import shutil
import subprocess

import pytest

from local.aws.deployment import ROOT
from tests.unit.infrastructure.template import Template

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
DERIVE = """
require("./resources/freshness.js")({ resolveVariable: async () => process.argv[1] })
  .then((alarm) => console.log(JSON.stringify(alarm)))
  .catch((error) => { console.error(error.message); process.exitCode = 1; });
"""
DAY = 86_400


def derived(rate: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["node", "-e", DERIVE, rate], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("rate", "minutes"),
    [
        ("rate(1 minute)", 30),
        ("rate(5 minutes)", 30),
        ("rate(10 minutes)", 30),
        ("rate(15 minutes)", 46),
        ("rate(1 hour)", 180),
        ("rate(1 day)", 2880),
    ],
)
def test_alarm_waits_for_the_promise_or_for_three_starts(rate: str, minutes: int) -> None:
    alarm = json.loads(derived(rate).stdout)
    assert alarm["minutes"] == minutes
    assert alarm["periods"] * alarm["periodSeconds"] == 60 * minutes
    # CloudWatch accepts whole minutes, and a day in all; a week, if the period is an hour or longer.
    assert alarm["periodSeconds"] % 60 == 0
    assert 60 * minutes <= (7 * DAY if alarm["periodSeconds"] >= 3600 else DAY)


def test_alarm_is_the_derived_one() -> None:
    alarm = Template().resources["FreshnessAlarm"]["Properties"]
    file = "${file(resources/freshness.js):"
    assert alarm["Period"] == f"{file}periodSeconds}}"
    assert alarm["EvaluationPeriods"] == alarm["DatapointsToAlarm"] == f"{file}periods}}"
    assert f"{file}minutes}} minutes" in alarm["AlarmDescription"]


@pytest.mark.parametrize("rate", ["cron(0 * * * ? *)", "rate(2 days)", "rate(0 minutes)", "hourly"])
def test_rate_that_it_can_not_follow_is_refused_with_the_remedy(rate: str) -> None:
    refused = derived(rate)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"The parameter rate is {rate}; expected is rate(n minutes)")
    assert '--param="rate=' in refused.stderr
