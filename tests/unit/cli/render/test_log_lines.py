import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from rich.console import Console

from cli.commands.logs import LONGEST_FIELD, show_lines
from cli.render.log_lines import AFTER_THE_END, LogLine, parse_line, read_lines
from totes.alerts.executions import Execution
from totes.runtime.names import FUNCTIONS, Names

NAMES = Names("dev", "123456789012", "eu-west-2")
ARN = "arn:aws:states:eu-west-2:123456789012:execution:totes-dev-pipeline:one"
START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
STOP = START + timedelta(seconds=9)
EXECUTION = Execution(ARN, "one", "FAILED", START, STOP)
POWERTOOLS = {
    "level": "INFO",
    "location": "handler:27",
    "message": "ingested",
    "timestamp": "2026-11-24 09:00:02,345+0000",
    "service": "totes-ingest",
    "cold_start": True,
    "function_name": "totes-dev-ingest",
    "function_memory_size": "1769",
    "function_arn": "arn:aws:lambda:eu-west-2:123456789012:function:totes-dev-ingest",
    "function_request_id": "1",
    "xray_trace_id": "1-2",
    "execution": ARN,
}


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def event(message: str | dict[str, Any], at: datetime = STOP, number: int = 1) -> dict[str, Any]:
    text = message if isinstance(message, str) else json.dumps(message)
    return {"eventId": str(number), "timestamp": milliseconds(at), "message": text}


def parsed(**fields: Any) -> LogLine:
    line = parse_line("ingest", event(POWERTOOLS | fields), ARN)
    assert line
    return line


def test_line_has_what_it_says_and_not_what_all_say() -> None:
    line = parsed(batch=7, rows={"staff": 2})
    assert (line.function, line.level, line.message, line.trace) == ("ingest", "INFO", "ingested", None)
    assert line.fields == {"batch": 7, "rows": {"staff": 2}}


def test_line_bears_its_own_time_where_it_tells_one() -> None:
    assert parsed().at == datetime(2026, 11, 24, 9, 0, 2, 345000, tzinfo=UTC)
    assert parsed(timestamp="2026-11-24 10:00:02,345+0100").at == datetime(2026, 11, 24, 9, 0, 2, 345000, tzinfo=UTC)
    assert parsed(timestamp="soon").at == STOP


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("REPORT RequestId: 1 Max Memory Used: 1769 MB", id="text"),
        pytest.param("[1]", id="no object"),
        pytest.param(json.dumps({"_aws": {}, "RowsLanded": [1], "execution": ARN}), id="metrics"),
        pytest.param(json.dumps(POWERTOOLS | {"execution": f"{ARN}-more"}), id="another execution"),
    ],
)
def test_what_is_not_of_the_execution_is_left_out(message: str) -> None:
    assert parse_line("ingest", event(message), ARN) is None


@pytest.mark.parametrize(
    ("level", "shown"),
    [("DEBUG", True), ("INFO", True), ("WARNING", True), ("ERROR", False), ("CRITICAL", False)],
)
def test_level_is_a_lower_bound(level: str, shown: bool) -> None:
    assert parsed(level="WARNING").at_least(level) is shown
    assert parsed(level="NOTICE").at_least(level)


def test_cloudwatch_is_asked_for_the_execution_and_its_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    client = boto3.client("logs")
    monkeypatch.setattr(boto3, "client", lambda _: client)
    early, late = POWERTOOLS | {"message": "early", "timestamp": "2026-11-24 09:00:01,000+0000"}, POWERTOOLS
    with Stubber(client) as stubber:
        for function in FUNCTIONS:
            asked = {
                "logGroupName": f"/aws/lambda/totes-dev-{function}",
                "filterPattern": f'{{ $.execution = "{ARN}" }}',
                "startTime": milliseconds(START),
                "endTime": milliseconds(STOP + AFTER_THE_END),
            }
            if function == "ingest":
                # AWS gives pages of any size, empty ones too.
                for token, following, events in (
                    (None, "a", [event(late, number=1)]),
                    ("a", "b", []),
                    ("b", None, [event(early, number=2)]),
                ):
                    answer = {"events": events} | ({"nextToken": following} if following else {})
                    stubber.add_response("filter_log_events", answer, asked | ({"nextToken": token} if token else {}))
            else:
                stubber.add_response("filter_log_events", {"events": []}, asked)
        lines = read_lines(NAMES, EXECUTION)
        stubber.assert_no_pending_responses()
    assert [line.message for line in lines] == ["early", "ingested"]


def shown(*lines: LogLine) -> str:
    console = Console(width=60, highlight=False)
    with console.capture() as captured:
        show_lines(console, lines)
    return captured.get()


def test_line_is_shown_on_one_line_however_long() -> None:
    text = shown(parsed(message="landed " * 20, batch=7, rows={}, first=None))
    assert text.startswith("2026-11-24 09:00:02.345  ingest     INFO      landed landed")
    assert text.endswith("landed   batch=7\n")
    assert text.count("\n") == 1


def test_line_keeps_to_the_width_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = shown(parsed(message="landed", batch=7, rows={f"table_{number}": number for number in range(9)}))
    assert max(map(len, text.splitlines())) <= 60
    assert text.startswith("2026-11-24 09:00:02.345  ingest     INFO      landed\n    batch=7  rows=")


def test_long_value_is_cut_between_words() -> None:
    assert "  rows=table_0 table_0 table_0" in shown(parsed(rows="table_0 " * 20))
    assert shown(parsed(rows="table_0 " * 20)).endswith(" table_0 …\n")


def test_long_value_is_cut() -> None:
    assert shown(parsed(rows="x" * LONGEST_FIELD)).endswith(f"rows={'x' * LONGEST_FIELD}\n")
    assert shown(parsed(rows="x" * (LONGEST_FIELD + 1))).endswith(f"rows={'x' * LONGEST_FIELD}…\n")


def test_stack_trace_is_indented_line_by_line() -> None:
    trace = f'Traceback (most recent call last):\n  File "a.py", line 1\n{"E" * 90}'
    text = shown(parsed(level="ERROR", exception=trace))
    assert text.splitlines()[1:] == [f"    {line}" for line in trace.splitlines()]


def test_brackets_in_a_line_are_no_markup() -> None:
    assert "[red]odd[/red]" in shown(parsed(message="[red]odd[/red]"))


def test_json_has_everything_in_full() -> None:
    document = parsed(rows="x" * 500, exception="Traceback").as_document()
    assert document.keys() == {"at", "function", "level", "message", "trace", "fields"}
    assert document["fields"] == {"rows": "x" * 500}
