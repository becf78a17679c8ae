from pathlib import Path

import pytest

from tools.prose import __main__ as prose
from tools.prose.passages import Passage, passages
from tools.prose.rules import LONGEST, findings

MODULE = '''"""Reads one thing. Writes another."""

# A comment of two
# lines.
#
# And another one.
def name(value):
    """Returns `value`
    as it is.

    Args:
        value: the first entry
            of two lines.
        other: the second.
    """
    text = f"{value} is not what was expected here"
    return "short text", "SELECT a, b, c"  # At the end of a line.
'''


def _passages(folder: Path, name: str, text: str) -> list[Passage]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return passages(path)


def _wrong(text: str, begins: str = "") -> list[str]:
    return [finding.message for finding in findings([Passage(1, "Reads a row."), Passage(7, text, begins)])]


def test_docstrings_comments_and_messages_of_a_module_are_passages(tmp_path: Path) -> None:
    assert _passages(tmp_path, "module.py", MODULE) == [
        Passage(1, "Reads one thing. Writes another."),
        Passage(3, "A comment of two lines."),
        Passage(6, "And another one."),
        Passage(8, "Returns code as it is.", "function"),
        Passage(11, "Args:"),
        Passage(12, "value: the first entry of two lines."),
        Passage(14, "other: the second."),
        Passage(16, "code is not what was expected here"),
    ]


def test_statements_and_drawn_trees_are_no_passages(tmp_path: Path) -> None:
    tree = '"""The errors.\n\n    Error\n    └── Transient  may be gone in a moment\n\nThe end."""\n'
    found = _passages(tmp_path, "module.py", f'{tree}QUERY = "SELECT one, two FROM three WHERE four"\n')
    assert [passage.text for passage in found] == ["The errors.", "Error", "The end."]


def test_docstring_of_a_test_begins_as_it_likes(tmp_path: Path) -> None:
    assert _passages(tmp_path, "module.py", 'def test_it():\n    """A row is read."""') == [
        Passage(2, "A row is read.")
    ]


def test_help_of_a_command_begins_as_it_likes(tmp_path: Path) -> None:
    command = 'def run(context: typer.Context):\n    """Run it."""'
    assert _passages(tmp_path, "module.py", command) == [Passage(2, "Run it.")]


def test_messages_that_a_test_quotes_are_no_passages(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    assert _passages(tmp_path / "tests", "test_it.py", 'assert text == "five words of a text"  # So.') == []


def test_columns_of_a_comment_are_sentences_of_their_own(tmp_path: Path) -> None:
    assert [passage.line for passage in _passages(tmp_path, "a.sql", "-- one   a thing\n-- two   another\n")] == [1, 2]


def test_paragraphs_and_cells_of_a_page_are_passages_and_its_code_is_not(tmp_path: Path) -> None:
    page = "# Head\n\nSee [`a b`](there.md)\nand *there*.\n\n```\nanew\n```\n"
    table = "\n| one | two |\n|---|---|\n| three | `four` |\n"
    words = [passage.text for passage in _passages(tmp_path, "page.md", page + table)]
    assert words == ["Head", "See code and there.", "one", "two", "three", "code"]


@pytest.mark.parametrize(("name", "mark"), [("a.yml", "#"), ("a.toml", "#"), ("a.sql", "--"), ("Makefile", "#")])
def test_comments_of_other_files_are_passages(tmp_path: Path, name: str, mark: str) -> None:
    assert _passages(tmp_path, name, f"a: 1\n{mark} One\n{mark} text.\n\nb: 2\n") == [Passage(2, "One text.")]


def test_file_name_that_is_not_unicode_is_read(tmp_path: Path) -> None:
    assert _passages(tmp_path, "a.py", 'x = "one two three four \\udcff"') == [Passage(1, "one two three four ?")]


@pytest.mark.parametrize(
    ("text", "better"),
    [
        ("The warehouse is made anew.", "Say 'again' instead of 'anew'."),
        ("It waits for ever.", "'for ever' is archaic."),
        ("Returns None where nothing was loaded.", "Say 'if' instead of 'None where'."),
        ("Whoever is on call reads it.", "Say 'the person or the part that acts' instead of 'Whoever'."),
        (
            "What was lost comes with the next.",
            "Name the thing instead of beginning with a relative: What was lost comes with the next.",
        ),
    ],
)
def test_word_that_costs_a_reader_time_is_found(text: str, better: str) -> None:
    assert better in _wrong(text)


@pytest.mark.parametrize(
    "text",
    [
        "What is missing?",
        "The two are told apart.",
        "There are no more than 5 rows of it.",
        "The simplest way.",
        "Who bought it.",
    ],
)
def test_good_sentence_passes(text: str) -> None:
    assert _wrong(text) == []


def test_longest_sentence_passes_and_a_longer_one_does_not() -> None:
    sentence = " ".join(["word"] * LONGEST)
    assert _wrong(f"{sentence}. {sentence}.") == []
    assert [message[:8] for message in _wrong(f"{sentence} word. {sentence}.")] == ["31 words"]


def test_docstring_of_a_function_begins_with_a_verb() -> None:
    assert _wrong("Reads a row.", "function") == []
    assert _wrong("The row that is read.", "function")[0].startswith("Begin the docstring with a verb")
    assert _wrong("The row that is read.") == []


def test_finding_has_the_line_on_which_its_passage_begins() -> None:
    assert [finding.line for finding in findings([Passage(1, "A row."), Passage(7, "Read it anew.")])] == [7]


def test_command_names_file_and_line_and_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Good.\n\nRead it anew.\n", encoding="utf-8")
    with pytest.raises(SystemExit) as exit_:
        prose.main([str(tmp_path)])
    assert exit_.value.code == f"{page}:3: Say 'again' instead of 'anew'."


def test_command_passes_a_good_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Good.\n", encoding="utf-8")
    prose.main([str(page)])
