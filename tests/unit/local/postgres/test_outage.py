import json
import time
from contextlib import closing
from pathlib import Path

import pytest
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl

from local.postgres.outage import WarehouseServer, before, retries_wait
from local.stack import Stack
from totes.errors import WarehouseUnreachable
from totes.postgres.connection import WAREHOUSE, connected
from totes.runtime.secrets import Credentials, read_credentials

pytestmark = pytest.mark.server


def credentials(stack: Stack) -> Credentials:
    return read_credentials(stack.names.warehouse_secret)


def ask(stack: Stack, statement: str) -> list[tuple[object, ...]]:
    """Returns the answer of the warehouse that the secret names to its own user."""
    with connected(WAREHOUSE, credentials(stack), "totes-test") as connection:
        found = connection.execute(statement)
        rows = [tuple(row) for row in found]
        connection.commit()
        return rows


def test_warehouse_refuses_while_it_is_down_and_comes_back_with_its_rows(stack: Stack, tmp_path: Path) -> None:
    with WarehouseServer(stack, tmp_path) as warehouse:
        named = credentials(stack)
        ask(stack, "CREATE TABLE kept AS SELECT 7 AS number")
        warehouse.stop()
        with pytest.raises(WarehouseUnreachable, match="No connection to the warehouse: Connection refused"):
            ask(stack, "SELECT 1")
        with closing(stack.connect_source()) as totesys:
            totesys.cursor().execute("SELECT 1")
        warehouse.start()
        assert ask(stack, "SELECT number FROM kept") == [(7,)]
        assert credentials(stack) == named


def test_action_comes_before_the_first_call_of_its_function_and_once(stack: Stack) -> None:
    events: list[str] = []
    lambdas = stack.client("lambda")

    def call(function: str) -> None:
        answer = lambdas.invoke(FunctionName=stack.names.function(function), Payload=b"{}")
        events.append(json.loads(answer["Payload"].read())["function"].rpartition("-")[2])

    with before(stack.names.function("load"), lambda: events.append("action")):
        for function in ("transform", "load", "load"):
            call(function)
    call("load")

    assert events == ["transform", "action", "load", "load", "load"]


def test_retries_wait_their_share_and_then_in_full_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("local.postgres.outage.time.sleep", waits.append)
    with retries_wait(0.01):
        retrier_decl.time.sleep(5)
    assert waits == [0.05]
    assert retrier_decl.time is time
