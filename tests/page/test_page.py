"""The page's answers, asked for as a browser does."""

import html
import json
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.progress import LogHead
from cli.schedule import pause_schedule, resume_schedule
from local.aws.deployment import STATE_MACHINE
from local.stack import Stack
from tests.machine.test_pipeline_machine import NOTHING_LANDED, NOTHING_LOADED, Functions
from tests.page.conftest import ADDRESS, PORT, Page
from totes.alerts.executions import Execution, describe
from totes.errors import ContractViolation, SourceBusy, WarehouseUnreachable
from web.view import LOGS_SECONDS

STATES = json.loads(STATE_MACHINE.read_text(encoding="utf-8"))["States"]
HOSTILE = '</pre><script>alert(1)</script><img src=x onerror="alert(2)">'


def words(part: str) -> str:
    """What a reader of a part sees, in one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", part)).split())


def run(stack: Stack, name: str, input: str = "{}") -> dict[str, Any]:
    return stack.wait(stack.start_execution(input, name), timeout=60)


def drawn(graph: str) -> dict[str, str]:
    """The label of each state in the drawing."""
    return {name: label for label, name in re.findall(r'aria-label="(([^",]+), \w+: [^"]+)"', html.unescape(graph))}


def test_every_state_and_transition_is_in_the_page(page: Page) -> None:
    shown = page.get()
    assert set(re.findall(r'data-state="([^"]+)"', shown)) == set(STATES)
    ways = set(re.findall(r'data-from="([^"]+)" data-to="([^"]+)"', shown))
    assert ("Ingest", "IngestFailed") in ways
    assert {name for way in ways for name in way} == set(STATES)


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


def test_pause_is_told_with_its_reason(stack: Stack, page: Page) -> None:
    assert "paused" not in words(page.parts()["batches"])
    pause_schedule(stack.names, "totesys <is> moved")
    try:
        time.sleep(LOGS_SECONDS)
        said = words(page.parts()["batches"])
        assert re.search(
            r"The schedule is paused since [\d: -]+ UTC: totesys <is> moved\. `totes resume` lets it run", said
        )
    finally:
        resume_schedule(stack.names)


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


def test_failure_shows_error_and_mail(stack: Stack, functions: Functions, page: Page) -> None:
    functions.usual["transform"] = ContractViolation("staff 7: first_name is NULL.", "Correct the row.")
    run(stack, "broken")
    parts = page.parts("?execution=broken")
    labels = drawn(parts["graph"])
    assert re.fullmatch(r"Transform, Task: failed, [\d.]+ m?s, ContractViolation", labels["Transform"])
    assert labels["Failed"].startswith("Failed, Task: failed")
    assert "ContractViolation staff 7: first_name is NULL. Correct the row." in words(parts["detail"])
    assert "ContractViolation: staff 7: first_name is NULL. Correct the row." in words(parts["executions"])
    newest = parts["mails"].split("</details>")[0]
    assert "Transform failed with ContractViolation" in words(newest)
    assert "staff 7: first_name is NULL. Correct the row." in words(newest)
    assert 'href="/?execution=broken"' in newest


def test_failure_that_was_not_mailed_says_which_it_repeats(stack: Stack, functions: Functions, page: Page) -> None:
    functions.usual["load"] = ContractViolation("staff 7: first_name is NULL.", "Correct the row.").about(["dim_staff"])
    run(stack, "mailed")
    run(stack, "repeated")
    assert "An e-mail about it was sent." in words(page.parts("?execution=mailed")["detail"])
    parts = page.parts("?execution=repeated")
    assert "it repeats the failure that execution mailed told at" in words(parts["detail"])
    assert "MailDue?, Choice: succeeded" in drawn(parts["graph"])["MailDue?"]
    assert "not reached" in drawn(parts["graph"])["NotifyFailure"]


def test_state_shows_its_attempts_input_and_output(stack: Stack, functions: Functions, page: Page) -> None:
    functions.told["ingest"] = [SourceBusy("totesys is locked.", "Wait."), SourceBusy("Still locked.", "Wait.")]
    run(stack, "healed")
    parts = page.parts("?execution=healed&state=Ingest")
    assert re.fullmatch(r"Ingest, Task: retried, 3 attempts, [\d.]+ m?s", drawn(parts["graph"])["Ingest"])
    detail = words(parts["detail"])
    assert "retried" in detail
    assert "3 attempts" in detail
    assert re.search(r"SourceBusy \S+ totesys is locked. Wait. SourceBusy \S+ Still locked. Wait. Input \{\}", detail)
    assert 'Output { "ingest": { "batch": 124,' in detail
    assert "; retried after SourceBusy" in words(parts["executions"])


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


def test_no_more_than_the_newest_are_shown(
    stack: Stack, functions: Functions, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of one table there would be one mail.
    functions.told["ingest"] = [
        ContractViolation(f"Row {number}.", "Correct it.").about([f"table_{number}"]).labelled() for number in range(3)
    ]
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
        "Batches landed none processed none loaded none The warehouse is empty: nothing is loaded yet."
    )


@pytest.mark.parametrize(("minutes", "told"), [(2, "✓ Fresh"), (31, "✗ Stale")])
def test_logs_stand_side_by_side(new_page: Page, monkeypatch: pytest.MonkeyPatch, minutes: int, told: str) -> None:
    done, seen = datetime(2026, 11, 23, 9, 0, 5, tzinfo=UTC), datetime.now(UTC) - timedelta(minutes=minutes)
    heads = [LogHead(log, batch, done, seen, 1200) for log, batch in (("landed", 5), ("processed", 5), ("loaded", 3))]
    monkeypatch.setattr("web.view.read_logs", lambda _names: heads)
    monkeypatch.setattr("web.view.last_success", lambda _names: None)
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
            "3 2 behind as last known",
            2,
            " When it could last be asked, the warehouse showed totesys as it was 2 min",
        ),
        (3, "3 2 behind as last known", 31, " ✗ Stale: the warehouse shows totesys as it was 31 min"),
        (0, "unknown as last known", 2, ""),
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
    monkeypatch.setattr("web.view.read_logs", lambda _names: heads)
    monkeypatch.setattr("web.view.last_success", lambda _names: success)
    shown = words(new_page.parts()["batches"])
    assert f"processed 5 1,200 rows at 09:00:05 loaded {told} No connection to the warehouse.{fresh}" in shown
    assert "empty" not in shown


def test_page_outlives_logs_that_cannot_be_read(new_page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_names: object) -> list[Any]:
        raise WarehouseUnreachable("warehouse: connection refused.", "Start it.")

    monkeypatch.setattr("web.view.read_logs", unreachable)
    parts = new_page.parts()
    assert words(parts["batches"]) == "Batches warehouse: connection refused. Start it."
    assert "Ingest" in parts["graph"]


def test_logs_are_not_read_at_each_question(new_page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    now, reads = [100.0], []
    monkeypatch.setattr("web.view.time.monotonic", lambda: now[0])
    monkeypatch.setattr("web.view.read_logs", lambda _names: reads.append(now[0]) or [])
    new_page.parts()
    new_page.parts()
    now[0] += LOGS_SECONDS
    new_page.parts()
    assert reads == [100.0, 100.0 + LOGS_SECONDS]


def test_closed_page_refuses_instead_of_failing(new_page: Page) -> None:
    token = new_page.token
    new_page.gatherer.close()
    assert "The stack is stopping." in new_page.get(status=503)
    assert json.loads(new_page.get("/parts", status=503)) == {"trouble": "The stack is stopping."}
    answer = new_page.client.post("/executions", base_url=ADDRESS, headers={"Origin": ADDRESS}, data={"token": token})
    assert answer.status_code == 503


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
    for path in ("/executions", "/executions/x/again"):
        answer = page.client.post(path, base_url=ADDRESS, headers=headers, data={"token": page.token})
        assert answer.status_code == 403
    assert functions.calls == []


@pytest.mark.parametrize("token", [None, "", "x", "ключ"])
def test_form_without_the_token_starts_nothing(functions: Functions, page: Page, token: str | None) -> None:
    data = {} if token is None else {"token": token}
    answer = page.client.post("/executions", base_url=ADDRESS, headers={"Origin": ADDRESS}, data=data)
    assert answer.status_code == 403
    assert functions.calls == []


def test_token_is_another_one_each_time(page: Page, new_page: Page) -> None:
    assert page.token != new_page.token


@pytest.mark.parametrize("path", ["/executions", "/executions/x/again"])
def test_nothing_is_started_by_a_link(functions: Functions, page: Page, path: str) -> None:
    assert page.client.get(path, base_url=ADDRESS).status_code == 405
    assert functions.calls == []


@pytest.mark.parametrize(
    ("path", "status"), [("/", 200), ("/parts", 200), ("/static/page.css", 200), ("/nowhere", 404)]
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
