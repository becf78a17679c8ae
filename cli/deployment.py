"""Connects a command to its deployment: a stage on AWS, or the local stack in another terminal.

Commands use the same calls for both. Only the endpoint and the credentials differ. This module sets them once, for
every boto3 client of the process.

This module and the commands import boto3 and the modules that need it only in functions: importing them takes longer
than the whole `totes --help`.
"""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, signature
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import CommandFailed, Misused
from local.state import StackNotRunning, StackState, running_stack
from totes.runtime.names import LOCAL, Names
from totes.runtime.secrets import read_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from totes.postgres.driver import PipelineConnection


class WarehouseEmpty(CommandFailed):
    """No batch has been loaded yet."""

    def __init__(self) -> None:
        super().__init__("The warehouse is empty: no batch is loaded yet. Start with `totes run`.")


# These are lists, so that a repeated option can be detected.
Stage = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", envvar="TOTES_STAGE", help="A stage on AWS. Default: local, the stack of `totes up`."),
]
Region = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="The stage's AWS region. Default: the profile's.")
]
Profile = Annotated[list[str] | None, typer.Option(metavar="NAME", help="A profile from your AWS configuration.")]
_OPTIONS = {"stage": Stage, "region": Region, "profile": Profile}


@dataclass(frozen=True)
class Target:
    """The deployment that the global options name.

    Attributes:
        stage: the stage's name; `local` for the stack on this machine.
        region: the AWS region; None means the profile's.
        profile: the AWS configuration's profile; None means the default one.
    """

    stage: str = LOCAL
    region: str | None = None
    profile: str | None = None

    def command(self, line: str) -> str:
        """Returns a command line that runs `line` with the same global options."""
        stage = None if self.stage == LOCAL else self.stage
        options = {"--stage": stage, "--region": self.region, "--profile": self.profile}
        given = [f"{option} {quote(value)}" for option, value in options.items() if value]
        return " ".join(["totes", *given, line])

    def connect(self) -> Names:
        """Points boto3 at the deployment and returns its resources' names.

        Raises:
            Misused: no local stack runs, or no region is known.
            BotoCoreError, ClientError: AWS rejects the credentials, or there are none.
        """
        if self.stage == LOCAL:
            stack = self.stack()
            stack.point_here()
            return Names(LOCAL, stack.account, stack.region)
        import boto3

        boto3.setup_default_session(profile_name=self.profile, region_name=self.region)
        region = boto3.DEFAULT_SESSION.region_name if boto3.DEFAULT_SESSION else None
        if region is None:
            raise Misused(f"No region for stage {self.stage}: give --region, or set one in the AWS profile.")
        return Names(self.stage, boto3.client("sts").get_caller_identity()["Account"], region)

    def stack(self) -> StackState:
        """Returns the local stack that runs on this machine.

        Raises:
            Misused: the stage is deployed on AWS, or no local stack runs.
        """
        if self.stage != LOCAL:
            raise Misused(f"Stage {self.stage} is on AWS; this command writes only to a local source.")
        try:
            return running_stack()
        except StackNotRunning as error:
            raise Misused(f"{error} Or name a deployed stage with --stage.") from None


def speaks_to_a_deployment(command: Callable[..., None]) -> Callable[..., None]:
    """Accepts the global options after the command's name, too: `totes status --stage dev`."""

    @wraps(command)
    def run(**given: Any) -> None:
        command(**{name: value for name, value in given.items() if name not in _OPTIONS})

    own = signature(command)
    added = [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind) for name, kind in _OPTIONS.items()]
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), *added])  # type: ignore[attr-defined]
    return run


def target(context: typer.Context) -> Target:
    """Returns the target that this command line's global options name.

    Raises:
        BadParameter: an argument or option is not valid UTF-8.
        Misused: an option is given twice, with different values.
    """
    for level in (context.parent, context):
        if level:
            _check_texts(level)
    stage, region, profile = (_chosen(context, option) for option in _OPTIONS)
    return Target(stage or LOCAL, region, profile)


def _chosen(context: typer.Context, option: str) -> str | None:
    """Returns an option's value from the command line, before or after the command's name; else the environment's."""
    levels = [level for level in (context.parent, context) if level]
    given = [value for level in levels if _on_the_command_line(level, option) for value in level.params[option]]
    if len(set(given)) > 1:
        raise Misused(f"--{option} is given twice: as {given[0]} and as {given[-1]}.")
    chosen: list[str] = given or levels[0].params[option] or []
    return chosen[0] if chosen else None


def _on_the_command_line(context: Any, option: str) -> bool:
    source = context.get_parameter_source(option)
    return bool(source and source.name == "COMMANDLINE")


def _check_texts(context: Any) -> None:
    """Raises BadParameter for bytes that are not UTF-8. Python decodes them to surrogates, which can't be sent."""
    for parameter in context.command.params:
        given = context.params.get(parameter.name or "")
        for text in given if isinstance(given, list | tuple) else [given]:
            if isinstance(text, str) and not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError:
                    raise typer.BadParameter("it has bytes that are not UTF-8", context, parameter) from None


@contextmanager
def warehouse(names: Names) -> "Iterator[PipelineConnection]":
    """Opens a read-only transaction on the warehouse; all its queries see the same snapshot.

    Raises:
        WarehouseEmpty: no batch has been loaded yet.
        WarehouseUnreachable, AccessDenied: the connection failed.
    """
    from totes.postgres.connection import WAREHOUSE, connected

    credentials = read_credentials(names.warehouse_secret)
    with connected(WAREHOUSE, credentials, "totes-console") as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        if connection.execute("SELECT to_regclass('etl.batch')").scalar() is None:
            raise WarehouseEmpty
        yield connection
