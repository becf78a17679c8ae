"""The drawing and the functions' tables in docs/architecture.md match the deployed resources."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tools.docs import components, infrastructure
from totes import errors
from totes.contracts import declarations
from totes.runtime.names import FUNCTIONS

_BOX = re.compile(r'^\s*(?:subgraph )?(\w+)[\[(]+"')
_ARROW = re.compile(r"^\s*(\w+) (?:-->|<-->|-\.-|-- [\w ]+ -->|-\. [\w ]+ \.->) (\w+)$")
ABSTRACT = {"TotesError", "TransientError", "TerminalError"}
ERRORS = {declarations.ContractInvalid.__name__} | {
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.TotesError) and name not in ABSTRACT
}
# totes.postgres.connection names the errors of both databases; each function uses one database. Load commits to no log
# in S3. Transform keeps a batch that another execution committed first. If Report or Watch find something wrong with a
# log, they leave it out of the mail.
ELSEWHERE = {
    "ingest": {"WarehouseUnreachable", "WarehouseBusy"},
    "transform": {"BatchContended"},
    "load": {"SourceUnreachable", "SourceBusy", "BatchContended"},
    "backfill": {"WarehouseUnreachable", "WarehouseBusy"},
}
# A stage imports these when there is something to do.
LATER = {
    "ingest": "totes.source.table_reader",
    "transform": "totes.warehouse.batch_shaper",
    "load": "totes.warehouse.batch_loader, totes.warehouse.migration",
}


def test_every_arrow_joins_two_boxes_that_are_drawn() -> None:
    body = infrastructure.diagram().splitlines()[2:-1]
    boxes = {match[1] for line in body if (match := _BOX.match(line))}
    arrows = [match.groups() for line in body if (match := _ARROW.match(line))]
    others = [line.strip() for line in body if line.strip() and not _BOX.match(line) and not _ARROW.match(line)]
    assert others == ["end"]
    assert {end for arrow in arrows for end in arrow} == boxes
    assert len(arrows) == len(set(arrows))


def test_arrows_are_the_way_of_the_data() -> None:
    lines = {line.strip() for line in infrastructure.diagram().splitlines()}
    assert lines >= {
        "totesys --> IngestLambdaFunction",
        "IngestLambdaFunction <--> LandingBucket",
        "LandingBucket --> TransformLambdaFunction",
        "TransformLambdaFunction --> ProcessedBucket",
        "ProcessedBucket --> LoadLambdaFunction",
        "LoadLambdaFunction --> warehouse",
        "ScheduleRule -- starts --> PipelineStateMachine",
        "EndedRule -- calls --> WatchLambdaFunction",
        "BackfillStateMachine -- runs in parts --> BackfillLambdaFunction",
        "totesys --> BackfillLambdaFunction",
        "BackfillLambdaFunction <--> LandingBucket",
        "BackfillEndedRule -- notifies --> AlertsTopic",
    }
    assert not [line for line in lines if re.search(r"Transform\w* <-|Load\w* --> Proc|warehouse -->", line)]


def test_kind_that_nobody_can_draw_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infrastructure, "NOT_DRAWN", infrastructure.NOT_DRAWN - {"AWS::Budgets::Budget"})
    with pytest.raises(LookupError, match="can't draw AWS::Budgets::Budget"):
        infrastructure.diagram()


@pytest.mark.parametrize("function", ELSEWHERE)
def test_errors_of_a_stage_are_all_that_its_code_can_raise(function: str) -> None:
    assert set(components.raised(function)) == named_in(function) - ELSEWHERE[function]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_is_specified_with_nothing_left_empty(function: str) -> None:
    section = components.specifications().partition(f"### `totes-<stage>-{function}`\n")[2].partition("\n### ")[0]
    rows = dict(re.findall(r"^\| ([A-Z][\w -]+) \| (.+) \|$", section, re.MULTILINE))
    assert rows.keys() >= {
        "Does",
        "Runs",
        "Started by",
        "Input",
        "Output",
        "Errors that no retry heals",
        "May",
        "Metrics",
    }
    assert ("the state" in rows["Started by"]) == (function != "watch")


def named_in(function: str) -> set[str]:
    """Returns the errors that a function's imports name anywhere, except in the lists of all errors."""
    imports = ", ".join(filter(None, ["sys", f"functions.{function}", LATER.get(function)]))
    code = f"import {imports}; print(*(name for name in sys.modules if name.startswith('totes.')))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    silent = ("totes.errors", "totes.alerts.error_catalogue")
    modules = [import_module(name) for name in ran.stdout.split() if name not in silent]
    nodes = [
        node
        for module in modules
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")))
    ]
    return {node.id for node in nodes if isinstance(node, ast.Name)} & ERRORS
