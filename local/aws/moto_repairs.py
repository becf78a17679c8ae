"""Repairs moto 5.2.5 while a stack runs: adds missing features, corrects errors and avoids repeated work.

Each repair has a canary in tests/machine/test_moto_repairs.py, which fails as soon as moto no longer needs the repair.
"""

import contextlib
import functools
import json
import pickle  # nosec B403
import threading
import uuid
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
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
from moto.stepfunctions.parser.asl.utils import boto_client, json_path
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from local.lambda_runtime.runtime import Invoker, ServiceError


@contextlib.contextmanager
def functions_run(invoker: Invoker) -> Iterator[None]:
    """Passes invocations to our functions. moto would only echo the payload.

    A function's error becomes `x-amz-function-error`, which Step Functions reads. For an unknown function, moto still
    answers 404.
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
    """Lets only one write run at a time, so that `If-None-Match: *` is atomic, as S3 guarantees.

    moto checks whether an object exists and then writes it, so two concurrent writes would both succeed. The batch log
    commits by that condition.
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
    """Lets a distributed Map fail if one of its items fails, as on AWS. moto would let it succeed."""
    run = DistributedIterationComponent._map_run

    def run_and_count(self: Any, env: Environment, eval_input: Any) -> None:
        run(self, env, eval_input)
        if eval_input.map_run_record.item_counter.failed.get() > eval_input.tolerated_failure_count:
            raise _threshold_exceeded(env)

    with replaced(DistributedIterationComponent, "_map_run", run_and_count):
        yield


@contextlib.contextmanager
def nameless_executions_get_names() -> Iterator[None]:
    """Gives each execution without a name a UUID, as AWS does. moto would call it None and reject the next one."""
    start = StepFunctionsParserBackend.start_execution

    def start_named(self: Any, state_machine_arn: str, name: str | None = None, *args: Any, **options: Any) -> Any:
        return start(self, state_machine_arn, name or str(uuid.uuid4()), *args, **options)

    with replaced(StepFunctionsParserBackend, "start_execution", start_named):
        yield


@contextlib.contextmanager
def definitions_are_parsed_once() -> Iterator[None]:
    """Parses each state machine once. moto would parse it for every execution, which is slower than some functions.

    The program has state, so each execution gets its own: a pickled copy, which takes a twentieth of the time that moto
    takes to make one from the syntax tree. Definitions are parsed one at a time, because their parsers share state.
    """
    parse = AmazonStateLanguageParser.parse
    parsed: dict[str, tuple[bytes, Any]] = {}
    one_at_a_time = threading.Lock()

    def parse_once(definition: str) -> tuple[Any, Any]:
        with one_at_a_time:
            if definition not in parsed:
                program, tree = parse(definition)
                parsed[definition] = pickle.dumps(program), tree
        pickled, tree = parsed[definition]
        return pickle.loads(pickled), tree  # noqa: S301  # nosec B301

    with replaced(AmazonStateLanguageParser, "parse", staticmethod(parse_once)):
        yield


@contextlib.contextmanager
def clients_of_tasks_are_made_once() -> Iterator[None]:
    """Makes one client of a service for all tasks. moto would make one for each, which is slower than its request."""
    clients: dict[tuple[Any, ...], Any] = {}
    one_at_a_time = threading.Lock()

    def client(**options: Any) -> Any:
        which = tuple(options.get(name) for name in ("service_name", "region_name", "endpoint_url"))
        with one_at_a_time:
            if which not in clients:
                clients[which] = boto3.client(**options)
            return clients[which]

    with replaced(boto_client, "boto3", SimpleNamespace(client=client)):
        try:
            yield
        finally:
            for made in clients.values():
                made.close()


@contextlib.contextmanager
def paths_are_parsed_once() -> Iterator[None]:
    """Caches parsed JSONPaths, which have no state. moto would make a parser for each evaluation."""
    with contextlib.ExitStack() as replacements:
        for module in (json_path, result_path):
            replacements.enter_context(replaced(module, "parse", functools.cache(vars(module)["parse"])))
        yield


@contextlib.contextmanager
def modules_are_listed_once() -> Iterator[None]:
    """Lists moto's modules once. moto's server would list its folder twice for each request."""
    modules = tuple(backends.list_of_moto_modules())
    with replaced(backends, "list_of_moto_modules", lambda: modules):
        yield


@contextlib.contextmanager
def replaced(owner: type | ModuleType, name: str, value: object) -> Iterator[None]:
    """Sets an attribute of a class or module, and restores it at the end."""
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
            # The type requires the details of all kinds of events.
            event_details=EventDetails(executionFailedEventDetails=details),  # type: ignore[typeddict-item]
        )
    )


def _lambda_says(error: ServiceError) -> LambdaClientError:
    answer = LambdaClientError(error.code, error.message)
    answer.code = error.status
    return answer
