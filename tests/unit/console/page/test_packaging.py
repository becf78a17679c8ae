import tomllib

from local.deployment import ROOT

PAGE = ROOT / "console" / "page"


def test_installed_page_has_its_templates_and_its_looks() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert "console.page" in settings["packages"]
    packed = {file for pattern in settings["package-data"]["console.page"] for file in PAGE.glob(pattern)}
    there = {file for file in PAGE.rglob("*") if file.is_file() and file.suffix not in {".py", ".pyc"}}
    assert there
    assert packed == there
