"""If something is missing, closed or broken, every command prints one line and no traceback."""

import fcntl
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import botocore.client
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from cli import main as command_line
from cli.deployment import Target

ROOT = Path(__file__).parents[3]
# Commands that call a deployment, with valid arguments.
ASKING = (
    *(
        "run",
        "run --full-read staff",
        "status",
        "doctor",
        "explain",
        "explain one",
        "logs",
        "logs one",
        "redrive",
        "redrive one",
    ),
    *("pause", "resume", "secret source", "reconcile", "replay", "history 1", "query revenue_by_month", "check --live"),
)
WHOLE = "--host h --dbname d --username u"
ON_THIS_MACHINE = ("simulate --days 1",)
ALL = ("", *(command.__name__ for command in command_line.COMMANDS))


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leaves no stack, no configuration of AWS, and a temporary folder of the test's own."""
    monkeypatch.setenv("TOTES_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOTES_PASSWORD", "hunter2")
    monkeypatch.delenv("TOTES_STAGE", raising=False)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield
    boto3.DEFAULT_SESSION = None


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hunter2")


def complaint(capsys: pytest.CaptureFixture[str], line: str) -> str:
    """Runs a command that must fail; returns its message, which must be one line without a secret."""
    code = command_line.main(line.split())
    captured = capsys.readouterr()
    assert code in (1, 2), captured.out
    assert captured.err.startswith("totes: ")
    assert captured.err.count("\n") == 1, captured.err
    assert "Traceback" not in captured.out + captured.err
    assert "hunter2" not in captured.out + captured.err
    return captured.err


def deployed(line: str, more: str = "--region eu-west-2") -> str:
    return f"--stage prod {more} {line}"


@pytest.mark.parametrize("line", ASKING)
def test_no_credentials(capsys: pytest.CaptureFixture[str], line: str) -> None:
    said = complaint(capsys, deployed(line))
    assert "Unable to locate credentials. Log in to AWS, or name another profile with --profile." in said


@pytest.mark.parametrize("line", ASKING)
def test_unknown_profile(capsys: pytest.CaptureFixture[str], line: str) -> None:
    said = complaint(capsys, deployed(line, "--region eu-west-2 --profile nobody"))
    assert "(nobody) could not be found. Log in to AWS, or name another profile" in said


@pytest.mark.parametrize("line", ASKING)
def test_no_region(capsys: pytest.CaptureFixture[str], line: str) -> None:
    assert "No region for stage prod: give --region" in complaint(capsys, deployed(line, ""))


@pytest.mark.parametrize("region", ["nowhere", "eu_west_2", "-", "eu-west-2.evil.example/"])
def test_wrong_region(
    capsys: pytest.CaptureFixture[str], credentials: None, monkeypatch: pytest.MonkeyPatch, region: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    complaint(capsys, deployed("status", f"--region={region}"))


@pytest.mark.parametrize("line", ASKING)
def test_no_network(
    capsys: pytest.CaptureFixture[str], credentials: None, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert "Check the network and the proxy. For the local stack" in complaint(capsys, deployed(line))


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("ExpiredToken", "Log in to AWS"),
        ("ExpiredTokenException", "Log in to AWS"),
        ("InvalidClientTokenId", "Log in to AWS"),
        ("AccessDenied", "docs/deploy.md lists the rights"),
        ("Throttling", "An error occurred (Throttling)"),
    ],
)
@pytest.mark.parametrize("line", ASKING)
def test_aws_refuses(
    capsys: pytest.CaptureFixture[str],
    credentials: None,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    code: str,
    remedy: str,
) -> None:
    def refuse(_client: object, operation: str, _given: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "Because\nof this."}}, operation)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", refuse)
    assert remedy in complaint(capsys, deployed(line))


# `check` prints its findings on stdout, line by line.
# For `doctor`, a missing stack is a finding (tests/unit/cli/doctor).
@pytest.mark.parametrize("line", [line for line in ASKING if line not in ("check --live", "doctor")])
def test_stage_that_is_not_there(capsys: pytest.CaptureFixture[str], credentials: None, line: str) -> None:
    with mock_aws():
        complaint(capsys, deployed(line).replace("prod", "nowhere"))


def test_wrong_stage_is_said_to_be_one(capsys: pytest.CaptureFixture[str], credentials: None) -> None:
    with mock_aws():
        assert "is the stage deployed there?" in complaint(capsys, deployed("run"))


@pytest.mark.parametrize("line", [*ASKING, *ON_THIS_MACHINE])
@pytest.mark.parametrize("text", ["{", "[]", "null", '{"pid": 7}', '{"pid": 7, "of": "another release"}'])
def test_state_of_a_stack_that_is_not_ours(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, text: str
) -> None:
    (tmp_path / "home").mkdir()
    with (tmp_path / "home" / "stack.json").open("w+") as file:
        file.write(text)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "stack.json is not a state file of this release: stop the stack" in complaint(capsys, line)


