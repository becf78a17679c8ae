"""The `totes` command: its global options, its commands, and how it reports errors."""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from cli import errors
from cli.commands.check import check
from cli.commands.demo import demo
from cli.commands.doctor import doctor
from cli.commands.drill import drill
from cli.commands.explain import explain
from cli.commands.history import history
from cli.commands.logs import logs
from cli.commands.pause import pause, resume
from cli.commands.psql import psql
from cli.commands.query import query
from cli.commands.reconcile import reconcile
from cli.commands.redrive import redrive
from cli.commands.replay import replay
from cli.commands.report import report
from cli.commands.run import run
from cli.commands.secret import secret
from cli.commands.simulate import simulate
from cli.commands.status import status
from cli.commands.up import up
from cli.deployment import Profile, Region, Stage, speaks_to_a_deployment
from cli.flags import Command, Group
from cli.render.terminal import prepare_streams, say_error

app = typer.Typer(
    name="totes",
    cls=Group,
    help="Every committed change in totesys reaches the warehouse exactly once, with its full history.",
    epilog="Exit codes: 0 success, 1 failure, 2 wrong arguments or no such deployment, 130 Ctrl-C.",
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
# These start a temporary or local stack themselves, so they take no --stage.
_OWN_STACK = (demo, drill, up)
COMMANDS = (
    *_OWN_STACK,
    run,
    status,
    doctor,
    explain,
    logs,
    redrive,
    pause,
    resume,
    secret,
    check,
    reconcile,
    replay,
    history,
    query,
    report,
    psql,
    simulate,
)
for command in COMMANDS:
    # psql gets all options that totes does not know.
    app.command(cls=Command, context_settings={"ignore_unknown_options": command is psql})(
        command if command in _OWN_STACK else speaks_to_a_deployment(command)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code. Reports any error as one line on stderr."""
    prepare_streams()
    try:
        code: int = app(args=arguments, prog_name="totes", standalone_mode=False) or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader has closed the pipe. Python flushes stdout again on exit and would report the error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return errors.FAILED
    except typer.Abort:
        say_error("No answer, so nothing was done.")
        return errors.FAILED
    except errors.EXPECTED as error:
        say_error(errors.one_line(error))
        return errors.exit_code(error)
    except Exception as error:  # noqa: BLE001 - users get one line, not a traceback
        say_error(errors.unexpected(error))
        return errors.FAILED


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"totes {version('totes')}")
        except PackageNotFoundError:
            typer.echo("totes, not installed: this runs from a folder of its code")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _global_options(
    context: typer.Context,
    stage: Stage = None,
    region: Region = None,
    profile: Profile = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
