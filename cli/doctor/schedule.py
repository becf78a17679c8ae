"""Looks whether executions start by themselves, and what became of the last ones."""

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
# As the freshness alarm does.
_STARTS = 3


def look_at_schedule(stage: Stage) -> Iterator[Finding]:
    """Looks whether the schedule starts executions, or who has paused it."""
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
            f"The schedule is paused since {schedule.since:%Y-%m-%d %H:%M} UTC{why}.",
            f"`{stage.totes} resume` when it is time.",
        )
    else:
        yield warning(
            "schedule-disabled",
            "The schedule is disabled, and not by `totes pause`.",
            f"If it is not meant: `{stage.totes} resume`, or deploy without `schedule=DISABLED`.",
        )


def look_at_rules(stage: Stage) -> Iterator[Finding]:
    """Looks whether each rule has a target, and the rules on what ends are enabled."""
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
                f"The rule {rule} is disabled, so no mail tells how an execution or backfill has ended.",
                f"`aws events enable-rule --name {rule}`",
            )
    if not wrong:
        yield ok("rules", f"Each of the {len(rules)} rules has its target.")


def look_at_executions(stage: Stage) -> Iterator[Finding]:
    """Looks what became of the newest execution that has ended, and how long ago one succeeded."""
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
                f"The last execution that succeeded began {ago(late)} ago, and the schedule is not paused.",
                f"`{stage.totes} status` shows what the last executions did, `{stage.totes} explain` why.",
            )


def _of_execution(stage: Stage, ended: Execution) -> Finding:
    if ended.status == SUCCEEDED:
        return ok("execution", f"The last execution, {ended.name}, has SUCCEEDED.")
    if ended.status == ABORTED:
        stopped, remedy = meaning(ABORTED)
        return warning("execution-aborted", f"The last execution, {ended.name}: {stopped}", remedy)
    details = describe(ended.arn)
    error = details.error or ended.status
    ending = f"{ended.status} with {details.error}" if details.error else ended.status
    found, remedy, _ = split_labels(details.cause or "")
    return failed(
        "execution-failed",
        f"The last execution, {ended.name}, has {ending}: {found or meaning(error)[0]}",
        f"{remedy or meaning(error)[1]} `{stage.totes} explain` tells more.",
    )
