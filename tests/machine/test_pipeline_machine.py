"""The deployed workflow, interpreted; each test sets its functions' answers."""

import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from functions import fail, report
from local.lambda_runtime.runtime import InvokeResult, ServiceError
from local.lambda_runtime.worker import LambdaContext, error_payload
from local.stack import Stack
from tests.support.executions import forget_executions
from tests.support.redrives import redriving
from totes.alerts.executions import describe, readable
from totes.contracts.declarations import source_tables, warehouse_tables
from totes.contracts.requests import parse_request
from totes.errors import (
    BatchContended,
    ContractViolation,
    LogBroken,
    SourceBusy,
    SourceUnreachable,
    TotesError,
    TransientError,
    UnexpectedError,
    WarehouseUnreachable,
)
from totes.runtime.names import FUNCTIONS, STAGES

pytestmark = pytest.mark.server

RETRIER = "moto.stepfunctions.parser.asl.component.common.retry.retrier_decl.time"
INGESTED = {
    "batch": 124,
    "rows": {"sales_order": 12},
    "deleted": {},
    "full_read": {},
    "quarantined": {},
    "warnings": [],
    "landed_through": 124,
    "processed_through": 123,
    "objects": [{"key": "data/sales_order/batch=00000124/a.parquet", "rows": 12, "bytes": 900, "sha256": "a"}],
    "new_data": True,
}
NOTHING_LANDED = INGESTED | {"batch": None, "rows": {}, "processed_through": 124, "new_data": False}
TRANSFORMED = {
    "first": 124,
    "last": 124,
    "batches": 1,
    "rows": {"fact_sales_order": 12},
    "processed_through": 124,
    "more": False,
    "catching_up": None,
    "objects": [{"key": "data/fact_sales_order/batch=00000124/b.parquet", "rows": 12, "bytes": 900, "sha256": "b"}],
}
LOADED = {
    "first": 124,
    "last": 124,
    "batches": 1,
    "inserted": {"fact_sales_order": 12},
    "updated": {},
    "tombstones": {},
    "loaded_through": 124,
    "snapshot_at": "2024-11-14T10:19:09+00:00",
    "more": False,
    "catching_up": None,
}
NOTHING_LOADED = LOADED | {"first": None, "last": None, "batches": 0, "inserted": {}}
TIMED_OUT = InvokeResult(
    {"errorType": "Sandbox.Timedout", "errorMessage": "RequestId: 1 Error: Task timed out after 300.00 seconds"},
    "Unhandled",
)


def outcome(function: Callable[[dict[str, Any]], object], event: dict[str, Any]) -> object:
    try:
        return function(event)
    except TotesError as error:
        return error


def reported(event: dict[str, Any]) -> object:
    """Returns the answer of the shipped function behind Report."""
    return report.handler(
        event, LambdaContext("totes-local-report", 256, "arn:aws:lambda:eu-west-2:1:function:report", "request", 0)
    )


def failed(event: dict[str, Any]) -> object:
    """Returns the answer of the shipped function behind Failed, or raises its error."""
    try:
        return fail.handler(event, None)
    except Exception as error:  # noqa: BLE001  the handler makes the error's class when it raises it
        return InvokeResult(error_payload(error, "request"), "Unhandled")


def refusing(event: dict[str, Any]) -> object:
    """Refuses an input as the functions do."""
    try:
        return parse_request(event)
    except TotesError as error:
        raise error.labelled() from None


