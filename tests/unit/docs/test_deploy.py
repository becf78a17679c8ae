"""Tries the steps of docs/deploy.md, as far as they can be tried here."""

import contextlib
import re
from collections.abc import Iterator

import pg8000.dbapi
import pytest
import yaml
from pg8000.exceptions import DatabaseError

from local.aws.deployment import ROOT, SERVERLESS
from local.postgres.server import SUPERUSER, Postgres
from totes.postgres.connection import WAREHOUSE, connect
from totes.runtime.secrets import Credentials
from totes.verify.replay.replay import SHADOW
from totes.warehouse.schema import migrate
from totes.warehouse.warehouse import Warehouse

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
SQL = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
ROLES = ("totes_reader", "totes_loader", "analyst")


def statements(block: int) -> Iterator[str]:
    """Returns the statements of a block of SQL, about roles and databases that no other test has."""
    names = {name: f"documented_{name}" for name in (*ROLES, "warehouse", "totesys")}
    text = re.sub(rf"\b({'|'.join(names)})\b", lambda match: names[match[1]], SQL[block])
    return (statement for statement in text.split(";\n") if statement.strip())


@pytest.fixture(scope="module")
def granted(postgres: Postgres, empty_totesys: str) -> Iterator[Postgres]:
    """Yields a server on which the page's steps were done."""
    postgres.execute(f"CREATE DATABASE documented_totesys TEMPLATE {empty_totesys}")
    postgres.execute("CREATE ROLE documented_analyst LOGIN")
    with connected(postgres, "documented_totesys", "postgres") as totesys:
        for statement in statements(0):
            totesys.cursor().execute(statement)
        totesys.commit()
    for statement in statements(1):
        postgres.execute(statement)
    with connected(postgres, "documented_warehouse", "documented_totes_loader") as warehouse:
        for statement in statements(2):
            warehouse.cursor().execute(statement)
        warehouse.commit()
    yield postgres
    for database in ("documented_totesys", "documented_warehouse"):
        postgres.execute(f"DROP DATABASE {database} WITH (FORCE)")
    for role in ROLES:
        postgres.execute(f"DROP ROLE documented_{role}")


@contextlib.contextmanager
def connected(postgres: Postgres, database: str, role: str) -> Iterator[pg8000.dbapi.Connection]:
    """Yields a connection with the rights of a role."""
    with contextlib.closing(postgres.connect(database)) as connection:
        connection.cursor().execute(f"SET SESSION AUTHORIZATION {role}")
        yield connection


def test_reader_reads_every_table_and_writes_none(granted: Postgres) -> None:
    with connected(granted, "documented_totesys", "documented_totes_reader") as totesys:
        cursor = totesys.cursor()
        cursor.execute("SELECT count(*) FROM sales_order")
        with pytest.raises(DatabaseError, match="permission denied"):
            cursor.execute("DELETE FROM sales_order")


def test_loader_makes_what_analysts_may_read(granted: Postgres) -> None:
    with connected(granted, "documented_warehouse", "documented_totes_loader") as warehouse:
        for statement in ("CREATE SCHEMA etl", "CREATE TABLE etl.batch (id integer)", "CREATE TABLE fact (id integer)"):
            warehouse.cursor().execute(statement)
        warehouse.commit()
    with connected(granted, "documented_warehouse", "documented_analyst") as warehouse:
        warehouse.cursor().execute("SELECT * FROM etl.batch, public.fact")
        with pytest.raises(DatabaseError, match="permission denied"):
            warehouse.cursor().execute("INSERT INTO fact VALUES (1)")


def test_loader_makes_a_replay_beside_and_drops_it(granted: Postgres) -> None:
    credentials = Credentials(granted.host, "documented_warehouse", SUPERUSER, "")
    with contextlib.closing(connect(WAREHOUSE, credentials, "totes-test")) as connection:
        with connection.begin():
            connection.execute("SET SESSION AUTHORIZATION documented_totes_loader")
        migrate(Warehouse(connection, SHADOW))
        for schema in (SHADOW.log, SHADOW.stars):
            connection.execute(f"COMMENT ON SCHEMA {schema} IS 'mine'; DROP SCHEMA {schema} CASCADE")


def test_table_has_every_parameter_with_its_values() -> None:
    files = [SERVERLESS, *(ROOT / "resources").glob("*.yml")]
    used = {name for file in files for name in re.findall(r"\$\{param:(\w+)", file.read_text(encoding="utf-8"))}
    for script in (ROOT / "resources").glob("*.js"):
        used |= set(re.findall(r"'param:(\w+)'", script.read_text(encoding="utf-8")))
    section = PAGE.partition("\n## Stages and parameters\n")[2].partition("\n## ")[0]
    rows = [[cell.strip(" `") for cell in line.split("|")[1:4]] for line in section.splitlines() if "| `" in line]
    assert {row[0] for row in rows} == used

    params = yaml.safe_load(SERVERLESS.read_text(encoding="utf-8"))["params"]
    assert params.keys() == {"default", "prod"}
    for name, otherwise, prod in rows:
        assert otherwise == shown(params["default"].get(name)), name
        assert prod == shown(params["prod"].get(name)), name


def shown(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def test_commands_name_files_and_options_that_exist() -> None:
    for path in re.findall(r"--template-file (\S+)", PAGE):
        assert (ROOT / path).is_file()
    given = re.search(r"--parameter-overrides (.*)", PAGE)
    assert given
    bootstrap = (ROOT / "bootstrap" / "github-oidc.yml").read_text(encoding="utf-8")
    parameters = yaml.safe_load(bootstrap)["Parameters"]
    required = {name for name, parameter in parameters.items() if "Default" not in parameter}
    assert {pair.partition("=")[0] for pair in given[1].split()} == required
