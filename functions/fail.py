"""The function behind the state Failed: ends the execution with the caught error, or lets a redriven one start over."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from totes.errors import shortened
from totes.runtime.log import logger
from totes.runtime.redaction import redacted

# Step Functions cuts a cause at 32,768 characters of JSON, in which a character takes up to six.
LONGEST = 5_000


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Raises the caught error under its own name; returns only if the execution was redriven since.

    It raises on purpose, so the error is neither logged nor counted again.
    """
    failure, execution = event["failure"], event["context"]
    if not _redriven_since(event["caught"], execution):
        raise _error(failure["Error"], failure["Cause"]["errorMessage"])
    logger.info("redriven: starts over", execution=execution["Id"], failed_with=failure["Error"])
    return {"redriven": True}


def _redriven_since(caught: str, execution: Mapping[str, Any]) -> bool:
    """Returns whether the context object of Step Functions has a redrive that is later than the failure."""
    redriven = execution.get("RedriveTime")
    return redriven is not None and datetime.fromisoformat(redriven) > datetime.fromisoformat(caught)


def _error(name: str, message: str) -> Exception:
    kind: type[Exception] = type(name, (Exception,), {})
    # Our own code has not redacted a message that Lambda itself wrote.
    return kind(shortened(redacted(message), LONGEST))
