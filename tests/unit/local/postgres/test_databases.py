import contextlib
from collections.abc import Iterator

import pg8000.dbapi
import pytest

from local.postgres.databases import LOADER, READER, SOURCE, WAREHOUSE, create_databases, new_credentials
from local.postgres.server import Postgres
from totes.postgres import driver


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres() as postgres:
        assert create_databases(postgres)
        yield postgres


def execute(credentials: dict[str, str | int], statement: str) -> list[list[object]]:
    """Runs a statement over a connection like a function's."""
    with contextlib.closing(
        driver.Connection(
            credentials["username"],
            password=credentials["password"],
            database=credentials["dbname"],
            unix_sock=f"{credentials['host']}/.s.PGSQL.{credentials['port']}",
        )
    ) as connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        rows = list(cursor.fetchall()) if cursor.description else []
        connection.commit()
        return rows


def test_reader_reads_every_table_of_the_source(postgres: Postgres) -> None:
    reader = new_credentials(postgres, READER, SOURCE)
    tables = [row[0] for row in execute(reader, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]

    assert {"sales_order", "transaction", "_prisma_migrations"} <= set(tables)
    for table in tables:
        assert isinstance(execute(reader, f'TABLE "{table}"'), list)


def test_reader_reads_a_table_added_later(postgres: Postgres) -> None:
    postgres.execute("CREATE TABLE IF NOT EXISTS later (id int)", SOURCE)

    assert execute(new_credentials(postgres, READER, SOURCE), "SELECT * FROM later") == []


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO currency (currency_code, last_updated) VALUES ('CHF', now())",
        "UPDATE staff SET first_name = ''",
        "DELETE FROM payment",
        "TRUNCATE design CASCADE",
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "SELECT pg_read_file('postmaster.pid')",
    ],
)
def test_reader_may_do_nothing_but_read(postgres: Postgres, statement: str) -> None:
    with pytest.raises(pg8000.dbapi.DatabaseError, match="42501"):
        execute(new_credentials(postgres, READER, SOURCE), statement)


def test_loader_owns_its_warehouse_but_nothing_else(postgres: Postgres) -> None:
    loader = new_credentials(postgres, LOADER, WAREHOUSE)

    execute(loader, "CREATE SCHEMA etl")
    execute(loader, "CREATE TABLE public.dim_date (date_id date PRIMARY KEY)")
    execute(loader, "CREATE VIEW public.days AS SELECT * FROM dim_date")
    with pytest.raises(pg8000.dbapi.DatabaseError, match="42501"):
        execute(loader, "CREATE ROLE accomplice")


@pytest.mark.parametrize(("role", "foreign"), [(READER, WAREHOUSE), (LOADER, SOURCE)])
def test_role_may_not_enter_the_other_database(postgres: Postgres, role: str, foreign: str) -> None:
    with pytest.raises(pg8000.dbapi.Error) as refused:
        execute(new_credentials(postgres, role, foreign), "SELECT 1")

    assert "42501" in str(refused.getrepr(chain=True))


def test_new_password_replaces_the_one_before(postgres: Postgres) -> None:
    old = new_credentials(postgres, READER, SOURCE)
    new = new_credentials(postgres, READER, SOURCE)

    assert old["password"] != new["password"]
    assert execute(new, "SELECT 1") == [[1]]
    with pytest.raises(pg8000.dbapi.Error) as refused:
        execute(old, "SELECT 1")
    assert "28P01" in str(refused.getrepr(chain=True))


def test_existing_databases_are_left_alone(postgres: Postgres) -> None:
    postgres.execute("CREATE TABLE IF NOT EXISTS mark (id int)", SOURCE)

    assert not create_databases(postgres)
    assert postgres.execute("SELECT count(*) FROM mark", SOURCE) == ([0],)
