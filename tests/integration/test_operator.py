"""An operator's actions when something is wrong, by the real commands against a real stack."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from obstore.store import S3Store

from cli.commands import logs
from local.aws.deployment import ROOT
from local.postgres.databases import READER
from local.stack import Stack
from tests.integration.conftest import Totes, change
from tests.support.manual import documented_actions
from totes.runtime.names import STAGES
from totes.verify.doctor.inside import EXAMINED

WRONG = "UPDATE payment SET payment_amount = payment_amount + 0.01 WHERE payment_id = 7"
RIGHT = "UPDATE payment SET payment_amount = payment_amount - 0.01 WHERE payment_id = 7"
AMENDMENT = "UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = 2"


@pytest.fixture
def failed(stack: Stack, totes: Totes) -> Iterator[str]:
    """Returns the name of an execution that landed two rows, and failed to load them: a payment breaks a rule."""
    assert totes("run")[0] == 0
    with closing(stack.connect_source()) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT payment_amount FROM payment WHERE payment_id = 7")
        (amount,) = cursor.fetchone()
    change(stack, WRONG)
    change(stack, AMENDMENT)
    yield run(totes, code=1)["name"]
    change(stack, "UPDATE payment SET payment_amount = %s WHERE payment_id = 7", amount)
    assert totes("run")[0] == 0


def run(totes: Totes, arguments: str = "", code: int = 0) -> dict[str, Any]:
    """Returns an execution that has ended in this way, as `totes run` reports it."""
    found, document, _ = totes(f"run --json {arguments}")
    assert found == code
    execution: dict[str, Any] = json.loads(document)
    return execution


def started(stack: Stack) -> str:
    """Returns an execution that has reached its first function."""
    arn = stack.start_execution()
    for _ in range(300):
        events = stack.client("stepfunctions").get_execution_history(executionArn=arn)["events"]
        if any(event["type"] == "TaskStarted" for event in events):
            return arn
        time.sleep(0.1)
    raise AssertionError(f"{arn} has not started anything in 30 s.")


def test_redrive_lets_what_failed_go_on(stack: Stack, totes: Totes, failed: str) -> None:
    change(stack, RIGHT)
    code, shown, _ = totes("redrive")
    assert code == 0
    assert f"Execution {failed} of " in shown
    assert " ended FAILED.\nA new execution starts with the same input." in shown
    assert re.search(r"Execution redrive-\S+ SUCCEEDED", shown)
    assert re.search(r"batches \d+ to \d+ loaded", shown)
    assert "A newer execution has succeeded" not in shown


def test_redrive_has_the_same_input(stack: Stack, totes: Totes, failed: str) -> None:
    asked = run(totes, "--full-read staff", 1)["name"]
    change(stack, RIGHT)
    assert totes("run")[0] == 0
    code, document, _ = totes(f"redrive {asked} --json")
    execution = json.loads(document)
    assert code == 0
    assert execution["redrive_of"] == asked
    assert execution["output"]["ingest"]["full_read"].keys() == {"staff"}


def test_redrive_of_what_is_over_says_so(stack: Stack, totes: Totes, failed: str) -> None:
    change(stack, RIGHT)
    assert totes("run")[0] == 0
    code, shown, _ = totes(f"redrive {failed}")
    assert code == 0
    assert "A newer execution has succeeded and done all that this one left undone." in shown


def test_redrive_of_what_was_stopped_goes_on_too(stack: Stack, totes: Totes) -> None:
    with closing(stack.connect_source()) as connection:
        connection.cursor().execute("LOCK TABLE payment IN ACCESS EXCLUSIVE MODE")
        arn = started(stack)
        stack.client("stepfunctions").stop_execution(executionArn=arn)
    status = stack.wait(arn)["status"]
    code, shown, _ = totes("redrive")
    assert code == 0
    assert f"Execution {arn.rpartition(':')[2]} of " in shown
    assert f" ended {status}.\n" in shown


def test_interrupted_run_continues_without_its_terminal(stack: Stack) -> None:
    with closing(stack.connect_source()) as connection:
        connection.cursor().execute("LOCK TABLE payment IN ACCESS EXCLUSIVE MODE")
        program = subprocess.Popen(
            [sys.executable, "-m", "cli", "run", "--name", "left-alone"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            # A shell starts background processes with interrupts ignored, and this program would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        with program:
            assert program.stdout is not None
            assert program.stdout.readline() == "Execution left-alone\n"
            program.send_signal(signal.SIGINT)
            _, complaint = program.communicate(timeout=60)
    assert program.returncode == 130
    assert complaint == (
        "totes: Execution left-alone continues without you. Follow it with `totes logs left-alone --follow`.\n"
    )
    arn = stack.names.state_machine_arn.replace(":stateMachine:", ":execution:") + ":left-alone"
    assert stack.wait(arn)["status"] == "SUCCEEDED"


def test_redrive_that_fails_again_exits_one(totes: Totes, failed: str) -> None:
    code, shown, _ = totes("redrive")
    assert code == 1
    assert "ContractViolation: fact_payment breaks the rule" in shown


@pytest.mark.parametrize("command", ["redrive", "logs", "explain"])
def test_unknown_execution_names_the_newest(totes: Totes, command: str) -> None:
    newest = [run(totes)["name"] for _ in range(2)][::-1]
    code, shown, complaint = totes(f"{command} nope")
    assert (code, shown) == (2, "")
    assert complaint.startswith(
        f"totes: totes-local-pipeline has no execution nope; the newest are {', '.join(newest)}, "
    )
    assert complaint.count("\n") == 1


@pytest.mark.parametrize("given", ["arn:aws:states:eu-west-2:123456789012:execution:totes-prod-pipeline:one", "arn:x"])
def test_execution_of_another_stage_is_refused(totes: Totes, given: str) -> None:
    code, _, complaint = totes(f"logs {given}")
    assert (code, complaint) == (2, f"totes: {given} is not an execution of totes-local-pipeline in eu-west-2.\n")


def test_execution_is_found_by_its_arn_too(totes: Totes) -> None:
    execution = run(totes)
    assert totes(f"logs {execution['arn']}") == totes(f"logs {execution['name']}")


def test_status_tells_how_far_all_is_while_the_warehouse_is_down(stack: Stack, totes: Totes) -> None:
    loaded = run(totes)["output"]["load"]["loaded_through"]
    change(stack, AMENDMENT)
    with warehouse_down(stack):
        stack.client("lambda").invoke(
            FunctionName=stack.names.function("ingest"), Payload=b'{"execution": "by-hand", "input": {}}'
        )
        code, shown, complaint = totes("status")
        _, document, _ = totes("status --json")
    assert (code, complaint) == (1, "")
    assert ["last", "batch", str(loaded + 1), str(loaded), str(loaded)] in [line.split() for line in shown.splitlines()]
    assert "\nloaded: last known batch. No connection to the warehouse: Connection refused." in shown
    assert "When it was last reachable, the warehouse showed totesys as it was " in shown
    assert [bool(log["trouble"]) for log in json.loads(document)["logs"]] == [False, False, True]
    assert run(totes)["output"]["load"]["loaded_through"] == loaded + 1


@contextmanager
def warehouse_down(stack: Stack) -> Iterator[None]:
    """Makes the secret name a port at which nobody listens."""
    secrets, name = stack.client("secretsmanager"), stack.names.warehouse_secret
    right = secrets.get_secret_value(SecretId=name)["SecretString"]
    wrong = json.loads(right) | {"host": "127.0.0.1", "port": 1}
    secrets.put_secret_value(SecretId=name, SecretString=json.dumps(wrong))
    try:
        yield
    finally:
        secrets.put_secret_value(SecretId=name, SecretString=right)


def test_paused_schedule_is_told_until_it_is_resumed(totes: Totes) -> None:
    try:
        assert totes("pause --reason=moved")[0] == 0
        _, again, _ = totes("pause")
        _, shown, _ = totes("status")
        _, document, _ = totes("status --json")
        code, resumed, _ = totes("resume")
    finally:
        totes("resume")
    for text in (again, shown):
        assert re.search(r"The schedule is paused since \d{4}-\d\d-\d\d \d\d:\d\d UTC: moved\.", text)
    assert "Nothing changed." in again
    schedule = json.loads(document)["schedule"]
    assert (schedule["paused"], schedule["reason"]) == (True, "moved")
    assert (code, resumed) == (0, "The schedule is on: rate(5 minutes).\n")
    assert "The schedule is on: rate(5 minutes)." in totes("status")[1]


def test_pause_and_resume_write_json(totes: Totes) -> None:
    _, paused, _ = totes("pause --json")
    _, resumed, _ = totes("resume --json")
    _, again, _ = totes("resume --json")
    describe_end = [json.loads(document) for document in (paused, resumed, again)]
    assert [(one["schedule"]["paused"], one["was_paused"]) for one in describe_end] == [
        (True, False),
        (False, True),
        (False, False),
    ]


def test_logs_are_those_of_the_last_execution_oldest_first(stack: Stack, totes: Totes) -> None:
    run(totes)
    change(stack, AMENDMENT)
    execution = run(totes)
    code, shown, _ = totes("logs")
    _, document, _ = totes("logs --json")
    lines = json.loads(document)
    assert code == 0
    assert shown.splitlines()[0] == f"Execution {execution['name']} SUCCEEDED"
    assert len(shown.splitlines()) == len(lines) + 1
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    assert list(dict.fromkeys(line["function"] for line in lines)) == [stage.lower() for stage in STAGES]
    ends = {line["function"]: line["fields"] for line in lines if line["message"] in ("ingested", "loaded")}
    assert ends["ingest"]["batch"] == ends["load"]["last"]
    assert ends["ingest"]["rows"] == execution["output"]["ingest"]["rows"]
    assert "ingested  batch=" in shown
    assert re.search(r'  rows=\{.*"sales_order": \d', shown)


def test_logs_of_a_failure_have_its_stack_trace(totes: Totes, failed: str) -> None:
    assert totes("run")[0] == 1
    code, shown, _ = totes(f"logs {failed} --level error")
    _, document, _ = totes(f"logs {failed} --json --level ERROR")
    (line,) = json.loads(document)
    assert code == 0
    # The last of the batches that wait for a correction.
    waiting = {log["log"]: log["batch"] for log in json.loads(totes("status --json")[1])["logs"]}["processed"]
    assert (line["function"], line["level"]) == ("load", "ERROR")
    assert line["fields"] == {"error": "ContractViolation", "batch": waiting}
    heading, first, *trace = shown.splitlines()
    assert heading == f"Execution {failed} FAILED"
    assert first.endswith(f"  load       ERROR     failed  batch={waiting}  error=ContractViolation")
    assert trace == [f"    {part}".rstrip() for part in line["trace"].splitlines()]
    assert trace[0] == "    Traceback (most recent call last):"


def test_level_that_no_line_has_is_said(totes: Totes) -> None:
    run(totes)
    assert totes("logs --level CRITICAL")[1].endswith("\nNo lines of level CRITICAL or higher.\n")


def test_logs_are_followed_until_the_execution_is_over(
    stack: Stack, totes: Totes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(logs, "DELAY", timedelta(seconds=0.5))
    change(stack, AMENDMENT)
    name = stack.start_execution().rpartition(":")[2]
    code, shown, _ = totes(f"logs {name} --follow")
    assert code == 0
    assert shown.splitlines()[-1] == f"Execution {name} SUCCEEDED"
    assert shown.splitlines()[1:-1] == totes(f"logs {name}")[1].splitlines()[1:]


def test_explain_tells_a_failure_as_the_mail_does(stack: Stack, totes: Totes, failed: str) -> None:
    (mail,) = [mail for mail in stack.mails() if failed in mail.message]
    code, shown, _ = totes("explain")
    assert code == 0
    describe_end, _, rest = shown.partition("States ─")
    # The command takes its time a moment later, and a mail counts from its own time.
    message = mail.message.partition("\nNext e-mail ")[0] + "\n\nDO THIS " + mail.message.partition("\nDO THIS ")[2]
    kept = [line for line in message.splitlines() if not line.startswith("When ")]
    assert "\nAn e-mail was sent.\n" in f"\n{describe_end}"
    assert mail.subject.split(",")[0] in describe_end
    assert [line for line in kept if line not in describe_end.splitlines()] == []
    assert "It is over" not in describe_end
    assert "console.aws.amazon.com" not in shown
    assert re.search(r"✘  Load .* ContractViolation", rest)
    assert re.search(r"batch \d+ landed +processed", rest)
    assert re.search(r"fact_payment +\d", rest)
    assert rest.index("Log ─") < rest.index("ingested  batch=") < rest.index("Traceback (most recent call last):")


def test_explain_writes_json(totes: Totes, failed: str) -> None:
    code, document, _ = totes(f"explain {failed} --json")
    found = json.loads(document)
    assert code == 0
    assert (found["execution"]["name"], found["execution"]["status"]) == (failed, "FAILED")
    failure = found["failure"]
    assert (failure["state"], failure["error"], failure["attempts"]) == ("Load", "ContractViolation", 1)
    # Rows that an open transaction may bring again are the only ones.
    assert failure["results"]["ingest"]["rows"].keys() >= {"payment", "sales_order"}
    assert failure["results"]["transform"]["rows"]["fact_payment"] >= 1
    assert failure["standing"]["failures"] == 1
    assert found["mail"]["subject"].startswith("totes-local-pipeline: Load failed with ContractViolation")
    assert (found["summary"], found["over_since"]) == (None, None)
    assert found["log"][-1]["function"] in ("report", "load")
    assert "ContractViolation" in {line["fields"].get("error") for line in found["log"]}


def test_explain_says_when_a_failure_is_over(stack: Stack, totes: Totes, failed: str) -> None:
    change(stack, RIGHT)
    good = run(totes)["name"]
    code, shown, _ = totes("explain")
    _, document, _ = totes("explain --json")
    assert code == 0
    assert shown.startswith(f"Recovered: execution {good}, started at ")
    assert (json.loads(document)["execution"]["name"], json.loads(document)["over_since"]) == (failed, good)


def test_explain_tells_a_success_in_a_paragraph(stack: Stack, totes: Totes) -> None:
    run(totes)
    change(stack, AMENDMENT)
    execution = run(totes)
    name, batch = execution["name"], execution["output"]["ingest"]["batch"]
    _, shown, _ = totes(f"explain {name}")
    _, document, _ = totes(f"explain {name} --json")
    summary = json.loads(document)["summary"]
    assert summary in " ".join(shown.split())
    assert summary.startswith(f"Execution {name} SUCCEEDED. ")
    rows = sum(execution["output"]["ingest"]["rows"].values())
    assert re.search(rf"Ingest landed batch {batch}: {rows} rows? in ", summary)
    assert f"Load wrote batch {batch} to the warehouse: 1 added." in summary
    assert (json.loads(document)["failure"], json.loads(document)["log"]) == (None, [])


def test_explain_tells_where_an_execution_is(stack: Stack, totes: Totes) -> None:
    with closing(stack.connect_source()) as connection:
        connection.cursor().execute("LOCK TABLE payment IN ACCESS EXCLUSIVE MODE")
        arn = started(stack)
        name = arn.rpartition(":")[2]
        code, shown, _ = totes(f"explain {name}")
        refused = totes(f"redrive {name}")
    assert stack.wait(arn)["status"] == "SUCCEEDED"
    assert code == 0
    assert re.search(
        rf"Execution {name} has been running for [\d.]+ m?s\. It has been in Ingest for ", " ".join(shown.split())
    )
    assert refused == (2, "", f"totes: Execution {name} still runs: follow it with `totes logs {name} --follow`.\n")


def test_status_is_watched_in_place_until_interrupted(stack: Stack, totes: Totes) -> None:
    run(totes)
    with in_a_terminal("status", "--watch") as (program, terminal):
        shown = until(terminal, rb"As of [^A]*Last executions.*As of [^A]*Last executions")
        program.send_signal(signal.SIGINT)
        assert program.wait(30) == 0
    times = re.findall(rb"As of .*?(\d\d:\d\d:\d\d) UTC", shown)
    assert len(set(times)) == 2


@contextmanager
def in_a_terminal(*arguments: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Runs a command as a program whose output is a terminal; yields the terminal's end to read from."""
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments],
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "110", "LINES": "50"},
        # A shell starts background processes with interrupts ignored, and this program would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(theirs)
    try:
        yield program, ours
    finally:
        program.kill()
        program.wait()
        os.close(ours)


