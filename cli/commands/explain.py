"""`totes explain`: shows how an execution went: its e-mail, states, rows and log lines."""

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

# The path to the runbook in a checkout, in place of the e-mail's link.
DOCS = "docs"


@dataclass(frozen=True)
class Explanation:
    """How an execution went.

    Attributes:
        summary: a few sentences, if it succeeded or still runs.
        failure, mail: the failure and its e-mail, if it did not succeed.
        notice: whether that e-mail was sent.
        over_since: the execution that succeeded after the failure; None if none has.
        log: the log lines of a failed execution, oldest first.
    """

    execution: Execution
    summary: str | None = None
    failure: "Failure | None" = None
    mail: "Mail | None" = None
    notice: Notice | None = None
    over_since: Execution | None = None
    log: Sequence[LogLine] = ()

    def as_document(self) -> dict[str, Any]:
        """Returns the explanation for `--json`."""
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
        typer.Argument(help="Its name or ARN. Default: the newest one that failed, or the newest one if none has."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain how an execution went: for a failure, its e-mail, states, rows and log lines.

    For a successful or running execution, prints a short summary. The explanation shows how far each log is, and how
    far the warehouse lags, at present; the e-mail showed them as they were when it was sent.
    """
    names = target(context).connect()
    arn = named(names, execution) if execution else (newest_unsuccessful(names) or newest(names)).arn
    found = explanation(names, arn)
    if as_json:
        say_json(found.as_document())
    else:
        show(screen(), found)


def explanation(names: "Names", arn: str) -> Explanation:
    """Reads how an execution went from Step Functions, the lake's logs and CloudWatch."""
    execution = describe(arn)
    if execution.status == SUCCEEDED:
        return Explanation(execution, describe_end(execution))
    if execution.status == RUNNING:
        return Explanation(execution, describe_running(execution, datetime.now(UTC)))
    # Imported here, because Powertools is slow to import and only a failure needs it.
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
    """Prints the explanation."""
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
        console.print(Text("No lines.", "dim"))


def _show_over(console: Console, success: Execution | None) -> None:
    if success:
        since = f"{success.started.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        console.print(
            Text.assemble(
                ("Recovered: ", "bold green"),
                f"execution {success.name}, started at {since}, has succeeded. The failure's report follows.\n",
            ),
            soft_wrap=True,
        )


def _heading(console: Console, title: str) -> None:
    console.rule(Text(title, "bold"), align="left", style="dim")
