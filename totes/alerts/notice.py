"""Says whether an e-mail was sent about an execution that failed, by the states that it went through."""

import json
from dataclasses import dataclass

from totes.alerts.attempts import REPORT, REPORTER, last_stage
from totes.alerts.executions import RUNNING, SUCCEEDED, Execution
from totes.alerts.repeats import LastMail
from totes.runtime.names import names_of_execution


@dataclass(frozen=True)
class Notice:
    """Whether an e-mail was sent about a failure, as a table and a person say it.

    Attributes:
        short: in one to three words.
        long: in a sentence.
        repeats: the name of the execution whose e-mail was about the same failure; None if there was none.
    """

    short: str
    long: str
    repeats: str | None = None


def notice_of(execution: Execution) -> Notice | None:
    """Returns whether an e-mail was sent about an execution; None if the execution did not fail."""
    if execution.status in (SUCCEEDED, RUNNING):
        return None
    watch = names_of_execution(execution.arn).function("watch")
    states = {state.name: state for state in execution.states[last_stage(execution.states) :]}
    if (sent := states.get(REPORTER)) and sent.error is None:
        return Notice("sent", "An e-mail was sent.")
    if sent:
        return Notice(f"by {watch}", f"The state machine could not send the e-mail: {watch} tries again.")
    report = states.get(REPORT)
    mail = json.loads(report.output or "{}").get("mail", {}) if report else {}
    if mail.get("due") is False:
        return _repeats(LastMail.from_json(mail["repeats"]))
    return Notice(f"by {watch}", f"{watch} sends an e-mail, unless it repeats an earlier failure.")


def _repeats(last_mail: LastMail) -> Notice:
    at = f"{last_mail.at:%Y-%m-%d %H:%M:%S} UTC"
    return Notice(
        f"repeats {last_mail.execution}",
        f"No e-mail was sent: it repeats the failure of execution {last_mail.execution}, e-mailed at {at}.",
        last_mail.execution,
    )
