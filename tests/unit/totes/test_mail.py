"""What no golden mail shows: causes that are too long, and what they may hide."""

from datetime import UTC, datetime

import pytest

from totes.mail import Failure, failure_mail
from totes.names import Names

NOW = datetime(2024, 11, 15, 9, 30, tzinfo=UTC)


def body(cause: str) -> str:
    """The mail about a load that failed so, in one line."""
    names = Names("dev", "123456789012", "eu-west-2")
    return " ".join(failure_mail(Failure(names, "arn:of:one", "Load", "Unforeseen", cause, NOW, NOW)).body.split())


@pytest.mark.parametrize("before", range(1_960, 2_001))
def test_secret_that_is_cut_in_two_is_not_told(before: int) -> None:
    told = body(f"{'x' * before} postgresql://loader:hunter2hunter2@db/warehouse")
    assert "hunter" not in told


def test_long_cause_keeps_its_remedy() -> None:
    told = body(f"{'a word ' * 1_000}\nDo this instead.")
    assert f"Why {'a word ' * 285}a wor… (7000 characters) Rows" in told
    assert "DO THIS Do this instead. Runbook" in told


def test_cause_that_fits_is_told_whole() -> None:
    assert f"Why {'a word ' * 285}Rows" in body("a word " * 285)
