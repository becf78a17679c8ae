"""`totes report`: writes all answers, the data dictionary and the pipeline's state into a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli.deployment import target
from cli.errors import FAILED
from cli.render.terminal import complaints, say_error, screen
from cli.report.folder import check_replaceable, write_folder

if TYPE_CHECKING:
    from totes.runtime.names import Names


def report(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder. A report in it is replaced.")],
) -> None:
    """Write all answers, the data dictionary and the pipeline's state into a folder, for a browser.

    The folder is complete: open DIR/index.html from disk, or upload the folder to a bucket. Each answer has a chart, a
    table and a CSV file.

    If a question fails, the report still has all other answers. The report and the command both show the error.

    Exit code: 1 if a question failed, 2 if the folder has files that are not from a report.
    """
    check_replaceable(folder)
    with complaints().status("connecting") as status:
        failed = write_report(target(context).connect(), folder, screen(), status.update)
    for why in failed:
        say_error(why)
    if failed:
        raise typer.Exit(FAILED)


def write_report(
    names: "Names", folder: Path, console: Console, seen: Callable[[str], object] = lambda _: None
) -> list[str]:
    """Writes a stage's report into a folder, prints what it has, and returns the errors of failed questions.

    Args:
        seen: called with each step's name.
    """
    # Imported here, because the drawing library takes a second to load.
    from cli.report.gather import Unanswered, gather
    from cli.report.report import drawn, report_files

    findings = gather(names, seen)
    seen("drawing")
    answers = [drawn(found) for found in findings.answers]
    marker = {"stage": names.stage, "made_at": findings.made_at.isoformat()}
    write_folder(folder, report_files(findings, answers), marker)
    failed = [shown.found.why for shown in answers if isinstance(shown.found, Unanswered) and shown.found.failed]
    answered = sum(1 for shown in answers if not isinstance(shown.found, Unanswered))
    charts = sum(1 for shown in answers if shown.whole)
    trouble = f"; {len(failed)} of {len(answers)} questions failed" if failed else ""
    console.print(
        Text(f"Wrote {folder / 'index.html'}: {answered} answers, {charts} of them with a chart{trouble}."),
        soft_wrap=True,
    )
    return failed
