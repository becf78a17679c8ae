"""The command distinguishes a caught mutant from a surviving one, and trusts no test that fails by itself."""

import subprocess
from pathlib import Path

import pytest

from tests.mutants import __main__ as command
from tests.mutants import trial
from tests.mutants.mutant import Mutant
from tests.mutants.trial import ControlFailed, Outcome, Verdict, try_all

CODE = "def double(number):\n    return number * 2\n"
TESTS = """
import time
from code_under_test import double

def test_four():
    print("ERROR no test at all")
    assert double(2) == 4, "no four"
def test_nothing(): assert double(0) == 0
def test_patience(): time.sleep(abs(double(1) - 2) * 60)
def test_broken(): assert not double(1)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a project under git, with an uncommitted change and an ignored file."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the tests need no plugin, and loading each takes time
    root = tmp_path / "project"
    root.mkdir()
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    (root / ".gitignore").write_text("conftest.py\n")
    (root / "conftest.py").write_text("raise RuntimeError")
    (root / "code_under_test.py").write_text(CODE)
    (root / "test_it.py").write_text(TESTS)
    return root


def mutant(new: str, *tests: str, name: str = "m") -> Mutant:
    return Mutant(name, "", "code_under_test.py", "number * 2", new, tuple(f"test_it.py::{test}" for test in tests))


def verdicts(project: Path, *mutants: Mutant) -> list[Verdict]:
    reported: list[Verdict] = []
    found = try_all(project, project.parent / "copies", mutants, 2, reported.append)
    assert sorted(map(repr, reported)) == sorted(map(repr, found))
    return found


def test_outcomes_are_told_apart(project: Path) -> None:
    found = verdicts(
        project,
        mutant("number * 3", "test_nothing", "test_four"),
        mutant("number * 3", "test_nothing"),
        mutant("number *", "test_nothing"),
    )
    assert [verdict.outcome for verdict in found] == [
        Outcome.CAUGHT,
        Outcome.SURVIVED,
        # Code that can't be parsed would make any test fail.
        Outcome.NOT_TESTED,
    ]
    assert (found[0].test, found[0].said.splitlines()[0]) == ("test_it.py::test_four", "AssertionError: no four")
    assert (project / "code_under_test.py").read_text() == CODE


def test_test_that_never_ends_notices_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LIMIT_SECONDS", 1)
    (verdict,) = verdicts(project, mutant("number * 3", "test_patience"))
    assert verdict.outcome is Outcome.OUT_OF_TIME


def test_test_that_fails_by_itself_tells_nothing(project: Path) -> None:
    with pytest.raises(ControlFailed, match="test_broken"):
        verdicts(project, mutant("number * 3", "test_broken"), mutant("number * 4", "test_nothing"))


@pytest.mark.parametrize(("tests", "code"), [(["test_four"], 0), (["test_four", "test_nothing"], 1)])
def test_command_fails_where_a_mutant_survives(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tests: list[str], code: int
) -> None:
    mutants = [mutant("number * 3", test, name=f"tripled-{test}") for test in tests]
    monkeypatch.setattr(command, "read_mutants", lambda: mutants)
    monkeypatch.setattr(command, "ROOT", project)
    assert command.main([]) == code
    said = capsys.readouterr().out
    assert f"1 of {len(tests)} mutants were caught." in said
    assert ("No test noticed: tripled-test_nothing." in said) == bool(code)


def test_list_says_what_is_broken_and_tries_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list", "--only", "hint-trusted"]) == 0
    said = capsys.readouterr().out
    assert "hint-trusted" in said
    assert "batch_log.py" in said
