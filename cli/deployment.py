"""Which deployment a command speaks to: a stage on AWS, or the local stack in another terminal.

Both are reached with the same calls. What differs is the endpoint and the credentials, and they are set once,
here, for every boto3 client of this process.

boto3, SQLAlchemy and what imports them are imported where they are used, here and in all modules of commands: they
would take longer than `totes --help` does.
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
    """Nothing has ever been loaded."""

    def __init__(self) -> None:
        super().__init__("The warehouse is empty: nothing is loaded yet. Start with `totes run`.")


# Lists, so that an option that is given twice is noticed.
Stage = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", envvar="TOTES_STAGE", help="A stage on AWS; else `local`: what `totes up` runs."),
]
Region = Annotated[list[str] | None, typer.Option(metavar="NAME", help="The stage's AWS region; else the profile's.")]
Profile = Annotated[list[str] | None, typer.Option(metavar="NAME", help="A profile of your AWS configuration.")]
_OPTIONS = {"stage": Stage, "region": Region, "profile": Profile}


@dataclass(frozen=True)
class Target:
    """What the global options say.

    Attributes:
        stage: the stage's name, `local` for the stack on this machine.
        region: the AWS region; None: the profile's.
        profile: the profile in the AWS configuration; None: the default one.
    """

    stage: str = LOCAL
    region: str | None = None
    profile: str | None = None

    def command(self, line: str) -> str:
        """Returns the command line that does `line` with the same global options."""
        stage = None if self.stage == LOCAL else self.stage
        options = {"--stage": stage, "--region": self.region, "--profile": self.profile}
        given = [f"{option} {quote(value)}" for option, value in options.items() if value]
        return " ".join(["totes", *given, line])

    def connect(self) -> Names:
        """Points boto3 at the deployment and returns what its resources are called.

        Raises:
            Misused: no local stack runs, or no region is known.
            BotoCoreError, ClientError: AWS does not know who is asking.
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
        """The local stack that runs on this machine.

        Raises:
            Misused: the stage is deployed on AWS, or no local stack runs.
        """
        if self.stage != LOCAL:
            raise Misused(f"Stage {self.stage} is on AWS; this command writes to a local source only.")
        try:
            return running_stack()
        except StackNotRunning as error:
            raise Misused(f"{error} Or name a deployed stage with --stage.") from None


def speaks_to_a_deployment(command: Callable[..., None]) -> Callable[..., None]:
    """Lets the global options follow the command's name as well: `totes status --stage dev`."""

    @wraps(command)
    def run(**given: Any) -> None:
        command(**{name: value for name, value in given.items() if name not in _OPTIONS})

    own = signature(command)
    added = [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind) for name, kind in _OPTIONS.items()]
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), *added])  # type: ignore[attr-defined]
    return run


def target(context: typer.Context) -> Target:
    """The target that the global options of this command line name.

    Raises:
        BadParameter: an argument or option can't be sent there.
        Misused: an option is given twice, with different values.
    """
    for level in (context.parent, context):
        if level:
            _check_texts(level)
    stage, region, profile = (_chosen(context, option) for option in _OPTIONS)
    return Target(stage or LOCAL, region, profile)


def _chosen(context: typer.Context, option: str) -> str | None:
    """Returns what the command line says, before or after the command's name; else what the environment says."""
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
    """Python takes bytes that are not UTF-8 for halves of characters, which neither AWS nor PostgreSQL can be sent."""
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
    """A read-only transaction on the warehouse, which shows one moment of it.

    Raises:
        WarehouseEmpty: nothing has ever been loaded.
        WarehouseUnreachable, AccessDenied: it can't be connected to.
    """
    from totes.postgres.connection import WAREHOUSE, connected

    credentials = read_credentials(names.warehouse_secret)
    with connected(WAREHOUSE, credentials, "totes-console") as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        if connection.execute("SELECT to_regclass('etl.batch')").scalar() is None:
            raise WarehouseEmpty
        yield connection
