"""Writes the e-mails: pure functions of what happened.

A failure's mail says, in this order: what happened, in one sentence; whether anything is lost; the facts; one thing to
do; where to look. It is plain text, for a reader who has never seen the code.
"""

import textwrap
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from urllib.parse import quote

from totes.alerts.error_catalogue import ABORTED, TIMED_OUT, meaning, section
from totes.alerts.repeats import Decision, in_words
from totes.contracts.declarations import ContractInvalid, calendars
from totes.errors import shortened
from totes.runtime.names import LOCAL, STAGES, Names
from totes.runtime.passes import batches_of
from totes.runtime.redaction import redacted, visible, visible_line

LONGEST_SUBJECT = 100
# The facts that are addresses.
RUNBOOK, GRAPH, LOG = "Runbook", "Graph", "Log"
# The most characters of a cause; the log has all of it.
_LONGEST_CAUSE = 2_000
_WIDTH = 78
# Two spaces more than the longest name of a fact.
_MARGIN = 13
# The ends of executions that were stopped from outside.
_FROM_OUTSIDE = (TIMED_OUT, ABORTED)


@dataclass(frozen=True)
class Mail:
    """A subject of at most 100 ASCII characters, and a plain text."""

    subject: str
    body: str


@dataclass(frozen=True)
class Standing:
    """Where the pipeline stood.

    Attributes:
        landed, processed: the last batch of each zone; None if the zone's log can't be read.
        last_success_at: when the last successful execution began; the warehouse shows totesys as of then. None if no
            execution has ever succeeded.
        failures: how many executions in a row have not succeeded, this one included.
        failing_since: when the first of them began.
        counted_all: whether `failures` counts all of them; if not, there are more, and the first began earlier.
    """

    landed: int | None = None
    processed: int | None = None
    last_success_at: datetime | None = None
    failures: int = 1
    failing_since: datetime | None = None
    counted_all: bool = True


@dataclass(frozen=True)
class Failure:
    """An execution that did not succeed.

    Attributes:
        state: the last stage that the execution was in: Ingest, Transform or Load.
        error: the error's name; TIMED_OUT or ABORTED if the whole execution was ended from outside.
        found: the error's text; empty if the execution gave no cause.
        remedy: the error's remedy; empty if it has none.
        started, failed: when the execution started and failed.
        attempts: how often the stage was tried.
        results: the results of the earlier stages, by the stage's name in lower case.
        docs: the address of docs/.
        tables: the tables that the error is about; empty if it names none.
    """

    names: Names
    execution: str
    state: str
    error: str
    found: str
    remedy: str
    started: datetime
    failed: datetime
    attempts: int = 1
    results: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    standing: Standing = field(default_factory=Standing)
    docs: str = "docs"
    tables: str = ""

    @property
    def shown(self) -> datetime | None:
        """Returns the moment of totesys that the warehouse shows; None if nothing has been loaded.

        An execution that catches up may have loaded batches in passes that came before the failed one.
        """
        loaded = self.results.get("load", {}).get("snapshot_at")
        moments = [self.standing.last_success_at, datetime.fromisoformat(str(loaded)) if loaded else None]
        return max((moment for moment in moments if moment), default=None)


@dataclass(frozen=True)
class Recovery:
    """The first execution that succeeded after others had not.

    Attributes:
        since: when the last execution that succeeded before the failures began; None if there was none.
        loaded: the result of Load.
        counted_all: whether `failures` counts all of them.
    """

    names: Names
    execution: str
    succeeded: datetime
    failures: int
    since: datetime | None
    loaded: Mapping[str, object]
    counted_all: bool = True


def failure_mail(failure: Failure, decision: Decision | None = None) -> Mail:
    """Writes the mail about a failure. It masks secrets before it wraps lines: a cut secret can't be recognised.

    Args:
        decision: which e-mail about this kind of failure it is; None to leave that out.
    """
    last_mail = decision.last_mail if decision else None
    failure = replace(
        failure,
        state=_safe_line(failure.state),
        error=_safe_line(failure.error),
        execution=_safe_line(failure.execution),
        found=_safe_text(failure.found),
        remedy=_safe_text(failure.remedy),
    )
    meant, usual_remedy = meaning(failure.error)
    how = {TIMED_OUT: "timed out", ABORTED: "was aborted"}.get(failure.error, f"failed with {failure.error}")
    happened = f"{failure.state} {how}"
    # A subject is cut at its end. A repeated failure's count is new to the reader, and its error is not.
    what = f"{_counted(failure.standing)}: {happened}" if last_mail else f"{happened}, {_behind(failure)}"
    subject = f"{failure.names.state_machine}: {what}"
    facts = {
        "What": failure.error,
        "When": _when(failure),
        "Where": f"{failure.state}, of execution {failure.execution.rpartition(':')[2]}",
        "Why": failure.found or _no_cause(failure),
        "Rows": _rows(failure),
        "Batch": _batches(failure),
        "In a row": _in_a_row(failure.standing),
        **_which_mail(decision),
    }
    body = [
        _sentence(failure, meant),
        "",
        _safe(failure),
        "",
        *(_fact(name, text) for name, text in facts.items()),
        "",
        _fact("DO THIS", _on_stage(failure.remedy or usual_remedy, failure.names.stage)),
        "",
        *_links(failure),
    ]
    return Mail(_ascii(subject), "\n".join(body) + "\n")


