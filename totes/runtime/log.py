"""The one logger and the one set of metrics of a function: JSON lines to CloudWatch."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, cast

from aws_lambda_powertools import Logger, Metrics, Tracer, single_metric
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics import MetricUnit

from totes.errors import TotesError, TransientError, UnexpectedError
from totes.runtime.redaction import redacted, redacted_document


class _Formatter(LambdaPowertoolsFormatter):
    """Powertools' own, without secrets: stack traces, notes and fields quote whatever message a foreign error has."""

    def serialize(self, log: Any) -> str:
        return super().serialize(cast("Any", redacted_document(log)))


# Structured frames would repeat the trace, and the exception's message with it.
logger = Logger(logger_formatter=_Formatter(serialize_stacktrace=False))
metrics = Metrics()

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def observed(handler: Handler) -> Handler:
    """A handler whose log lines bear the invocation and the execution, that is timed and, where the stage says so,
    traced, and whose failure is logged.

    An error that nobody foresaw leaves as `UnexpectedError`, without whatever secret its message carried.
    """

    @wraps(handler)
    def logged(event: dict[str, Any], context: Any) -> dict[str, Any]:
        execution = event.get("execution") or event.get("detail", {}).get("executionArn")
        logger.append_keys(execution=execution)
        metrics.add_metadata("execution", execution)
        began = time.monotonic()
        try:
            return handler(event, context)
        except TotesError as error:
            _note(error)
            _with_table(error).labelled()
            raise
        except MemoryError as error:
            # Arrow's is a subclass. The state machine and the runbook know the one name.
            _note(error)
            raise MemoryError(redacted(str(error) or "Python could not allocate memory.")) from error
        except Exception as error:
            _note(error)
            unforeseen = UnexpectedError(
                f"{type(error).__name__}: {error}.",
                "Read the stack trace in the function's log; the execution can be redriven once its cause is gone.",
            )
            raise _with_table(unforeseen).labelled() from error
        finally:
            metrics.add_metric("Duration", MetricUnit.Milliseconds, (time.monotonic() - began) * 1000)

    measured = metrics.log_metrics(_traced(logged))
    injected: Handler = logger.inject_lambda_context(clear_state=True)(measured)
    return injected


def _traced(handler: Handler) -> Handler:
    # Outside AWS the SDK of X-Ray makes clients of its own as it is imported, which takes a third of a second.
    if os.environ.get("POWERTOOLS_TRACE_DISABLED") != "false":
        return handler
    # What goes through the SDK shows as subsegments; patching whatever else is installed would only slow a cold start.
    tracer = Tracer(patch_modules=["botocore"])
    traced: Handler = tracer.capture_lambda_handler(capture_response=False)(handler)
    return traced


@contextmanager
def about(**keys: object) -> Iterator[None]:
    """Lines that are logged within bear these keys; so does the line that tells of a failure which began there."""
    logger.append_keys(**keys)
    yield
    logger.remove_keys(keys)


def count_by_table(name: str, counts: Mapping[str, int]) -> None:
    """Sends a metric for each table, with `table` as a dimension beside `service`. Each is one that is paid for."""
    for table, count in counts.items():
        with single_metric(name, MetricUnit.Count, count, namespace=metrics.namespace) as metric:
            metric.add_dimension("table", table)
            metric.add_metadata("execution", logger.get_current_keys().get("execution"))


def _with_table(error: TotesError) -> TotesError:
    """Notes the table that was being worked on, if the error names none.

    A server that fails for a moment does so at whichever table comes next, so a transient error is about none.
    """
    table = logger.get_current_keys().get("table")
    if table is None or error.tables or isinstance(error, TransientError):
        return error
    return error.about([str(table)])


def _note(error: Exception) -> None:
    logger.exception("failed", error=type(error).__name__)
    metrics.add_metric("Failures", MetricUnit.Count, 1)
