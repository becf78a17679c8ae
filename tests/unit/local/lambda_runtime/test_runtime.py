import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from local.lambda_runtime.runtime import Function, LambdaRuntime, ServiceError
from tests.unit.local.processes import descendants, eventually, runs

ROOT = Path(__file__).parents[4]
HANDLERS = "tests.unit.local.sample_handlers"

OWNER = f"""
import tempfile, threading, sys
from pathlib import Path
from local.lambda_runtime.runtime import Function, LambdaRuntime
runtime = LambdaRuntime(
    [Function(name, "arn", "{HANDLERS}." + name) for name in ("describe", "sleep")], Path(sys.argv[1])
)
print(runtime("describe", {{}}).payload["process"], flush=True)
if sys.argv[2] == "busy":
    runtime("sleep", {{"seconds": 60}})
sys.stdin.read()
"""


def function(handler: str, name: str = "", **settings: Any) -> Function:
    return Function(name or handler, f"arn:of:{name or handler}", f"{HANDLERS}.{handler}", **settings)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[LambdaRuntime]:
    runtime = LambdaRuntime(
        [
            function("describe", environment={"SAMPLE": "mine"}, memory=512, timeout=30),
            function("fail"),
            function("sleep", timeout=0.3),
            function("sleep", name="patient"),
            function("leave"),
            function("litter", timeout=0.3),
            function("unserialisable"),
            function("talk"),
            function("missing"),
            Function("unknown", "arn:of:unknown", "tests.unit.local.no_such_module.handler"),
        ],
        tmp_path,
    )
    yield runtime
    runtime.close()


def test_handler_gets_event_context_and_environment(runtime: LambdaRuntime) -> None:
    answer = runtime("describe", {"order": 7}).payload

    assert answer["event"] == {"order": 7}
    assert answer["variable"] == "mine"
    assert answer["environment_name"] == answer["name"] == "describe"
    assert answer["arn"] == "arn:of:describe"
    assert answer["memory"] == 512
    assert 28_000 < answer["left"] <= 30_000


def test_warm_process_is_used_again(runtime: LambdaRuntime) -> None:
    first, second = (runtime("describe", {}).payload for _ in range(2))

    assert first["process"] == second["process"] != os.getpid()
    assert first["request"] != second["request"]


def test_process_that_began_with_other_code_is_not_used_again(tmp_path: Path) -> None:
    code = 1
    runtime = LambdaRuntime([function("describe")], tmp_path, code=lambda: code)
    first = runtime("describe", {}).payload["process"]
    assert runtime("describe", {}).payload["process"] == first
    code = 2
    assert runtime("describe", {}).payload["process"] != first
    eventually(lambda: not runs(first))
    runtime.close()


def test_process_that_was_at_work_while_the_code_changed_is_not_used_again(tmp_path: Path) -> None:
    code = 1
    functions = [function("sleep", timeout=30), function("describe")]
    before = set(descendants(os.getpid()))
    with closing(LambdaRuntime(functions, tmp_path, code=lambda: code)) as runtime, ThreadPoolExecutor() as pool:
        at_work = pool.submit(runtime, "sleep", {"seconds": 1})
        assert eventually(lambda: bool(set(descendants(os.getpid())) - before))
        code = 2
        runtime("describe", {})
        assert eventually(lambda: not runs(at_work.result().payload))


def test_overlapping_invocations_get_a_process_each(runtime: LambdaRuntime) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: runtime("patient", {"seconds": 0.5}).payload, range(2)))

    assert answers[0] != answers[1]


def test_exception_becomes_the_error_that_lambda_reports(runtime: LambdaRuntime) -> None:
    result = runtime("fail", {"why": "no O'Keefe"})

    assert result.function_error == "Unhandled"
    assert result.payload["errorType"] == "SourceOnFire"
    assert result.payload["errorMessage"] == "no O'Keefe"
    assert len(result.payload["stackTrace"]) == 1
    assert 'raise SourceOnFire(event["why"])' in result.payload["stackTrace"][0]


def test_failed_handler_keeps_its_process(runtime: LambdaRuntime) -> None:
    assert runtime("fail", {"why": "once"}).payload["errorMessage"] == "once"
    assert runtime("fail", {"why": "twice"}).payload["errorMessage"] == "twice"


