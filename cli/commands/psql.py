"""`totes psql`: the databases of the local stack, without hunting for their socket."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.deployment import target
from cli.errors import Misused
from local.state import StackNotRunning, running_stack
from totes.runtime.names import LOCAL


def psql(
    context: typer.Context,
    which: Annotated[Literal["source", "warehouse"], typer.Argument(help="Which database.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[-- OPTIONS]", help="psql's own options, such as -- -c 'SELECT 1'.")
    ] = None,
) -> None:
    """Open a database of `totes up` in psql, as its superuser: what you change there is changed.

    No password is asked for or passed on: the server knows the user of this machine who started it.
    """
    from local.postgres.databases import SOURCE, WAREHOUSE

    deployment = target(context)
    if deployment.stage != LOCAL:
        raise Misused(
            f"Stage {deployment.stage} is on AWS; this command opens the databases of `totes up`. `totes --stage "
            f"{deployment.stage} query` asks the warehouse; for psql itself, the secret "
            f"totes/{deployment.stage}/{which} says where the database is."
        )
    try:
        stack = running_stack()
    except StackNotRunning as error:
        raise Misused(str(error)) from None
    where = ("--host", stack.postgres_host, "--port", str(stack.postgres_port), "--username", stack.postgres_superuser)
    database = SOURCE if which == "source" else WAREHOUSE
    program = _program()
    sys.stdout.flush()
    # psql takes the place of this process, so that Ctrl-C stops its query and not psql.
    os.execve(program, ["psql", *where, "--dbname", database, *(arguments or [])], _environment())  # noqa: S606


def _program() -> str:
    """Returns the path of psql: the embedded server's own, or another one.

    Raises:
        Misused: there is none.
    """
    from local.postgres.server import INSTALLATION, WHEEL

    spec = importlib.util.find_spec(WHEEL)
    own = Path(spec.origin).parent / INSTALLATION / "bin" / "psql" if spec and spec.origin else None
    found = str(own) if own and own.exists() else shutil.which("psql")
    if found is None:
        raise Misused("There is no psql here: install PostgreSQL's client, for instance the package postgresql-client.")
    return found


def _environment() -> dict[str, str]:
    """Returns the environment without what would lead libpq to another server, such as PGHOSTADDR."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
