"""Functions for the worker processes in tests: each shows one thing that a function may do."""

import os
import sys
import tempfile
import time
from typing import Any


class SourceOnFire(Exception):
    """An error class of the function's own."""


def describe(event: Any, context: Any) -> dict[str, Any]:
    return {
        "event": event,
        "process": os.getpid(),
        "variable": os.environ.get("SAMPLE"),
        "environment_name": os.environ["AWS_LAMBDA_FUNCTION_NAME"],
        "name": context.function_name,
        "memory": context.memory_limit_in_mb,
        "arn": context.invoked_function_arn,
        "request": context.aws_request_id,
        "left": context.get_remaining_time_in_millis(),
    }


def fail(event: Any, _context: Any) -> None:
    raise SourceOnFire(event["why"])


def sleep(event: Any, _context: Any) -> int:
    sys.stdout.write(f"asleep for {event['seconds']}\n")
    time.sleep(event["seconds"])
    return os.getpid()


def leave(event: Any, _context: Any) -> None:
    os._exit(event["status"])


def unserialisable(_event: Any, _context: Any) -> object:
    return object()


def talk(event: Any, _context: Any) -> None:
    sys.stdout.write(f"{event['says']}\n")
    sys.stderr.write("and on standard error\n")


def litter(event: Any, _context: Any) -> None:
    """Exits, or runs for too long, with a file in its temporary folder."""
    tempfile.mkstemp()
    time.sleep(event["seconds"])
    os._exit(1)