@pytest.mark.parametrize("text", ["{", '{"pid": 7}'])
def test_home_that_is_taken(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str) -> None:
    (tmp_path / "home").mkdir()
    with (tmp_path / "home" / "stack.json").open("w+") as file:
        file.write(text)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        assert " already" in complaint(capsys, "up --no-page")


@pytest.mark.parametrize("line", [*ASKING, *ON_THIS_MACHINE])
def test_home_that_is_no_folder(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setenv("TOTES_HOME", os.devnull)
    complaint(capsys, line)


@pytest.mark.parametrize("folder", ["/proc/x", "/proc", "/dev/null/x"])
@pytest.mark.server
def test_folder_that_takes_no_data(capsys: pytest.CaptureFixture[str], folder: str) -> None:
    code = command_line.main(["up", "--no-page", "--data", folder])
    captured = capsys.readouterr()
    assert code == 1
    assert captured.err.startswith("totes: ")
    assert captured.err.count("\n") == 1
    assert "/proc" in captured.err or "/dev/null" in captured.err


@pytest.mark.parametrize("line", [*ASKING, *ON_THIS_MACHINE])
def test_unexpected_error_leaves_traceback_in_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    def fail(_target: object) -> None:
        raise KeyError("password=hunter2")

    monkeypatch.setattr(Target, "connect", fail)
    monkeypatch.setattr(Target, "stack", fail)
    said = complaint(capsys, line)
    (file,) = tmp_path.glob("totes-*.txt")
    assert f"This is a bug; its traceback is in {file}." in said
    assert "in fail" in file.read_text()
    assert "raise KeyError" in file.read_text()


def test_full_disk_takes_the_traceback_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Target, "connect", lambda _: 1 / 0)
    monkeypatch.setattr("tempfile.tempdir", "/proc")
    assert "ZeroDivisionError: division by zero. This is a bug; its traceback could not" in complaint(capsys, "status")


