"""Refreshes a view in place until Ctrl-C."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from cli.errors import EXPECTED, one_line


def watch(console: Console, look: Callable[[], RenderableType], every: timedelta) -> None:
    """Shows the view that `look` returns, and refreshes it again and again.

    If a refresh fails, for instance during a network outage, the last view stays, with the error above it. An error
    of the first call is raised: waiting would not help.
    """
    view, looked, trouble = look(), datetime.now(UTC), ""
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live, suppress(KeyboardInterrupt):
        while True:
            live.update(Group(_headline(looked, every, trouble), "", view), refresh=True)
            time.sleep(every.total_seconds())
            try:
                view, looked, trouble = look(), datetime.now(UTC), ""
            except EXPECTED as error:
                trouble = f"The refresh at {datetime.now(UTC):%H:%M:%S} failed: {one_line(error)}"


def _headline(looked: datetime, every: timedelta, trouble: str) -> Text:
    """Returns the line with the last refresh's time. It is at the top, so that a small window shows it."""
    again = f"refreshed every {every.total_seconds():.0f} s, Ctrl-C stops it"
    return Text.assemble(
        ("As of ", "dim"),
        (f"{looked:%H:%M:%S} UTC", "bold yellow" if trouble else "bold"),
        (f", {again}.", "dim"),
        (f"\n{trouble}" if trouble else "", "yellow"),
    )
