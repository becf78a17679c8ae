"""A view that shows itself anew in place, until Ctrl-C."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from cli.errors import EXPECTED, one_line


def watch(console: Console, look: Callable[[], RenderableType], every: timedelta) -> None:
    """Shows what `look` returns, and looks again and again.

    A look that fails, because the stack or the network is away for a moment, leaves the last view with a line that says
    so. The first one may not fail: then something is wrong that no patience mends.
    """
    view, looked, trouble = look(), datetime.now(UTC), ""
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live, suppress(KeyboardInterrupt):
        while True:
            live.update(Group(_headline(looked, every, trouble), "", view), refresh=True)
            time.sleep(every.total_seconds())
            try:
                view, looked, trouble = look(), datetime.now(UTC), ""
            except EXPECTED as error:
                trouble = f"Could not look at {datetime.now(UTC):%H:%M:%S}: {one_line(error)}"


def _headline(looked: datetime, every: timedelta, trouble: str) -> Text:
    """When it was looked last. It stands on top, which is what a small window shows."""
    again = f"again every {every.total_seconds():.0f} s, Ctrl-C ends it"
    return Text.assemble(
        ("As of ", "dim"),
        (f"{looked:%H:%M:%S} UTC", "bold yellow" if trouble else "bold"),
        (f", {again}.", "dim"),
        (f"\n{trouble}" if trouble else "", "yellow"),
    )
