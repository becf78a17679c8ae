"""Stages an outage: the warehouse goes down and comes back, while totesys and the rest stay up."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl

from local.aws.moto_repairs import replaced
from local.postgres import databases
from local.postgres.server import Postgres

if TYPE_CHECKING:
    from local.stack import Stack


class WarehouseServer:
    """Moves a stack's warehouse to its own PostgreSQL server, which starts with the `with` block.

    The stack's warehouse must be empty, because its content is not moved.

    Args:
        folder: the folder that keeps the cluster while the server is stopped.
    """

    def __init__(self, stack: "Stack", folder: Path) -> None:
        self._stack = stack
        self._server = Postgres(folder / "postgres")
        # The address in the secret stays the same after each start, like the endpoint of a database on RDS.
        self._endpoint = folder / "warehouse"

    def __enter__(self) -> Self:
        self.start()
        try:
            databases.create_warehouse(self._server)
            credentials = databases.new_credentials(self._server, databases.LOADER, databases.WAREHOUSE)
            self._stack.client("secretsmanager").put_secret_value(
                SecretId=self._stack.names.warehouse_secret,
                SecretString=json.dumps(credentials | {"host": str(self._endpoint)}),
            )
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the server, with all data committed before it stopped."""
        self._server.start()
        self._endpoint.unlink(missing_ok=True)
        self._endpoint.symlink_to(self._server.host)

    def stop(self) -> None:
        """Stops the server, which ends all sessions and rejects new ones. Does nothing if it is already stopped."""
        self._server.stop()


@contextmanager
def before(function: str, act: Callable[[], object]) -> Iterator[None]:
    """Calls `act` once, just before Lambda first runs a function such as `totes-local-load`."""
    original, todo = LambdaSimpleBackend.invoke, [act]

    def invoke(self: LambdaSimpleBackend, function_name: str, *args: Any, **kwargs: Any) -> Any:
        if todo and function_name.rpartition(":")[2] == function:
            todo.pop()()
        return original(self, function_name, *args, **kwargs)

    with replaced(LambdaSimpleBackend, "invoke", invoke):
        yield


@contextmanager
def retries_wait(share: float) -> Iterator[None]:
    """Shortens the state machine's waits before retries to this share of the defined seconds."""
    hasty = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds * share))
    with replaced(retrier_decl, "time", hasty):
        yield
