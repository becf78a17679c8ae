"""A question declares its chart; each malformed part is reported with its file and line."""

import json
from pathlib import Path

import pytest

from cli.charts.declaration import QuestionInvalid
from cli.charts.vega import svg
from cli.questions import read_question
from tests.unit.cli.charts.answers import answer_of, monthly

QUESTION = "-- What is asked?\n--\n-- Answers: a number.\n-- Chart: {}\n\nSELECT 1;\n"


def write_question(folder: Path, chart: str) -> Path:
    path = folder / "queries" / "asked.sql"
    path.parent.mkdir()
    path.write_text(QUESTION.format(chart), encoding="utf-8")
    return path


def test_declaration_is_read_whole(tmp_path: Path) -> None:
    path = write_question(tmp_path, "line, x=month, y=revenue, row=kind+currency_code,\n--   color=side")
    chart = read_question(path).chart
    assert chart
    assert (chart.kind, chart.x, chart.y, chart.row, chart.color) == (
        "line",
        "month",
        "revenue",
        ("kind", "currency_code"),
        "side",
    )


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ("pie, x=month, y=revenue", "pie is not a kind of chart. There are: bar, line."),
        ("lines, x=month, y=revenue", "lines is not a kind of chart. Did you mean line? There are: bar, line."),
        ("x=month, y=revenue", "x=month is not a kind of chart."),
        ("line, month, y=revenue", "month is not CHANNEL=COLUMN, like x=month."),
        ("line, x=, y=revenue", "x= is not CHANNEL=COLUMN"),
        ("line, x=month y=revenue", "x=month y=revenue is not CHANNEL=COLUMN"),
        ("line, x=month,, y=revenue", "nothing between commas is not CHANNEL=COLUMN"),
        ("line, x=month, y=revenue, rows=currency_code", "there is no channel rows. Did you mean row?"),
        ("line, x=month", "y must be given, like x=month, y=revenue."),
        ("line", "x and y must be given"),
        ("line, x=month, x=day, y=revenue", "a channel is given twice."),
        ("line, x=month+day, y=revenue", "x is one column; only row joins several with +."),
    ],
)
def test_malformed_declaration_is_named_with_file_and_line(declared: str, problem: str, tmp_path: Path) -> None:
    path = write_question(tmp_path, declared)
    with pytest.raises(QuestionInvalid) as caught:
        read_question(path).chart  # noqa: B018 - it is read when it is asked for
    assert caught.value.message.startswith(f"queries/asked.sql:4: Chart: {problem}")


@pytest.mark.parametrize(
    ("refinement", "problem"),
    [
        ('{"encoding": {\n  "x": }}', "queries/asked.vl.json:2: is not JSON: Expecting value, column 8."),
        ("[]", "queries/asked.vl.json:1: is not a JSON object."),
        ('{"data": {"url": "x"}}', "queries/asked.vl.json:1: has its own data."),
        ('{"layer": [{"data": {}}]}', "queries/asked.vl.json:1: has its own data."),
    ],
)
def test_malformed_refinement_is_named_with_file_and_line(refinement: str, problem: str, tmp_path: Path) -> None:
    path = write_question(tmp_path, "line, x=month, y=revenue")
    path.with_suffix(".vl.json").write_text(refinement, encoding="utf-8")
    with pytest.raises(QuestionInvalid) as caught:
        read_question(path).chart  # noqa: B018
    assert caught.value.message.startswith(problem)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("-- What?\nSELECT 1;\n", ":1: has no header"),
        ("SELECT 1;\n\n-- What?\n", ":1: is not a comment."),
        ("", ":1: has no header"),
    ],
)
def test_file_without_a_header_is_named(header: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "asked.sql"
    path.write_text(header, encoding="utf-8")
    with pytest.raises(QuestionInvalid, match=problem):
        read_question(path)


@pytest.mark.parametrize(
    ("chart", "problem"),
    [
        ("line, x=mnth, y=revenue, row=currency_code", "the answer has no column mnth. Did you mean month?"),
        ("line, x=month, y=revenue, row=country", "the answer has no column country."),
        ("line, x=month, y=revenue, row=currency_code, color=side", "the answer has no column side."),
        ("line, x=month, y=currency_code, row=currency_code", "neither month nor currency_code has numbers"),
    ],
)
def test_chart_of_another_answer_is_refused(chart: str, problem: str) -> None:
    with pytest.raises(QuestionInvalid) as caught:
        svg(answer_of(monthly("EUR", "GBP"), chart))
    assert caught.value.message.startswith(f"queries/asked.sql:4: Chart: {problem}")


@pytest.mark.parametrize(
    "chart",
    [
        "line, x=month, y=revenue",
        "bar, x=revenue, y=currency_code",
        "bar, x=revenue, y=month, color=currency_code",
        "bar, x=revenue, y=month, row=month",
    ],
)
def test_amounts_of_two_currencies_are_never_drawn_together(chart: str) -> None:
    with pytest.raises(QuestionInvalid, match=r"drawn together: revenue. Add currency_code to row"):
        answer_of(monthly("EUR", "GBP"), chart).chart  # noqa: B018


@pytest.mark.parametrize("field", [{"fold": ["revenue"]}, {"calculate": "1", "field": "revenue"}])
def test_refinement_draws_no_amounts_of_two_currencies_either(field: dict[str, object], tmp_path: Path) -> None:
    path = write_question(tmp_path, "bar, x=orders, y=month")
    path.with_suffix(".vl.json").write_text(json.dumps({"transform": [field]}), encoding="utf-8")
    with pytest.raises(QuestionInvalid, match="drawn together: revenue"):
        answer_of(monthly("EUR", "GBP"), "bar, x=orders, y=month", path.parent).chart  # noqa: B018


def test_counts_of_two_currencies_may_be_drawn_together() -> None:
    assert answer_of(monthly("EUR", "GBP"), "bar, x=orders, y=currency_code").chart
