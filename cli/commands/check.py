"""`totes check`: finds mistakes in the declarations, and differences between them and the databases."""

from typing import Annotated

import typer
from rich.text import Text

from cli.deployment import target
from cli.errors import FAILED
from cli.render.terminal import complaints, screen
from totes.contracts.declarations import read_declarations


def check(
    context: typer.Context,
    live: Annotated[
        bool, typer.Option("--live", help="Also compare them with the stage's source and warehouse.")
    ] = False,
) -> None:
    """Check the declarations in schemas/: names, types, references, origins, versions and checks.

    Prints every mistake with file, line and the nearest name. With --live, also reads the catalogues of both
    databases, with the users of the stage's secrets: tables, columns, types and rights, and whether the warehouse
    understands the checks. Writes nothing.

    Exit code: 1 when there are findings.
    """
    declarations = read_declarations()
    found = [f"schemas/{finding}" for finding in declarations.findings]
    if live and not found:
        from cli.live import source_findings, warehouse_findings

        names = target(context).connect()
        with complaints().status("connecting"):
            found = [*source_findings(names), *warehouse_findings(names)]
    console = screen()
    for line in found:
        console.print(Text(line), soft_wrap=True)
    if live and declarations.findings:
        console.print(Text("The databases were not looked at: correct the declarations first."))
    tables = len(declarations.source) + len(declarations.warehouse)
    if found:
        console.print(Text(f"{len(found)} finding{'s' * (len(found) > 1)}.", "bold red"))
        raise typer.Exit(FAILED)
    console.print(Text(f"{tables} declarations, no findings.", "bold green"))
