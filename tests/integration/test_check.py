"""`totes check --live` reports all differences in the databases, and writes nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cli.deployment import Target
from cli.main import main
from local.postgres.databases import LOADER, READER
from tests.support.pipeline import Pipeline, physical_rows
from tests.support.reconciliation import names
from totes.contracts.declarations import declared
from totes.warehouse.schema import latest_version

NEXT = latest_version() + 1

Live = Callable[[], list[str]]


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seeded: Pipeline) -> Live:
    def run() -> list[str]:
        monkeypatch.setattr(Target, "connect", lambda _self: names(seeded))
        before = physical_rows(seeded)
        code = main(["check", "--live"])
        lines = capsys.readouterr().out.splitlines()
        assert code == (0 if lines[-1].endswith("no findings.") else 1)
        assert physical_rows(seeded) == before
        return lines

    return run


def test_databases_as_declared_have_no_findings(live: Live) -> None:
    assert live() == ["22 declarations, no findings."]


def test_all_that_differs_is_named(seeded: Pipeline, live: Live) -> None:
    seeded.totesys("ALTER TABLE design RENAME file_name TO file")
    seeded.totesys("ALTER TABLE staff ALTER first_name TYPE varchar(99)")
    seeded.totesys(f"REVOKE SELECT ON payment FROM {READER}")
    seeded.totesys("ALTER TABLE currency ENABLE ROW LEVEL SECURITY")
    seeded.star(
        "ALTER TABLE dim_staff ALTER location SET DEFAULT 'x', ADD COLUMN mine text, ALTER last_name DROP NOT NULL"
    )
    seeded.star("ALTER TABLE fact_payment DROP CONSTRAINT fact_payment_currency_id_fkey")
    seeded.star("ALTER TABLE dim_design DROP COLUMN file_location; ALTER TABLE dim_design OWNER TO postgres")
    seeded.star(f"REVOKE TEMPORARY ON DATABASE {seeded.warehouse} FROM PUBLIC, {LOADER}")
    found = "\n".join(live())
    for part in (
        "totesys: totesys is not as declared: column design.file_name is not there (while file is there",
        "column staff.first_name has type character varying(99), expected text",
        "totesys: The user may not read payment of totesys.",
        "totesys: Row-level security of totesys may hide rows of currency",
        "warehouse: the user lacks a right. GRANT TEMPORARY ON DATABASE",
        "warehouse: dim_design is owned by another user.",
        "warehouse: column dim_design.file_location is not there",
        "warehouse: column dim_staff.last_name may be NULL, expected not nullable. Undo the change, or add "
        f"schemas/warehouse/{NEXT:04d}_alter.sql with: "
        "ALTER TABLE {stars}.dim_staff ALTER COLUMN last_name SET NOT NULL;",
        "warehouse: column dim_staff.location has the default 'x'::character varying, expected NULL",
        "warehouse: column dim_staff.mine is there and not declared",
        "warehouse: column fact_payment.currency_id refers to nothing, expected dim_currency",
        "10 findings.",
    ):
        assert part in found


def test_check_that_is_no_sql_is_named(schemas: Path, live: Live) -> None:
    path = schemas / "warehouse" / "fact_payment.toml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("AND NOT EXISTS (\n", "AND NOT EXIST (\n"), encoding="utf-8"
    )
    declared.cache_clear()
    (line, _) = live()
    assert line.startswith("warehouse: check amount of fact_payment is not valid SQL: ")
    assert "42601" in line


def test_until_of_a_version_that_was_deployed_is_named(schemas: Path, live: Live) -> None:
    path = schemas / "warehouse" / "dim_design.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("file_name = {", "file_name = { until = 2,"), encoding="utf-8")
    declared.cache_clear()
    (line, _) = live()
    assert line.startswith("warehouse: column dim_design.file_name is there, and its `until = 2` says that version 2")
    assert f"Write `until = {NEXT}` into its line" in line


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            f"INSERT INTO etl.schema_version VALUES ({NEXT})",
            f"The warehouse's schema has version {NEXT}; this release knows up to {NEXT - 1}.",
        ),
        ("DROP TABLE etl.schema_version; CREATE TABLE etl.schema_version ()", "is not the one of totes"),
        ("DELETE FROM etl.schema_version WHERE version = 1", "etl.schema_version holds the versions 2"),
    ],
    ids=["newer", "foreign", "gap"],
)
def test_version_that_does_not_fit_is_named(seeded: Pipeline, live: Live, change: str, found: str) -> None:
    seeded.star(change)
    (line, _) = live()
    assert found in line


def test_one_database_down_hides_no_findings(seeded: Pipeline, live: Live) -> None:
    seeded.put_secret("source", seeded.source, READER, host="127.0.0.1", port=1)
    seeded.star("ALTER TABLE dim_staff ADD COLUMN mine text")
    source, warehouse, _ = live()
    assert source.startswith("totesys: No connection to totesys")
    assert warehouse.startswith("warehouse: column dim_staff.mine")


def test_wrong_declarations_come_before_databases(schemas: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (schemas / "source" / "x.txt").write_text("")
    assert main(["check", "--live"]) == 1
    assert "The databases were not checked: correct the declarations first." in capsys.readouterr().out