def recovery_mail(recovery: Recovery) -> Mail:
    """Writes the mail that says that the pipeline works again."""
    count = recovery.failures if recovery.counted_all else f"at least {recovery.failures:,}"
    how_many = "1 execution" if recovery.failures == 1 else f"{count} executions"
    until = f" Until now the warehouse showed totesys as it was at {_moment(recovery.since)}." if recovery.since else ""
    subject = f"{recovery.names.state_machine}: recovered after {how_many} that failed"
    batches = recovery.loaded.get("batches") or 0
    caught_up = "There was nothing to catch up on." if not batches else f"It has caught up: {_loaded(recovery.loaded)}."
    body = [
        f"The pipeline of stage {recovery.names.stage} works again: an execution succeeded after "
        f"{count}{' in a row' if recovery.failures > 1 else ''} had failed.{until}",
        "",
        f"{caught_up} The warehouse now shows totesys as it was at {_moment(recovery.succeeded)}. Nothing was lost, "
        "and there is nothing to do.",
        "",
        _execution(recovery.names, recovery.execution),
    ]
    return Mail(_ascii(subject), "\n".join(body) + "\n")


def anchor(heading: str) -> str:
    """Returns the anchor that GitHub makes of a heading."""
    return "".join(letter for letter in heading.lower().replace(" ", "-") if letter.isalnum() or letter in "_-")


def _safe_line(text: str) -> str:
    return visible_line(redacted(text))


def _safe_text(text: str) -> str:
    return shortened(visible(redacted(text)), _LONGEST_CAUSE)


def _sentence(failure: Failure, meant: str) -> str:
    warehouse, since = f"The warehouse of stage {failure.names.stage}", failure.shown
    if since is None:
        return f"{meant} {warehouse} {_nothing_loaded(failure.standing)}."
    return f"{meant} {warehouse} still shows totesys as it was at {_moment(since)}."


def _safe(failure: Failure) -> str:
    # Lambda does not stop a function when its execution ends.
    load = (
        "the function that was running may still finish"
        if failure.error in _FROM_OUTSIDE
        else "the warehouse's transaction was rolled back"
    )
    waits = {
        "Ingest": "The changes are still in totesys, and the first execution that succeeds reads them",
        "Transform": "The landed batches are safe in the landing zone, and the next execution resumes there",
        "Load": f"The processed batches are safe in the processed zone, {load}, and the next execution resumes there",
    }
    waiting = waits.get(failure.state, waits["Ingest"])
    return (
        f"Nothing is lost and nothing is half-loaded. {waiting}. "
        "You will get another e-mail when an execution succeeds."
    )


def _which_mail(decision: Decision | None) -> dict[str, str]:
    """Returns which e-mail about this kind of failure it is, and when the next one comes."""
    if decision is None:
        return {}
    after = in_words(decision.again)
    facts = {"Next e-mail": f"In {after}, if this failure persists; at once for a different failure."}
    if last_mail := decision.last_mail:
        before = f"execution {last_mail.execution} sent the previous one at {_moment(last_mail.at)}"
        facts = {"Repeats": f"This is e-mail {last_mail.mails + 1} about this failure; {before}"} | facts
    return facts


def _nothing_loaded(standing: Standing) -> str:
    if standing.counted_all:
        return "has not been loaded yet"
    return f"was not loaded by any of the last {standing.failures:,} executions"


def _counted(standing: Standing) -> str:
    count = f"{standing.failures:,}" if standing.counted_all else f"at least {standing.failures:,}"
    since = f" since {standing.failing_since:%Y-%m-%d %H:%M} UTC" if standing.failing_since else ""
    return f"{count} failure{'s' if standing.failures > 1 else ''}{since}"


def _no_cause(failure: Failure) -> str:
    return {
        TIMED_OUT: f"It was still running after {_span(failure.failed - failure.started)}, its time limit.",
        ABORTED: "No reason was given.",
    }.get(failure.error, "No cause was given.")


def _when(failure: Failure) -> str:
    attempts = "1 attempt" if failure.attempts <= 1 else f"{failure.attempts} attempts"
    return f"{_moment(failure.failed)}, after {_span(failure.failed - failure.started)} and {attempts}"


def _rows(failure: Failure) -> str:
    ingest, transform = (failure.results.get(stage, {}) for stage in ("ingest", "transform"))
    parts = [f"{_sum(ingest.get('rows'))} landed"] if ingest else []
    if transform:
        parts.append(f"{_sum(_without_calendar(transform.get('rows')))} processed")
    if loaded := failure.results.get("load"):
        return ", ".join([*parts, f"{_loaded(loaded)} before that" if loaded["batches"] else "none loaded"])
    may_be = failure.state == "Load" and failure.error in _FROM_OUTSIDE
    return ", ".join([*parts, "none known to be loaded" if may_be else "none loaded"])


