"""Pages with parts that are made from something else: each between two marks, `<!-- name -->` and `<!-- /name -->`."""

import re
from collections.abc import Mapping
from pathlib import Path

from local.aws.deployment import ROOT

DOCS = ROOT / "docs"


def with_parts(page: Path, parts: Mapping[str, str]) -> str:
    """The text of a page with others between the marks of its parts, by their names.

    Raises:
        ValueError: the marks are not there.
    """
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        place = re.compile(rf"(?<=<!-- {re.escape(name)} -->\n).*?(?=<!-- /{re.escape(name)} -->)", re.DOTALL)
        if not place.search(text):
            raise ValueError(
                f"{page.name} has no place for {name}: put the marks <!-- {name} --> and <!-- /{name} --> into it."
            )
        text = place.sub(lambda _, part=part: part, text)  # type: ignore[misc]
    return text
