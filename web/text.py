"""How values read on the page: filters of the templates."""

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

# A document, wherever docs/ is said to be: the same one is served here.
_DOCUMENT = re.compile(r"\S*\bdocs/([\w/-]+)\.md(#[\w-]+)?")
_RATE = re.compile(r"rate\((?:1 )?(.+)\)")


def pretty(document: str | Mapping[str, Any]) -> str:
    """JSON with line breaks; text that is no JSON as it is."""
    try:
        parsed = json.loads(document) if isinstance(document, str) else document
    except ValueError:
        return str(document)
    return json.dumps(parsed, indent=2, ensure_ascii=False)


def moment(at: datetime) -> str:
    """A day and a time of day."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock(at: datetime) -> str:
    """A time of day."""
    return f"{at.astimezone(UTC):%H:%M:%S}"


def age(span: timedelta) -> str:
    """An age in its largest unit, for a narrow column."""
    return " ".join(ago(span).split()[:2])


def every(rate: str) -> str:
    """A schedule's rate in words: `rate(5 minutes)` is every 5 minutes."""
    return _RATE.sub(r"every \1", rate)


def fields(line: LogLine) -> str:
    """What else a log line says."""
    said = {name: value for name, value in line.fields.items() if value not in (None, {}, [])}
    return " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in said.items()
    )


def runbook(error: str) -> str:
    """The address of the section that the runbook has on an error."""
    return f"/docs/runbook#{anchor(section(error))}"


def linked(text: str) -> Markup:
    """A text in which each document that it names is a link; all else in it is text."""
    parts, end = [], 0
    for found in _DOCUMENT.finditer(text):
        address = f"/docs/{found[1]}{found[2] or ''}"
        parts += [escape(text[end : found.start()]), Markup('<a href="{}">{}</a>').format(address, found[0])]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])
