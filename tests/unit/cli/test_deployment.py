"""The deployment that a command line names, before the command or after it."""

import pytest

from cli.commands import status
from cli.deployment import Target, target
from cli.main import COMMANDS, main

OWN_STACK = {"demo", "drill", "up"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Target]:
    """Returns the targets that `totes status` reads."""
    monkeypatch.delenv("TOTES_STAGE", raising=False)
    found: list[Target] = []

    def ask(context: object) -> Target:
        found.append(target(context))  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(status, "target", ask)
    return found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("status", Target()),
        ("--stage dev status", Target("dev")),
        ("status --stage dev", Target("dev")),
        ("--region eu-west-2 status --stage=dev --profile me", Target("dev", "eu-west-2", "me")),
        ("--stage dev status --stage dev", Target("dev")),
    ],
)
def test_options_hold_before_and_after_the_command(asked: list[Target], line: str, expected: Target) -> None:
    assert main(line.split()) == 130
    assert asked == [expected]


def test_command_line_overrides_the_environment(asked: list[Target], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTES_STAGE", "dev")
    for line in ("status", "status --stage local", "--stage prod status"):
        main(line.split())
    assert [found.stage for found in asked] == ["dev", "local", "prod"]


@pytest.mark.parametrize(
    "line", ["--stage a status --stage b", "status --stage a --stage b", "--stage a --stage b status"]
)
def test_two_different_values_are_refused(asked: list[Target], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    assert capsys.readouterr().err == "totes: --stage is given twice: as a and as b.\n"
    assert asked == []


@pytest.mark.parametrize("command", sorted({command.__name__ for command in COMMANDS}))
def test_every_command_of_a_deployment_names_the_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert [f" {option} " in shown for option in ("--stage", "--region", "--profile")] == [command not in OWN_STACK] * 3


def test_value_of_another_option_stays_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.commands.pause.target", lambda context: pytest.fail(str(context.params)))
    with pytest.raises(pytest.fail.Exception, match="'reason': '--stage'"):
        main(["pause", "--reason", "--stage"])
