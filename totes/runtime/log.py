"""Makes the one logger and the one set of metrics of a function, which write JSON lines to CloudWatch."""

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
    """Powertools' formatter, with secrets masked: stack traces, notes and fields quote messages of other libraries."""

    def serialize(self, log: Any) -> str:
        return super().serialize(cast("Any", redacted_document(log)))


# A structured stack trace would only repeat the trace and the exception's message.
logger = Logger(logger_formatter=_Formatter(serialize_stacktrace=False))
metrics = Metrics()

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def observed(handler: Handler) -> Handler:
    """Returns a handler that is timed, logs its failure, and is traced if the stage asks for it.

    Its log lines name the invocation and the execution. An error of any other kind leaves it as `UnexpectedError`, with
    secrets masked.
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
            # Arrow raises a subclass, and the state machine and the runbook know only this name.
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
    # Outside AWS the SDK of X-Ray makes clients of its own when it is imported, which takes a third of a second.
    if os.environ.get("POWERTOOLS_TRACE_DISABLED") != "false":
        return handler
    # Calls of the AWS SDK show as subsegments. Patching other installed libraries would only slow a cold start.
    tracer = Tracer(patch_modules=["botocore"])
    traced: Handler = tracer.capture_lambda_handler(capture_response=False)(handler)
    return traced


@contextmanager
def about(**keys: object) -> Iterator[None]:
    """Adds these keys to every log line in the block, and to the line about a failure that began there."""
    logger.append_keys(**keys)
    yield
    logger.remove_keys(keys)


def count_by_table(name: str, counts: Mapping[str, int]) -> None:
    """Sends a metric for each table, with the dimensions `table` and `service`. AWS bills each table's metric."""
    for table, count in counts.items():
        with single_metric(name, MetricUnit.Count, count, namespace=metrics.namespace) as metric:
            metric.add_dimension("table", table)
            metric.add_metadata("execution", logger.get_current_keys().get("execution"))


def _with_table(error: TotesError) -> TotesError:
    """Adds the table that was being processed, if the error names none.

    A transient error is about no table: a server that fails for a moment fails at any table.
    """
    table = logger.get_current_keys().get("table")
    if table is None or error.tables or isinstance(error, TransientError):
        return error
    return error.about([str(table)])


def _note(error: Exception) -> None:
    logger.exception("failed", error=type(error).__name__)
    metrics.add_metric("Failures", MetricUnit.Count, 1)