@pytest.mark.parametrize("line", [*ASKING, *ON_THIS_MACHINE])
def test_interrupt_is_silent_unless_something_could_have_started(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    def interrupt(_target: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Target, "connect", interrupt)
    monkeypatch.setattr(Target, "stack", interrupt)
    assert command_line.main(line.split()) == 130
    starts = line.split()[0] in ("run", "redrive")
    assert capsys.readouterr().err == ("totes: Nothing was started.\n" if starts else "")


def test_interrupt_while_modules_are_imported_is_one_line() -> None:
    program = """
import os, signal, sys
# Whoever starts the tests in the background may have told them to ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from cli.__main__ import main
sys.exit(main())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    said = "totes: Interrupted before it started: nothing was done.\n"
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", said)


def test_interrupts_that_are_ignored_stay_so() -> None:
    program = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); from cli.__main__ import main; main()"
    program += "; raise SystemExit(signal.getsignal(signal.SIGINT) is not signal.SIG_IGN)"
    arguments = [sys.executable, "-c", program, "--version"]
    assert subprocess.run(arguments, cwd=ROOT, capture_output=True, timeout=60).returncode == 0


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("error", [EOFError, KeyboardInterrupt])
def test_password_that_nobody_types(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    credentials: None,
    error: type[BaseException],
) -> None:
    def refuse(*_given: object, **_more: object) -> str:
        raise error

    monkeypatch.delenv("TOTES_PASSWORD")
    monkeypatch.setattr("sys.stdin", _Terminal())
    monkeypatch.setattr("getpass.getpass", refuse)
    with mock_aws():
        assert command_line.main(deployed(f"secret source {WHOLE}").split()) == 1
    assert capsys.readouterr().err.strip().endswith("totes: No answer, so nothing was done.")


def test_password_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, credentials: None
) -> None:
    monkeypatch.delenv("TOTES_PASSWORD")
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2\n"))
    with mock_aws():
        said = complaint(capsys, deployed(f"secret source {WHOLE}"))
    assert said == "totes: There is no terminal to ask on. Set TOTES_PASSWORD.\n"


def shown(monkeypatch: pytest.MonkeyPatch, line: str, encoding: str) -> str:
    """Returns what a command prints on streams of an encoding."""
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    code = command_line.main(line.split())
    printed = b""
    for stream in streams.values():
        stream.flush()
        printed += stream.buffer.getvalue()  # type: ignore[attr-defined]
    monkeypatch.undo()
    assert code == 0, printed
    assert b"Traceback" not in printed
    return printed.decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("line", [*(f"{name} --help".strip() for name in ALL), "query --list"])
def test_any_encoding_shows_it_all(monkeypatch: pytest.MonkeyPatch, line: str, encoding: str) -> None:
    assert shown(monkeypatch, line, encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_json_is_the_same_in_any_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    import json

    from cli import questions
    from cli.render import terminal

    texts = {"café — “x” → 😀": "\x07"}
    assert questions.all_questions()
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    terminal.prepare_streams()
    terminal.say_json(texts)
    stream.flush()
    assert json.loads(stream.buffer.getvalue().decode(encoding)) == texts  # type: ignore[attr-defined]


@pytest.mark.parametrize("closed", ["stdin", "stdout", "stderr"])
@pytest.mark.parametrize("line", [*ASKING, *ON_THIS_MACHINE, "--help", "query --list", "query --list --json"])
def test_closed_streams(monkeypatch: pytest.MonkeyPatch, line: str, closed: str) -> None:
    monkeypatch.setattr(sys, closed, None)
    assert command_line.main(line.split()) in (0, 1, 2)
    getattr(sys, closed).close()


@pytest.mark.parametrize("line", ["", "--help", "run --help", "query --list", "query --list --json"])
def test_reader_that_has_seen_enough(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    complaints: list[Any] = []
    monkeypatch.setattr("cli.main.say_error", complaints.append)
    # Text that is still in the stream's buffer can't be written when the stream is closed.
    with suppress(BrokenPipeError), os.fdopen(writing, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        try:
            code = command_line.main(line.split())
        except SystemExit as end:
            code = int(end.code or 0)
        monkeypatch.undo()
    assert (code, complaints) == (1, [])


def test_pipe_that_closes_is_silent() -> None:
    done = subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -m cli query --list | head -c 1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("--stage \udcff status", "'--stage'"),
        ("--stage prod --region \udcff status", "'--region'"),
        ("--stage prod --profile \udcff status", "'--profile'"),
        *(
            (deployed(line), hint)
            for line, hint in (
                ("run --name a\udcff", "'--name'"),
                ("explain a\udcff", "'execution'"),
                ("logs a\udcff", "'execution'"),
                ("redrive a\udcff", "'execution'"),
                ("pause --reason a\udcff", "'--reason'"),
                ("secret source --host a\udcff", "'--host'"),
                ("secret source --dbname a\udcff", "'--dbname'"),
                ("secret source --username a\udcff", "'--username'"),
                ("query order_history -p order_id=\udcff", "'--param'"),
            )
        ),
    ],
    ids=ascii,
)
def test_arguments_that_are_not_utf_8(
    capsys: pytest.CaptureFixture[str],
    credentials: None,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    hint: str,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    said = complaint(capsys, line)
    assert said.startswith(f"totes: Invalid value for {hint}")
    assert ": it has bytes that are not UTF-8. See `totes " in said


def test_password_in_the_environment_that_is_not_utf_8(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOTES_PASSWORD", "hunter2\udcff")
    said = complaint(capsys, deployed("secret source"))
    assert "TOTES_PASSWORD" in said
    assert "it has bytes that are not UTF-8" in said


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Simulates a terminal at which a password is typed; yields whether it was asked for."""
    prompts: list[str] = []

    def answer(prompt: str, *_more: object) -> str:
        prompts.append(prompt)
        return "hunter2"

    monkeypatch.delenv("TOTES_PASSWORD")
    monkeypatch.setattr("sys.stdin", _Terminal())
    monkeypatch.setattr("getpass.getpass", answer)
    return prompts


# Which of the two a terminal gives depends on the locale.
@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_password_typed_that_is_not_utf_8(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    credentials: None,
    asked: list[str],
    errors: str,
) -> None:
    monkeypatch.setattr("getpass.getpass", lambda *_: b"hunter2\xff\xfe".decode(errors=errors))
    with mock_aws():
        assert command_line.main(deployed(f"secret source {WHOLE}").split()) == 2
    said = "The password has bytes that are not UTF-8: set the terminal to UTF-8, and type it again."
    assert capsys.readouterr().err == f"Password:\ntotes: {said}\n"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"secret source {WHOLE} --sslmode maybe", "--sslmode is none of prefer, require, verify-ca, verify-full."),
        ("secret source --host postgres://h", "--host is a URL: store its parts."),
        ("secret source --dbname=", "--dbname is missing."),
        ("secret source --username=", "--username is missing."),
        ("secret source --host h", "Secret totes/prod/source: dbname is missing; username is missing."),
    ],
)
def test_no_password_is_asked_for_what_can_not_be_used(
    capsys: pytest.CaptureFixture[str], credentials: None, asked: list[str], line: str, found: str
) -> None:
    with mock_aws():
        assert complaint(capsys, deployed(line)).startswith(f"totes: {found}")
    assert asked == []


def test_no_password_is_asked_for_without_a_stack(capsys: pytest.CaptureFixture[str], asked: list[str]) -> None:
    assert "No stack runs in" in complaint(capsys, "secret source")
    assert asked == []
