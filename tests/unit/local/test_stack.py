import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.s3.models import S3Backend

from local.aws.deployment import Deployment
from local.aws.server import AwsInUse
from local.stack import Mail, Stack
from local.state import StackAlreadyRunning, StackNotRunning, claimed_home, running_stack
from tests.unit.local.conftest import obey
from tests.unit.local.processes import descendants, eventually, runs
from totes.runtime.names import FUNCTIONS

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[3]

OWNER = """
import signal, sys, time
from pathlib import Path
from local.stack import Stack
from totes.runtime.names import FUNCTIONS
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would this
with Stack(definition=Path(sys.argv[1])) as stack:
    stack.start_execution()
    print(stack.postgres.host, stack.logs, flush=True)
    while True:
        time.sleep(0.1)  # a signal that comes just before a long sleep would wait for its end
"""


def test_execution_runs_the_function_and_returns_its_answer(stack: Stack) -> None:
    execution = stack.wait(stack.start_execution({"order": 7}))

    assert execution["status"] == "SUCCEEDED"
    assert json.loads(execution["output"]) == {"function": "totes-local-ingest", "event": {"order": 7}}


def test_execution_without_input_gets_an_empty_object(stack: Stack) -> None:
    assert json.loads(stack.wait(stack.start_execution())["output"])["event"] == {}


def test_executions_without_a_name_get_one_each(stack: Stack) -> None:
    # Their names are as the AWS CLI makes them.
    machine, pipeline = stack.client("stepfunctions"), stack.names.state_machine_arn
    arns = [machine.start_execution(stateMachineArn=pipeline)["executionArn"] for _ in range(2)]
    assert [stack.wait(arn)["name"] for arn in arns] == [arn.rpartition(":")[2] for arn in arns]
    assert len(set(arns)) == 2


def test_overlapping_executions_all_end(stack: Stack) -> None:
    with ThreadPoolExecutor(4) as pool:
        arns = list(pool.map(lambda number: stack.start_execution({"number": number}), range(12)))
    outputs = [json.loads(stack.wait(arn)["output"])["event"]["number"] for arn in arns]

    assert outputs == list(range(12))


@pytest.mark.parametrize(
    ("order", "error"),
    [
        ({"raise": "ContractViolation"}, "ContractViolation"),
        ({"raise": "Sandbox.Timedout"}, "Sandbox.Timedout"),
        ({"raise": "Runtime.ExitError"}, "Runtime.ExitError"),
        ({"refuse": "TooManyRequestsException"}, "Lambda.TooManyRequestsException"),
    ],
)
def test_failed_function_is_told_by_name_in_one_mail(stack: Stack, order: dict[str, str], error: str) -> None:
    before = len(stack.mails())
    execution = stack.wait(stack.start_execution(order))
    mails = stack.mails()[before:]

    assert execution["status"] == "FAILED"
    assert [mail.subject for mail in mails] == [error]
    assert isinstance(mails[0], Mail)
    assert ("as told" if "raise" in order else "Rate exceeded") in mails[0].message


def test_waiting_for_a_running_execution_is_limited(stack: Stack) -> None:
    slow = stack.start_execution({"take": 1})
    with pytest.raises(TimeoutError, match="still runs after 0 s"):
        stack.wait(slow, timeout=0)
    assert stack.wait(slow)["status"] == "SUCCEEDED"


def test_resources_have_the_names_of_the_stage(stack: Stack) -> None:
    names = stack.names
    buckets = [bucket["Name"] for bucket in stack.client("s3").list_buckets()["Buckets"]]
    functions = stack.client("lambda").list_functions()["Functions"]

    assert sorted(buckets) == [names.landing_bucket, names.processed_bucket]
    assert stack.client("s3").get_bucket_versioning(Bucket=names.landing_bucket)["Status"] == "Enabled"
    assert {function["FunctionName"] for function in functions} == {names.function(name) for name in FUNCTIONS}
    assert stack.client("events").describe_rule(Name=names.rule)["ScheduleExpression"] == (
        Deployment("local").schedule_rule().expression
    )
    topic = stack.client("sns").list_subscriptions_by_topic(TopicArn=names.topic_arn)
    assert [subscription["Protocol"] for subscription in topic["Subscriptions"]] == ["email"]


