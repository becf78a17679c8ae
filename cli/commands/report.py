"""`totes report`: all answers with their charts, the data dictionary and the state of the pipeline, as a folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli.answers import Answer
from cli.deployment import target
from cli.render.terminal import screen
from cli.report.folder import check_replaceable, write_folder

if TYPE_CHECKING:
    from totes.runtime.names import Names


def report(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; a report that is there is replaced.")],
) -> None:
    """Write all answers, the data dictionary and the pipeline's state into a folder, for a browser.

    It has all that it needs: open DIR/index.html from disk, or put the folder into a bucket. Each answer has its
    chart, its table and a CSV file.

    Exit code: 2 when the folder has files that no report left there.
    """
    check_replaceable(folder)
    write_report(target(context).connect(), folder, screen())


def write_report(names: "Names", folder: Path, console: Console) -> None:
    """Writes the report of a stage into a folder, and says what is in it."""
    # Drawing takes a second to load.
    from cli.report.gather import gather
    from cli.report.report import report_files

    findings = gather(names)
    marker = {"stage": names.stage, "made_at": findings.made_at.isoformat()}
    write_folder(folder, report_files(findings), marker)
    answered = [found for found in findings.answers if isinstance(found, Answer)]
    charts = sum(1 for found in answered if found.rows and found.question.declared_chart)
    console.print(Text(f"Wrote {folder / 'index.html'}: {len(answered)} answers, {charts} of them with a chart."))
