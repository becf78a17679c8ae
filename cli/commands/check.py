"""`totes check`: finds mistakes in the declarations, and where the databases differ from them."""

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
        bool, typer.Option("--live", help="Also compare the declarations with the stage's source and warehouse.")
    ] = False,
) -> None:
    """Check the declarations in schemas/: names, types, references, origins, versions and checks.

    Reports each mistake with its file, line and, for an unknown name, the nearest known one. Writes nothing.

    With --live, it also logs in to both databases with the stage's secrets. It compares tables, columns, types and
    rights, and lets the warehouse parse the checks.

    Exit code: 1 if there are findings.
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
        console.print(Text("The databases were not checked: correct the declarations first."))
    tables = len(declarations.source) + len(declarations.warehouse)
    if found:
        console.print(Text(f"{len(found)} finding{'s' * (len(found) > 1)}.", "bold red"))
        raise typer.Exit(FAILED)
    console.print(Text(f"{tables} declarations, no findings.", "bold green"))
