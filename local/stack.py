"""Runs the whole pipeline locally: PostgreSQL, AWS's services, the functions and the state machine, as deployed."""

import contextlib
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

import boto3
import pg8000.dbapi
from botocore.exceptions import ClientError
from moto.s3.models import s3_backends
from moto.sns.models import sns_backends
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from local.aws import provision
from local.aws.deployment import STATE_MACHINE, Deployment, newest_change
from local.aws.lake_folder import LakeFolder
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
from local.aws.server import environment_of, moto_server
from local.lambda_runtime.runtime import Function, Invoker, LambdaRuntime
from local.postgres import databases
from local.postgres.server import Postgres
from local.state import StackState, claimed_home, home, publish
from totes.runtime.names import LOCAL, Names

if TYPE_CHECKING:
    from datetime import datetime

NAMES = Names(stage=LOCAL, account="123456789012", region="eu-west-2")
POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Mail:
    """An alert that SNS would have sent by e-mail."""

    subject: str
    message: str


class Stack:
    """A stack that runs during the `with` block. SIGTERM and SIGHUP stop it like Ctrl-C. One per process.

    Args:
        data_dir: the folder in which to keep the databases (`postgres/`), the lake (`lake/<bucket>/<key>`) and the
            functions' logs (`logs/`) between runs; None makes all temporary. Executions and e-mails are not kept.
        invoker: for tests; replaces the processes that run the shipped handlers.
        definition: for tests; the workflow's file.
        every: the schedule's interval if it overrides the rule's rate. Other processes read it.

    Attributes:
        endpoint_url: the address of every AWS service. This process's environment points at it, too.
        names: the resources' names.
        postgres: the server of both databases.
        logs: the folder of the functions' logs.
        fresh: whether totesys has just been created, and so is empty.
        next_start: when the schedule fires next; None if no schedule runs.

    Raises:
        StackAlreadyRunning: another process runs a stack in the same home.
        AwsInUse: this process already runs a stack.
        PostgresFailed: the server does not start.
    """

    names = NAMES

    def __init__(
        self,
        data_dir: Path | None = None,
        invoker: Invoker | None = None,
        definition: Path = STATE_MACHINE,
        every: str | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._invoker = invoker
        self._definition = definition
        self._every = every
        self._clients: dict[str, Any] = {}
        self._clients_lock = threading.Lock()
        self._running = contextlib.ExitStack()
        self.next_start: datetime | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as running:
            running.enter_context(_ended_in_order())
            state_file = running.enter_context(claimed_home(home()))
            self.endpoint_url = running.enter_context(moto_server())
            self.postgres = running.enter_context(Postgres(self._data_dir and self._data_dir / "postgres"))
            self.logs = self._log_folder()
            self.fresh = databases.create_databases(self.postgres)
            state = self._state()
            running.enter_context(environment_of(state))
            self._deploy(running)
            publish(state, state_file)
            self._running = running.pop_all()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._running.close()

    def client(self, service: str) -> Any:
        """Returns the stack's boto3 client for a service, for instance `s3`; the same one each time."""
        with self._clients_lock:
            if service not in self._clients:
                make_client: Any = boto3.client  # typed for literal names only
                self._clients[service] = make_client(service, region_name=NAMES.region)
            return self._clients[service]

    def start_execution(self, input: dict[str, Any] | str = "{}", name: str | None = None) -> str:
        """Starts an execution of the pipeline.

        Returns:
            The execution's ARN.
        """
        started = self.client("stepfunctions").start_execution(
            stateMachineArn=NAMES.state_machine_arn,
            name=name or str(uuid.uuid4()),
            input=input if isinstance(input, str) else json.dumps(input),
        )
        arn: str = started["executionArn"]
        return arn

    def wait(self, execution_arn: str, timeout: float = 300) -> dict[str, Any]:
        """Waits until an execution has ended.

        Args:
            timeout: in seconds.

        Returns:
            The answer of DescribeExecution.

        Raises:
            TimeoutError: it still runs after that time.
        """
        give_up = time.monotonic() + timeout
        # Reads moto's state directly. Polling by requests would take a tenth of the processor from the execution.
        started = stepfunctions_parser_backends[NAMES.account][NAMES.region].describe_execution(execution_arn)
        while started.status == "RUNNING":
            if time.monotonic() > give_up:
                raise TimeoutError(f"{execution_arn} still runs after {timeout} s.")
            time.sleep(POLL_SECONDS)
        execution: dict[str, Any] = self.client("stepfunctions").describe_execution(executionArn=execution_arn)
        return execution

    def mails(self) -> list[Mail]:
        """Returns the alerts that were sent, oldest first."""
        topic = sns_backends[NAMES.account][NAMES.region].topics[NAMES.topic_arn]
        return [Mail(subject or "", _mailed(message)) for _id, message, subject, *_ in topic.sent_notifications]

    def connect_source(self) -> pg8000.dbapi.Connection:
        """Opens a superuser's connection to totesys, for the simulated business. The caller closes it."""
        return self.postgres.connect(databases.SOURCE)

    def _log_folder(self) -> Path:
        # The server's temporary folder is deleted even if this process is killed.
        logs = (self._data_dir.absolute() if self._data_dir else Path(self.postgres.host)) / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        return logs

    def _state(self) -> StackState:
        return StackState(
            endpoint_url=self.endpoint_url,
            region=NAMES.region,
            account=NAMES.account,
            postgres_host=self.postgres.host,
            postgres_port=self.postgres.port,
            postgres_superuser=self.postgres.superuser,
            logs=str(self.logs),
            pid=os.getpid(),
            every=self._every,
        )

    def _deploy(self, running: contextlib.ExitStack) -> None:
        deployment = Deployment(NAMES.stage)
        functions = provision.deployed_functions(NAMES, deployment)
        running.callback(self._clients.clear)
        running.enter_context(conditional_writes_are_atomic())
        running.enter_context(nameless_executions_get_names())
        running.enter_context(maps_fail_with_their_parts())
        running.enter_context(definitions_are_parsed_once())
        running.enter_context(clients_of_tasks_are_made_once())
        running.enter_context(modules_are_listed_once())
        running.enter_context(paths_are_parsed_once())
        running.enter_context(functions_run(self._invoker or self._workers(functions, running)))
        running.callback(self._abort_executions)
        self._create_lake(running)
        self._store_secrets()
        provision.create_alerts(self.client("sns"), NAMES)
        provision.create_functions(self.client, functions)
        provision.create_pipeline(self.client, NAMES, deployment, self._definition)

    def _workers(self, functions: list[Function], running: contextlib.ExitStack) -> Invoker:
        runtime = LambdaRuntime(functions, self.logs, self._ship_logs, newest_change)
        running.callback(runtime.close)
        return runtime

    def _create_lake(self, running: contextlib.ExitStack) -> None:
        provision.create_buckets(self.client("s3"), NAMES)
        if self._data_dir is None:
            return
        folder = LakeFolder(self._data_dir / "lake")
        for bucket in (NAMES.landing_bucket, NAMES.processed_bucket):
            folder.load(s3_backends[NAMES.account]["aws"], bucket)
        running.enter_context(folder.mirrored())

    def _store_secrets(self) -> None:
        for secret, role, database in (
            (NAMES.source_secret, databases.READER, databases.SOURCE),
            (NAMES.warehouse_secret, databases.LOADER, databases.WAREHOUSE),
        ):
            credentials = databases.new_credentials(self.postgres, role, database)
            self.client("secretsmanager").create_secret(Name=secret, SecretString=json.dumps(credentials))

    def _ship_logs(self, function: Function, stream: str, lines: list[str]) -> None:
        logs = self.client("logs")
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_stream(logGroupName=function.log_group, logStreamName=stream)
        now = int(time.time() * 1000)
        logs.put_log_events(
            logGroupName=function.log_group,
            logStreamName=stream,
            logEvents=[{"timestamp": now, "message": line} for line in lines],
        )

    def _abort_executions(self) -> None:
        # Otherwise their threads would continue and call the functions of this process's next stack.
        machine = self.client("stepfunctions")
        for arn in (NAMES.state_machine_arn, NAMES.backfill_arn):
            for execution in machine.list_executions(stateMachineArn=arn, statusFilter="RUNNING")["executions"]:
                with contextlib.suppress(ClientError):  # it may have ended in the meantime
                    machine.stop_execution(executionArn=execution["executionArn"])


def _mailed(message: str) -> str:
    """Returns an e-mail's text from a published message: a text, or JSON with a text for each protocol."""
    try:
        texts = json.loads(message)
    except ValueError:
        return message
    return str(texts["default"]) if isinstance(texts, dict) and "default" in texts else message


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Turns SIGTERM and SIGHUP into SystemExit, so that `with` blocks are left. Only works in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
