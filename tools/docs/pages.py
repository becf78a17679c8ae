"""Fills a page's generated parts. Each part is between two marks, `<!-- name -->` and `<!-- /name -->`."""

import re
from collections.abc import Mapping
from pathlib import Path

from local.aws.deployment import ROOT

DOCS = ROOT / "docs"


def with_parts(page: Path, parts: Mapping[str, str]) -> str:
    """Returns a page's text with new parts between their marks.

    Args:
        parts: the new parts by name.

    Raises:
        ValueError: a part's marks are missing.
    """
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        place = re.compile(rf"(?<=<!-- {re.escape(name)} -->\n).*?(?=<!-- /{re.escape(name)} -->)", re.DOTALL)
        if not place.search(text):
            raise ValueError(
                f"{page.name} has no place for {name}: add the marks <!-- {name} --> and <!-- /{name} --> to it."
            )
        text = place.sub(lambda _, part=part: part, text)  # type: ignore[misc]
    return text
