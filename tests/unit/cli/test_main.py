import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app, main
from cli.questions import all_questions

ROOT = Path(__file__).parents[3]
COMMANDS = (
    *("up", "run", "status", "doctor", "explain", "logs", "redrive", "pause", "resume"),
    *("check", "reconcile", "replay", "history", "query", "report", "psql", "simulate", "demo"),
)


@pytest.fixture(autouse=True)
def _no_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTES_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TOTES_STAGE", raising=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"totes {command}" in result.output or f"Usage: root {command}" in result.output
    assert "<bool>" not in result.output


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f" {command} " in shown for command in COMMANDS)
    assert "<bool>" not in shown


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param("nope", "No such command 'nope'. See `totes --help`.", id="unknown command"),
        pytest.param("run --foo", "No such option: --foo. See `totes run --help`.", id="unknown option"),
        pytest.param("history", "Which sales order? `totes history --amended` lists those that were", id="no order"),
        pytest.param("history --payment", "Which payment? `totes history --payment --amended` lists", id="no payment"),
        pytest.param("history 1 --amended", "Give an id or --amended, not both.", id="an order and a list"),
        pytest.param("history --amended --json --csv", "Give --json or --csv, not both.", id="two formats of a list"),
        pytest.param("history --amended --limit 0", "Invalid value for '--limit'", id="no limit"),
        pytest.param("history x", "Invalid value for 'order'", id="order that is no number"),
        *(
            pytest.param(f"history {line}", f"{said}: ids range from -2147483648 to 2147483647.", id=line)
            for line, said in (
                ("99999999999999999999", "99999999999999999999 can't be a sales order"),
                ("--purchase 2147483648", "2147483648 can't be a purchase order"),
                ("--payment -- -2147483649", "-2147483649 can't be a payment"),
            )
        ),
        pytest.param("history 1 --purchase --payment", "Give --purchase or --payment, not both.", id="two kinds"),
        pytest.param(
            "run --full-read stff",
            "--full-read: There is no source table stff. Did you mean staff? There are: address, counterparty, ",
            id="table misspelt",
        ),
        pytest.param(
            "run --full-read fact_payment --full-read staff",
            "--full-read: There is no source table fact_payment. Did you mean payment? There are: address, ",
            id="table of the warehouse",
        ),
        pytest.param(
            "run --accept-deletions paymnt=1",
            "--accept-deletions: There is no source table paymnt. Did you mean payment? There are: address, ",
            id="deletions of a table misspelt",
        ),
        *(
            pytest.param(
                f"run --accept-deletions {given}",
                f"--accept-deletions {given} is not TABLE=ROWS, like payment=120.",
                id=f"deletions {given}",
            )
            for given in ("nope", "=7", "payment", "payment=", "payment=0", "payment=-1", "payment=many", "payment=²")
        ),
        pytest.param(
            "run --accept-deletions payment=1 --accept-deletions payment=2",
            "--accept-deletions names payment twice.",
            id="deletions twice",
        ),
        pytest.param("query", "Which question? `totes query --list` shows all.", id="no question"),
        pytest.param(
            "query profit", "There is no question profit. There are: growth_by_quarter", id="unknown question"
        ),
        pytest.param(
            "query order_histroy",
            "There is no question order_histroy. Did you mean order_history? There are: growth_by_quarter",
            id="question misspelt",
        ),
        pytest.param(
            "query order_history -p order_id=1 -p order_id=2", "--param order_id is given twice.", id="parameter twice"
        ),
        pytest.param("query order_history", "order_history needs --param order_id=…", id="missing parameter"),
        pytest.param("query orders_as_of -p moment", "--param moment is not NAME=VALUE", id="parameter without value"),
        pytest.param("query revenue_by_month --csv --chart", "Give one of --json, --csv", id="chart in CSV"),
        pytest.param("query order_history --chart", "order_history has no chart. These have", id="no chart"),
        pytest.param("query revenue_by_month --chart a.pdf", "a.pdf must end in one of .svg, .png, .html.", id="PDF"),
        pytest.param("query revenue_by_month --chart a", "a must end in one of .svg, .png, .html.", id="no extension"),
        pytest.param("query revenue_by_month a.svg", "a.svg? Add --chart to draw", id="file without chart"),
        pytest.param("query --chart a.svg revenue_by_month", "a.svg is not a question: write", id="file first"),
        pytest.param("query revenue_by_month --csv --json", "Give one of --json, --csv and --chart.", id="two formats"),
        pytest.param("up --every soon", "--every soon is not an interval", id="interval in words"),
        pytest.param("up --every 0s", "--every 0s is not an interval", id="interval of nothing"),
        pytest.param(
            "logs --level loud", "--level loud is not one of DEBUG, INFO, WARNING, ERROR, CRITICAL.", id="level"
        ),
        pytest.param("logs --follow --json", "Give --follow or --json, not both.", id="following in JSON"),
        pytest.param("status --watch --json", "Give --watch or --json, not both.", id="watching in JSON"),
        pytest.param("status --watch", "--watch needs a terminal", id="watching without a terminal"),
        pytest.param("pause --reason=", "--reason is empty: give a reason, or leave it out.", id="no reason"),
        pytest.param(f"pause --reason={'r' * 301}", "--reason has 301 characters; EventBridge has", id="long reason"),
        pytest.param("up --port 0", "Invalid value for '--port': it must be at least 1. See", id="port of nothing"),
        pytest.param(
            "up --port 99999", "Invalid value for '--port': it must be at most 65535. See", id="port too high"
        ),
        pytest.param("up --no-page --port 8683", "Give --port or --no-page, not both.", id="port without a page"),
        pytest.param(
            "reconcile --table dim_date",
            "There is no comparable table dim_date. Did you mean dim_design? There are: dim_counterparty, ",
            id="table of no source",
        ),
        pytest.param(
            "simulate --days 0", "Invalid value for '--days': it must be at least 1. See `totes", id="no days"
        ),
        pytest.param(
            "simulate --days 1.5", "Invalid value for '--days': it must be a whole number. See", id="half a day"
        ),
        pytest.param(
            "simulate --days 1 --amendments-per-day x",
            "Invalid value for '--amendments-per-day': it must be a number. See `totes simulate --help`.",
            id="amendments in words",
        ),
        *(
            pytest.param(
                f"{command} wharehouse",
                "Invalid value for 'which': 'wharehouse' is not one of 'source', 'warehouse'. Did you mean warehouse? "
                f"See `totes {command} --help`.",
                id=f"database misspelt for {command}",
            )
            for command in ("psql", "secret")
        ),
        pytest.param("--stage prod replay --swap", "--swap changes the warehouse of stage prod: add --yes", id="swap"),
        pytest.param("--stage prod simulate --days 1", "Stage prod is on AWS", id="simulating on AWS"),
    ],
)
def test_bad_arguments_get_one_line(arguments: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"totes: {complaint}")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        *("run", "status", "explain", "logs", "redrive", "pause", "resume"),
        *("reconcile", "history 1", "query revenue_by_month", "simulate --days 1"),
    ],
    ids=lambda c: c.split()[0],
)
def test_without_a_stack_the_remedy_is_named(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    line = capsys.readouterr().err
    assert "totes up" in line
    assert "--stage" in line
    assert line.count("\n") == 1


def test_questions_are_listed_without_a_stack(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "--list", "--json"]) == 0
    listed = {question["name"]: question for question in json.loads(capsys.readouterr().out)}
    assert listed["revenue_by_currency"]["question"] == "What have we sold in each currency?"
    assert [p["name"] for p in listed["order_history"]["parameters"]] == ["order_id"]


