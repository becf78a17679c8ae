"""Checks the schedule, the rules, and the last executions' results."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

from cli.doctor.stage import Stage
from cli.errors import Misused
from cli.progress import PROMISE, last_success
from cli.render.terminal import ago
from cli.schedule import read_schedule
from local.aws.schedule import parse_rate
from totes.alerts.error_catalogue import ABORTED, meaning
from totes.alerts.executions import RUNNING, SUCCEEDED, Execution, describe, latest
from totes.errors import split_labels
from totes.runtime.aws import client
from totes.verify.doctor.findings import Finding, failed, ok, warning

_LOOKED_AT = 10
# The same number of intervals as in the freshness alarm.
_STARTS = 3


def look_at_schedule(stage: Stage) -> Iterator[Finding]:
    """Checks that the schedule is on; reports the reason for a pause."""
    try:
        schedule = read_schedule(stage.names)
    except Misused:
        yield failed("schedule-missing", f"There is no rule {stage.names.rule}.", stage.deploy)
        return
    if not schedule.paused:
        yield ok("schedule", f"The schedule starts executions: {schedule.rate}.")
    elif schedule.since:
        why = f": {schedule.reason}" if schedule.reason else ""
        yield warning(
            "schedule-paused",
            f"The schedule has been paused since {schedule.since:%Y-%m-%d %H:%M} UTC{why}.",
            f"Run `{stage.totes} resume` when the reason is gone.",
        )
    else:
        yield warning(
            "schedule-disabled",
            "The schedule is disabled, but not by `totes pause`.",
            f"If this is not intended, run `{stage.totes} resume`, or deploy without `schedule=DISABLED`.",
        )


def look_at_rules(stage: Stage) -> Iterator[Finding]:
    """Checks that each rule has a target, and that the rules for ended executions are enabled."""
    events, names = client("events"), stage.names
    rules = (names.rule, names.ended_rule, names.backfill_ended_rule)
    wrong = False
    for rule in rules:
        if not events.list_targets_by_rule(Rule=rule).get("Targets"):
            wrong = True
            yield failed("rule-without-target", f"The rule {rule} has no target, so it does nothing.", stage.deploy)
        if rule != names.rule and events.describe_rule(Name=rule)["State"] == "DISABLED":
            wrong = True
            yield failed(
                "rule-disabled",
                f"The rule {rule} is disabled, so no e-mail reports how an execution or backfill ended.",
                f"Run `aws events enable-rule --name {rule}`.",
            )
    if not wrong:
        yield ok("rules", f"All {len(rules)} rules have a target.")


def look_at_executions(stage: Stage) -> Iterator[Finding]:
    """Checks the newest ended execution's result, and how long ago one succeeded."""
    ended = next((each for each in latest(stage.names, _LOOKED_AT) if each.status != RUNNING), None)
    if ended is None:
        yield warning("execution-none", "No execution has ended yet.", f"Start one: `{stage.totes} run`.")
        return
    yield _of_execution(stage, ended)
    success = last_success(stage.names)
    if success is None or (late := datetime.now(UTC) - success.started) < PROMISE:
        return
    with suppress(Misused, ValueError):
        schedule = read_schedule(stage.names)
        if not schedule.paused and late > max(PROMISE, _STARTS * parse_rate(schedule.rate)):
            yield failed(
                "stale",
                f"The last successful execution started {ago(late)} ago, and the schedule is not paused.",
                f"`{stage.totes} status` shows the last executions, and `{stage.totes} explain` shows why one failed.",
            )


def _of_execution(stage: Stage, ended: Execution) -> Finding:
    if ended.status == SUCCEEDED:
        return ok("execution", f"The last execution, {ended.name}, SUCCEEDED.")
    if ended.status == ABORTED:
        stopped, remedy = meaning(ABORTED)
        return warning("execution-aborted", f"The last execution, {ended.name}: {stopped}", remedy)
    details = describe(ended.arn)
    error = details.error or ended.status
    ending = f"{ended.status} with {details.error}" if details.error else ended.status
    found, remedy, _ = split_labels(details.cause or "")
    return failed(
        "execution-failed",
        f"The last execution, {ended.name}, {ending}: {found or meaning(error)[0]}",
        f"{remedy or meaning(error)[1]} `{stage.totes} explain` shows more.",
    )
