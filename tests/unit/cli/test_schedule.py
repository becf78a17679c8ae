"""moto replaces a rule by PutRule as EventBridge does."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cli.commands.pause import schedule_text
from cli.errors import Misused
from cli.schedule import LONGEST_REASON, Schedule, expected_start, pause_schedule, read_schedule, resume_schedule
from local.state import StackState, claimed_home, publish
from totes.alerts.executions import Execution
from totes.runtime.names import LOCAL, Names

NAMES = Names("dev", "123456789012", "eu-west-2")
USUAL = "Starts the pipeline; an execution with nothing new costs one look at the source."
ROLE = "arn:aws:iam::123456789012:role/schedule"
TARGET = {"Id": "queue", "Arn": "arn:aws:sqs:eu-west-2:123456789012:somewhere", "Input": "{}"}


@pytest.fixture
def events() -> Iterator[Any]:
    """Sets up EventBridge with the rule of a stage, its target and its tags."""
    with mock_aws():
        client = boto3.client("events")
        put(client)
        client.put_targets(Rule=NAMES.rule, Targets=[TARGET])
        yield client


def put(client: Any, **changes: str) -> None:
    """Changes the rule as a deployment does."""
    rule = {"ScheduleExpression": "rate(5 minutes)", "State": "ENABLED", "Description": USUAL, "RoleArn": ROLE}
    client.put_rule(Name=NAMES.rule, **rule | changes)


def described(client: Any) -> tuple[str, str]:
    rule = client.describe_rule(Name=NAMES.rule)
    return rule["State"], rule["Description"]


def test_pause_keeps_rate_role_targets_and_description(events: Any) -> None:
    before = pause_schedule(NAMES, "totesys is moved, back at 14:00 [ask Ann]")
    schedule = read_schedule(NAMES)
    assert not before.paused
    assert (schedule.paused, schedule.rate) == (True, "rate(5 minutes)")
    assert schedule.reason == "totesys is moved, back at 14:00 [ask Ann]"
    assert events.list_targets_by_rule(Rule=NAMES.rule)["Targets"] == [TARGET]
    assert events.describe_rule(Name=NAMES.rule)["RoleArn"] == ROLE
    state, description = described(events)
    assert state == "DISABLED"
    assert description.startswith(f"{USUAL} [Paused 20")
    assert description.endswith(" UTC: totesys is moved, back at 14:00 [ask Ann]]")


def test_pause_tells_since_when(events: Any) -> None:
    began = datetime.now(UTC).replace(second=0, microsecond=0)
    pause_schedule(NAMES, None)
    schedule = read_schedule(NAMES)
    assert schedule.since is not None
    assert began <= schedule.since <= datetime.now(UTC)
    assert schedule.reason is None


def test_second_pause_changes_the_reason_alone(events: Any) -> None:
    first = "[Paused 2026-11-24 09:00 UTC: moved]"
    put(events, State="DISABLED", Description=f"{USUAL} {first}")
    assert pause_schedule(NAMES, None).paused
    assert described(events) == ("DISABLED", f"{USUAL} {first}")
    assert pause_schedule(NAMES, "moved again").paused
    assert described(events) == ("DISABLED", f"{USUAL} [Paused 2026-11-24 09:00 UTC: moved again]")


def test_resume_leaves_the_rule_as_it_was_deployed(events: Any) -> None:
    pause_schedule(NAMES, "moved")
    assert resume_schedule(NAMES).reason == "moved"
    assert described(events) == ("ENABLED", USUAL)
    assert not resume_schedule(NAMES).paused
    assert described(events) == ("ENABLED", USUAL)


def test_pause_made_elsewhere_is_known_and_ended(events: Any) -> None:
    events.disable_rule(Name=NAMES.rule)
    assert read_schedule(NAMES) == Schedule(NAMES.rule, "rate(5 minutes)", paused=True)
    resume_schedule(NAMES)
    assert described(events) == ("ENABLED", USUAL)


def test_reason_of_a_pause_that_was_ended_elsewhere_is_forgotten(events: Any) -> None:
    pause_schedule(NAMES, "moved")
    events.enable_rule(Name=NAMES.rule)
    assert read_schedule(NAMES) == Schedule(NAMES.rule, "rate(5 minutes)", paused=False)
    resume_schedule(NAMES)
    assert described(events) == ("ENABLED", USUAL)


def test_longest_reason_fits_beside_the_longest_description(events: Any) -> None:
    put(events, Description="d" * 512)
    pause_schedule(NAMES, "r" * LONGEST_REASON)
    _, description = described(events)
    assert len(description) == 512
    assert read_schedule(NAMES).reason == "r" * LONGEST_REASON


def test_rule_without_description_is_paused_and_resumed(events: Any) -> None:
    events.put_rule(Name=NAMES.rule, ScheduleExpression="rate(1 hour)", State="ENABLED")
    pause_schedule(NAMES, "moved")
    assert read_schedule(NAMES).reason == "moved"
    resume_schedule(NAMES)
    assert not read_schedule(NAMES).paused


@pytest.mark.parametrize(("every", "rate"), [("20s", "every 20s"), (None, "rate(5 minutes)")])
def test_interval_of_the_local_stack_is_told_if_it_was_given_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, every: str | None, rate: str
) -> None:
    monkeypatch.setenv("TOTES_HOME", str(tmp_path))
    names = replace(NAMES, stage=LOCAL)
    state = StackState("", names.region, names.account, "", 0, "", "", 1, every)
    with mock_aws(), claimed_home(tmp_path) as file:
        boto3.client("events").put_rule(Name=names.rule, ScheduleExpression="rate(5 minutes)", State="ENABLED")
        publish(state, file)
        assert read_schedule(names).rate == rate
        pause_schedule(names, None)
        resume_schedule(names)
        assert read_schedule(names) == Schedule(names.rule, rate, paused=False)
        # A stage on AWS does not depend on the stack on this machine.
        put(boto3.client("events"))
        assert read_schedule(NAMES).rate == "rate(5 minutes)"


def test_stage_without_a_rule_is_not_deployed(events: Any) -> None:
    with pytest.raises(Misused, match=r"no rule totes-test-schedule in eu-west-2: is stage test deployed there\?"):
        pause_schedule(Names("test", "123456789012", "eu-west-2"), None)


@pytest.mark.parametrize(
    ("schedule", "shown"),
    [
        (Schedule("r", "rate(5 minutes)", False), "The schedule is on: rate(5 minutes)."),
        (Schedule("r", "rate(5 minutes)", True), "The schedule is paused. `totes resume` resumes it."),
        (
            Schedule("r", "rate(5 minutes)", True, datetime(2026, 11, 24, 9, 5, tzinfo=UTC), "moved"),
            "The schedule is paused since 2026-11-24 09:05 UTC: moved. `totes resume` resumes it.",
        ),
    ],
    ids=["runs", "paused elsewhere", "paused by us"],
)
def test_schedule_is_told_in_one_line(schedule: Schedule, shown: str) -> None:
    assert schedule_text(schedule).plain == shown


NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
UUID = "8f5a3a4e-0d6c-4c4e-9b0c-2f6f0e8b0d11"
ON = Schedule("rule", "rate(5 minutes)", paused=False)


def began(ago: int, name: str = UUID) -> Execution:
    return Execution("arn", name, "SUCCEEDED", NOW - timedelta(seconds=ago), NOW)


@pytest.mark.parametrize(
    ("schedule", "executions", "left"),
    [
        pytest.param(ON, [began(60), began(360)], 240, id="after the last"),
        pytest.param(ON, [began(60, f"{UUID}_{UUID}")], 240, id="as EventBridge names it"),
        pytest.param(ON, [began(10, "manual-20261130T115950-1a2b3c"), began(60)], 240, id="not after one by hand"),
        pytest.param(ON, [began(10, f"again-{UUID}")], None, id="by hand only"),
        pytest.param(ON, [], None, id="none yet"),
        pytest.param(ON, [began(301)], -1, id="due"),
        pytest.param(ON, [began(600)], None, id="long over"),
        pytest.param(replace(ON, paused=True), [began(60)], None, id="paused"),
        pytest.param(replace(ON, rate="every 20s"), [began(5)], 15, id="of totes up"),
        pytest.param(replace(ON, rate="cron(0 12 * * ? *)"), [began(5)], None, id="cron"),
    ],
)
def test_next_start_is_an_interval_after_the_last(
    schedule: Schedule, executions: list[Execution], left: int | None
) -> None:
    expected = expected_start(schedule, executions, NOW)
    assert expected == (None if left is None else NOW + timedelta(seconds=left))


def test_schedule_tells_the_next_start() -> None:
    soon = datetime.now(UTC) + timedelta(minutes=3, seconds=30)
    told = schedule_text(replace(ON, next_start=soon)).plain
    assert told.startswith("The schedule is on: rate(5 minutes). The next execution starts in 3 min ")
    assert told.endswith(f" s, at {soon:%H:%M:%S} UTC.")
    over = schedule_text(replace(ON, next_start=datetime.now(UTC) - timedelta(seconds=1))).plain
    assert over == "The schedule is on: rate(5 minutes). The next execution is due."
