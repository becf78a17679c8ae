"""What is made from declarations is in the repository as it is made, and nothing stale passes."""

from pathlib import Path

import pytest

from docs import __main__ as made
from docs.pages import with_part
from local.deployment import ROOT

FILES = {str(path.relative_to(ROOT)): text for files in made.MADE for path, text in files().items()}


@pytest.mark.parametrize("name", FILES)
def test_file_is_what_the_declarations_say(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == FILES[name], "run `make docs` and commit it"


def test_everything_that_is_made_is_known() -> None:
    assert set(FILES) == {
        "docs/architecture.md",
        "docs/data-dictionary.md",
        "docs/deploy.md",
        "queries/lake/athena.sql",
        "queries/lake/duckdb.sql",
        "queries/lake/spark.sql",
        "resources/glue.yml",
    }


def test_stale_and_missing_files_are_refused_until_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made, "ROOT", tmp_path)
    (tmp_path / "one").write_text("old", encoding="utf-8")
    files = [lambda: {tmp_path / "one": "new"}, lambda: {tmp_path / "two": "text"}]
    with pytest.raises(SystemExit, match=r"^Not what the declarations say: one, two\. Run `make docs`"):
        made.main(["--check"], files)
    made.main([], files)
    made.main(["--check"], files)
    assert (tmp_path / "one").read_text(encoding="utf-8") == "new"


def test_part_takes_its_place_and_nothing_else_changes() -> None:
    page = "Before\n<!-- a -->\nold\n<!-- /a -->\n<!-- b -->\nkept\n<!-- /b -->\n"
    made_so = "Before\n<!-- a -->\nnew \\1\n<!-- /a -->\n<!-- b -->\nkept\n<!-- /b -->\n"
    assert with_part(page, "a", "new \\1\n") == made_so


def test_part_that_the_page_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for c: put the marks <!-- c -->"):
        with_part("Before\n", "c", "text")