class Functions:
    """The functions. Each one gives the answers that a test has set, one by one, and then those of a good day."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.told: dict[str, list[object]] = {function: [] for function in FUNCTIONS}
        self.usual: dict[str, object] = {
            "ingest": INGESTED,
            "transform": TRANSFORMED,
            "load": LOADED,
            "report": reported,
            "fail": failed,
        }

    def __call__(self, name: str, event: dict[str, Any]) -> InvokeResult:
        function = name.removeprefix("totes-local-")
        self.calls.append((function, event))
        answer = self.told[function].pop(0) if self.told[function] else self.usual[function]
        if callable(answer):
            answer = outcome(answer, event)
        if isinstance(answer, ServiceError):
            raise answer
        if isinstance(answer, Exception):
            return InvokeResult(error_payload(answer, "request"), "Unhandled")
        return answer if isinstance(answer, InvokeResult) else InvokeResult(answer)

    @property
    def order(self) -> list[str]:
        """Returns the stages, in the order of their calls."""
        return [function for function, _ in self.calls if function not in ("report", "fail")]


@contextmanager
def stack_of(functions: Functions, home: Path, docs: str) -> Iterator[Stack]:
    """Yields a stack whose functions give a test's answers; the shipped function writes the mails, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOTES_HOME", str(home))
        with Stack(invoker=functions) as stack:
            patch.setenv("TOTES_LANDING_BUCKET", stack.names.landing_bucket)
            patch.setenv("TOTES_PROCESSED_BUCKET", stack.names.processed_bucket)
            patch.setenv("TOTES_DOCS", docs)
            patch.setenv("TOTES_MAIL_INTERVALS", "1h,24h")
            patch.setenv("TOTES_CHAT", "false")
            yield stack


@pytest.fixture(scope="module")
def all_functions() -> Functions:
    return Functions()


