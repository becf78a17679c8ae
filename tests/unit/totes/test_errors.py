import inspect

import pytest

from totes import errors
from totes.errors import ContractBroken, TotesError, TransientError, redacted


def tree(root: type[Exception], depth: int = 0) -> list[tuple[int, str]]:
    own = [kind for kind in root.__subclasses__() if kind.__module__ == errors.__name__]
    return [(depth, root.__name__), *(line for kind in own for line in tree(kind, depth + 1))]


def drawn() -> list[tuple[int, str]]:
    """The tree in the module's docstring: a level is four characters wide."""
    lines = [line for line in inspect.getdoc(errors).splitlines() if "──" in line or line.strip() == "TotesError"]
    found = []
    for line in lines:
        name = line.replace("│", " ").replace("├──", "   ").replace("└──", "   ")
        indent = len(name) - len(name.lstrip())
        found.append((indent // 4, name.split()[0]))
    return [(depth - found[0][0], name) for depth, name in found]


def test_docstring_draws_the_tree_as_it_is() -> None:
    assert drawn() == tree(TotesError)


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
