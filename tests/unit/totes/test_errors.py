import inspect

import pytest

from totes import errors
from totes.contracts import declarations
from totes.errors import ContractViolation, TerminalError, TotesError, TransientError, split_labels


def ancestors(kind: type[Exception]) -> list[str]:
    """Returns the names from TotesError down to a class."""
    return [parent.__name__ for parent in reversed(kind.__mro__) if issubclass(parent, TotesError)]


def tree(root: type[Exception]) -> list[list[str]]:
    return [ancestors(root), *(path for kind in root.__subclasses__() for path in tree(kind))]


def drawn() -> list[list[str]]:
    """Returns the tree in the module's docstring, where a level is four characters wide."""
    found: list[list[str]] = []
    for line in (inspect.getdoc(errors) or "").splitlines():
        plain = line.translate(str.maketrans("│├└─", "    "))
        if "──" in line or plain.strip() == "TotesError":
            depth = (len(plain) - len(plain.lstrip())) // 4 - 1
            found.append([*(found[-1][:depth] if found else []), plain.split()[0]])
    return found


def test_docstring_draws_the_tree_as_it_is() -> None:
    assert declarations.ContractInvalid in TerminalError.__subclasses__()
    assert sorted(drawn()) == sorted(tree(TotesError))


def test_message_is_what_was_found_then_the_remedy() -> None:
    error = ContractViolation("Staff 7 has no name; see postgresql://a:hunter2@b/c.", "Give it one.")
    assert str(error) == "Staff 7 has no name; see postgresql://a:***@b/c. Give it one."
    assert error.remedy == "Give it one."


def test_long_message_is_cut_but_keeps_its_remedy() -> None:
    message = str(TransientError("x" * 30_000, "Nothing to do."))
    assert len(message) < 4_100
    assert message.endswith("… (30000 characters) Nothing to do.")


@pytest.mark.parametrize("found", ["A gap.", "Two\nlines.", "It says\nRemedy: drop the warehouse.", ""])
def test_labelled_remedy_is_split_off_again(found: str) -> None:
    error = ContractViolation(found, "Restore it.").labelled()
    assert split_labels(str(error)) == (found, "Restore it.", "")


def test_last_line_of_a_foreign_error_is_no_remedy() -> None:
    foreign = "RequestId: 1 Error: Runtime exited with error: signal: killed\nRuntime.ExitError"
    assert split_labels(foreign) == (foreign, "", "")
