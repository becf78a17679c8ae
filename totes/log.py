"""The one logger and the one set of metrics of a function: JSON lines to CloudWatch."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics import MetricUnit

from totes.errors import TotesError, Unforeseen, redacted


class _Formatter(LambdaPowertoolsFormatter):
    """Powertools' own, but for secrets in stack traces: they quote whatever message a foreign exception has."""

    def formatException(self, ei: Any) -> str:  # noqa: N802  the standard library's name
        return redacted(super().formatException(ei))


# Structured frames would repeat the trace, and the exception's message with it.
logger = Logger(logger_formatter=_Formatter(serialize_stacktrace=False))
metrics = Metrics()
# S3 and Secrets Manager show as subsegments; patching whatever else is installed would only slow a cold start.
tracer = Tracer(patch_modules=["botocore"])

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def observed(handler: Handler) -> Handler:
    """A handler whose log lines bear the invocation and the execution, that is traced, and whose failure is logged.

    An error that nobody foresaw leaves as `Unforeseen`, without whatever secret its message carried.
    """

    @wraps(handler)
    def logged(event: dict[str, Any], context: Any) -> dict[str, Any]:
        logger.append_keys(execution=event.get("execution") or event.get("detail", {}).get("executionArn"))
        try:
            return handler(event, context)
        except TotesError as error:
            _note(error)
            error.in_two_lines()
            raise
        except Exception as error:
            _note(error)
            unforeseen = Unforeseen(
                f"{type(error).__name__}: {error}.",
                "Read the stack trace in the function's log; the execution can be redriven once its cause is gone.",
            )
            raise unforeseen.in_two_lines() from error

    traced = tracer.capture_lambda_handler(capture_response=False)(logged)
    measured = metrics.log_metrics(traced)
    injected: Handler = logger.inject_lambda_context(clear_state=True)(measured)
    return injected


def _note(error: Exception) -> None:
    logger.exception("failed", error=type(error).__name__)
    metrics.add_metric("Failures", MetricUnit.Count, 1)
