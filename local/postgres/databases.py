"""Creates the two databases on the local server, and the functions' roles, with no more rights than on AWS."""

import contextlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from pg8000.native import identifier, literal

if TYPE_CHECKING:
    from local.postgres.server import Postgres

SOURCE = "totesys"
WAREHOUSE = "warehouse"
READER = "totes_reader"
LOADER = "totes_loader"
SOURCE_SCHEMA = Path(__file__).with_name("source_schema.sql")

# The reader's rights on existing tables and on tables that the simulator or a test adds later.
READER_RIGHTS = (
    f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}",
    f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {READER}",
)


def create_databases(postgres: "Postgres") -> bool:
    """Creates `totesys` with empty tables, `warehouse` without tables, and the two roles, unless they exist.

    Returns:
        Whether totesys was created, and so has no rows yet.
    """
    _create_role(postgres, READER)
    fresh = postgres.create_database(SOURCE)
    if fresh:
        _apply_schema(postgres)
        _let_in_only(postgres, SOURCE, READER)
    create_warehouse(postgres)
    return fresh


def create_warehouse(postgres: "Postgres") -> None:
    """Creates `warehouse` without tables, and its role, unless they exist."""
    _create_role(postgres, LOADER)
    if postgres.create_database(WAREHOUSE, owner=LOADER):
        _let_in_only(postgres, WAREHOUSE, LOADER)


def new_credentials(postgres: "Postgres", role: str, database: str) -> dict[str, str | int]:
    """Gives a role a new random password.

    Returns:
        The secret, as RDS writes it; `host` is the folder of the Unix socket.
    """
    password = secrets.token_urlsafe(24)
    postgres.execute(f"ALTER ROLE {identifier(role)} PASSWORD {literal(password)}")
    return {
        "host": postgres.host,
        "port": postgres.port,
        "dbname": database,
        "username": role,
        "password": password,
    }


def _create_role(postgres: "Postgres", role: str) -> None:
    if role not in {row[0] for row in postgres.execute("SELECT rolname FROM pg_roles")}:
        postgres.execute(f"CREATE ROLE {identifier(role)} LOGIN")


def _apply_schema(postgres: "Postgres") -> None:
    with contextlib.closing(postgres.connect(SOURCE)) as connection:
        cursor = connection.cursor()
        cursor.execute(SOURCE_SCHEMA.read_text(encoding="utf-8"))
        for statement in READER_RIGHTS:
            cursor.execute(statement)
        connection.commit()


def _let_in_only(postgres: "Postgres", database: str, role: str) -> None:
    postgres.execute(f"REVOKE ALL ON DATABASE {identifier(database)} FROM PUBLIC")
    postgres.execute(f"GRANT CONNECT ON DATABASE {identifier(database)} TO {identifier(role)}")
