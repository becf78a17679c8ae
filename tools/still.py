"""Writes a picture of a terminal that shows an execution and an amended order: `make picture`.

Both are real: a temporary stack runs, a working day is simulated, and an execution loads it.
"""

import io
import re
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from cli.commands.demo import AMENDMENTS_A_DAY, temporary_stack
from cli.commands.history import show_versions
from cli.commands.up import seed_if_empty
from cli.deployment import Target, warehouse
from cli.render.executions import outcome, rows_moved, states_table
from cli.render.follow import wait
from cli.render.terminal import Screen, screen
from cli.starting import unique_name
from cli.versions import SALES_ORDER, read_amended, read_versions
from local.business.simulator import Simulator
from totes.alerts.executions import start

if TYPE_CHECKING:
    from local.stack import Stack

WIDTH = 80
# Removed, so that a reader's browser does not fetch a font.
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def main() -> None:
    """Writes the picture to the file named on the command line."""
    (path,) = sys.argv[1:]
    console = Screen(record=True, width=WIDTH, file=io.StringIO())
    with temporary_stack(screen()) as stack:
        seed_if_empty(stack, screen(), ago=1)
        wait(start(stack.names, unique_name("first"), "{}"))
        with closing(stack.connect_source()) as connection:
            Simulator(connection, amendments_a_day=4 * AMENDMENTS_A_DAY).run(1)
        _show_run(stack, console)
        _show_history(stack, console)
    # A dark theme: its colours are readable on light and dark pages.
    drawn = console.export_svg(title="totes", theme=MONOKAI, unique_id="totes")
    Path(path).write_text(_FONTS.sub("", drawn), encoding="utf-8")


def _show_run(stack: "Stack", console: Console) -> None:
    _prompt(console, "totes run")
    execution = wait(start(stack.names, unique_name("manual"), "{}"))
    for shown in (states_table(execution.states), rows_moved(execution.output), outcome(execution), ""):
        console.print(shown)


def _show_history(stack: "Stack", console: Console) -> None:
    with warehouse(stack.names) as connection:
        order = read_amended(connection, [SALES_ORDER], 1)[0][0]["id"]
        _prompt(console, Target().command(SALES_ORDER.line(order)))
        show_versions(console, SALES_ORDER, order, read_versions(connection, SALES_ORDER, order))


def _prompt(console: Console, line: str) -> None:
    console.print(Text.assemble(("$ ", "bold green"), (line, "bold")))


if __name__ == "__main__":
    main()
