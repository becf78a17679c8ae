"""Generated files are in the repository as they are generated now, and a stale one is noticed."""

from pathlib import Path

import pytest

from local.aws.deployment import ROOT
from tools.docs import __main__ as made
from tools.docs import lake
from tools.docs.pages import with_parts

PAGE = "Before\n<!-- a -->\nold\n<!-- /a -->\n<!-- b -->\nkept\n<!-- /b -->\nAfter\n"


def test_files_are_what_the_declarations_say() -> None:
    made.main(["--check"])


def test_everything_that_is_made_is_known() -> None:
    assert {str(path.relative_to(ROOT)) for files in made.MADE for path in files()} == {
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/data-dictionary.md",
        "docs/deploy.md",
        "queries/lake/athena.sql",
        "queries/lake/duckdb.sql",
        "queries/lake/spark.sql",
        "resources/glue.yml",
    }
    assert set(lake.FOLDER.iterdir()) == set(lake.files()), "there are files that nothing makes any more"


def test_stale_and_missing_files_are_refused_until_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").write_text("old", encoding="utf-8")
    monkeypatch.setattr(made, "ROOT", tmp_path)
    monkeypatch.setattr(made, "MADE", [lambda: {tmp_path / "one": "new"}, lambda: {tmp_path / "two": "text"}])
    with pytest.raises(SystemExit, match=r"^These files differ from the declarations: one, two\. Run `make docs`"):
        made.main(["--check"])
    made.main([])
    made.main(["--check"])
    assert (tmp_path / "one").read_text(encoding="utf-8") == "new"


def test_parts_take_their_places_and_nothing_else_changes(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    assert with_parts(tmp_path / "page.md", {"a": "new \\1\n"}) == PAGE.replace("old", "new \\1")
    assert with_parts(tmp_path / "page.md", {"a": "1\n", "b": "2\n"}) == PAGE.replace("old", "1").replace("kept", "2")


def test_part_that_the_page_has_not_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    with pytest.raises(ValueError, match=r"page\.md has no place for c: add the marks <!-- c -->"):
        with_parts(tmp_path / "page.md", {"c": "text"})
