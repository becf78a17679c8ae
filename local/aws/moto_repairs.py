"""What moto 5.2.5 lacks, gets wrong or does again and again, put right for as long as a stack runs.

Each repair has a canary in tests/machine/test_moto_repairs.py that fails as soon as moto does without it.
"""

import contextlib
import functools
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from moto import backends
from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.s3.responses import S3Response
from moto.stepfunctions.parser.api import ExecutionFailedEventDetails, HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.distributed_iteration_component import (
    DistributedIterationComponent,
)
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from local.lambda_runtime.runtime import Invoker, ServiceError


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
def maps_fail_with_their_parts() -> Iterator[None]:
    """moto lets a distributed Map succeed whatever becomes of its parts: have it fail where one did, as AWS does."""
    run = DistributedIterationComponent._map_run

    def run_and_count(self: Any, env: Environment, eval_input: Any) -> None:
        run(self, env, eval_input)
        if eval_input.map_run_record.item_counter.failed.get() > eval_input.tolerated_failure_count:
            raise _threshold_exceeded(env)

    with replaced(DistributedIterationComponent, "_map_run", run_and_count):
        yield


@contextlib.contextmanager
def nameless_executions_get_names() -> Iterator[None]:
    """moto calls an execution without a name None and refuses the next one: give each a UUID, as AWS does."""
    start = StepFunctionsParserBackend.start_execution

    def start_named(self: Any, state_machine_arn: str, name: str | None = None, *args: Any, **options: Any) -> Any:
        return start(self, state_machine_arn, name or str(uuid.uuid4()), *args, **options)

    with replaced(StepFunctionsParserBackend, "start_execution", start_named):
        yield


@contextlib.contextmanager
def definitions_are_parsed_once() -> Iterator[None]:
    """moto parses a state machine for each execution, which takes longer than some of the functions do.

    The tree is kept. What moto makes of it has a state, so each execution gets its own; it is made by one at a time,
    since the makers share a state too.
    """
    parse = AmazonStateLanguageParser.parse
    trees: dict[str, Any] = {}
    one_at_a_time = threading.Lock()

    def parse_once(definition: str) -> tuple[Any, Any]:
        with one_at_a_time:
            if tree := trees.get(definition):
                return Preprocessor().visit(tree), tree
            program, trees[definition] = parse(definition)
            return program, trees[definition]

    with replaced(AmazonStateLanguageParser, "parse", staticmethod(parse_once)):
        yield


@contextlib.contextmanager
def paths_are_parsed_once() -> Iterator[None]:
    """moto makes a parser each time that a state evaluates a JSONPath. A parsed path has no state: keep it."""
    with contextlib.ExitStack() as replacements:
        for module in (json_path, result_path):
            replacements.enter_context(replaced(module, "parse", functools.cache(vars(module)["parse"])))
        yield


@contextlib.contextmanager
def modules_are_listed_once() -> Iterator[None]:
    """moto's server looks through its own folder twice a request."""
    modules = tuple(backends.list_of_moto_modules())
    with replaced(backends, "list_of_moto_modules", lambda: modules):
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


def _threshold_exceeded(env: Environment) -> FailureEventException:
    error = StatesErrorNameType.StatesExceedToleratedFailureThreshold
    details = ExecutionFailedEventDetails(
        error=error.to_name(), cause="The specified tolerated failure threshold was exceeded"
    )
    return FailureEventException(
        FailureEvent(
            env=env,
            error_name=StatesErrorName(typ=error),
            event_type=HistoryEventType.ExecutionFailed,
            # The type wants all details of all events.
            event_details=EventDetails(executionFailedEventDetails=details),  # type: ignore[typeddict-item]
        )
    )


def _lambda_says(error: ServiceError) -> LambdaClientError:
    answer = LambdaClientError(error.code, error.message)
    answer.code = error.status
    return answer
