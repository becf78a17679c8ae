"""The real commands against a real stack: in this process if they end by themselves, else as a program."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli.commands.up import TOUR
from local.stack import Stack
from tests.integration.conftest import Totes, change

ROOT = Path(__file__).parents[2]
FIRST_LOAD = re.compile(r"sales_order 11,\d{3}")


@pytest.fixture
def loaded(totes: Totes) -> Totes:
    """Returns the stack after its source's content was loaded into the warehouse."""
    assert totes("run")[0] == 0
    return totes


def test_run_shows_states_rows_and_outcome(stack: Stack, loaded: Totes) -> None:
    change(stack, "UPDATE design SET file_location = file_location || '/x' WHERE design_id = 1")
    code, shown, _ = loaded("run")
    assert code == 0
    lines = [line.split() for line in shown.splitlines() if line]
    assert [line[0] for line in lines if line[1:] and line[-1] in {"ms", "s"}][:4] == [
        "Ingest",
        "NewData?",
        "Transform",
        "Load",
    ]
    assert ["design", "1", "dim_design", "1"] in lines
    assert "SUCCEEDED" in shown


def test_run_with_nothing_new_says_so(loaded: Totes) -> None:
    code, shown, _ = loaded("run")
    assert code == 0
    assert "Nothing new: no object and no row was written." in shown
    assert "Transform" not in shown


def test_run_writes_pure_json(loaded: Totes) -> None:
    code, shown, _ = loaded("run --json --name in-json")
    execution = json.loads(shown)
    assert code == 0
    assert (execution["name"], execution["status"]) == ("in-json", "SUCCEEDED")
    assert execution["states"][0]["name"] == "Ingest"
    assert execution["states"][0]["seconds"] > 0
    assert execution["output"]["load"]["batches"] == 0
    assert execution["input"] == {}


def test_run_has_the_input_that_its_options_say(loaded: Totes) -> None:
    code, shown, _ = loaded(
        "run --json --full-read staff --full-read design --full-read staff --accept-deletions payment=7"
    )
    execution = json.loads(shown)
    assert code == 0
    assert execution["input"] == {"full_read": ["staff", "design"], "accept_deletions": {"payment": 7}}
    assert execution["output"]["ingest"]["full_read"].keys() == {"staff", "design"}


def test_failed_run_says_why_and_exits_one(stack: Stack, totes: Totes) -> None:
    change(stack, "ALTER TABLE design RENAME file_name TO name_of_file")
    code, shown, _ = totes("run")
    change(stack, "ALTER TABLE design RENAME name_of_file TO file_name")
    assert code == 1
    assert "FAILED" in shown
    assert "ContractViolation: totesys is not as declared: column design.file_name" in shown
    assert "stackTrace" not in shown


def test_name_that_is_taken_is_one_line(loaded: Totes) -> None:
    assert loaded("run --name taken")[0] == 0
    code, _, complaint = loaded("run --name taken --full-read staff")
    assert code == 2
    assert complaint == "totes: Execution taken already exists: give another --name, or none.\n"


def test_status_shows_three_logs_at_one_batch(loaded: Totes) -> None:
    code, shown, _ = loaded("status --json")
    status = json.loads(shown)
    assert code == 0
    assert [log["log"] for log in status["logs"]] == ["landed", "processed", "loaded"]
    assert len({log["batch"] for log in status["logs"]}) == 1
    assert len({log["snapshot_at"] for log in status["logs"]}) == 1
    # The counts fall from stage to stage: a row that comes again unchanged changes nothing in the warehouse.
    landed, processed, found = (log["rows"] for log in status["logs"])
    assert landed >= processed >= found
    assert status["freshness"]["kept"]
    assert status["executions"][0]["status"] == "SUCCEEDED"


