"""`totes query`: ask the warehouse one of the business's questions."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cli.answers import Answer, answer
from cli.charts.bars import bars, count_bars
from cli.deployment import target, warehouse
from cli.errors import FAILED, Misused
from cli.questions import Question, all_questions, broken_questions, find_question
from cli.render.terminal import (
    UNBOUNDED,
    AsCsv,
    AsJson,
    complaints,
    plain_table,
    records_table,
    rows_table,
    say_csv,
    say_error,
    say_json,
    screen,
)

AT_MOST_SIDE_BY_SIDE = 4
MANY_BARS = 100
_HOW_TO_WRITE = 'Each question is a file in queries/. To write your own, see "A question" in CONTRIBUTING.md.'


def query(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The question's name; --list shows all.")] = None,
    file: Annotated[
        Path | None, typer.Argument(help="With --chart: write an .svg, .png or .html file.", show_default=False)
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="Set a parameter; repeatable.")
    ] = None,
    list_them: Annotated[bool, typer.Option("--list", help="List the questions, parameters and charts.")] = False,
    chart: Annotated[bool, typer.Option("--chart", help="Draw the answer: into FILE, or as bars here.")] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Ask the warehouse one of the business's questions.

    Each question is a file in queries/. Its first lines state the question and its assumptions. To write your own, see
    "A question" in CONTRIBUTING.md.

        totes query revenue_by_currency
        totes query order_history --param order_id=42
        totes query revenue_by_month --chart revenue.svg

    Exit code: 1 if the question has a mistake, or no answer, for instance because the order is unknown.
    """
    if sum((as_json, as_csv, chart)) > 1:
        raise Misused("Give one of --json, --csv and --chart.")
    if list_them:
        return _list(as_json, as_csv)
    if name is None:
        raise Misused("Which question? `totes query --list` shows all.")
    if file and not chart:
        raise Misused(f"{file}? Add --chart to draw the answer into a file.")
    if chart and Path(name).suffix in _FORMATS:
        raise Misused(f"{name} is not a question: write `totes query NAME --chart {name}`.")
    question = find_question(name)
    draw = _way_to_draw(question, file) if chart else None
    given = _parameters(param or [])
    question.bound(given)
    # The progress goes to stderr, and only to a terminal.
    with complaints().status(f"asking {question.name}"), warehouse(target(context).connect()) as connection:
        found = answer(connection, question, given)
    if draw:
        draw(found)
    elif as_json:
        say_json(found.rows)
    elif as_csv:
        say_csv(found.columns, found.rows)
    else:
        console = screen()
        show_answer(console, found)
        show_header(console, question)
    return None


def show_answer(console: Console, found: Answer) -> None:
    """Prints the question and its answer. Prints a few wide rows as columns, so that they fit the width."""
    console.print(Text(found.question.sentence, "bold"))
    if not found.rows:
        console.print(Text("No rows.", "dim"))
        return
    table = rows_table(found.columns, found.rows)
    wanted = Measurement.get(console, console.options.update(max_width=UNBOUNDED), table)
    if wanted.maximum > console.width and len(found.rows) <= AT_MOST_SIDE_BY_SIDE:
        console.print(records_table(found.columns, found.rows))
    else:
        console.print(table)
    count = len(found.rows)
    console.print(Text(f"{count:,} {'row' if count == 1 else 'rows'} from {found.as_of}", "dim"))


def show_header(console: Console, question: Question) -> None:
    """Prints the answer's contents and assumptions, from the question's header."""
    for keyword, text in (("Answers", question.answers), ("Assumes", question.assumes)):
        if text:
            console.print(Text(f"{keyword}: {text}", "dim"))


def _show_bars(found: Answer) -> None:
    console = screen()
    # Raises an error about the chart before anything is printed.
    chart = found.chart
    drawn = list(bars(found, chart)) if chart and found.rows else []
    console.print(Text(found.question.sentence, "bold"))
    if not drawn:
        console.print(Text("No rows.", "dim"))
        return
    for table in drawn:
        console.print(table)
    if chart and (count := count_bars(found, chart)) > MANY_BARS:
        hint = f"{count} bars; a file shows them at a glance: totes query {found.name} --chart {found.name}.svg"
        console.print(Text(hint, "yellow"))
    console.print(Text(f"From {found.as_of}", "dim"))
    show_header(console, found.question)


def _way_to_draw(question: Question, file: Path | None) -> Callable[[Answer], None]:
    """Returns the function that draws the answer. Raises errors before the warehouse is queried."""
    if question.chart is None:
        charted = ", ".join(other.name for other in all_questions().values() if other.declared_chart)
        raise Misused(f"{question.name} has no chart. These have one: {charted}.")
    if file is None:
        return _show_bars
    if file.suffix.lower() not in _FORMATS:
        raise Misused(f"{file} must end in one of {', '.join(_FORMATS)}.")
    return lambda found: _write(file, _FORMATS[file.suffix.lower()](found))


def _svg(found: Answer) -> bytes:
    from cli.charts.vega import svg

    return svg(found).encode()


def _png(found: Answer) -> bytes:
    from cli.charts.vega import png

    return png(found)


def _html(found: Answer) -> bytes:
    from cli.report.pages import answer_page

    return answer_page(found).encode()


_FORMATS: dict[str, Callable[[Answer], bytes]] = {".svg": _svg, ".png": _png, ".html": _html}


def _write(file: Path, drawn: bytes) -> None:
    file.write_bytes(drawn)
    complaints().print(Text(f"Wrote {file}."), soft_wrap=True)


def _list(as_json: bool, as_csv: bool) -> None:
    questions = list(all_questions().values())
    if as_json:
        say_json(
            [
                {"name": q.name, "question": q.sentence, "parameters": q.parameters, "chart": q.declared_chart or None}
                for q in questions
            ]
        )
    elif as_csv:
        columns = ("name", "question", "parameters", "chart")
        say_csv(columns, [dict(zip(columns, _listed(question), strict=True)) for question in questions])
    else:
        screen().print(_questions_table(questions))
        screen().print(Text(_HOW_TO_WRITE, "dim"))
    if broken := broken_questions():
        for error in broken.values():
            say_error(error.message)
        raise typer.Exit(FAILED)


def _questions_table(questions: Sequence[Question]) -> Table:
    table = plain_table()
    table.add_column("query", no_wrap=True)
    for heading in ("answers", "parameters", "chart"):
        table.add_column(heading, overflow="fold")
    for question in questions:
        name, sentence, parameters, chart = _listed(question)
        table.add_row(name, Text(sentence), Text(parameters), Text(chart.partition(",")[0]))
    return table


def _listed(question: Question) -> tuple[str, str, str, str]:
    names = (p.name if p.required else f"[{p.name}]" for p in question.parameters)
    return question.name, question.sentence, " ".join(names), question.declared_chart


def _parameters(pairs: Sequence[str]) -> dict[str, str]:
    given = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise Misused(f"--param {pair} is not NAME=VALUE, like order_id=42.")
        if name in given:
            raise Misused(f"--param {name} is given twice.")
        given[name] = value
    return given
