"""Pages are well-formed HTML without external resources, and data in them stays data."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cli.progress import Freshness, LogHead
from cli.report.gather import Findings, Unanswered
from cli.report.pages import answer_page
from cli.report.report import drawn, report_files
from tests.unit.cli.charts.answers import SNAPSHOT, answer_of, monthly
from totes.alerts.executions import Execution
from totes.contracts.declarations import source_tables, warehouse_tables
from totes.runtime.names import Names

NAMES = Names("prod", "123456789012", "eu-west-2")
HOSTILE = "<script>alert(1)</script>\"'>&amp;{{ 7 * 7 }}\x1b[31m"
VOID = {"meta", "input", "br", "link", "img"}


class Checker(HTMLParser):
    """Collects elements, attributes and texts, and fails if elements overlap."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.ids += [given["id"]] if given.get("id") else []
        self.links += [value for name in ("href", "src") if (value := given.get(name))]
        assert not any(name.startswith("on") for name in given)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def findings(text: str = "fine") -> Findings:
    rows = [{**row, "name": text} for row in monthly("EUR")]
    answer = answer_of(rows, "line, x=month, y=revenue, row=name+currency_code")
    other = replace(answer.question, path=Path("queries/other.sql"))
    return Findings(
        NAMES,
        SNAPSHOT,
        [answer, Unanswered.of(other, f"No: {text}"), Unanswered("broken", text)],
        [LogHead("landed", 7, SNAPSHOT, SNAPSHOT, 12), LogHead("loaded", trouble=text)],
        Freshness(SNAPSHOT, timedelta(hours=2)),
        {date(2024, 11, 15): {"dim_date": 1461, "fact_payment": 7}},
        [Execution(f"arn:{text}", text, "FAILED", SNAPSHOT, datetime(2024, 11, 15, 15, tzinfo=UTC))],
    )


def pages(text: str = "fine") -> dict[str, str]:
    found = findings(text)
    files = report_files(found, [drawn(answer) for answer in found.answers])
    return {name: content.decode() for name, content in files.items()}


@pytest.mark.parametrize("text", ["fine", HOSTILE])
def test_pages_are_well_formed_and_data_stays_data(text: str) -> None:
    for name, page in pages(text).items():
        if name.endswith(".html"):
            found = Checker(page)
            assert found.tags.count("script") == (name == "dictionary.html")
            assert "49" not in found.texts
            assert len(found.ids) == len(set(found.ids))
            assert found.tags.count("h1") == 1


def test_every_link_leads_somewhere() -> None:
    files = pages()
    checked = {name: Checker(page) for name, page in files.items() if name.endswith(".html")}
    for name, page in checked.items():
        for link in page.links:
            file, _, anchor = link.partition("#")
            assert (file or name) in files, link
            assert not anchor or anchor in checked[file or name].ids, link


def test_no_page_fetches_anything() -> None:
    for name, page in pages().items():
        assert "http://" not in page.replace("http://www.w3.org/", ""), name
        assert "https://" not in page, name
        assert "url(" not in page.replace("url(#", ""), name


def test_index_has_freshness_answers_logs_days_and_executions() -> None:
    shown = " ".join(" ".join(Checker(pages()["index.html"]).texts).split())
    for expected in (
        "Stage prod, made 2024-11-15 14:09:00 UTC",
        "2 h 0 min old : more than the 30 min 0 s promised",
        "What is asked?",
        "3 rows, from batch 7",
        "No: fine",
        "landed 7 2024-11-15 14:09:00 UTC",
        "loaded: last known batch. fine",
        "2024-11-15 0 0 1,461",
        "FAILED 51 min 0 s fine",
        "not over yet",
    ):
        assert expected in shown, expected


def test_answer_is_there_as_csv_and_as_a_chart() -> None:
    files = pages()
    assert files["answers/asked.csv"].splitlines()[0] == "currency_code,month,unfinished,orders,revenue,name"
    assert files["charts/asked.svg"].startswith("<svg ")


def test_dictionary_has_every_table_and_column() -> None:
    page = Checker(pages()["dictionary.html"])
    tables = {**source_tables(), **warehouse_tables()}
    assert tables.keys() <= set(page.ids)
    for table in tables.values():
        for column in table.columns:
            assert column.name in page.texts
            assert column.meaning.replace("`", "") in "".join(page.texts)


def test_long_answer_is_cut_and_says_so() -> None:
    page = answer_page(answer_of([{"number": number} for number in range(1234)]))
    assert page.count("<tr>") == 201
    assert "1,234 rows, of which the first 200 are shown, from batch 7" in " ".join(page.split())


def test_answer_without_rows_says_so() -> None:
    assert "No rows." in answer_page(answer_of([], "bar, x=a, y=b"))


@pytest.mark.parametrize(
    ("chart", "said"),
    [
        ("bar, x=mnth, y=revenue, row=currency_code", "there is no column"),
        ("bar, x=month, y=currency_code, row=currency_code", "neither month nor currency_code has numbers"),
    ],
)
def test_answer_that_can_not_be_drawn_has_failed(chart: str, said: str) -> None:
    shown = drawn(answer_of(monthly("EUR"), chart))
    assert isinstance(shown.found, Unanswered)
    assert shown.found.failed
    assert shown.found.why.startswith("queries/asked.sql:4: Chart: ")
    assert said.replace("there is", "the answer has") in shown.found.why
