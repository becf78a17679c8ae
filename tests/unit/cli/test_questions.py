from pathlib import Path

import pytest

from cli.charts.declaration import QuestionInvalid
from cli.errors import Misused
from cli.questions import FOLDER, Question, all_questions, broken_questions, find_question, read_question

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
    assert {parameter.name for parameter in question.parameters} == set(question.statement.names)


@QUESTIONS
def test_facts_are_read_through_views_only(question: Question) -> None:
    assert "fact_" not in question.sql


def test_optional_parameter_is_null_when_left_out() -> None:
    assert find_question("payments_by_age").bound({}) == {"as_of": None}


def test_unknown_question_lists_the_known() -> None:
    with pytest.raises(Misused, match=r"no question profit. There are: growth_by_quarter, order_history"):
        find_question("profit")


def test_paragraphs_of_a_header_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "profit.sql"
    path.write_text("-- What is left?\n--\n-- Parameter :day (required): the day\n--   to look from.\n\nSELECT :day;\n")
    question = read_question(path)
    assert question.sentence == "What is left?"
    assert [(p.name, p.required, p.meaning) for p in question.parameters] == [("day", True, "the day to look from.")]
    assert question.sql == "SELECT :day;\n"


GOOD = "-- What?\n--\n-- Answers: it.\n\nSELECT 1 AS one;\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a folder of questions with a valid one."""
    (tmp_path / "good.sql").write_text(GOOD)
    monkeypatch.setattr("cli.questions.FOLDER", tmp_path)
    return tmp_path


PARAGRAPHS = (
    "These do: Answers: …, Assumes: …, Chart: …, No rows: …, Parameter :name (required or optional): …. Indent a "
    "paragraph's other lines by 3 spaces."
)


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        pytest.param(b"SELECT 1;\n", 1, "has no header: comments, then an empty line, then the SQL.", id="no header"),
        pytest.param(b"\n\nSELECT 1;\n", 1, "has no header: comments, then an empty line, then the SQL.", id="empty"),
        pytest.param(b"--\n-- Answers: it.\n\nSELECT 1;\n", 1, "the first line must be the question", id="no sentence"),
        pytest.param(b"-- What?\n-- caf\xe9\n\nSELECT 1;\n", 2, "is not UTF-8.", id="Latin-1"),
        pytest.param(
            b"-- What?\n-- Parametr :x (required): it.\n\nSELECT :x;\n",
            2,
            f"\u201cParametr :x (required):\u201d does not start a paragraph. {PARAGRAPHS}",
            id="misspelt",
        ),
        pytest.param(
            b"-- What?\n-- Parameter :x: it.\n\nSELECT :x;\n",
            2,
            f"\u201cParameter :x: it.\u201d does not start a paragraph. {PARAGRAPHS}",
            id="neither required nor optional",
        ),
        pytest.param(
            b"-- What?\n-- Answers: it\n--  and more.\n\nSELECT 1;\n",
            3,
            f"\u201cand more.\u201d does not start a paragraph. {PARAGRAPHS}",
            id="indented too little",
        ),
        pytest.param(b"-- What?\n-- Answers: a\n-- Answers: b\n\nSELECT 1;\n", 3, "Answers occurs twice.", id="twice"),
        pytest.param(
            b"-- What?\n-- Parameter :x (required): a\n-- Parameter :x (optional): b\n\nSELECT :x;\n",
            3,
            ":x occurs twice.",
            id="parameter twice",
        ),
        pytest.param(
            b"-- What?\n-- Chart: pie, x=a, y=b\n\nSELECT 1;\n", 2, "Chart: pie is not a kind of chart.", id="pie"
        ),
        pytest.param(b"-- What?\n\n\nSELECT :x;\n", 4, ":x has no Parameter paragraph.", id="undeclared"),
        pytest.param(
            b"-- What?\n-- Parameter :x (optional): a\n\nSELECT 1;\n",
            4,
            "the SQL does not use the parameter :x.",
            id="unused",
        ),
        pytest.param(b"-- What?\n\nSELECT 1;\nSELECT 2;\n", 4, "a second statement starts here.", id="two statements"),
        pytest.param(b"-- What?\n\nDROP TABLE x;\n", 3, "a question may only read: it must start with", id="DDL"),
    ],
)
def test_mistake_in_a_file_costs_that_question_only(folder: Path, content: bytes, line: int, said: str) -> None:
    (folder / "broken.sql").write_bytes(content)
    assert list(all_questions()) == ["good"]
    assert find_question("good").sentence == "What?"
    with pytest.raises(QuestionInvalid) as caught:
        find_question("broken")
    assert caught.value.message.startswith(f"{folder.name}/broken.sql:{line}: {said}")
    assert [error.message for error in broken_questions().values()] == [caught.value.message]


def test_file_that_can_not_be_read_costs_that_question_only(folder: Path) -> None:
    (folder / "broken.sql").mkdir()
    (folder / "gone.sql").symlink_to(folder / "nowhere")
    assert list(all_questions()) == ["good"]
    assert [error.message.partition(": ")[2] for error in broken_questions().values()] == [
        "can't be read: Is a directory.",
        "can't be read: No such file or directory.",
    ]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(GOOD.replace("\n", "\r\n").encode(), id="Windows"),
        pytest.param(GOOD.encode("utf-8-sig"), id="byte order mark"),
        pytest.param(GOOD.replace("\n\n", "\n  \t\n").encode(), id="blanks"),
        pytest.param(GOOD.replace("-- ", "--").encode(), id="no space"),
    ],
)
def test_other_editors_files_are_questions_too(folder: Path, content: bytes) -> None:
    (folder / "good.sql").write_bytes(content)
    question = find_question("good")
    assert (question.sentence, question.answers, question.sql) == ("What?", "it.", "SELECT 1 AS one;\n")
