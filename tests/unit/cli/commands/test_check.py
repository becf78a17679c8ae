"""Compares the output of `totes check` about ten broken declarations with check.txt.

TOTES_WRITE_CHECK=1 writes the file again; read the changes before you commit it.
"""

import os
from pathlib import Path

import pytest

from cli import live
from cli.main import main
from totes.runtime.secrets import Credentials

GOLDEN = Path(__file__).parent / "check.txt"
# A file of schemas/, a text in it, and the text that replaces it.
BROKEN = (
    ("source/staff.toml", 'type = "integer", references', 'typ = "integer", references'),
    ("source/design.toml", "[columns]", "[columns"),
    ("source/payment.toml", 'references = "counterparty"', 'references = "counter_party"'),
    ("source/sales_order.toml", 'type = "numeric(10,2)"', 'type = "money"'),
    ("warehouse/dim_location.toml", 'from = "address.city"', 'from = "address.cty"'),
    ("warehouse/dim_staff.toml", 'join = { department = "department_id" }', 'join = { departments = "department_id" }'),
    ("warehouse/dim_currency.toml", 'derive = "currency_name"', 'derive = "currency_names"'),
    ("warehouse/dim_payment_type.toml", 'kind = "dimension"', 'kind = "dimensoin"'),
    ("warehouse/fact_purchase_order.toml", 'references = "dim_staff"', 'references = "dim_counterparty"'),
    ("warehouse/fact_payment.toml", "deal.sales_order_id, deal", "deal.sale_order_id, deal"),
)


def test_ten_broken_declarations_are_all_named(schemas: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file, old, new in BROKEN:
        path = schemas / file
        text = path.read_text(encoding="utf-8")
        assert old in text, file
        path.write_text(text.replace(old, new), encoding="utf-8")
    assert main(["check"]) == 1
    printed = capsys.readouterr().out
    if os.environ.get("TOTES_WRITE_CHECK"):
        GOLDEN.write_text(printed, encoding="utf-8")
    assert printed == GOLDEN.read_text(encoding="utf-8")
    named = {line.partition(":")[0].removeprefix("schemas/") for line in printed.splitlines()[:-1]}
    assert named == {file for file, _, _ in BROKEN}


@pytest.mark.usefixtures("schemas")
def test_right_declarations_have_no_findings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "22 declarations, no findings.\n"


@pytest.mark.parametrize(("mode", "warned"), [("require", True), ("verify-full", False)])
def test_weaker_mode_is_warned_about_and_no_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mode: str, warned: bool
) -> None:
    login = Credentials("db.example.com", "totesys", "reader", "hunter2", sslmode=mode)
    monkeypatch.setattr(live, "read_credentials", lambda _: login)
    assert live._credentials("totes/prod/source") is login
    said = capsys.readouterr()
    assert said.err.startswith("totes: totes/prod/source: sslmode require for db.example.com: ") == warned
    assert (said.out, bool(said.err)) == ("", warned)
