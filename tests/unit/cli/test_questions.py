from pathlib import Path

import pytest

from cli.errors import Misused
from cli.questions import FOLDER, Question, all_questions, find_question, read_question
from totes.postgres.driver import numbered

QUESTIONS = pytest.mark.parametrize("question", all_questions().values(), ids=lambda question: question.name)


def test_brief_asks_for_these_questions() -> None:
    assert {
        "top_designs_by_country",
        "revenue_by_weekday",
        "revenue_by_staff",
        "revenue_by_month",
        "revenue_by_currency",
        "spend_by_counterparty",
        "payments_by_age",
        "order_history",
        "orders_as_of",
    } <= all_questions().keys()


@QUESTIONS
def test_header_says_what_and_under_which_assumptions(question: Question) -> None:
    assert question.sentence.endswith("?")
    header = (FOLDER / f"{question.name}.sql").read_text(encoding="utf-8").split("\n\n")[0]
    assert "\n-- Answers: " in header
    assert "\n-- Assumes: " in header


@QUESTIONS
def test_header_declares_the_parameters_of_the_statement(question: Question) -> None:
    _, names = numbered(question.sql)
    assert {parameter.name for parameter in question.parameters} == set(names)


@QUESTIONS
def test_facts_are_read_through_views_only(question: Question) -> None:
    assert "fact_" not in question.sql


def test_optional_parameter_is_null_when_left_out() -> None:
    assert find_question("payments_by_age").bound({}) == {"as_of": None}


def test_unknown_question_lists_the_known() -> None:
    with pytest.raises(Misused, match=r"no query profit. There are: growth_by_quarter, order_history"):
        find_question("profit")


def test_paragraphs_of_a_header_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "profit.sql"
    path.write_text("-- What is left?\n--\n-- Parameter :day (required): the day\n--   to look from.\n\nSELECT :day;\n")
    question = read_question(path)
    assert question.sentence == "What is left?"
    assert [(p.name, p.required, p.meaning) for p in question.parameters] == [("day", True, "the day to look from.")]
    assert question.sql == "SELECT :day;\n"