def until(terminal: int, pattern: bytes) -> bytes:
    """Returns the terminal's text, once it contains this."""
    shown = b""
    while not re.search(pattern, shown, re.DOTALL):
        shown += os.read(terminal, 1 << 16)
    return shown


# Operations whose IAM action has another name.
ACTIONS = {"ListObjectsV2": "s3:ListBucket"}
SERVICES = {"stepfunctions": "states"}
# Methods of the lake's client, and the actions that IAM checks.
OF_THE_LAKE = {"get": "s3:GetObject", "head": "s3:GetObject", "list": "s3:ListBucket", "put": "s3:PutObject"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Collects the actions that AWS is called for. The stand-in for Step Functions calls it in threads of its own."""
    actions: set[str] = set()

    def note(model: Any, **_: object) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        service = model.service_model.service_name
        actions.add(ACTIONS.get(model.name, f"{SERVICES.get(service, service)}:{model.name}"))

    session = boto3.Session()
    session.events.register("provide-client-params", note)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    for method, action in OF_THE_LAKE.items():
        monkeypatch.setattr(S3Store, method, noting(action, getattr(S3Store, method), actions))
    return actions


def noting(action: str, method: Callable[..., Any], actions: set[str]) -> Callable[..., Any]:
    """Returns a method that records its action. On the wire, this process's requests look like the functions'."""

    def noted(*given: Any, **options: Any) -> Any:
        actions.add(action)
        return method(*given, **options)

    return noted


# The local stack has fewer resources to check than a stage on AWS: tests/unit/cli/doctor tests that row.
@pytest.mark.parametrize("command", [command for command in documented_actions() if command != "doctor"])
def test_documented_actions_are_those_that_a_command_needs(
    stack: Stack,
    totes: Totes,
    failed: str,
    command: str,
    asked: set[str],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    request.addfinalizer(lambda: totes("resume"))
    secret = stack.client("secretsmanager").get_secret_value(SecretId=stack.names.warehouse_secret)["SecretString"]
    monkeypatch.setenv("TOTES_PASSWORD", json.loads(secret)["password"])
    if command == "resume":
        totes("pause")
    lines = {
        "history": "history 2",
        "query": "query revenue_by_currency",
        "report": f"report {tmp_path / 'report'}",
        "redrive": f"redrive {failed}",
        "explain": f"explain {failed}",
        "secret": "secret warehouse",
        "check": "check --live",
    }
    asked.clear()
    totes(lines.get(command, command))
    assert asked == documented_actions()[command]


def test_doctor_finds_nothing_where_all_is_well(totes: Totes) -> None:
    totes("run")
    code, out, err = totes("doctor --json")
    found = json.loads(out)["findings"]
    assert (code, err, [finding for finding in found if finding["level"] != "ok"]) == (0, "", [])
    areas = ["Schedule", "Alerts", "Storage", *(f"From inside totes-local-{name}" for name in EXAMINED), "Stack"]
    assert list(dict.fromkeys(finding["area"] for finding in found)) == areas


def test_doctor_names_what_is_wrong_and_what_to_do(stack: Stack, totes: Totes, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: totes("resume"))
    request.addfinalizer(lambda: change(stack, f"GRANT SELECT ON payment TO {READER}"))
    totes("pause --reason move")
    change(stack, f"REVOKE SELECT ON payment FROM {READER}")
    code, out, _ = totes("doctor")
    assert code == 1
    assert "The user may not read payment of totesys." in out
    assert "→ GRANT SELECT ON payment to the user that the source's secret names." in out
    assert re.search(r"warning +The schedule has been paused since .*: move\.", out)
    assert out.endswith("1 warning, 1 FAILED.\n")


def test_every_command_that_speaks_to_aws_is_documented() -> None:
    from cli.main import COMMANDS

    local = {"demo", "drill", "up", "simulate", "psql"}
    assert documented_actions().keys() == {command.__name__ for command in COMMANDS} - local