@pytest.mark.parametrize(
    ("name", "error_type", "message"),
    [
        ("unknown", "Runtime.ImportModuleError", "Unable to import module 'tests.unit.local.no_such_module'"),
        ("missing", "Runtime.HandlerNotFound", f"Handler 'missing' missing on module '{HANDLERS}'"),
        ("unserialisable", "Runtime.MarshalError", "Object of type object is not JSON serializable"),
    ],
)
def test_broken_function_is_named_as_lambda_names_it(
    runtime: LambdaRuntime, name: str, error_type: str, message: str
) -> None:
    result = runtime(name, {})

    assert result.function_error == "Unhandled"
    assert result.payload["errorType"] == error_type
    assert message in result.payload["errorMessage"]


def test_time_limit_kills_the_function(runtime: LambdaRuntime) -> None:
    quick = runtime("sleep", {"seconds": 0})
    result = runtime("sleep", {"seconds": 60})
    after = runtime("sleep", {"seconds": 0})

    assert result.function_error == "Unhandled"
    assert result.payload["errorType"] == "Sandbox.Timedout"
    assert result.payload["errorMessage"].endswith("Error: Task timed out after 0.30 seconds")
    assert not runs(quick.payload)
    assert after.function_error is None


@pytest.mark.parametrize(("status", "reason"), [(1, "with error: exit status 1"), (0, "without providing a reason")])
def test_function_that_exits_is_reported_and_replaced(runtime: LambdaRuntime, status: int, reason: str) -> None:
    for _ in range(2):
        result = runtime("leave", {"status": status})

        assert result.payload["errorType"] == "Runtime.ExitError"
        assert result.payload["errorMessage"].endswith(f"Error: Runtime exited {reason}")


@pytest.mark.parametrize("seconds", [0, 60], ids=["exit", "time-out"])
def test_temporary_files_end_with_the_process(runtime: LambdaRuntime, tmp_path: Path, seconds: int) -> None:
    assert runtime("litter", {"seconds": seconds}).function_error
    assert not list(tmp_path.glob("tmp-*"))
    runtime("describe", {})
    # A warm worker keeps its own, until it ends.
    assert len(list(tmp_path.glob("tmp-*"))) == 1
    runtime.close()
    assert not list(tmp_path.glob("tmp-*"))


def test_function_killed_between_invocations_is_replaced(runtime: LambdaRuntime) -> None:
    process = runtime("describe", {}).payload["process"]
    os.kill(process, signal.SIGKILL)
    assert eventually(lambda: not runs(process))

    assert runtime("describe", {}).payload["process"] != process


def test_unknown_function_is_refused_by_the_service(runtime: LambdaRuntime) -> None:
    with pytest.raises(ServiceError, match="Function not found: nobody") as refused:
        runtime("nobody", {})

    assert (refused.value.code, refused.value.status) == ("ResourceNotFoundException", 404)


def test_output_goes_to_the_log_and_is_shipped_once(tmp_path: Path) -> None:
    shipped: list[tuple[str, str, list[str]]] = []
    runtime = LambdaRuntime(
        [function("talk")], tmp_path, lambda f, stream, lines: shipped.append((f.name, stream, lines))
    )
    runtime("talk", {"says": "first"})
    runtime("talk", {"says": "second"})
    runtime.close()

    assert [lines for _, _, lines in shipped] == [
        ["first", "and on standard error"],
        ["second", "and on standard error"],
    ]
    assert len({(name, stream) for name, stream, _ in shipped}) == 1
    assert "first\n" in (tmp_path / "talk.log").read_text()


def test_close_ends_idle_and_working_processes(runtime: LambdaRuntime, tmp_path: Path) -> None:
    idle = runtime("describe", {}).payload["process"]
    working: list[Any] = []
    thread = threading.Thread(target=lambda: working.append(runtime("patient", {"seconds": 60})))
    busy = runtime("patient", {"seconds": 0}).payload
    thread.start()
    assert eventually(lambda: "asleep for 60" in log_of(tmp_path / "patient.log"))
    runtime.close()
    thread.join(10)

    assert working[0].payload["errorType"] == "Runtime.ExitError"
    assert not runs(idle)
    assert not runs(busy)
    with pytest.raises(ServiceError, match="stopping"):
        runtime("describe", {})


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_killed_owner_takes_its_functions_along(state: str, tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, tmp_path, state],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    process = int(owner.stdout.readline())
    if state == "busy":
        assert eventually(lambda: "asleep for 60" in log_of(tmp_path / "sleep.log"))
    workers = descendants(owner.pid)
    owner.kill()
    owner.communicate()

    assert process in workers
    assert all(eventually(lambda worker=worker: not runs(worker)) for worker in workers)


def log_of(file: Path) -> str:
    return file.read_text() if file.exists() else ""