@pytest.fixture(scope="module")
def whole_stack(all_functions: Functions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack_of(all_functions, tmp_path_factory.mktemp("home"), docs="https://example.com/totes/docs") as stack:
        yield stack


@pytest.fixture
def functions(all_functions: Functions) -> Functions:
    all_functions.reset()
    return all_functions


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Returns the seconds that the machine would have waited before each retry."""
    seconds: list[float] = []
    monkeypatch.setattr(RETRIER, SimpleNamespace(sleep=seconds.append))
    return seconds


class Machine:
    """Runs executions one at a time, and returns the outcome of the last one."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.mails_before = len(stack.mails())

    def run(self, input: object = None) -> dict[str, Any]:
        self.arn = self.stack.start_execution(json.dumps({} if input is None else input))
        self.ended = self.stack.wait(self.arn, timeout=60)
        return self.ended

    def redrive(self) -> dict[str, Any]:
        """Redrives the last execution, once it has ended."""
        with redriving(self.stack, self.arn) as given:
            return self.run(json.loads(given))

    @property
    def path(self) -> list[str]:
        history = self.stack.client("stepfunctions").get_execution_history(executionArn=self.arn)["events"]
        return [event["stateEnteredEventDetails"]["name"] for event in history if "stateEnteredEventDetails" in event]

    @property
    def mails(self) -> list[Any]:
        return self.stack.mails()[self.mails_before :]


@pytest.fixture
def machine(whole_stack: Stack, functions: Functions, waits: list[float], log: io.StringIO) -> Machine:
    forget_executions()
    return Machine(whole_stack)


def test_new_data_goes_through_all_stages(machine: Machine, functions: Functions) -> None:
    ended = machine.run()
    assert ended["status"] == "SUCCEEDED"
    assert machine.path == ["Ingest", "NewData?", "Transform", "Load", "MoreToDo?", "AnythingLoaded?", "Loaded"]
    assert functions.calls == [
        ("ingest", {"execution": machine.arn, "input": {}}),
        ("transform", {"execution": machine.arn, "so_far": {"ingest": INGESTED}}),
        ("load", {"execution": machine.arn, "so_far": {"ingest": INGESTED, "transform": TRANSFORMED}}),
    ]
    assert json.loads(ended["output"]) == {"ingest": INGESTED, "transform": TRANSFORMED, "load": LOADED}
    assert machine.mails == []


def test_objects_of_a_batch_are_for_the_stages_only(machine: Machine) -> None:
    machine.run()
    output = describe(machine.arn).output
    assert output["ingest"]["landed_through"] == 124
    assert [stage for stage, result in output.items() if "objects" in result] == []


def test_nothing_new_ends_without_transform(machine: Machine, functions: Functions) -> None:
    functions.usual |= {"ingest": NOTHING_LANDED, "load": NOTHING_LOADED}
    ended = machine.run()
    assert (ended["status"], machine.mails) == ("SUCCEEDED", [])
    assert machine.path == ["Ingest", "NewData?", "Load", "MoreToDo?", "AnythingLoaded?", "NothingNew"]
    assert json.loads(ended["output"]) == {"ingest": NOTHING_LANDED, "load": NOTHING_LOADED}


TOLD = ["MailDue?", "NotifyFailure", "Failed"]
PASS = ["Transform", "Load", "MoreToDo?"]
OTHER = "arn:aws:states:eu-west-2:123456789012:execution:totes-local-pipeline:other"


def test_passes_go_on_until_there_is_no_more(machine: Machine, functions: Functions) -> None:
    functions.told["load"] = [LOADED | {"more": True}, NOTHING_LOADED | {"more": True}]
    ended = machine.run()
    assert ended["status"] == "SUCCEEDED"
    assert machine.path == ["Ingest", "NewData?", *PASS * 3, "AnythingLoaded?", "Loaded"]
    # Each function gets the stages' last results.
    assert [event["so_far"].get("load") for name, event in functions.calls if name == "load"] == [
        None,
        LOADED | {"more": True},
        NOTHING_LOADED | {"more": True},
    ]


def test_more_to_load_alone_goes_through_transform_too(machine: Machine, functions: Functions) -> None:
    functions.usual |= {"ingest": NOTHING_LANDED}
    functions.told["load"] = [LOADED | {"more": True}]
    assert machine.run()["status"] == "SUCCEEDED"
    assert machine.path == [
        "Ingest",
        "NewData?",
        "Load",
        "MoreToDo?",
        *PASS,
        "AnythingLoaded?",
        "Loaded",
    ]


@pytest.mark.parametrize("loaded", [LOADED, NOTHING_LOADED], ids=["some", "none"])
def test_execution_that_leaves_the_rest_ends_well(
    machine: Machine, functions: Functions, loaded: dict[str, Any]
) -> None:
    functions.usual["load"] = loaded | {"catching_up": OTHER}
    ended = machine.run()
    assert (ended["status"], machine.path[-1], machine.mails) == ("SUCCEEDED", "AnotherCatchesUp", [])
    assert json.loads(ended["output"])["load"]["catching_up"] == OTHER


def test_pending_transform_continues_though_another_loads(machine: Machine, functions: Functions) -> None:
    functions.told["load"] = [LOADED | {"catching_up": OTHER, "more": True}]
    machine.run()
    assert machine.path == ["Ingest", "NewData?", *PASS * 2, "AnythingLoaded?", "Loaded"]


@pytest.mark.parametrize("stage", ["Transform", "Load"])
def test_failed_later_pass_is_redriven_from_the_start(machine: Machine, functions: Functions, stage: str) -> None:
    functions.told["load"] = [LOADED | {"more": True, "snapshot_at": "2099-11-14T10:19:09+00:00"}]
    good = [] if stage == "Load" else [TRANSFORMED]
    functions.told[stage.lower()] += [*good, LogBroken("A batch is missing.", "Restore it.")]
    assert machine.run()["status"] == "FAILED"
    (mail,) = machine.mails
    assert f": {stage} failed with LogBroken" in mail.subject
    assert "batch 124, 12 rows added and 0 updated before that" in " ".join(mail.message.split())
    assert "shows totesys as it was at 2099-11-14 10:19:09 UTC" in " ".join(mail.message.split())
    functions.calls.clear()
    assert machine.redrive()["status"] == "SUCCEEDED"
    assert machine.path == ["Failed", "Ingest", "NewData?", *PASS, "AnythingLoaded?", "Loaded"]
    # The results from before its failure are not counted again.
    assert [event["so_far"] for name, event in functions.calls if name == "transform"] == [{"ingest": INGESTED}]


def test_run_after_a_failed_load_catches_up(machine: Machine, functions: Functions) -> None:
    functions.told["load"] = [LogBroken("s3://processed/log/00000124.json is missing.", "Restore it.")]
    assert machine.run()["status"] == "FAILED"
    functions.usual["ingest"] = NOTHING_LANDED
    assert machine.run()["status"] == "SUCCEEDED"
    assert machine.path == ["Ingest", "NewData?", "Load", "MoreToDo?", "AnythingLoaded?", "Loaded"]
    assert len(machine.mails) == 1


def test_input_reaches_ingest_alone(machine: Machine, functions: Functions) -> None:
    machine.run({"full_read": ["staff"]})
    assert [event.get("input") for _, event in functions.calls] == [{"full_read": ["staff"]}, None, None]


@pytest.mark.parametrize(
    ("stage", "trouble", "times"),
    [
        ("ingest", SourceUnreachable("No connection.", "Wait."), 4),
        ("transform", BatchContended("Taken.", "Wait."), 1),
        ("load", WarehouseUnreachable("No connection.", "Wait."), 4),
        ("ingest", ServiceError("TooManyRequestsException", "Rate exceeded", 429), 6),
        ("load", ServiceError("ServiceException", "Internal error", 500), 6),
        ("load", TIMED_OUT, 1),
    ],
    ids=lambda given: getattr(given, "code", type(given).__name__ if isinstance(given, Exception) else None),
)
def test_passing_trouble_heals_without_a_mail(
    machine: Machine, functions: Functions, waits: list[float], stage: str, trouble: object, times: int
) -> None:
    functions.told[stage] = [trouble] * times
    assert machine.run()["status"] == "SUCCEEDED"
    assert functions.order.count(stage) == times + 1
    assert len(waits) == times
    assert all(0 <= wait <= 60 for wait in waits)
    assert machine.mails == []


@pytest.mark.parametrize("stage", STAGES)
def test_lasting_trouble_fails_after_five_attempts(machine: Machine, functions: Functions, stage: str) -> None:
    functions.usual[stage.lower()] = SourceBusy("totesys is locked.", "Look for locks.")
    assert machine.run()["status"] == "FAILED"
    assert functions.order.count(stage.lower()) == 5
    assert len(machine.mails) == 1


@pytest.mark.parametrize("stage", STAGES)
def test_terminal_error_fails_at_once_with_one_mail(
    machine: Machine, functions: Functions, waits: list[float], stage: str
) -> None:
    found = "staff 7: first_name is NULL; “quoted”, {braces}, 100 %"
    functions.usual[stage.lower()] = ContractViolation(found + ".", "Correct the row in totesys.").labelled()
    ended = machine.run()
    assert (ended["status"], ended["error"]) == ("FAILED", "ContractViolation")
    assert readable(ended["cause"]) == f"{found}.\nRemedy: Correct the row in totesys."
    assert functions.order == [name.lower() for name in STAGES[: STAGES.index(stage) + 1]]
    assert waits == []
    assert machine.path[-7:] == [f"{stage}Failed", "CauseIsJson?", "ReadCause", "Report", *TOLD]
    (mail,) = machine.mails
    assert mail.subject.startswith(f"totes-local-pipeline: {stage} failed with ContractViolation, ")
    assert f"Why          {found}." in mail.message
    assert "DO THIS      Correct the row in totesys.\n" in mail.message


def test_plainer_mail_is_sent_where_the_report_cannot_be_made(machine: Machine, functions: Functions) -> None:
    functions.usual["load"] = LogBroken("A batch is missing.", "Restore it.")
    functions.usual["report"] = UnexpectedError("ValueError", "Read the log.")
    ended = machine.run()
    assert (ended["status"], ended["error"]) == ("FAILED", "LogBroken")
    assert machine.path[-4:] == ["Report", "ReportPlainly", "NotifyFailure", "Failed"]
    (mail,) = machine.mails
    assert mail.subject == "totes-local-pipeline: Load failed with LogBroken"
    assert mail.message == (
        "Load failed with LogBroken.\n\nA batch is missing. Restore it.\n\n"
        "Nothing is lost or half-loaded: a batch is committed whole or not at all, and the next execution resumes "
        "where this one stopped.\n\nThe execution, with its input, its retries and its history:\n"
        f"https://eu-west-2.console.aws.amazon.com/states/home?region=eu-west-2#/v2/executions/details/{machine.arn}\n"
    )


@pytest.mark.parametrize(
    "trouble",
    [
        TIMED_OUT,
        InvokeResult({"errorType": "Runtime.ExitError", "errorMessage": "signal: killed"}, "Unhandled"),
        ServiceError("ResourceNotFoundException", "Function not found", 404),
        ServiceError("EC2AccessDeniedException", "{not: json}", 502),
        InvokeResult({"errorType": "Runtime.ImportModuleError", "errorMessage": "No module 'x'"}, "Unhandled"),
        UnexpectedError("KeyError: 'ключ' in postgresql://reader:hunter2@db; " + "x" * 40_000, "Read the stack trace."),
    ],
    ids=["time-out", "out of memory", "text", "text in braces", "import", "long and foreign"],
)
@pytest.mark.parametrize("stage", STAGES)
def test_every_failure_is_one_mail_that_fits(
    machine: Machine, functions: Functions, stage: str, trouble: object
) -> None:
    functions.usual[stage.lower()] = trouble
    ended = machine.run()
    (mail,) = machine.mails
    assert ended["status"] == "FAILED"
    assert re.fullmatch(
        rf"totes-local-pipeline: {stage} failed with [\w.]+, nothing loaded yet|.* behind", mail.subject
    )
    assert len(mail.subject) <= 100
    assert re.search(rf"\nWhat         {re.escape(ended['error'])}\n", mail.message)
    assert len(mail.message) < 8_000
    assert "hunter2" not in mail.message


@pytest.mark.parametrize("stage", STAGES)
def test_redrive_begins_anew_with_the_input_alone(machine: Machine, functions: Functions, stage: str) -> None:
    functions.told[stage.lower()] = [LogBroken("A batch is missing.", "Restore it.")]
    given = {"full_read": ["staff"]}
    assert machine.run(given)["error"] == "LogBroken"
    functions.calls.clear()
    ended = machine.redrive()
    assert machine.path == [
        "Failed",
        "Ingest",
        "NewData?",
        "Transform",
        "Load",
        "MoreToDo?",
        "AnythingLoaded?",
        "Loaded",
    ]
    assert functions.calls[1] == ("ingest", {"execution": machine.arn, "input": given})
    assert json.loads(ended["output"]) == given | {"ingest": INGESTED, "transform": TRANSFORMED, "load": LOADED}
    assert len(machine.mails) == 1


def test_redrive_that_fails_again_is_one_more_mail(machine: Machine, functions: Functions) -> None:
    functions.told["ingest"] = [LogBroken("A batch is missing.", "Restore it.")]
    functions.usual["load"] = ContractViolation("staff 7 is wrong.", "Correct it.")
    assert machine.run()["error"] == "LogBroken"
    ended = machine.redrive()
    assert (ended["status"], ended["error"]) == ("FAILED", "ContractViolation")
    assert readable(ended["cause"]) == "staff 7 is wrong. Correct it."
    first, second = machine.mails
    assert " Ingest failed with LogBroken, " in first.subject
    assert " Load failed with ContractViolation, " in second.subject
    functions.usual["load"] = LOADED
    assert (machine.redrive()["status"], len(machine.mails)) == ("SUCCEEDED", 2)


@pytest.mark.parametrize("given", [[], "staff", {"failure": {}, "caught": 1}], ids=str)
def test_redrive_refuses_a_wrong_input_as_before(machine: Machine, functions: Functions, given: object) -> None:
    functions.usual["ingest"] = refusing
    ended = [machine.run(given), machine.redrive()]
    assert [(execution["status"], execution["error"]) for execution in ended] == [("FAILED", "InputRefused")] * 2
    assert len(machine.mails) == 1


def test_execution_fails_though_nothing_can_raise_its_error(machine: Machine, functions: Functions) -> None:
    functions.usual["load"] = LogBroken("A batch is missing.", "Restore it.")
    functions.told["fail"] = [ServiceError("TooManyRequestsException", "Rate exceeded", 429)] * 3
    ended = machine.run()
    assert (ended["status"], ended["error"]) == ("FAILED", "Lambda.TooManyRequestsException")
    assert len(machine.mails) == 1
    assert machine.redrive()["error"] == "LogBroken"
    # The mail is about the failure.
    assert len(machine.mails) == 1


def test_longest_error_name_fits_the_subject() -> None:
    names = [kind.__name__ for kind in TransientError.__subclasses__()] + ["Lambda.ClientExecutionTimeoutException"]
    for name in names:
        assert len(f"totes-production-pipeline: Transform failed with {name}") <= 100


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"watermark": 1}, "has the unknown field watermark."),
        ({"failure": {}, "ingest": {}}, "has the unknown field failure, ingest."),
        *(
            (given, f"is wrong: it must be an object, not {kind}.")
            for given, kind in (([], "a list"), (["staff"], "a list"), ("staff", "text"), (7, "7"), (False, "false"))
        ),
    ],
    ids=str,
)
def test_wrong_input_is_told_by_mail(machine: Machine, functions: Functions, given: object, found: str) -> None:
    functions.usual["ingest"] = refusing
    ended = machine.run(given)
    (mail,) = machine.mails
    assert (ended["status"], ended["error"], functions.order) == ("FAILED", "InputRefused", ["ingest"])
    assert f"Why          The execution's input {found}" in mail.message
    (remedy,) = re.findall(r"DO THIS      (.*?)\n\n", mail.message, re.DOTALL)
    assert " ".join(remedy.split()).startswith(
        "Start the execution with {} or with what is allowed: full_read: list of"
    )


