"""What moto 5.2.5 lacks or gets wrong, put right for as long as a stack runs.

Each repair has a canary in tests/machine/test_moto_repairs.py that fails as soon as moto does without it.
"""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.s3.responses import S3Response

from local.lambda_runtime import Invoker, ServiceError


@contextlib.contextmanager
def functions_run(invoker: Invoker) -> Iterator[None]:
    """moto echoes the payload of every invocation: hand it to our functions instead.

    A function's error becomes `x-amz-function-error`, which Step Functions reads; an unknown function stays moto's 404.
    """

    def invoke(
        self: LambdaSimpleBackend, function_name: str, qualifier: str | None, body: Any, _: Any, response_headers: Any
    ) -> bytes:
        function = self.get_function(function_name, qualifier)
        try:
            result = invoker(function.function_name, json.loads(body or "{}"))
        except ServiceError as error:
            raise _lambda_says(error) from error
        if result.function_error:
            response_headers["x-amz-function-error"] = result.function_error
        return json.dumps(result.payload).encode()

    with replaced(LambdaSimpleBackend, "invoke", invoke):
        yield


@contextlib.contextmanager
def conditional_writes_are_atomic() -> Iterator[None]:
    """moto looks whether an object exists and then writes it, so two `If-None-Match: *` at once both succeed.

    The batch log commits by that condition. One write at a time makes it what S3 guarantees.
    """
    one_at_a_time = threading.Lock()

    def alone(original: Callable[..., Any]) -> Callable[..., Any]:
        def method(*args: Any, **kwargs: Any) -> Any:
            with one_at_a_time:
                return original(*args, **kwargs)

        return method

    with (
        replaced(S3Response, "put_object", alone(S3Response.put_object)),
        replaced(S3Response, "_key_response_post", alone(S3Response._key_response_post)),
    ):
        yield


@contextlib.contextmanager
def replaced(owner: type | ModuleType, name: str, value: object) -> Iterator[None]:
    """Set an attribute of a class or module, and set it back at the end."""
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _lambda_says(error: ServiceError) -> LambdaClientError:
    answer = LambdaClientError(error.code, error.message)
    answer.code = error.status
    return answer
