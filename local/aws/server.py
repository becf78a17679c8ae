"""AWS on a laptop: moto's server, on the loopback interface only, in a thread of this process."""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import boto3
from moto.core.base_backend import BackendDict
from moto.core.config import default_user_config
from moto.core.model_instances import reset_model_data
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from local.aws.guard import HOST, ProgramsOnly

if TYPE_CHECKING:
    from local.state import StackState

POLL_SECONDS = 0.05

_one_at_a_time = threading.Lock()
# It makes a Flask application for each service, whose state is elsewhere: `_forget_everything` empties that.
_application = DomainDispatcherApplication(create_backend_app)


class AwsInUse(Exception):
    """moto's state is global to a process: a second stack needs a second process."""


@contextlib.contextmanager
def moto_server(front: Callable[[Any], Any] = lambda app: app) -> Iterator[str]:
    """Serve every AWS API that moto knows, the state machines' interpreter included, with nothing in it at first.

    Args:
        front: makes of the WSGI application the one that is served.

    Yields:
        The endpoint's URL.

    Raises:
        AwsInUse: this process runs one already.
    """
    if not _one_at_a_time.acquire(blocking=False):
        raise AwsInUse("A stack runs in this process already: leave its `with` block first, or use another process.")
    try:
        _keep_quiet()
        server = make_server(HOST, 0, _application, threaded=True, request_handler=MotoRequestHandler)
        server.app = front(ProgramsOnly(server.app, server.port))
        with _interpreter_configured(), serving(server):
            yield f"http://{HOST}:{server.port}"
    finally:
        _forget_everything()
        _one_at_a_time.release()


@contextlib.contextmanager
def environment_of(state: "StackState") -> Iterator[None]:
    """Point this process at the stack, so that no client in it can reach the real AWS by accident."""
    before = dict(os.environ)
    state.point_here()
    # The interpreter calls the other services at localhost:$MOTO_PORT.
    os.environ["MOTO_PORT"] = state.endpoint_url.rpartition(":")[2]
    # A default session made earlier keeps the credentials and the profile of its time.
    boto3.DEFAULT_SESSION = None
    try:
        yield
    finally:
        boto3.DEFAULT_SESSION = None
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def serving(server: BaseWSGIServer) -> Iterator[None]:
    """Runs a server in a thread of its own."""
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def _interpreter_configured() -> Iterator[None]:
    before = default_user_config["stepfunctions"], default_user_config["lambda"]
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["lambda"] = {"use_docker": False}
    try:
        yield
    finally:
        default_user_config["stepfunctions"], default_user_config["lambda"] = before


def _keep_quiet() -> None:
    # Without a handler of its own each of them prints to the terminal.
    for library in ("moto", "werkzeug"):
        logging.getLogger(library).setLevel(logging.WARNING)
        logging.getLogger(library).addHandler(logging.NullHandler())


def _forget_everything() -> None:
    BackendDict.reset()
    reset_model_data()
