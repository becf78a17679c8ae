"""The page's routes."""

from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

from flask import Flask, Response, abort, jsonify, redirect, render_template, request, url_for
from jinja2 import ChoiceLoader, FileSystemLoader, PrefixLoader, StrictUndefined
from werkzeug.exceptions import HTTPException

from cli.charts.declaration import QuestionInvalid
from cli.charts.theme import dark_rules
from cli.charts.vega import NOT_OVER
from cli.errors import EXPECTED, Misused, one_line
from cli.progress import PROMISE
from cli.questions import all_questions, broken_questions
from cli.render.executions import remark
from cli.render.terminal import ago, heading, shown, took
from cli.report.pages import ROWS_SHOWN, TEMPLATES, dates
from cli.schedule import LONGEST_REASON
from totes.alerts.notice import notice_of
from totes.contracts.declarations import warehouse_tables
from web.answers import Answers
from web.docs import document
from web.findings import alike, warnings
from web.guard import guard
from web.health import STATUSES
from web.progress import Status, execution_status, said
from web.text import age, clock, every, fields, linked, moment, pretty, runbook
from web.view import Gatherer, NoSuchExecution

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as AnyResponse

    from local.stack import Stack

HERE = Path(__file__).parent
# The parts of the page that the script refreshes. Each has a template in templates/parts and is the id of an element.
PARTS = ("health", "graph", "batches", "schedule", "executions", "detail", "mails", "announcement")
FILTERS = (
    *(age, ago, alike, clock, every, fields, heading, linked, moment, notice_of),
    *(pretty, remark, runbook, said, shown, took, warnings),
    dates,
)
# Step Functions accepts an input of up to 256 KB.
LARGEST_REQUEST = 1 << 19


def make_app(stack: "Stack", gatherer: Gatherer, port: int) -> Flask:
    """Returns the page of a stack, for this port of the loopback interface."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_REQUEST
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update({f.__name__: f for f in FILTERS})
    # Shares the report's templates for answers.
    templates = [FileSystemLoader(HERE / "templates"), PrefixLoader({"report": FileSystemLoader(TEMPLATES)})]
    app.jinja_env.loader = ChoiceLoader(templates)
    answers = Answers(stack.names)
    served = uuid4().hex
    app.jinja_env.globals.update(
        Status=Status,
        execution_status=execution_status,
        promise=PROMISE // timedelta(minutes=1),
        link=link,
        limit=ROWS_SHOWN,
        longest_reason=LONGEST_REASON,
        not_over=NOT_OVER,
        served=served,
        stack=stack,
        tables=sorted(warehouse_tables()),
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
        health = given["view"].health
        return jsonify(
            served=served,
            title=render_template("title.txt", health=health),
            icon=url_for("icon", word=health.word),
            parts={part: render_template(f"parts/{part}.html", **given) for part in PARTS},
        )

    @app.post("/executions")
    def start() -> "AnyResponse":
        return redirect(link(gatherer.start(request.form.get("input") or "{}")), HTTPStatus.SEE_OTHER)

    @app.post("/executions/<name>/again")
    def start_again(name: str) -> "AnyResponse":
        return redirect(link(gatherer.start_again(name)), HTTPStatus.SEE_OTHER)

    @app.post("/schedule/pause")
    def pause() -> "AnyResponse":
        gatherer.pause(request.form.get("reason", ""))
        return redirect(link(), HTTPStatus.SEE_OTHER)

    @app.post("/schedule/resume")
    def resume() -> "AnyResponse":
        gatherer.resume()
        return redirect(link(), HTTPStatus.SEE_OTHER)

    @app.get("/icon/<word>.svg")
    def icon(word: str) -> Response:
        if word not in STATUSES:
            abort(HTTPStatus.NOT_FOUND)
        return Response(render_template("icon.svg", word=word), mimetype="image/svg+xml")

    @app.get("/docs/<path:page>")
    def docs(page: str) -> str:
        found = document(page)
        if found is None:
            abort(HTTPStatus.NOT_FOUND, f"There is no document {page}.")
        return render_template("document.html", document=found, page=page)

    @app.get("/answers")
    def questions() -> str:
        return render_template("questions.html", questions=all_questions().values(), broken=broken_questions())

    @app.get("/answers/<name>")
    def answered(name: str) -> tuple[str, HTTPStatus]:
        if broken := broken_questions().get(name):
            raise broken
        question = all_questions().get(name) or abort(HTTPStatus.NOT_FOUND, f"There is no question {name}.")
        given = {parameter: value for parameter, value in request.args.items() if value}
        asked = {"question": question, "given": given, "trouble": "", "found": None, "charts": ()}
        if not given and any(parameter.required for parameter in question.parameters):
            return render_template("answer.html", **asked), HTTPStatus.OK
        try:
            found, charts = answers.ask(question, given)
        except EXPECTED as error:
            asked["trouble"] = one_line(error)
            return render_template("answer.html", **asked), _status(error)
        return render_template("answer.html", **asked | {"found": found, "charts": charts}), HTTPStatus.OK

    @app.get("/answers/colours.css")
    def chart_colours() -> Response:
        return Response(dark_rules(), mimetype="text/css")

    app.register_error_handler(HTTPException, _refused)
    for kind in EXPECTED:
        app.register_error_handler(kind, _explained)
    return app


def link(execution: str | None = None, state: str | None = None) -> str:
    """Returns the page's address for an execution, or the newest one, and optionally one of its states."""
    chosen = {name: value for name, value in (("execution", execution), ("state", state)) if value}
    return url_for("page") + (f"?{urlencode(chosen)}" if chosen else "")


def _status(error: Exception) -> HTTPStatus:
    if isinstance(error, Misused):
        return HTTPStatus.BAD_REQUEST
    if isinstance(error, QuestionInvalid):
        return HTTPStatus.INTERNAL_SERVER_ERROR
    return HTTPStatus.NOT_FOUND if isinstance(error, NoSuchExecution) else HTTPStatus.SERVICE_UNAVAILABLE


def _refused(error: HTTPException) -> "AnyResponse":
    """Returns the response for an unknown address or a rejected request."""
    ours = {
        HTTPStatus.NOT_FOUND: f"There is no page {request.path} here.",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.path} accepts requests from the page only.",
    }
    is_own = error.description != type(error).description
    said = error.description if is_own else ours.get(HTTPStatus(error.code or 500), error.description)
    response = error.get_response()
    response.set_data(render_template("trouble.html", trouble=said))
    return response


def _explained(error: Exception) -> "tuple[str | Response, HTTPStatus]":
    """Returns the response for an expected error."""
    status = _status(error)
    if request.path == url_for("parts"):
        return jsonify(trouble=one_line(error)), status
    return render_template("trouble.html", trouble=one_line(error)), status