def test_status_exits_one_when_the_promise_is_broken(loaded: Totes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.progress.PROMISE", timedelta(0))
    code, shown, _ = loaded("status")
    assert code == 1
    assert "The warehouse shows totesys as it was " in shown
    assert " promised." in shown


def test_status_reads_well(loaded: Totes) -> None:
    code, shown, _ = loaded("status")
    assert code == 0
    assert "The warehouse shows totesys as it was " in shown
    assert all(word in shown for word in ("landed", "processed", "loaded", "Last executions", "SUCCEEDED"))


@pytest.mark.parametrize(
    ("flag", "table", "key", "column", "amendment"),
    [
        ("", "sales_order", "sales_order_id", "units_sold", "units_sold + 1"),
        ("--purchase", "purchase_order", "purchase_order_id", "item_code", "reverse(item_code)"),
        ("--payment", "payment", "payment_id", "paid", "NOT paid"),
    ],
)
def test_history_shows_a_silent_amendment(
    stack: Stack, loaded: Totes, flag: str, table: str, key: str, column: str, amendment: str
) -> None:
    before = len(versions(loaded, flag))
    change(stack, f"UPDATE {table} SET {column} = {amendment} WHERE {key} = 2")
    assert loaded("run")[0] == 0
    after = versions(loaded, flag)
    assert len(after) == before + 1
    assert after[-1]["changed"] == [column]
    assert after[-2]["valid_to"] == after[-1]["valid_from"]
    assert after[-1]["valid_to"] is None
    code, shown, _ = loaded(f"history 2 {flag}")
    assert code == 0
    assert f"{before + 1} versions" in shown
    assert "→" in shown
    assert "All versions have the same last_updated" in shown


@pytest.mark.parametrize(
    ("flag", "table", "key", "column", "amendment"),
    [
        ("", "sales_order", "sales_order_id", "units_sold", "units_sold + 1"),
        ("--purchase", "purchase_order", "purchase_order_id", "item_code", "reverse(item_code)"),
        ("--payment", "payment", "payment_id", "paid", "NOT paid"),
    ],
)
def test_amended_orders_are_listed(
    stack: Stack, loaded: Totes, flag: str, table: str, key: str, column: str, amendment: str
) -> None:
    for order in (5, 6, 5):
        change(stack, f"UPDATE {table} SET {column} = {amendment} WHERE {key} = {order}")
        assert loaded("run")[0] == 0
    code, document, _ = loaded(f"history {flag} --amended --json")
    found = json.loads(document)
    assert code == 0
    assert [row["id"] for row in found][:2] == [5, 6]
    assert {row["entity"] for row in found} <= ({table} if flag else {"sales_order", "purchase_order"})
    assert (found[0]["versions"], found[0]["changed"]) == (3, [column])
    last = json.loads(loaded(f"history 5 {flag} --json")[1])["versions"][-1]
    assert found[0]["amended_at"] == last["valid_from"]
    _, lines, _ = loaded(f"history {flag} --amended --limit 1 --csv")
    assert [row["id"] for row in csv.DictReader(io.StringIO(lines))] == ["5"]
    _, shown, _ = loaded(f"history {flag} --amended --limit 1")
    words = table.replace("_", " ") if flag else "order"
    assert f"1 of {len(found)} {words}s, latest amendment first" in shown
    assert f"totes history {flag} 5".replace("  ", " ") in shown
    _, versions, _ = loaded(f"history 5 {flag} --csv")
    assert [row["changed"] for row in csv.DictReader(io.StringIO(versions))] == ["", column, column]


def test_deletion_of_an_amended_order_is_listed(stack: Stack, loaded: Totes) -> None:
    change(stack, "UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = 8")
    assert loaded("run")[0] == 0
    change(stack, "UPDATE transaction SET sales_order_id = NULL WHERE sales_order_id = 8")
    change(stack, "DELETE FROM sales_order WHERE sales_order_id = 8")
    assert loaded("run")[0] == 0
    row = json.loads(loaded("history --amended --limit 1 --json")[1])[0]
    assert (row["entity"], row["id"], row["versions"], row["changed"]) == (
        "sales_order",
        8,
        2,
        ["units_sold", "deleted"],
    )


def test_reconcile_agrees_after_a_run(stack: Stack, loaded: Totes) -> None:
    code, shown, complaint = loaded("reconcile")
    assert (code, complaint) == (0, "")
    assert "\nThey agree: " in shown
    change(stack, "UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = 3")
    code, shown, complaint = loaded("reconcile --table fact_sales_order --table dim_staff --json")
    found = json.loads(shown)
    assert (code, complaint, found["agrees"]) == (0, "", True)
    sales, staff = found["tables"]
    assert (sales["table"], sales["on_their_way"]) == ("fact_sales_order", {"rows": 1, "first": [3]})
    assert (staff["table"], staff["on_their_way"]["rows"]) == ("dim_staff", 0)
    assert sales["sums"]["units_sold"]["totesys"] == sales["sums"]["units_sold"]["warehouse"] + 1


def test_reconcile_names_a_difference_and_exits_one(stack: Stack, loaded: Totes) -> None:
    change(stack, "UPDATE dim_currency SET currency_name = 'Pound' WHERE currency_id = 1", database="warehouse")
    try:
        code, shown, complaint = loaded("reconcile")
        in_json, document, _ = loaded("reconcile --json")
    finally:
        change(
            stack,
            "UPDATE dim_currency SET currency_name = 'Pound Sterling' WHERE currency_id = 1",
            database="warehouse",
        )
    assert (code, complaint, in_json, json.loads(document)["agrees"]) == (1, "", 1, False)
    assert "dim_currency: 1 differing in currency_name (1); currency_id 1" in shown
    assert ["1", "currency_name", "Pound", "Sterling", "Pound"] in [line.split() for line in shown.splitlines()]
    assert shown.endswith("\nThey differ: 1 differing, in dim_currency.\n")


def test_replay_agrees_after_a_run(loaded: Totes, log: io.StringIO) -> None:
    code, shown, complaint = loaded("replay")
    assert (code, complaint, log.getvalue()) == (0, "", "")
    lines = [line.split() for line in shown.splitlines()]
    assert ["dim_currency", "3", "3", "0", "0", "0"] in lines
    assert shown.splitlines()[-1].startswith("They agree: ")
    assert loaded("replay --swap") == (0, f"{shown}Nothing to swap.\n", "")


def test_replay_names_a_difference_and_a_swap_heals_it(stack: Stack, loaded: Totes) -> None:
    change(stack, "UPDATE dim_currency SET currency_name = 'Pound' WHERE currency_id = 1", database="warehouse")
    change(stack, "DELETE FROM fact_payment WHERE payment_record_id BETWEEN 11 AND 20", database="warehouse")
    code, shown, complaint = loaded("replay")
    assert (code, complaint) == (1, "")
    assert "\ndim_currency: 1 differing in currency_name (1); currency_id 1\n" in shown
    assert "\nfact_payment: 10 missing; payment_record_id 11, payment_id " in shown
    assert "; and 5 more\n" in shown
    told, advised = shown.splitlines()[-2:]
    assert told == "They differ: 10 missing, 1 differing, in dim_currency, fact_payment."
    assert advised == "totes replay --swap makes the warehouse equal to the lake."
    code, document, complaint = loaded("replay --swap --json")
    found = json.loads(document)
    assert (code, complaint, found["agrees"], found["swapped"]) == (0, "", False, True)
    payments = next(table for table in found["tables"] if table["table"] == "fact_payment")
    assert (payments["missing"]["rows"], payments["missing"]["first"][0]["payment_record_id"]) == (10, 11)
    code, document, _ = loaded("replay --json")
    assert (code, json.loads(document)["agrees"]) == (0, True)


def test_swap_on_aws_is_asked_for(stack: Stack, loaded: Totes, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = "UPDATE dim_currency SET currency_name = 'Pound' WHERE currency_id = 1"
    monkeypatch.setattr("cli.commands.replay.LOCAL", "another stage")
    change(stack, rename, database="warehouse")
    for refusal in ("n\n", "\n", ""):
        code, shown, complaint = asked_to_swap(loaded, monkeypatch, refusal)
        assert code == 1
        assert "dim_currency: 1 differing" in shown
        assert complaint.endswith("totes: Not swapped: the live warehouse is unchanged.\n")
    code, shown, _ = asked_to_swap(loaded, monkeypatch, "y\n")
    assert code == 0
    assert "dim_currency: 1 differing" in shown
    assert shown.endswith("Swapped.\n")

    change(stack, rename, database="warehouse")
    assert loaded("replay --swap --yes")[0] == 0
    assert loaded("replay")[0] == 0


def asked_to_swap(totes: Totes, monkeypatch: pytest.MonkeyPatch, answer: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    code, shown, complaint = totes("replay --swap")
    assert "Replace the content of stage local's warehouse with the replay's? [y/N]" in complaint
    return code, shown, complaint


class Terminal(io.StringIO):
    """Sends input like a person at a keyboard."""

    def isatty(self) -> bool:
        return True


def versions(totes: Totes, flag: str) -> list[dict[str, Any]]:
    code, shown, _ = totes(f"history 2 {flag} --json")
    assert code == 0
    found: list[dict[str, Any]] = json.loads(shown)["versions"]
    return found


def test_unknown_order_is_one_line(loaded: Totes) -> None:
    assert loaded("history 99999999") == (1, "", "totes: The warehouse has never seen sales order 99999999.\n")


def test_query_answers_as_table_json_and_csv(loaded: Totes) -> None:
    _, table, _ = loaded("query revenue_by_currency")
    _, document, _ = loaded("query revenue_by_currency --json")
    _, lines, _ = loaded("query revenue_by_currency --csv")
    rows = json.loads(document, parse_float=str)
    assert [row["currency_code"] for row in rows] == ["EUR", "GBP", "USD"]
    assert [row["revenue"] for row in csv.DictReader(io.StringIO(lines))] == [row["revenue"] for row in rows]
    assert "What have we sold in each currency?" in table
    assert all(f"{row['orders']:,}" in table for row in rows)


def test_query_shows_what_it_answers_assumes_and_is_from(loaded: Totes) -> None:
    _, shown, _ = loaded("query revenue_by_currency")
    words = " ".join(shown.split())
    assert re.search(r"3 rows from batch \d+, totesys as of 20\d\d-", words)
    assert "Answers: per currency, orders, units, revenue" in words
    assert "Assumes: revenue is counted when ordered, not when paid" in words


@pytest.mark.parametrize(
    ("name", "begins"),
    [("r.svg", b"<svg "), ("r.PNG", b"\x89PNG"), ("r.html", b"<!doctype html>")],
)
def test_query_draws_into_a_file(loaded: Totes, tmp_path: Path, name: str, begins: bytes) -> None:
    code, shown, said = loaded(f"query revenue_by_month --chart {tmp_path / name}")
    assert (code, shown) == (0, "")
    assert said == f"Wrote {tmp_path / name}.\n"
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_query_draws_bars_on_the_terminal(loaded: Totes) -> None:
    code, shown, _ = loaded("query revenue_by_month --chart")
    assert code == 0
    assert "revenue, EUR" in shown
    assert shown.count("█") > 100
    assert "(unfinished)" in shown
    assert "Assumes: " in shown


def test_page_of_an_answer_needs_nothing_else(loaded: Totes, tmp_path: Path) -> None:
    loaded(f"query top_designs_by_country --chart {tmp_path / 'page.html'}")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<svg ") == page.count("<figure ") == 5
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="', page)
    assert "Which three designs sell best" in page
    assert "A design is its name" in page


def test_query_takes_parameters(loaded: Totes) -> None:
    code, shown, _ = loaded("query order_history --param order_id=3 --json")
    assert code == 0
    assert json.loads(shown)[0]["version"] == 1


def test_query_with_value_that_can_not_be_is_one_line(loaded: Totes) -> None:
    for given, said in {
        "order_history -p order_id=three": 'invalid input syntax for type integer: "three"',
        "order_history -p order_id=2147483648": 'value "2147483648" is out of range for type integer',
        "orders_as_of -p moment=294277-01-01": 'timestamp out of range: "294277-01-01"',
        "payments_by_age -p as_of=infinity": "cannot subtract infinite dates",
    }.items():
        assert loaded(f"query {given}") == (2, "", f"totes: {given.split()[0]}: {said}.\n")


def test_simulated_day_arrives_with_the_next_run(loaded: Totes) -> None:
    code, shown, _ = loaded("simulate --days 1 --amendments-per-day 2")
    assert code == 0
    day = next(line for line in shown.splitlines() if line.count("-") == 2)
    sales, purchases, _designs, _paid, amended = (int(word) for word in day.split()[2:])
    assert amended == 2
    _, document, _ = loaded("run --json")
    assert json.loads(document)["output"]["load"]["inserted"]["dim_transaction"] == sales + purchases


def test_tour_of_up_ends_with_an_order_that_was_amended(loaded: Totes) -> None:
    def amended() -> int:
        return len(json.loads(loaded("history --amended --json --limit 1000")[1]))

    before = amended()
    assert [loaded(command.removeprefix("totes "))[0] for command in TOUR] == [0] * len(TOUR)
    assert amended() > before


def test_second_stack_in_one_home_is_refused(stack: Stack) -> None:
    program = subprocess.run(totes_up(), capture_output=True, text=True, timeout=60, env=plain_environment())
    assert program.returncode == 2
    assert program.stderr.startswith("totes: A stack already runs in")
    assert program.stderr.count("\n") == 1


def test_up_loads_names_an_amended_order_and_leaves_nothing(tmp_path: Path) -> None:
    with up(tmp_path, "--every", "5s", "--simulate", "--day", "5s", "--amendments-per-day", "20") as program:
        # Executions that overlap on a slow machine are reported in the order in which they end.
        loads: set[bool] = set()
        asked: list[str] = []
        while (len(loads) < 2 or not asked) and program.poll() is None:
            line = line_with(program, "")
            if " loaded in " in line:
                loads.add(bool(FIRST_LOAD.search(line)))
            if " was amended. See what changed: " in line:
                asked = line.partition(": totes ")[2].split()
        environment = plain_environment() | {"TOTES_HOME": str(tmp_path / "home")}
        history = subprocess.run(
            [*totes_up()[:-1], *asked], capture_output=True, text=True, timeout=60, env=environment
        )
        program.send_signal(signal.SIGINT)
        rest, complaint = program.communicate()
    assert loads == {True, False}
    assert asked[0] == "history"
    assert " versions\n" in history.stdout
    assert "→" in history.stdout
    assert rest.endswith("Stopped. Nothing is left behind.\n")
    assert (program.returncode, complaint) == (0, "")
    assert not (tmp_path / "home").exists()


def test_up_serves_the_page_to_its_own_origin_until_interrupted(tmp_path: Path) -> None:
    with up(tmp_path, "--every", "1h", "--no-seed") as program:
        announced = re.search(r"See it at http://127\.0\.0\.1:(\d+)$", line_with(program, "See it at"))
        aws = re.search(r"AWS at http://127\.0\.0\.1:(\d+), ", line_with(program, "AWS at"))
        assert announced
        assert aws
        port = int(announced[1])
        assert line_with(program, "no row of the warehouse differs")
        page = fetched(port, "/")
        batches = json.loads(fetched(port, "/parts"))["parts"]["batches"]
        # All listening sockets of any part, so that a port that is added later is tested, too.
        ports = listening(program.pid)
        answers = {(where, name): answered(where, *asked) for where in ports for name, asked in foreign(where).items()}
        unharmed = [
            answered(port, "GET", "/", {}),
            answered(int(aws[1]), "GET", "/totes-local-landing-123456789012", SDK),
        ]
        program.send_signal(signal.SIGINT)
        rest, complaint = program.communicate()
    assert all(text in page for text in ('data-state="Ingest"', 'data-state="Load"', "On failure"))
    assert batches.count('<p class="batch">1</p>') == 3
    # PostgreSQL is not among them: it only has a Unix socket.
    assert ports == {port, int(aws[1])}
    assert {asked: answer for asked, answer in answers.items() if answer != (403, set())} == {}
    assert [status for status, _ in unharmed] == [200, 200]
    assert (rest.splitlines()[-1], program.returncode, complaint) == ("Stopped. Nothing is left behind.", 0, "")
    with pytest.raises(ConnectionRefusedError):
        fetched(port, "/")


def test_up_without_the_page_serves_none(tmp_path: Path) -> None:
    with up(tmp_path, "--every", "1h", "--no-seed", "--no-page") as program:
        shown = line_with(program, "The local stack is up.")
        asked = [*totes_up()[:-1], "status"]
        environment = plain_environment() | {"TOTES_HOME": str(tmp_path / "home")}
        status = subprocess.run(asked, capture_output=True, text=True, timeout=60, env=environment)
        program.send_signal(signal.SIGINT)
        rest, _ = program.communicate()
    assert "See it at" not in shown + rest
    assert "The schedule is on: every 1h." in status.stdout
    assert program.returncode == 0


def test_demo_tells_the_whole_story(tmp_path: Path) -> None:
    program = subprocess.run(
        [sys.executable, "-m", "cli", "demo"],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
        env=plain_environment() | {"TOTES_HOME": str(tmp_path)},
    )
    assert (program.returncode, program.stderr) == (0, "")
    story = program.stdout
    assert story.count("SUCCEEDED") == 3
    assert story.count("Nothing new: no object and no row was written.") == 1
    assert "All versions have the same last_updated" in story
    assert "\nThey agree: " in story
    assert "Which three designs sell best" in story
    assert "\x1b" not in story
    assert max(len(line) for line in story.splitlines()) <= 110
    assert list(tmp_path.iterdir()) == []


@contextmanager
def up(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Runs `totes up` as a program, in a home of its own."""
    program = subprocess.Popen(
        totes_up(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=plain_environment() | {"TOTES_HOME": str(folder / "home"), "PYTHONFAULTHANDLER": "1"},
        # A shell starts background processes with interrupts ignored, and this program would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    # If it is aborted, it shows where it hangs.
    watchdog = threading.Timer(300, program.send_signal, (signal.SIGABRT,))
    watchdog.start()
    with program:
        try:
            yield program
        finally:
            watchdog.cancel()
            program.kill()


def line_with(program: "subprocess.Popen[str]", words: str) -> str:
    """Returns the next line of a program that has these words."""
    assert program.stdout is not None
    return next((line for line in program.stdout if words in line), f"not said: {words}")


def fetched(port: int, path: str) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    with closing(connection):
        connection.request("GET", path)
        return connection.getresponse().read().decode()


def listening(pid: int) -> set[int]:
    """Returns the ports at which a program and its children wait for connections or datagrams, on loopback."""
    program = psutil.Process(pid)
    sockets = [at for process in (program, *program.children(recursive=True)) for at in process.net_connections("inet")]
    waiting = [at.laddr for at in sockets if at.status == psutil.CONN_LISTEN or (at.laddr and not at.raddr)]
    assert {address.ip for address in waiting} == {"127.0.0.1"}
    return {address.port for address in waiting}


BUCKET = "/totes-local-landing-123456789012"
SDK = {"Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/eu-west-2/s3/aws4_request, Signature=x"}
Request = tuple[str, str, dict[str, str]]


def foreign(port: int) -> dict[str, Request]:
    """Returns the requests that a foreign page can make a browser send to a port of this machine: method, path and
    headers.
    """
    evil, here = "http://evil.example", f"127.0.0.1:{port}"
    simple = {"Content-Type": "text/plain"}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    preflight = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
    embedded = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    return {
        "simple post": ("POST", "/moto-api/reset", simple | {"Origin": evil}),
        "post by another name": ("POST", "/moto-api/reset", simple | {"Origin": evil, "Host": f"localhost:{port}"}),
        "form": ("POST", "/", form | {"Origin": evil, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}),
        "form of a sandbox": ("POST", "/executions", form | {"Origin": "null"}),
        "post of a neighbouring port": ("POST", "/moto-api/reset", simple | {"Origin": "http://127.0.0.1:1"}),
        "form that hides where it is from": ("POST", "/moto-api/reset", form | {"Sec-Fetch-Site": "cross-site"}),
        "fetch": ("GET", "/moto-api/data.json", {"Origin": evil, "Sec-Fetch-Site": "cross-site"}),
        "image": ("GET", "/", embedded | {"Sec-Fetch-Site": "cross-site"}),
        "image of a neighbouring port": ("GET", "/", embedded | {"Sec-Fetch-Site": "same-site"}),
        "preflight": ("OPTIONS", f"{BUCKET}/x", preflight | {"Origin": evil}),
        "signed": ("PUT", f"{BUCKET}/x", SDK | {"Origin": evil}),
        "name that resolves to here": ("GET", "/", {"Host": f"evil.example:{port}"}),
        "the same, without a port": ("GET", "/", {"Host": "evil.example"}),
        "the same, posting": (
            "POST",
            "/moto-api/reset",
            {"Host": f"evil.example:{port}", "Origin": f"{evil}:{port}", "Sec-Fetch-Site": "same-origin"},
        ),
        "a name of AWS": ("GET", "/", {"Host": "totes-local-landing-123456789012.s3.amazonaws.com"}),
        "all interfaces": ("GET", "/", {"Host": f"0.0.0.0:{port}"}),
        "no host": ("GET", "/", {"Host": ""}),
        "end of a name": ("GET", "/", {"Host": f"evil-{here}"}),
    }


def answered(port: int, method: str, path: str, headers: dict[str, str]) -> tuple[int, set[str]]:
    """Returns the status, and the headers that let a page of another origin read the answer."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name for name in answer.headers if name.lower().startswith("access-control-")}


def totes_up(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cli", "up", *arguments]


def plain_environment() -> dict[str, str]:
    """Returns the environment without the variables about AWS that this process's stack has set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {"PYTHONPATH": str(ROOT)}
