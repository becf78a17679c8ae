"""The function behind the state Failed: ends the execution as it was caught, or lets it begin anew once redriven."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from totes.errors import shortened
from totes.runtime.log import logger
from totes.runtime.redaction import redacted

# Step Functions cuts a cause at 32,768 characters of JSON, in which a character takes up to six.
LONGEST = 5_000


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Raises the error that was caught, under its own name; returns where the execution was redriven since.

    It raises on purpose, so nothing is logged or counted as a failure of its own.
    """
    failure, execution = event["failure"], event["context"]
    if not _redriven_since(event["caught"], execution):
        raise _error(failure["Error"], failure["Cause"]["errorMessage"])
    logger.info("redriven: begins anew", execution=execution["Id"], failed_with=failure["Error"])
    return {"redriven": True}


def _redriven_since(caught: str, execution: Mapping[str, Any]) -> bool:
    """Whether the context object of Step Functions tells of a redrive that is younger than the failure."""
    redriven = execution.get("RedriveTime")
    return redriven is not None and datetime.fromisoformat(redriven) > datetime.fromisoformat(caught)


def _error(name: str, message: str) -> Exception:
    kind: type[Exception] = type(name, (Exception,), {})
    # What Lambda itself says has passed none of our own code yet.
    return kind(shortened(redacted(message), LONGEST))
