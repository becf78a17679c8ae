"""`totes explain`: what became of an execution, as the e-mail tells it, and what its functions logged."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from cli.commands.logs import show_lines
from cli.commands.run import as_document
from cli.deployment import target
from cli.progress import last_success
from cli.quiet import no_log_lines
from cli.render.executions import rows_left, states_table
from cli.render.log_lines import LogLine, read_lines
from cli.render.summary import describe_end, describe_running
from cli.render.terminal import AsJson, say_json, screen
from cli.selection import named, newest, newest_unsuccessful
from totes.alerts.executions import RUNNING, SUCCEEDED, Execution, describe
from totes.alerts.notice import Notice, notice_of

if TYPE_CHECKING:
    from totes.alerts.email import Failure, Mail
    from totes.runtime.names import Names

# Where the runbook is from here: a link for whoever reads this in a checkout.
DOCS = "docs"


@dataclass(frozen=True)
class Explanation:
    """What became of an execution.

    Attributes:
        summary: in a few sentences, where it succeeded or runs.
        failure, mail: where it did not succeed.
        notice: whether that mail was sent.
        over_since: the execution that has succeeded since a failure; None where none has.
        log: what the functions logged before a failure, oldest first.
    """

    execution: Execution
    summary: str | None = None
    failure: "Failure | None" = None
    mail: "Mail | None" = None
    notice: Notice | None = None
    over_since: Execution | None = None
    log: Sequence[LogLine] = ()

    def as_document(self) -> dict[str, Any]:
        """The explanation for `--json`."""
        shown = ("state", "error", "found", "remedy", "started", "failed", "attempts", "results", "standing")
        return {
            "execution": as_document(self.execution),
            "summary": self.summary,
            "failure": {name: getattr(self.failure, name) for name in shown} if self.failure else None,
            "mail": asdict(self.mail) if self.mail else None,
            "mail_sent": self.notice.long if self.notice else None,
            "over_since": self.over_since.name if self.over_since else None,
            "log": [line.as_document() for line in self.log],
        }


def explain(
    context: typer.Context,
    execution: Annotated[
        str | None,
        typer.Argument(help="Its name or ARN; else the last one that did not succeed, or the last one at all."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what became of an execution: a failure as the e-mail tells it, with its states, rows and log lines.

    The logs' ends, and how long the warehouse lags, are those of now. One that succeeded is told in a few sentences.
    """
    names = target(context).connect()
    arn = named(names, execution) if execution else (newest_unsuccessful(names) or newest(names)).arn
    found = explanation(names, arn)
    if as_json:
        say_json(found.as_document())
    else:
        show(screen(), found)


def explanation(names: "Names", arn: str) -> Explanation:
    """What Step Functions, the lake's logs and CloudWatch know of an execution."""
    execution = describe(arn)
    if execution.status == SUCCEEDED:
        return Explanation(execution, describe_end(execution))
    if execution.status == RUNNING:
        return Explanation(execution, describe_running(execution, datetime.now(UTC)))
    # Powertools takes its time to be imported, and only a failure needs it.
    from totes.alerts.email import failure_mail
    from totes.alerts.failure import Zones, failure_of

    with no_log_lines():
        failure = failure_of(arn, Zones(names.landing_bucket, names.processed_bucket), DOCS)
    success = last_success(names)
    over = success if success and success.started > execution.started else None
    return Explanation(
        execution,
        failure=failure,
        mail=failure_mail(failure),
        notice=notice_of(execution),
        over_since=over,
        log=read_lines(names, execution),
    )


def show(console: Console, found: Explanation) -> None:
    """The explanation as a person reads it."""
    if found.mail is None or found.failure is None:
        console.print(Text(found.summary or ""))
        return
    _show_over(console, found.over_since)
    if found.notice:
        console.print(Text(f"{found.notice.long}\n"), soft_wrap=True)
    console.print(Text(found.mail.subject, "bold"), soft_wrap=True)
    console.print(Text(f"\n{found.mail.body.rstrip()}\n"), soft_wrap=True)
    _heading(console, "States")
    console.print(states_table(found.execution.states))
    if found.failure.results:
        _heading(console, "Rows, before it failed")
        console.print(rows_left(found.failure.results))
    _heading(console, "Log")
    show_lines(console, found.log)
    if not found.log:
        console.print(Text("No line.", "dim"))


def _show_over(console: Console, success: Execution | None) -> None:
    if success:
        since = f"{success.started.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        console.print(
            Text.assemble(
                ("It is over: ", "bold green"),
                f"execution {success.name}, which began at {since}, has succeeded. What follows tells how it was.\n",
            ),
            soft_wrap=True,
        )


def _heading(console: Console, title: str) -> None:
    console.rule(Text(title, "bold"), align="left", style="dim")
