"""Formats values for the page. The functions are filters for the templates."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from markupsafe import Markup, escape

from cli.render.log_lines import LogLine
from cli.render.terminal import ago
from totes.alerts.email import anchor
from totes.alerts.error_catalogue import section
from totes.alerts.executions import without_objects

# A document's address, whatever is before docs/: the page serves the same document.
_DOCUMENT = re.compile(r"\S*\bdocs/([\w/-]+)\.md(#[\w-]+)?")
_RATE = re.compile(r"rate\((?:1 )?(.+)\)")


def pretty(document: str | Mapping[str, Any]) -> str:
    """Formats JSON with line breaks, without a batch's objects; returns other text unchanged."""
    try:
        parsed = json.loads(document) if isinstance(document, str) else document
    except ValueError:
        return str(document)
    if isinstance(parsed, dict):
        parsed = without_objects(parsed)
    return json.dumps(parsed, indent=2, ensure_ascii=False)


def moment(at: datetime) -> str:
    """Formats a date and time in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock(at: datetime) -> str:
    """Formats a time of day in UTC."""
    return f"{at.astimezone(UTC):%H:%M:%S}"


def age(span: timedelta) -> str:
    """Formats an age in its largest unit, for a narrow column."""
    return " ".join(ago(span).split()[:2])


def every(rate: str) -> str:
    """Formats a schedule's rate: `rate(5 minutes)` becomes `every 5 minutes`."""
    return _RATE.sub(r"every \1", rate)


def fields(line: LogLine) -> str:
    """Formats a log line's further fields."""
    said = {name: value for name, value in line.fields.items() if value not in (None, {}, [])}
    return " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in said.items()
    )


def runbook(error: str) -> str:
    """Returns the address of an error's section in the runbook."""
    return f"/docs/runbook#{anchor(section(error))}"


def linked(text: str) -> Markup:
    """Turns the documents that a text names into links, and escapes the rest."""
    parts, end = [], 0
    for found in _DOCUMENT.finditer(text):
        address = f"/docs/{found[1]}{found[2] or ''}"
        parts += [escape(text[end : found.start()]), Markup('<a href="{}">{}</a>').format(address, found[0])]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])
