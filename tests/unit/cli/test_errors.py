import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from typer import BadParameter

from cli.errors import EXPECTED, CommandFailed, Misused, exit_code, one_line
from local.state import StackAlreadyRunning
from totes.errors import WarehouseUnreachable

DENIED = ClientError({"Error": {"Code": "AccessDenied", "Message": "You may not."}}, "StartExecution")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandFailed("Execution a ended FAILED."), 1),
        (WarehouseUnreachable("No connection.", "Nothing to do."), 1),
        (DENIED, 1),
        (NoCredentialsError(), 1),
        (FileNotFoundError("serverless.yml"), 1),
        (Misused("Give --json or --csv, not both."), 2),
        (BadParameter("no number"), 2),
        (StackAlreadyRunning("A stack runs here already."), 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_each_expected_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert isinstance(error, EXPECTED)
    assert exit_code(error) == code


def test_message_of_several_lines_becomes_one() -> None:
    assert one_line(OSError("No space left\n  on device\n")) == "No space left on device"


def test_password_never_reaches_the_screen() -> None:
    assert "s3cret" not in one_line(OSError("cannot reach postgresql://totes:s3cret@db.example.com/warehouse"))
