import tomllib

from local.aws.deployment import ROOT

PAGE = ROOT / "web"


def test_installed_page_has_its_templates_and_its_looks() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert "web*" in settings["packages"]["find"]["include"]
    packed = {file for pattern in settings["package-data"]["web"] for file in PAGE.glob(pattern)}
    there = {file for file in PAGE.rglob("*") if file.is_file() and file.suffix not in {".py", ".pyc"}}
    assert there
    assert packed == there
