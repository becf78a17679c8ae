"""`totes pause` and `totes resume`: pause the schedule and resume it."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.text import Text

from cli.deployment import target
from cli.render.terminal import AsJson, ago, say_json, screen
from cli.schedule import Schedule, checked_reason, pause_schedule, read_schedule, resume_schedule


def pause(
    context: typer.Context,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Reason, shown by `totes status` and stored on the rule.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Pause the schedule: it starts no execution until `totes resume`.

    No change is lost: the first execution after the pause loads them all. A running execution continues, and
    `totes run` still works. After half an hour, the freshness alarm reports that the warehouse is out of date.

    If the schedule is already paused, `totes pause` only changes the reason. A deployment that changes the rule
    resumes the schedule; to keep it paused, deploy with `--param="schedule=DISABLED"`.
    """
    said = checked_reason(reason, "--reason") if reason is not None else None
    names = target(context).connect()
    before = pause_schedule(names, said)
    _report(read_schedule(names), before, as_json)


def resume(context: typer.Context, as_json: AsJson = False) -> None:
    """Resume the schedule, and delete the pause's reason.

    The next execution starts at the schedule's rate and loads every change since the pause. To start one at once, use
    `totes run`.
    """
    names = target(context).connect()
    before = resume_schedule(names)
    _report(read_schedule(names), before, as_json)


def schedule_text(schedule: Schedule) -> Text:
    """Returns the schedule as one line: its rate, or since when and why it is paused."""
    if not schedule.paused:
        return Text(f"The schedule is on: {schedule.rate}.{_next_start(schedule.next_start)}")
    since = f" since {schedule.since:%Y-%m-%d %H:%M} UTC" if schedule.since else ""
    why = f": {schedule.reason}" if schedule.reason else ""
    return Text.assemble("The schedule is ", (f"paused{since}", "bold yellow"), f"{why}. `totes resume` resumes it.")


def _next_start(moment: datetime | None) -> str:
    if moment is None:
        return ""
    left = moment - datetime.now(UTC)
    if left <= timedelta(0):
        return " The next execution is due."
    return f" The next execution starts in {ago(left)}, at {moment.astimezone(UTC):%H:%M:%S} UTC."


def _report(schedule: Schedule, before: Schedule, as_json: bool) -> None:
    if as_json:
        say_json({"schedule": schedule, "was_paused": before.paused})
        return
    line = schedule_text(schedule)
    if schedule == before:
        line.append(" Nothing changed.", "dim")
    screen().print(line, soft_wrap=True)
