"""`totes logs`: what the functions logged in one execution."""

import json
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from textwrap import indent
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from cli.deployment import Target, target
from cli.errors import Interrupted, Misused
from cli.render.executions import status_text
from cli.render.log_lines import LEVELS, LogLine, read_lines
from cli.render.terminal import AsJson, has_width, say_json, screen
from cli.selection import named, newest
from totes.alerts.executions import RUNNING, describe
from totes.runtime.redaction import visible, visible_line

if TYPE_CHECKING:
    from totes.runtime.names import Names

POLL_SECONDS = 1.0
# CloudWatch shows a line some seconds after it was written, and not always in order.
DELAY = timedelta(seconds=5)
OVERLAP = timedelta(minutes=1)
LONGEST_FIELD = 80
INDENT = "    "

_STYLES = {"WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}


def logs(
    context: typer.Context,
    execution: Annotated[str | None, typer.Argument(help="Its name or ARN; else the last one.")] = None,
    level: Annotated[
        str, typer.Option(metavar="LEVEL", help="Only lines as grave as this: DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    ] = "DEBUG",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as lines come, until the execution is over.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the functions logged in one execution, oldest first.

    Time in UTC, function, level, message, then what else the line says; a stack trace below it. What is long is cut;
    --json has it in full. A function that was killed leaves no line: `totes explain` tells what became of it.
    """
    least = level.upper()
    if least not in LEVELS:
        raise Misused(f"--level {level} is none of {', '.join(LEVELS)}.")
    if follow and as_json:
        raise Misused("Give --follow or --json, not both.")
    names = target(context).connect()
    arn = named(names, execution) if execution else newest(names).arn
    if follow:
        _follow(screen(), target(context), names, arn, least)
        return
    found = describe(arn)
    lines = [line for line in read_lines(names, found) if line.at_least(least)]
    if as_json:
        say_json([line.as_document() for line in lines])
        return
    console = screen()
    console.print(Text.assemble("Execution ", (found.name, "bold"), " ", status_text(found)), soft_wrap=True)
    show_lines(console, lines)
    if not lines:
        console.print(Text("No line." if least == "DEBUG" else f"No line of level {least} or graver.", "dim"))


def show_lines(console: Console, lines: Iterable[LogLine]) -> None:
    """The lines as a person reads them, with their stack traces indented."""
    for line in lines:
        _show_line(console, line)
        if line.trace:
            console.print(Text(indent(visible(line.trace), INDENT), "dim"), soft_wrap=True)


def new_lines(names: "Names", arn: str) -> Iterator[list[LogLine]]:
    """The lines that are new since the last look, again and again until the execution is over and its log complete."""
    seen: set[str] = set()
    since = None
    while True:
        execution = describe(arn)
        lines = [line for line in read_lines(names, execution, since) if line.event_id not in seen]
        seen |= {line.event_id for line in lines}
        since = max(execution.started, lines[-1].at - OVERLAP) if lines else since
        yield lines
        if execution.stopped and datetime.now(UTC) > execution.stopped + DELAY:
            return
        time.sleep(POLL_SECONDS)


def _follow(console: Console, at: Target, names: "Names", arn: str, level: str) -> None:
    console.print(Text.assemble("Execution ", (arn.rpartition(":")[2], "bold")), soft_wrap=True)
    try:
        for lines in new_lines(names, arn):
            show_lines(console, (line for line in lines if line.at_least(level)))
        found = describe(arn)
    except KeyboardInterrupt:
        found = describe(arn)
        if found.status == RUNNING:
            again = at.command(f"logs {found.name} --follow")
            raise Interrupted(f"Execution {found.name} still runs. Follow it again with `{again}`.") from None
    console.print(Text.assemble("Execution ", (found.name, "bold"), " ", status_text(found)), soft_wrap=True)


def _show_line(console: Console, line: LogLine) -> None:
    """Shows a line on one line where no width is to be kept, else with what is too long for it indented below."""
    said, more = _said(line), Text(visible_line(_short(line)), "dim")
    if not has_width() or cell_len(f"{said}{more}") <= console.width:
        console.print(said + more, soft_wrap=True)
        return
    console.print(said)
    if more:
        console.print(Padding(Text(more.plain.strip(), "dim"), (0, 0, 0, len(INDENT))))


def _said(line: LogLine) -> Text:
    return Text.assemble(
        (f"{line.at:%Y-%m-%d %H:%M:%S}.{line.at.microsecond // 1000:03d}", "dim"),
        f"  {line.function:<9}  ",
        (f"{line.level:<8}", _STYLES.get(line.level, "")),
        visible_line(f"  {line.message}"),
    )


def _short(line: LogLine) -> str:
    """What else a line says, each value cut where it is long."""
    return "".join(f"  {name}={_cut(value)}" for name, value in line.fields.items() if value not in (None, {}, []))


def _cut(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= LONGEST_FIELD:
        return text
    whole_words = text[:LONGEST_FIELD].rpartition(" ")[0]
    return f"{whole_words} …" if whole_words else f"{text[:LONGEST_FIELD]}…"
