"""What starting an execution takes, from wherever it is started: a name, or the command line that does it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4


def unique_name(origin: str) -> str:
    """A name that no other execution has, and that says where it came from and when."""
    return f"{origin}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:6]}"


def command(given: Mapping[str, Any]) -> str:
    """Returns the command line that starts an execution with an input."""
    options = [f"--full-read {table}" for table in given.get("full_read", ())]
    options += [f"--accept-deletions {table}={rows}" for table, rows in given.get("accept_deletions", {}).items()]
    return " ".join(["totes run", *options])