def test_unknown_aws_account_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert main(["--stage", "prod", "--region", "eu-west-2", "status"]) == 1
    captured = capsys.readouterr().err
    assert "credentials" in captured
    assert captured.count("\n") == 1


def test_stage_without_a_region_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert main(["--stage", "prod", "status"]) == 2
    assert "No region for stage prod" in capsys.readouterr().err


def test_shell_completes_commands_and_options() -> None:
    def completed(words: str) -> list[str]:
        environment = {"_TOTES_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        done = subprocess.run(
            [sys.executable, "-m", "cli"],
            env={**os.environ, **environment},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stderr == ""
        return done.stdout.split()

    assert completed("totes hi") == ["history"]
    assert completed("totes history --am") == ["--amended"]


@pytest.mark.parametrize("form", ["", " --csv", " --json"])
def test_question_with_a_mistake_is_listed_beside_the_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
) -> None:
    (tmp_path / "good.sql").write_text("-- What?\n\nSELECT 1 AS one;\n")
    (tmp_path / "bad.sql").write_text("SELECT 1 AS one;\n")
    monkeypatch.setattr("cli.questions.FOLDER", tmp_path)
    assert main(["query", "--list", *form.split()]) == 1
    found = capsys.readouterr()
    assert "good" in found.out
    assert found.err.startswith(f"totes: {tmp_path.name}/bad.sql:1: has no header")


@pytest.mark.parametrize("line", ["query --help", "query --list"])
def test_way_to_write_a_question_is_shown(capsys: pytest.CaptureFixture[str], line: str) -> None:
    assert main(line.split()) == 0
    assert "CONTRIBUTING.md" in capsys.readouterr().out


def test_questions_are_listed_for_scripts_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "--list", "--csv"]) == 0
    listed = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert main(["query", "--list", "--json"]) == 0
    documents = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in listed] == [document["name"] for document in documents] == list(all_questions())
    assert [row["chart"] or None for row in listed] == [document["chart"] for document in documents]
    assert {row["name"]: row["parameters"] for row in listed if row["parameters"]} == {
        "order_history": "order_id",
        "orders_as_of": "[moment]",
        "payments_by_age": "[as_of]",
    }
