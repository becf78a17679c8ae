import io
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from rich.console import Console

from cli.render.reconcile import WRONG, show_reconciliation
from totes.verify.reconcile.result import Cell, Keys, Reconciliation, Sums, TableDifferences

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SAME = TableDifferences("dim_staff", "staff", "staff_id", in_totesys=20, in_warehouse=20)
DAMAGED = TableDifferences(
    "fact_payment",
    "payment",
    "payment_id",
    in_totesys=1_584,
    in_warehouse=1_583,
    missing=Keys(2, [7, 9]),
    extra=Keys(1, [2_147_483_647]),
    differing=Keys(1_100, [1, 2, 3, 4, 5]),
    on_their_way=Keys(3, [21, 22, 23]),
    kept=Keys(1, [99]),
    columns={"paid": 1_100, "payment_date": 1},
    cells=[Cell(1, "payment_date", None, "")],
    sums={
        "payment_amount": Sums(Decimal("287377830.74"), Decimal("286446979.44")),
        "quantity": Sums(12, 12),
    },
)


def shown(*tables: TableDifferences, no_fence: str | None = None) -> str:
    out = io.StringIO()
    show_reconciliation(Console(file=out, width=110), Reconciliation(4, NOW, NOW, no_fence, tables))
    return out.getvalue()


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_agreement_is_said_in_words() -> None:
    text = shown(SAME)
    assert "The warehouse at batch 4, compared with totesys at 2026-11-23 12:00:00 UTC" in text
    assert ["dim_staff", "staff,", "department", "20", "20", "0", "0", "0", "0"] in words(text)
    assert text.endswith("\nThey agree: all 20 rows of totesys are in the warehouse, with the same values.\n")


def test_rows_on_their_way_are_no_difference() -> None:
    text = shown(replace(SAME, on_their_way=Keys(2, [3, 4])))
    assert "dim_staff: 2 in flight: written or deleted in totesys since the batch; staff_id 3, 4\n" in text
    assert text.endswith("\nNothing is wrong: 20 rows of totesys compared; the only differences are 2 in flight.\n")


@pytest.mark.parametrize("kind", ["missing", "extra", "differing", "on_their_way", "quarantined", "kept"])
def test_nothing_agrees_under_a_line_that_shows_a_difference(kind: str) -> None:
    text = shown(SAME, replace(SAME, **{kind: Keys(1, [7])}))
    assert "dim_staff: 1 " in text
    assert "They agree" not in text
    assert text.splitlines()[-1].startswith("They differ: 1 " if kind in WRONG else "Nothing is wrong: 40 rows of tot")


def test_nothing_agrees_under_sums_that_differ() -> None:
    written = replace(SAME, on_their_way=Keys(1, [7]), sums={"units_sold": Sums(2, 1)})
    assert "Differing column sums" in shown(written)
    assert "They agree" not in shown(written)


def test_every_difference_is_named() -> None:
    text = shown(SAME, DAMAGED)
    assert ["fact_payment", "payment", "1,584", "1,583", "2", "1", "1,100", "3"] in words(text)
    for line in (
        "fact_payment: 2 missing; payment_id 7, 9",
        "fact_payment: 1 extra; payment_id 2147483647",
        "fact_payment: 1,100 differing in paid (1,100), payment_date (1); payment_id 1, 2, 3, 4, 5 and 1,095 more",
        "fact_payment: 1 deleted in totesys and kept in the warehouse; payment_id 99",
    ):
        assert f"\n{line}\n" in text
    assert ["1", "payment_date", "NULL", "''"] in words(text)
    assert ["fact_payment", "payment_amount", "287,377,830.74", "286,446,979.44", "-930,851.30"] in words(text)
    assert "quantity" not in text
    assert (
        "\n1. Compare the warehouse with the lake: totes replay. If they differ, somebody changed the warehouse" in text
    )
    assert " totes replay --swap, then reconcile again.\n2. If they agree, the lake lacks the" in text
    assert "too. Run totes run --full-read payment, then reconcile again.\n" in text
    assert text.endswith(
        "They differ: 2 missing, 1 extra, 1,100 differing, in fact_payment. 3 more are in flight: the next "
        "execution loads them.\n"
    )


def test_remedy_is_for_what_is_wrong_alone() -> None:
    assert "totes replay" not in shown(SAME, replace(SAME, on_their_way=Keys(2, [3, 4])))
    for wrong in ({"missing": Keys(1, [7])}, {"extra": Keys(1, [7])}, {"differing": Keys(1, [7])}):
        assert "Correct it with totes replay --swap" in shown(replace(SAME, **wrong))


def test_remedy_reads_each_source_of_a_dimension() -> None:
    wrong = TableDifferences("dim_staff", "staff", "staff_id", 20, 20, differing=Keys(1, [7]))
    assert "totes run --full-read staff --full-read department, then" in shown(wrong)


def test_lack_of_a_fence_is_explained() -> None:
    text = shown(DAMAGED, no_fence="totesys was restored or moved")
    assert text.endswith(
        " Rows in flight can't be distinguished from wrong ones, because totesys was restored or moved. "
        "Run the pipeline and reconcile again.\n"
    )


def test_value_is_never_markup() -> None:
    assert "[red]x[/red]" in shown(replace(DAMAGED, cells=[Cell(1, "name", "[red]x[/red]", None)]))


def test_long_value_is_shown_in_part() -> None:
    text = shown(replace(DAMAGED, cells=[Cell(1, "name", "x" * 5_000_000, None)]))
    assert text.count("x") < 1_000
    assert "(5000000 characters)" in "".join(text.split("\n"))


@pytest.mark.parametrize("width", [60, 80, 110])
def test_table_is_no_wider_than_the_terminal(width: int) -> None:
    out = io.StringIO()
    tables = [replace(SAME, table="fact_purchase_order", source="purchase_order"), replace(DAMAGED, cells=[], sums={})]
    console = Console(file=out, width=width)
    show_reconciliation(console, Reconciliation(4, NOW, NOW, None, tables))
    table = out.getvalue().partition("─")[2].partition("\n")[2].partition("\n\n")[0].splitlines()[:2]
    assert max(len(line.rstrip()) for line in table) <= width
    assert [line.split()[0] for line in table] == ["fact_purchase_order", "fact_payment"]
    assert [line.split()[-4:] for line in table] == [["0", "0", "0", "0"], ["2", "1", "1,100", "3"]]


def test_columns_without_a_difference_go_first() -> None:
    out = io.StringIO()
    tables = [replace(SAME, table="fact_purchase_order", source="purchase_order")]
    show_reconciliation(Console(file=out, width=60), Reconciliation(4, NOW, NOW, None, tables))
    assert ["fact_purchase_order", "20", "20"] in words(out.getvalue())
