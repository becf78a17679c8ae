"""`totes psql`: opens a database of the local stack in psql."""

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
        list[str] | None, typer.Argument(metavar="PSQL_OPTION", help="Options for psql, such as -c 'SELECT 1'.")
    ] = None,
) -> None:
    """Open a database of `totes up` in psql, as its superuser. Your changes are real.

    psql needs no password: the server trusts the user who started it on this machine.
    """
    from local.postgres.databases import SOURCE, WAREHOUSE

    deployment = target(context)
    if deployment.stage != LOCAL:
        raise Misused(
            f"Stage {deployment.stage} is on AWS; this command only opens the databases of `totes up`. To query the "
            f"warehouse, use `totes --stage {deployment.stage} query`. Or run psql yourself, with the address and "
            f"login in the secret totes/{deployment.stage}/{which}."
        )
    try:
        stack = running_stack()
    except StackNotRunning as error:
        raise Misused(str(error)) from None
    where = ("--host", stack.postgres_host, "--port", str(stack.postgres_port), "--username", stack.postgres_superuser)
    database = SOURCE if which == "source" else WAREHOUSE
    program = _program()
    sys.stdout.flush()
    # Replaces this process with psql, so that Ctrl-C stops a query and not psql.
    os.execve(program, ["psql", *where, "--dbname", database, *(arguments or [])], _environment())  # noqa: S606


def _program() -> str:
    """Returns the path of psql: the embedded server's, or else the one on the PATH.

    Raises:
        Misused: there is neither.
    """
    from local.postgres.server import INSTALLATION, WHEEL

    spec = importlib.util.find_spec(WHEEL)
    own = Path(spec.origin).parent / INSTALLATION / "bin" / "psql" if spec and spec.origin else None
    found = str(own) if own and own.exists() else shutil.which("psql")
    if found is None:
        raise Misused("psql is not installed: install PostgreSQL's client, for instance the package postgresql-client.")
    return found


def _environment() -> dict[str, str]:
    """Returns the environment without libpq's variables, such as PGHOSTADDR, which could select another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
