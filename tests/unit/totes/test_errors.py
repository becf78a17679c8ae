import inspect

import pytest

from totes import contracts, errors
from totes.errors import ContractBroken, TerminalError, TotesError, TransientError, redacted


def ancestors(kind: type[Exception]) -> list[str]:
    """The names from TotesError down to a class."""
    return [parent.__name__ for parent in reversed(kind.__mro__) if issubclass(parent, TotesError)]


def tree(root: type[Exception]) -> list[list[str]]:
    return [ancestors(root), *(path for kind in root.__subclasses__() for path in tree(kind))]


def drawn() -> list[list[str]]:
    """The tree in the module's docstring, where a level is four characters wide."""
    found: list[list[str]] = []
    for line in (inspect.getdoc(errors) or "").splitlines():
        plain = line.translate(str.maketrans("│├└─", "    "))
        if "──" in line or plain.strip() == "TotesError":
            depth = (len(plain) - len(plain.lstrip())) // 4 - 1
            found.append([*(found[-1][:depth] if found else []), plain.split()[0]])
    return found


def test_docstring_draws_the_tree_as_it_is() -> None:
    assert contracts.ContractInvalid in TerminalError.__subclasses__()
    assert sorted(drawn()) == sorted(tree(TotesError))


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("postgresql://reader:hunter2@db:5432/totesys", "postgresql://reader:***@db:5432/totesys"),
        ("postgresql://reader:hunt@er2@db/totesys", "postgresql://reader:***@db/totesys"),
        ("host=db password=hunter2 dbname=totesys", "host=db password=*** dbname=totesys"),
        ("password='hunter 2' host=db", "password=*** host=db"),
        ('{"username": "reader", "password": "hunter, 2"}', '{"username": "reader", "password": ***}'),
        ("{'PASSWORD': 'hunter2'}", "{'PASSWORD': ***}"),
        ("secret = hunter2, token:hunter2;", "secret = ***, token:***;"),
        ("passwd=hunter2 pwd: hunter2", "passwd=*** pwd: ***"),
        ("TOTES_PASSWORD=hunter2 PGPASSWORD=hunter2", "TOTES_PASSWORD=*** PGPASSWORD=***"),
        ("AWS_SECRET_ACCESS_KEY=hunter2 AWS_SESSION_TOKEN=hunter2", "AWS_SECRET_ACCESS_KEY=*** AWS_SESSION_TOKEN=***"),
    ],
)
def test_secrets_are_redacted(text: str, without: str) -> None:
    assert redacted(text) == without


@pytest.mark.parametrize("text", ["s3://bucket/data/staff", "password authentication failed for user reader", "a: b"])
def test_text_without_secrets_stays(text: str) -> None:
    assert redacted(text) == text


def test_message_is_what_was_found_then_the_remedy() -> None:
    error = ContractBroken("Staff 7 has no name; see postgresql://a:hunter2@b/c.", "Give it one.")
    assert str(error) == "Staff 7 has no name; see postgresql://a:***@b/c. Give it one."
    assert error.remedy == "Give it one."


def test_long_message_is_cut_but_keeps_its_remedy() -> None:
    message = str(TransientError("x" * 30_000, "Nothing to do."))
    assert len(message) < 4_100
    assert message.endswith("… (30000 characters) Nothing to do.")