def test_answer_beyond_the_limit_is_told_by_mail(machine: Machine, functions: Functions) -> None:
    functions.usual["transform"] = TRANSFORMED | {"rows": {"x" * 300_000: 1}}
    ended = machine.run()
    assert ended["status"] == "FAILED"
    assert machine.mails[0].subject.startswith("totes-local-pipeline: Transform failed with States.DataLimitExceeded, ")


def test_execution_fails_though_no_mail_can_be_sent(
    machine: Machine, functions: Functions, waits: list[float], whole_stack: Stack
) -> None:
    functions.usual["load"] = LogBroken("A batch is missing.", "Restore it.")
    sns, topic = whole_stack.client("sns"), whole_stack.names.topic_arn
    sns.delete_topic(TopicArn=topic)
    try:
        ended = machine.run()
    finally:
        sns.create_topic(Name=whole_stack.names.topic)
    assert (ended["status"], ended["error"]) == ("FAILED", "LogBroken")
    assert readable(ended["cause"]) == "A batch is missing. Restore it."
    assert len(waits) == 3


def test_largest_output_is_small(machine: Machine, functions: Functions) -> None:
    """The first run, after a restore: it has every table, and every number is as long as possible."""
    many = 2**31 - 1
    sources, tables = dict.fromkeys(source_tables(), many), dict.fromkeys(warehouse_tables(), many)
    full_read = dict.fromkeys(source_tables(), "the last batch is too many transactions ago")
    functions.usual = {
        "ingest": INGESTED | {"batch": many, "rows": sources, "deleted": sources, "full_read": full_read},
        "transform": TRANSFORMED | {"rows": tables, "first": many, "last": many},
        "load": LOADED | {"inserted": tables, "updated": tables, "tombstones": tables},
    }
    ended = machine.run()
    assert json.loads(ended["output"])["load"]["tombstones"] == tables
    assert len(ended["output"]) < 4_096
