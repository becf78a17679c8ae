"""Canaries: each test here fails when moto no longer needs a repair of local/aws/moto_repairs.py.

Then the repair can be deleted, and its canary with it.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any
from uuid import UUID

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import backends, mock_aws
from moto.s3.models import S3Backend
from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import boto_client, json_path
from moto.stepfunctions.responses import StepFunctionResponse

from local.aws.moto_repairs import (
    clients_of_tasks_are_made_once,
    conditional_writes_are_atomic,
    definitions_are_parsed_once,
    functions_run,
    maps_fail_with_their_parts,
    modules_are_listed_once,
    nameless_executions_get_names,
    paths_are_parsed_once,
)
from local.lambda_runtime.runtime import InvokeResult, ServiceError

REGION = "eu-west-2"
ANSWER = {"batch": 7}


@contextmanager
def deployed_function() -> Iterator[Any]:
    """Returns a client of Lambda, with the function `ingest` that moto does not run."""
    with mock_aws(config={"lambda": {"use_docker": False}}):
        role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        client = boto3.client("lambda", region_name=REGION)
        client.create_function(
            FunctionName="ingest", Runtime="python3.13", Role=role, Handler="a.b", Code={"ZipFile": b"-"}
        )
        yield client


def test_moto_still_echoes_instead_of_running_a_function() -> None:
    with deployed_function() as client:
        assert json.load(client.invoke(FunctionName="ingest", Payload=b'{"echo": 1}')["Payload"]) == {"echo": 1}


def test_repaired_invocation_returns_the_functions_answer() -> None:
    calls: list[tuple[str, Any]] = []

    def invoker(name: str, event: dict[str, Any]) -> InvokeResult:
        calls.append((name, event))
        return InvokeResult(ANSWER)

    with deployed_function() as client, functions_run(invoker):
        by_name = client.invoke(FunctionName="ingest", Payload=b'{"a": 1}')
        arn = f"arn:aws:lambda:{REGION}:123456789012:function:ingest"
        by_arn = client.invoke(FunctionName=arn)

        assert "FunctionError" not in by_name
        assert [json.load(answer["Payload"]) for answer in (by_name, by_arn)] == [ANSWER, ANSWER]
    assert calls == [("ingest", {"a": 1}), ("ingest", {})]


def test_repaired_invocation_reports_the_functions_error() -> None:
    error = {"errorType": "SourceBusy", "errorMessage": "later", "stackTrace": []}

    with deployed_function() as client, functions_run(lambda _name, _event: InvokeResult(error, "Unhandled")):
        answer = client.invoke(FunctionName="ingest")

        assert answer["FunctionError"] == "Unhandled"
        assert json.load(answer["Payload"]) == error


def test_repaired_invocation_is_refused_as_lambda_refuses() -> None:
    def throttle(_name: str, _event: dict[str, Any]) -> InvokeResult:
        raise ServiceError("TooManyRequestsException", "Rate exceeded", 429)

    with deployed_function() as client, functions_run(throttle):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.invoke(FunctionName="nobody")
        with pytest.raises(ClientError) as refused:
            client.invoke(FunctionName="ingest")

    assert refused.value.response["Error"] == {"Code": "TooManyRequestsException", "Message": "Rate exceeded"}
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429


@pytest.mark.parametrize(
    ("repair", "winners"), [(nullcontext, 2), (conditional_writes_are_atomic, 1)], ids=["moto", "repaired"]
)
@pytest.mark.parametrize("kind", ["put", "multipart"])
def test_only_the_repaired_conditional_write_has_one_winner(
    repair: Callable[[], AbstractContextManager[None]], winners: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mock_aws(), repair():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="log")
        write = {"put": put, "multipart": multipart}[kind](s3)
        both_have_looked = threading.Barrier(2)
        look = S3Backend.get_object

        def look_together(self: S3Backend, *args: Any, **options: Any) -> Any:
            found = look(self, *args, **options)
            with suppress(threading.BrokenBarrierError):
                both_have_looked.wait(0.5)
            return found

        monkeypatch.setattr(S3Backend, "get_object", look_together)
        won: list[bool] = []
        threads = [threading.Thread(target=lambda: won.append(succeeds(write))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sum(won) == winners


@pytest.mark.parametrize(
    ("repair", "trees"), [(nullcontext, 2), (definitions_are_parsed_once, 1)], ids=["moto", "repaired"]
)
def test_only_with_the_repair_a_definition_is_parsed_once(
    repair: Callable[[], AbstractContextManager[None]], trees: int
) -> None:
    definition = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})
    with repair():
        parsed = [AmazonStateLanguageParser.parse(definition) for _ in range(2)]
    assert len({id(tree) for _program, tree in parsed}) == trees
    # Evaluation has a state, so each execution has its own.
    assert len({id(program) for program, _tree in parsed}) == 2


@pytest.mark.parametrize(
    ("repair", "clients"), [(nullcontext, 3), (clients_of_tasks_are_made_once, 2)], ids=["moto", "repaired"]
)
def test_only_with_the_repair_a_service_has_one_client(
    repair: Callable[[], AbstractContextManager[None]], clients: int
) -> None:
    with repair():
        made = [boto_client.boto_client_for(REGION, service) for service in ("lambda", "lambda", "sns")]
    assert [client.meta.service_model.service_name for client in made] == ["lambda", "lambda", "sns"]
    assert len({id(client) for client in made}) == clients


@pytest.mark.parametrize(
    ("repair", "looks"), [(nullcontext, 2), (modules_are_listed_once, 1)], ids=["moto", "repaired"]
)
def test_only_with_the_repair_modules_are_listed_once(
    repair: Callable[[], AbstractContextManager[None]], looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []
    look = backends.os.listdir
    monkeypatch.setattr(backends.os, "listdir", lambda path: looked.append(path) or look(path))
    with repair():
        found = [list(backends.list_of_moto_modules()) for _ in range(2)]
    assert found[0] == found[1]
    assert "stepfunctions" in found[0]
    assert len(looked) == looks


@pytest.mark.parametrize(("repair", "parsed"), [(nullcontext, 2), (paths_are_parsed_once, 1)], ids=["moto", "repaired"])
def test_only_with_the_repair_paths_are_parsed_once(
    repair: Callable[[], AbstractContextManager[None]], parsed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths: list[str] = []
    for module in (json_path, result_path):
        parse = module.parse
        monkeypatch.setattr(module, "parse", lambda path, parse=parse: paths.append(path) or parse(path))
    with repair():
        assert [json_path.extract_json("$.batch", {"batch": number}) for number in (7, 8)] == [7, 8]
        found = [result_path.parse("$.load").update_or_create({}, number) for number in (7, 8)]
    assert found == [{"load": 7}, {"load": 8}]
    assert paths == ["$.batch"] * parsed + ["$.load"] * parsed


def put(s3: Any) -> Callable[[], object]:
    """Makes a conditional PUT of one object."""
    return lambda: s3.put_object(Bucket="log", Key="00000124.json", Body=b"", IfNoneMatch="*")


def multipart(s3: Any) -> Callable[[], object]:
    """Completes an upload in parts conditionally; each call completes an upload of its own."""
    uploads = []
    for _ in range(2):
        upload = s3.create_multipart_upload(Bucket="log", Key="big")["UploadId"]
        part = s3.upload_part(Bucket="log", Key="big", UploadId=upload, PartNumber=1, Body=b"x")
        uploads.append((upload, [{"PartNumber": 1, "ETag": part["ETag"]}]))

    def complete() -> object:
        upload, parts = uploads.pop()
        return s3.complete_multipart_upload(
            Bucket="log", Key="big", UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
        )

    return complete


def succeeds(write: Callable[[], object]) -> bool:
    """Returns whether a conditional write succeeds."""
    try:
        write()
    except ClientError as error:
        return error.response["Error"]["Code"] != "PreconditionFailed"
    except ValueError:
        # moto wrote the object. Before it answered, the other write replaced the object and closed it.
        return True
    return True


def test_moto_still_redrives_nothing() -> None:
    # tests/support/redrives.py does it instead.
    assert not hasattr(StepFunctionResponse, "redrive_execution")


@pytest.mark.parametrize("repaired", [False, True])
def test_moto_still_names_a_nameless_execution_none(repaired: bool) -> None:
    repair = nameless_executions_get_names() if repaired else nullcontext()
    with repair, mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        machine = boto3.client("stepfunctions", region_name=REGION)
        arn = machine.create_state_machine(
            name="any",
            definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}),
            roleArn="arn:aws:iam::123456789012:role/any",
        )["stateMachineArn"]
        first = machine.start_execution(stateMachineArn=arn)["executionArn"]
        found = machine.describe_execution(executionArn=first)
        if not repaired:
            assert first.endswith(":None")
            assert "name" not in found
            return
        assert found["name"] == first.rpartition(":")[2] == str(UUID(found["name"]))
        second = machine.start_execution(stateMachineArn=arn, input="{}")["executionArn"]
        assert second != first
        named = machine.start_execution(stateMachineArn=arn, name="mine", input="{}")["executionArn"]
        assert named.endswith(":mine")


def ended(machine: Any) -> dict[str, Any]:
    """Returns the outcome of an execution whose distributed Map has a part that fails."""
    part = {"StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "Mine"}}}
    processor = part | {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
    states = {"Map": {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": processor, "End": True}}
    arn = machine.create_state_machine(
        name="maps",
        definition=json.dumps({"StartAt": "Map", "States": states}),
        roleArn="arn:aws:iam::123456789012:role/any",
    )["stateMachineArn"]
    execution = machine.start_execution(stateMachineArn=arn, input='{"items": [1, 2]}')["executionArn"]
    while (found := machine.describe_execution(executionArn=execution))["status"] == "RUNNING":
        time.sleep(0.02)
    answer: dict[str, Any] = found
    return answer


@pytest.mark.parametrize("repaired", [False, True])
def test_moto_still_lets_a_map_succeed_whose_parts_fail(repaired: bool) -> None:
    repair = maps_fail_with_their_parts() if repaired else nullcontext()
    with repair, mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        found = ended(boto3.client("stepfunctions", region_name=REGION))
    assert (found["status"], found.get("error")) == (
        ("FAILED", "States.ExceedToleratedFailureThreshold") if repaired else ("SUCCEEDED", None)
    )
