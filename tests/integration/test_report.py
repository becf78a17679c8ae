"""`totes report` against a stack, and its pages in a browser."""

import html
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from cli.main import main
from cli.questions import all_questions
from local.stack import Stack
from tests.integration.conftest import Totes
from tests.page.browsing import CHROMIUM, FLAGS, needs_browser, picture

WIDTHS = (390, 800, 1400)


@pytest.fixture(scope="module")
def report(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    assert main(["run", "--name", "before-the-report"]) == 0
    assert main(["report", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def test_report_has_every_question_with_its_files(report: Path) -> None:
    index = (report / "index.html").read_text(encoding="utf-8")
    for question in all_questions().values():
        assert f'<article id="{question.name}">' in index
        answered = not any(parameter.required for parameter in question.parameters)
        assert (report / "answers" / f"{question.name}.csv").exists() is answered
        if answered and question.declared_chart:
            assert (report / "charts" / f"{question.name}.svg").read_text(encoding="utf-8").startswith("<svg ")
    assert "before-the-report" in index
    assert json.loads((report / "totes-report.json").read_text())["stage"] == "local"


def test_csv_is_what_query_says(report: Path, totes: Totes) -> None:
    _, shown, _ = totes("query revenue_by_month --csv")
    assert (report / "answers" / "revenue_by_month.csv").read_text(encoding="utf-8") == shown


def test_folder_of_others_is_refused_before_anything_is_read(totes: Totes, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    code, shown, said = totes(f"report {tmp_path}")
    assert (code, shown) == (2, "")
    assert said == f"totes: {tmp_path} has files that are not from a report. Name a new or empty folder.\n"


BROKEN = {
    "a_header": ("SELECT 1 AS one;\n", "a_header.sql:1: has no header: comments, then an empty line, then the SQL."),
    "b_chart": (
        "-- B?\n-- Chart: bar, x=one, y=two\n\nSELECT 1 AS one;\n",
        "b_chart.sql:2: Chart: the answer has no column two. There are: one.",
    ),
    "c_statement": ("-- C?\n\nSELECT nothing;\n", 'c_statement.sql:3: column "nothing" does not exist.'),
    "d_writes": (
        "-- D?\n\nSELECT lo_create(0);\n",
        "d_writes.sql:3: a question may only read. The server's message: cannot execute lo_create() in a read-only "
        "transaction.",
    ),
    "e_warehouse": (
        "-- E?\n\nSELECT currval(pg_get_serial_sequence('etl.batch', 'x'));\n",
        "e_warehouse.sql:3: ",
    ),
}


@pytest.mark.usefixtures("report")  # fills the warehouse
def test_question_that_fails_costs_no_other_and_is_named(
    totes: Totes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    queries, folder = tmp_path / "queries", tmp_path / "report"
    queries.mkdir()
    for name, (content, _) in BROKEN.items():
        (queries / f"{name}.sql").write_text(content)
    for name in ("a_good", "z_good"):
        (queries / f"{name}.sql").write_text("-- Good?\n\nSELECT 1 AS one;\n")
    monkeypatch.setattr("cli.questions.FOLDER", queries)
    code, shown, said = totes(f"report {folder}")
    index = html.unescape((folder / "index.html").read_text(encoding="utf-8"))
    assert code == 1
    assert "2 answers, 0 of them with a chart; 5 of 7 questions failed." in " ".join(shown.split())
    for _, problem in BROKEN.values():
        assert f"queries/{problem}" in said
        assert f"queries/{problem}" in index
    assert {path.stem for path in (folder / "answers").iterdir()} == {"a_good", "z_good"}


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", ["index", "dictionary"])
def test_no_width_scrolls_sideways(report: Path, browser: Browser, page: str, scheme: str) -> None:
    for width in WIDTHS:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=page == "dictionary",
            offline=True,
        )
        tab = context.new_page()
        tab.goto((report / f"{page}.html").as_uri())
        box = tab.locator("body").bounding_box()
        assert box
        assert box["width"] <= width
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator("h1").count() == 1
        picture(tab, f"report-{page}-{width}-{scheme}")
        context.close()


@needs_browser
def test_charts_are_legible_on_a_phone_and_dark_for_those_who_want_it(report: Path, browser: Browser) -> None:
    for scheme, ground in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(23, 28, 34)")):
        context = browser.new_context(
            viewport={"width": 390, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
        )
        tab = context.new_page()
        tab.goto((report / "index.html").as_uri())
        chart = tab.locator("#revenue_by_month svg").first
        assert chart.locator("rect").first.evaluate("element => getComputedStyle(element).fill") == ground
        label = chart.locator("text").first.bounding_box()
        assert label
        assert label["height"] > 9
        context.close()


@needs_browser
def test_search_finds_columns_and_needs_a_script(report: Path, browser: Browser) -> None:
    tab = browser.new_page()
    tab.goto((report / "dictionary.html").as_uri())
    all_rows = tab.locator("tbody tr:visible").count()
    tab.fill("#search", "currency PRICE")
    expect(tab.locator("#hits")).to_have_text("9 columns")
    assert tab.locator("tbody tr:visible").count() == 9
    tab.fill("#search", "nothing like it")
    expect(tab.locator("#hits")).to_have_text("0 columns")
    tab.fill("#search", "")
    assert tab.locator("tbody tr:visible").count() == all_rows > 100
    tab.close()
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((report / "dictionary.html").as_uri())
    assert not tab.locator("#search").is_visible()
    assert tab.locator("tbody tr:visible").count() == all_rows
    context.close()