def test_any_client_of_the_process_talks_to_the_stack(stack: Stack) -> None:
    assert boto3.client("sts").get_caller_identity()["Account"] == stack.names.account
    assert os.environ["AWS_ENDPOINT_URL"] == stack.endpoint_url


def test_state_file_leads_another_process_to_the_stack(stack: Stack) -> None:
    code = (
        "import boto3; from local.state import running_stack; state = running_stack(); state.point_here();"
        "print(boto3.client('stepfunctions').list_state_machines()['stateMachines'][0]['name']);"
        "print(state.pid)"
    )
    seen = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "AWS_PROFILE": "none", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert seen.stdout.split() == [stack.names.state_machine, str(os.getpid())]


def test_second_stack_in_the_process_is_refused(
    stack: Stack, small_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOTES_HOME", str(tmp_path / "other"))

    with pytest.raises(AwsInUse, match="another process"), Stack(invoker=obey, definition=small_machine):
        pass

    assert stack.wait(stack.start_execution())["status"] == "SUCCEEDED"
    assert not (tmp_path / "other").exists()


def test_second_stack_in_the_home_is_refused(stack: Stack, small_machine: Path) -> None:
    with (
        pytest.raises(StackAlreadyRunning, match=f"as process {os.getpid()}"),
        Stack(invoker=obey, definition=small_machine),
    ):
        pass

    assert running_stack().endpoint_url == stack.endpoint_url


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_signal_leaves_no_process_and_no_folder(number: signal.Signals, home: Path, small_machine: Path) -> None:
    with stack_process(small_machine) as (process, folders):
        started = descendants(process.pid)
        assert len(started) > 5, "PostgreSQL has five processes, its supervisor is one"
        assert running_stack(home).pid == process.pid
        process.send_signal(number)
        process.wait(60)

    assert not [pid for pid in started if runs(pid)]
    assert not [folder for folder in [*folders, home] if folder.exists()]


def test_killed_stack_leaves_a_stale_file_and_nothing_else(home: Path, small_machine: Path) -> None:
    with stack_process(small_machine) as (process, folders):
        started = descendants(process.pid)
        process.kill()
        process.wait()

        assert all(eventually(lambda pid=pid: not runs(pid)) for pid in started)
        assert all(eventually(lambda folder=folder: not folder.exists()) for folder in folders)
    with pytest.raises(StackNotRunning, match="left behind by a stack that no longer runs"):
        running_stack(home)
    with claimed_home(home):
        pass


def test_second_home_has_a_stack_and_logs_of_its_own(stack: Stack, home: Path, small_machine: Path) -> None:
    with stack_process(small_machine):
        other = running_stack(home)
        logs = boto3.client("logs", endpoint_url=other.endpoint_url)
        group = f"/aws/lambda/{stack.names.function('ingest')}"

        assert other.endpoint_url != stack.endpoint_url
        assert stack.wait(stack.start_execution())["status"] == "SUCCEEDED"
        assert eventually(lambda: logs.filter_log_events(logGroupName=group)["events"] != [], seconds=60)
        assert stack.client("logs").filter_log_events(logGroupName=group)["events"] == []


def test_lake_commits_once_under_contention(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = stack.names.landing_bucket
    both_have_looked = threading.Barrier(2)
    look = S3Backend.get_object

    def look_together(*args: Any, **options: Any) -> Any:
        found = look(*args, **options)
        with suppress(threading.BrokenBarrierError):
            both_have_looked.wait(0.5)
        return found

    def commit(writer: int) -> str:
        try:
            stack.client("s3").put_object(Bucket=bucket, Key="log/9.json", Body=str(writer).encode(), IfNoneMatch="*")
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "committed"

    with monkeypatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(S3Backend, "get_object", look_together)
        outcomes = list(pool.map(commit, range(2)))

    assert sorted(outcomes) == ["PreconditionFailed", "committed"]
    committed = stack.client("s3").get_object(Bucket=bucket, Key="log/9.json")["Body"].read()
    assert committed == str(outcomes.index("committed")).encode()


@contextmanager
def stack_process(machine: Path) -> Iterator[tuple[subprocess.Popen[str], list[Path]]]:
    """Yields a process with a stack, and the folders that it uses."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, machine], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process, [Path(folder) for folder in process.stdout.readline().split()]
    finally:
        process.terminate()
        process.communicate()
