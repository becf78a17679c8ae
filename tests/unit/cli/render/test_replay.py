import io
from dataclasses import replace

import pytest
from rich.console import Console

from cli.render.replay import show_comparison
from totes.verify.replay.difference import Divergence, Rows
from totes.verify.replay.replay import Comparison

NONE = Rows(0)
SAME = Divergence("dim_staff", 20, 20, NONE, NONE, NONE)
DAMAGED = Divergence(
    "etl.batch_table",
    1_206,
    1_205,
    missing=Rows(2, [{"batch_id": 7, "table_name": "dim_date"}, {"batch_id": 9, "table_name": "[red]x[/red]"}]),
    extra=Rows(1),
    differing=Rows(1_100, [{"batch_id": 1, "table_name": "dim_date"}]),
    columns={"rows_staged": 1_100, "rows_deleted": 1},
)


def shown(*tables: Divergence) -> str:
    out = io.StringIO()
    show_comparison(Console(file=out, width=110), Comparison(4, list(tables)))
    return out.getvalue()


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_agreement_is_said_in_words() -> None:
    text = shown(SAME)
    assert text.startswith("Replayed up to batch 4")
    assert ["dim_staff", "20", "20", "0", "0", "0"] in words(text)
    assert text.endswith("\nThey agree: all 20 rows of the live warehouse are the same as in the replay.\n")


@pytest.mark.parametrize("kind", ["missing", "extra", "differing"])
def test_nothing_agrees_under_a_line_that_shows_a_difference(kind: str) -> None:
    text = shown(SAME, replace(SAME, **{kind: Rows(1)}))
    assert "dim_staff: 1 " in text
    assert "They agree" not in text
    assert text.splitlines()[-1].startswith("They differ: 1 ")


def test_every_difference_is_named() -> None:
    text = shown(SAME, DAMAGED)
    assert ["etl.batch_table", "1,206", "1,205", "2", "1", "1,100"] in words(text)
    for line in (
        "etl.batch_table: 2 missing; batch_id 7, table_name dim_date; batch_id 9, table_name [red]x[/red]",
        "etl.batch_table: 1 extra; copies of the same rows",
        "etl.batch_table: 1,100 differing in rows_staged (1,100), rows_deleted (1); batch_id 1, table_name dim_date; "
        "and 1,099 more",
    ):
        assert f"\n{line}\n" in text
    assert text.endswith("\nThey differ: 2 missing, 1 extra, 1,100 differing, in etl.batch_table.\n")
