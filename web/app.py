"""The page's routes."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

from flask import Flask, Response, jsonify, redirect, render_template, request, url_for
from jinja2 import StrictUndefined

from cli.errors import EXPECTED, Misused, one_line
from cli.progress import PROMISE
from cli.render.executions import remark
from cli.render.terminal import ago, took
from totes.alerts.notice import notice_of
from web.guard import guard
from web.progress import Status, execution_status, run_status, said
from web.view import Gatherer, NoSuchExecution

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as AnyResponse

    from local.stack import Stack

# What the script replaces as it changes. Each is a template in templates/parts, and an element of that id in the page.
PARTS = ("graph", "batches", "executions", "detail", "mails", "announcement")
# Step Functions takes an input of 256 KB.
LARGEST_REQUEST = 1 << 19


def make_app(stack: "Stack", gatherer: Gatherer, port: int) -> Flask:
    """The page of a stack, to be served at this port of the loopback interface."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_REQUEST
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update({f.__name__: f for f in (ago, clock, moment, notice_of, pretty, remark, said, took)})
    served = uuid4().hex
    app.jinja_env.globals.update(
        Status=Status,
        execution_status=execution_status,
        run_status=run_status,
        promise=PROMISE // timedelta(minutes=1),
        link=link,
        served=served,
        stack=stack,
        token=guard(app, port),
    )

    def context() -> dict[str, Any]:
        return {"view": gatherer.view(request.args.get("execution"), request.args.get("state"))}

    @app.get("/")
    def page() -> str:
        return render_template("page.html", **context())

    @app.get("/parts")
    def parts() -> Response:
        given = context()
        return jsonify(
            served=served,
            parts={part: render_template(f"parts/{part}.html", **given) for part in PARTS},
        )

    @app.post("/executions")
    def start() -> "AnyResponse":
        return redirect(link(gatherer.start(request.form.get("input") or "{}")), HTTPStatus.SEE_OTHER)

    @app.post("/executions/<name>/again")
    def start_again(name: str) -> "AnyResponse":
        return redirect(link(gatherer.start_again(name)), HTTPStatus.SEE_OTHER)

    for kind in EXPECTED:
        app.register_error_handler(kind, _explained)
    return app


def link(execution: str | None = None, state: str | None = None) -> str:
    """The address of the page that shows an execution, or the newest one, and perhaps one of its states."""
    chosen = {name: value for name, value in (("execution", execution), ("state", state)) if value}
    return url_for("page") + (f"?{urlencode(chosen)}" if chosen else "")


def pretty(document: str | Mapping[str, Any]) -> str:
    """JSON with line breaks; text that is no JSON as it is."""
    try:
        parsed = json.loads(document) if isinstance(document, str) else document
    except ValueError:
        return str(document)
    return json.dumps(parsed, indent=2, ensure_ascii=False)


def moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M:%S}"


def _explained(error: Exception) -> "tuple[str | Response, HTTPStatus]":
    """What the page says when it can't do what was asked."""
    status = HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, Misused):
        status = HTTPStatus.BAD_REQUEST
    elif isinstance(error, NoSuchExecution):
        status = HTTPStatus.NOT_FOUND
    if request.path == url_for("parts"):
        return jsonify(trouble=one_line(error)), status
    return render_template("trouble.html", trouble=one_line(error)), status
