"""`totes logs`: shows the log lines of one execution."""

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
# CloudWatch shows a line seconds after it was written, and not always in order.
DELAY = timedelta(seconds=5)
OVERLAP = timedelta(minutes=1)
LONGEST_FIELD = 80
INDENT = "    "

_STYLES = {"WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}


def logs(
    context: typer.Context,
    execution: Annotated[str | None, typer.Argument(help="Its name or ARN. Default: the newest one.")] = None,
    level: Annotated[
        str, typer.Option(metavar="LEVEL", help="The lowest level to show: DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    ] = "DEBUG",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show new lines as they arrive, until the execution ends.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the log lines of one execution, oldest first.

    Each line has the time in UTC, the function, the level, the message and further fields; a stack trace follows below.
    Long values are cut; --json has them in full. A killed function logs nothing: use `totes explain`.
    """
    least = level.upper()
    if least not in LEVELS:
        raise Misused(f"--level {level} is not one of {', '.join(LEVELS)}.")
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
        console.print(Text("No lines." if least == "DEBUG" else f"No lines of level {least} or higher.", "dim"))


def show_lines(console: Console, lines: Iterable[LogLine]) -> None:
    """Prints the lines, each with its stack trace indented below."""
    for line in lines:
        _show_line(console, line)
        if line.trace:
            console.print(Text(indent(visible(line.trace), INDENT), "dim"), soft_wrap=True)


def new_lines(names: "Names", arn: str) -> Iterator[list[LogLine]]:
    """Yields the new lines again and again, until the execution has ended and its log is complete."""
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
    """Prints a log line. If its fields don't fit the width, they follow on the next line, indented."""
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
    """Returns a line's further fields, with long values cut."""
    return "".join(f"  {name}={_cut(value)}" for name, value in line.fields.items() if value not in (None, {}, []))


def _cut(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= LONGEST_FIELD:
        return text
    whole_words = text[:LONGEST_FIELD].rpartition(" ")[0]
    return f"{whole_words} …" if whole_words else f"{text[:LONGEST_FIELD]}…"
