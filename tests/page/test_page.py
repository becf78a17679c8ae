"""The page's answers to requests like a browser's."""

import html
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from cli.answers import Answer
from cli.progress import LogHead, TableChange
from cli.questions import Question, all_questions
from cli.report.pages import charts_of
from cli.schedule import pause_schedule, read_schedule, resume_schedule
from local.aws.deployment import ROOT, STATE_MACHINE
from local.stack import Stack
from tests.machine.test_pipeline_machine import INGESTED, NOTHING_LANDED, NOTHING_LOADED, Functions
from tests.page.conftest import ADDRESS, PORT, Page
from totes.alerts.email import anchor
from totes.alerts.error_catalogue import CATALOGUE, section
from totes.alerts.executions import Execution, describe
from totes.errors import ContractViolation, LogBroken, ObjectMissing, SourceBusy, WarehouseUnreachable
from web.folding import NOT_REACHED, ON_FAILURE
from web.health import STATUSES
from web.standing import READ_SECONDS

STATES = json.loads(STATE_MACHINE.read_text(encoding="utf-8"))["States"]
FORMS = ("/executions", "/executions/x/again", "/schedule/pause", "/schedule/resume")
HOSTILE = '</pre><script>alert(1)</script><img src=x onerror="alert(2)">'


def words(part: str) -> str:
    """Returns the text that a reader of a part sees, in one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", part)).split())


def run(stack: Stack, name: str, input: str = "{}") -> dict[str, Any]:
    return stack.wait(stack.start_execution(input, name), timeout=60)


def drawn(graph: str) -> dict[str, str]:
    """Returns the label of each state in the drawing."""
    return {name: label for label, name in re.findall(r'aria-label="(([^",]+), [\w ]+: [^"]+)"', html.unescape(graph))}


# All other states are for failures.
USUAL = {
    *("Ingest", "NewData?", "Transform", "Load", "MoreToDo?"),
    *("AnythingLoaded?", "Loaded", "NothingNew", "AnotherCatchesUp"),
}


@pytest.mark.usefixtures("well_before")
def test_states_of_a_failure_are_one_until_they_are_needed(stack: Stack, functions: Functions, page: Page) -> None:
    run(stack, "nothing-wrong")
    graph = page.parts("?execution=nothing-wrong")["graph"]
    hidden = STATES.keys() - USUAL
    assert drawn(graph).keys() == USUAL | {ON_FAILURE}
    assert drawn(graph)[ON_FAILURE] == f"On failure, {len(hidden)} states: not reached"
    held = page.parts(f"?execution=nothing-wrong&state={ON_FAILURE}")["detail"]
    assert set(re.findall(r"state=([^\"]+)\">", html.unescape(held).replace("%3F", "?"))) == hidden
    functions.told["load"] = [ContractViolation("payment 7 has no transaction.", "Correct it.")]
    run(stack, "something-wrong")
    labels = drawn(page.parts("?execution=something-wrong")["graph"])
    reached = {"Ingest", "NewData?", "Transform", "Load"}
    dealt_with = {"LoadFailed", "CauseIsJson?", "ReadCause", "Report", "NotifyFailure", "Failed"}
    assert reached | dealt_with < labels.keys()
    assert not labels.keys() & {"IngestFailed", "TransformFailed", "QuoteCause", "ReportPlainly"}
    assert labels[NOT_REACHED] == "Not reached, 5 states: not reached"


@pytest.mark.usefixtures("well_before")
def test_state_that_dealt_with_a_failure_is_no_success(stack: Stack, functions: Functions, page: Page) -> None:
    functions.told["load"] = [ContractViolation("payment 7 has no transaction.", "Correct it.")]
    run(stack, "dealt-with")
    labels = drawn(page.parts("?execution=dealt-with")["graph"])
    became = {name: re.sub(r".*: ([a-z ]+).*", r"\1", label) for name, label in labels.items()}
    assert {name for name, status in became.items() if status == "succeeded"} == {"Ingest", "NewData?", "Transform"}
    assert {name for name, status in became.items() if status == "failed"} == {"Load", "Failed"}
    assert became["Report"] == became["NotifyFailure"] == "handled a failure"


def test_every_transition_is_in_the_page(stack: Stack, page: Page) -> None:
    run(stack, "all-ways")
    ways = set(re.findall(r'data-from="([^"]+)" data-to="([^"]+)"', page.get()))
    assert {(stage, ON_FAILURE) for stage in ("Ingest", "Transform", "Load")} < ways
    assert {name for way in ways for name in way} == USUAL | {ON_FAILURE}


def test_success_is_shown_from_input_to_output(stack: Stack, page: Page) -> None:
    run(stack, "all-good", '{"full_read": ["staff"]}')
    parts = page.parts("?execution=all-good")
    labels = drawn(parts["graph"])
    for state in ("Ingest", "NewData?", "Transform", "Load", "MoreToDo?", "AnythingLoaded?", "Loaded"):
        assert re.fullmatch(rf"{re.escape(state)}, \w+: succeeded, [\d.]+ m?s", labels[state])
    assert labels["NothingNew"] == "NothingNew, Succeed: not reached"
    detail = words(parts["detail"])
    assert "SUCCEEDED all-good" in detail
    assert 'Input { "full_read": [ "staff" ] }' in detail
    assert '"loaded_through": 124' in detail
    assert "batch 124 loaded: sales_order 12" in words(parts["executions"])
    assert words(parts["announcement"]) == "Execution all-good: succeeded"


@pytest.fixture
def resumed(stack: Stack) -> Iterator[None]:
    """Resumes the schedule, whatever a test has done to it."""
    yield
    resume_schedule(stack.names)


@pytest.mark.usefixtures("resumed")
def test_pause_is_told_with_its_reason(stack: Stack, page: Page) -> None:
    assert "An execution starts every 5 minutes." in words(page.parts()["schedule"])
    pause_schedule(stack.names, "totesys <is> moved")
    time.sleep(READ_SECONDS)
    said = words(page.parts()["schedule"])
    assert re.fullmatch(r"Schedule The schedule is paused since [\d: -]+ UTC: totesys <is> moved\. Resume", said)


@pytest.mark.usefixtures("resumed")
def test_page_pauses_and_resumes_the_schedule(stack: Stack, page: Page) -> None:
    page.post("/schedule/pause", reason=" totesys  is moved ")
    paused = read_schedule(stack.names)
    assert (paused.paused, paused.reason) == (True, "totesys is moved")
    assert "totesys is moved. Resume" in words(page.parts()["schedule"])
    page.post("/schedule/resume")
    assert not read_schedule(stack.names).paused
    assert "every 5 minutes" in words(page.parts()["schedule"])


def test_reason_that_is_too_long_pauses_nothing(stack: Stack, page: Page) -> None:
    assert "The reason has 301 characters" in page.post("/schedule/pause", status=400, reason="r" * 301)
    assert not read_schedule(stack.names).paused


def test_next_start_is_told(stack: Stack, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "next_start", datetime(2026, 11, 23, 9, 5, tzinfo=UTC))
    assert "every 5 minutes; the next one starts at 09:05:00 ." in words(page.parts()["schedule"])


def test_ways_that_were_taken_stand_out(stack: Stack, functions: Functions, page: Page) -> None:
    functions.usual |= {"ingest": NOTHING_LANDED, "load": NOTHING_LOADED}
    run(stack, "nothing")
    graph = page.parts("?execution=nothing")["graph"]
    taken = set(re.findall(r'class="line taken [^"]*" data-from="([^"]+)" data-to="([^"]+)"', graph))
    assert taken == {
        ("Ingest", "NewData?"),
        ("NewData?", "Load"),
        ("Load", "MoreToDo?"),
        ("MoreToDo?", "AnythingLoaded?"),
        ("AnythingLoaded?", "NothingNew"),
    }


@pytest.mark.usefixtures("well_before")
def test_failure_shows_error_and_mail(stack: Stack, functions: Functions, page: Page) -> None:
    functions.usual["transform"] = ContractViolation("staff 7: first_name is NULL.", "Correct the row.")
    run(stack, "broken")
    parts = page.parts("?execution=broken")
    labels = drawn(parts["graph"])
    assert re.fullmatch(r"Transform, Task: failed, [\d.]+ m?s, ContractViolation", labels["Transform"])
    assert labels["Failed"].startswith("Failed, Task: failed")
    assert "ContractViolation What to do staff 7: first_name is NULL. Correct the row." in words(parts["detail"])
    assert 'href="/docs/runbook#contractviolation"' in parts["detail"]
    assert "ContractViolation: staff 7: first_name is NULL. Correct the row." in words(parts["executions"])
    newest = parts["mails"].split("</details>")[0]
    assert "Transform failed with ContractViolation" in words(newest)
    assert "staff 7: first_name is NULL. Correct the row." in words(newest)
    assert 'href="/?execution=broken"' in newest


@pytest.mark.usefixtures("well_before")
def test_failure_that_was_not_mailed_says_which_it_repeats(stack: Stack, functions: Functions, page: Page) -> None:
    functions.usual["load"] = ContractViolation("staff 7: first_name is NULL.", "Correct the row.").about(["dim_staff"])
    run(stack, "mailed")
    run(stack, "repeated")
    assert "An e-mail was sent." in words(page.parts("?execution=mailed")["detail"])
    parts = page.parts("?execution=repeated")
    assert "it repeats the failure of execution mailed, e-mailed at" in words(parts["detail"])
    assert 'href="/?execution=mailed">Show it</a>' in parts["detail"]
    assert re.search(r"Without an e-mail [\d:]+ repeated repeats mailed", words(parts["mails"]))
    assert "MailDue?, Choice: handled a failure" in drawn(parts["graph"])["MailDue?"]
    assert "NotifyFailure" not in drawn(parts["graph"])


def test_state_shows_its_attempts_input_and_output(stack: Stack, functions: Functions, page: Page) -> None:
    functions.told["ingest"] = [SourceBusy("totesys is locked.", "Wait."), SourceBusy("Still locked.", "Wait.")]
    run(stack, "healed")
    parts = page.parts("?execution=healed&state=Ingest")
    assert re.fullmatch(r"Ingest, Task: retried, 3 attempts, [\d.]+ m?s", drawn(parts["graph"])["Ingest"])
    detail = words(parts["detail"])
    assert "retried" in detail
    assert "3 attempts" in detail
    busy = r"SourceBusy \S+ What to do"
    assert re.search(rf"{busy} totesys is locked. Wait. {busy} Still locked. Wait. Log No lines. Input \{{\}}", detail)
    assert 'Output { "ingest": { "batch": 124,' in detail
    assert "; retried after SourceBusy" in words(parts["executions"])


def test_attempts_that_failed_alike_are_shown_once(stack: Stack, functions: Functions, page: Page) -> None:
    functions.told["ingest"] = [SourceBusy("totesys is locked.", "Wait.")] * 3
    run(stack, "locked-thrice")
    detail = page.parts("?execution=locked-thrice&state=Ingest")["detail"]
    assert re.search(
        r"SourceBusy 3 times( [\d:]{8}){3} What to do totesys is locked. Wait. Log No lines. Input", words(detail)
    )


def test_warnings_of_an_execution_stand_out(stack: Stack, functions: Functions, page: Page) -> None:
    odd = INGESTED | {"warnings": ["payment.note is declared nowhere"], "quarantined": {"payment": 3}}
    functions.usual |= {"ingest": odd, "load": ContractViolation("payment 7 has no transaction.", "Correct it.")}
    run(stack, "odd")
    parts = page.parts("?execution=odd")
    said = "Warnings payment.note is declared nowhere 3 rows of payment are quarantined"
    assert said in words(parts["detail"])
    assert "! 2 warnings · odd" in words(parts["executions"])


def test_log_lines_of_a_state_are_shown(stack: Stack, page: Page) -> None:
    run(stack, "logged")
    arn = f"{stack.names.state_machine_arn.replace('stateMachine', 'execution')}:logged"
    said = {"level": "WARNING", "message": HOSTILE, "execution": arn, "table": "staff", "exception": "Traceback …"}
    logs, group = stack.client("logs"), stack.names.log_group("ingest")
    logs.create_log_stream(logGroupName=group, logStreamName="logged")
    events = [{"timestamp": int(time.time() * 1000), "message": json.dumps(said)}]
    logs.put_log_events(logGroupName=group, logStreamName="logged", logEvents=events)
    shown = page.parts("?execution=logged&state=Ingest")["detail"]
    assert re.search(r"Log [\d:]+ WARNING .* table=staff Stack trace Traceback … Input", html.unescape(words(shown)))
    assert "<script" not in shown
    assert words(page.parts("?execution=logged&state=Load")["detail"]).find("Log No lines.") > 0
    assert "Log" not in words(page.parts("?execution=logged&state=NewData%3F")["detail"]).split()


def test_history_draws_rows_and_duration(stack: Stack, functions: Functions, page: Page) -> None:
    functions.told["ingest"] = [ContractViolation("staff 7: first_name is NULL.", "Correct it.")]
    run(stack, "drawn-red")
    run(stack, "drawn-green")
    rows, durations = re.findall(r"<svg.*?</svg>", page.parts()["executions"], re.DOTALL)[:2]
    newest = r'href="/\?execution=drawn-red" class="failed".*href="/\?execution=drawn-green" class="succeeded"'
    for chart in (rows, durations):
        assert re.search(newest, chart, re.DOTALL)
    assert "drawn-green: succeeded, 12 rows" in rows
    assert re.search(r"drawn-green: succeeded, [\d.]+ m?s", durations)
    assert "drawn-red: failed, 0 rows" in rows


def test_tab_tells_how_the_pipeline_is(stack: Stack, functions: Functions, page: Page) -> None:
    functions.told["load"] = [ContractViolation("payment 7 has no transaction.", "Correct it.")]
    run(stack, "tab-is-red")
    shown = page.get()
    assert "<title>✗ failed · totes, local</title>" in shown
    assert '<link id="icon" rel="icon" type="image/svg+xml" href="/icon/failed.svg">' in shown
    assert "Load failed with ContractViolation." in words(page.parts()["health"])
    run(stack, "tab-is-green")
    shown = page.get()
    assert "<title>✓ fresh · totes, local</title>" in shown
    assert "The last execution succeeded after 1 that failed." in words(page.parts()["health"])


@pytest.mark.parametrize("word", STATUSES)
def test_every_word_has_an_icon_of_its_own(page: Page, word: str) -> None:
    with page.client.get(f"/icon/{word}.svg", base_url=ADDRESS) as answer:
        assert (answer.status_code, answer.mimetype) == (200, "image/svg+xml")
    ElementTree.fromstring(answer.text)  # noqa: S314
    assert page.get("/icon/nothing.svg", status=404)


def test_last_change_of_each_table_is_told(new_page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = datetime.now(UTC) - timedelta(minutes=2)
    change = TableChange("fact_payment", 5, seen, 1200)
    heads = [LogHead(log, 5, seen, seen, 1200) for log in ("landed", "processed", "loaded")]
    monkeypatch.setattr("web.standing.read_logs", lambda _names: heads)
    monkeypatch.setattr("web.standing.last_changes", lambda _names: [change])
    shown = words(new_page.parts()["batches"])
    assert re.search(r"fact_payment 2 min ago 5 1,200", shown)
    assert "dim_staff never" in shown


@pytest.mark.usefixtures("well_before")
def test_mails_are_none_only_where_nothing_failed(
    stack: Stack, functions: Functions, new_page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions.told["ingest"] = [ContractViolation("staff 7: first_name is NULL.", "Correct it.")]
    run(stack, "unmailed")
    monkeypatch.setattr(stack, "mails", list)
    monkeypatch.setattr("web.view.NEWEST", 1)
    assert words(new_page.parts()["mails"]) == "E-mails No e-mail was sent, although 1 execution has failed."
    run(stack, "well")
    assert words(new_page.parts()["mails"]) == "E-mails None: no execution has failed."


@pytest.mark.usefixtures("well_before")
def test_mail_leads_to_the_runbook_here(stack: Stack, functions: Functions, page: Page) -> None:
    functions.told["ingest"] = [ContractViolation("staff 7: first_name is NULL.", "Correct it.")]
    run(stack, "to-the-runbook")
    newest = page.parts()["mails"].split("</details>")[0]
    assert '<a href="/docs/runbook#contractviolation">docs/runbook.md#contractviolation</a>' in newest
    assert "amazon" not in newest


def test_documents_open_on_the_page(page: Page) -> None:
    runbook = page.get("/docs/runbook")
    headings = set(re.findall(r'<h2 id="([^"]+)"', runbook))
    assert {anchor(section(error)) for error in CATALOGUE} <= headings
    for path in (ROOT / "docs").rglob("*.md"):
        shown = page.get(f"/docs/{path.relative_to(ROOT / 'docs').with_suffix('').as_posix()}")
        for link in re.findall(r'href="(/docs/[^"#]+)', shown):
            page.get(link)
    assert 'href="/docs/adr/0007-quarantine"' in page.get("/docs/architecture")


@pytest.mark.parametrize(
    "path", ["../README", "%2e%2e/README", "runbook.md", "etc/passwd", "adr/../runbook", "nowhere"]
)
def test_other_files_are_no_documents(page: Page, path: str) -> None:
    page.get(f"/docs/{path}", status=404)


def test_questions_lead_to_their_answers(page: Page) -> None:
    shown = page.get("/answers")
    for name, question in all_questions().items():
        assert question.sentence in html.unescape(shown)
        assert f'href="/answers/{name}"' in shown
    assert page.get("/answers/nothing", status=404)


def test_question_with_a_mistake_costs_no_other(page: Page, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "good.sql").write_text("-- What?\n\nSELECT 1 AS one;\n")
    (tmp_path / "bad.sql").write_text("SELECT 1 AS one;\n")
    monkeypatch.setattr("cli.questions.FOLDER", tmp_path)
    said = f"{tmp_path.name}/bad.sql:1: has no header"
    shown = page.get("/answers")
    assert "What?" in words(shown)
    assert said in words(shown)
    assert said in words(page.get("/answers/bad", status=500))
    assert "The warehouse is empty" in words(page.get("/answers/good", status=503))


def test_answer_of_an_empty_warehouse_says_so(page: Page) -> None:
    assert "The warehouse is empty" in words(page.get("/answers/revenue_by_month", status=503))


def test_question_that_needs_a_parameter_asks_for_it(page: Page) -> None:
    shown = page.get("/answers/order_history")
    assert '<input id="parameter-order_id" name="order_id" value="" autocomplete="off" required>' in shown
    typed = page.get('/answers/order_history?order_id="><script>', status=503)
    assert 'value="&#34;&gt;&lt;script&gt;"' in typed
    assert "<script" not in typed


def test_answer_has_chart_table_and_moment(new_page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ("currency_code", "month", "unfinished", "revenue")
    rows = [dict(zip(columns, ("EUR", f"2026-0{month}", False, Decimal(month)), strict=True)) for month in (1, 2)]
    drawn_times = []

    def found(_connection: object, question: Question, _given: object) -> Answer:
        return Answer(question, columns, rows, 7, datetime(2026, 11, 23, 9, 0, tzinfo=UTC))

    def counted(answered: Answer) -> list[tuple[str, Markup]]:
        drawn_times.append(answered.batch)
        return charts_of(answered)

    monkeypatch.setattr("web.answers.warehouse", lambda _names: nullcontext())
    monkeypatch.setattr("web.answers.answer", found)
    monkeypatch.setattr("web.answers.charts_of", counted)
    for _ in range(2):
        shown = new_page.get("/answers/revenue_by_month")
    assert shown.count("<svg") == 1
    assert re.findall(r"<[^>]+ style=", shown) == []
    assert "EUR 2026-01 no 1 EUR 2026-02 no 2" in words(shown)
    assert "2 rows, from batch 7, totesys as of 2026-11-23 09:00:00 UTC." in words(shown)
    assert drawn_times == [7]
    assert "prefers-color-scheme:dark" in new_page.get("/answers/colours.css")


def test_state_that_was_not_reached_says_so(stack: Stack, page: Page) -> None:
    run(stack, "short")
    detail = words(page.parts("?execution=short&state=NothingNew")["detail"])
    assert detail == "NothingNew The whole execution Succeed ○ not reached"


def test_running_execution_is_followed(stack: Stack, functions: Functions, page: Page) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    def transform(_event: dict[str, Any]) -> object:
        at_work.set()
        assert go_on.wait(30)
        return functions.usual["transform"]

    functions.told["transform"] = [transform]
    arn = stack.start_execution(name="slow")
    assert at_work.wait(30)
    parts = page.parts()
    assert re.fullmatch(r"Transform, Task: running, [\d.]+ m?s", drawn(parts["graph"])["Transform"])
    assert "RUNNING slow" in words(parts["detail"])
    assert "in Transform" in words(parts["executions"])
    go_on.set()
    stack.wait(arn)
    assert "SUCCEEDED slow" in words(page.parts()["detail"])


def test_execution_that_was_aborted_is_red(stack: Stack, functions: Functions, page: Page) -> None:
    at_work, go_on = threading.Event(), threading.Event()
    functions.told["load"] = [lambda _event: (at_work.set(), go_on.wait(30))[0]]
    arn = stack.start_execution(name="aborted")
    assert at_work.wait(30)
    stack.client("stepfunctions").stop_execution(executionArn=arn)
    go_on.set()
    parts = page.parts("?execution=aborted")
    assert "Load, Task: failed" in drawn(parts["graph"])["Load"]
    assert "ABORTED" in words(parts["detail"])


def test_newest_executions_are_listed_newest_first(stack: Stack, page: Page) -> None:
    run(stack, "older")
    run(stack, "newer")
    listed = re.findall(r'id="execution-([^"]+)"', page.parts()["executions"])
    assert listed[:2] == ["newer", "older"]


@pytest.mark.usefixtures("well_before")
def test_no_more_than_the_newest_are_shown(
    stack: Stack, functions: Functions, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = (ContractViolation, LogBroken, ObjectMissing)  # the kinds of failure, each of which is e-mailed
    functions.told["ingest"] = [kind(f"Row {number}.", "Correct it.") for number, kind in enumerate(kinds)]
    for number in range(3):
        run(stack, f"one-of-many-{number}")
    monkeypatch.setattr("web.view.NEWEST", 2)
    parts = page.parts()
    assert re.findall(r'id="execution-([^"]+)"', parts["executions"]) == ["one-of-many-2", "one-of-many-1"]
    assert re.findall(r"Row \d", parts["mails"]) == ["Row 2", "Row 1"]


def test_ended_executions_are_asked_for_once(stack: Stack, new_page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    run(stack, "ended")
    asked: list[str] = []
    monkeypatch.setattr("web.view.describe", lambda arn: asked.append(arn) or describe(arn))
    new_page.parts()
    new_page.parts()
    assert len(asked) == len(set(asked)) >= 1


def test_start_takes_the_input_that_was_typed(stack: Stack, functions: Functions, page: Page) -> None:
    address = page.post("/executions", input='{"full_read": ["staff"]}')
    name = address.removeprefix("/?execution=")
    stack.wait(f"{stack.names.state_machine_arn.replace('stateMachine', 'execution')}:{name}")
    assert [event.get("input") for _, event in functions.calls] == [{"full_read": ["staff"]}, None, None]
    assert f"SUCCEEDED {name}" in words(page.parts(f"?execution={name}")["detail"])


def test_run_again_takes_the_same_input(stack: Stack, functions: Functions, page: Page) -> None:
    run(stack, "once", '{"full_read":  ["design"]}')
    address = page.post("/executions/once/again")
    name = address.removeprefix("/?execution=")
    assert name != "once"
    ended = stack.wait(f"{stack.names.state_machine_arn.replace('stateMachine', 'execution')}:{name}")
    assert ended["input"] == '{"full_read":  ["design"]}'
    assert [event["input"] for name, event in functions.calls if name == "ingest"] == [{"full_read": ["design"]}] * 2


@pytest.mark.parametrize("given", ["{", "[]", "7"])
def test_input_that_is_no_object_starts_nothing(functions: Functions, page: Page, given: str) -> None:
    assert "The input is " in page.post("/executions", status=400, input=given)
    assert functions.calls == []


def test_unknown_execution_is_said_to_be_unknown(page: Page) -> None:
    assert "There is no execution gone" in page.get("/?execution=gone", status=404)
    assert "There is no execution gone" in page.get("/parts?execution=gone", status=404)
    assert "There is no execution" in page.get(f"/?execution={'x' * 300}", status=404)
    assert "There is no execution gone" in page.post("/executions/gone/again", status=404)


def test_unknown_state_is_no_state(stack: Stack, page: Page) -> None:
    run(stack, "known")
    assert "SUCCEEDED known" in words(page.parts("?execution=known&state=Nowhere")["detail"])


def test_empty_warehouse_is_said_to_be_empty(page: Page) -> None:
    assert words(page.parts()["batches"]) == (
        "Batches landed none processed none loaded none The warehouse is empty: no batch is loaded yet."
    )


@pytest.mark.parametrize(("minutes", "told"), [(2, "✓ Fresh"), (31, "✗ Stale")])
def test_logs_stand_side_by_side(new_page: Page, monkeypatch: pytest.MonkeyPatch, minutes: int, told: str) -> None:
    done, seen = datetime(2026, 11, 23, 9, 0, 5, tzinfo=UTC), datetime.now(UTC) - timedelta(minutes=minutes)
    heads = [LogHead(log, batch, done, seen, 1200) for log, batch in (("landed", 5), ("processed", 5), ("loaded", 3))]
    monkeypatch.setattr("web.standing.read_logs", lambda _names: heads)
    monkeypatch.setattr("web.standing.last_success", lambda _names: None)
    logs, fresh = words(new_page.parts()["batches"]).split(f" {told}: ")
    assert logs == (
        "Batches landed 5 1,200 rows at 09:00:05 processed 5 1,200 rows at 09:00:05 "
        "loaded 3 2 behind 1,200 rows at 09:00:05"
    )
    assert re.match(rf"the warehouse shows totesys as it was {minutes} min \d+ s ago; 30 minutes are promised", fresh)


@pytest.mark.parametrize(
    ("batch", "told", "minutes", "fresh"),
    [
        (
            3,
            "3 2 behind last known batch",
            2,
            " When it was last reachable, the warehouse showed totesys as it was 2 min",
        ),
        (3, "3 2 behind last known batch", 31, " ✗ Stale: the warehouse shows totesys as it was 31 min"),
        (0, "unknown last known batch", 2, ""),
    ],
)
def test_warehouse_that_is_down_is_told_beside_the_zones(
    new_page: Page, monkeypatch: pytest.MonkeyPatch, batch: int, told: str, minutes: int, fresh: str
) -> None:
    began = datetime.now(UTC) - timedelta(minutes=minutes)
    success = Execution("arn", "name", "SUCCEEDED", began, began) if batch else None
    done = datetime(2026, 11, 23, 9, 0, 5, tzinfo=UTC)
    zones = [LogHead(log, 5, done, done, 1200) for log in ("landed", "processed")]
    heads = [*zones, LogHead("loaded", batch, trouble="No connection to the warehouse.")]
    monkeypatch.setattr("web.standing.read_logs", lambda _names: heads)
    monkeypatch.setattr("web.standing.last_success", lambda _names: success)
    shown = words(new_page.parts()["batches"])
    assert f"processed 5 1,200 rows at 09:00:05 loaded {told} No connection to the warehouse.{fresh}" in shown
    assert "empty" not in shown


def test_page_outlives_logs_that_cannot_be_read(new_page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_names: object) -> list[Any]:
        raise WarehouseUnreachable("warehouse: connection refused.", "Start it.")

    monkeypatch.setattr("web.standing.read_logs", unreachable)
    parts = new_page.parts()
    assert words(parts["batches"]) == "Batches warehouse: connection refused. Start it."
    assert "Ingest" in parts["graph"]


def test_logs_are_not_read_at_each_question(new_page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    now, reads = [100.0], []
    monkeypatch.setattr("web.standing.time.monotonic", lambda: now[0])
    monkeypatch.setattr("web.standing.read_logs", lambda _names: reads.append(now[0]) or [])
    new_page.parts()
    new_page.parts()
    now[0] += READ_SECONDS
    new_page.parts()
    assert reads == [100.0, 100.0 + READ_SECONDS]


def test_closed_page_refuses_instead_of_failing(new_page: Page) -> None:
    token = new_page.token
    new_page.gatherer.close()
    assert "The stack is stopping." in new_page.get(status=503)
    assert json.loads(new_page.get("/parts", status=503)) == {"trouble": "The stack is stopping."}
    answer = new_page.client.post("/executions", base_url=ADDRESS, headers={"Origin": ADDRESS}, data={"token": token})
    assert answer.status_code == 503


@pytest.mark.usefixtures("well_before")
def test_hostile_text_is_shown_as_text(stack: Stack, functions: Functions, page: Page) -> None:
    functions.usual["ingest"] = ContractViolation(HOSTILE, HOSTILE)
    run(stack, "hostile", json.dumps({HOSTILE: HOSTILE}))
    for query in ("?execution=hostile", *(f"?execution=hostile&state={state}" for state in ("Ingest", "ReadCause"))):
        parts = page.parts(query)
        for part in parts.values():
            assert "<script" not in part
            assert "<img" not in part
        assert HOSTILE in html.unescape(parts["detail"]).replace('\\"', '"')
        assert HOSTILE in html.unescape(parts["mails"])
    whole = page.get("/?execution=hostile")
    assert whole.count("<script") == 1
    assert "<img" not in whole
    assert "<script" not in page.get(f"/?execution={HOSTILE}", status=404)


@pytest.mark.parametrize(
    "host",
    ["evil.example", f"evil.example:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"0.0.0.0:{PORT}", "localhost"],
)
@pytest.mark.parametrize("path", ["/", "/parts", "/static/page.js"])
def test_other_hosts_are_refused(page: Page, host: str, path: str) -> None:
    assert page.client.get(path, base_url=f"http://{host}").status_code == 403


def test_own_page_is_served_by_either_name(page: Page) -> None:
    for host in ("127.0.0.1", "localhost"):
        assert page.client.get("/", base_url=f"http://{host}:{PORT}").status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "http://evil.example",
        f"https://127.0.0.1:{PORT}",
        f"http://127.0.0.1:{PORT + 1}",
        "http://127.0.0.1",
        f"http://localhost:{PORT}",
    ],
)
def test_form_from_elsewhere_starts_nothing(functions: Functions, page: Page, origin: str | None) -> None:
    headers = {} if origin is None else {"Origin": origin}
    for path in FORMS:
        answer = page.client.post(path, base_url=ADDRESS, headers=headers, data={"token": page.token})
        assert answer.status_code == 403
    assert functions.calls == []


@pytest.mark.parametrize("token", [None, "", "x", "ключ"])
def test_form_without_the_token_starts_nothing(functions: Functions, page: Page, token: str | None) -> None:
    data = {} if token is None else {"token": token}
    for path in FORMS:
        answer = page.client.post(path, base_url=ADDRESS, headers={"Origin": ADDRESS}, data=data)
        assert answer.status_code == 403
    assert functions.calls == []


def test_token_is_another_one_each_time(page: Page, new_page: Page) -> None:
    assert page.token != new_page.token


@pytest.mark.parametrize("path", FORMS)
def test_nothing_is_started_by_a_link(functions: Functions, page: Page, path: str) -> None:
    assert page.client.get(path, base_url=ADDRESS).status_code == 405
    assert functions.calls == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/answers", 200),
        ("/docs/runbook", 200),
        ("/icon/fresh.svg", 200),
        ("/parts", 200),
        ("/static/page.css", 200),
        ("/nowhere", 404),
    ],
)
def test_every_answer_forbids_what_the_page_does_not_need(page: Page, path: str, status: int) -> None:
    with page.client.get(path, base_url=ADDRESS) as answer:
        assert answer.status_code == status
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_page_keeps_to_its_own_policy(stack: Stack, page: Page) -> None:
    run(stack, "quiet")
    for shown in (page.get(), page.get("/?execution=quiet&state=Load"), page.get("/?execution=gone", status=404)):
        assert re.findall(r"<script(?! src=\"/static/)", shown) == []
        assert re.findall(r"<[^>]+\s(?:style|on\w+)=", shown) == []
        linked = re.findall(r"(?:src|href|action)=\"([^\"]*)\"", shown)
        assert [link for link in linked if not link.startswith("/") or link.startswith("//")] == []


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/nowhere", 404, "There is no page /nowhere here."),
        ("GET", "/docs/nothing", 404, "There is no document nothing."),
        ("GET", "/executions", 405, "/executions accepts requests from the page only."),
        ("POST", "/executions", 403, "This request came from another page, or from a stack that has stopped"),
    ],
)
def test_refusal_has_the_frame_and_a_way_back(page: Page, method: str, path: str, status: int, said: str) -> None:
    answer = page.client.open(path, base_url=ADDRESS, method=method)
    assert answer.status_code == status
    assert said in answer.text
    assert '<a href="/">Back to the pipeline</a>' in answer.text
    assert "<nav" in answer.text
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
