"""`totes pause` and `totes resume`: stop the schedule, and let it run again."""

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
        str | None, typer.Option(metavar="TEXT", help="Why, for whoever asks `totes status`; at the rule, too.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Stop the schedule: no execution starts by itself until `totes resume`.

    Nothing is missed: the first execution afterwards takes up all that has changed. One that runs goes on, and
    `totes run` still works. After half an hour the freshness alarm tells that the warehouse falls behind.

    To pause again only changes the reason. A deployment that changes the rule lets it run again; to keep it paused,
    deploy with `--param="schedule=DISABLED"`.
    """
    said = checked_reason(reason, "--reason") if reason is not None else None
    names = target(context).connect()
    before = pause_schedule(names, said)
    _tell(read_schedule(names), before, as_json)


def resume(context: typer.Context, as_json: AsJson = False) -> None:
    """Let the schedule run again, and forget why it was paused.

    The next execution starts when the rate has it, and takes up all that has changed; `totes run` starts one at once.
    """
    names = target(context).connect()
    before = resume_schedule(names)
    _tell(read_schedule(names), before, as_json)


def schedule_text(schedule: Schedule) -> Text:
    """The schedule in a line: its rate, or since when it is paused and why."""
    if not schedule.paused:
        return Text(f"The schedule is on: {schedule.rate}.{_next_start(schedule.next_start)}")
    since = f" since {schedule.since:%Y-%m-%d %H:%M} UTC" if schedule.since else ""
    why = f": {schedule.reason}" if schedule.reason else ""
    return Text.assemble("The schedule is ", (f"paused{since}", "bold yellow"), f"{why}. `totes resume` lets it run.")


def _next_start(moment: datetime | None) -> str:
    if moment is None:
        return ""
    left = moment - datetime.now(UTC)
    if left <= timedelta(0):
        return " The next execution is due."
    return f" The next execution starts in {ago(left)}, at {moment.astimezone(UTC):%H:%M:%S} UTC."


def _tell(schedule: Schedule, before: Schedule, as_json: bool) -> None:
    if as_json:
        say_json({"schedule": schedule, "was_paused": before.paused})
        return
    line = schedule_text(schedule)
    if schedule == before:
        line.append(" Nothing changed.", "dim")
    screen().print(line, soft_wrap=True)
