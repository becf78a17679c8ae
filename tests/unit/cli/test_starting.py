import sys
from pathlib import Path

import pytest

from cli.starting import another_terminal


def test_hint_activates_where_totes_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert another_terminal() == f"In another terminal, after `. {sys.prefix}/bin/activate`"
    (tmp_path / "totes").touch(mode=0o755)
    assert another_terminal() == "In another terminal"
