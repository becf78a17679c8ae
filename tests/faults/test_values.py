"""F65 and F66: tables without a timestamp, and values of any length."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from pg8000.native import identifier

from local.postgres.databases import READER
from tests.faults.scenario import HEAL, HOLD, WARN, Scenario, fault, on
from tests.support.reconciliation import reconcile
from tests.support.replays import swap, verify
from totes.contracts.declarations import MAX_BYTES, declared
from totes.postgres.driver import PipelineConnection

# 98,304 digests take 3 MB without the separators. CSV has to quote these separators.
LONG = "(SELECT string_agg(md5(CAST(i AS text)), '{}') FROM generate_series(1, 98304) AS i)"
PLAIN, QUOTED = LONG.format(""), LONG.format('"\n,')

# {file of schemas/: its columns}. Every table's key is its first column.
TABLES = {
    "country": ("country_id = {integer}", "country_name = {text}"),
    "region": ("region_id = {integer}", 'country_id = {integer, references = "country"}'),
    "depot": ("depot_id = {integer}",),
    "remark": ("remark_id = {integer}", "remark = {text, nullable = true}"),
    "nothing": ("nothing_id = {integer}", "weight = {numeric(9,3)}"),
}
DIMENSIONS = {
    "country": ("country_id = {integer, from = country}", "country_name = {varchar, from = country}"),
    "region": ("region_id = {integer, from = region}", "country_name = {varchar, from = country}"),
    "depot": ("depot_id = {integer, from = depot}",),
    "remark": ("remark_id = {integer, from = remark}", "remark = {varchar, from = remark, nullable = true}"),
    "nothing": ("nothing_id = {integer, from = nothing}", "weight = {numeric, from = nothing}"),
}
MADE = (
    "CREATE TABLE country (country_id integer PRIMARY KEY, country_name text NOT NULL)",
    "CREATE TABLE region (region_id integer PRIMARY KEY, country_id integer NOT NULL REFERENCES country)",
    "CREATE TABLE depot (depot_id integer PRIMARY KEY)",
    "CREATE TABLE remark (remark_id integer PRIMARY KEY, remark text)",
    "CREATE TABLE nothing (nothing_id integer PRIMARY KEY, weight numeric(9,3) NOT NULL)",
    "INSERT INTO country VALUES (1, 'UK'), (2, 'France')",
    "INSERT INTO region VALUES (1, 1), (2, 1), (3, 2)",
    "INSERT INTO depot VALUES (3), (1)",
    "INSERT INTO remark VALUES (1, NULL), (2, NULL)",
    f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {identifier(READER)}",
)


@pytest.fixture
def unstamped(schemas: Path) -> None:
    """Declares tables without a timestamp, each with a dimension of its own."""
    for name, columns in TABLES.items():
        write_declaration(schemas / "source" / f"{name}.toml", [f'key = "{name}_id"'], columns)
        head = [f'key = "{name}_id"', f'source = "{name}"', 'grain = "."', 'kind = "dimension"']
        if name == "region":
            head.append('join = {country = "country_id"}')
        write_declaration(schemas / "warehouse" / f"dim_{name}.toml", head, DIMENSIONS[name])


def write_declaration(path: Path, head: list[str], columns: tuple[str, ...]) -> None:
    """Writes a declaration from columns in the short form of TABLES."""
    lines = ['meaning = "."', *head, "[columns]"]
    for column in columns:
        name, _, fields = column.partition(" = ")
        fields = re.sub(r"from = (\w+)", rf'from = "\1.{name}"', fields)
        fields = re.sub(r"{([\w(),]+?)(?=}|, )", r'{type = "\1", meaning = "."', fields)
        lines.append(f"{name} = {fields}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@on("small_totesys")
@fault("F65", "tables have no timestamp: of keys alone, joined, with an empty text, without rows", HEAL)
def test_f65_tables_without_a_timestamp_load(scenario: Scenario, unstamped: None) -> None:
    for statement in MADE:
        scenario.totesys(statement)
    first = scenario.run()
    scenario.totesys("INSERT INTO depot VALUES (2)")
    scenario.totesys("UPDATE country SET country_name = 'Britain' WHERE country_id = 1")
    scenario.totesys("UPDATE remark SET remark = '' WHERE remark_id = 2")

    again = scenario.run()

    assert first.output["load"]["inserted"]["dim_depot"] == 2
    assert again.output["load"]["inserted"] == {"dim_depot": 1}
    assert again.output["load"]["updated"] == {"dim_country": 1, "dim_region": 2, "dim_remark": 1}
    assert scenario.star("SELECT * FROM dim_depot ORDER BY 1") == [[1], [2], [3]]
    assert scenario.star("SELECT * FROM dim_remark ORDER BY 1") == [[1, None], [2, ""]]
    assert scenario.star("SELECT * FROM dim_nothing") == []
    assert scenario.star("SELECT region_id, country_name FROM dim_region ORDER BY 1") == [
        [1, "Britain"],
        [2, "Britain"],
        [3, "France"],
    ]


@on("small_totesys")
@fault("F65", "reconcile and a replay compare tables without a timestamp", HEAL)
def test_f65_tables_without_a_timestamp_are_compared_and_healed(scenario: Scenario, unstamped: None) -> None:
    for statement in MADE:
        scenario.totesys(statement)
    scenario.run()
    assert reconcile(scenario.pipeline).agrees

    scenario.star("UPDATE dim_depot SET depot_id = 5 WHERE depot_id = 3")

    (found,) = [table for table in reconcile(scenario.pipeline).tables if not table.agrees]
    assert (found.table, found.missing.first, found.extra.first) == ("dim_depot", [3], [5])
    swap(scenario.pipeline)
    assert verify(scenario.pipeline).agrees
    assert reconcile(scenario.pipeline).agrees


TEXTS = {
    "one text": f"UPDATE design SET file_location = {PLAIN} WHERE design_id = 7",
    "all of a row": f"UPDATE design SET design_name = {QUOTED}, file_location = {PLAIN}, file_name = {QUOTED} "
    "WHERE design_id = 7",
    "between short ones": f"UPDATE design SET file_name = CASE WHEN design_id % 40 = 7 THEN {QUOTED} ELSE '\"\n' END",
    "of joined parents": f"UPDATE department SET location = {QUOTED} WHERE department_id = 1; "
    f"UPDATE address SET district = {PLAIN}, phone = {QUOTED} WHERE address_id = 1",
    "of a fact": f"UPDATE purchase_order SET item_code = {QUOTED} WHERE purchase_order_id IN (1, 5)",
}


@fault("F66", "a text has 3 MB or more", HEAL)
@pytest.mark.parametrize("change", TEXTS.values(), ids=TEXTS)
def test_f66_long_text_loads(scenario: Scenario, change: str) -> None:
    for statement in change.split("; "):
        scenario.totesys(statement)

    scenario.run()

    assert reconcile(scenario.pipeline).agrees


@fault("F66", "a text is longer than the limit", HOLD)
def test_f66_text_beyond_the_limit_is_named_and_not_fetched(scenario: Scenario) -> None:
    ((name,),) = scenario.totesys("SELECT file_name FROM design WHERE design_id = 7")
    scenario.totesys("UPDATE design SET file_name = repeat('x', %s) WHERE design_id = 7", MAX_BYTES + 1)

    with fetched() as sizes:
        failed = scenario.run()

    assert failed.error == "ContractViolation"
    assert failed.changed_nothing
    assert "design 7: file_name is 8,000,001 bytes long, expected at most 8,000,000" in failed.mail
    assert max(sizes) < 1_000
    scenario.totesys("UPDATE design SET file_name = %s WHERE design_id = 7", name)
    scenario.run()


@fault("F66", "a text is longer than a declared limit, until the declaration changes", HOLD)
def test_f66_declared_limit_is_held_and_can_be_raised(scenario: Scenario, schemas: Path) -> None:
    declare(schemas, "department", "location", "max_bytes = 100")
    scenario.totesys("UPDATE department SET location = repeat('ä', 51) WHERE department_id = 1")

    failed = scenario.run()

    assert "department 1: location is 102 bytes long, expected at most 100." in failed.mail
    declare(schemas, "department", "location", "max_bytes = 102")
    scenario.run()


@fault("F66", "a text is longer than the limit, in a table with quarantine = true", WARN)
@pytest.mark.parametrize("cured", [False, True], ids=["left", "cured"])
def test_f66_row_with_a_text_beyond_the_limit_is_quarantined(scenario: Scenario, schemas: Path, cured: bool) -> None:
    declare(schemas, "design", "file_name", "max_bytes = 100000", quarantine=True)
    scenario.totesys("UPDATE design SET file_name = repeat('x', 5000000) WHERE design_id = 7")
    scenario.totesys("UPDATE design SET file_name = 'other.json' WHERE design_id = 8")
    scenario.history_checker.quarantined[2] = {("design", 7)}

    with fetched() as sizes:
        odd = scenario.run()
        scenario.run()

    assert odd.warnings == ["design has 1 row that is quarantined: see etl.quarantine"]
    assert odd.output["load"]["updated"] == {"dim_design": 1}
    reason = "design 7: file_name is 5,000,000 bytes long, expected at most 100,000"
    ((found, text),) = scenario.star("SELECT reason, source_row ->> 'file_name' FROM etl.quarantine")
    assert (found, text) == (reason, None)
    assert max(sizes) < 1_000
    if cured:
        scenario.totesys("UPDATE design SET file_name = repeat('x', 100000) WHERE design_id = 7")
        assert scenario.run().output["load"]["updated"] == {"dim_design": 1}
        assert scenario.star("SELECT released_batch_id FROM etl.quarantine") == [[3]]


def declare(schemas: Path, table: str, column: str, limit: str, *, quarantine: bool = False) -> None:
    """Declares a limit for a column of totesys, and forgets the declarations that were read."""
    path = schemas / "source" / f"{table}.toml"
    text, found = re.subn(
        rf"^{column} = {{ (max_bytes = \d+, )?",
        f"{column} = {{ {limit}, ",
        path.read_text(encoding="utf-8"),
        flags=re.M,
    )
    assert found
    path.write_text("quarantine = true\n" * quarantine + text, encoding="utf-8")
    declared.cache_clear()


@contextmanager
def fetched() -> Iterator[list[int]]:
    """Yields a list of the bytes of each row that a COPY brings during the block."""
    sizes: list[int] = []
    take = PipelineConnection.handle_COPY_DATA

    def noted(self: PipelineConnection, data: bytes, context: Any) -> None:
        sizes.append(len(data))
        take(self, data, context)

    with mock.patch.object(PipelineConnection, "handle_COPY_DATA", noted):
        yield sizes
