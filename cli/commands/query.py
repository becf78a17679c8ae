"""`totes query`: ask the warehouse one of the business's questions."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cli.deployment import target, warehouse
from cli.errors import Misused
from cli.questions import Question, all_questions, find_question
from cli.render.terminal import AsJson, Row, plain_table, records_table, rows_table, say_csv, say_json, screen

UNBOUNDED = 10_000
AT_MOST_SIDE_BY_SIDE = 4


def query(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Which question; --list shows them all.")] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter; repeatable.")
    ] = None,
    list_them: Annotated[bool, typer.Option("--list", help="List the questions and parameters.")] = False,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write CSV to stdout, and nothing else.")] = False,
) -> None:
    """Ask the warehouse one of the business's questions.

    Each is a file in queries/ whose first lines say what it answers and what it assumes.

        totes query revenue_by_currency
        totes query order_history --param order_id=42

    Exit code: 1 when the question has no answer, for instance because the order is unknown.
    """
    if as_json and as_csv:
        raise Misused("Give --json or --csv, not both.")
    if list_them:
        return _list(as_json)
    if name is None:
        raise Misused("Which question? `totes query --list` shows them all.")
    question = find_question(name)
    given = _parameters(param or [])
    question.bound(given)
    with warehouse(target(context).connect()) as connection:
        columns, rows = question.ask(connection, given)
    if as_json:
        say_json(rows)
    elif as_csv:
        say_csv(columns, rows)
    else:
        show_answer(screen(), question, columns, rows)
    return None


def show_answer(console: Console, question: Question, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """The question and its answer; a few rows that don't fit the width are turned on their side."""
    console.print(Text(question.sentence, "bold"))
    if not rows:
        console.print(Text("No rows.", "dim"))
        return
    table = rows_table(columns, rows)
    wanted = Measurement.get(console, console.options.update(max_width=UNBOUNDED), table)
    if wanted.maximum > console.width and len(rows) <= AT_MOST_SIDE_BY_SIDE:
        console.print(records_table(columns, rows))
    else:
        # Where even the narrowest table is too wide, the terminal wraps it: better than figures cut short.
        console.print(table, width=max(console.width, wanted.minimum), crop=False, soft_wrap=True)
    console.print(Text(f"{len(rows):,} {'row' if len(rows) == 1 else 'rows'}", "dim"))


def _list(as_json: bool) -> None:
    questions = list(all_questions().values())
    if as_json:
        say_json([{"name": q.name, "question": q.sentence, "parameters": q.parameters} for q in questions])
    else:
        screen().print(_questions_table(questions))


def _questions_table(questions: Sequence[Question]) -> Table:
    table = plain_table()
    for heading in ("query", "answers", "parameters"):
        table.add_column(heading, overflow="fold")
    for question in questions:
        names = (p.name if p.required else f"[{p.name}]" for p in question.parameters)
        table.add_row(question.name, Text(question.sentence), Text(" ".join(names)))
    return table


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