def _without_calendar(rows: object) -> object:
    """Leaves out the calendar's rows: almost every batch has some, and none of them was landed.

    Invalid declarations may be the failure that the e-mail reports. Then it counts all rows.
    """
    with suppress(ContractInvalid):
        left_out = calendars()
        if isinstance(rows, Mapping):
            return {table: count for table, count in rows.items() if table not in left_out}
    return rows


def _batches(failure: Failure) -> str:
    standing = failure.standing
    if standing.landed is None or standing.processed is None:
        return "The lake's logs could not be read."
    if standing.landed == 0:
        return "No batch has been landed yet."
    waiting = standing.landed - standing.processed
    return f"Landed up to {standing.landed}, processed up to {standing.processed}" + (
        f"; {waiting} waiting for Transform" if waiting > 0 else ""
    )


def _in_a_row(standing: Standing) -> str:
    if standing.failures <= 1:
        return (
            "The execution before this one succeeded." if standing.last_success_at else "This was the first execution."
        )
    success = standing.last_success_at
    good = f"; the last successful one began at {_moment(success)}" if success else ""
    if not standing.counted_all:
        return f"At least {standing.failures:,} executions have failed (older ones were not counted){good}"
    return f"{standing.failures:,} executions have failed{good}"


def _links(failure: Failure) -> list[str]:
    names = failure.names
    runbook = f"{failure.docs.rstrip('/')}/runbook.md#{anchor(section(failure.error))}"
    links = [_fact(RUNBOOK, runbook), _execution(names, failure.execution)]
    if names.stage != LOCAL:
        links.append(_fact(LOG, _log_url(names, failure.execution, failure.started, failure.failed)))
    return links


def _execution(names: Names, execution: str) -> str:
    """Returns where to look at an execution: a command on a laptop, else an address in AWS's console."""
    if names.stage == LOCAL:
        return _fact("Look", f"totes explain {execution.rpartition(':')[2]}")
    return _fact(GRAPH, _graph_url(names, execution))


def _graph_url(names: Names, execution: str) -> str:
    console = f"https://{names.region}.console.aws.amazon.com"
    return f"{console}/states/home?region={names.region}#/v2/executions/details/{execution}"


def _log_url(names: Names, execution: str, started: datetime, failed: datetime) -> str:
    """Returns the address of a Logs Insights query for one execution's lines, encoded as the AWS console encodes it."""
    query = f'fields @timestamp, service, level, message\n| filter execution = "{execution}"\n| sort @timestamp asc'
    groups = "".join(f"~'{_starred(names.log_group(name.lower()))}" for name in STAGES)
    detail = (
        f"~(end~'{_starred(_instant(failed + timedelta(minutes=5)))}~start~'{_starred(_instant(started))}"
        f"~timeType~'ABSOLUTE~tz~'UTC~editorString~'{_starred(query)}~source~({groups}))"
    )
    home = f"https://{names.region}.console.aws.amazon.com/cloudwatch/home?region={names.region}"
    return f"{home}#logsV2:logs-insights$3FqueryDetail$3D{detail}"


def _starred(text: str) -> str:
    return quote(text, safe="-_.").replace("%", "*").replace("~", "*7e")


def _behind(failure: Failure) -> str:
    since = failure.shown
    if since is None:
        standing = failure.standing
        return "nothing loaded yet" if standing.counted_all else f"nothing loaded by {standing.failures:,} executions"
    return f"{_span(failure.failed - since)} behind"


def _span(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    if minutes < 1:
        return f"{max(0, int(length.total_seconds()))} s"
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"


def _sum(rows: object) -> str:
    return f"{sum(rows.values()) if isinstance(rows, Mapping) else 0:,}"


def _loaded(loaded: Mapping[str, object]) -> str:
    return f"{batches_of(loaded)}, {_sum(loaded.get('inserted'))} rows added and {_sum(loaded.get('updated'))} updated"


def _on_stage(remedy: str, stage: str) -> str:
    """Adds the stage to the commands of a remedy: without it they use the local stack."""
    return remedy if stage == LOCAL else remedy.replace("`totes ", f"`totes --stage {stage} ")


def _fact(name: str, text: str) -> str:
    """Returns a fact with its name in the margin. Long texts are wrapped, addresses are not."""
    indent = " " * _MARGIN
    lines = [
        line
        for paragraph in text.splitlines()
        for line in textwrap.wrap(paragraph, _WIDTH - _MARGIN, break_long_words=False, break_on_hyphens=False)
    ]
    return f"{name:<{_MARGIN}}" + f"\n{indent}".join(lines)


def _ascii(subject: str) -> str:
    return subject.encode("ascii", "replace").decode()[:LONGEST_SUBJECT]
